//! Wiring: everything starts here, and everything stops together.

use odoofleet_core::error::chain;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use kube::runtime::events::{Recorder, Reporter};
use kube::{Client, Config};
use odoofleet_core::fleet::{Fleet, Settings as FleetSettings};
use odoofleet_helm::{Event, Pool, PoolConfig, WorkerConfig};
use parking_lot::Mutex;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::args::RunArgs;
use crate::charts::ChartStore;
use crate::context::{Awaited, Context, Settings};
use crate::controllers::counts::Settling;
use crate::controllers::environment::{Operations, Throttle};
use crate::controllers::template::Freezing;
use crate::controllers::{customer, environment, template};
use crate::fleet::SharedFleet;
use crate::lease::{self, Permit, Standing};
use crate::looks::{Asking, Drive, Queues, drive};
use crate::metrics::Metrics;
use crate::namespace;
use crate::server::{Health, Readiness, router};
use crate::watches;

/// Looks at environments at once. They wait for the API server most of the time.
const CONCURRENCY: usize = 64;
/// Looks at customers or templates at once.
const ROLL_UP_CONCURRENCY: usize = 16;
/// Customers and templates count their environments: a hundred changes a second make two counts, not a hundred.
const ROLL_UP_REST: Duration = Duration::from_millis(500);
/// A worker without work for so long is ended.
const WORKER_IDLE: Duration = Duration::from_mins(1);

/// Runs the operator until it is told to stop or loses its lease.
pub async fn run(args: RunArgs) -> anyhow::Result<()> {
    // Two TLS providers can be linked in; one must be chosen before the first connection.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let config = Config::infer().await.context("no cluster: neither KUBECONFIG nor a service account was found")?;
    let identity = args.identity.clone().unwrap_or_else(|| format!("operator-{:08x}", rand::random::<u32>()));
    let time_zone = TimeZone::get(&args.time_zone)
        .with_context(|| format!("--time-zone \"{}\" is not an IANA time zone", args.time_zone))?;
    let (asking, queues) = Asking::new();
    let fleet = Arc::new(SharedFleet::new(Fleet::new(fleet_settings(&args, &time_zone)), asking));
    let (pool, events) = Pool::new(pool_config(&args, &fleet)?);
    let metrics = Arc::new(Metrics::new(pool.clone(), Arc::clone(&fleet)));
    let state = Arc::new(Mutex::new(Readiness::Waiting(vec!["the lease".to_owned()])));
    let mut tasks = JoinSet::new();
    serve(&args, &metrics, &state, &mut tasks).await?;

    let (system, name) = (&args.system_namespace, &args.lease_name);
    let permit = Arc::new(Permit::new(lease::ungated(&config)?, system, name, &identity, pool.clone()));
    let (mut standing, lease) = lease::compete(&permit).await?;
    let stop = stop_signal()?;
    tokio::pin!(stop);
    let fence = tokio::select! {
        fence = stand_by(&mut standing, &state) => fence?,
        () = &mut stop => return Ok(()),
    };
    metrics.set_leader(true);
    tracing::info!(identity, "leading");

    fleet.with(|fleet| fleet.set_fence(fence));
    let client = lease::gated(&config, &permit)?;
    let ctx = Arc::new(context(&args, client, Shared { identity, time_zone, permit, pool, fleet, metrics }));
    namespace::expect(&ctx, &mut tasks);
    watches::start(&ctx, &mut tasks);
    watch_readiness(&ctx, &state, &mut tasks);
    controllers(&ctx, queues, events, &mut tasks);
    let ended = tokio::select! {
        () = &mut stop => Ok(()),
        lost = standing.wait_for(|standing| *standing == Standing::Lost) => {
            drop(lost);
            Err(anyhow::anyhow!("the lease is lost"))
        }
        task = tasks.join_next() => Err(anyhow::anyhow!("a part of the operator ended: {task:?}")),
    };
    shut_down(&ctx, &args, ended.is_ok()).await;
    // Whoever gives the lease back has nothing more to write.
    tasks.shutdown().await;
    // Dropping the receiver releases the lease; the next operator need not wait for its end.
    drop(standing);
    let _ = tokio::time::timeout(Duration::from_secs(5), lease).await;
    ended
}

