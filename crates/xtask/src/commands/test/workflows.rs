//! The check of `.github/workflows`.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::bench::Bench;
use crate::{exec, repo, tools};

const FOLDER: &str = ".github/workflows";

/// actionlint, which uses shellcheck where there is one; and that every action is the one that somebody has looked at.
pub fn check(_: &mut Bench) -> Result<()> {
    let mut loose = Vec::new();
    for entry in fs::read_dir(repo::path(FOLDER)).with_context(|| format!("cannot read {FOLDER:?}"))? {
        let file = entry?.path();
        let text = fs::read_to_string(&file).with_context(|| format!("cannot read {:?}", file.display()))?;
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        loose.extend(unpinned(&text).into_iter().map(|action| format!("{name}: {action}")));
    }
    if !loose.is_empty() {
        bail!(
            "these are not pinned to a commit, with the version behind it (@COMMIT # v1.2.3):\n  {}",
            loose.join("\n  ")
        );
    }
    let actionlint = tools::folder(tools::ACTIONLINT)?.join("actionlint");
    exec::stream(Command::new(actionlint).current_dir(repo::root()))
}

/// Actions of others that a tag or a branch names, which can be moved.
fn unpinned(workflow: &str) -> Vec<&str> {
    let uses = workflow.lines().filter_map(|line| line.trim_start().trim_start_matches("- ").strip_prefix("uses: "));
    uses.filter(|action| !action.starts_with("./") && !pinned(action)).collect()
}

fn pinned(action: &str) -> bool {
    let Some((_, (commit, version))) =
        action.split_once('@').and_then(|(name, rest)| Some((name, rest.split_once(" # v")?)))
    else {
        return false;
    };
    commit.len() == 40
        && commit.bytes().all(|byte| byte.is_ascii_hexdigit())
        && version.starts_with(|c: char| c.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image;

    #[test]
    fn a_release_sends_the_image_to_where_the_chart_looks() {
        let workflow = fs::read_to_string(repo::path(FOLDER).join("release.yaml")).unwrap();
        assert!(workflow.contains(&format!("--push \"{}:${{GITHUB_REF_NAME#v}}\"", image::NAME)));
        let values = fs::read_to_string(repo::path("charts/odoofleet/values.yaml")).unwrap();
        let (registry, repository) = image::NAME.split_once('/').unwrap();
        // Whoever pulls takes Docker Hub for meant, if no registry is named.
        assert_eq!(registry, "docker.io");
        assert!(values.contains(&format!("  registry: \"\"\n  repository: {repository}\n")));
    }

    #[test]
    fn an_action_is_named_by_commit_and_version() {
        let commit = "0123456789abcdef0123456789abcdef01234567";
        let rows = [
            (format!("      - uses: a/b@{commit} # v1.2.3"), true),
            (format!("        uses: a/b@{commit} # v1"), true),
            ("    uses: ./.github/workflows/test.yaml".to_owned(), true),
            ("      - run: uses nothing".to_owned(), true),
            ("      - uses: a/b@v1".to_owned(), false),
            ("      - uses: a/b@main # v1".to_owned(), false),
            (format!("      - uses: a/b@{commit}"), false),
            (format!("      - uses: a/b@{} # v1", &commit[1..]), false),
        ];
        for (line, good) in rows {
            assert_eq!(unpinned(&line).is_empty(), good, "{line}");
        }
    }
}
