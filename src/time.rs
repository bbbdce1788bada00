//! Times and durations: parsing what users write, and formatting.
//!
//! Only this file uses a calendar; the rest of the program uses [`UnixMs`]. Time is injected through [`Clock`], so that tests
//! do not sleep.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jiff::fmt::friendly::{Spacing, SpanPrinter};
use jiff::{Span, SpanRelativeTo, Timestamp, civil, tz::TimeZone};
use rustix::time::{ClockId, clock_gettime};

/// A point in time: milliseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixMs(pub i64);

impl UnixMs {
    /// The system's wall clock. Most callers use an injected [`Clock`] instead.
    pub fn from_system() -> UnixMs {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH);
        UnixMs(duration_ms(since_epoch.unwrap_or_default()))
    }

    /// The time plus a duration; the latest representable time if the sum is later.
    #[must_use]
    pub fn plus(self, duration: Duration) -> UnixMs {
        UnixMs(self.0.saturating_add(duration_ms(duration)))
    }

    /// The time since `earlier`; zero if that is later.
    pub fn since(self, earlier: UnixMs) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

/// `CLOCK_BOOTTIME` runs while the machine is suspended.
#[cfg(target_os = "linux")]
const BOOT_CLOCK: ClockId = ClockId::Boottime;
#[cfg(not(target_os = "linux"))]
const BOOT_CLOCK: ClockId = ClockId::Monotonic;

/// The time since the machine was started, by a clock that cannot be set.
pub fn since_boot() -> Duration {
    let time = clock_gettime(BOOT_CLOCK);
    Duration::try_from(time).unwrap_or_default()
}

/// Whole milliseconds, at most `i64::MAX`.
pub fn duration_ms(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Woken {
    Elapsed,
    Interrupted,
}

pub trait Clock {
    /// Wall-clock time, which may be set while the program runs.
    fn now(&self) -> UnixMs;
    /// Monotonic time since the clock was made, with the time that the machine was suspended: for deadlines and leases.
    fn elapsed(&self) -> Duration;
    fn wait(&self, duration: Duration) -> Woken;
    fn interrupted(&self) -> bool;
}

/// Why a time or duration cannot be parsed.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum TimeError {
    #[error(
        "cannot read `{0}` as a time; write 2026-11-20, 2026-11-20T10:00:00Z, `2026-11-20 10:00:00` (UTC), now, or an age such as 15m, 2h, 7d"
    )]
    Time(String),
    #[error("cannot read `{0}` as a duration; write 500ms, 60s or 1m30s")]
    Duration(String),
    #[error("`{0}` has no unit; write {0}s, {0}m or {0}ms")]
    NoUnit(String),
    #[error("`{0}` is not a timeout; it must be more than zero and at most 365d")]
    Timeout(String),
    #[error("`{0}` is negative; a duration must be zero or more")]
    Negative(String),
}

/// Which end of a range a time is. It decides the meaning of a time without fractions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edge {
    /// `--since`: the first moment included.
    From,
    /// `--before`: the last moment included.
    UpTo,
}

/// Parses RFC 3339, a date, a date and time (UTC unless an offset is given), `now`, or an age (`15m`).
///
/// A clock time written without fractions means that whole second: as [`Edge::UpTo`] it reaches to its last millisecond,
/// as 3scale's own `time` does. A bare date is its midnight in both cases.
pub fn parse_time(input: &str, now: UnixMs, edge: Edge) -> Result<UnixMs, TimeError> {
    let text = input.trim();
    let unreadable = || TimeError::Time(input.to_owned());
    if text.eq_ignore_ascii_case("now") {
        return Ok(now);
    }
    if let (10, Ok(date)) = (text.len(), text.parse::<civil::Date>()) {
        return Ok(from_civil(date.at(0, 0, 0, 0)));
    }
    if let Some(point) = parse_list_time(text) {
        let whole_second = !text.contains('.') && point.0 % 1000 == 0;
        return Ok(match edge {
            Edge::UpTo if whole_second => UnixMs(point.0 + 999),
            _ => point,
        });
    }
    if text.starts_with(|c: char| c.is_ascii_digit()) {
        let age = parse_duration(text).map_err(|_| unreadable())?;
        return Ok(UnixMs(now.0.saturating_sub(duration_ms(age))));
    }
    Err(unreadable())
}