/// What is there before this operator leads.
struct Shared {
    identity: String,
    time_zone: TimeZone,
    permit: Arc<Permit>,
    pool: Pool,
    fleet: Arc<SharedFleet>,
    metrics: Arc<Metrics>,
}

/// Waits until this operator leads, and says meanwhile who does.
async fn stand_by(standing: &mut watch::Receiver<Standing>, state: &Mutex<Readiness>) -> anyhow::Result<Timestamp> {
    loop {
        let now = standing.borrow_and_update().clone();
        *state.lock() = match now {
            Standing::Leads { fence } => return Ok(fence),
            Standing::StandsBy { leader } => {
                tracing::info!(leader, "standing by");
                Readiness::StandsBy { leader }
            }
            Standing::Unknown | Standing::Lost => Readiness::Waiting(vec!["the lease".to_owned()]),
        };
        standing.changed().await.context("the lease cannot be watched")?;
    }
}

fn pool_config(args: &RunArgs, fleet: &Arc<SharedFleet>) -> anyhow::Result<PoolConfig> {
    // What a worker needs to find the cluster, and nothing else: no HELM_* variable, no home folder.
    const PASSED: [&str; 5] =
        ["KUBECONFIG", "KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT", "SSL_CERT_FILE", "SSL_CERT_DIR"];
    let environment =
        PASSED.into_iter().filter_map(|name| Some((name.to_owned(), std::env::var(name).ok()?))).collect();
    anyhow::ensure!(args.helm_worker.is_file(), "--helm-worker \"{}\" is not there", args.helm_worker.display());
    Ok(PoolConfig {
        worker: WorkerConfig {
            program: args.helm_worker.clone(),
            namespace: args.namespace.clone(),
            memory_limit: args.worker_memory,
            environment,
        },
        size: usize::from(args.workers),
        idle: WORKER_IDLE,
        observe: watches::seen::observe(fleet),
    })
}

fn fleet_settings(args: &RunArgs, time_zone: &TimeZone) -> FleetSettings {
    FleetSettings {
        namespace: args.namespace.clone(),
        allowed_git_hosts: args.allowed_git_hosts.clone(),
        allowed_domains: args.allowed_domains.clone(),
        node_address: args.node_address.clone(),
        max_stops: args.max_stops,
        max_automatic_stops: usize::try_from(args.max_automatic_stops).unwrap_or(usize::MAX),
        // Set by whoever leads.
        fence: Timestamp::MAX,
        time_zone: time_zone.clone(),
    }
}

fn context(args: &RunArgs, client: Client, shared: Shared) -> Context {
    let Shared { identity, time_zone, permit, pool, fleet, metrics } = shared;
    let reporter = Reporter { controller: "odoofleet".to_owned(), instance: Some(identity.clone()) };
    Context {
        recorder: Recorder::new(client.clone(), reporter),
        permit,
        charts: ChartStore::new(args.cache_dir.clone()),
        settings: Settings {
            namespace: args.namespace.clone(),
            identity,
            charts_dir: args.charts_dir.clone(),
            time_zone,
            allowed_kinds: args.allowed_kinds.clone(),
        },
        awaited: Awaited::default(),
        operations: Operations::default(),
        freezing: Freezing::default(),
        throttle: Throttle::default(),
        customer_counts: Settling::default(),
        template_counts: Settling::default(),
        metrics,
        fleet,
        client,
        pool,
    }
}

