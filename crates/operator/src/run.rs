//! Wiring: everything starts here, and everything stops together.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use kube::runtime::events::{Recorder, Reporter};
use kube::runtime::reflector;
use kube::{Client, Config};
use odoofleet_helm::{Event, Pool, PoolConfig};
use parking_lot::Mutex;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::JoinSet;

use crate::args::RunArgs;
use crate::backoff::Backoff;
use crate::charts::ChartStore;
use crate::context::{Context, Settings, Stores};
use crate::controllers::{Drive, customer, drive, environment, template};
use crate::index::{Index, Writers, start};
use crate::lease::{Permit, compete};
use crate::memory::Memory;
use crate::metrics::Metrics;
use crate::server::{Health, router};
use crate::triggers::{Queues, Triggers};

/// Reconciles of environments at once. They wait for the API server most of the time.
const CONCURRENCY: u16 = 64;
/// Customers and templates count their environments: a hundred changes a second make two counts, not a hundred.
const ROLL_UP_REST: Duration = Duration::from_millis(500);
/// A worker without work for so long is ended.
const WORKER_IDLE: Duration = Duration::from_mins(1);

/// Runs the operator until it is told to stop or loses its lease.
pub async fn run(args: RunArgs) -> anyhow::Result<()> {
    // Two TLS providers can be linked in; one must be chosen before the first connection.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = client().await?;
    let identity = args.identity.clone().unwrap_or_else(|| format!("operator-{:08x}", rand::random::<u32>()));
    let time_zone = TimeZone::get(&args.time_zone)
        .with_context(|| format!("--time-zone \"{}\" is not an IANA time zone", args.time_zone))?;
    let (pool, events) = Pool::new(pool_config(&args)?);
    let (stores, writers) = stores();
    let index = Arc::new(Index::default());
    let metrics = Arc::new(Metrics::new(pool.clone(), stores.environments.clone(), Arc::clone(&index)));
    let state = Arc::new(Mutex::new(vec!["leadership".to_owned()]));
    let mut tasks = JoinSet::new();
    serve(&args, &metrics, &state, &mut tasks).await?;

    let (mut leading, lease) = compete(client.clone(), &args.system_namespace, &args.lease_name, &identity).await?;
    let stop = stop_signal()?;
    tokio::pin!(stop);
    tracing::info!(identity, "waiting for the lease");
    tokio::select! {
        gained = leading.wait_for(|leading| *leading) => drop(gained.context("the lease cannot be watched")?),
        () = &mut stop => return Ok(()),
    }
    metrics.set_leader(true);
    tracing::info!(identity, "leading");

    let (triggers, queues) = Triggers::new(&args.namespace);
    let ctx = Arc::new(context(&args, client, identity, time_zone, pool, stores, index, metrics, triggers));
    start(&ctx, &mut tasks, writers);
    *state.lock() = Vec::new();
    watch_readiness(&ctx, &state, &mut tasks);
    controllers(&ctx, queues, events, &mut tasks);
    let ended = tokio::select! {
        () = &mut stop => Ok(()),
        lost = leading.wait_for(|leading| !*leading) => { drop(lost); Err(anyhow::anyhow!("the lease is lost")) }
        task = tasks.join_next() => Err(anyhow::anyhow!("a part of the operator ended: {task:?}")),
    };
    shut_down(&ctx, &args, ended.is_ok()).await;
    // Dropping the receiver releases the lease; the next operator need not wait for its end.
    drop(leading);
    let _ = tokio::time::timeout(Duration::from_secs(5), lease).await;
    ended
}

async fn client() -> anyhow::Result<Client> {
    let mut config = Config::infer().await.context("no cluster: neither KUBECONFIG nor a service account was found")?;
    config.read_timeout = None;
    config.connect_timeout = Some(Duration::from_secs(10));
    Ok(Client::try_from(config)?)
}

fn pool_config(args: &RunArgs) -> anyhow::Result<PoolConfig> {
    // What a worker needs to find the cluster, and nothing else: no HELM_* variable, no home folder.
    const PASSED: [&str; 5] =
        ["KUBECONFIG", "KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT", "SSL_CERT_FILE", "SSL_CERT_DIR"];
    let environment =
        PASSED.into_iter().filter_map(|name| Some((name.to_owned(), std::env::var(name).ok()?))).collect();
    anyhow::ensure!(args.helm_worker.is_file(), "--helm-worker \"{}\" is not there", args.helm_worker.display());
    Ok(PoolConfig {
        program: args.helm_worker.clone(),
        namespace: args.namespace.clone(),
        environment,
        size: usize::from(args.workers),
        idle: WORKER_IDLE,
    })
}

fn stores() -> (Stores, Writers) {
    let (environments, environments_writer) = reflector::store();
    let (customers, customers_writer) = reflector::store();
    let (templates, templates_writer) = reflector::store();
    let stores = Stores { environments, customers, templates };
    (stores, Writers { environments: environments_writer, customers: customers_writer, templates: templates_writer })
}

