//! The failed list as 3scale's own `<webhooks-failures>` document.

use std::io::{self, Write};

use crate::delivery::Delivery;
use crate::portal::failures::{FailureEntry, FailuresWriter};

pub struct FailuresXml<W: Write>(FailuresWriter<W>);

impl<W: Write> FailuresXml<W> {
    pub fn new(out: W) -> io::Result<FailuresXml<W>> {
        FailuresWriter::new(out).map(FailuresXml)
    }

    /// Adds a delivery with the time of its last failure as text, and its event. Fails if the event is damaged.
    pub fn push(&mut self, delivery: &Delivery, time: &str, event: &[u8]) -> io::Result<()> {
        self.0.push(&FailureEntry {
            id: &delivery.uuid,
            time,
            error: delivery
                .last_error
                .as_ref()
                .map_or("interrupted", |error| &error.message),
            url: &delivery.target.to_string(),
            event,
        })
    }

    pub fn finish(self) -> io::Result<()> {
        self.0.finish()?.flush()
    }
}
