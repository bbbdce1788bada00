//! CSV lists: one row a delivery or capture, and no cell that a spreadsheet would run.

use std::io::{self, Write};

use crate::capture::{Caught, Mask};
use crate::delivery::Delivery;
use crate::time::rfc3339;

const COLUMNS: [&str; 13] = [
    "id",
    "uuid",
    "type",
    "action",
    "endpoint",
    "url",
    "status",
    "created_at",
    "finished_at",
    "attempt_count",
    "error_kind",
    "http_status",
    "error_message",
];

/// Writes rows as they come.
pub struct CsvList<W: Write>(csv::Writer<W>);

impl<W: Write> CsvList<W> {
    /// Begins with the names of the columns.
    ///
    /// # Errors
    /// The writer's.
    pub fn new(out: W) -> io::Result<CsvList<W>> {
        let mut writer = csv::Writer::from_writer(out);
        writer.write_record(COLUMNS).map_err(io_error)?;
        Ok(CsvList(writer))
    }

    /// Adds a delivery.
    ///
    /// # Errors
    /// The writer's.
    pub fn push(&mut self, delivery: &Delivery) -> io::Result<()> {
        let error = delivery.last_error.as_ref();
        let cells: [String; COLUMNS.len()] = [
            delivery.id.to_string(),
            delivery.uuid.clone(),
            delivery.event_type.clone(),
            delivery.action.clone(),
            delivery.endpoint.clone().unwrap_or_default(),
            delivery.target.to_string(),
            delivery.status.as_str().to_owned(),
            rfc3339(delivery.created_at),
            delivery.finished_at.map(rfc3339).unwrap_or_default(),
            delivery.attempt_count.to_string(),
            error
                .map(|e| e.kind.as_str().to_owned())
                .unwrap_or_default(),
            error
                .and_then(|e| e.http_status)
                .map(|status| status.to_string())
                .unwrap_or_default(),
            error.map(|e| e.message.clone()).unwrap_or_default(),
        ];
        self.0.write_record(cells.map(inert)).map_err(io_error)?;
        Ok(())
    }

    /// Ends the list.
    ///
    /// # Errors
    /// The writer's.
    pub fn finish(mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// The writer's own error, of which a reader that went away is to be told apart: wrapped, it is of no kind.
fn io_error(error: csv::Error) -> io::Error {
    match error.into_kind() {
        csv::ErrorKind::Io(e) => e,
        other => io::Error::other(format!("{other:?}")),
    }
}

/// Any rows under any header.
///
/// # Errors
/// The writer's.
pub fn rows(header: &[&str], rows: impl Iterator<Item = Vec<String>>) -> io::Result<Vec<u8>> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(header)?;
    for row in rows {
        writer.write_record(row.into_iter().map(inert))?;
    }
    writer.into_inner().map_err(csv::IntoInnerError::into_error)
}

const CAPTURE_COLUMNS: [&str; 13] = [
    "id",
    "bin",
    "received_at",
    "remote_addr",
    "method",
    "target",
    "type",
    "action",
    "body_size",
    "secret_ok",
    "malformed",
    "status",
    "duration_ms",
];

/// Writes captures as they come.
pub struct CaptureCsv<W: Write>(csv::Writer<W>);

impl<W: Write> CaptureCsv<W> {
    /// Begins with the names of the columns.
    ///
    /// # Errors
    /// The writer's.
    pub fn new(out: W) -> io::Result<CaptureCsv<W>> {
        let mut writer = csv::Writer::from_writer(out);
        writer.write_record(CAPTURE_COLUMNS).map_err(io_error)?;
        Ok(CaptureCsv(writer))
    }

    /// Adds a capture.
    ///
    /// # Errors
    /// The writer's.
    pub fn push(&mut self, caught: &Caught, mask: &Mask) -> io::Result<()> {
        let capture = &caught.capture;
        let event = caught.event.as_ref();
        let cells: [String; CAPTURE_COLUMNS.len()] = [
            caught.id.to_string(),
            caught.bin.clone(),
            rfc3339(capture.received_at),
            capture.remote_addr.to_string(),
            capture.method().to_owned(),
            mask.target(capture),
            event
                .map(|event| event.event_type.clone())
                .unwrap_or_default(),
            event.map(|event| event.action.clone()).unwrap_or_default(),
            caught.body_size.to_string(),
            capture
                .secret_ok
                .map(|ok| ok.to_string())
                .unwrap_or_default(),
            capture.malformed.to_string(),
            capture
                .answer
                .status
                .map(|status| status.to_string())
                .unwrap_or_default(),
            capture.answer.duration_ms.to_string(),
        ];
        self.0.write_record(cells.map(inert)).map_err(io_error)?;
        Ok(())
    }

    /// Ends the list.
    ///
    /// # Errors
    /// The writer's.
    pub fn finish(mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// A cell that starts like a formula gets an apostrophe in front, which spreadsheets take as "this is text".
fn inert(cell: String) -> String {
    // The wide forms are formulas to the East Asian editions.
    const STARTS: [char; 11] = ['=', '+', '-', '@', '\t', '\r', '\n', '＝', '＋', '－', '＠'];
    let starts_formula = cell
        .trim_start_matches([' ', '\u{a0}', '\u{feff}'])
        .starts_with(STARTS);
    if starts_formula {
        format!("'{cell}")
    } else {
        cell
    }
}

#[cfg(test)]
mod tests {
    use super::inert;

    #[test]
    fn no_cell_starts_a_formula() {
        for cell in ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", " =1", "＝1"] {
            assert_eq!(inert(cell.to_owned()), format!("'{cell}"));
        }
        assert_eq!(
            inert("503 Service Unavailable".to_owned()),
            "503 Service Unavailable"
        );
    }
}