/// Parses a time as 3scale's lists have it: `2026-11-20 10:00:00 UTC`, `… -0500`, or RFC 3339, with or without fractions.
pub fn parse_list_time(text: &str) -> Option<UnixMs> {
    let text = text.trim();
    if !text.contains(':') {
        return None;
    }
    let with_offset = Timestamp::strptime("%Y-%m-%d %H:%M:%S%.f %z", text);
    if let Ok(timestamp) = with_offset.or_else(|_| text.parse()) {
        return Some(UnixMs(timestamp.as_millisecond()));
    }
    let utc = text.strip_suffix(" UTC").unwrap_or(text);
    // jiff ignores what may follow a time, such as the name of a time zone.
    if utc.len() > "2026-11-20T10:00:00".len() && !utc.contains('.') {
        return None;
    }
    utc.parse::<civil::DateTime>().ok().map(from_civil)
}

/// Parses a time as the portal does in requests, with Ruby's `Time.parse`: like [`parse_list_time`], and also
/// `2026-11-20`, `20261120T100000Z`, `20 Nov 2026 10:00:00`, `2026/11/20 10:00:00` and RFC 2822. Without a zone it is UTC.
pub fn parse_portal_time(text: &str) -> Option<UnixMs> {
    const TIMES: [&str; 3] = ["%Y%m%dT%H%M%S", "%d %b %Y %H:%M:%S", "%Y/%m/%d %H:%M:%S"];
    let text = text.trim();
    if let Some(time) = parse_list_time(text).or_else(|| parse_http_date(text)) {
        return Some(time);
    }
    let date = match text.len() {
        8 => civil::Date::strptime("%Y%m%d", text).ok(),
        10 => text.parse().ok(),
        _ => None,
    };
    if let Some(date) = date {
        return Some(from_civil(date.at(0, 0, 0, 0)));
    }
    let clock = text.strip_suffix('Z').unwrap_or(text);
    TIMES
        .iter()
        .find_map(|format| civil::DateTime::strptime(format, clock).ok())
        .map(from_civil)
}

/// Parses the `Date` header of an HTTP response.
pub fn parse_http_date(text: &str) -> Option<UnixMs> {
    let zoned = jiff::fmt::rfc2822::parse(text.trim()).ok()?;
    Some(UnixMs(zoned.timestamp().as_millisecond()))
}

fn from_civil(datetime: civil::DateTime) -> UnixMs {
    match datetime.to_zoned(TimeZone::UTC) {
        Ok(zoned) => UnixMs(zoned.timestamp().as_millisecond()),
        // Only the first and last years of the calendar have no timestamp; the nearest one is used.
        Err(_) if datetime.year() > 0 => UnixMs(Timestamp::MAX.as_millisecond()),
        Err(_) => UnixMs(Timestamp::MIN.as_millisecond()),
    }
}

/// Parses `500ms`, `60s`, `1m30s`, `7d`. A unit is required; signs are refused.
pub fn parse_duration(input: &str) -> Result<Duration, TimeError> {
    let text = input.trim();
    let unreadable = || TimeError::Duration(input.to_owned());
    if text.starts_with('-') || text.ends_with("ago") {
        return Err(TimeError::Negative(input.to_owned()));
    }
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(TimeError::NoUnit(text.to_owned()));
    }
    if !text.starts_with(|c: char| c.is_ascii_digit()) || text.contains(':') {
        return Err(unreadable());
    }
    let span: Span = text.parse().map_err(|_| unreadable())?;
    span.to_duration(SpanRelativeTo::days_are_24_hours())
        .and_then(Duration::try_from)
        .map_err(|_| unreadable())
}

/// Parses a timeout: more than zero and at most a year, so that adding it to a time cannot overflow.
pub fn parse_timeout(input: &str) -> Result<Duration, TimeError> {
    const YEAR: Duration = Duration::from_secs(365 * 86_400);
    let duration = parse_duration(input)?;
    if duration.is_zero() || duration > YEAR {
        Err(TimeError::Timeout(input.to_owned()))
    } else {
        Ok(duration)
    }
}

/// `2026-11-20T10:00:00.345Z`: RFC 3339 in UTC, for JSON, CSV and exports.
pub fn rfc3339(point: UnixMs) -> String {
    format!("{:.3}", timestamp(point))
}

/// `2026-11-20T10:00:00Z`: as in 3scale's objects.
pub fn rfc3339_seconds(point: UnixMs) -> String {
    format!("{:.0}", timestamp(UnixMs(point.0.div_euclid(1000) * 1000)))
}

/// `2026-11-20 10:00:00 UTC`: as in 3scale's failures list.
pub fn failures_list_time(point: UnixMs) -> String {
    timestamp(point)
        .strftime("%Y-%m-%d %H:%M:%S UTC")
        .to_string()
}

/// `2026-11-20 11:00:00+01:00`: local time, in a form that time options accept.
pub fn local(point: UnixMs) -> String {
    let zoned = timestamp(point).to_zoned(TimeZone::system());
    zoned.strftime("%Y-%m-%d %H:%M:%S%:z").to_string()
}

