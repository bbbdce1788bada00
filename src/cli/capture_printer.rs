//! Prints captures as they arrive, for `listen` and `captured follow`.

use super::args::Format;
use crate::capture::Mask;
use crate::journal::StoredCapture;
use crate::output::capture_json::capture_view;
use crate::output::{OutputError, Tone, Ui, capture, json};
use crate::time::local_clock;

pub struct CapturePrinter<'a> {
    ui: &'a Ui,
    mask: Mask,
    format: Format,
    array: json::Array,
}

impl<'a> CapturePrinter<'a> {
    pub fn new(ui: &'a Ui, mask: Mask, format: Format) -> CapturePrinter<'a> {
        CapturePrinter {
            ui,
            mask,
            format,
            array: json::Array::default(),
        }
    }

    pub fn print(&mut self, stored: &StoredCapture) -> Result<(), OutputError> {
        let StoredCapture { record, body, .. } = stored;
        let view = || capture_view(record, &self.mask, Some(body));
        let line = match self.format {
            Format::Json => self.array.element(&view()),
            Format::Ndjson => json::compact(&view()),
            _ => {
                let time = local_clock(record.capture.received_at);
                let time = self.ui.toned(Tone::Faint, &time);
                format!("{time} {}", capture::line(self.ui, record, &self.mask))
            }
        };
        self.ui.line(&line)
    }

    /// Ends the output, which is complete only then.
    pub fn finish(&self) -> Result<(), OutputError> {
        if self.format == Format::Json {
            self.ui.line(self.array.end())?;
        }
        self.ui.flush()
    }
}
