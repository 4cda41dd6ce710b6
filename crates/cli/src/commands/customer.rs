//! `suspend` and `resume`: the lifecycle of a customer.

use kube::ResourceExt;
use odoofleet_api::OdooCustomer;
use odoofleet_api::customer::Lifecycle;
use serde_json::json;

use super::power::REASON;
use crate::failure::{Exit, Failure};
use crate::git_owner;
use crate::output;
use crate::say;
use crate::session::Session;

/// Annotation: the lifecycle that a customer had before it was suspended, to which `resume` returns.
const SUSPENDED_FROM: &str = "odoofleet.dev/suspended-from";

/// What `suspend` takes.
#[derive(Debug, clap::Args)]
pub struct SuspendArgs {
    /// Name of the customer
    #[arg(value_name = "CUSTOMER")]
    pub customer: String,
    /// Why; kept on the customer
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
}

/// What `resume` takes.
#[derive(Debug, clap::Args)]
pub struct ResumeArgs {
    /// Name of the customer
    #[arg(value_name = "CUSTOMER")]
    pub customer: String,
    /// Why; kept on the customer
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
}

/// `kubectl odoo suspend`
pub async fn suspend(session: &Session, args: &SuspendArgs) -> Result<(), Failure> {
    let (language, name) = (session.language, &args.customer);
    let customer: OdooCustomer = session.get(name).await?;
    let before = lifecycle(&customer);
    if before == Lifecycle::Suspended {
        return output::line(&say!(
            language,
            "customer \"{name}\" is suspended already",
            "客户 \"{name}\" 已处于暂停状态"
        ));
    }
    if before == Lifecycle::Terminated {
        let message = say!(
            language,
            "customer \"{name}\" is terminated: everything of it is stopped already",
            "客户 \"{name}\" 已终止：其所有环境都已停止"
        );
        return Err(Failure::new(Exit::Refused, message));
    }
    let patch = json!({
        "metadata": {"annotations": {SUSPENDED_FROM: word(before), REASON: args.reason}},
        "spec": {"lifecycle": "Suspended"},
    });
    git_owner::guard(session, "OdooCustomer", &customer.metadata, &patch)?;
    session.patch::<OdooCustomer>(name, &patch).await?;
    let running = customer.status.and_then(|status| status.environments).map_or(0, |counts| counts.running);
    output::line(&say!(
        language,
        "customer \"{name}\" is suspended: {running} running environments stop, their data stays",
        "客户 \"{name}\" 已暂停：{running} 个运行中的环境正在停止，数据保留"
    ))
}

/// `kubectl odoo resume`
pub async fn resume(session: &Session, args: &ResumeArgs) -> Result<(), Failure> {
    let (language, name) = (session.language, &args.customer);
    let customer: OdooCustomer = session.get(name).await?;
    let now = lifecycle(&customer);
    if now != Lifecycle::Suspended {
        let word = word(now);
        return Err(Failure::new(
            Exit::Refused,
            say!(
                language,
                "customer \"{name}\" is not suspended: its lifecycle is {word}",
                "客户 \"{name}\" 没有被暂停：其 lifecycle 为 {word}"
            ),
        ));
    }
    let before = customer.annotations().get(SUSPENDED_FROM).map_or("Active", String::as_str);
    let patch = json!({
        "metadata": {"annotations": {SUSPENDED_FROM: null, REASON: args.reason}},
        "spec": {"lifecycle": before},
    });
    git_owner::guard(session, "OdooCustomer", &customer.metadata, &patch)?;
    session.patch::<OdooCustomer>(name, &patch).await?;
    output::line(&say!(
        language,
        "customer \"{name}\" is {before} again: what ran before starts",
        "客户 \"{name}\" 恢复为 {before}：之前运行的环境正在启动"
    ))
}

fn lifecycle(customer: &OdooCustomer) -> Lifecycle {
    customer.spec.lifecycle.unwrap_or_default()
}

/// The lifecycle as it stands in a spec.
fn word(lifecycle: Lifecycle) -> &'static str {
    match lifecycle {
        Lifecycle::Prospect => "Prospect",
        Lifecycle::Trial => "Trial",
        Lifecycle::Active => "Active",
        Lifecycle::Suspended => "Suspended",
        Lifecycle::Terminated => "Terminated",
    }
}
