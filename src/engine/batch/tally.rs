//! How long answers took, of however many, in little memory.

use std::time::Duration;

use hdrhistogram::Histogram;

/// Durations to two digits, from a microsecond to a day.
pub struct Latencies(Histogram<u64>);

const DAY_US: u64 = 86_400 * 1_000_000;

impl Default for Latencies {
    fn default() -> Latencies {
        Latencies(
            Histogram::new_with_bounds(1, DAY_US, 2)
                .expect("the bounds and digits are within the crate's own"),
        )
    }
}

impl Latencies {
    /// One more.
    pub fn add(&mut self, duration: Duration) {
        self.0.saturating_record(
            u64::try_from(duration.as_micros())
                .unwrap_or(DAY_US)
                .clamp(1, DAY_US),
        );
    }

    /// The durations that half of them, 99 of 100, and all did not exceed; none if there is none.
    pub fn percentiles(&self) -> Option<[Duration; 3]> {
        let at = |quantile| Duration::from_micros(self.0.value_at_quantile(quantile));
        (!self.0.is_empty()).then(|| [at(0.5), at(0.99), Duration::from_micros(self.0.max())])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_true_to_two_digits() {
        let mut latencies = Latencies::default();
        assert_eq!(latencies.percentiles(), None);
        for ms in 1..=1000 {
            latencies.add(Duration::from_millis(ms));
        }
        latencies.add(Duration::from_secs(1_000_000));
        let [half, most, all] = latencies.percentiles().unwrap();
        let near = |found: Duration, ms: f64| (found.as_secs_f64() * 1e3 / ms - 1.0).abs() < 0.01;
        assert!(near(half, 501.0) && near(most, 991.0), "{half:?} {most:?}");
        assert!(near(all, 86_400_000.0), "{all:?}");
    }
}
