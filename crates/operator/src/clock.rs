//! Whether the operator's clock can be trusted.

use jiff::Timestamp;
use jiff::fmt::rfc2822;
use kube::Client;

/// Difference from which on nothing is done because of a date.
const MAX_SKEW_SECONDS: i64 = 60;

/// Whether the operator's clock and the API server's differ by more than a minute. What cannot be asked counts as a
/// difference: a stop can wait.
pub async fn is_skewed(client: &Client) -> bool {
    let Some(server) = server_time(client).await else { return true };
    (Timestamp::now().as_second() - server.as_second()).abs() > MAX_SKEW_SECONDS
}

async fn server_time(client: &Client) -> Option<Timestamp> {
    let request = http::Request::get("/version").body(kube::client::Body::empty()).ok()?;
    let response = client.send(request).await.ok()?;
    let date = response.headers().get(http::header::DATE)?.to_str().ok()?;
    rfc2822::parse(date).ok().map(|zoned| zoned.timestamp())
}
