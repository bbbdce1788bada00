//! Adds the rows of a file to the server, in short transactions, so that listeners do not wait long.
//!
//! Rows that the server has already are skipped, so that an interrupted copy can be repeated.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use ring::digest::{Context, SHA256};
use rusqlite::types::Value as Cell;

use super::PostgresJournal;
use super::error::PostgresError;
use super::new_captures::{existing, lock};
use super::session::{Session, insert_all};
use super::transfer::{TABLES, Table};
use crate::journal::sqlite::SqliteJournal;
use crate::journal::values::SqlValue;
use crate::journal::{Captures as _, Copied, JournalError, rows, statements};

const CAPTURE_ID: &str = "capture_id";

/// The id of a capture that was deleted before its delivery was copied.
const NO_CAPTURE: i64 = -1;

/// How many captures of the server are read at a time.
const KNOWN_PAGE: i64 = 10_000;

/// What identifies a capture: its bin on the server, when it was received, and the digest of its client, head and body.
/// Captures may have the same key.
type CaptureKey = (i64, i64, Vec<u8>);

/// The captures of the server that were received in the time of the file's.
#[derive(Default)]
struct KnownCaptures {
    times: [i64; 2],
    /// All captures up to this id were read.
    newest: i64,
    /// The ids of the captures of each key to which none of the file was assigned yet, in order.
    ids: HashMap<CaptureKey, VecDeque<i64>>,
}

/// What a transaction has done with the captures of a page: the id in the file and the id on the server.
#[derive(Default)]
struct CopiedCaptures {
    known: Vec<(CaptureKey, i64, i64)>,
    inserted: Vec<(i64, i64)>,
}

/// A copy from a file.
pub(super) struct FileCopy<'a> {
    file: &'a SqliteJournal,
    deliveries: Table,
    attempts: Table,
    bins: Table,
    captures: Table,
    runs: Table,
    cursors: Table,
}

impl PostgresJournal {
    /// Adds the rows of a file. Skips deliveries whose uuid exists, captures that the same bin has, and cursors whose name
    /// exists.
    pub(super) fn copy_from(&self, file: &SqliteJournal) -> Result<Copied, JournalError> {
        let copy = self
            .connection
            .read(|session| FileCopy::new(session, file))?;
        let mut copied = Copied::default();
        let mut ids = self.copy_captures(&copy, &mut copied)?;
        self.copy_deliveries(&copy, &mut ids, &mut copied)?;
        let mut after = Vec::new();
        loop {
            let rows = copy.cursors.rows_in(file, &after, None)?;
            let Some(last) = rows.last() else {
                return Ok(copied);
            };
            after = copy.cursors.key_of(last);
            self.connection
                .write(|session| copy.add_cursors(session, &rows, &ids))?;
        }
    }

    /// Returns the id on the server of each capture of the file.
    pub(super) fn copy_captures(
        &self,
        copy: &FileCopy<'_>,
        copied: &mut Copied,
    ) -> Result<BTreeMap<i64, i64>, JournalError> {
        let bins = copy.all_bins()?;
        self.connection
            .write(|session| copy.add_bins(session, &bins.values().collect::<Vec<_>>()))?;
        let known = RefCell::new(KnownCaptures {
            times: copy.file.capture_times()?,
            ..KnownCaptures::default()
        });
        self.connection
            .read(|session| known.borrow_mut().read_new(session))?;
        let (mut ids, mut after) = (BTreeMap::new(), Vec::new());
        loop {
            let rows = copy.captures.rows_in(copy.file, &after, None)?;
            let Some(last) = rows.last() else {
                return Ok(ids);
            };
            after = copy.captures.key_of(last);
            let page = self.connection.write(|session| {
                lock(session)?;
                let mut known = known.borrow_mut();
                known.read_new(session)?;
                copy.add_captures(session, &rows, &bins, &known)
            })?;
            copied.captures += page.inserted.len();
            copied.skipped += page.known.len();
            let mut known = known.borrow_mut();
            for (key, old, new) in page.known {
                if let Some(same) = known.ids.get_mut(&key) {
                    same.pop_front();
                }
                ids.insert(old, new);
            }
            for (old, new) in page.inserted {
                known.newest = known.newest.max(new);
                ids.insert(old, new);
            }
        }
    }