#[allow(clippy::too_many_arguments, reason = "called once, to fill one struct")]
fn context(
    args: &RunArgs,
    client: Client,
    identity: String,
    time_zone: TimeZone,
    pool: Pool,
    stores: Stores,
    index: Arc<Index>,
    metrics: Arc<Metrics>,
    triggers: Triggers,
) -> Context {
    let reporter = Reporter { controller: "odoofleet".to_owned(), instance: Some(identity.clone()) };
    Context {
        recorder: Recorder::new(client.clone(), reporter),
        permit: Permit::new(client.clone(), &args.system_namespace, &args.lease_name, &identity, pool.clone()),
        charts: ChartStore::new(args.cache_dir.clone()),
        settings: Settings {
            namespace: args.namespace.clone(),
            identity,
            charts_dir: args.charts_dir.clone(),
            time_zone,
            max_automatic_stops: args.max_automatic_stops,
            max_stops: args.max_stops,
            allowed_kinds: args.allowed_kinds.clone(),
            allowed_git_hosts: args.allowed_git_hosts.clone(),
            node_address: args.node_address.clone(),
        },
        // Earlier leaders' permits ended with their leases; their last requests may still be on the way.
        fence: Timestamp::now() + Duration::from_secs(5),
        index,
        memory: Memory::default(),
        backoff: Backoff::default(),
        client,
        stores,
        pool,
        metrics,
        triggers,
    }
}

async fn serve(
    args: &RunArgs,
    metrics: &Arc<Metrics>,
    state: &Arc<Mutex<Vec<String>>>,
    tasks: &mut JoinSet<()>,
) -> anyhow::Result<()> {
    let listener = tokio::net::TcpListener::bind(args.listen)
        .await
        .with_context(|| format!("--listen {} cannot be opened", args.listen))?;
    let state = Arc::clone(state);
    let health = Health { metrics: Arc::clone(metrics), missing: Arc::new(move || state.lock().clone()) };
    tasks.spawn(async move {
        if let Err(error) = axum::serve(listener, router(health)).await {
            tracing::error!(%error, "the metrics server ended");
        }
    });
    Ok(())
}

/// `/ready` names the watches that have not brought everything yet.
fn watch_readiness(ctx: &Arc<Context>, state: &Arc<Mutex<Vec<String>>>, tasks: &mut JoinSet<()>) {
    let (ctx, state) = (Arc::clone(ctx), Arc::clone(state));
    let names =
        move |ctx: &Context| ctx.index.awaited.names().into_iter().map(|name| format!("the list of {name}")).collect();
    *state.lock() = names(&ctx);
    tasks.spawn(async move {
        let mut tick = tokio::time::interval(Duration::from_millis(200));
        while !ctx.index.awaited.names().is_empty() {
            tick.tick().await;
            *state.lock() = names(&ctx);
        }
        state.lock().clear();
        tracing::info!("ready");
        std::future::pending::<()>().await;
    });
}

fn controllers(ctx: &Arc<Context>, queues: Queues, events: UnboundedReceiver<Event>, tasks: &mut JoinSet<()>) {
    let shared = Arc::clone(ctx);
    tasks.spawn(async move { shared.permit.keep().await });
    tasks.spawn(environment::operations::follow(Arc::clone(ctx), events));
    // No decision before every watch has brought everything: what is not known yet must not look like what is not there.
    let shared = Arc::clone(ctx);
    tasks.spawn(async move {
        shared.index.awaited.all().await;
        let how = Drive { name: "environment", concurrency: CONCURRENCY, rest: Duration::ZERO };
        let store = shared.stores.environments.clone();
        drive(how, shared, store, queues.environments, environment::reconcile).await;
    });
    let shared = Arc::clone(ctx);
    tasks.spawn(async move {
        shared.index.awaited.all().await;
        let how = Drive { name: "customer", concurrency: 0, rest: ROLL_UP_REST };
        let store = shared.stores.customers.clone();
        drive(how, shared, store, queues.customers, customer::reconcile).await;
    });
    let shared = Arc::clone(ctx);
    tasks.spawn(async move {
        shared.index.awaited.all().await;
        let how = Drive { name: "template", concurrency: 0, rest: ROLL_UP_REST };
        let store = shared.stores.templates.clone();
        drive(how, shared, store, queues.templates, template::reconcile).await;
    });
}

/// Lets running Helm operations finish while the lease is held; without it they end by their permits.
async fn shut_down(ctx: &Context, args: &RunArgs, leading: bool) {
    if !leading {
        ctx.pool.permit(None);
        return;
    }
    tracing::info!("stopping");
    let drained = async {
        tokio::select! {
            () = ctx.pool.drain() => {}
            () = ctx.permit.keep() => {}
        }
    };
    if tokio::time::timeout(args.shutdown(), drained).await.is_err() {
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
