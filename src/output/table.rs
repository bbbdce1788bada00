//! Tables for people: plain columns, as wide as the terminal, wrapped where they must be.
//!
//! Cells come in ready to be shown: comfy-table writes escape sequences in them straight through.

use comfy_table::{Cell, ContentArrangement, Table, presets};

use super::{Tone, Ui};
use crate::delivery::{Delivery, ErrorKind, Status};
use crate::sanitize::visible_line;
use crate::time::{UnixMs, ago, local, until};

/// A column of the table of deliveries.
struct Column {
    title: &'static str,
    /// Left out below this width of the terminal: wrapped to a few characters a column is worth nothing.
    from_width: u16,
    cell: fn(&Delivery, UnixMs) -> String,
}

const COLUMNS: [Column; 8] = [
    Column {
        title: "ID",
        from_width: 0,
        cell: |d, _| format!("#{}", d.id),
    },
    Column {
        title: "EVENT",
        from_width: 0,
        cell: |d, _| format!("{}.{}", d.event_type, d.action),
    },
    Column {
        title: "TO",
        from_width: 90,
        cell: |d, _| d.endpoint.clone().unwrap_or_else(|| d.target.to_string()),
    },
    Column {
        title: STATUS,
        from_width: 0,
        cell: |d, _| d.status.as_str().to_owned(),
    },
    Column {
        title: "WHEN",
        from_width: 120,
        cell: |d, _| local(d.decided_at()),
    },
    Column {
        title: "AGE",
        from_width: 60,
        cell: |d, now| ago(d.decided_at(), now),
    },
    Column {
        title: "TRIES",
        from_width: 75,
        cell: |d, _| d.attempt_count.to_string(),
    },
    Column {
        title: "LAST ERROR",
        from_width: 0,
        // What went wrong before it was delivered is history.
        cell: |d, now| {
            if let Some(switch) = d.ignored_by {
                return format!("the switch `{}` said no", switch.as_str());
            }
            let error = d
                .last_error
                .as_ref()
                .filter(|_| d.status != Status::Delivered);
            let words = error.map(|error| error.message.clone()).unwrap_or_default();
            if let Some(due) = d.next_attempt_at {
                return format!("next attempt {}; {words}", until(due, now));
            }
            let stopped = d.status == Status::Interrupted
                && error.is_some_and(|e| e.kind != ErrorKind::Interrupted);
            if stopped {
                format!("interrupted, before that {words}")
            } else {
                words
            }
        },
    },
];

/// The column that a list of one status does without.
const STATUS: &str = "STATUS";

/// Deliveries, a row each, as many columns as the width allows.
pub fn deliveries(ui: &Ui, deliveries: &[Delivery], with_status: bool, now: UnixMs) -> String {
    let width = ui.width().unwrap_or(u16::MAX);
    let shown = COLUMNS
        .iter()
        .filter(|column| column.from_width <= width && (with_status || column.title != STATUS));
    let columns: Vec<&Column> = shown.collect();
    let header: Vec<&str> = columns.iter().map(|column| column.title).collect();
    let rows = deliveries.iter().map(|delivery| {
        columns
            .iter()
            .map(|column| (column.cell)(delivery, now))
            .collect()
    });
    plain(ui, &header, rows)
}

/// Any rows under any header.
pub fn plain(ui: &Ui, header: &[&str], rows: impl Iterator<Item = Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    if let Some(width) = ui.width() {
        table
            .set_width(width)
            .set_content_arrangement(ContentArrangement::Dynamic);
    }
    table.set_header(header.to_vec());
    for row in rows {
        table.add_row(row.iter().map(|cell| Cell::new(visible_line(cell))));
    }
    if let Some(first) = table.column_mut(0) {
        first.set_padding((0, 1));
    }
    let drawn = table.trim_fmt();
    // The header is painted after the layout: its codes must not count as width.
    match drawn.split_once('\n') {
        Some((first, rest)) => format!("{}\n{rest}", ui.toned(Tone::Strong, first)),
        None => ui.toned(Tone::Strong, &drawn),
    }
}
