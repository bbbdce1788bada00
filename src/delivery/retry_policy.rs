//! The retry policy: which statuses count as delivered, how many attempts there are, and the interval between them.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

/// The default is 3scale's policy: status 200 means delivered; otherwise five retries, 60 seconds apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    pub retries: u32,
    /// From the end of one attempt to the start of the next.
    pub interval: Duration,
    pub success: StatusRanges,
}

impl Default for RetryPolicy {
    fn default() -> RetryPolicy {
        RetryPolicy {
            retries: 5,
            interval: Duration::from_secs(60),
            success: StatusRanges(vec![200..=200]),
        }
    }
}

impl RetryPolicy {
    /// The maximum number of attempts, including the first.
    pub fn attempts(&self) -> u32 {
        self.retries.saturating_add(1)
    }

    /// For example: `delivered if the endpoint responds with 200; otherwise 5 retries, 60s apart, 6 attempts in total`
    pub fn describe(&self) -> String {
        let interval = crate::time::compact(self.interval);
        let retries = match self.retries {
            0 => "one attempt, no retries".to_owned(),
            1 => format!("1 retry after {interval}, 2 attempts in total"),
            n => format!(
                "{n} retries, {interval} apart, {} attempts in total",
                self.attempts()
            ),
        };
        format!(
            "delivered if the endpoint responds with {}; otherwise {retries}",
            self.success
        )
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
