//! `hookfire captured diff`

use std::collections::{BTreeMap, BTreeSet};

use clap::{Args, ValueHint};

use super::selection::whole;
use crate::capture::Mask;
use crate::capture::diff::{BodyKind, Comparison, Difference, Differences, compare};
use crate::cli::args::{Format, ReportOutput, parse_id};
use crate::cli::context::Context;
use crate::delivery::target::{Param, Value};
use crate::engine::plan::event_headers;
use crate::error::Failure;
use crate::event;
use crate::exit::Exit;
use crate::journal::Journal;
use crate::output::Tone;
use crate::secret::MASK;

const EXAMPLES: &str = "\
Examples:
  Show what changed from one request to the next:
    $ hookfire captured diff 17 18
  Check whether a delivery arrived as it was sent:
    $ hookfire captured diff delivery:42 17
  Print the paths of the differences, for a script:
    $ hookfire captured diff 17 18 -o json | jq -r '.differences[].path'";

const MAX_TEXT_DIFFERENCES: usize = 50;

const HEADER_RANK: u8 = 3;

/// They differ from request to request without meaning, or only frame the message.
const IGNORED_HEADERS: [&str; 10] = [
    "host",
    "date",
    "connection",
    "keep-alive",
    "proxy-connection",
    "content-length",
    "transfer-encoding",
    "te",
    "trailer",
    "expect",
];

/// Compare two captured requests, or a delivery with a captured request
///
/// Two XML or two JSON bodies are compared by content: the order of attributes or keys, white space between elements, the
/// notation of characters and numbers, comments and the XML declaration do not count; the order of elements and array items
/// does. Other bodies are compared byte by byte. At most 1000 differences are listed.
///
/// The exit code is like that of `diff`: 0 if the bodies are equal or equivalent, 1 if not. Differences in method, path, query
/// and headers are shown but do not count: two deliveries never have the same webhook-id.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct CapturedDiffArgs {
    /// A capture such as 17, or a delivery such as delivery:42
    #[arg(value_name = "A", value_hint = ValueHint::Other)]
    a: SideId,
    /// The other capture or delivery
    #[arg(value_name = "B", value_hint = ValueHint::Other)]
    b: SideId,
    #[command(flatten)]
    output: ReportOutput,
}

/// One side of the comparison, written as `17`, `#17` or `delivery:42`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SideId {
    Capture(i64),
    Delivery(i64),
}

impl SideId {
    fn is_delivery(self) -> bool {
        matches!(self, SideId::Delivery(_))
    }
}

impl std::str::FromStr for SideId {
    type Err = String;

    fn from_str(text: &str) -> Result<SideId, String> {
        let side = match text.strip_prefix("delivery:") {
            Some(rest) => parse_id(rest).map(SideId::Delivery),
            None => parse_id(text.strip_prefix("capture:").unwrap_or(text)).map(SideId::Capture),
        };
        side.map_err(|_| "write a capture's id such as 17 or #17, or delivery:42".to_owned())
    }
}

impl std::fmt::Display for SideId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            SideId::Capture(id) => write!(f, "#{id}"),
            SideId::Delivery(id) => write!(f, "delivery #{id}"),
        }
    }
}

/// A value of the request: as shown, masked; and as compared, none for a secret that is not stored and equals any value.
type FieldValue = (String, Option<String>);

/// One of the two requests.
struct Side {
    /// By rank (so that the method comes first) and label, such as `query token` and `header x-source`.
    fields: BTreeMap<(u8, String), Vec<FieldValue>>,
    body: Vec<u8>,
}

