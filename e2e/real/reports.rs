use anyhow::{Context, ensure};
use e2e::{Odoo, Real, RealWorld};
use serde_json::{Value, json};

use crate::Result;

const RELEASE: &str = "acme-one";
/// A report that every Odoo has: it describes modules, each from a page of its own on.
const REPORT: &str = "base.report_irmodulereference";

/// Somebody who is logged in, as a browser is.
struct Session<'a> {
    world: &'a RealWorld,
    cookie: String,
}

impl<'a> Session<'a> {
    async fn open(world: &'a RealWorld) -> anyhow::Result<Self> {
        let password = world.administrator_password(RELEASE).await?;
        let login = json!({ "jsonrpc": "2.0", "params": { "db": "odoo", "login": "admin", "password": password } });
        let answer = world.post(RELEASE, "/web/session/authenticate", &login).await?;
        let cookie = answer.headers().get("set-cookie").context("Odoo opened no session")?.to_str()?;
        Ok(Self { world, cookie: cookie.split(';').next().unwrap_or_default().to_owned() })
    }

    /// Prints the report for some modules. Returns how many pages it has.
    async fn print(&self, modules: &[Value]) -> anyhow::Result<usize> {
        let ids: Vec<String> = modules.iter().map(ToString::to_string).collect();
        let address = self.world.address(RELEASE, "http").await?;
        let url = format!("http://{address}/report/pdf/{REPORT}/{}", ids.join(","));
        let answer = self.world.http.get(url).header("Cookie", &self.cookie).send().await?;
        let status = answer.status();
        let pdf = answer.bytes().await?;
        ensure!(status == 200 && pdf.starts_with(b"%PDF"), "{status}: {}", String::from_utf8_lossy(&pdf));
        Ok(pdf.windows(b"/Type /Page\n".len()).filter(|words| *words == b"/Type /Page\n").count())
    }
}

async fn prints(odoo: &Odoo) -> Result {
    let world = RealWorld::start(&format!("report-{}", odoo.series.replace('.', "-")), odoo).await?;
    // Without workers, and with them: the limits of address space are set in one process, or in each.
    for size in ["S", "M"] {
        let environment = e2e::merged(world.environment("one"), &json!({ "spec": { "size": size } }));
        world.apply(&environment).await?;
        world.until(RELEASE, size, |told| told.is_observed() && told.says("Running", "Running")).await?;
        let session = Session::open(&world).await?;
        let all = world.call(RELEASE, "admin", ("ir.module.module", "search"), json!([[], 0, 110])).await?;
        let all = all.as_array().context("Odoo lists no modules")?;
        let (one, many) = (session.print(&all[..1]).await?, session.print(all).await?);
        ensure!(one >= 1 && many >= 100, "Odoo {}, size {size}: {one} and {many} pages", odoo.series);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_odoo_prints_a_page_and_a_hundred_pages() -> Result {
    let real = Real::from_env()?;
    if real.odoo_or_skip("every_odoo_prints_a_page_and_a_hundred_pages").is_none() {
        return Ok(());
    }
    for odoo in &real.odoo {
        prints(odoo).await?;
    }
    Ok(())
}
