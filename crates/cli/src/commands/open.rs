//! `open`: an environment's page in the browser.

use odoofleet_api::OdooEnvironment;
use serde_json::json;

use crate::failure::{Exit, Failure};
use crate::output;
use crate::say;
use crate::session::Session;

/// What `open` takes.
#[derive(Debug, clap::Args)]
pub struct OpenArgs {
    /// Name of the environment
    #[arg(value_name = "ENVIRONMENT")]
    pub environment: String,
    /// Only print the address
    #[arg(long)]
    pub print: bool,
}

/// `kubectl odoo open`
pub async fn run(session: &Session, args: &OpenArgs) -> Result<(), Failure> {
    let (language, name) = (session.language, &args.environment);
    let environment: OdooEnvironment = session.get(name).await?;
    let status = environment.status.unwrap_or_default();
    let Some(url) = status.url else {
        let message = say!(language, "environment \"{name}\" has no address", "环境 \"{name}\" 没有访问地址");
        return Err(Failure::new(Exit::Unhealthy, message).hint(say!(
            language,
            "set spec.ingress.host, or reach it with kubectl port-forward",
            "请设置 spec.ingress.host，或使用 kubectl port-forward 访问"
        )));
    };
    if !session.for_people() {
        return output::data(session.format, &json!({"url": url}));
    }
    output::line(&url)?;
    if !args.print && console::Term::stdout().is_term() {
        // Where there is no browser, the address that was printed is all that is needed.
        if let Err(error) = open::that_detached(&url) {
            output::remark(&say!(language, "no browser: {error}", "无法打开浏览器：{error}"));
        }
    }
    Ok(())
}
