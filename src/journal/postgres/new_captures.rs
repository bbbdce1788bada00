//! Adding captures: choosing the bin, and deleting the oldest captures of full bins.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::error::PostgresError;
use super::session::{Session, insert_all};

use crate::capture::BinResponse;
use crate::journal::new_rows;
use crate::journal::stored::{self, named_bin};
use crate::journal::values::SqlValue;
use crate::journal::{CaptureRules, StoredCapture, WriteResult, statements};

/// The number of the lock that transactions with captures take: their ids are committed in order, so that a reader that
/// has seen an id has seen all smaller ones, and no capture is deleted while it becomes a delivery.
const CAPTURE_LOCK: i64 = 0x686b_6663;

/// A full bin may have this fraction of its limit more captures, or of the number of undelivered forwards: all of their
/// captures are passed over when a bin is pruned.
const PRUNED_FRACTION: u32 = 100;

/// How many captures one transaction deletes at most, whose lock others wait for: twice as many as were added, and these,
/// up to the maximum.
const MIN_PRUNED: i64 = 200;
const MAX_PRUNED: i64 = 2_000;

/// SQL condition: a delivery forwards the capture `c` and is not delivered yet.
pub const IS_FORWARDED: &str = "EXISTS (SELECT 1 FROM hookfire.deliveries d
     WHERE d.capture_id = c.id AND d.status <> 'delivered')";

/// SQL condition: a delivery forwards the capture `c`, or has forwarded it.
const HAS_DELIVERY: &str = "EXISTS (SELECT 1 FROM hookfire.deliveries d WHERE d.capture_id = c.id)";

/// How captures are assigned to bins, and how many were added since bins were last pruned.
#[derive(Default)]
pub struct CaptureState {
    pub rules: CaptureRules,
    /// How many captures were added to each bin, by bin id, since it was last pruned.
    added: HashMap<i64, u32>,
    /// How many deliveries that forward captures were not delivered when bins were last pruned.
    undelivered: u32,
}

/// A bin that receives captures.
struct KnownBin {
    id: i64,
    response: Option<Arc<BinResponse>>,
}

/// Adds captures, in order, and puts the result of each into `results`.
pub fn add(
    session: &mut Session,
    state: &mut CaptureState,
    captures: &[(usize, &StoredCapture)],
    results: &mut [WriteResult],
) -> Result<(), PostgresError> {
    lock(session)?;
    let default = state.rules.default_bin.clone();
    let given = |new: &StoredCapture| Some(new.record.bin.clone()).filter(|bin| !bin.is_empty());
    let named = |new: &StoredCapture| {
        given(new).or_else(|| named_bin(&new.record.capture).map(str::to_owned))
    };
    let mut names: Vec<String> = captures.iter().filter_map(|(_, new)| named(new)).collect();
    names.push(default.clone());
    let mut bins = known_bins(session, &names)?;
    for (_, new) in captures {
        if let Some(bin) = given(new).filter(|bin| !bins.contains_key(bin)) {
            session.run(&statements::insert_bin(
                &bin,
                false,
                new.record.capture.received_at,
            ))?;
            bins.extend(known_bins(session, &[bin])?);
        }
    }
    let in_default = |new: &StoredCapture, bins: &HashMap<String, KnownBin>| {
        named(new).is_none_or(|name| !bins.contains_key(&name))
    };
    if let Some((_, new)) = captures.iter().find(|(_, new)| in_default(new, &bins))
        && !bins.contains_key(&default)
    {
        session.run(&statements::insert_bin(
            &default,
            false,
            new.record.capture.received_at,
        ))?;
        bins.extend(known_bins(session, std::slice::from_ref(&default))?);
    }
    let (mut new_rows, mut chosen) = (Vec::new(), Vec::new());
    for (_, new) in captures {
        let name = match in_default(new, &bins) {
            true => default.clone(),
            false => named(new).unwrap_or_else(|| default.clone()),
        };
        let bin = bins
            .get(&name)
            .ok_or(PostgresError::unreadable("bins.name"))?;
        new_rows.push(new_rows::capture(new, bin.id));
        chosen.push((name, bin));
    }
    let ids = insert_all(session, "captures", new_rows, "RETURNING id")?;
    for (((at, new), (bin, known)), row) in captures.iter().zip(&chosen).zip(&ids) {
        results[*at] = WriteResult::Captured {
            id: row.try_get(0)?,
            bin: bin.clone(),
            response: known.response.clone(),
            due: new.record.capture.received_at,
        };
        *state.added.entry(known.id).or_insert(u32::MAX / 2) += 1;
    }
    Ok(())
}

