//! Following a page of the handbook: every command block is run as it stands there.

use std::path::Path;
use std::process::Stdio;

use anyhow::{Context, Result, ensure};

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
}

/// The command blocks of a page: fences `sh` and `sh real`.
pub fn blocks(page: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut open: Option<Block> = None;
    for (number, line) in page.lines().enumerate() {
        let fence = line.trim_start().strip_prefix("```");
        match (fence, &mut open) {
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (Some(kind @ ("sh" | "sh real")), None) => {
                open = Some(Block { line: number + 1, real: kind == "sh real", script: String::new() });
            }
            (None, Some(block)) => {
                block.script.push_str(line);
                block.script.push('\n');
            }
            (_, None) => {}
        }
    }
    blocks
}

/// Types the blocks of `page`, a file of the repository, one after the other; those that need real pods only if `real`.
/// The page speaks of namespace `odoo`; here it is the world's.
pub async fn follow(world: &World, page: &str, real: bool) -> Result<()> {
    let repo = &world.setup.repo;
    let text = std::fs::read_to_string(repo.join(page)).with_context(|| format!("{page} cannot be read"))?;
    let folder = tempfile::tempdir()?;
    copy_examples(&repo.join("examples"), &folder.path().join("examples"), &world.namespace)?;
    let blocks = blocks(&text);
    ensure!(!blocks.is_empty(), "{page} has no command block");
    for block in blocks.iter().filter(|block| real || !block.real) {
        run(world, page, block, folder.path()).await?;
    }
    Ok(())
}

async fn run(world: &World, page: &str, block: &Block, folder: &Path) -> Result<()> {
    let path = format!("{}:{}", world.setup.bin.display(), std::env::var("PATH").unwrap_or_default());
    let mut command = tokio::process::Command::new("bash");
    command.args(["-euo", "pipefail", "-c", &in_namespace(&block.script, &world.namespace)]).current_dir(folder);
    command.env("KUBECONFIG", &world.setup.kubeconfig).env("PATH", path).stdin(Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(world.patience * 4, command.output())
        .await
        .with_context(|| format!("{page}:{} does not end:\n{}", block.line, block.script))??;
    ensure!(
        output.status.success(),
        "{page}:{} failed ({}):\n{}\n{}{}\nlog:\n{}",
        block.line,
        output.status,
        block.script,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
        world.log()
    );
    Ok(())
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

fn copy_examples(from: &Path, to: &Path, namespace: &str) -> Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_examples(&entry.path(), &target, namespace)?;
        } else {
            std::fs::write(target, in_namespace(&std::fs::read_to_string(entry.path())?, namespace))?;
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
    fn only_the_environments_namespace_is_another() {
        let text = "kubectl get oenv -n odoo; helm list --namespace odoo\nkubectl get pods -n odoofleet-system -n odoo";
        assert_eq!(
            in_namespace(text, "x"),
            "kubectl get oenv -n x; helm list --namespace x\nkubectl get pods -n odoofleet-system -n x"
        );
    }
}