    pub(super) fn copy_deliveries(
        &self,
        copy: &FileCopy<'_>,
        captures: &mut BTreeMap<i64, i64>,
        copied: &mut Copied,
    ) -> Result<(), JournalError> {
        let bins = copy.all_bins()?;
        let mut after = Vec::new();
        loop {
            let rows = copy.deliveries.rows_in(copy.file, &after, None)?;
            let Some(last) = rows.last() else {
                return Ok(());
            };
            after = copy.deliveries.key_of(last);
            let ids = &*captures;
            let (added, restored) = self.connection.write(|session| {
                let restored = copy.restore_captures(session, &rows, &bins, ids)?;
                let added = copy.add_deliveries(session, &rows, ids, &restored)?;
                Ok((added, restored))
            })?;
            copied.deliveries += added;
            copied.skipped += rows.len() - added;
            captures.extend(restored);
        }
    }
}

impl KnownCaptures {
    /// Reads the captures that were added since. Transactions add captures in the order of their ids.
    fn read_new(&mut self, session: &mut Session) -> Result<(), PostgresError> {
        let newest = "SELECT coalesce(max(id), 0) FROM hookfire.captures";
        let newest: i64 = match session.row(newest, &[])? {
            Some(row) => row.try_get(0)?,
            None => 0,
        };
        let [first, last] = self.times;
        while self.newest < newest {
            let rows = session.rows(
                "SELECT id, bin_id, received_at, sha256(convert_to(remote_addr, 'UTF8') || head || body)
                 FROM hookfire.captures WHERE id > $1 AND id <= $2 AND received_at BETWEEN $3 AND $4
                 ORDER BY id LIMIT $5",
                &[
                    self.newest.into(),
                    newest.into(),
                    first.into(),
                    last.into(),
                    KNOWN_PAGE.into(),
                ],
            )?;
            self.newest = newest;
            for row in &rows {
                let key = (row.try_get(1)?, row.try_get(2)?, row.try_get(3)?);
                self.ids.entry(key).or_default().push_back(row.try_get(0)?);
            }
            if let Some(row) = rows.last()
                && rows.len() as i64 == KNOWN_PAGE
            {
                self.newest = row.try_get(0)?;
            }
        }
        Ok(())
    }
}

