//! Which of a portal's failed deliveries may be deleted there.
//!
//! The portal deletes everything up to a time, inclusive, and its times have a resolution of one second. A failure that is
//! still needed there keeps its whole second and everything later. Unknown facts about a failure count against deleting.
//! Everything that is deleted was listed: a second is deleted only once it has passed on the portal's clock, so that no
//! failure can be added to it.

use std::time::Duration;

use crate::time::UnixMs;

/// How long ago a second must have ended: a failure may be listed somewhat later than its own time.
const MARGIN_S: i64 = 2;

/// A failure as the portal lists it.
#[derive(Clone, Debug)]
pub struct Listed {
    /// None if it cannot be read.
    pub uuid: Option<String>,
    /// When it failed last; none if that cannot be read.
    pub at: Option<UnixMs>,
    /// The same time as the portal wrote it.
    pub time: String,
}

#[derive(Debug, PartialEq, Eq)]
pub struct Deletable {
    /// Up to this time, as the portal wrote it.
    pub time: String,
    /// The number of listed failures up to then.
    pub count: usize,
}

/// The portal's list, oldest first.
#[derive(Debug, Default)]
pub struct Listing {
    pub failures: Vec<Listed>,
    /// Whether the list is longer than the part that was read.
    pub cut: bool,
    /// The portal's clock when it made the list.
    pub made_at: Option<UnixMs>,
}

impl Listing {
    /// What may be deleted, given which uuids are not needed on the tenant.
    pub fn deletable(&self, settled: impl Fn(&str) -> bool) -> Option<Deletable> {
        let kept_from = self.kept_from(&settled);
        let old = |listed: &&Listed| listed.at.is_some_and(|at| second(at) < kept_from);
        let deleted = self.failures.iter().filter(old);
        let last = deleted.clone().max_by_key(|listed| listed.at)?;
        Some(Deletable {
            time: last.time.clone(),
            count: deleted.count(),
        })
    }

    /// How many failures that are not needed on the portal may not be deleted there yet.
    pub fn kept(&self, settled: impl Fn(&str) -> bool) -> usize {
        let kept_from = self.kept_from(&settled);
        let kept = self.failures.iter().filter(|listed| {
            let is_old = listed.at.is_some_and(|at| second(at) < kept_from);
            !is_old && listed.uuid.as_deref().is_some_and(&settled)
        });
        kept.count()
    }

    /// How long to wait, on the portal's clock, until the last listed second can be deleted.
    pub fn wait(&self) -> Option<Duration> {
        let last = second(self.failures.iter().filter_map(|listed| listed.at).max()?);
        let left = last + MARGIN_S + 1 - second(self.made_at?);
        // A time in the portal's future is not waited for.
        let seconds = left
            .min(MARGIN_S + 1)
            .try_into()
            .ok()
            .filter(|left| *left > 0)?;
        Some(Duration::from_secs(seconds))
    }

    /// The number of failures that could not be read.
    pub fn unreadable(&self) -> usize {
        self.failures
            .iter()
            .filter(|listed| listed.uuid.is_none())
            .count()
    }

    /// The first second that must stay.
    fn kept_from(&self, settled: &impl Fn(&str) -> bool) -> i64 {
        let mut kept_from = i64::MAX;
        let mut last = i64::MIN;
        for listed in &self.failures {
            let stays = !listed.uuid.as_deref().is_some_and(settled);
            // Without a time of its own it is not older than the one before it.
            let at = listed.at.map_or(last, second);
            if stays || listed.at.is_none() {
                kept_from = kept_from.min(at);
            }
            last = last.max(at);
        }
        let passed = self.made_at.map(|at| second(at) - MARGIN_S);
        kept_from = kept_from.min(passed.unwrap_or(last));
        // The failures after a cut may share the last second.
        if self.cut {
            kept_from.min(last)
        } else {
            kept_from
        }
    }
}

fn second(point: UnixMs) -> i64 {
    point.0.div_euclid(1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Parses `id@ms`; `?` is unreadable.
    fn list(failures: &str) -> Listing {
        let listed = failures.split_whitespace().map(|word| {
            let (id, time) = word.split_once('@').unwrap();
            Listed {
                uuid: (id != "?").then(|| id.to_owned()),
                at: time.parse().ok().map(UnixMs),
                time: format!("t{time}"),
            }
        });
        Listing {
            failures: listed.collect(),
            cut: false,
            made_at: Some(UnixMs(60_000)),
        }
    }

    fn deletable(listing: &Listing, delivered: &str) -> Option<(String, usize)> {
        let found = listing.deletable(|id| delivered.contains(id))?;
        Some((found.time, found.count))
    }

    fn upto(time: &str, count: usize) -> Option<(String, usize)> {
        Some((time.to_owned(), count))
    }

    #[test]
    fn delivered_failures_are_deletable() {
        assert_eq!(
            deletable(&list("a@1000 b@2000 c@3000"), "abc"),
            upto("t3000", 3)
        );
        assert_eq!(deletable(&list(""), ""), None);
        assert_eq!(deletable(&list("a@1000"), ""), None);
    }

    #[test]
    fn failing_one_keeps_its_second_and_later_ones() {
        assert_eq!(
            deletable(&list("a@1000 b@2000 c@2500 d@3000"), "abd"),
            upto("t1000", 1)
        );
        let kept = list("a@1000 b@2000 c@2500 d@3000").kept(|id| id != "c");
        assert_eq!(kept, 2, "b and d");
        assert_eq!(
            deletable(&list("a@2000 b@2500"), "a"),
            None,
            "they share a second"
        );
        assert_eq!(
            deletable(&list("a@2900 b@2100 c@3000"), "ab"),
            upto("t2900", 2)
        );
        assert_eq!(
            deletable(&list("a@3000 b@1000 c@2000"), "ac"),
            None,
            "in any order"
        );
    }

    #[test]
    fn unreadable_failures_stay() {
        assert_eq!(
            deletable(&list("a@1000 ?@2000 c@3000"), "ac"),
            upto("t1000", 1)
        );
        assert_eq!(
            deletable(&list("a@1000 b@2000 ?@? c@3000"), "abc"),
            upto("t1000", 1)
        );
        assert_eq!(deletable(&list("?@? a@1000"), "a"), None);
    }

    #[test]
    fn second_stays_until_it_has_passed_on_the_portals_clock() {
        let mut listing = list("a@1000 b@2000");
        for (made_at, upto, wait) in [
            (2_000, None, Some(3)),
            (3_999, None, Some(2)),
            (4_000, upto("t1000", 1), Some(1)),
            (4_999, upto("t1000", 1), Some(1)),
            (5_000, upto("t2000", 2), None),
            // The portal's clock was set back.
            (-9_000, None, Some(3)),
        ] {
            listing.made_at = Some(UnixMs(made_at));
            assert_eq!(deletable(&listing, "ab"), upto, "{made_at}");
            assert_eq!(listing.wait(), wait.map(Duration::from_secs), "{made_at}");
        }
    }

    #[test]
    fn last_second_stays_without_a_clock() {
        let mut listing = list("a@1000 b@2000 c@2900");
        listing.made_at = None;
        assert_eq!(deletable(&listing, "abc"), upto("t1000", 1));
        assert_eq!(listing.wait(), None);
        listing.failures.truncate(1);
        assert_eq!(deletable(&listing, "abc"), None);
    }

    #[test]
    fn last_second_before_a_cut_stays() {
        let listing = Listing {
            cut: true,
            ..list("a@1000 b@2000 c@2100")
        };
        assert_eq!(deletable(&listing, "abc"), upto("t1000", 1));
    }
}