async fn serve(
    args: &RunArgs,
    metrics: &Arc<Metrics>,
    state: &Arc<Mutex<Readiness>>,
    tasks: &mut JoinSet<()>,
) -> anyhow::Result<()> {
    let listener = tokio::net::TcpListener::bind(args.listen)
        .await
        .with_context(|| format!("--listen {} cannot be opened", args.listen))?;
    let health = Health {
        metrics: Arc::clone(metrics),
        readiness: Arc::clone(state),
        token_file: args.metrics_token_file.clone().map(Arc::from),
    };
    tasks.spawn(async move {
        if let Err(error) = axum::serve(listener, router(health)).await {
            tracing::error!(%error, "the metrics server ended");
        }
    });
    Ok(())
}

/// `/ready` names what is waited for.
fn watch_readiness(ctx: &Arc<Context>, state: &Arc<Mutex<Readiness>>, tasks: &mut JoinSet<()>) {
    let (ctx, state) = (Arc::clone(ctx), Arc::clone(state));
    let names = |ctx: &Context| Readiness::Waiting(ctx.awaited.names());
    *state.lock() = names(&ctx);
    tasks.spawn(async move {
        let mut tick = tokio::time::interval(Duration::from_millis(200));
        while !ctx.awaited.names().is_empty() {
            tick.tick().await;
            *state.lock() = names(&ctx);
        }
        *state.lock() = Readiness::Ready;
        tracing::info!("ready");
        std::future::pending::<()>().await;
    });
}

fn controllers(ctx: &Arc<Context>, queues: Queues, events: UnboundedReceiver<Event>, tasks: &mut JoinSet<()>) {
    tasks.spawn(environment::follow(Arc::clone(ctx), events));
    tasks.spawn(retire_idle_workers(Arc::clone(ctx)));
    let Queues { environments, customers, templates, charts } = queues;
    // No decision before every watch has brought everything: what is not known yet must not look like what is not there.
    let (shared, metrics) = (Arc::clone(ctx), Arc::clone(&ctx.metrics));
    tasks.spawn(async move {
        shared.awaited.all().await;
        let how = Drive { name: "environment", concurrency: CONCURRENCY, rest: Duration::ZERO };
        drive(how, metrics, environments, move |name| environment::look(name, Arc::clone(&shared))).await;
    });
    let (shared, metrics) = (Arc::clone(ctx), Arc::clone(&ctx.metrics));
    tasks.spawn(async move {
        shared.awaited.all().await;
        let how = Drive { name: "customer", concurrency: ROLL_UP_CONCURRENCY, rest: ROLL_UP_REST };
        drive(how, metrics, customers, move |name| customer::look(name, Arc::clone(&shared))).await;
    });
    let (shared, metrics) = (Arc::clone(ctx), Arc::clone(&ctx.metrics));
    tasks.spawn(async move {
        shared.awaited.all().await;
        let how = Drive { name: "template", concurrency: ROLL_UP_CONCURRENCY, rest: ROLL_UP_REST };
        drive(how, metrics, templates, move |name| template::look(name, Arc::clone(&shared))).await;
    });
    let shared = Arc::clone(ctx);
    tasks.spawn(async move {
        shared.awaited.all().await;
        // Once for what went while nobody looked.
        loop {
            if let Err(error) = shared.freezing.remove_unused(&shared).await {
                tracing::warn!(error = chain(&error), "archives of charts that no version names cannot be removed");
            }
            charts.notified().await;
        }
    });
}

/// Ends workers that had no work for a while.
async fn retire_idle_workers(ctx: Arc<Context>) {
    let mut tick = tokio::time::interval(WORKER_IDLE / 4);
    loop {
        tick.tick().await;
        ctx.pool.retire_idle();
    }
}

/// Lets running Helm operations finish while the lease is held; without it they end by their permits.
async fn shut_down(ctx: &Context, args: &RunArgs, leading: bool) {
    if !leading {
        ctx.pool.permit(None);
        return;
    }
    tracing::info!("stopping");
    if tokio::time::timeout(args.shutdown(), ctx.pool.drain()).await.is_err() {
        tracing::warn!("Helm operations did not finish in time; the next operator recovers them");
    }
}

fn stop_signal() -> anyhow::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}