/// `11:00:00`: local time of day.
pub fn local_clock(point: UnixMs) -> String {
    timestamp(point)
        .to_zoned(TimeZone::system())
        .strftime("%H:%M:%S")
        .to_string()
}

/// `2m ago`, `3d ago`, `just now`.
pub fn ago(point: UnixMs, now: UnixMs) -> String {
    let seconds = now.since(point).as_secs();
    match seconds {
        0 => "just now".to_owned(),
        1..60 => format!("{seconds}s ago"),
        60..3600 => format!("{}m ago", seconds / 60),
        3600..86_400 => format!("{}h ago", seconds / 3600),
        _ => format!("{}d ago", seconds / 86_400),
    }
}

/// `in 40s`, or `due` if the time has come.
pub fn until(point: UnixMs, now: UnixMs) -> String {
    let left = point.since(now);
    match left.as_millis() {
        0 => "due".to_owned(),
        1..1000 => format!("in {}", compact(left)),
        _ => format!(
            "in {}",
            compact(Duration::from_secs(left.as_secs_f64().round() as u64))
        ),
    }
}

/// `0.3 ms`, `12 ms`, `1.2 s`.
pub fn measured_finely(duration: Duration) -> String {
    match duration.as_micros() {
        us @ 0..9_950 => format!("{:.1} ms", us as f64 / 1e3),
        _ => measured(duration),
    }
}

/// `12 ms`, `1.2 s`, `90.0 s`.
pub fn measured(duration: Duration) -> String {
    match duration.as_millis() {
        ms @ 0..1000 => format!("{ms} ms"),
        _ => format!("{:.1} s", duration.as_secs_f64()),
    }
}

/// `500ms`, `60s`, `2m30s`: in a form that [`parse_duration`] accepts.
pub fn compact(duration: Duration) -> String {
    let (ms, seconds) = (duration.as_millis(), duration.as_secs());
    if !ms.is_multiple_of(1000) {
        return format!("{ms}ms");
    }
    if seconds < 120 {
        return format!("{seconds}s");
    }
    SpanPrinter::new()
        .spacing(Spacing::None)
        .unsigned_duration_to_string(&duration)
}

