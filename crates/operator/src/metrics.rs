//! Figures for Prometheus.

use std::sync::Arc;
use std::time::Duration;

use kube::ResourceExt;
use odoofleet_api::OdooEnvironment;
use odoofleet_api::environment::Phase;
use odoofleet_helm::Pool;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

use crate::fleet::SharedFleet;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReconcileLabels {
    controller: &'static str,
    result: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ControllerLabels {
    controller: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct HelmLabels {
    operation: String,
    result: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OperationLabels {
    operation: String,
}

/// All figures.
pub struct Metrics {
    registry: Registry,
    reconciles: Family<ReconcileLabels, Counter>,
    durations: Family<ControllerLabels, Histogram, fn() -> Histogram>,
    helm: Family<HelmLabels, Counter>,
    helm_durations: Family<OperationLabels, Histogram, fn() -> Histogram>,
    leader: Gauge,
}

fn reconcile_buckets() -> Histogram {
    Histogram::new(exponential_buckets(0.000_5, 2.0, 14))
}

fn helm_buckets() -> Histogram {
    Histogram::new(exponential_buckets(0.025, 2.0, 14))
}

impl Metrics {
    /// Registers everything.
    pub fn new(pool: Pool, fleet: Arc<SharedFleet>) -> Self {
        let mut registry = Registry::default();
        let operator = registry.sub_registry_with_prefix("odoo_operator");
        let reconciles = Family::default();
        let durations = Family::new_with_constructor(reconcile_buckets as fn() -> Histogram);
        let helm = Family::default();
        let helm_durations = Family::new_with_constructor(helm_buckets as fn() -> Histogram);
        let leader = Gauge::default();
        operator.register("build", "Version of the operator", Info::new(vec![("version", env!("CARGO_PKG_VERSION"))]));
        operator.register("reconcile", "Reconciles", reconciles.clone());
        operator.register_with_unit("reconcile_duration", "Time of a reconcile", Unit::Seconds, durations.clone());
        operator.register("helm_operations", "Helm operations that are over", helm.clone());
        operator.register_with_unit(
            "helm_operation_duration",
            "Time of a Helm operation in its worker",
            Unit::Seconds,
            helm_durations.clone(),
        );
        operator.register("leader", "1 while this operator holds the lease", leader.clone());
        registry.register_collector(Box::new(Live { pool, fleet }));
        Self { registry, reconciles, durations, helm, helm_durations, leader }
    }

    /// Counts a reconcile.
    pub fn reconciled(&self, controller: &'static str, result: &'static str, took: Duration) {
        self.reconciles.get_or_create(&ReconcileLabels { controller, result }).inc();
        self.durations.get_or_create(&ControllerLabels { controller }).observe(took.as_secs_f64());
    }

    /// Counts a Helm operation.
    pub fn helm_finished(&self, operation: &str, result: &str, took: Duration) {
        self.helm.get_or_create(&HelmLabels { operation: operation.to_owned(), result: result.to_owned() }).inc();
        self.helm_durations
            .get_or_create(&OperationLabels { operation: operation.to_owned() })
            .observe(took.as_secs_f64());
    }

    /// Notes leadership.
    pub fn set_leader(&self, leader: bool) {
        self.leader.set(i64::from(leader));
    }

    /// All figures as text.
    pub fn encode(&self) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

/// Figures that are read when they are asked for: what is deleted has none left behind.
struct Live {
    pool: Pool,
    fleet: Arc<SharedFleet>,
}

impl std::fmt::Debug for Live {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Live")
    }
}

impl Collector for Live {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let count = |value: usize| i64::try_from(value).unwrap_or(i64::MAX);
        let gauges = [
            ("odoo_operator_helm_queue", "Helm operations that wait for a worker", count(self.pool.queued())),
            ("odoo_operator_helm_workers", "Helm worker processes", count(self.pool.workers())),
            (
                "odoo_operator_helm_workers_started",
                "Helm worker processes started since the operator's start",
                i64::try_from(self.pool.workers_started()).unwrap_or(i64::MAX),
            ),
            (
                "odoo_operator_retained_releases",
                "Releases that were kept when their environments were deleted",
                count(self.fleet.with(|fleet| fleet.retained())),
            ),
        ];
        for (name, help, value) in gauges {
            let gauge = ConstGauge::new(value);
            let metric = encoder.encode_descriptor(name, help, None, prometheus_client::metrics::MetricType::Gauge)?;
            gauge.encode(metric)?;
        }
        let environments: Vec<Arc<OdooEnvironment>> =
            self.fleet.with(|fleet| fleet.environments().map(|known| Arc::clone(&known.object)).collect());
        encode_each(
            &mut encoder,
            "odoo_environment_info",
            "What an environment is",
            &environments,
            |environment, each| {
                let status = environment.status.clone().unwrap_or_default();
                let labels = [
                    ("customer", environment.spec.customer_ref.name.clone()),
                    ("version", status.odoo_version.unwrap_or_default()),
                    ("template", environment.spec.template_ref.name.clone()),
                    ("chart_version", status.release.and_then(|release| release.chart_version).unwrap_or_default()),
                ];
                each(&labels, 1)
            },
        )?;
        encode_each(
            &mut encoder,
            "odoo_environment_phase",
            "1 for the phase in which an environment is",
            &environments,
            |environment, each| {
                let phase = environment.status.as_ref().and_then(|status| status.phase);
                [Phase::Pending, Phase::Running, Phase::Stopped, Phase::Error, Phase::Offline, Phase::Deleting]
                    .into_iter()
                    .try_for_each(|one| each(&[("phase", format!("{one:?}"))], i64::from(phase == Some(one))))
            },
        )?;
        encode_each(
            &mut encoder,
            "odoo_environment_ready_status",
            "1 for the status of condition Ready",
            &environments,
            |environment, each| {
                let conditions = environment.status.iter().flat_map(|status| &status.conditions);
                let ready = conditions
                    .filter(|condition| condition.type_ == "Ready")
                    .map(|condition| condition.status.as_str())
                    .next()
                    .unwrap_or("Unknown");
                ["True", "False", "Unknown"]
                    .into_iter()
                    .try_for_each(|one| each(&[("condition", one.to_owned())], i64::from(ready == one)))
            },
        )?;
        encode_each(
            &mut encoder,
            "odoo_environment_replicas_desired",
            "Pods of the web part that the spec wants",
            &environments,
            |environment, each| each(&[], i64::from(environment.spec.replicas)),
        )?;
        encode_each(
            &mut encoder,
            "odoo_environment_replicas_ready",
            "Pods of the web part that are ready",
            &environments,
            |environment, each| {
                each(
                    &[],
                    i64::from(environment.status.as_ref().and_then(|status| status.ready_replicas).unwrap_or_default()),
                )
            },
        )
    }
}

type Labels = [(&'static str, String)];

fn encode_each(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    environments: &[Arc<OdooEnvironment>],
    read: impl Fn(&OdooEnvironment, &mut dyn FnMut(&Labels, i64) -> std::fmt::Result) -> std::fmt::Result,
) -> std::fmt::Result {
    let mut metric = encoder.encode_descriptor(name, help, None, prometheus_client::metrics::MetricType::Gauge)?;
    for environment in environments {
        let own = [("namespace", environment.namespace().unwrap_or_default()), ("name", environment.name_any())];
        read(environment, &mut |labels, value| {
            let all: Vec<(&str, String)> = own.iter().chain(labels).cloned().collect();
            ConstGauge::new(value).encode(metric.encode_family(&all)?)
        })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use jiff::Timestamp;
    use odoofleet_api::labels;
    use odoofleet_core::fleet::{Change, Delta, Fleet, Settings, StoredRevision};
    use odoofleet_core::release::Revision;
    use odoofleet_helm::{PoolConfig, WorkerConfig};

    use super::*;
    use crate::looks::Asking;

    fn record(release: &str, revision: &str, retained: bool) -> StoredRevision {
        let mut all: BTreeMap<String, String> =
            [("name", release), ("version", revision), ("status", "deployed"), (labels::CUSTOMER, "acme")]
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into();
        if retained {
            all.insert(labels::RETAINED_AT.to_owned(), "1700000000".to_owned());
        }
        let revision = Revision::from_labels(&all, Timestamp::UNIX_EPOCH, "1").unwrap();
        StoredRevision { revision, retained_hosts: vec![], left_out: BTreeMap::new() }
    }

    impl Metrics {
        /// Those of an operator that has found nothing yet, and its fleet.
        pub fn of_nothing() -> (Arc<Self>, Arc<SharedFleet>) {
            let worker = WorkerConfig {
                program: "/nonexistent".into(),
                namespace: "odoo".to_owned(),
                memory_limit: 0,
                environment: Vec::new(),
            };
            let pool =
                Pool::new(PoolConfig { worker, size: 1, idle: Duration::from_secs(1), observe: Arc::new(|_| None) }).0;
            let settings = Settings {
                namespace: "odoo".to_owned(),
                allowed_git_hosts: vec![],
                allowed_domains: vec![],
                node_address: None,
                max_stops: 1,
                max_automatic_stops: 1,
                fence: Timestamp::UNIX_EPOCH,
                time_zone: jiff::tz::TimeZone::UTC,
            };
            let fleet = Arc::new(SharedFleet::new(Fleet::new(settings), Asking::new().0));
            (Arc::new(Self::new(pool, Arc::clone(&fleet))), fleet)
        }
    }

    const GOLDEN: &str = "e2e/gitops/testdata/metrics.txt";

    /// Each figure with the names of its labels.
    fn figures(text: &str) -> String {
        let name = |line: &str| {
            let (figure, _) = line.rsplit_once(' ')?;
            let (name, labels) = figure.split_once('{').unwrap_or((figure, ""));
            let mut labels: Vec<&str> =
                labels.split("=\"").map(|part| part.rsplit(['"', ',']).next().unwrap()).collect();
            labels.retain(|label| !label.is_empty() && *label != "}");
            labels.sort_unstable();
            Some(format!("{name}{{{}}}", labels.join(",")))
        };
        let all: std::collections::BTreeSet<String> =
            text.lines().filter(|line| !line.starts_with('#')).filter_map(name).collect();
        all.into_iter().map(|figure| figure + "\n").collect::<Vec<_>>().concat()
    }

    /// `UPDATE_GOLDEN=1 cargo test -p odoofleet` writes the file anew; `e2e/gitops` compares alerts and dashboards with it.
    #[test]
    fn alerts_and_dashboards_are_tested_with_the_figures_that_there_are() {
        let (metrics, fleet) = Metrics::of_nothing();
        metrics.reconciled("environment", "success", Duration::from_millis(1));
        metrics.helm_finished("upgrade", "success", Duration::from_secs(1));
        let environment = serde_json::json!({
            "apiVersion": "odoofleet.dev/v1alpha1", "kind": "OdooEnvironment", "metadata": { "name": "a", "namespace": "odoo" },
            "spec": { "customerRef": { "name": "c" }, "serviceName": "s", "stage": "Test", "templateRef": { "name": "t" } },
        });
        fleet.apply(Change::Environments(Delta::Applied(Arc::new(serde_json::from_value(environment).unwrap()))));
        let figures = figures(&metrics.encode().unwrap());
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(GOLDEN);
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(&path, &figures).unwrap();
        }
        let golden = std::fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(figures, golden, "{GOLDEN} is not what /metrics shows (UPDATE_GOLDEN=1 writes it anew)");
    }

    #[test]
    fn retained_releases_are_counted_when_asked_for() {
        let (metrics, fleet) = Metrics::of_nothing();
        let shows = |count: usize| {
            let text = metrics.encode().unwrap();
            assert!(text.contains(&format!("\nodoo_operator_retained_releases {count}\n")), "{text}");
        };
        let apply = |record| fleet.apply(Change::Releases(Delta::Applied(record)));
        shows(0);
        apply(record("acme-prod", "1", true));
        apply(record("acme-test", "1", true));
        apply(record("acme-demo", "1", false));
        shows(2);
        // The next upgrade ends it.
        apply(record("acme-test", "2", false));
        shows(1);
        fleet.apply(Change::Releases(Delta::Deleted(record("acme-prod", "1", true))));
        shows(0);
    }
}