pub(super) fn run(args: &CapturedDiffArgs, ctx: &Context<'_>) -> Result<Exit, Failure> {
    let mask = ctx.mask(false)?;
    let journal = ctx.existing_journal()?;
    let read = |side| match side {
        SideId::Capture(id) => Side::capture(journal.as_deref(), id, &mask),
        SideId::Delivery(id) => Side::delivery(journal.as_deref(), id),
    };
    let (mut a, mut b) = (read(args.a)?, read(args.b)?);
    if args.a.is_delivery() || args.b.is_delivery() {
        // A delivery's event is compared with the event in the request, XML or form.
        a.body = event::extract_xml(&a.body).into_owned();
        b.body = event::extract_xml(&b.body).into_owned();
    }
    let comparison = compare(&a.body, &b.body);
    let request = request_differences(args, &a, &b);
    let exit = if matches!(comparison, Comparison::Different(..)) {
        Exit::Error
    } else {
        Exit::Done
    };
    let printed = match args.output.format() {
        Format::Text => print_text(ctx, args, &comparison, &request),
        format => {
            let line = format.document(&view(args, &comparison, &request));
            ctx.ui.line(&line).map_err(Failure::from)
        }
    };
    Failure::after_output(printed.and_then(|()| Ok(ctx.ui.flush()?)), exit)
}

impl Side {
    fn new(method: &str, path: &str, body: Vec<u8>) -> Side {
        let mut side = Side {
            fields: BTreeMap::new(),
            body,
        };
        for (rank, name, value) in [(0, "method", method), (1, "path", path)] {
            let value = value.to_owned();
            side.add(rank, name.to_owned(), (value.clone(), Some(value)));
        }
        side
    }

    fn add(&mut self, rank: u8, label: String, value: FieldValue) {
        self.fields.entry((rank, label)).or_default().push(value);
    }

    fn add_query(&mut self, name: &str, value: FieldValue) {
        self.add(2, format!("query {name}"), value);
    }

    fn add_header(&mut self, name: &str, value: FieldValue) {
        let name = name.to_ascii_lowercase();
        if !IGNORED_HEADERS.contains(&name.as_str()) {
            self.add(HEADER_RANK, format!("header {name}"), value);
        }
    }

    fn capture(journal: Option<&dyn Journal>, id: i64, mask: &Mask) -> Result<Side, Failure> {
        let (caught, body) = whole(journal, id)?;
        let capture = &caught.capture;
        let revealed = Mask {
            reveal: true,
            ..Mask::default()
        };
        let mut side = Side::new(capture.method(), capture.path(), body.bytes);
        let query = revealed.query(capture).into_iter();
        for ((name, known), (_, shown)) in query.zip(mask.query(capture)) {
            side.add_query(&name, (shown, Some(known)));
        }
        let headers = revealed.headers(capture).into_iter();
        for ((name, known), (_, shown)) in headers.zip(mask.headers(capture)) {
            side.add_header(&name, (shown, Some(known)));
        }
        Ok(side)
    }

    fn delivery(journal: Option<&dyn Journal>, id: i64) -> Result<Side, Failure> {
        let journal = journal.ok_or_else(|| Failure::no_delivery(id))?;
        let delivery = journal
            .delivery(id)?
            .ok_or_else(|| Failure::no_delivery(id))?;
        let target = &delivery.target;
        let mut side = Side::new("POST", target.base.path(), journal.event(id)?);
        for param in &target.params {
            side.add_query(&param.name, field_value(param));
        }
        for header in &target.headers {
            side.add_header(&header.name, field_value(header));
        }
        for (name, value) in event_headers(&delivery.uuid, delivery.body_format) {
            let mut own = target.headers.iter();
            if !own.any(|header| header.name.eq_ignore_ascii_case(name)) {
                side.add_header(name, (value.clone(), Some(value)));
            }
        }
        Ok(side)
    }
}

fn field_value(param: &Param) -> FieldValue {
    match &param.value {
        Value::Public(value) => (value.clone(), Some(value.clone())),
        Value::Secret(_) => (MASK.to_owned(), None),
    }
}