/// Which of these captures exist.
pub fn existing(
    session: &mut Session,
    ids: impl Iterator<Item = i64>,
) -> Result<HashSet<i64>, PostgresError> {
    let sql = "SELECT id FROM hookfire.captures WHERE id = ANY($1)";
    let rows = session.rows(sql, &[SqlValue::ints(ids)])?;
    rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
}

/// Until the end of the transaction, others add and delete no captures.
pub fn lock(session: &mut Session) -> Result<(), PostgresError> {
    session.rows("SELECT pg_advisory_xact_lock($1)", &[CAPTURE_LOCK.into()])?;
    Ok(())
}

/// Deletes the oldest captures of full bins, once enough were added. The first captures of this process delete those that
/// are left over from others.
pub fn prune(session: &mut Session, state: &mut CaptureState) -> Result<(), PostgresError> {
    let keep = state.rules.keep_per_bin.max(1);
    if keep == u32::MAX {
        return Ok(());
    }
    let spare = keep.max(state.undelivered) / PRUNED_FRACTION;
    let full = state.added.iter_mut().filter(|(_, added)| **added > spare);
    let full: Vec<_> = full.collect();
    if full.is_empty() {
        return Ok(());
    }
    let has_delivery = match state.rules.keep_without_delivery {
        true => HAS_DELIVERY,
        false => "TRUE",
    };
    let removable =
        format!("c.bin_id = $1 AND NOT c.pinned AND {has_delivery} AND NOT {IS_FORWARDED}");
    for (bin_id, added) in full {
        let limit = i64::from(*added).saturating_mul(2) + MIN_PRUNED;
        let limit = limit.min(MAX_PRUNED);
        let deleted = session.execute(
            &format!(
                "DELETE FROM hookfire.captures WHERE id IN (
                     SELECT c.id FROM hookfire.captures c WHERE {removable} AND c.id <= (
                         SELECT c.id FROM hookfire.captures c WHERE {removable} ORDER BY c.id DESC OFFSET $2 LIMIT 1)
                     ORDER BY c.id LIMIT $3)"
            ),
            &[(*bin_id).into(), keep.into(), limit.into()],
        )?;
        let deleted = i64::try_from(deleted).unwrap_or(i64::MAX);
        if deleted > 0 {
            session.execute(
                "UPDATE hookfire.bins SET deleted = deleted + $2 WHERE id = $1",
                &[(*bin_id).into(), deleted.into()],
            )?;
        }
        // If it reached the limit, there may be more.
        if deleted < limit {
            *added = 0;
        }
    }
    let undelivered = "SELECT count(*) FROM hookfire.deliveries
         WHERE capture_id IS NOT NULL AND status <> 'delivered'";
    if let Some(row) = session.row(undelivered, &[])? {
        state.undelivered = u32::try_from(row.try_get::<_, i64>(0)?).unwrap_or(u32::MAX);
    }
    Ok(())
}

fn known_bins(
    session: &mut Session,
    names: &[String],
) -> Result<HashMap<String, KnownBin>, PostgresError> {
    let mut bins = HashMap::new();
    let sql = "SELECT name, id, response FROM hookfire.bins WHERE name = ANY($1)";
    for row in session.rows(sql, &[SqlValue::texts(names.iter().map(String::as_str))])? {
        let response = stored::bin_response(row.try_get(2)?);
        let known = KnownBin {
            id: row.try_get(1)?,
            response: response.map(Arc::new),
        };
        bins.insert(row.try_get(0)?, known);
    }
    Ok(bins)
}