fn timestamp(point: UnixMs) -> Timestamp {
    // A journal may contain a time beyond the calendar: show the nearest one instead of failing.
    Timestamp::from_millisecond(point.0).unwrap_or(if point.0 < 0 {
        Timestamp::MIN
    } else {
        Timestamp::MAX
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW: UnixMs = UnixMs(1_795_255_200_123); // 2026-11-21T10:00:00.123Z

    fn from(text: &str) -> String {
        rfc3339(parse_time(text, NOW, Edge::From).unwrap())
    }

    #[test]
    fn times_are_read_in_every_published_form() {
        assert_eq!(rfc3339(NOW), "2026-11-21T10:00:00.123Z");
        assert_eq!(from("2026-11-20"), "2026-11-20T00:00:00.000Z");
        assert_eq!(from("2026-11-20 10:00:00"), "2026-11-20T10:00:00.000Z");
        assert_eq!(from("2026-11-20 10:00:00 UTC"), "2026-11-20T10:00:00.000Z");
        assert_eq!(from("2026-11-20T10:00:00.345Z"), "2026-11-20T10:00:00.345Z");
        assert_eq!(
            from("2026-11-20T10:00:00+02:00"),
            "2026-11-20T08:00:00.000Z"
        );
        assert_eq!(
            from("2026-11-20 10:00:00+02:00"),
            "2026-11-20T08:00:00.000Z"
        );
        assert_eq!(from("now"), rfc3339(NOW));
        assert_eq!(from("15m"), "2026-11-21T09:45:00.123Z");
        assert_eq!(from("7d"), "2026-11-14T10:00:00.123Z");
        assert_eq!(from("1d12h"), "2026-11-19T22:00:00.123Z");
    }

    #[test]
    fn times_of_3scales_lists_are_read_and_nothing_else() {
        let read = |text| parse_list_time(text).map(rfc3339);
        for text in [
            "2026-11-20 10:00:00 UTC",
            " 2026-11-20T10:00:00Z\n",
            "2026-11-20T11:00:00+01:00",
            "2026-11-20 10:00:00 +0000",
            "2026-11-20 05:00:00 -0500",
            "2026-11-20 10:00:00",
        ] {
            assert_eq!(
                read(text).as_deref(),
                Some("2026-11-20T10:00:00.000Z"),
                "{text}"
            );
        }
        for text in ["2026-11-20 10:00:00.345 UTC", "2026-11-20T10:00:00.345678Z"] {
            assert_eq!(
                read(text).as_deref(),
                Some("2026-11-20T10:00:00.345Z"),
                "{text}"
            );
        }
        for text in [
            "",
            "now",
            "15m",
            "2026-11-20",
            "yesterday",
            "2026-13-20 10:00:00 UTC",
            "2026-11-20 10:00:00 -050",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
        let date = parse_http_date("Fri, 20 Nov 2026 10:00:00 GMT").map(rfc3339);
        assert_eq!(date.as_deref(), Some("2026-11-20T10:00:00.000Z"));
        assert_eq!(parse_http_date("soon"), None);
    }

    #[test]
    fn time_without_fractions_includes_its_second_as_upper_limit() {
        let up_to = |text| rfc3339(parse_time(text, NOW, Edge::UpTo).unwrap());
        assert_eq!(up_to("2026-11-20T10:00:00Z"), "2026-11-20T10:00:00.999Z");
        assert_eq!(
            up_to("2026-11-20 10:00:00+01:00"),
            "2026-11-20T09:00:00.999Z"
        );
        assert_eq!(
            up_to("2026-11-20T10:00:00.000Z"),
            "2026-11-20T10:00:00.000Z"
        );
        assert_eq!(
            up_to("2026-11-20T10:00:00.345Z"),
            "2026-11-20T10:00:00.345Z"
        );
        assert_eq!(up_to("2026-11-20"), "2026-11-20T00:00:00.000Z");
        assert_eq!(up_to("now"), rfc3339(NOW));
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in [
            "",
            "yesterday",
            "-2h",
            "2h ago",
            "2026-13-01",
            "2026-02-30",
            "10",
            "2026-11-20T25:00:00Z",
            "2026-11-20 10:00:00 CET",
            "2026-11-20T10:00:00Zz",
            "20261120",
            "1e3s",
            "٣h",
        ] {
            assert!(
                parse_time(text, NOW, Edge::From).is_err(),
                "{text:?} was taken"
            );
        }
    }

    #[test]
    fn durations_need_a_unit_and_no_sign() {
        assert_eq!(parse_duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(parse_duration("60s"), Ok(Duration::from_secs(60)));
        assert_eq!(parse_duration("1m30s"), Ok(Duration::from_secs(90)));
        assert_eq!(parse_duration("0s"), Ok(Duration::ZERO));
        assert_eq!(parse_duration("2w"), Ok(Duration::from_secs(14 * 86_400)));
        assert_eq!(
            parse_duration("-3s"),
            Err(TimeError::Negative("-3s".into()))
        );
        for text in ["", "60", "PT1H", "s", "1x", "99999999999999999999d"] {
            assert!(parse_duration(text).is_err(), "{text:?} was taken");
        }
    }

    #[test]
    fn a_timeout_is_neither_nothing_nor_for_ever() {
        assert_eq!(parse_timeout("30s"), Ok(Duration::from_secs(30)));
        assert!(parse_timeout("0s").is_err());
        assert!(parse_timeout("213503982334601d").is_err());
    }

    #[test]
    fn durations_and_ages_are_short_to_read() {
        assert_eq!(measured(Duration::from_millis(12)), "12 ms");
        assert_eq!(measured(Duration::from_millis(1200)), "1.2 s");
        assert_eq!(measured_finely(Duration::from_micros(320)), "0.3 ms");
        assert_eq!(measured_finely(Duration::from_micros(9_960)), "9 ms");
        assert_eq!(measured_finely(Duration::from_millis(1200)), "1.2 s");
        assert_eq!(compact(Duration::from_millis(200)), "200ms");
        assert_eq!(compact(Duration::from_secs(60)), "60s");
        assert_eq!(compact(Duration::from_secs(150)), "2m30s");
        assert_eq!(compact(Duration::from_secs(3600)), "1h");
        assert_eq!(ago(UnixMs(NOW.0 - 150_000), NOW), "2m ago");
        assert_eq!(ago(UnixMs(NOW.0 + 150_000), NOW), "just now");
        assert_eq!(until(UnixMs(NOW.0 + 59_700), NOW), "in 60s");
        assert_eq!(until(UnixMs(NOW.0 + 250), NOW), "in 250ms");
        assert_eq!(until(UnixMs(NOW.0 - 1), NOW), "due");
    }

    proptest! {
        #[test]
        fn every_time_shown_is_read_back(ms in 0i64..4_102_444_800_000) {
            let point = UnixMs(ms);
            prop_assert_eq!(parse_time(&rfc3339(point), NOW, Edge::UpTo), Ok(point));
            let duration = Duration::from_millis(ms.unsigned_abs());
            prop_assert_eq!(parse_duration(&compact(duration)), Ok(duration));
            let second = UnixMs(ms / 1000 * 1000);
            prop_assert_eq!(parse_time(&local(point), NOW, Edge::From), Ok(second));
            prop_assert_eq!(parse_time(&failures_list_time(point), NOW, Edge::From), Ok(second));
        }
    }
}
