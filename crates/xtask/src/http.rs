//! Asking servers on this machine for a page.

use std::time::Duration;

use anyhow::Result;

/// What a server answered.
pub struct Answer {
    /// Such as 200.
    pub status: u16,
    /// The text.
    pub body: String,
}

/// Asks once, by a connection of its own, and follows nothing. Fails if there is no connection or no whole answer in time.
pub fn get(url: &str, connected_within: Duration, answered_within: Duration) -> Result<Answer> {
    let agent = ureq::Agent::config_builder()
        .timeout_connect(Some(connected_within))
        .timeout_global(Some(answered_within))
        .max_redirects(0)
        .http_status_as_error(false)
        .proxy(None)
        .build()
        .new_agent();
    let mut answer = agent.get(url).call()?;
    let body = answer.body_mut().read_to_vec()?;
    Ok(Answer { status: answer.status().as_u16(), body: String::from_utf8_lossy(&body).into_owned() })
}
