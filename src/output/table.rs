//! Tables for people: plain columns, as wide as the terminal, wrapped where they must be.
//!
//! Cells come in ready to be shown: comfy-table writes escape sequences in them straight through.

use comfy_table::{Cell, ContentArrangement, Table, presets};

use super::{Tone, Ui};
use crate::delivery::Delivery;
use crate::sanitize::visible_line;
use crate::time::{UnixMs, ago, local};

/// Deliveries, a row each. `finished` heads the column of [`Delivery::decided_at`].
pub fn deliveries(ui: &Ui, deliveries: &[Delivery], with_status: bool, now: UnixMs) -> String {
    let mut header = vec!["ID", "EVENT", "TO"];
    if with_status {
        header.push("STATUS");
    }
    header.extend([if with_status { "WHEN" } else { "FAILED AT" }, "AGE", "TRIES", "LAST ERROR"]);
    let rows = deliveries.iter().map(|delivery| {
        let to = delivery.endpoint.clone().unwrap_or_else(|| delivery.target.to_string());
        let error = delivery.last_error.as_ref().map_or("", |error| &error.message);
        let mut row = vec![
            format!("#{}", delivery.id),
            format!("{}.{}", delivery.event_type, delivery.action),
            to,
            local(delivery.decided_at()),
            ago(delivery.decided_at(), now),
            delivery.attempt_count.to_string(),
            error.to_owned(),
        ];
        if with_status {
            row.insert(3, delivery.status.as_str().to_owned());
        }
        row
    });
    plain(ui, &header, rows)
}

/// Any rows under any header.
pub fn plain(ui: &Ui, header: &[&str], rows: impl Iterator<Item = Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    if let Some(width) = ui.width() {
        table.set_width(width).set_content_arrangement(ContentArrangement::Dynamic);
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
