//! /metrics, /live and /ready.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use parking_lot::Mutex;

use crate::metrics::Metrics;

/// What the server tells.
#[derive(Clone)]
pub struct Health {
    /// Figures.
    pub metrics: Arc<Metrics>,
    /// Whether the operator works.
    pub readiness: Arc<Mutex<Readiness>>,
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

async fn metrics(State(health): State<Health>) -> Response {
    const TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    match health.metrics.encode() {
        Ok(text) => ([(header::CONTENT_TYPE, TYPE)], text).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
