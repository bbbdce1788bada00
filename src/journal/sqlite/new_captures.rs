//! Adding captures: choosing the bin, assigning ids, and deleting the oldest captures of full bins.
//!
//! The newest id is cached between commits, until another connection writes. Captures are counted again after such a write
//! only once enough were added: counting takes as long as there are captures.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rusqlite::{OptionalExtension, Transaction};

use super::attempts::WriteTransaction;
use super::captures::{HAS_DELIVERY, IS_FORWARDED, bin_response, newest_id};
use super::rows::{execute, insert};
use crate::capture::BinResponse;
use crate::journal::stored::named_bin;
use crate::journal::{CaptureRules, StoredCapture, WriteResult, new_rows, statements};

/// After a transaction that deleted captures, others delete few for this many times as long: meanwhile the lock is free
/// often enough for other processes.
const PRUNE_PAUSE_FACTOR: u32 = 4;

/// How many captures are deleted before the time is checked.
const PRUNED_AT_ONCE: usize = 16;

/// How many captures to delete are looked up at once.
const MAX_LOOKED_UP: usize = 512;

/// A full bin may have this fraction of its limit more captures; twice as many if other connections write too.
const PRUNED_FRACTION: i64 = 100;

/// It may also have this fraction of the deliveries that wait: to find out which captures these forward takes longer than
/// to count captures.
const WAITING_FRACTION: i64 = 20;

/// The newest id and the counts after the last commit.
#[derive(Default)]
pub struct CaptureCache {
    /// SQLite's counter of other connections' commits.
    data_version: Option<i64>,
    newest_id: i64,
    /// The captures that each bin may keep a limited number of, by bin id: not pinned, not waiting to be forwarded, and
    /// with a delivery if the rules say so.
    counts: HashMap<i64, i64>,
    /// Up to this id, a bin has only captures that are kept, by bin id.
    kept_until: HashMap<i64, i64>,
    /// Undelivered deliveries that forward captures.
    forwards: i64,
    /// Whether another connection may have changed what is counted, and how many captures were added since it was. None if
    /// it never was: a process may end after few captures.
    is_outdated: bool,
    added: Option<i64>,
    /// The responses of bins, by bin id.
    responses: HashMap<i64, Option<Arc<BinResponse>>>,
    default_bin: Option<i64>,
    /// Until then, transactions delete few captures.
    pub paused_until: Option<Instant>,
    pub rules: CaptureRules,
}

impl CaptureCache {
    /// Call it at the beginning of each transaction that adds captures.
    pub fn refresh(&mut self, tx: &Transaction<'_>) -> rusqlite::Result<()> {
        let data_version = tx
            .prepare_cached("PRAGMA data_version")?
            .query_row([], |row| row.get(0))?;
        if self.data_version != Some(data_version) {
            self.data_version = Some(data_version);
            self.newest_id = newest_id(tx)?;
            self.responses.clear();
            self.default_bin = None;
            self.is_outdated = true;
        }
        Ok(())
    }

    /// Call it when a transaction has failed.
    pub fn reset(&mut self) {
        *self = CaptureCache {
            rules: self.rules.clone(),
            paused_until: self.paused_until,
            ..CaptureCache::default()
        };
    }

    /// Call it when a write was rolled back, which may have created the bin.
    pub fn forget_default_bin(&mut self) {
        self.default_bin = None;
    }

    /// How many captures are added before full bins are looked at.
    fn enough(&self) -> i64 {
        i64::from(self.rules.keep_per_bin) / PRUNED_FRACTION + self.forwards / WAITING_FRACTION
    }

    /// SQL condition: the bin of the capture keeps a limited number of such captures, unless they are pinned.
    fn is_limited(&self) -> String {
        match self.rules.keep_without_delivery {
            true => format!("{HAS_DELIVERY} AND NOT {IS_FORWARDED}"),
            false => format!("NOT {IS_FORWARDED}"),
        }
    }

    /// As [`Self::is_limited`], and faster if nothing waits to be forwarded.
    fn is_counted(&self) -> String {
        match (self.forwards, self.rules.keep_without_delivery) {
            (0, false) => "TRUE".to_owned(),
            _ => self.is_limited(),
        }
    }

    fn count(&mut self, tx: &Transaction<'_>) -> rusqlite::Result<()> {
        self.forwards = tx
            .prepare_cached(
                "SELECT count(*) FROM deliveries WHERE capture_id IS NOT NULL AND status <> 'delivered'",
            )?
            .query_row([], |row| row.get(0))?;
        let is_limited = self.is_counted();
        for (bin_id, count) in &mut self.counts {
            *count = count_limited(tx, *bin_id, &is_limited)?;
        }
        self.kept_until.clear();
        (self.is_outdated, self.added) = (false, Some(0));
        Ok(())
    }

    /// Adds a capture, which `forwards` deliveries will forward.
    pub fn add(
        &mut self,
        transaction: &WriteTransaction<'_>,
        new: &StoredCapture,
        forwards: usize,
    ) -> rusqlite::Result<WriteResult> {
        let tx = transaction.tx;
        let (bin_id, bin) = self.bin_for(tx, new)?;
        let id = self.newest_id + 1;
        let mut row = new_rows::capture(new, bin_id);
        row.push(("id", id.into()));
        insert(tx, "captures", &row)?;
        self.newest_id = id;
        if forwards == 0 && !self.rules.keep_without_delivery {
            *self.counts.entry(bin_id).or_default() += 1;
        }
        self.forwards += forwards as i64;
        self.added = self.added.map(|added| added + 1);
        let response = match self.responses.entry(bin_id) {
            Entry::Occupied(known) => known.get().clone(),
            Entry::Vacant(unknown) => unknown
                .insert(bin_response(tx, bin_id)?.map(Arc::new))
                .clone(),
        };
        Ok(WriteResult::Captured {
            id,
            bin,
            response,
            due: transaction.now,
        })
    }

