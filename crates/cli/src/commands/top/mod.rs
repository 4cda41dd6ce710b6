//! `top`: the CPU and memory that environments take.

mod usage;

use std::cmp::Reverse;

use clap::ValueEnum;
use k8s_openapi::api::core::v1::Pod;
use kube::Error;
use kube::api::ListParams;
use odoofleet_api::OdooEnvironment;

use crate::failure::{Exit, Failure};
use crate::output::{self, Format, Table};
use crate::say;
use crate::session::{Asked, Session};
use usage::{Amount, PodMetricsList, Usage};

/// What `top` takes.
#[derive(Debug, clap::Args)]
pub struct TopArgs {
    /// Name of the environment, whose pods are shown; all environments without
    #[arg(value_name = "ENVIRONMENT")]
    pub environment: Option<String>,
    /// What the rows are sorted by
    #[arg(long, value_enum, default_value_t = Order::Memory, value_name = "ORDER")]
    pub sort: Order,
}

/// An order of rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Order {
    Memory,
    Cpu,
    Name,
}

/// `kubectl odoo top`
pub async fn run(session: &Session, args: &TopArgs) -> Result<(), Failure> {
    let environments = match &args.environment {
        Some(name) => vec![session.get::<OdooEnvironment>(name).await?],
        None => session.list(&ListParams::default()).await?,
    };
    let is_one = args.environment.is_some();
    let measured = usage::measured(metrics(session, is_one).await?);
    let pods: Vec<Pod> =
        if is_one { session.list_beside().await? } else { session.list(&ListParams::default()).await? };
    let mut usage = match (&environments[..], is_one) {
        ([environment], true) => usage::by_pod(environment, &pods, &measured),
        (environments, _) => usage::by_environment(environments, &pods, &measured),
    };
    sort(&mut usage, args.sort);
    if !session.for_people() {
        return output::data(session.format, &usage);
    }
    if usage.is_empty() {
        let language = session.language;
        output::remark(&match &args.environment {
            Some(name) => say!(language, "environment \"{name}\" has no pod", "环境 \"{name}\" 没有 Pod"),
            None => say!(language, "there are no environments", "没有环境"),
        });
        return Ok(());
    }
    table(session, &usage, is_one).print()
}

/// Asks the metrics API, which no library knows and which may be missing.
async fn metrics(session: &Session, is_one: bool) -> Result<PodMetricsList, Failure> {
    let path = if session.all_namespaces && !is_one {
        "/apis/metrics.k8s.io/v1beta1/pods".to_owned()
    } else {
        format!("/apis/metrics.k8s.io/v1beta1/namespaces/{}/pods", session.namespace)
    };
    let request = http::Request::get(path).body(Vec::new());
    let request = request.map_err(|error| Failure::new(Exit::Failed, error.to_string()))?;
    let (language, error) = match session.client.request::<PodMetricsList>(request).await {
        Ok(list) => return Ok(list),
        Err(error) => (session.language, error),
    };
    match &error {
        Error::Api(status) if status.code == 404 => {
            let message = say!(
                language,
                "the cluster measures nothing: it has no metrics-server",
                "集群没有任何用量数据：未安装 metrics-server"
            );
            Err(Failure::new(Exit::NotFound, message).hint(say!(
                language,
                "install metrics-server; `kubectl odoo preflight` looks for it",
                "请安装 metrics-server；`kubectl odoo preflight` 会检查它"
            )))
        }
        Error::Api(status) if status.code == 503 => {
            let message =
                say!(language, "metrics-server does not answer the API server", "metrics-server 没有响应 API server");
            Err(Failure::new(Exit::Unreachable, message).hint("kubectl describe apiservice v1beta1.metrics.k8s.io"))
        }
        _ => {
            let asked = Asked { group: "metrics.k8s.io".into(), ..Asked::of::<Pod>("list", None) };
            Err(session.explain(&asked, error).await)
        }
    }
}

fn sort(usage: &mut [Usage], order: Order) {
    let used = |usage: &Usage| usage.used.unwrap_or_default();
    // Rows come sorted by name, and stay so where they are equal.
    match order {
        Order::Memory => usage.sort_by_key(|usage| Reverse(used(usage).memory_bytes)),
        Order::Cpu => usage.sort_by_key(|usage| Reverse(used(usage).cpu_millis)),
        Order::Name => {}
    }
}

fn table(session: &Session, usage: &[Usage], is_one: bool) -> Table {
    let (shows_namespace, is_wide) = (session.all_namespaces && !is_one, session.format == Format::Wide);
    let mut headings = vec!["Name", "CPU", "Request", "Limit", "Memory", "Request", "Limit"];
    if shows_namespace {
        headings.insert(0, "Namespace");
    }
    if !is_one {
        headings.push("Pods");
    }
    if is_wide && !is_one {
        headings.extend(["Database-CPU", "Database-Memory"]);
    }
    let mut table = Table::new(headings);
    for usage in usage {
        let mut row = if shows_namespace { vec![usage.namespace.clone()] } else { Vec::new() };
        let cells =
            |amount: Option<Amount>| amount.map_or(("-".into(), "-".into()), |amount| (cpu(amount), memory(amount)));
        let given = |amount: Amount| {
            (
                if amount.cpu_millis == 0 { "-".into() } else { cpu(amount) },
                if amount.memory_bytes == 0 { "-".into() } else { memory(amount) },
            )
        };
        let (used, requests, limits) = (cells(usage.used), given(usage.requests), given(usage.limits));
        row.extend([usage.name.clone(), used.0, requests.0, limits.0, used.1, requests.1, limits.1]);
        if !is_one {
            row.push(usage.pods.to_string());
        }
        if is_wide && !is_one {
            let database = cells(usage.database);
            row.extend([database.0, database.1]);
        }
        table.push(row);
    }
    table
}

fn cpu(amount: Amount) -> String {
    format!("{}m", amount.cpu_millis)
}

fn memory(amount: Amount) -> String {
    format!("{}Mi", amount.memory_bytes >> 20)
}
