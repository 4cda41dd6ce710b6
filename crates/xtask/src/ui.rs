//! What a person sees: a spinner where there is a terminal, plain lines where there is none.

use std::time::{Duration, Instant};

use console::{Term, style};
use indicatif::{ProgressBar, ProgressStyle};

/// Something that takes a while.
pub struct Task {
    title: String,
    since: Instant,
    bar: Option<ProgressBar>,
}

impl Task {
    /// Announces it.
    pub fn start(title: impl Into<String>) -> Self {
        let title = title.into();
        let bar = live().then(|| {
            let bar = ProgressBar::new_spinner().with_message(title.clone());
            bar.set_style(spinner("{spinner} {msg} {elapsed:.dim}"));
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        });
        if bar.is_none() {
            println!("… {title}");
        }
        Self { title, since: Instant::now(), bar }
    }

    /// Says what it is at; only a terminal shows that.
    pub fn note(&self, detail: &str) {
        if let Some(bar) = &self.bar {
            bar.set_message(format!("{} · {detail}", self.title));
        }
    }

    /// Says something that stays to be read while it goes on.
    pub fn say(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.println(line),
            None => println!("{line}"),
        }
    }

    /// It is done. `outcome` replaces the title.
    pub fn done(mut self, outcome: impl AsRef<str>) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
        println!("{} {} {}", style("✓").green(), outcome.as_ref(), style(elapsed(self.since.elapsed())).dim());
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}

/// A failure that the command has already told in full.
#[derive(Debug)]
pub struct Reported;

impl std::fmt::Display for Reported {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("failed")
    }
}

impl std::error::Error for Reported {}

/// Whether a person looks on.
pub fn live() -> bool {
    Term::stderr().is_term() && Term::stdout().is_term()
}

/// The style of a spinner; a template that does not parse gives the plain one.
pub fn spinner(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_spinner())
}

/// The heading of a step.
pub fn heading(text: &str) {
    println!("\n{}", style(format!("== {text}")).bold());
}

/// A duration as people say it.
pub fn elapsed(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..10 => format!("{:.1} s", duration.as_secs_f64()),
        10..60 => format!("{seconds} s"),
        _ => format!("{} min {:02} s", seconds / 60, seconds % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_well() {
        assert_eq!(elapsed(Duration::from_millis(1_240)), "1.2 s");
        assert_eq!(elapsed(Duration::from_secs(59)), "59 s");
        assert_eq!(elapsed(Duration::from_secs(288)), "4 min 48 s");
    }
}