    /// Deletes the oldest captures of full bins, once there are enough: each deletion writes several pages. Always
    /// deletes more than the transaction has added, if there are more. After `--keep` was lowered, it deletes for about
    /// `time`, so that the transaction stays short.
    pub fn prune(
        &mut self,
        tx: &Transaction<'_>,
        added: usize,
        time: Duration,
    ) -> rusqlite::Result<()> {
        let enough = self.enough();
        if self.is_outdated && self.added.is_none_or(|added| added > enough) {
            self.count(tx)?;
        }
        if self.is_outdated {
            return Ok(());
        }
        let limit = i64::from(self.rules.keep_per_bin.max(1));
        let began = Instant::now();
        let is_paused = self.paused_until.is_some_and(|until| began < until);
        let goes_on = |deleted| deleted <= 2 * added || !is_paused && began.elapsed() < time;
        let mut deleted = 0;
        let is_limited = self.is_limited();
        for (bin_id, count) in &mut self.counts {
            if *count - limit <= enough {
                continue;
            }
            let kept_until = self.kept_until.entry(*bin_id).or_default();
            while *count > limit && goes_on(deleted) {
                let most = match is_paused {
                    true => MAX_LOOKED_UP.min(2 * added + PRUNED_AT_ONCE),
                    false => MAX_LOOKED_UP,
                };
                let most = (*count - limit).min(most as i64);
                let oldest = oldest(tx, *bin_id, &is_limited, *kept_until, most)?;
                if oldest.is_empty() {
                    break;
                }
                for ids in oldest.chunks(PRUNED_AT_ONCE) {
                    if goes_on(deleted) {
                        delete(tx, ids)?;
                        *count -= ids.len() as i64;
                        deleted += ids.len();
                        *kept_until = ids.last().copied().unwrap_or_default();
                    }
                }
            }
        }
        if deleted > 0 && !is_paused {
            self.paused_until = Some(Instant::now() + began.elapsed() * PRUNE_PAUSE_FACTOR);
        }
        Ok(())
    }

    /// The bin that the capture names, which is created if needed; else that which the path's first segment names, else the
    /// default bin.
    fn bin_for(
        &mut self,
        tx: &Transaction<'_>,
        new: &StoredCapture,
    ) -> rusqlite::Result<(i64, String)> {
        let (given, capture) = (&new.record.bin, &new.record.capture);
        if !given.is_empty() {
            let mut found = self.bin(tx, given)?;
            if found.is_none() {
                execute(
                    tx,
                    &statements::insert_bin(given, false, capture.received_at),
                )?;
                found = self.bin(tx, given)?;
            }
            let id = found.ok_or(rusqlite::Error::QueryReturnedNoRows)?;
            return Ok((id, given.clone()));
        }
        if let Some(named) = named_bin(capture)
            && let Some(id) = self.bin(tx, named)?
        {
            return Ok((id, named.to_owned()));
        }
        let default = self.rules.default_bin.clone();
        if self.default_bin.is_none() {
            execute(
                tx,
                &statements::insert_bin(&default, false, capture.received_at),
            )?;
            self.default_bin = self.bin(tx, &default)?;
        }
        match self.default_bin {
            Some(id) => Ok((id, default)),
            None => Err(rusqlite::Error::QueryReturnedNoRows),
        }
    }

    fn bin(&mut self, tx: &Transaction<'_>, name: &str) -> rusqlite::Result<Option<i64>> {
        let found: Option<i64> = tx
            .prepare_cached("SELECT id FROM bins WHERE name = ?1")?
            .query_row([name], |row| row.get(0))
            .optional()?;
        if let Some(id) = found
            && !self.counts.contains_key(&id)
        {
            let count = count_limited(tx, id, &self.is_counted())?;
            self.counts.insert(id, count);
        }
        Ok(found)
    }
}

/// How many captures of a bin are limited and not pinned.
fn count_limited(tx: &Transaction<'_>, bin_id: i64, is_limited: &str) -> rusqlite::Result<i64> {
    // Both subqueries read indexes only.
    tx.prepare_cached(&format!(
        "SELECT (SELECT count(*) FROM captures c WHERE c.bin_id = ?1 AND {is_limited})
             - (SELECT count(*) FROM captures c WHERE c.bin_id = ?1 AND c.pinned AND {is_limited})"
    ))?
    .query_row([bin_id], |row| row.get(0))
}

/// The oldest captures of a bin after the id `after` that are limited and not pinned.
fn oldest(
    tx: &Transaction<'_>,
    bin_id: i64,
    is_limited: &str,
    after: i64,
    most: i64,
) -> rusqlite::Result<Vec<i64>> {
    tx.prepare_cached(&format!(
        "SELECT c.id FROM captures c
         WHERE c.bin_id = ?1 AND c.id > ?2 AND NOT c.pinned AND {is_limited} ORDER BY c.id LIMIT ?3"
    ))?
    .query_map([bin_id, after, most], |row| row.get(0))?
    .collect()
}

fn delete(tx: &Transaction<'_>, ids: &[i64]) -> rusqlite::Result<()> {
    let mut delete = tx.prepare_cached("DELETE FROM captures WHERE id = ?1")?;
    for id in ids {
        delete.execute([id])?;
    }
    Ok(())
}
