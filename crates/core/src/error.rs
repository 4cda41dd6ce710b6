//! Errors for people.

/// An error with its causes: "error sending request" alone helps nobody. A cause that its parent repeats is told once. What a
/// parser stumbled over is left out: it may be a value of a Secret.
pub fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut discreet = discreet_text(error);
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        discreet = discreet.or_else(|| discreet_text(cause));
        source = cause.source();
    }
    discreet.map_or_else(|| text.clone(), |(open, closed)| text.replace(&open, &closed))
}

/// The text of a JSON parser's error, and one without the value.
fn discreet_text(error: &(dyn std::error::Error + 'static)) -> Option<(String, String)> {
    let error = error.downcast_ref::<serde_json::Error>()?;
    let place = format!("something unexpected at line {} column {}", error.line(), error.column());
    Some((error.to_string(), place))
}
