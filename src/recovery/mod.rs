//! Which of a portal's failed deliveries may be deleted there.
//!
//! The portal deletes everything up to a time, inclusive, and its times have a resolution of one second. A failure that was
//! not delivered therefore keeps its whole second and everything later. Unknown facts about a failure count against
//! deleting. Everything that is deleted was listed, and was delivered.

use crate::time::UnixMs;

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
    /// What may be deleted, given which uuids were delivered.
    pub fn deletable(&self, delivered: impl Fn(&str) -> bool) -> Option<Deletable> {
        let kept_from = self.kept_from(&delivered);
        let mut count = 0;
        let mut last: Option<&Listed> = None;
        for listed in &self.failures {
            if listed.at.is_some_and(|at| second(at) < kept_from) {
                count += 1;
                if last.is_none_or(|last| last.at <= listed.at) {
                    last = Some(listed);
                }
            }
        }
        let time = last?.time.clone();
        Some(Deletable { time, count })
    }

    /// Whether more can be deleted a second later: others may still fail in the last listed second.
    pub fn is_too_fresh(&self) -> bool {
        let last = self.failures.iter().filter_map(|listed| listed.at).max();
        last.zip(self.made_at)
            .is_some_and(|(last, made_at)| second(last) >= second(made_at))
    }

    /// The first second that must stay.
    fn kept_from(&self, delivered: &impl Fn(&str) -> bool) -> i64 {
        // Others may still fail in the second in which the list was made.
        let mut kept_from = self.made_at.map_or(i64::MAX, second);
        let mut before = i64::MIN;
        for listed in &self.failures {
            let stays = !listed.uuid.as_deref().is_some_and(delivered);
            if stays || listed.at.is_none() {
                // Without a time of its own it is not older than the one before it.
                kept_from = kept_from.min(listed.at.map_or(before, second));
            }
            before = before.max(listed.at.map_or(before, second));
        }
        // The failures after a cut may share the last second.
        if self.cut {
            kept_from.min(before)
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
            made_at: None,
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
    fn current_second_stays() {
        let mut listing = list("a@1000 b@2000");
        listing.made_at = Some(UnixMs(2999));
        assert_eq!(
            (deletable(&listing, "ab"), listing.is_too_fresh()),
            (upto("t1000", 1), true)
        );
        listing.made_at = Some(UnixMs(3000));
        assert_eq!(
            (deletable(&listing, "ab"), listing.is_too_fresh()),
            (upto("t2000", 2), false)
        );
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
