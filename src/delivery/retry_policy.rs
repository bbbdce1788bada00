//! The retry policy: which statuses count as delivered, how many attempts there are, and the intervals between them.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use crate::time::{compact, parse_duration};

/// The default is 3scale's policy: status 200 means delivered; otherwise five retries, 60 seconds apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// With a schedule, the number of its intervals.
    pub retries: u32,
    /// From the end of one attempt to the start of the next.
    pub interval: Duration,
    /// Varying intervals, which replace `interval`.
    pub schedule: Option<RetrySchedule>,
    pub success: StatusRanges,
}

impl Default for RetryPolicy {
    fn default() -> RetryPolicy {
        RetryPolicy {
            retries: 5,
            interval: Duration::from_secs(60),
            schedule: None,
            success: StatusRanges(vec![200..=200]),
        }
    }
}

impl RetryPolicy {
    /// The maximum number of attempts, including the first.
    pub fn attempts(&self) -> u32 {
        self.retries.saturating_add(1)
    }

    /// The interval after this many attempts, as the policy says.
    pub fn interval_after(&self, attempts: u32) -> Duration {
        match &self.schedule {
            None => self.interval,
            Some(schedule) => schedule.interval_after(attempts),
        }
    }

    /// How long to wait after this many attempts. With a schedule, at least as long as the endpoint asked for, but at most
    /// twice the interval; and up to 10 % longer, so that deliveries that failed together are not sent together again.
    /// `random` is from 0 to 1.
    pub fn wait_after(
        &self,
        attempts: u32,
        retry_after: Option<Duration>,
        random: f64,
    ) -> Duration {
        let interval = self.interval_after(attempts);
        if self.schedule.is_none() {
            return interval;
        }
        let longest = interval.saturating_mul(2);
        let asked = retry_after.map_or(interval, |asked| asked.clamp(interval, longest));
        let jitter = (asked / JITTER_DIVISOR).mul_f64(random.clamp(0.0, 1.0));
        // Whole seconds are easier to read, and fine enough for long intervals.
        let jitter = match asked < Duration::from_secs(10) {
            true => Duration::from_millis(jitter.subsec_millis().into()),
            false => Duration::from_secs(jitter.as_secs()),
        };
        asked.saturating_add(jitter).min(longest)
    }

    /// For example: `delivered if the endpoint responds with 200; otherwise 5 retries, 60s apart, 6 attempts in total`
    pub fn describe(&self) -> String {
        format!(
            "delivered if the endpoint responds with {}; otherwise {}",
            self.success,
            self.describe_retries()
        )
    }

    /// For example: `5 retries, 60s apart, 6 attempts in total`
    pub fn describe_retries(&self) -> String {
        let interval = compact(self.interval);
        match self.retries {
            _ if let Some(schedule) = &self.schedule => format!(
                "{} after {}, {} attempts in total",
                crate::text::count(schedule.0.len(), "retry", "retries"),
                schedule.describe(),
                self.attempts()
            ),
            0 => "one attempt, no retries".to_owned(),
            1 => format!("1 retry after {interval}, 2 attempts in total"),
            n => format!(
                "{n} retries, {interval} apart, {} attempts in total",
                self.attempts()
            ),
        }
    }
}

/// The jitter is at most this part of a wait.
const JITTER_DIVISOR: u32 = 10;

const MAX_INTERVALS: usize = 100;

/// The interval before each retry: `5s,5m,30m,2h`. Never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetrySchedule(Vec<Duration>);

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("cannot read `{0}` as a retry schedule; write up to 100 durations such as 5s,5m,30m,2h")]
pub struct ParseScheduleError(String);

impl RetrySchedule {
    /// The schedule with these pauses between attempts; `None` if the list is empty.
    pub fn new(intervals: Vec<Duration>) -> Option<RetrySchedule> {
        (!intervals.is_empty()).then_some(RetrySchedule(intervals))
    }

    pub fn intervals(&self) -> &[Duration] {
        &self.0
    }

    /// How many attempts follow the first.
    pub fn retries(&self) -> u32 {
        u32::try_from(self.0.len()).unwrap_or(u32::MAX)
    }