fn request_differences(args: &CapturedDiffArgs, a: &Side, b: &Side) -> Vec<Difference> {
    let is_different = |key: &(u8, String)| match (a.fields.get(key), b.fields.get(key)) {
        (Some(a), Some(b)) => {
            let equal =
                |((_, a), (_, b)): (&FieldValue, &FieldValue)| a.is_none() || b.is_none() || a == b;
            a.len() != b.len() || !a.iter().zip(b).all(equal)
        }
        // The HTTP client adds headers to a delivery.
        (Some(_), None) if key.0 == HEADER_RANK => args.a.is_delivery() || !args.b.is_delivery(),
        (None, Some(_)) if key.0 == HEADER_RANK => args.b.is_delivery() || !args.a.is_delivery(),
        _ => true,
    };
    let shown = |values: Option<&Vec<FieldValue>>| {
        let texts: Vec<&str> = values?.iter().map(|(shown, _)| shown.as_str()).collect();
        Some(texts.join(", "))
    };
    let keys: BTreeSet<&(u8, String)> = a.fields.keys().chain(b.fields.keys()).collect();
    let mut found = Vec::new();
    for key in keys.into_iter().filter(|key| is_different(key)) {
        found.push(Difference {
            path: key.1.clone(),
            a: shown(a.fields.get(key)),
            b: shown(b.fields.get(key)),
        });
    }
    found
}

fn print_text(
    ctx: &Context<'_>,
    args: &CapturedDiffArgs,
    comparison: &Comparison,
    request: &[Difference],
) -> Result<(), Failure> {
    let (words, kind, tone) = match comparison {
        Comparison::SameBytes => ("byte-equal", None, Tone::Good),
        Comparison::Equivalent(kind) => ("equivalent, bytes differ", Some(kind), Tone::Good),
        Comparison::Different(kind, _) => ("different", Some(kind), Tone::Bad),
    };
    let words = ctx.ui.toned(tone, words);
    let kind = kind.map_or(String::new(), |kind| format!(" ({})", kind.as_str()));
    ctx.ui.line(&format!(
        "bodies of {} and {}: {words}{kind}",
        args.a, args.b
    ))?;
    if let Comparison::Different(kind, differences) = comparison {
        print_differences(ctx, &differences.found, *kind == BodyKind::Json)?;
        if differences.truncated {
            ctx.ui.line("  and others, which are not listed")?;
        }
    }
    if !request.is_empty() {
        let heading = ctx
            .ui
            .toned(Tone::Strong, "method, path, query and headers");
        ctx.ui.line(&format!("\n{heading}"))?;
        print_differences(ctx, request, false)?;
    }
    Ok(())
}

/// `  event/object/plan/name: "Basic" ≠ "Gold"`. JSON values are in quotes already.
fn print_differences(
    ctx: &Context<'_>,
    differences: &[Difference],
    quoted: bool,
) -> Result<(), Failure> {
    let shown = |value: &Option<String>| match value {
        None => "nothing".to_owned(),
        Some(value) if quoted => value.clone(),
        Some(value) => format!("{value:?}"),
    };
    for Difference { path, a, b } in differences.iter().take(MAX_TEXT_DIFFERENCES) {
        let line = format!("  {path}: {} ≠ {}", shown(a), shown(b));
        ctx.ui.line(&ctx.ui.untrusted(&line))?;
    }
    if differences.len() > MAX_TEXT_DIFFERENCES {
        let more = differences.len() - MAX_TEXT_DIFFERENCES;
        ctx.ui
            .line(&format!("  and {more} more; `-o json` lists them"))?;
    }
    Ok(())
}

fn view(
    args: &CapturedDiffArgs,
    comparison: &Comparison,
    request: &[Difference],
) -> serde_json::Value {
    let none = Differences::default();
    let (bodies, kind, differences) = match comparison {
        Comparison::SameBytes => ("byte_equal", None, &none),
        Comparison::Equivalent(kind) => ("equivalent", Some(kind.as_str()), &none),
        Comparison::Different(kind, found) => ("different", Some(kind.as_str()), found),
    };
    serde_json::json!({
        "a": args.a.to_string(), "b": args.b.to_string(), "bodies": bodies, "compared_as": kind,
        "differences": differences.found, "truncated": differences.truncated, "request_differences": request,
    })
}
