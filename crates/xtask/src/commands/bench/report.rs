//! The table.

use super::lab::Peak;
use super::stats::mebibytes;

/// What was measured.
pub struct Report {
    head: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Report {
    /// An empty one with these columns.
    pub fn new<'a>(head: impl IntoIterator<Item = &'a str>) -> Self {
        Self { head: head.into_iter().map(str::to_owned).collect(), rows: Vec::new() }
    }

    /// Adds a row. Columns between the second and the goal stay empty.
    pub fn add(&mut self, what: impl Into<String>, first: impl Into<String>, second: impl Into<String>, goal: &str) {
        let mut cells = vec![what.into(), first.into(), second.into()];
        cells.resize(self.head.len() - 1, String::new());
        cells.push(goal.to_owned());
        self.row(cells);
    }

    /// Adds a row with a cell for each column.
    pub fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }

    /// Adds the memory.
    pub fn memory(&mut self, environments: usize, peak: Peak) {
        let goal = if environments == 1000 { "< 60 MiB" } else { "< 60 MiB at 1,000" };
        self.add("peak memory of the operator", mebibytes(peak.operator), "", goal);
        self.add("peak memory of the largest Helm worker", mebibytes(peak.worker), "", "");
    }

    /// For a terminal.
    pub fn table(&self) -> String {
        let widths: Vec<usize> = (0..self.head.len())
            .map(|column| self.all().map(|row| row[column].chars().count()).max().unwrap_or_default())
            .collect();
        let line = |row: &Vec<String>| {
            let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
            cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
        };
        self.all().map(line).collect::<Vec<_>>().join("\n")
    }

    /// For a document.
    pub fn markdown(&self) -> String {
        let line = |row: &Vec<String>| format!("| {} |", row.join(" | "));
        let mut lines = vec![line(&self.head), format!("|{}", "---|".repeat(self.head.len()))];
        lines.extend(self.rows.iter().map(line));
        lines.join("\n")
    }

    fn all(&self) -> impl Iterator<Item = &Vec<String>> {
        std::iter::once(&self.head).chain(&self.rows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        let mut report = Report::new(["measured", "OdooFleet", "Helm CLI", "goal"]);
        report.add("installs", "10.0/s", "5.0/s", "≥ 1.3×");
        report.add("one", "1", "", "");
        report
    }

    #[test]
    fn columns_stand_below_each_other() {
        assert_eq!(
            report().table(),
            "measured  OdooFleet  Helm CLI  goal\ninstalls  10.0/s     5.0/s     ≥ 1.3×\none       1"
        );
    }

    #[test]
    fn markdown_has_a_head() {
        let text = report().markdown();
        assert!(text.starts_with("| measured | OdooFleet | Helm CLI | goal |\n|---|---|---|---|\n"), "{text}");
        assert!(text.ends_with("| one | 1 |  |  |"), "{text}");
    }
}
