//! `hookfire captured diff`

use clap::{Args, ValueHint};
use indexmap::IndexMap;

use super::selection::whole;
use super::source::{CaptureSource, SourceArgs};
use crate::capture::diff::{BodyKind, Comparison, Difference, compare};
use crate::capture::{Mask, is_hop_by_hop};
use crate::cli::args::{ReportOutput, parse_id};
use crate::cli::context::Context;
use crate::delivery::target::{Param, Value};
use crate::engine::plan::payload_headers;
use crate::error::Failure;
use crate::event;
use crate::exit::Exit;
use crate::journal::{Journal, StoredCapture};
use crate::output::Tone;
use crate::secret::MASK;

const EXAMPLES: &str = "\
Examples:
  Show what changed from one request to the next:
    $ hookfire captured diff 17 18
  Check whether a delivery arrived as it was sent:
    $ hookfire captured diff delivery:42 17
  Print the paths of the differences, for a script:
    $ hookfire captured diff 17 18 -o json | jq -r '.differences[].path'
  Check whether a delivery arrived on another machine as it was sent here:
    $ hookfire captured diff delivery:42 17 --from https://hooks.example.com --token @env:READ_TOKEN";

const MAX_TEXT_DIFFERENCES: usize = 50;

const HEADER: &str = "header ";

/// Compare two captured requests, or a delivery with a captured request
///
/// Two XML or two JSON bodies are compared by content: the order of attributes or keys, white space between elements, the
/// notation of characters and numbers, comments and the XML declaration do not count; the order of elements and array items
/// does. Other bodies are compared byte by byte. At most 1000 differences are listed.
///
/// The exit code is like that of `diff`: 0 if the bodies are equal or equivalent, 1 if not. Differences in method, path, query
/// and headers are shown but do not count: two deliveries never have the same webhook-id. With --from, captures are those of
/// another machine, and deliveries those of the journal here.
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
    source: SourceArgs,
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

/// One of the two requests.
struct ComparedRequest {
    /// Labels, such as `query token` and `header x-source`, and values in order.
    fields: Vec<(String, FieldValue)>,
    body: Vec<u8>,
    /// Whether it is a delivery of an event.
    is_event: bool,
}

struct FieldValue {
    /// Masked if it is secret.
    shown: String,
    /// None for a secret that is not stored: it equals any value.
    known: Option<String>,
}

pub(super) fn run(args: &CapturedDiffArgs, ctx: &Context<'_>) -> Result<Exit, Failure> {
    let mask = ctx.mask(false)?;
    let source = args.source.open(ctx)?;
    let read = |side| match side {
        SideId::Capture(id) => ComparedRequest::capture(&*source, id, &mask),
        SideId::Delivery(id) => ComparedRequest::delivery(&*ctx.readable_journal()?, id),
    };
    let (mut a, mut b) = (read(args.a)?, read(args.b)?);
    if a.is_event || b.is_event {
        // A delivery's event is compared with the event in the request, XML or form.
        a.body = event::extract_xml(&a.body).into_owned();
        b.body = event::extract_xml(&b.body).into_owned();
    }
    let bodies = compare(&a.body, &b.body);
    let request = request_differences(args, [a, b]);
    let exit = match bodies.differences[..] {
        [] => Exit::Done,
        _ => Exit::Error,
    };
    let text = text(ctx, args, &bodies, &request);
    let view = view(args, &bodies, &request);
    let printed = ctx.ui.report(args.output.format(), &text, &view);
    Failure::after_output(printed.map_err(Failure::from), exit)
}

impl ComparedRequest {
    fn new(method: &str, path: &str, body: Vec<u8>) -> ComparedRequest {
        let mut request = ComparedRequest {
            fields: Vec::new(),
            body,
            is_event: false,
        };
        request.add("method".to_owned(), method.to_owned(), Some(method));
        request.add("path".to_owned(), path.to_owned(), Some(path));
        request
    }

    fn add(&mut self, label: String, shown: String, known: Option<&str>) {
        let known = known.map(str::to_owned);
        self.fields.push((label, FieldValue { shown, known }));
    }

    fn add_header(&mut self, name: &str, shown: String, known: Option<&str>) {
        let name = name.to_ascii_lowercase();
        // Dates differ from request to request without meaning.
        if name != "date" && !is_hop_by_hop(&name) {
            self.add(format!("{HEADER}{name}"), shown, known);
        }
    }

    fn capture(
        source: &dyn CaptureSource,
        id: i64,
        mask: &Mask,
    ) -> Result<ComparedRequest, Failure> {
        let StoredCapture { record, body, .. } = whole(source, id)?;
        let capture = &record.capture;
        let revealed = Mask::revealing();
        let mut request = ComparedRequest::new(
            capture.method(),
            capture.path(),
            capture.content(&body).into_owned(),
        );
        let query = revealed.query(capture).into_iter();
        for ((name, known), (_, shown)) in query.zip(mask.query(capture)) {
            request.add(format!("query {name}"), shown, Some(&known));
        }
        let headers = revealed.headers(capture).into_iter();
        for ((name, known), (_, shown)) in headers.zip(mask.headers(capture)) {
            request.add_header(&name, shown, Some(&known));
        }
        Ok(request)
    }