    /// As a list, in which an interval that is repeated at the end is written once: `5s, 30s, then 1h each`.
    fn describe(&self) -> String {
        let repeated = self.0.iter().rev();
        let repeated = repeated
            .take_while(|one| Some(*one) == self.0.last())
            .count();
        let words = |intervals: &[Duration]| {
            let words: Vec<String> = intervals.iter().map(|one| compact(*one)).collect();
            words.join(", ")
        };
        match self.0.len().checked_sub(repeated) {
            Some(first @ 1..) if repeated > 2 => {
                let (first, rest) = self.0.split_at(first);
                format!("{}, then {} each", words(first), words(&rest[..1]))
            }
            _ => words(&self.0),
        }
    }

    /// Beyond its end, the last interval.
    fn interval_after(&self, attempts: u32) -> Duration {
        let index = attempts.saturating_sub(1) as usize;
        let interval = self.0.get(index).or(self.0.last());
        interval.copied().unwrap_or_default()
    }
}

impl FromStr for RetrySchedule {
    type Err = ParseScheduleError;

    fn from_str(text: &str) -> Result<RetrySchedule, ParseScheduleError> {
        let intervals = text.split(',').map(|part| parse_duration(part.trim()).ok());
        let intervals: Option<Vec<Duration>> = intervals.collect();
        intervals
            .filter(|intervals| intervals.len() <= MAX_INTERVALS)
            .and_then(RetrySchedule::new)
            .ok_or_else(|| ParseScheduleError(text.to_owned()))
    }
}

impl fmt::Display for RetrySchedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let intervals: Vec<String> = self.0.iter().map(|interval| compact(*interval)).collect();
        f.write_str(&intervals.join(","))
    }
}

/// HTTP statuses as codes and ranges: `200,202`, `200-207`, `5xx`. Never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatusRanges(Vec<RangeInclusive<u16>>);

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "cannot read `{0}` as HTTP statuses; write codes and ranges such as 200, 200,202, 200-207 or 5xx"
)]
pub struct ParseStatusError(String);

impl StatusRanges {
    pub fn contains(&self, status: u16) -> bool {
        self.0.iter().any(|range| range.contains(&status))
    }

    /// In ascending order, without overlaps or neighbours.
    pub fn ranges(&self) -> &[RangeInclusive<u16>] {
        &self.0
    }
}

impl FromStr for StatusRanges {
    type Err = ParseStatusError;

    fn from_str(text: &str) -> Result<StatusRanges, ParseStatusError> {
        let parts = text
            .split(',')
            .map(|part| parse_range(part.trim()).ok_or_else(|| ParseStatusError(text.to_owned())));
        let mut ranges: Vec<_> = parts.collect::<Result<_, _>>()?;
        ranges.sort_by_key(|range| *range.start());
        // A filter has two SQL parameters per range: merging limits their number.
        let mut merged: Vec<RangeInclusive<u16>> = Vec::new();
        for range in ranges {
            match merged.last_mut() {
                Some(last) if *range.start() <= last.end() + 1 => {
                    *last = *last.start()..=*last.end().max(range.end())
                }
                _ => merged.push(range),
            }
        }
        Ok(StatusRanges(merged))
    }
}

fn parse_range(text: &str) -> Option<RangeInclusive<u16>> {
    let code = |text: &str| -> Option<u16> {
        let plain = text.len() == 3 && text.bytes().all(|b| b.is_ascii_digit());
        let code = text.parse().ok();
        code.filter(|code| plain && (100..=599).contains(code))
    };
    if let Some(class) = text.strip_suffix("xx").or_else(|| text.strip_suffix("XX")) {
        return Some(code(&format!("{class}00"))?..=code(&format!("{class}99"))?);
    }
    let (from, to) = text.split_once('-').unwrap_or((text, text));
    let range = code(from)?..=code(to)?;
    (!range.is_empty()).then_some(range)
}

