//! Generated files: written, or compared with what lies there.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

/// Files by their paths from the repository's root, and the folders that hold no other YAML files.
#[derive(Debug, Default)]
pub struct Tree {
    /// Path and content.
    pub files: BTreeMap<String, String>,
    /// Folders in which a YAML file of another name is a leftover.
    pub folders: Vec<String>,
}

impl Tree {
    /// Writes every file, and removes leftovers.
    pub fn write(&self, root: &Path) -> Result<()> {
        for leftover in self.leftovers(root)? {
            fs::remove_file(root.join(&leftover)).with_context(|| format!("cannot remove \"{leftover}\""))?;
        }
        for (path, content) in &self.files {
            let file = root.join(path);
            let folder = file.parent().unwrap_or(root);
            fs::create_dir_all(folder).with_context(|| format!("cannot create \"{}\"", folder.display()))?;
            fs::write(&file, content).with_context(|| format!("cannot write \"{path}\""))?;
        }
        Ok(())
    }

    /// Fails, naming every file that is not what it should be; `source` is what they are made from.
    pub fn check(&self, root: &Path, source: &str) -> Result<()> {
        let leftovers = self.leftovers(root)?.into_iter().map(|path| format!("{path} (nothing makes it)"));
        let differs =
            |(path, content): &(&String, &String)| fs::read_to_string(root.join(path)).ok().as_ref() != Some(content);
        let wrong: Vec<String> =
            leftovers.chain(self.files.iter().filter(differs).map(|(path, _)| path.clone())).collect();
        if !wrong.is_empty() {
            bail!(
                "these files are not what {source} says:\n  {}\nWrite them: cargo xtask generate",
                wrong.join("\n  ")
            );
        }
        Ok(())
    }

    fn leftovers(&self, root: &Path) -> Result<Vec<String>> {
        let mut found = Vec::new();
        for folder in &self.folders {
            let paths = present(&root.join(folder))?.into_iter().map(|name| format!("{folder}/{name}"));
            found.extend(paths.filter(|path| !self.files.contains_key(path)));
        }
        Ok(found)
    }
}

/// The YAML files in a folder; none if there is no folder.
fn present(folder: &Path) -> Result<Vec<String>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.with_context(|| format!("cannot read \"{}\"", folder.display()))?,
    };
    let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    Ok(names.filter(|name| Path::new(name).extension().is_some_and(|end| end == "yaml")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree() -> Tree {
        let files = [("a/one.yaml", "1\n"), ("b/two.yaml", "2\n"), ("c/three.yaml", "3\n")];
        Tree {
            files: files.map(|(path, content)| (path.to_owned(), content.to_owned())).into(),
            folders: vec!["a".to_owned(), "b".to_owned()],
        }
    }

    #[test]
    fn the_check_names_what_differs() {
        let root = tempfile::tempdir().unwrap();
        tree().write(root.path()).unwrap();
        tree().check(root.path(), "the table").unwrap();
        fs::write(root.path().join("a/one.yaml"), "changed").unwrap();
        fs::write(root.path().join("b/old.yaml"), "").unwrap();
        // Somebody else's.
        fs::write(root.path().join("c/other.yaml"), "").unwrap();
        let error = tree().check(root.path(), "the table").unwrap_err().to_string();
        assert_eq!(
            error,
            "these files are not what the table says:\n  b/old.yaml (nothing makes it)\n  a/one.yaml\n\
             Write them: cargo xtask generate"
        );
    }

    #[test]
    fn writing_removes_leftovers_and_nothing_else() {
        let root = tempfile::tempdir().unwrap();
        for path in ["a/old.yaml", "a/README.md", "c/other.yaml"] {
            fs::create_dir_all(root.path().join(path).parent().unwrap()).unwrap();
            fs::write(root.path().join(path), "").unwrap();
        }
        tree().write(root.path()).unwrap();
        assert!(!root.path().join("a/old.yaml").exists());
        assert!(root.path().join("a/README.md").exists() && root.path().join("c/other.yaml").exists());
        tree().check(root.path(), "the table").unwrap();
    }
}
