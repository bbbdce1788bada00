//! Up to where a tenant's failed deliveries may be deleted.
//!
//! The tenant deletes by time, inclusive, and its times have a grain of one second. So one that was not delivered keeps all
//! of its second, and all that is later. What is not known of a failure counts against deleting.
//!
//! Invariant: whatever is deleted was listed, and was delivered.

use crate::time::UnixMs;

/// A failure as the tenant lists it.
#[derive(Clone, Debug)]
pub struct Listed {
    /// Its id; none if it cannot be read.
    pub uuid: Option<String>,
    /// When it failed last; none if that cannot be read.
    pub at: Option<UnixMs>,
    /// The same as the tenant wrote it.
    pub time: String,
}

/// What may be deleted.
#[derive(Debug, PartialEq, Eq)]
pub struct Deletable {
    /// Up to this time, as the tenant wrote it.
    pub time: String,
    /// So many of the list.
    pub count: usize,
}

/// A tenant's list, in its order: oldest first.
#[derive(Debug, Default)]
pub struct Listing {
    /// What is in it.
    pub failures: Vec<Listed>,
    /// It goes on beyond what was read.
    pub cut: bool,
    /// What time it was there when it was made.
    pub made_at: Option<UnixMs>,
}

impl Listing {
    /// What may be deleted, given which ones were delivered; none if nothing may.
    pub fn deletable(&self, delivered: impl Fn(&str) -> bool) -> Option<Deletable> {
        let kept_from = self.kept_from(&delivered);
        let deletable = |listed: &&Listed| listed.at.is_some_and(|at| second(at) < kept_from);
        let count = self.failures.iter().filter(deletable).count();
        let last = self
            .failures
            .iter()
            .filter(deletable)
            .max_by_key(|listed| listed.at)?;
        Some(Deletable {
            time: last.time.clone(),
            count,
        })
    }

    /// Whether waiting for the second to pass would let more be deleted: others may still fail in it.
    pub fn is_too_fresh(&self) -> bool {
        let last = self.failures.iter().filter_map(|listed| listed.at).max();
        last.zip(self.made_at)
            .is_some_and(|(last, made_at)| second(last) >= second(made_at))
    }

    /// The first second of which all must stay.
    fn kept_from(&self, delivered: &impl Fn(&str) -> bool) -> i64 {
        // Others may still fail in the second in which the list was made.
        let mut kept_from = self.made_at.map_or(i64::MAX, second);
        let mut before = i64::MIN;
        for listed in &self.failures {
            let stays = !listed.uuid.as_deref().is_some_and(delivered);
            if stays || listed.at.is_none() {
                // Without a time of its own it is no older than what stands before it.
                kept_from = kept_from.min(listed.at.map_or(before, second));
            }
            before = before.max(listed.at.map_or(before, second));
        }
        // What comes next may share the last second.
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

    /// A list of failures `id@ms`; `?` for what cannot be read.
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
    fn all_that_was_delivered_may_go() {
        assert_eq!(
            deletable(&list("a@1000 b@2000 c@3000"), "abc"),
            upto("t3000", 3)
        );
        assert_eq!(deletable(&list(""), ""), None);
        assert_eq!(deletable(&list("a@1000"), ""), None);
    }

    #[test]
    fn one_that_still_fails_keeps_its_second_and_what_follows() {
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
            "whatever the order"
        );
    }

    #[test]
    fn what_cannot_be_read_stays() {
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
    fn others_may_still_fail_in_a_second_that_is_not_over() {
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
    fn what_follows_a_cut_may_share_the_last_second() {
        let listing = Listing {
            cut: true,
            ..list("a@1000 b@2000 c@2100")
        };
        assert_eq!(deletable(&listing, "abc"), upto("t1000", 1));
    }
}
