//! `--rate`: at most so many attempts per second, minute or hour.
//!
//! In any time `t` at most `rate * t` requests pass, and a burst of 10 ms' worth: a program cannot wait more precisely.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

const BURST_TIME: Duration = Duration::from_millis(10);

/// The highest rate, one start per nanosecond: the interval is a whole number of nanoseconds.
const MAX_RATE: u32 = 1_000_000_000;

/// Attempts per unit of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    attempts: u32,
    unit: Unit,
}

/// Its letter, and its length in seconds.
type Unit = (&'static str, u64);

const UNITS: [Unit; 3] = [("s", 1), ("m", 60), ("h", 3600)];

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "cannot read `{0}` as a rate; write attempts per second, minute or hour: 10/s, 600/m or 100/h"
)]
pub struct RateError(String);

impl Rate {
    /// From one attempt to the next, rounded up.
    fn interval(self) -> Duration {
        let (_, seconds) = self.unit;
        Duration::from_nanos((seconds * 1_000_000_000).div_ceil(u64::from(self.attempts)))
    }

    /// How many may pass at once.
    pub fn burst(self) -> u32 {
        let burst = BURST_TIME.as_nanos() / self.interval().as_nanos();
        u32::try_from(burst).unwrap_or(u32::MAX).max(1)
    }
}

impl FromStr for Rate {
    type Err = RateError;

    fn from_str(text: &str) -> Result<Rate, RateError> {
        let (number, unit) = text.trim().split_once('/').unwrap_or((text.trim(), "s"));
        let number = number.trim();
        let unit = UNITS.into_iter().find(|(letter, _)| *letter == unit.trim());
        let is_plain = number.bytes().all(|byte| byte.is_ascii_digit());
        match (number.parse(), unit) {
            (Ok(attempts @ 1..=MAX_RATE), Some(unit)) if is_plain => Ok(Rate { attempts, unit }),
            _ => Err(RateError(text.to_owned())),
        }
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.attempts, self.unit.0)
    }
}

/// A token bucket on the engine's monotonic clock.
#[derive(Debug)]
pub struct Bucket {
    interval: Duration,
    /// How much earlier than evenly spaced a request may be.
    slack: Duration,
    /// When the next request would be sent if all were evenly spaced.
    next: Duration,
}

impl Bucket {
    pub fn new(rate: Rate) -> Bucket {
        let interval = rate.interval();
        Bucket {
            interval,
            slack: interval * (rate.burst() - 1),
            next: Duration::ZERO,
        }
    }

    /// Lets one request pass, or returns the time from which one may.
    pub fn take(&mut self, now: Duration) -> Result<(), Duration> {
        let free_at = self.free_at();
        if free_at > now {
            return Err(free_at);
        }
        self.next = self.next.max(now) + self.interval;
        Ok(())
    }

    /// The time from which a request may pass.
    pub fn free_at(&self) -> Duration {
        self.next.saturating_sub(self.slack)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn rates_are_parsed_and_printed() {
        for (text, shown) in [
            ("10/s", "10/s"),
            ("10", "10/s"),
            (" 600/m", "600/m"),
            ("1 / h", "1/h"),
            ("1000000000", "1000000000/s"),
        ] {
            assert_eq!(text.parse::<Rate>().unwrap().to_string(), shown);
        }
        for text in [
            "",
            "0",
            "0/s",
            "-1",
            "+1",
            "1.5/s",
            "1/d",
            "1/",
            "/s",
            "10/s/s",
            "1000000001",
            "٣",
        ] {
            assert!(text.parse::<Rate>().is_err(), "{text:?} was accepted");
        }
    }

    #[test]
    fn requests_pass_evenly() {
        let mut bucket = Bucket::new("10/s".parse().unwrap());
        assert_eq!(bucket.take(ms(0)), Ok(()));
        assert_eq!(bucket.take(ms(0)), Err(ms(100)));
        assert_eq!(bucket.take(ms(99)), Err(ms(100)));
        assert_eq!(bucket.take(ms(100)), Ok(()));
        assert_eq!(bucket.take(ms(100)), Err(ms(200)));
        // Unused capacity is not saved up.
        assert_eq!(bucket.take(ms(60_000)), Ok(()));
        assert_eq!(bucket.take(ms(60_000)), Err(ms(60_100)));
    }

    proptest! {
        #[test]
        fn no_time_has_more_than_the_rate_and_a_burst(
            attempts in 1u32..5_000,
            unit in prop::sample::select(vec!["s", "m"]),
            steps in prop::collection::vec((0u64..50, any::<bool>()), 1..300),
        ) {
            let rate: Rate = format!("{attempts}/{unit}").parse().unwrap();
            let per_ms = f64::from(attempts) / if unit == "s" { 1_000.0 } else { 60_000.0 };
            let mut bucket = Bucket::new(rate);
            let (mut now, mut passed) = (Duration::ZERO, Vec::new());
            for (step, waits) in steps {
                match bucket.take(now) {
                    Ok(()) => passed.push(now),
                    Err(free_at) => {
                        prop_assert!(free_at > now);
                        if waits {
                            now = free_at;
                            prop_assert_eq!(bucket.take(now), Ok(()));
                            passed.push(now);
                        }
                    }
                }
                now += ms(step / 10);
            }
            for (i, from) in passed.iter().enumerate() {
                for (j, to) in passed.iter().enumerate().skip(i) {
                    let elapsed = (*to - *from).as_secs_f64() * 1e3;
                    let max = per_ms * elapsed + f64::from(rate.burst());
                    prop_assert!((j - i + 1) as f64 <= max + 1e-6, "{} in {elapsed} ms", j - i + 1);
                }
            }
        }
    }
}
