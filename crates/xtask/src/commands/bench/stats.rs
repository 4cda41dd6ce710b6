//! Medians, and how figures are written.

use std::time::Duration;

/// The value in the middle; of an even number of values the mean of the two.
pub fn median<T: Copy + Default + Ord + Mean>(values: &[T]) -> T {
    let mut sorted = values.to_vec();
    sorted.sort();
    let middle = sorted.len() / 2;
    match (sorted.get(middle), sorted.len() % 2) {
        (None, _) => T::default(),
        (Some(value), 1) => *value,
        (Some(value), _) => value.mean(sorted[middle - 1]),
    }
}

/// What has a mean.
pub trait Mean {
    /// The mean of two.
    #[must_use]
    fn mean(self, other: Self) -> Self;
}

impl Mean for Duration {
    fn mean(self, other: Self) -> Self {
        (self + other) / 2
    }
}

impl Mean for u64 {
    fn mean(self, other: Self) -> Self {
        self.midpoint(other)
    }
}

/// Seconds with as many digits as mean something.
pub fn seconds(duration: Duration) -> String {
    let value = duration.as_secs_f64();
    match value {
        ..1.0 => format!("{value:.3} s"),
        1.0..10.0 => format!("{value:.2} s"),
        _ => format!("{value:.1} s"),
    }
}

/// The median and the slowest.
pub fn median_and_most(values: &[Duration]) -> String {
    let most = values.iter().max().copied().unwrap_or_default();
    format!("{} (slowest {})", seconds(median(values)), seconds(most))
}

/// Short times as milliseconds.
pub fn milliseconds(duration: Duration) -> String {
    format!("{:.1} ms", duration.as_secs_f64() * 1000.0)
}

/// Bytes as mebibytes.
#[allow(clippy::cast_precision_loss, reason = "memory of a process is far below the precision of a float")]
pub fn mebibytes(bytes: u64) -> String {
    format!("{:.0} MiB", bytes as f64 / 1_048_576.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        let of = |all: &[u64]| median(&all.iter().copied().map(Duration::from_secs).collect::<Vec<_>>());
        assert_eq!(of(&[9, 1, 5]), Duration::from_secs(5));
        assert_eq!(of(&[4, 1, 9, 2]), Duration::from_secs(3));
        assert_eq!(of(&[]), Duration::ZERO);
    }

    #[test]
    fn digits_follow_the_size() {
        assert_eq!(seconds(Duration::from_millis(1234)), "1.23 s");
        assert_eq!(seconds(Duration::from_millis(87)), "0.087 s");
        assert_eq!(seconds(Duration::from_millis(12_340)), "12.3 s");
        assert_eq!(mebibytes(62_914_560), "60 MiB");
    }
}
