//! /metrics, /live and /ready.

use std::path::Path;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use odoofleet_core::digest;
use parking_lot::Mutex;

use crate::metrics::Metrics;

/// What the server tells.
#[derive(Clone)]
pub struct Health {
    /// Figures.
    pub metrics: Arc<Metrics>,
    /// Whether the operator works.
    pub readiness: Arc<Mutex<Readiness>>,
    /// File with the token that figures ask for; none: they ask for none.
    pub token_file: Option<Arc<Path>>,
}

/// Whether the operator works.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Readiness {
    /// Not before this is there.
    Waiting(Vec<String>),
    /// It would, if the one that leads did not. Nothing is missing: a Deployment that replaces its pods may go on.
    StandsBy {
        /// Identity of the leader.
        leader: String,
    },
    /// It does.
    Ready,
}

/// The routes.
pub fn router(health: Health) -> Router {
    Router::new()
        .route("/live", get(|| async { "alive\n" }))
        .route("/ready", get(ready))
        .route("/metrics", get(metrics))
        .with_state(health)
}

async fn ready(State(health): State<Health>) -> Response {
    answer(&health.readiness.lock())
}

fn answer(readiness: &Readiness) -> Response {
    match readiness {
        Readiness::Ready => "ready\n".into_response(),
        Readiness::StandsBy { leader } => format!("standing by: {leader} leads\n").into_response(),
        Readiness::Waiting(missing) => {
            (StatusCode::SERVICE_UNAVAILABLE, format!("waiting for: {}\n", missing.join(", "))).into_response()
        }
    }
}

async fn metrics(State(health): State<Health>, headers: HeaderMap) -> Response {
    const TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    if let Some(file) = &health.token_file {
        // Read each time: a token that is replaced holds from then on.
        let wanted = tokio::fs::read_to_string(file).await.unwrap_or_default();
        if !is_allowed(wanted.trim(), &headers) {
            return (StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, "Bearer")]).into_response();
        }
    }
    match health.metrics.encode() {
        Ok(text) => ([(header::CONTENT_TYPE, TYPE)], text).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// Whether somebody brings the token. Without one, because its file is not there or empty, nobody does.
fn is_allowed(wanted: &str, headers: &HeaderMap) -> bool {
    let brought = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
    // Digests: how long it takes to compare them says nothing of the token.
    let same = |brought: &str| digest::base32(brought.as_bytes()) == digest::base32(wanted.as_bytes());
    !wanted.is_empty() && brought.is_some_and(same)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_told_to_who_brings_the_token() {
        let headers = |value: &str| HeaderMap::from_iter([(header::AUTHORIZATION, value.parse().unwrap())]);
        assert!(is_allowed("t0ken", &headers("Bearer t0ken")));
        for wrong in ["Bearer t0ke", "Bearer ", "Basic t0ken", "t0ken"] {
            assert!(!is_allowed("t0ken", &headers(wrong)), "{wrong}");
        }
        assert!(!is_allowed("t0ken", &HeaderMap::new()));
        assert!(!is_allowed("", &headers("Bearer ")), "a token that is not there opens nothing");
    }

    #[tokio::test]
    async fn who_stands_by_is_ready_and_says_so() {
        for (readiness, status, text) in [
            (Readiness::Ready, 200, "ready\n"),
            (Readiness::StandsBy { leader: "operator-x".into() }, 200, "standing by: operator-x leads\n"),
            (Readiness::Waiting(vec!["a".into(), "b".into()]), 503, "waiting for: a, b\n"),
        ] {
            let response = answer(&readiness);
            assert_eq!(response.status(), status);
            let body = axum::body::to_bytes(response.into_body(), 1000).await.unwrap();
            assert_eq!(String::from_utf8_lossy(&body), text);
        }
    }
}
