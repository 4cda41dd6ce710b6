//! The controllers: one for each kind, all driven alike.

pub mod customer;
pub mod environment;
mod objects;
pub mod template;

use std::fmt::Debug;
use std::future::Future;
use std::hash::Hash;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::{FutureExt, StreamExt};
use kube::Resource;
use kube::runtime::controller::{Action, Config, applier};
use kube::runtime::reflector::{ObjectRef, Store};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio_stream::wrappers::UnboundedReceiverStream;

use crate::context::Context;
use crate::error::chain;

/// How a controller works through its queue.
pub struct Drive {
    /// Name of the controller, in logs and metrics.
    pub name: &'static str,
    /// Reconciles at once; 0 is no bound.
    pub concurrency: u16,
    /// The same object is not looked at again within this time: whatever asks meanwhile is answered by one look.
    pub rest: Duration,
}

/// Drives a controller: takes references from its queue, at most one reconcile of an object at a time, and reports each
/// result once. Every error that reaches it is transient: what a person must mend is a condition, not an error.
pub async fn drive<K, Fut, E>(
    Drive { name, concurrency, rest }: Drive,
    ctx: Arc<Context>,
    store: Store<K>,
    queue: UnboundedReceiver<ObjectRef<K>>,
    reconcile: impl Fn(Arc<K>, Arc<Context>) -> Fut,
) where
    K: Resource<DynamicType = ()> + Clone + Debug + Send + Sync + 'static,
    K::DynamicType: Eq + Hash + Unpin,
    Fut: Future<Output = Result<Action, E>> + Send + 'static,
    E: std::error::Error + Send + 'static,
{
    let timed = |object: Arc<K>, ctx: Arc<Context>| {
        let (begun, metrics) = (Instant::now(), Arc::clone(&ctx.metrics));
        let work = reconcile(object, ctx);
        async move {
            let result = work.await;
            metrics.reconciled(name, if result.is_ok() { "success" } else { "error" }, begun.elapsed());
            tokio::time::sleep(rest).await;
            result
        }
        .boxed()
    };
    let pause = |object: Arc<K>, error: &E, ctx: Arc<Context>| {
        let name_of = object.meta().name.clone().unwrap_or_default();
        let pause = ctx.backoff.next(&format!("{name}/{name_of}"));
        tracing::warn!(
            controller = name,
            object = name_of,
            error = chain(error),
            ?pause,
            "reconcile failed; it is tried again"
        );
        Action::requeue(pause)
    };
    let queue = UnboundedReceiverStream::new(queue).map(Ok::<_, std::convert::Infallible>);
    let results = applier(timed, pause, Arc::clone(&ctx), store, queue, Config::default().concurrency(concurrency));
    results
        .for_each(|result| {
            if let Ok((object, _)) = &result {
                ctx.backoff.reset(&format!("{name}/{}", object.name));
            }
            std::future::ready(())
        })
        .await;
}
