//! `hookfire captured diff`

use std::collections::BTreeMap;

use clap::{Args, ValueHint};

use super::selection::whole;
use crate::capture::Mask;
use crate::capture::diff::{Comparison, Difference, Kind, compare};
use crate::cli::args::{Format, ReportOutput, id};
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

/// What is compared: `17`, `#17` or `delivery:42`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SideId {
    Capture(i64),
    Delivery(i64),
}

impl std::str::FromStr for SideId {
    type Err = String;

    fn from_str(text: &str) -> Result<SideId, String> {
        let side = match text.strip_prefix("delivery:") {
            Some(rest) => id(rest).map(SideId::Delivery),
            None => id(text.strip_prefix("capture:").unwrap_or(text)).map(SideId::Capture),
        };
        side.ok_or_else(|| "write a capture's id such as 17 or #17, or delivery:42".to_owned())
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

/// A value of the query or of a header.
struct Part {
    /// Masked.
    shown: String,
    /// None for a secret that is not stored; it equals any value.
    known: Option<String>,
}

/// One of the two requests.
struct Side {
    method: String,
    path: String,
    /// By decoded name, in order.
    query: BTreeMap<String, Vec<Part>>,
    /// By name in lower case, in order.
    headers: BTreeMap<String, Vec<Part>>,
    /// False for a delivery, to which the HTTP client adds headers.
    all_headers: bool,
    body: Vec<u8>,
}

pub(super) fn run(args: &CapturedDiffArgs, ctx: &Context<'_>) -> Result<Exit, Failure> {
    let mask = ctx.mask(false)?;
    let journal = ctx.existing_journal()?;
    let mut a = Side::read(journal.as_deref(), args.a, &mask)?;
    let mut b = Side::read(journal.as_deref(), args.b, &mask)?;
    // A delivery's event is compared with the event in the request, XML or form.
    if [args.a, args.b]
        .iter()
        .any(|side| matches!(side, SideId::Delivery(_)))
    {
        [&mut a, &mut b]
            .into_iter()
            .for_each(|side| side.body = event::extract_xml(&side.body).into_owned());
    }
    let comparison = compare(&a.body, &b.body);
    let request = request_differences(&a, &b);
    let exit = if matches!(comparison, Comparison::Different(..)) {
        Exit::Error
    } else {
        Exit::Done
    };
    let printed = match args.output.format() {
        Format::Text => print_text(ctx, args, &comparison, &request),
        format => {
            let view = view(args, &comparison, &request);
            let line = format.document(&view);
            ctx.ui.line(&line).map_err(Failure::from)
        }
    };
    Failure::after_output(printed.and_then(|()| Ok(ctx.ui.flush()?)), exit)
}

impl Side {
    fn read(journal: Option<&dyn Journal>, side: SideId, mask: &Mask) -> Result<Side, Failure> {
        match side {
            SideId::Capture(id) => Side::capture(journal, id, mask),
            SideId::Delivery(id) => Side::delivery(journal, id),
        }
    }

    fn capture(journal: Option<&dyn Journal>, id: i64, mask: &Mask) -> Result<Side, Failure> {
        let (caught, body) = whole(journal, id)?;
        let capture = &caught.capture;
        let revealed = Mask {
            reveal: true,
            ..Mask::default()
        };
        let parts = |received: Vec<(String, String)>, shown: Vec<(String, String)>| {
            let pairs = received.into_iter().zip(shown);
            pairs.map(|((name, known), (_, shown))| {
                (
                    name,
                    Part {
                        shown,
                        known: Some(known),
                    },
                )
            })
        };
        Ok(Side {
            method: capture.method().to_owned(),
            path: capture.path().to_owned(),
            query: grouped(parts(revealed.query(capture), mask.query(capture))),
            headers: grouped(
                parts(revealed.headers(capture), mask.headers(capture))
                    .map(|(name, part)| (name.to_ascii_lowercase(), part)),
            ),
            all_headers: true,
            body: body.bytes,
        })
    }

    fn delivery(journal: Option<&dyn Journal>, id: i64) -> Result<Side, Failure> {
        let found = journal
            .map(|journal| Ok::<_, Failure>((journal.delivery(id)?, journal)))
            .transpose()?;
        let Some((Some(delivery), journal)) = found else {
            return Err(Failure::no_delivery(id));
        };
        let target = &delivery.target;
        let own = target
            .headers
            .iter()
            .map(|header| (header.name.to_ascii_lowercase(), part(header)));
        let replaced = |name: &str| {
            target
                .headers
                .iter()
                .any(|header| header.name.eq_ignore_ascii_case(name))
        };
        let standard = event_headers(&delivery.uuid, delivery.wire)
            .into_iter()
            .filter(|(name, _)| !replaced(name));
        let standard = standard.map(|(name, value)| {
            (
                name.to_owned(),
                Part {
                    shown: value.clone(),
                    known: Some(value),
                },
            )
        });
        Ok(Side {
            method: "POST".to_owned(),
            path: target.base.path().to_owned(),
            query: grouped(
                target
                    .params
                    .iter()
                    .map(|param| (param.name.clone(), part(param))),
            ),
            headers: grouped(own.chain(standard)),
            all_headers: false,
            body: journal.event(id)?,
        })
    }
}

fn part(named: &Param) -> Part {
    match &named.value {
        Value::Public(value) => Part {
            shown: value.clone(),
            known: Some(value.clone()),
        },
        Value::Secret(_) => Part {
            shown: MASK.to_owned(),
            known: None,
        },
    }
}

fn grouped(pairs: impl Iterator<Item = (String, Part)>) -> BTreeMap<String, Vec<Part>> {
    let mut groups: BTreeMap<String, Vec<Part>> = BTreeMap::new();
    for (name, part) in pairs {
        groups.entry(name).or_default().push(part);
    }
    groups
}

fn request_differences(a: &Side, b: &Side) -> Vec<Difference> {
    let mut found = Vec::new();
    for (what, a, b) in [("method", &a.method, &b.method), ("path", &a.path, &b.path)] {
        if a != b {
            found.push(Difference {
                path: what.to_owned(),
                a: Some(a.clone()),
                b: Some(b.clone()),
            });
        }
    }
    found.extend(group_differences("query", &a.query, &b.query, |_| true));
    found.extend(group_differences(
        "header",
        &a.headers,
        &b.headers,
        |name| {
            let one_sided = a.all_headers && b.all_headers
                || a.headers.contains_key(name) && b.headers.contains_key(name);
            // A header of the delivery that did not arrive is shown; one that the client added is not.
            let lost = !a.all_headers && a.headers.contains_key(name)
                || !b.all_headers && b.headers.contains_key(name);
            !IGNORED_HEADERS.contains(&name) && (one_sided || lost)
        },
    ));
    found
}

fn group_differences(
    what: &str,
    a: &BTreeMap<String, Vec<Part>>,
    b: &BTreeMap<String, Vec<Part>>,
    counts: impl Fn(&str) -> bool,
) -> Vec<Difference> {
    let mut names: Vec<&String> = a.keys().chain(b.keys()).collect();
    names.sort_unstable();
    names.dedup();
    let shown = |parts: Option<&Vec<Part>>| {
        parts.map(|parts| {
            parts
                .iter()
                .map(|part| part.shown.as_str())
                .collect::<Vec<_>>()
                .join(", ")
        })
    };
    let different = names
        .into_iter()
        .filter(|name| counts(name) && !same(a.get(*name), b.get(*name)));
    different
        .map(|name| Difference {
            path: format!("{what} {name}"),
            a: shown(a.get(name)),
            b: shown(b.get(name)),
        })
        .collect()
}

fn same(a: Option<&Vec<Part>>, b: Option<&Vec<Part>>) -> bool {
    let (Some(a), Some(b)) = (a, b) else {
        return false;
    };
    let pairs = || a.iter().zip(b);
    a.len() == b.len()
        && pairs().all(|(a, b)| a.known.is_none() || b.known.is_none() || a.known == b.known)
}

fn outcome_words(comparison: &Comparison) -> (&'static str, Tone) {
    match comparison {
        Comparison::SameBytes => ("byte-equal", Tone::Good),
        Comparison::Equivalent(_) => ("equivalent, bytes differ", Tone::Good),
        Comparison::Different(..) => ("different", Tone::Bad),
    }
}

fn print_text(
    ctx: &Context<'_>,
    args: &CapturedDiffArgs,
    comparison: &Comparison,
    request: &[Difference],
) -> Result<(), Failure> {
    let (words, tone) = outcome_words(comparison);
    let kind = match comparison {
        Comparison::Equivalent(kind) | Comparison::Different(kind, _) => {
            format!(" ({})", kind.as_str())
        }
        Comparison::SameBytes => String::new(),
    };
    ctx.ui.line(&format!(
        "bodies of {} and {}: {}{kind}",
        args.a,
        args.b,
        ctx.ui.toned(tone, words)
    ))?;
    if let Comparison::Different(kind, differences) = comparison {
        print_differences(ctx, &differences.found, *kind == Kind::Json)?;
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
    let list = |differences: &[Difference]| {
        let views = differences
            .iter()
            .map(|Difference { path, a, b }| serde_json::json!({ "path": path, "a": a, "b": b }));
        views.collect::<Vec<_>>()
    };
    let (bodies, kind, differences, truncated) = match comparison {
        Comparison::SameBytes => ("byte_equal", None, Vec::new(), false),
        Comparison::Equivalent(kind) => ("equivalent", Some(kind.as_str()), Vec::new(), false),
        Comparison::Different(kind, differences) => (
            "different",
            Some(kind.as_str()),
            list(&differences.found),
            differences.truncated,
        ),
    };
    serde_json::json!({
        "a": args.a.to_string(), "b": args.b.to_string(), "bodies": bodies, "compared_as": kind,
        "differences": differences, "truncated": truncated, "request_differences": list(request),
    })
}
