//! `values edit`. The editor is a script that writes down what it was shown.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use e2e::{Answer, World};
use odoofleet_api::OdooEnvironment;
use serde_json::{Value, json};

use crate::Result;

/// Somebody who edits: one script for each time that the editor opens.
struct Editor<'a> {
    world: &'a World,
    folder: tempfile::TempDir,
}

impl<'a> Editor<'a> {
    fn new(world: &'a World) -> anyhow::Result<Self> {
        Ok(Self { world, folder: tempfile::tempdir()? })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Edits, by a script with the file as `$1` and the number of the time as `$n`.
    async fn edits(&self, script: &str, flags: &[&str]) -> anyhow::Result<Answer> {
        for old in std::fs::read_dir(self.folder.path())? {
            std::fs::remove_file(old?.path())?;
        }
        let folder = self.folder.path().display();
        let body = format!("#!/bin/sh\nn=$(ls {folder} | grep -c shown)\ncp \"$1\" {folder}/shown-$n\n{script}\n");
        let editor = self.path("editor");
        std::fs::write(&editor, body)?;
        std::fs::set_permissions(&editor, std::fs::Permissions::from_mode(0o700))?;
        let variables = [("EDITOR", editor.to_string_lossy()), ("TMPDIR", self.folder.path().to_string_lossy())];
        let variables: Vec<(&str, &str)> = variables.iter().map(|(name, value)| (*name, value.as_ref())).collect();
        self.world.odoo_with(&variables, &[&["values", "edit", "acme-prod"][..], flags].concat()).await
    }

    /// What the editor was shown the first, second … time; nothing if it did not open so often.
    fn shown(&self, time: usize) -> Option<String> {
        std::fs::read_to_string(self.path(&format!("shown-{time}"))).ok()
    }

    /// The texts that were kept.
    fn kept(&self) -> anyhow::Result<Vec<(PathBuf, String)>> {
        let files = std::fs::read_dir(self.folder.path())?.map(|file| Ok(file?.path()));
        let files = files.collect::<anyhow::Result<Vec<_>>>()?;
        let is_kept = |file: &Path| file.extension().is_some_and(|extension| extension == "yaml");
        files
            .into_iter()
            .filter(|file| is_kept(file))
            .map(|file| Ok((file.clone(), std::fs::read_to_string(file)?)))
            .collect()
    }
}

async fn start(name: &str) -> anyhow::Result<World> {
    let world = World::start(name).await?;
    let mut environment = e2e::environment("acme", "prod");
    environment["spec"]["values"] = json!({ "note": "first" });
    world.apply(&environment).await?;
    world.wait_phase("acme-prod", "Running").await?;
    Ok(world)
}

async fn values(world: &World) -> anyhow::Result<Value> {
    let object: OdooEnvironment = world.api().get("acme-prod").await?;
    Ok(Value::Object(object.spec.values))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_edited_is_written_and_what_is_left_as_it_was_is_not() -> Result {
    let world = start("cli-edit").await?;
    let editor = Editor::new(&world)?;
    let done = editor.edits(r#"sed -i s/first/second/ "$1""#, &[]).await?;
    assert_eq!(done.code, 0, "{done:?}");
    assert!(done.out.contains("first") && done.out.contains("second"), "{}", done.out);
    let shown = editor.shown(0).unwrap_or_default();
    assert!(shown.contains("\"acme-prod\"") && shown.ends_with("\nnote: first\n"), "{shown}");
    assert_eq!(values(&world).await?, json!({ "note": "second" }));
    assert_eq!(generation(&world).await?, 2);

    for script in [":", r#"echo '# a remark' >> "$1""#, r#"printf 'note: "second"\n' > "$1""#] {
        let unchanged = editor.edits(script, &[]).await?;
        assert_eq!((unchanged.code, unchanged.err.as_str()), (0, ""), "{script}: {unchanged:?}");
        assert!(unchanged.out.contains("nothing was changed"), "{}", unchanged.out);
    }
    let fled = editor.edits(r#"echo 'note: third' > "$1"; exit 3"#, &[]).await?;
    assert_eq!((fled.code, fled.err.contains("nothing was written")), (1, true), "{fled:?}");
    assert_eq!(generation(&world).await?, 2, "nothing more was written");
    // An editor that puts another file in the place of this one.
    let replaced = editor.edits(r#"echo 'note: third' > "$1.new"; mv "$1.new" "$1""#, &[]).await?;
    assert_eq!(replaced.code, 0, "{replaced:?}");
    assert_eq!(values(&world).await?, json!({ "note": "third" }));
    assert_eq!(editor.kept()?, [], "nothing is left in the folder of temporary files");
    Ok(())
}

async fn generation(world: &World) -> anyhow::Result<i64> {
    let object: OdooEnvironment = world.api().get("acme-prod").await?;
    Ok(object.metadata.generation.unwrap_or_default())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_is_shown_in_the_editor_until_it_is_mended_or_left() -> Result {
    const BROKEN: &str = "note: [\n";
    let world = start("cli-edit-wrong").await?;
    let editor = Editor::new(&world)?;
    let long = "x".repeat(50);
    let mended = editor
        .edits(
            &format!(
                "case $n in 0) echo 'note: [' > \"$1\";; 1) echo 'note: {long}' > \"$1\";; *) echo 'note: short' > \"$1\";; esac"
            ),
            &[],
        )
        .await?;
    assert_eq!(mended.code, 0, "{mended:?}");
    let again = editor.shown(1).unwrap_or_default();
    assert!(again.contains("#: the file is no map in YAML") && again.ends_with(BROKEN), "{again}");
    let again = editor.shown(2).unwrap_or_default();
    assert!(again.contains("#: ") && again.contains("note") && again.ends_with(&format!("note: {long}\n")), "{again}");
    assert_eq!(values(&world).await?, json!({ "note": "short" }));

    let left = editor.edits("case $n in 0) echo 'note: [' > \"$1\";; esac", &[]).await?;
    assert_eq!((left.code, left.err.contains("nothing was written")), (8, true), "{left:?}");
    let kept = editor.kept()?;
    assert!(kept.len() == 1 && kept[0].1 == BROKEN, "{kept:?}");
    assert!(left.err.contains(&kept[0].0.display().to_string()), "{}", left.err);
    assert_eq!(std::fs::metadata(&kept[0].0)?.permissions().mode() & 0o777, 0o600);
    assert_eq!(values(&world).await?, json!({ "note": "short" }));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_else_changed_meanwhile_is_not_overwritten_and_what_was_edited_is_kept() -> Result {
    let world = start("cli-edit-race").await?;
    let editor = Editor::new(&world)?;
    let meanwhile = format!(
        "kubectl patch oenv/acme-prod --namespace {} --type=merge --patch '{{\"spec\":{{\"values\":{{\"note\":\"theirs\"}}}}}}' >&2\n\
         echo 'note: mine' > \"$1\"",
        world.namespace
    );
    let refused = editor.edits(&meanwhile, &[]).await?;
    assert_eq!(refused.code, 8, "{refused:?}");
    assert!(refused.err.contains("somebody has changed environment \"acme-prod\" meanwhile"), "{}", refused.err);
    assert_eq!(values(&world).await?, json!({ "note": "theirs" }));
    let kept = editor.kept()?;
    assert!(kept.len() == 1 && kept[0].1 == "note: mine\n", "{kept:?}");

    // A viewer's mend is refused as well, before the editor opens.
    let viewer = world.person("odoofleet-viewer").await?.odoo(&["values", "edit", "acme-prod"]).await?;
    assert_eq!(viewer.code, 4, "{viewer:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_is_the_editors_as_long_as_it_runs() -> Result {
    let world = start("cli-edit-interrupt").await?;
    let folder = tempfile::tempdir()?;
    let script = folder.path().join("editor");
    // As editors do, it takes Ctrl-C for itself.
    std::fs::write(
        &script,
        "#!/bin/sh\ntrap 'echo caught' INT\necho opened\nwhile [ -z \"$answer\" ]; do read answer; done\necho \"note: $answer\" > \"$1\"\n",
    )?;
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o700))?;
    let variables = [("EDITOR", script.to_str().unwrap())];
    let mut terminal = world.odoo_at_terminal("C", 80, &variables, &["values", "edit", "acme-prod"])?;
    terminal.answers("opened", "\u{3}").await?;
    terminal.answers("caught", "typed\r").await?;
    let ended = terminal.ends().await?;
    assert_eq!(ended.code, 0, "{}", ended.screen);
    assert_eq!(values(&world).await?, json!({ "note": "typed" }));
    Ok(())
}
