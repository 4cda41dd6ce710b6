//! The files of a layer. The same files give the same bytes, in whatever order they came.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write as _;
use std::path::Path;

use anyhow::{Context, Result, anyhow};
use tar::{EntryType, Header};

/// Files by their paths, which have no leading slash.
#[derive(Debug, Default)]
pub struct Tree {
    nodes: BTreeMap<String, Node>,
}

#[derive(Debug)]
struct Node {
    kind: Kind,
    mode: u32,
    owner: u32,
}

#[derive(Debug)]
enum Kind {
    Folder,
    File(Vec<u8>),
    Link(String),
}

impl Tree {
    /// A file of root's.
    pub fn file(&mut self, path: &str, mode: u32, content: impl Into<Vec<u8>>) {
        self.put(path, Node { kind: Kind::File(content.into()), mode, owner: 0 });
    }

    /// A folder.
    pub fn folder(&mut self, path: &str, mode: u32, owner: u32) {
        self.put(path, Node { kind: Kind::Folder, mode, owner });
    }

    /// A symbolic link.
    pub fn link(&mut self, path: &str, target: &str) {
        self.put(path, Node { kind: Kind::Link(target.to_owned()), mode: 0o777, owner: 0 });
    }

    /// Removes a file and returns what it held.
    pub fn take(&mut self, path: &str) -> Option<Vec<u8>> {
        match self.nodes.remove(path)?.kind {
            Kind::File(content) => Some(content),
            _ => None,
        }
    }

    /// The paths of all files and links below a folder, in order.
    pub fn below(&self, folder: &str) -> Vec<String> {
        let prefix = format!("{folder}/");
        let inside =
            self.nodes.iter().filter(|(path, node)| path.starts_with(&prefix) && !matches!(node.kind, Kind::Folder));
        inside.map(|(path, _)| path.clone()).collect()
    }

    /// Adds the files of a tar that are `wanted`. Folders come with the files in them.
    pub fn unpack(&mut self, tar: impl std::io::Read, wanted: impl Fn(&str) -> bool) -> Result<()> {
        for entry in tar::Archive::new(tar).entries()? {
            let mut entry = entry?;
            let path = entry.path()?.to_str().ok_or_else(|| anyhow!("a file's name is not UTF-8"))?.to_owned();
            let path = path.trim_start_matches("./").trim_end_matches('/').to_owned();
            let kind = entry.header().entry_type();
            if kind == EntryType::Directory || !wanted(&path) {
                continue;
            }
            let target = entry.link_name()?.map(|target| target.to_string_lossy().into_owned());
            match (kind, target) {
                (EntryType::Symlink, Some(target)) => self.link(&path, &target),
                (EntryType::Link, Some(target)) => {
                    let first = self.nodes.get(target.trim_start_matches("./"));
                    let Some(Node { kind: Kind::File(content), mode, .. }) = first else {
                        return Err(anyhow!("{path:?} is a second name of {target:?}, which is not there"));
                    };
                    let (content, mode) = (content.clone(), *mode);
                    self.file(&path, mode, content);
                }
                (EntryType::Regular, _) => {
                    let mut content = Vec::new();
                    std::io::Read::read_to_end(&mut entry, &mut content)?;
                    let mode = entry.header().mode()? & 0o755;
                    self.file(&path, mode, content);
                }
                (other, _) => return Err(anyhow!("{path:?} is a {other:?}, which no image needs")),
            }
        }
        Ok(())
    }

