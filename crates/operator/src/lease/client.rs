//! The operator's client: nothing hangs for ever, and nothing is written without a permit.

use std::sync::Arc;
use std::time::Duration;

use http::{Method, Request, Response, Uri};
use kube::client::Body;
use kube::{Client, Config};
use tower::BoxError;

use super::Permit;
use super::permit::NoAnswer;

/// A connection must stand within.
const CONNECT: Duration = Duration::from_secs(10);
/// A request must be answered, to the last byte, within. Watches have no last byte.
const REQUEST: Duration = Duration::from_secs(30);
/// A connection on which nothing was read for so long is dead. The API server ends a watch after 290 seconds, as its clients ask.
const SILENCE: Duration = Duration::from_secs(310);

/// A client for the Lease alone.
pub fn ungated(config: &Config) -> kube::Result<Client> {
    let mut config = config.clone();
    config.connect_timeout = Some(CONNECT);
    config.read_timeout = Some(SILENCE);
    Client::try_from(config)
}

/// A client whose writes need the permit, and end with it.
pub fn gated(config: &Config, permit: &Arc<Permit>) -> kube::Result<Client> {
    let namespace = config.default_namespace.clone();
    let (client, permit) = (ungated(config)?, Arc::clone(permit));
    let service = tower::service_fn(move |request: Request<Body>| {
        let (client, permit) = (client.clone(), Arc::clone(&permit));
        async move {
            let reads = matches!(*request.method(), Method::GET | Method::HEAD);
            let answer = answer(&client, request);
            if reads { answer.await } else { permit.guard(answer).await? }
        }
    });
    Ok(Client::new(service, namespace))
}

async fn answer(client: &Client, request: Request<Body>) -> Result<Response<Body>, BoxError> {
    let watches = is_watch(request.uri());
    let whole = async {
        let response = client.send(request).await?;
        if watches {
            return Ok(response);
        }
        let (head, body) = response.into_parts();
        Ok(Response::from_parts(head, Body::from(body.collect_bytes().await?)))
    };
    tokio::time::timeout(REQUEST, whole).await.map_err(|_| NoAnswer(REQUEST))?
}

fn is_watch(uri: &Uri) -> bool {
    uri.query().is_some_and(|query| query.split('&').any(|pair| pair == "watch=true" || pair == "watch=1"))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use axum::Router;
    use k8s_openapi::api::core::v1::ConfigMap;
    use kube::Api;
    use kube::api::{ListParams, PostParams};
    use odoofleet_helm::{Pool, PoolConfig, WorkerConfig};
    use serde_json::json;
    use tokio::net::TcpListener;

    use super::*;
    use crate::lease::permit::Try;
    use odoofleet_core::error::chain;

    fn permit(config: &Config) -> Arc<Permit> {
        let worker = WorkerConfig {
            program: "/nonexistent".into(),
            namespace: "odoo".into(),
            memory_limit: 0,
            environment: vec![],
        };
        let nothing = PoolConfig { worker, size: 1, idle: Duration::ZERO, observe: Arc::new(|_| None) };
        let client = ungated(config).unwrap();
        Arc::new(Permit::new(client, "system", "lease", "me", Pool::new(nothing).0))
    }

    async fn listen() -> (TcpListener, Config) {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        (listener, Config::new(url.parse().unwrap()))
    }

    fn configmaps(client: Client) -> Api<ConfigMap> {
        Api::namespaced(client, "odoo")
    }

    #[tokio::test]
    async fn nothing_is_written_without_the_permit_and_everything_is_read() {
        let (listener, config) = listen().await;
        let writes = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&writes);
        let router = Router::new().fallback(move |request: axum::extract::Request| {
            let writes = Arc::clone(&counted);
            async move {
                if request.uri().path().ends_with("/leases/lease") {
                    let absent = json!({ "kind": "Status", "status": "Failure", "reason": "NotFound", "code": 404 });
                    return (http::StatusCode::NOT_FOUND, absent.to_string());
                }
                if request.method() == Method::GET {
                    return (http::StatusCode::OK, json!({ "metadata": {}, "items": [] }).to_string());
                }
                writes.fetch_add(1, Ordering::SeqCst);
                (http::StatusCode::OK, json!({ "metadata": { "name": "a" } }).to_string())
            }
        });
        tokio::spawn(async move { axum::serve(listener, router).await });
        let permit = permit(&config);
        let api = configmaps(gated(&config, &permit).unwrap());
        assert!(api.list(&ListParams::default()).await.unwrap().items.is_empty());
        let error = api.create(&PostParams::default(), &ConfigMap::default()).await.unwrap_err();
        assert!(chain(&error).contains("the permit to write is over"), "{error:?}");
        assert_eq!(writes.load(Ordering::SeqCst), 0);

        assert!(matches!(permit.try_to_lead(&mut None).await, Ok(Try::Leads(_))));
        assert_eq!(writes.load(Ordering::SeqCst), 1);
        api.create(&PostParams::default(), &ConfigMap::default()).await.unwrap();
        assert_eq!(writes.load(Ordering::SeqCst), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn an_api_server_that_takes_requests_and_answers_none_hangs_nobody() {
        let (listener, config) = listen().await;
        tokio::spawn(async move {
            let mut taken = Vec::new();
            while let Ok(connection) = listener.accept().await {
                taken.push(connection);
            }
        });
        let permit = permit(&config);
        let began = tokio::time::Instant::now();
        assert!(permit.try_to_lead(&mut None).await.is_err());
        assert!(began.elapsed() < Duration::from_secs(5), "the lease would be lost meanwhile");
        let error = configmaps(gated(&config, &permit).unwrap()).get("a").await.unwrap_err();
        assert!(chain(&error).contains("did not answer within 30 seconds"), "{error:?}");
    }

    #[test]
    fn watches_are_told_by_their_query() {
        let watches = |path: &str| is_watch(&path.parse().unwrap());
        assert!(watches("/api/v1/pods?&watch=true&timeoutSeconds=290"));
        assert!(!watches("/api/v1/pods?labelSelector=watch%3Dtrue"));
        assert!(!watches("/api/v1/namespaces/watch=true"));
    }
}
