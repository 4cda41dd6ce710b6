//! The log.

use tracing::Metadata;
use tracing_subscriber::filter::{FilterExt as _, filter_fn};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Registry, fmt};

use crate::args::LogFormat;

/// Who tells what the API server answered, word for word, when it cannot be read: lists of Secrets among it.
const TELLTALES: [&str; 2] = ["kube_client::client", "kube_runtime::watcher"];

/// Sets up the log on standard error. `RUST_LOG` chooses what is told; without it, what operators need. Whatever it says, no
/// answer of the API server is told.
pub fn init(format: LogFormat) {
    let filter =
        EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info,kube_client=warn,kube_runtime=warn"));
    subscriber(format, filter, std::io::stderr).init();
}

fn subscriber<W>(format: LogFormat, filter: EnvFilter, writer: W) -> impl SubscriberInitExt
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let lines = fmt::layer().with_writer(writer);
    let lines = match format {
        LogFormat::Json => lines.json().flatten_event(true).with_current_span(true).with_span_list(false).boxed(),
        LogFormat::Text => lines.boxed(),
    };
    // Apart from the directives: a more specific one in `RUST_LOG` would win over any that is added here.
    Registry::default().with(lines.with_filter(filter.and(filter_fn(is_discreet))))
}

fn is_discreet(metadata: &Metadata<'_>) -> bool {
    metadata.is_span() || !TELLTALES.contains(&metadata.target())
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex as StdMutex};

    use axum::Router;
    use futures::StreamExt as _;
    use k8s_openapi::api::core::v1::Secret;
    use kube::api::{DeleteParams, ListParams, WatchParams};
    use kube::{Api, Client, Config};
    use parking_lot::Mutex;

    use super::*;
    use odoofleet_core::error::chain;

    const CANARY: &str = "s3cret-canary";

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    /// What is told, errors included, while the API server's answers cannot be read.
    async fn told(subscriber: impl FnOnce(Lines) -> tracing::subscriber::DefaultGuard) -> String {
        let lines = Lines::default();
        let guard = subscriber(lines.clone());
        let _ = rustls::crypto::ring::default_provider().install_default();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        // The value stands in the body, and is what the parser stumbles over.
        let body = format!(r#"{{"metadata":{{"annotations":"{CANARY}"}},"items":"{CANARY}"}}"#);
        tokio::spawn(async move { axum::serve(listener, Router::new().fallback(|| async { body })).await });
        let api: Api<Secret> = Api::namespaced(Client::try_from(Config::new(url.parse().unwrap())).unwrap(), "odoo");
        let unread = [
            api.get("a").await.map(drop).unwrap_err(),
            api.list(&ListParams::default()).await.map(drop).unwrap_err(),
            api.delete("a", &DeleteParams::default()).await.map(drop).unwrap_err(),
        ];
        for error in &unread {
            tracing::warn!(error = chain(error), "unread");
        }
        let watch = kube::runtime::watcher(api.clone(), kube::runtime::watcher::Config::default());
        let mut errors = Box::pin(watch.filter_map(async |event| event.err()));
        tracing::warn!(error = chain(&errors.next().await.unwrap()), "unread");
        let events = api.watch(&WatchParams::default(), "0").await.unwrap();
        let error = Box::pin(events).next().await.unwrap().unwrap_err();
        tracing::warn!(error = chain(&error), "unread");
        drop(guard);
        let told = lines.0.lock().clone();
        String::from_utf8(told).unwrap()
    }

    #[tokio::test]
    async fn no_answer_is_told_whatever_is_asked_for() {
        let plain = |writer: Lines| {
            let filter = EnvFilter::new("trace");
            fmt().with_env_filter(filter).with_writer(StdMutex::new(writer)).finish().set_default()
        };
        assert!(told(plain).await.contains(CANARY), "the client tells none: what this test is for has gone");
        for format in [LogFormat::Json, LogFormat::Text] {
            for directives in ["trace", "debug", "warn,kube_client::client=trace,kube_runtime::watcher=trace"] {
                let ours =
                    |writer: Lines| subscriber(format, EnvFilter::new(directives), StdMutex::new(writer)).set_default();
                let told = told(ours).await;
                assert!(!told.contains(CANARY), "{directives}: {told}");
                assert_eq!(told.matches("unread").count(), 5, "the operator's own lines are there: {told}");
            }
        }
    }
}
