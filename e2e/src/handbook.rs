//! Following a page of the handbook: every command block is run as it stands there.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::World;

/// A command block of a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// Line of the page on which it begins.
    pub line: usize,
    /// Whether it needs pods in which something runs.
    pub real: bool,
    /// What is typed.
    pub script: String,
    /// What the page shows of its output: the block `text` that follows at once.
    pub shown: Option<String>,
}

/// The command blocks of a page: fences `sh` and `sh real`.
pub fn blocks(page: &str) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    // The fence that is open: its kind, its line and what it holds.
    let mut open: Option<(&str, usize, String)> = None;
    let mut follows = false;
    for (number, line) in page.lines().enumerate() {
        let fence = line.trim_start().strip_prefix("```");
        match (fence, &mut open) {
            (None, Some((_, _, text))) => {
                text.push_str(line);
                text.push('\n');
            }
            (Some(_), Some(_)) => {
                let Some((kind, line, text)) = open.take() else { continue };
                match (kind, blocks.last_mut()) {
                    ("sh" | "sh real", _) => {
                        blocks.push(Block { line, real: kind == "sh real", script: text, shown: None });
                        follows = true;
                    }
                    ("text", Some(last)) if follows => {
                        last.shown = Some(text);
                        follows = false;
                    }
                    _ => {}
                }
            }
            (Some(kind), None) => {
                follows &= kind == "text";
                open = Some((kind, number + 1, String::new()));
            }
            (None, None) => follows &= line.trim().is_empty(),
        }
    }
    blocks
}

/// Somebody who types what pages say. They speak of namespace `odoo`; here it is the world's.
pub struct Reader<'a> {
    world: &'a World,
    folder: tempfile::TempDir,
    real: bool,
    replaced: Vec<(String, String)>,
}

impl<'a> Reader<'a> {
    /// Types what needs no running Odoo.
    pub fn new(world: &'a World) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let into = |text: &str| in_namespace(text, &world.namespace);
        copy_examples(&world.setup.repo.join("examples"), &folder.path().join("examples"), &into)?;
        Ok(Self { world, folder, real: false, replaced: Vec::new() })
    }

    /// Says the world's own domain for that of the pages: a host leads to one environment of a cluster, and other worlds are in it.
    pub fn with_own_domain(self) -> Result<Self> {
        let own = self.world.domain();
        let examples = self.examples();
        copy_examples(&examples, &examples, &|text| text.replace(DOMAIN, &own))?;
        Ok(self.replacing(DOMAIN, &own))
    }

    /// Types all of it, and compares what `sh real` blocks print with what the page shows below them.
    #[must_use]
    pub fn with_real_pods(self) -> Self {
        Self { real: true, ..self }
    }

    /// Types something else for what cannot be had here.
    #[must_use]
    pub fn replacing(mut self, from: &str, to: &str) -> Self {
        self.replaced.push((from.to_owned(), to.to_owned()));
        self
    }

    /// The folder of the examples.
    pub fn examples(&self) -> PathBuf {
        self.folder.path().join("examples")
    }

    /// Changes an example before it is used.
    pub fn edit(&self, example: &str, change: impl FnOnce(&mut Value)) -> Result<()> {
        let file = self.examples().join(example);
        let mut object: Value = serde_saphyr::from_str(&std::fs::read_to_string(&file)?)?;
        change(&mut object);
        std::fs::write(file, object.to_string()).with_context(|| format!("{example} cannot be written"))
    }

    /// Types the blocks of `page`, a file of the repository, one after the other.
    pub async fn follow(&self, page: &str) -> Result<()> {
        let text = std::fs::read_to_string(self.world.setup.repo.join(page))
            .with_context(|| format!("{page} cannot be read"))?;
        let blocks = blocks(&text);
        ensure!(!blocks.is_empty(), "{page} has no command block");
        for block in blocks.iter().filter(|block| self.real || !block.real) {
            let printed = self.type_in(page, block).await?;
            if let (true, Some(shown)) = (block.real, &block.shown) {
                ensure!(
                    printed.trim_end() == shown.trim_end(),
                    "{page}:{} prints\n{printed}and not\n{shown}",
                    block.line
                );
            }
        }
        Ok(())
    }

    async fn type_in(&self, page: &str, block: &Block) -> Result<String> {
        let world = self.world;
        let path = format!("{}:{}", world.setup.bin.display(), std::env::var("PATH").unwrap_or_default());
        let script = in_namespace(&block.script, &world.namespace);
        let script = self.replaced.iter().fold(script, |script, (from, to)| script.replace(from, to));
        let mut command = tokio::process::Command::new("bash");
        command.args(["-euo", "pipefail", "-c", &script]).current_dir(self.folder.path());
        command.env("KUBECONFIG", &world.setup.kubeconfig).env("PATH", path).stdin(Stdio::null()).kill_on_drop(true);
        let output = tokio::time::timeout(world.patience * 4, command.output())
            .await
            .with_context(|| format!("{page}:{} does not end:\n{script}", block.line))??;
        let printed = String::from_utf8_lossy(&output.stdout).into_owned();
        ensure!(
            output.status.success(),
            "{page}:{} failed ({}):\n{script}\n{printed}{}\nlog:\n{}",
            block.line,
            output.status,
            String::from_utf8_lossy(&output.stderr),
            world.log()
        );
        Ok(printed)
    }
}

fn in_namespace(text: &str, namespace: &str) -> String {
    let forms = ["-n odoo", "--namespace odoo", "--namespace=odoo", "namespace: odoo"];
    // A name that only begins so, as odoofleet-system does, is another namespace.
    forms.iter().fold(text.to_owned(), |text, form| {
        let wanted = form.replace("odoo", namespace);
        let mut parts = text.split(form).peekable();
        let mut result = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let longer = part.starts_with(|next: char| next.is_ascii_alphanumeric() || next == '-');
            result.push_str(if longer { form } else { &wanted });
            result.push_str(part);
        }
        result
    })
}

/// The domain in which pages and examples have their hosts.
pub const DOMAIN: &str = "acme.example";

fn copy_examples(from: &Path, to: &Path, change: &dyn Fn(&str) -> String) -> Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_examples(&entry.path(), &target, change)?;
        } else {
            std::fs::write(target, change(&std::fs::read_to_string(entry.path())?))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_found_with_their_kind() {
        let page = "text\n```sh\na\nb\n```\n```text\nc\n```\n```sh real\nd\n```\n";
        let found = blocks(page);
        let plain: Vec<(usize, bool, &str)> = found.iter().map(|b| (b.line, b.real, b.script.as_str())).collect();
        assert_eq!(plain, [(2, false, "a\nb\n"), (9, true, "d\n")]);
    }

    #[test]
    fn what_a_block_prints_stands_directly_below_it() {
        let page = "```sh\na\n```\n\n```text\n1\n```\n```text\n2\n```\n```sh real\nb\n```\nwords\n```text\n3\n```\n";
        let shown: Vec<Option<String>> = blocks(page).into_iter().map(|block| block.shown).collect();
        assert_eq!(shown, [Some("1\n".to_owned()), None]);
    }

    #[test]
    fn only_the_environments_namespace_is_another() {
        let text = "kubectl get oenv -n odoo; helm list --namespace odoo\nkubectl get pods -n odoofleet-system -n odoo";
        assert_eq!(
            in_namespace(text, "x"),
            "kubectl get oenv -n x; helm list --namespace x\nkubectl get pods -n odoofleet-system -n x"
        );
    }
}