    /// Writes it as a plain tar: names in order, nothing of this machine in the headers.
    pub fn write(&self, into: &Path) -> Result<()> {
        let file = File::create(into).with_context(|| format!("cannot write {}", into.display()))?;
        let mut tar = tar::Builder::new(std::io::BufWriter::new(file));
        for (path, node) in &self.nodes {
            let mut header = Header::new_gnu();
            header.set_mode(node.mode);
            header.set_mtime(0);
            header.set_uid(u64::from(node.owner));
            header.set_gid(u64::from(node.owner));
            header.set_size(0);
            let added = match &node.kind {
                Kind::Folder => {
                    header.set_entry_type(EntryType::Directory);
                    tar.append_data(&mut header, format!("{path}/"), std::io::empty())
                }
                Kind::Link(target) => {
                    header.set_entry_type(EntryType::Symlink);
                    tar.append_link(&mut header, path, target)
                }
                Kind::File(content) => {
                    header.set_size(content.len() as u64);
                    tar.append_data(&mut header, path, content.as_slice())
                }
            };
            added.with_context(|| format!("cannot pack {path}"))?;
        }
        tar.into_inner()?.flush().with_context(|| format!("cannot write {}", into.display()))
    }

    fn put(&mut self, path: &str, node: Node) {
        // Whoever unpacks a file whose folder is not named gives the folder the rights of the moment.
        let mut parent = path;
        while let Some((above, _)) = parent.rsplit_once('/') {
            let folder = || Node { kind: Kind::Folder, mode: 0o755, owner: 0 };
            self.nodes.entry(above.to_owned()).or_insert_with(folder);
            parent = above;
        }
        self.nodes.insert(path.to_owned(), node);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(tree: &Tree) -> Vec<u8> {
        let file = tempfile::NamedTempFile::new().unwrap();
        tree.write(file.path()).unwrap();
        std::fs::read(file.path()).unwrap()
    }

    fn names(tar: &[u8]) -> Vec<String> {
        let mut archive = tar::Archive::new(tar);
        let entries = archive.entries().unwrap();
        entries.map(|entry| entry.unwrap().path().unwrap().display().to_string()).collect()
    }

    #[test]
    fn the_order_in_which_files_come_is_not_told() {
        let (mut one, mut two) = (Tree::default(), Tree::default());
        one.file("usr/bin/b", 0o755, "b");
        one.link("bin", "usr/bin");
        one.folder("tmp", 0o1777, 0);
        two.folder("tmp", 0o1777, 0);
        two.link("bin", "usr/bin");
        two.file("usr/bin/b", 0o755, "b");
        assert_eq!(bytes(&one), bytes(&two));
        assert_eq!(names(&bytes(&one)), ["bin", "tmp/", "usr/", "usr/bin/", "usr/bin/b"]);
        two.file("usr/bin/b", 0o644, "b");
        assert_ne!(bytes(&one), bytes(&two));
    }

    #[test]
    fn what_is_wanted_of_an_archive_comes_without_its_times_and_owners() {
        let mut tar = tar::Builder::new(Vec::new());
        for (name, time) in [("./usr/lib/a.so", 5), ("./usr/share/man/a.1", 6)] {
            let mut header = Header::new_gnu();
            header.set_size(1);
            header.set_mode(0o4755);
            header.set_mtime(time);
            header.set_uid(7);
            tar.append_data(&mut header, name, &b"x"[..]).unwrap();
        }
        let mut header = Header::new_gnu();
        header.set_entry_type(EntryType::Link);
        header.set_size(0);
        tar.append_link(&mut header, "./usr/lib/b.so", "./usr/lib/a.so").unwrap();
        let tar = tar.into_inner().unwrap();
        let (mut unpacked, mut wanted) = (Tree::default(), Tree::default());
        unpacked.unpack(tar.as_slice(), |path| path.starts_with("usr/lib")).unwrap();
        wanted.file("usr/lib/a.so", 0o755, "x");
        wanted.file("usr/lib/b.so", 0o755, "x");
        assert_eq!(bytes(&unpacked), bytes(&wanted));
        assert_eq!(unpacked.below("usr/lib"), ["usr/lib/a.so", "usr/lib/b.so"]);
        assert_eq!(unpacked.take("usr/lib/a.so"), Some(b"x".to_vec()));
        assert_eq!(unpacked.below("usr"), ["usr/lib/b.so"]);
    }
}