    fn delivery(journal: &dyn Journal, id: i64) -> Result<ComparedRequest, Failure> {
        let delivery = journal
            .delivery(id)?
            .ok_or_else(|| Failure::no_delivery(id))?;
        let target = &delivery.target;
        let mut request =
            ComparedRequest::new(&delivery.method, target.base.path(), journal.payload(id)?);
        request.is_event = delivery.payload_kind.event_format().is_some();
        for param in &target.params {
            let (shown, known) = shown_and_known(param);
            request.add(format!("query {}", param.name), shown, known);
        }
        for header in &target.headers {
            let (shown, known) = shown_and_known(header);
            request.add_header(&header.name, shown, known);
        }
        for (name, value) in payload_headers(&delivery.uuid, &delivery.payload_kind) {
            let mut own = target.headers.iter();
            if !own.any(|header| header.name.eq_ignore_ascii_case(name)) {
                request.add_header(name, value.clone(), Some(&value));
            }
        }
        for (name, shown) in target.masked_signature() {
            request.add_header(&name, shown, None);
        }
        Ok(request)
    }
}

fn shown_and_known(param: &Param) -> (String, Option<&str>) {
    match &param.value {
        Value::Public(value) => (value.clone(), Some(value)),
        Value::Secret(_) => (MASK.to_owned(), None),
    }
}

fn request_differences(args: &CapturedDiffArgs, requests: [ComparedRequest; 2]) -> Vec<Difference> {
    let are_deliveries = [args.a.is_delivery(), args.b.is_delivery()];
    let mut fields = IndexMap::<String, [Vec<FieldValue>; 2]>::new();
    for (side, request) in requests.into_iter().enumerate() {
        for (label, value) in request.fields {
            fields.entry(label).or_default()[side].push(value);
        }
    }
    let is_equal = |a: &FieldValue, b: &FieldValue| {
        a.known.is_none() || b.known.is_none() || a.known == b.known
    };
    let mut found = Vec::new();
    for (path, [a, b]) in fields {
        // The HTTP client adds headers to a delivery.
        let is_added = path.starts_with(HEADER)
            && match are_deliveries {
                [true, false] => a.is_empty(),
                [false, true] => b.is_empty(),
                _ => false,
            };
        let mut pairs = a.iter().zip(&b);
        if is_added || a.len() == b.len() && pairs.all(|(a, b)| is_equal(a, b)) {
            continue;
        }
        let [a, b] = [a, b].map(|values| {
            let shown: Vec<&str> = values.iter().map(|value| value.shown.as_str()).collect();
            (!shown.is_empty()).then(|| shown.join(", "))
        });
        found.push(Difference { path, a, b });
    }
    found
}

fn text(
    ctx: &Context<'_>,
    args: &CapturedDiffArgs,
    bodies: &Comparison,
    request: &[Difference],
) -> String {
    let (words, tone) = match (bodies.kind, &bodies.differences[..]) {
        (None, _) => ("byte-equal", Tone::Good),
        (Some(_), []) => ("equivalent, bytes differ", Tone::Good),
        (Some(_), _) => ("different", Tone::Bad),
    };
    let words = ctx.ui.toned(tone, words);
    let kind = bodies.kind.map(|kind| format!(" ({})", kind.as_str()));
    let kind = kind.unwrap_or_default();
    let mut text = format!("bodies of {} and {}: {words}{kind}", args.a, args.b);
    let are_quoted = bodies.kind == Some(BodyKind::Json);
    text += &differences(ctx, &bodies.differences, are_quoted);
    if bodies.truncated {
        text += "\n  and others, which are not listed";
    }
    if !request.is_empty() {
        let heading = ctx
            .ui
            .toned(Tone::Strong, "method, path, query and headers");
        text += &format!("\n\n{heading}");
        text += &differences(ctx, request, false);
    }
    text
}

/// `  event/object/plan/name: "Basic" ≠ "Gold"`. JSON values are in quotes already.
fn differences(ctx: &Context<'_>, differences: &[Difference], quoted: bool) -> String {
    let mut text = String::new();
    let shown = |value: &Option<String>, tone| match value {
        None => "nothing".to_owned(),
        Some(value) if quoted => ctx.ui.toned(tone, &ctx.ui.untrusted(value)),
        Some(value) => ctx.ui.toned(tone, &ctx.ui.untrusted(&format!("{value:?}"))),
    };
    for Difference { path, a, b } in differences.iter().take(MAX_TEXT_DIFFERENCES) {
        let path = ctx.ui.untrusted(path);
        let (a, b) = (shown(a, Tone::Bad), shown(b, Tone::Good));
        text += &format!("\n  {path}: {a} ≠ {b}");
    }
    if differences.len() > MAX_TEXT_DIFFERENCES {
        let more = differences.len() - MAX_TEXT_DIFFERENCES;
        text += &format!("\n  and {more} more; `-o json` lists them");
    }
    text
}

fn view(args: &CapturedDiffArgs, bodies: &Comparison, request: &[Difference]) -> serde_json::Value {
    let words = match (bodies.kind, &bodies.differences[..]) {
        (None, _) => "byte_equal",
        (Some(_), []) => "equivalent",
        (Some(_), _) => "different",
    };
    serde_json::json!({
        "a": args.a.to_string(), "b": args.b.to_string(), "bodies": words,
        "compared_as": bodies.kind.map(BodyKind::as_str), "differences": bodies.differences,
        "truncated": bodies.truncated, "request_differences": request,
    })
}
