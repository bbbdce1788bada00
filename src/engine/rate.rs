//! So many attempts in a time, and no more: a token bucket.
//!
//! Pure arithmetic; the time is handed in. In any span of time `t` it lets through at most `N * t` and what may come at
//! once, which is what falls into the grain in which a program can wait: 10 ms.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::time::UnixMs;

/// The grain: so much may come at once.
const AT_ONCE: Duration = Duration::from_millis(10);

const NANOS_PER_MS: i128 = 1_000_000;

/// The most that can be asked for: one in a nanosecond.
const MOST: u64 = 1_000_000_000;

/// So many attempts in a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    attempts: u64,
    per: Unit,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unit {
    Second,
    Minute,
    Hour,
}

/// Text that is no rate.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "cannot read `{0}` as a rate; write how many in a second, a minute or an hour: 10/s, 600/m or 100/h"
)]
pub struct RateError(String);

impl Rate {
    /// The time from one to the next, rounded up: it is never faster than it says.
    fn interval(self) -> i128 {
        let seconds: u64 = match self.per {
            Unit::Second => 1,
            Unit::Minute => 60,
            Unit::Hour => 3600,
        };
        i128::from((seconds * 1_000_000_000).div_ceil(self.attempts))
    }

    /// How many may come at once.
    pub fn burst(self) -> u64 {
        let grain = AT_ONCE.as_nanos().cast_signed();
        u64::try_from(grain / self.interval()).unwrap_or(1).max(1)
    }
}

impl FromStr for Rate {
    type Err = RateError;

    fn from_str(text: &str) -> Result<Rate, RateError> {
        let unreadable = || RateError(text.to_owned());
        let (number, unit) = text.trim().split_once('/').unwrap_or((text.trim(), "s"));
        let per = match unit.trim() {
            "s" => Unit::Second,
            "m" => Unit::Minute,
            "h" => Unit::Hour,
            _ => return Err(unreadable()),
        };
        let number = number.trim();
        let plain = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
        let attempts = number
            .parse()
            .ok()
            .filter(|number| plain && (1..=MOST).contains(number));
        attempts
            .map(|attempts| Rate { attempts, per })
            .ok_or_else(unreadable)
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = match self.per {
            Unit::Second => "s",
            Unit::Minute => "m",
            Unit::Hour => "h",
        };
        write!(f, "{}/{unit}", self.attempts)
    }
}

/// What is left of a rate.
#[derive(Debug)]
pub struct Bucket {
    interval: i128,
    slack: i128,
    /// When the next one would come if all came evenly, in nanoseconds.
    even: Option<i128>,
}

impl Bucket {
    /// A full one.
    pub fn new(rate: Rate) -> Bucket {
        let interval = rate.interval();
        Bucket {
            interval,
            slack: interval * i128::from(rate.burst() - 1),
            even: None,
        }
    }

    /// Lets one through, or says when to ask again.
    ///
    /// # Errors
    /// The time from which one may pass, if nothing else does until then.
    pub fn take(&mut self, now: UnixMs) -> Result<(), UnixMs> {
        self.free_at(now).map_or(Ok(()), Err)?;
        self.even = Some(self.even(now) + self.interval);
        Ok(())
    }

    /// The time from which one may pass; none if one may now.
    pub fn free_at(&self, now: UnixMs) -> Option<UnixMs> {
        let wait = self.even(now) - self.slack - i128::from(now.0) * NANOS_PER_MS;
        let ms =
            i64::try_from((wait + NANOS_PER_MS - 1).div_euclid(NANOS_PER_MS)).unwrap_or(i64::MAX);
        (ms > 0).then(|| UnixMs(now.0.saturating_add(ms)))
    }

    fn even(&self, now: UnixMs) -> i128 {
        let nanos = i128::from(now.0) * NANOS_PER_MS;
        // Never further ahead than it can have got: a clock that was set back must not stop everything.
        self.even.map_or(nanos, |even| {
            even.clamp(nanos, nanos + self.slack + self.interval)
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const T0: UnixMs = UnixMs(1_795_255_200_000);

    #[test]
    fn rates_are_read_and_written_alike() {
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
            assert!(text.parse::<Rate>().is_err(), "{text:?} was taken");
        }
    }

    #[test]
    fn it_lets_them_through_evenly() {
        let mut bucket = Bucket::new("10/s".parse().unwrap());
        assert_eq!(bucket.take(T0), Ok(()));
        assert_eq!(bucket.take(T0), Err(UnixMs(T0.0 + 100)));
        assert_eq!(bucket.take(UnixMs(T0.0 + 99)), Err(UnixMs(T0.0 + 100)));
        assert_eq!(bucket.take(UnixMs(T0.0 + 100)), Ok(()));
        assert_eq!(bucket.take(UnixMs(T0.0 + 100)), Err(UnixMs(T0.0 + 200)));
        // What was not used is not saved up.
        let later = UnixMs(T0.0 + 60_000);
        assert_eq!(bucket.take(later), Ok(()));
        assert_eq!(bucket.take(later), Err(UnixMs(later.0 + 100)));
    }

    #[test]
    fn a_clock_that_is_set_back_does_not_stop_it() {
        let mut bucket = Bucket::new("1/m".parse().unwrap());
        assert_eq!(bucket.take(T0), Ok(()));
        let back = UnixMs(T0.0 - 3_600_000);
        assert_eq!(bucket.take(back), Err(UnixMs(back.0 + 60_000)));
    }

    proptest! {
        /// Asked again and again at the times that it names, and at others.
        #[test]
        fn in_no_span_of_time_there_are_more_than_the_rate_and_what_may_come_at_once(
            attempts in 1u64..5_000,
            unit in prop::sample::select(vec!["s", "m"]),
            steps in prop::collection::vec((0i64..50, any::<bool>()), 1..300),
        ) {
            let rate: Rate = format!("{attempts}/{unit}").parse().unwrap();
            let per_ms = attempts as f64 / if unit == "s" { 1_000.0 } else { 60_000.0 };
            let mut bucket = Bucket::new(rate);
            let (mut now, mut passed) = (T0, Vec::new());
            for (step, obedient) in steps {
                match bucket.take(now) {
                    Ok(()) => passed.push(now),
                    Err(free) => {
                        prop_assert!(free > now);
                        if obedient {
                            now = free;
                            prop_assert_eq!(bucket.take(now), Ok(()), "it keeps its word");
                            passed.push(now);
                        }
                    }
                }
                now = UnixMs(now.0 + step / 10);
            }
            for (i, from) in passed.iter().enumerate() {
                for (j, to) in passed.iter().enumerate().skip(i) {
                    let most = per_ms * (to.0 - from.0) as f64 + rate.burst() as f64;
                    prop_assert!((j - i + 1) as f64 <= most + 1e-6, "{} in {} ms", j - i + 1, to.0 - from.0);
                }
            }
        }
    }
}
