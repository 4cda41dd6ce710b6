//! The figures of all runs, in the order in which they first came.

use std::time::{Duration, Instant};

use crate::commands::bench::report::Report;
use crate::commands::bench::stats::{mebibytes, median, seconds};

/// The figures of all runs.
#[derive(Default)]
pub struct Samples {
    rows: Vec<Row>,
}

struct Row {
    what: String,
    goal: &'static str,
    values: Values,
}

enum Values {
    Times(Vec<Duration>),
    Bytes(Vec<u64>),
}

impl Samples {
    /// A time.
    pub fn time(&mut self, what: &str, goal: &'static str, time: Duration) {
        match self.values(what, goal, || Values::Times(Vec::new())) {
            Values::Times(times) => times.push(time),
            Values::Bytes(_) => {}
        }
    }

    /// The time between two moments; none if watches told them in the other order.
    pub fn between(&mut self, what: &str, from: Instant, to: Instant) {
        self.time(what, "", to.saturating_duration_since(from));
    }

    /// An amount of memory.
    pub fn memory(&mut self, what: &str, bytes: u64) {
        match self.values(what, "", || Values::Bytes(Vec::new())) {
            Values::Bytes(all) => all.push(bytes),
            Values::Times(_) => {}
        }
    }

    fn values(&mut self, what: &str, goal: &'static str, empty: impl FnOnce() -> Values) -> &mut Values {
        let known = self.rows.iter().position(|row| row.what == what);
        let index = known.unwrap_or_else(|| {
            self.rows.push(Row { what: what.to_owned(), goal, values: empty() });
            self.rows.len() - 1
        });
        &mut self.rows[index].values
    }

    /// Median and most of each.
    pub fn report(&self, title: &str, runs: u8) -> Report {
        let mut report = Report::new([title, &format!("median of {runs}"), "most", "goal"]);
        for row in &self.rows {
            let (middle, most) = match &row.values {
                Values::Times(times) => (seconds(median(times)), times.iter().max().map(|most| seconds(*most))),
                Values::Bytes(all) => (mebibytes(median(all)), all.iter().max().map(|most| mebibytes(*most))),
            };
            report.add(&row.what, middle, most.unwrap_or_default(), row.goal);
        }
        report
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_keep_their_order_and_gather_their_figures() {
        let mut samples = Samples::default();
        for second in [3, 1, 2] {
            samples.time("page", "< 9 s", Duration::from_secs(second));
            samples.memory("memory", second * 1_048_576);
        }
        let table = samples.report("measured", 3).markdown();
        assert_eq!(
            table,
            "| measured | median of 3 | most | goal |\n|---|---|---|---|\n\
             | page | 2.00 s | 3.00 s | < 9 s |\n| memory | 2 MiB | 3 MiB |  |"
        );
    }
}