impl fmt::Display for StatusRanges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, range) in self.0.iter().enumerate() {
            let comma = if i > 0 { "," } else { "" };
            write!(f, "{comma}{}", range.start())?;
            if range.start() != range.end() {
                write!(f, "-{}", range.end())?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn default_is_200_and_six_attempts() {
        let policy = RetryPolicy::default();
        assert!(policy.success.contains(200));
        assert!(!policy.success.contains(202));
        assert_eq!(policy.attempts(), 6);
        assert_eq!(
            policy.describe(),
            "delivered if the endpoint responds with 200; otherwise 5 retries, 60s apart, 6 attempts in total"
        );
    }

    #[test]
    fn schedule_round_trips_and_names_each_interval() {
        let schedule: RetrySchedule = "5s, 500ms,5m,2h".parse().unwrap();
        assert_eq!(schedule.to_string(), "5s,500ms,5m,2h");
        assert_eq!(schedule.to_string().parse(), Ok(schedule.clone()));
        let policy = RetryPolicy {
            retries: schedule.retries(),
            schedule: Some(schedule),
            ..RetryPolicy::default()
        };
        let intervals = [1, 2, 3, 4, 9].map(|attempts| policy.interval_after(attempts));
        assert_eq!(
            intervals.map(|interval| interval.as_millis()),
            [5_000, 500, 300_000, 7_200_000, 7_200_000]
        );
        assert_eq!(
            policy.describe(),
            "delivered if the endpoint responds with 200; otherwise 4 retries after 5s, 500ms, 5m, 2h, 5 attempts in total"
        );
        let long = vec!["1s"; MAX_INTERVALS + 1].join(",");
        for text in ["", "5", "5s,", "-5s", "5s;5m", &long] {
            assert!(text.parse::<RetrySchedule>().is_err(), "{text}");
        }
    }

    #[test]
    fn waits_are_longer_by_jitter_and_on_request() {
        let policy = RetryPolicy {
            schedule: "4s,100s".parse().ok(),
            ..RetryPolicy::default()
        };
        let wait = |attempts, retry_after: Option<u64>, random| {
            let retry_after = retry_after.map(Duration::from_secs);
            policy.wait_after(attempts, retry_after, random).as_millis()
        };
        assert_eq!(wait(1, None, 0.0), 4_000);
        assert_eq!(wait(1, None, 0.5), 4_200);
        assert_eq!(wait(2, None, 0.555), 105_000);
        assert_eq!(
            wait(2, Some(1), 0.0),
            100_000,
            "not earlier than the schedule"
        );
        assert_eq!(wait(2, Some(150), 0.0), 150_000);
        assert_eq!(wait(2, Some(150), 1.0), 165_000);
        assert_eq!(
            wait(2, Some(u64::MAX), 1.0),
            200_000,
            "at most twice the interval"
        );
        let fixed = RetryPolicy::default();
        assert_eq!(
            fixed.wait_after(1, Some(Duration::MAX), 1.0),
            fixed.interval
        );
    }

    #[test]
    fn statuses_round_trip() {
        for (text, shown, yes, no) in [
            ("200", "200", 200, 201),
            ("200,202", "200,202", 202, 201),
            ("200-207, 304", "200-207,304", 207, 208),
            ("5xx", "500-599", 599, 499),
            ("204,200,201,200-202,404", "200-202,204,404", 204, 203),
        ] {
            let ranges: StatusRanges = text.parse().unwrap();
            assert_eq!(ranges.to_string(), shown);
            assert_eq!(shown.parse(), Ok(ranges.clone()));
            assert!(ranges.contains(yes) && !ranges.contains(no), "{text}");
        }
        for text in [
            "", "20", "2000", "600", "207-200", "6xx", "200,,201", "+20", "x", "200-",
        ] {
            assert!(
                text.parse::<StatusRanges>().is_err(),
                "{text:?} was accepted"
            );
        }
    }

    proptest! {
        #[test]
        fn ranges_contain_the_statuses_of_each_part(parts in prop::collection::vec((100..600u16, 0..60u16), 1..8)) {
            let part = |(from, more): &(u16, u16)| (*from, (from + more).min(599));
            let text: Vec<String> = parts.iter().map(part).map(|(from, to)| match to - from {
                0 => from.to_string(),
                99 if from % 100 == 0 => format!("{}xx", from / 100),
                _ => format!("{from}-{to}"),
            }).collect();
            let ranges: StatusRanges = text.join(",").parse().unwrap();
            for status in 0..=700 {
                let meant = parts.iter().map(part).any(|(from, to)| (from..=to).contains(&status));
                prop_assert_eq!(ranges.contains(status), meant, "{} of {:?}", status, text);
            }
            prop_assert_eq!(ranges.to_string().parse(), Ok(ranges));
        }

        #[test]
        fn any_text_is_valid_statuses_or_an_error(text in prop_oneof![any::<String>(), "[0-9x, -]{0,12}"]) {
            if let Ok(ranges) = text.parse::<StatusRanges>() {
                let within = |range: &RangeInclusive<u16>| !range.is_empty() && *range.start() >= 100 && *range.end() <= 599;
                prop_assert!(!ranges.ranges().is_empty() && ranges.ranges().iter().all(within), "{:?}", text);
                prop_assert_eq!(ranges.to_string().parse(), Ok(ranges));
            }
        }
    }
}
