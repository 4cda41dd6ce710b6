//! The control group that holds all pods of a node.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

/// A killed process leaves its group a moment later, and nothing tells when.
const POLL: Duration = Duration::from_millis(50);
const GONE_WITHIN: Duration = Duration::from_secs(10);

/// Makes the group in every hierarchy.
pub fn create(name: &str) -> Result<()> {
    for root in hierarchies()? {
        let controllers = fs::read_to_string(root.join("cgroup.controllers")).unwrap_or_default();
        for controller in controllers.split_whitespace() {
            // One that cannot be passed on is missed by kubelet, which names it.
            let _ = fs::write(root.join("cgroup.subtree_control"), format!("+{controller}"));
        }
        let group = root.join(name);
        if let Err(error) = fs::create_dir(&group)
            && error.kind() != ErrorKind::AlreadyExists
        {
            return Err(error).with_context(|| format!("cannot create {}", group.display()));
        }
    }
    Ok(())
}

/// Removes the group, whose processes were killed.
pub fn remove(name: &str) -> Result<()> {
    let since = Instant::now();
    for group in hierarchies()?.into_iter().map(|root| root.join(name)).filter(|group| group.is_dir()) {
        while let Err(error) = remove_tree(&group) {
            if since.elapsed() > GONE_WITHIN {
                return Err(error).with_context(|| format!("cannot remove {}", group.display()));
            }
            sleep(POLL);
        }
    }
    Ok(())
}

/// Groups go from the innermost outwards; their files cannot be removed, and need not be.
fn remove_tree(group: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(group)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove_tree(&entry.path())?;
        }
    }
    fs::remove_dir(group)
}

fn hierarchies() -> Result<Vec<PathBuf>> {
    Ok(parse(&fs::read_to_string("/proc/self/mounts").context("cannot read /proc/self/mounts")?))
}

/// Where control groups are mounted: several hierarchies in version 1, one in version 2, both on some machines.
fn parse(mounts: &str) -> Vec<PathBuf> {
    let lines = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    lines.filter(|fields| matches!(fields.get(2), Some(&("cgroup" | "cgroup2")))).map(|f| PathBuf::from(f[1])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_versions_are_found() {
        let mounts = "proc /proc proc rw 0 0\ncgroup /sys/fs/cgroup/cpu cgroup rw,cpu 0 0\ncgroup2 /sys/fs/cgroup cgroup2 rw 0 0\n";
        assert_eq!(parse(mounts), [PathBuf::from("/sys/fs/cgroup/cpu"), PathBuf::from("/sys/fs/cgroup")]);
    }
}
