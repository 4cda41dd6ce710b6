//! `new` asks on a terminal for what no flag has said.

use e2e::{Terminal, World};
use odoofleet_api::{OdooCustomer, OdooEnvironment, OdooTemplate};
use serde_json::Value;

use crate::Result;

const ENTER: &str = "\r";
const DOWN: &str = "\u{1b}[B";
const CTRL_C: &str = "\u{3}";
const CTRL_D: &str = "\u{4}";
const ESCAPE: &str = "\u{1b}";

fn asked(world: &World, locale: &str, arguments: &[&str]) -> anyhow::Result<Terminal> {
    world.odoo_at_terminal(locale, 80, &[], &[&["new"], arguments].concat())
}

#[tokio::test(flavor = "multi_thread")]
async fn customers_and_environments_are_made_from_answers() -> Result {
    let world = World::start("cli-new").await?;
    let folder = tempfile::tempdir()?;
    let mut customer = asked(&world, "C", &["customer", "--apply"])?;
    customer.answers("Name, such as acme", "Globex\r").await?;
    customer.answers("must start with a lowercase letter", "\u{15}").await?;
    customer.types(&format!("{}globex\r", "\u{7f}".repeat(7))).await?;
    customer.answers("The company's name", "Globex 环球\r").await?;
    customer.answers("letters to search", &format!("{DOWN}{ENTER}")).await?;
    customer.answers("Last day of the contract", "2027-13-01\r").await?;
    customer.answers("is no day such as", &format!("{}2027-12-31\r", "\u{7f}".repeat(10))).await?;
    let ended = customer.ends().await?;
    assert_eq!(ended.code, 0, "{}", ended.screen);
    assert!(
        ended.screen.ends_with("OdooCustomer \"globex\" is created\n") || ended.screen.ends_with("is created"),
        "{}",
        ended.screen
    );
    let globex: OdooCustomer = world.api().get("globex").await?;
    assert_eq!(globex.spec.display_name.as_deref(), Some("Globex 环球"));
    let spec = serde_json::to_value(&globex.spec)?;
    assert_eq!((&spec["lifecycle"], &spec["contract"]["expiresOn"]), (&"Trial".into(), &"2027-12-31".into()));

    let file = folder.path().join("globex-prod.yaml");
    let path = file.to_string_lossy();
    let mut environment = asked(&world, "zh_CN.UTF-8", &["environment", "--out", &path])?;
    environment.answers("[↑↓ 移动", "glo\r").await?;
    environment.answers("用途，例如 prod", "Prod\r").await?;
    environment.answers("必须以小写字母开头", &format!("{}prod\r", "\u{7f}".repeat(4))).await?;
    environment.answers("Staging", &format!("{DOWN}{DOWN}{ENTER}")).await?;
    environment.answers("? 模板", ENTER).await?;
    environment.answers("? 规格", ENTER).await?;
    environment.answers("没有则直接回车", "https://erp\r").await?;
    environment
        .answers("不是 erp.acme.example 这样的域名", &format!("{}erp.globex.example\r", "\u{7f}".repeat(11)))
        .await?;
    let ended = environment.ends().await?;
    assert_eq!(ended.code, 0, "{}", ended.screen);
    assert!(!ended.screen.contains("Enter") && !ended.screen.contains("must"), "{}", ended.screen);
    let made: OdooEnvironment = serde_saphyr::from_str(&std::fs::read_to_string(&file)?)?;
    assert_eq!(made.metadata.name.as_deref(), Some("globex-prod"));
    let spec = serde_json::to_value(&made.spec)?;
    let words = ["customerRef/name", "stage", "templateRef/name", "size", "ingress/host"];
    let said: Vec<&Value> = words.iter().filter_map(|word| spec.pointer(&format!("/{word}"))).collect();
    assert_eq!(said, ["globex", "Production", "small", "S", "erp.globex.example"]);
    world.kubectl(&["apply", "--dry-run=server", "-f", &path]).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_template_is_made_from_an_answer_in_both_languages() -> Result {
    let world = World::bare("cli-new-template", &[]).await?;
    for (locale, question, wrong) in
        [("C", "Odoo's series", "is no series such as"), ("zh_CN.UTF-8", "Odoo 版本系列", "这样的版本系列")]
    {
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("template.yaml");
        let mut template = asked(&world, locale, &["template", "--out", &file.to_string_lossy()])?;
        template.answers(question, "18\r").await?;
        template.answers(wrong, ".0\r").await?;
        let ended = template.ends().await?;
        assert_eq!(ended.code, 0, "{}", ended.screen);
        let made: OdooTemplate = serde_saphyr::from_str(&std::fs::read_to_string(&file)?)?;
        assert_eq!((made.metadata.name.as_deref(), made.spec.version.as_str()), (Some("odoo-18"), "18.0-1"));
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_leaves_a_question_has_made_nothing() -> Result {
    let world = World::start("cli-new-left").await?;
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("customer.yaml");
    let path = file.to_string_lossy();
    for (locale, company, lifecycle, nothing) in [
        ("C", "The company's name", "? Lifecycle", "error: nothing was made"),
        ("zh_CN.UTF-8", "公司名称", "? 生命周期", "错误： 没有创建任何内容"),
    ] {
        for key in [CTRL_C, CTRL_D, ESCAPE] {
            for target in [&["--apply"][..], &["--out", &path]] {
                // At a text, and at a choice; on the last row of the screen, too.
                for at_choice in [false, true] {
                    let mut customer = asked(&world, locale, &[&["customer", "left"], target].concat())?;
                    customer.shows(company).await?;
                    if at_choice {
                        customer.types("Left\r").await?;
                        customer.shows(lifecycle).await?;
                    }
                    customer.types(key).await?;
                    let ended = customer.ends().await?;
                    assert_eq!(ended.code, 130, "{}", ended.screen);
                    let last = ended.screen.trim_end().lines().last().unwrap_or_default();
                    assert_eq!(last, nothing, "{}", ended.screen);
                    assert!(!ended.screen.contains("canceled"), "{}", ended.screen);
                }
            }
        }
    }
    assert!(!file.exists(), "a file was written");
    assert_eq!(world.api::<OdooCustomer>().get_opt("left").await?, None);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_answers_for_nothing() -> Result {
    let world = World::bare("cli-new-early", &[]).await?;
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("mine.yaml");
    std::fs::write(&file, "mine")?;
    let path = file.to_string_lossy();
    // Before the first question.
    let ended = asked(&world, "C", &["customer", "--out", &path])?.ends().await?;
    assert_eq!(ended.code, 8, "{}", ended.screen);
    assert!(ended.screen.contains("exists already") && !ended.screen.contains("Name, such as"), "{}", ended.screen);
    assert_eq!(std::fs::read_to_string(&file)?, "mine");
    let nowhere = folder.path().join("none").to_string_lossy().into_owned();
    let ended = asked(&world, "C", &["customer", "--apply", "--kubeconfig", &nowhere])?.ends().await?;
    assert_eq!(ended.code, 5, "{}", ended.screen);
    assert!(!ended.screen.contains("Name, such as"), "{}", ended.screen);
    // Without a terminal the flag is named.
    let piped = world.odoo(&["new", "customer"]).await?;
    assert_eq!((piped.code, piped.err.as_str()), (2, "error: NAME is missing\n"), "{piped:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_has_colours_only_where_they_are_wanted() -> Result {
    let world = World::bare("cli-new-colour", &[]).await?;
    for (variables, flags, is_coloured) in [
        (&[][..], &[][..], true),
        (&[("NO_COLOR", "1")], &[], false),
        (&[], &["--color", "never"], false),
        (&[("NO_COLOR", "1")], &["--color", "always"], true),
    ] {
        let arguments = [&["new", "customer", "zeta", "--display-name", "Z"], flags].concat();
        let mut customer = world.odoo_at_terminal("C", 80, variables, &arguments)?;
        customer.answers("? Lifecycle", ENTER).await?;
        customer.answers("Last day", CTRL_C).await?;
        let ended = customer.ends().await?;
        let has_colour = ended.written.contains("\u{1b}[38;") || ended.written.contains("\u{1b}[31m");
        assert_eq!(has_colour, is_coloured, "{variables:?} {flags:?}: {:?}", ended.written);
    }
    Ok(())
}
