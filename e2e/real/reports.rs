use anyhow::{Context, ensure};
use e2e::{Odoo, Real, RealWorld};
use serde_json::json;

use crate::Result;

const RELEASE: &str = "acme-one";
/// Rows of a report of a page, and of one of more than a hundred.
const ROWS: [usize; 2] = [5, 6000];

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

    /// Prints a report about the administrator. Returns how many pages it has.
    async fn print(&self, report: &str) -> anyhow::Result<usize> {
        let address = self.world.address(RELEASE, "http").await?;
        let url = format!("http://{address}/report/pdf/{report}/2");
        let answer = self.world.http.get(url).header("Cookie", &self.cookie).send().await?;
        let status = answer.status();
        let pdf = answer.bytes().await?;
        ensure!(status == 200 && pdf.starts_with(b"%PDF"), "{status}: {}", String::from_utf8_lossy(&pdf));
        Ok(pdf.windows(b"/Type /Page\n".len()).filter(|words| *words == b"/Type /Page\n").count())
    }
}

/// Makes a report, as an addon would, that is a table of so many rows.
async fn report(world: &RealWorld, rows: usize) -> anyhow::Result<String> {
    let name = format!("odoofleet.rows_{rows}");
    let row = "<td t-esc='number'/><td>发票 Large desk</td><td t-esc='number * 3.5'/>";
    let table = format!("<table><tr t-foreach='range({rows})' t-as='number'>{row}</tr></table>");
    let arch = format!("<t t-name='{name}'><t t-call='web.basic_layout'>{table}</t></t>");
    let view = json!([{ "name": name, "type": "qweb", "key": name, "arch": arch }]);
    world.call(RELEASE, "admin", ("ir.ui.view", "create"), view).await?;
    let action = json!([{ "name": name, "model": "res.users", "report_type": "qweb-pdf", "report_name": name }]);
    world.call(RELEASE, "admin", ("ir.actions.report", "create"), action).await?;
    Ok(name)
}

async fn prints(odoo: &Odoo) -> Result {
    let world = RealWorld::start(&format!("report-{}", odoo.series.replace('.', "-")), odoo).await?;
    let mut reports = Vec::new();
    // Without workers, and with them: the limits of address space are set in one process, or in each.
    for size in ["S", "M"] {
        let environment = e2e::merged(world.environment("one"), &json!({ "spec": { "size": size } }));
        world.apply(&environment).await?;
        world.until_says(RELEASE, "Running", "Running").await?;
        let session = Session::open(&world).await?;
        if reports.is_empty() {
            for rows in ROWS {
                reports.push(report(&world, rows).await?);
            }
        }
        let (one, many) = (session.print(&reports[0]).await?, session.print(&reports[1]).await?);
        ensure!(one == 1 && many >= 100, "Odoo {}, size {size}: {one} and {many} pages", odoo.series);
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