impl FileCopy<'_> {
    pub fn new<'a>(
        session: &mut Session,
        file: &'a SqliteJournal,
    ) -> Result<FileCopy<'a>, PostgresError> {
        let [deliveries, attempts, bins, captures, runs, cursors] =
            TABLES.map(|(name, key)| Table::read(session, name, key));
        Ok(FileCopy {
            file,
            deliveries: deliveries?,
            attempts: attempts?,
            bins: bins?,
            captures: captures?,
            runs: runs?,
            cursors: cursors?,
        })
    }

    /// The rows of the file's bins, by id.
    fn all_bins(&self) -> Result<BTreeMap<i64, Vec<Cell>>, JournalError> {
        let (mut bins, mut after) = (BTreeMap::new(), Vec::new());
        loop {
            let rows = self.bins.rows_in(self.file, &after, None)?;
            let Some(last) = rows.last() else {
                return Ok(bins);
            };
            after = self.bins.key_of(last);
            bins.extend(rows.into_iter().map(|row| (self.bins.id(&row), row)));
        }
    }

    /// Adds bins, unless they exist. Returns the id on the server of each.
    fn add_bins(
        &self,
        session: &mut Session,
        bins: &[&Vec<Cell>],
    ) -> Result<HashMap<i64, i64>, PostgresError> {
        let name = |row: &Vec<Cell>| self.bins.text(row, "name").to_owned();
        let names = || SqlValue::texts(bins.iter().map(|row| name(row)));
        let find = "SELECT name, id FROM hookfire.bins WHERE name = ANY($1)";
        let mut ids: HashMap<String, i64> = HashMap::new();
        for row in session.rows(find, &[names()])? {
            ids.insert(row.try_get(0)?, row.try_get(1)?);
        }
        let missing = bins.iter().filter(|row| !ids.contains_key(&name(row)));
        let missing = missing.map(|row| self.bins.new_row(row, &[]));
        let missing: Vec<_> = missing.collect();
        if !missing.is_empty() {
            insert_all(session, "bins", missing, "ON CONFLICT DO NOTHING")?;
            for row in session.rows(find, &[names()])? {
                ids.insert(row.try_get(0)?, row.try_get(1)?);
            }
        }
        let pairs = bins.iter().filter_map(|row| {
            let new = ids.get(&name(row))?;
            Some((self.bins.id(row), *new))
        });
        Ok(pairs.collect())
    }

    /// Adds captures that are not known, with their runs and bins.
    fn add_captures(
        &self,
        session: &mut Session,
        rows: &[Vec<Cell>],
        bins: &BTreeMap<i64, Vec<Cell>>,
        known: &KnownCaptures,
    ) -> Result<CopiedCaptures, PostgresError> {
        let bin_of = |row: &[Cell]| self.captures.number(row, "bin_id");
        let of_page: BTreeSet<i64> = rows.iter().map(|row| bin_of(row)).collect();
        let of_page = of_page.iter().filter_map(|id| bins.get(id));
        let bin_ids = self.add_bins(session, &of_page.collect::<Vec<_>>())?;
        let mut copied = CopiedCaptures::default();
        let mut taken: HashMap<CaptureKey, usize> = HashMap::new();
        let (mut new, mut old_ids) = (Vec::new(), Vec::new());
        for row in rows {
            let old = self.captures.id(row);
            let Some(&bin_id) = bin_ids.get(&bin_of(row)) else {
                return Err(PostgresError::unreadable("bin_id"));
            };
            let key = self.key(row, bin_id);
            let place = taken.entry(key.clone()).or_default();
            match known.ids.get(&key).and_then(|ids| ids.get(*place)) {
                Some(id) => {
                    *place += 1;
                    copied.known.push((key, old, *id));
                }
                None => {
                    new.push(self.captures.new_row(row, &[("bin_id", bin_id)]));
                    old_ids.push(old);
                }
            }
        }
        let inserted = insert_all(session, "captures", new, "RETURNING id")?;
        for (old, row) in old_ids.into_iter().zip(&inserted) {
            copied.inserted.push((old, row.try_get(0)?));
        }
        self.add_parts(session, &self.runs, CAPTURE_ID, &copied.inserted)?;
        Ok(copied)
    }

    fn key(&self, row: &[Cell], bin_id: i64) -> CaptureKey {
        let mut digest = Context::new(&SHA256);
        digest.update(self.captures.text(row, "remote_addr").as_bytes());
        for column in ["head", "body"] {
            if let Cell::Blob(bytes) = self.captures.cell(row, column) {
                digest.update(bytes);
            }
        }
        let received_at = self.captures.number(row, "received_at");
        (bin_id, received_at, digest.finish().as_ref().to_vec())
    }

    /// Adds captures again that were deleted since they were copied, as a listener does in a full bin, if one of these
    /// deliveries forwards them. Returns their ids in the file and on the server.
    fn restore_captures(
        &self,
        session: &mut Session,
        deliveries: &[Vec<Cell>],
        bins: &BTreeMap<i64, Vec<Cell>>,
        captures: &BTreeMap<i64, i64>,
    ) -> Result<BTreeMap<i64, i64>, PostgresError> {
        let mut needed = BTreeMap::new();
        for row in deliveries {
            let old = self.deliveries.number(row, CAPTURE_ID);
            if self.deliveries.text(row, "status") != "delivered"
                && let Some(new) = captures.get(&old)
            {
                needed.insert(old, *new);
            }
        }
        if needed.is_empty() {
            return Ok(needed);
        }
        // Until the end of the transaction, they are not deleted.
        lock(session)?;
        let found = existing(session, needed.values().copied())?;
        needed.retain(|_, new| !found.contains(new));
        let none_known = KnownCaptures::default();
        for (old, new) in &mut needed {
            let before = [Cell::Integer(old - 1)];
            let row = self.captures.rows_in(self.file, &before, Some(*old))?;
            let added = self.add_captures(session, &row, bins, &none_known)?;
            *new = added.inserted.first().map_or(NO_CAPTURE, |(_, id)| *id);
        }
        Ok(needed)
    }

    /// Returns how many deliveries were added. `restored` has captures whose ids have changed.
    fn add_deliveries(
        &self,
        session: &mut Session,
        rows: &[Vec<Cell>],
        captures: &BTreeMap<i64, i64>,
        restored: &BTreeMap<i64, i64>,
    ) -> Result<usize, PostgresError> {
        let new = rows.iter().map(|row| {
            let old = self.deliveries.number(row, CAPTURE_ID);
            if old == 0 {
                return self.deliveries.new_row(row, &[]);
            }
            let id = restored.get(&old).or_else(|| captures.get(&old));
            let id = id.copied().unwrap_or(NO_CAPTURE);
            self.deliveries.new_row(row, &[(CAPTURE_ID, id)])
        });
        let returning = "ON CONFLICT DO NOTHING RETURNING lower(uuid), id";
        let inserted = insert_all(session, "deliveries", new.collect(), returning)?;
        let mut new_ids: HashMap<String, i64> = HashMap::new();
        for row in &inserted {
            new_ids.insert(row.try_get(0)?, row.try_get(1)?);
        }
        let ids = rows.iter().filter_map(|row| {
            let uuid = self.deliveries.text(row, "uuid").to_lowercase();
            Some((self.deliveries.id(row), *new_ids.get(&uuid)?))
        });
        let ids: Vec<(i64, i64)> = ids.collect();
        self.add_parts(session, &self.attempts, "delivery_id", &ids)?;
        Ok(inserted.len())
    }

    /// Adds the rows of `table` that belong to rows with these ids in the file and on the server.
    fn add_parts(
        &self,
        session: &mut Session,
        table: &Table,
        parent: &str,
        ids: &[(i64, i64)],
    ) -> Result<(), PostgresError> {
        let (Some((first, _)), Some((last, _))) = (ids.first(), ids.last()) else {
            return Ok(());
        };
        let new_ids: HashMap<i64, i64> = ids.iter().copied().collect();
        let mut after = vec![Cell::Integer(*first), Cell::Integer(i64::MIN)];
        loop {
            let rows = table.rows_in(self.file, &after, Some(*last))?;
            let Some(row) = rows.last() else {
                return Ok(());
            };
            after = table.key_of(row);
            let new = rows.iter().filter_map(|row| {
                let new_id = new_ids.get(&table.number(row, parent))?;
                Some(table.new_row(row, &[(parent, *new_id)]))
            });
            insert_all(session, table.name, new.collect(), "")?;
        }
    }

    /// Adds cursors, unless they exist. Those of bins of the file continue at the same capture on the server; others, of
    /// listeners elsewhere, are copied as they are.
    fn add_cursors(
        &self,
        session: &mut Session,
        rows: &[Vec<Cell>],
        captures: &BTreeMap<i64, i64>,
    ) -> Result<(), PostgresError> {
        let bins = self.file.bins()?;
        let mut new = Vec::new();
        for row in rows {
            let created_at = self.cursors.number(row, "bin_created_at");
            let bin = bins.iter().find(|bin| bin.created_at.0 == created_at);
            let Some(bin) = bin else {
                new.push(self.cursors.new_row(row, &[]));
                continue;
            };
            let old_id = self.cursors.number(row, "last_id");
            let new_ids = |(_, new): (&i64, &i64)| *new;
            let last_read = captures.range(..=old_id).map(new_ids).max().unwrap_or(0);
            // A capture that was copied again may have an id behind later ones. They are read again rather than left out.
            let next = captures.range(old_id + 1..).map(new_ids).min();
            let last_id = next.map_or(last_read, |next| last_read.min(next - 1));
            let old = self.file.bin_position(&bin.name, old_id)?;
            let found = session.select(&statements::bin_position(&bin.name, last_id))?;
            let position = found.first().map(rows::follow_cursor).transpose()?;
            let (Some(old), Some(position)) = (old, position) else {
                continue;
            };
            // Captures that were deleted before they were read stay missed.
            let missed = old.seen - self.cursors.number(row, "seen");
            new.push(self.cursors.new_row(
                row,
                &[
                    ("bin_created_at", position.bin_created_at.0),
                    ("last_id", last_id),
                    ("seen", position.seen - missed),
                ],
            ));
        }
        insert_all(session, "cursors", new, "ON CONFLICT DO NOTHING")?;
        Ok(())
    }
}
