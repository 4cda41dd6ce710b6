//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Runs every customer's Odoo from one Kubernetes cluster.
#[derive(Debug, Parser)]
#[command(name = "odoofleet", version)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What the program does.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the operator.
    Run(Box<RunArgs>),
    /// Print the CRDs as YAML.
    Crds,
}

/// Settings of the operator.
#[derive(Debug, Clone, Args)]
pub struct RunArgs {
    /// Namespace of the environments.
    #[arg(long, env = "ODOOFLEET_NAMESPACE", default_value = "odoo")]
    pub namespace: String,
    /// Namespace of the operator and its Lease.
    #[arg(long, env = "ODOOFLEET_SYSTEM_NAMESPACE", default_value = "odoofleet-system")]
    pub system_namespace: String,
    /// Name of the Lease that one operator holds at a time.
    #[arg(long, env = "ODOOFLEET_LEASE_NAME", default_value = "odoofleet-operator")]
    pub lease_name: String,
    /// Name of this process among operators, such as the pod's name. Default: made at random.
    #[arg(long, env = "ODOOFLEET_IDENTITY")]
    pub identity: Option<String>,
    /// Folder of packaged charts that templates name by `chart.path`.
    #[arg(long, env = "ODOOFLEET_CHARTS_DIR", default_value = "/charts")]
    pub charts_dir: PathBuf,
    /// Folder for copies of chart archives. It may be emptied at any time.
    #[arg(long, env = "ODOOFLEET_CACHE_DIR", default_value = "/var/cache/odoofleet")]
    pub cache_dir: PathBuf,
    /// The Helm worker's program.
    #[arg(long, env = "ODOOFLEET_HELM_WORKER", default_value = "/usr/local/bin/odoofleet-helm-worker")]
    pub helm_worker: PathBuf,
    /// Most Helm workers at once.
    #[arg(long, env = "ODOOFLEET_WORKERS", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub workers: u16,
    /// MiB of data that one Helm worker may take; one that takes more ends alone, and its operation has failed. 0: no limit.
    #[arg(long, env = "ODOOFLEET_WORKER_MEMORY", default_value_t = 400)]
    pub worker_memory: u64,
    /// Address of /metrics, /live and /ready.
    #[arg(long, env = "ODOOFLEET_LISTEN", default_value = "0.0.0.0:8080")]
    pub listen: std::net::SocketAddr,
    /// File with the token that /metrics asks for as `Authorization: Bearer`. It is read at each request. Default: it asks for none.
    #[arg(long, env = "ODOOFLEET_METRICS_TOKEN_FILE")]
    pub metrics_token_file: Option<PathBuf>,
    /// Time zone of contracts that name none.
    #[arg(long, env = "ODOOFLEET_TIME_ZONE", default_value = "UTC")]
    pub time_zone: String,
    /// Customers whose environments may be stopped within an hour only because of a date.
    #[arg(long, env = "ODOOFLEET_MAX_AUTOMATIC_STOPS", default_value_t = 3)]
    pub max_automatic_stops: u32,
    /// Environments that deletions and customers' states may take down within ten minutes before the rest is held. A
    /// twentieth of the fleet if that is more.
    #[arg(long, env = "ODOOFLEET_MAX_STOPS", default_value_t = 20)]
    pub max_stops: usize,
    /// Kinds that charts may render, such as `apps/v1/Deployment`.
    #[arg(long, env = "ODOOFLEET_ALLOWED_KINDS", value_delimiter = ',', default_values_t = default_kinds())]
    pub allowed_kinds: Vec<String>,
    /// Hosts from which addons may come. Default: any public host.
    #[arg(long, env = "ODOOFLEET_ALLOWED_GIT_HOSTS", value_delimiter = ',')]
    pub allowed_git_hosts: Vec<String>,
    /// Domains in which the hosts of environments lie, of customers who name none in `spec.domains`. Default: any host.
    #[arg(long, env = "ODOOFLEET_ALLOWED_DOMAINS", value_delimiter = ',')]
    pub allowed_domains: Vec<String>,
    /// Host under which NodePorts are reached.
    #[arg(long, env = "ODOOFLEET_NODE_ADDRESS")]
    pub node_address: Option<String>,
    /// Form of the log.
    #[arg(long, env = "ODOOFLEET_LOG_FORMAT", value_enum, default_value_t = LogFormat::Json)]
    pub log_format: LogFormat,
    /// Seconds that running Helm operations get to finish when the operator is asked to stop.
    #[arg(long, env = "ODOOFLEET_SHUTDOWN_SECONDS", default_value_t = 300)]
    pub shutdown_seconds: u64,
}

/// Form of the log.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// For people.
    Text,
}

/// `allowedKinds` of the operator's chart, which makes the Role from them, too: a kind that is allowed without a right to it, or
/// the other way round, would be of no use.
fn default_kinds() -> Vec<String> {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Values {
        allowed_kinds: Vec<Kind>,
    }
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Kind {
        api_version: String,
        kind: String,
    }
    const VALUES: &str = include_str!("../../../charts/odoofleet/values.yaml");
    let values: Result<Values, _> = serde_saphyr::from_str(VALUES);
    // Text that is compiled in, and read by a test. If it could not be read, charts could render nothing.
    let kinds = values.map(|values| values.allowed_kinds).unwrap_or_default();
    kinds.into_iter().map(|kind| format!("{}/{}", kind.api_version, kind.kind)).collect()
}

impl RunArgs {
    /// How long a stop of the operator may take.
    pub const fn shutdown(&self) -> Duration {
        Duration::from_secs(self.shutdown_seconds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_flag_the_kinds_are_those_of_the_chart() {
        let run = Cli::try_parse_from(["odoofleet", "run"]).unwrap();
        let Command::Run(args) = run.command else { panic!("run is run") };
        let text = include_str!("../../../charts/odoofleet/values.yaml");
        let (_, list) = text.split_once("\nallowedKinds:\n").unwrap();
        let entries = list.lines().take_while(|line| line.starts_with("  - "));
        let kinds: Vec<String> = entries
            .map(|line| {
                let after = |key: &str| line.split_once(key).unwrap().1.split([',', '}']).next().unwrap().trim();
                format!("{}/{}", after("apiVersion:"), after("kind:"))
            })
            .collect();
        assert_eq!(args.allowed_kinds, kinds);
        assert!(kinds.contains(&"apps/v1/Deployment".to_owned()), "{kinds:?}");
    }
}
