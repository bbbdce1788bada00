//! What the engine takes next: items of the source, of which rows of the journal are read in groups.
//!
//! A database server needs about as long for a statement that reads many rows as for one that reads one. The group also
//! passes over rows that other processes have claimed since they were listed.

use std::collections::VecDeque;

use super::{Source, SourceItem};
use crate::delivery::Delivery;
use crate::journal::{ClaimCondition, DeliveryVersion, Journal, JournalError};

/// How many rows of a list one statement looks at.
const MAX_ROWS: usize = 512;

pub enum Next {
    /// A delivery with its payload, to be claimed under this condition.
    Row(ClaimCondition, (Delivery, Vec<u8>)),
    /// A delivery that was deleted, or has begun an attempt, since it was listed.
    Gone(ClaimCondition, i64),
    /// An item that is passed on unchanged.
    Other(SourceItem),
}

/// Items that were taken from the source and not yet handed out.
#[derive(Default)]
pub struct Lookahead {
    read: VecDeque<Next>,
    unread: VecDeque<(ClaimCondition, DeliveryVersion)>,
    /// The item behind the rows.
    other: Option<SourceItem>,
}

impl Lookahead {
    /// Reads deliveries for `room` claims, and about `max_bytes` of their payloads.
    pub fn next(
        &mut self,
        source: &mut dyn Source,
        journal: &dyn Journal,
        room: usize,
        max_bytes: usize,
    ) -> Result<Next, JournalError> {
        loop {
            if let Some(next) = self.read.pop_front() {
                return Ok(next);
            }
            if self.unread.is_empty() {
                self.take_rows(source, room);
            }
            if self.unread.is_empty() {
                return Ok(Next::Other(self.other.take().unwrap_or(SourceItem::End)));
            }
            self.read_rows(journal, room.max(1), max_bytes.max(1))?;
        }
    }

    /// Takes rows up to the first other item. Of those that are due no more than are claimed at once: the source counts
    /// them as under way.
    fn take_rows(&mut self, source: &mut dyn Source, room: usize) {
        while self.other.is_none() {
            let (row, max) = match source.next() {
                SourceItem::Failed(seen) => {
                    let attempts = seen.attempts;
                    ((ClaimCondition::Failed { attempts }, seen), MAX_ROWS)
                }
                SourceItem::Due(seen) => {
                    let attempts = seen.attempts;
                    ((ClaimCondition::Scheduled { attempts }, seen), room)
                }
                // The source is asked again after the rows.
                SourceItem::Later(_) if !self.unread.is_empty() => return,
                other => {
                    self.other = Some(other);
                    return;
                }
            };
            self.unread.push_back(row);
            if self.unread.len() >= max {
                return;
            }
        }
    }

    fn read_rows(
        &mut self,
        journal: &dyn Journal,
        room: usize,
        max_bytes: usize,
    ) -> Result<(), JournalError> {
        let seen: Vec<DeliveryVersion> = self.unread.iter().map(|(_, seen)| *seen).collect();
        let unchanged = journal.unchanged(&seen, room, max_bytes)?;
        let mut found = unchanged.found.into_iter().peekable();
        for (condition, seen) in self.unread.drain(..unchanged.done) {
            let row = found.next_if(|(delivery, _)| delivery.id == seen.id);
            // Whether a due one is still on the schedule is checked when it is claimed.
            let row = row.filter(|(delivery, _)| match condition {
                ClaimCondition::Failed { .. } => delivery.status.in_failed_list(),
                _ => true,
            });
            self.read.push_back(match row {
                Some(row) => Next::Row(condition, row),
                None => Next::Gone(condition, seen.id),
            });
        }
        Ok(())
    }
}
