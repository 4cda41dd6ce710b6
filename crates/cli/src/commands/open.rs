//! `open`: an environment's page in the browser.

use std::process::Stdio;

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use odoofleet_api::OdooEnvironment;
use odoofleet_api::template::WorkloadRole;
use serde_json::json;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

use super::exec;
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
    #[arg(long, conflicts_with = "port_forward")]
    pub print: bool,
    /// By a port of this machine, until Ctrl-C: for an environment without a host, or whose host leads nowhere yet
    #[arg(long)]
    pub port_forward: bool,
    /// The port of this machine; else any that is free
    #[arg(long, requires = "port_forward", value_name = "PORT")]
    pub port: Option<u16>,
}

/// The port of Odoo where its container names none.
const ODOO: i32 = 8069;

/// `kubectl odoo open`
pub async fn run(session: &Session, args: &OpenArgs) -> Result<(), Failure> {
    let (language, name) = (session.language, &args.environment);
    let environment: OdooEnvironment = session.get(name).await?;
    if args.port_forward {
        return forward(session, &environment, args.port).await;
    }
    let status = environment.status.unwrap_or_default();
    let Some(url) = status.url else {
        let message = say!(language, "environment \"{name}\" has no address", "环境 \"{name}\" 没有访问地址");
        return Err(Failure::new(Exit::Unhealthy, message).hint(say!(
            language,
            "set spec.ingress.host; or `kubectl odoo open {name} --port-forward`",
            "请设置 spec.ingress.host；或使用 `kubectl odoo open {name} --port-forward`"
        )));
    };
    if !session.for_people() {
        return output::data(session.format, &json!({"url": url}));
    }
    output::line(&url)?;
    if !args.print {
        browse(session, &url);
    }
    Ok(())
}

/// Opens the browser, if somebody looks on. Where there is none, the address that was printed is all that is needed.
fn browse(session: &Session, url: &str) {
    if console::Term::stdout().is_term()
        && let Err(error) = open::that_detached(url)
    {
        let language = session.language;
        output::remark(&say!(language, "no browser: {error}", "无法打开浏览器：{error}"));
    }
}

/// kubectl forwards the port; it ends with this command, however that ends.
async fn forward(session: &Session, environment: &OdooEnvironment, port: Option<u16>) -> Result<(), Failure> {
    let language = session.language;
    let pod = exec::pod(session, environment, WorkloadRole::Application).await?;
    let ports = format!("{}:{}", port.map_or_else(String::new, |port| port.to_string()), port_of(&pod));
    let mut kubectl = Command::from(session.kubectl());
    kubectl.args(["port-forward", "--address", "127.0.0.1", &format!("pod/{}", pod.name_any()), &ports]);
    kubectl.stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true);
    let mut kubectl = kubectl.spawn().map_err(|error| exec::no_kubectl(language, &error))?;
    let mut said =
        BufReader::new(kubectl.stdout.take().ok_or_else(|| Failure::new(Exit::Failed, "no output"))?).lines();
    let mut interrupted = std::pin::pin!(ended());
    loop {
        tokio::select! {
            line = said.next_line() => match line? {
                // `Forwarding from 127.0.0.1:40123 -> 8069`, and then a line for each connection.
                Some(line) => if let Some(address) = forwarded(&line) {
                    let url = format!("http://{address}");
                    output::line(&url)?;
                    output::remark(language.pick("until Ctrl-C", "按 Ctrl-C 结束"));
                    browse(session, &url);
                },
                None => break,
            },
            () = &mut interrupted => return Ok(()),
        }
    }
    let status = kubectl.wait().await?;
    let code = status.code().unwrap_or_default();
    Err(Failure::new(
        Exit::Failed,
        say!(language, "kubectl port-forward ended with {code}", "kubectl port-forward 已结束，退出码 {code}"),
    ))
}

/// Somebody has had enough: by the keyboard, or by a signal.
async fn ended() {
    let term = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate());
    match term {
        Ok(mut term) => tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            _ = term.recv() => {}
        },
        Err(_) => {
            let _ = tokio::signal::ctrl_c().await;
        }
    }
}

/// The address that a line of kubectl's names.
fn forwarded(line: &str) -> Option<&str> {
    line.strip_prefix("Forwarding from ")?.split_once(" -> ").map(|(address, _)| address)
}

/// The port at which the pod answers people: the one that is named `http`.
fn port_of(pod: &Pod) -> i32 {
    let ports =
        pod.spec.iter().flat_map(|spec| &spec.containers).flat_map(|container| container.ports.iter().flatten());
    ports.into_iter().find(|port| port.name.as_deref() == Some("http")).map_or(ODOO, |port| port.container_port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_is_read_from_what_kubectl_says() {
        assert_eq!(forwarded("Forwarding from 127.0.0.1:40123 -> 8069"), Some("127.0.0.1:40123"));
        assert_eq!(forwarded("Handling connection for 40123"), None);
    }

    #[test]
    fn a_proxy_beside_odoo_is_what_people_reach() {
        let pod = |ports: serde_json::Value| -> Pod {
            serde_json::from_value(json!({"spec": {"containers": [{"name": "odoo", "ports": ports}]}})).unwrap()
        };
        let named = json!([{"name": "odoo", "containerPort": 8069}, {"name": "http", "containerPort": 8080}]);
        assert_eq!(port_of(&pod(named)), 8080);
        assert_eq!(port_of(&pod(json!([]))), ODOO);
    }
}
