//! `hookfire captured diff`

use std::collections::BTreeMap;

use clap::{Args, ValueHint};

use super::selection::whole;
use crate::capture::Mask;
use crate::capture::diff::{Difference, Kind, Verdict, compare};
use crate::cli::args::{Format, ReportOutput, id};
use crate::cli::context::Context;
use crate::delivery::target::{Param, Value};
use crate::engine::deliver::event_headers;
use crate::error::Failure;
use crate::event;
use crate::exit::Exit;
use crate::journal::Journal;
use crate::output::Tone;
use crate::secret::MASK;

const EXAMPLES: &str = "\
Examples:
  What did the sender change from one request to the next?
    $ hookfire captured diff 17 18
  Did it arrive as it was sent?
    $ hookfire captured diff delivery:42 17
  In a script:
    $ hookfire captured diff 17 18 -o json | jq -r '.differences[].path'";

/// Differences shown as text; the other formats show all.
const SCREENFUL: usize = 50;

/// Headers that differ from request to request and mean nothing, or that only frame the message.
const NOT_COMPARED: [&str; 10] = [
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

/// Compare two captured requests, or what was sent with what came
///
/// Bodies that are both XML, or both JSON, are compared by meaning: the order of attributes or keys, white space between
/// elements, the spelling of characters and numbers, comments and the XML declaration do not count; the order of elements
/// and of array items does. Any other bodies are compared byte by byte.
///
/// The exit code is that of `diff`, and about the bodies: 0 they are equal, in bytes or in meaning, 1 they are not. How
/// method, path, query and headers differ is told as well, and does not count: two deliveries never have one webhook-id.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct CapturedDiffArgs {
    /// A capture such as 17, or a delivery such as delivery:42
    #[arg(value_name = "A", value_hint = ValueHint::Other)]
    a: SideId,
    /// The other one
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

/// A value as it may be shown, and as it is compared. What is not known (a secret that was not kept) is equal to anything.
struct Part {
    shown: String,
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
    /// Whether it had no other headers than these. A delivery's client adds some of its own.
    all_headers: bool,
    body: Vec<u8>,
}

pub(super) fn run(args: &CapturedDiffArgs, ctx: &Context<'_>) -> Result<Exit, Failure> {
    let mask = ctx.mask(false)?;
    let journal = ctx.existing_journal()?;
    let mut a = Side::read(journal.as_deref(), args.a, &mask)?;
    let mut b = Side::read(journal.as_deref(), args.b, &mask)?;
    // A delivery's event is compared with the event that came, whatever carried it.
    if [args.a, args.b]
        .iter()
        .any(|side| matches!(side, SideId::Delivery(_)))
    {
        [&mut a, &mut b]
            .into_iter()
            .for_each(|side| side.body = event::extract_xml(&side.body).into_owned());
    }
    let verdict = compare(&a.body, &b.body);
    let request = request_differences(&a, &b);
    let exit = if matches!(verdict, Verdict::Different(..)) {
        Exit::Error
    } else {
        Exit::Done
    };
    let printed = match args.output.format() {
        Format::Text => text(ctx, args, &verdict, &request),
        format => {
            let view = view(args, &verdict, &request);
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
        let came = Mask {
            reveal: true,
            ..Mask::default()
        };
        let parts = |came: Vec<(String, String)>, shown: Vec<(String, String)>| {
            let pairs = came.into_iter().zip(shown);
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
            query: grouped(parts(came.query(capture), mask.query(capture))),
            headers: grouped(
                parts(came.headers(capture), mask.headers(capture))
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

/// What differs beside the bodies.
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
            // What a delivery sent and did not arrive is worth a word; what its client added is not.
            let lost = !a.all_headers && a.headers.contains_key(name)
                || !b.all_headers && b.headers.contains_key(name);
            !NOT_COMPARED.contains(&name) && (one_sided || lost)
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

fn verdict_words(verdict: &Verdict) -> (&'static str, Tone) {
    match verdict {
        Verdict::SameBytes => ("byte-equal", Tone::Good),
        Verdict::SameMeaning(_) => ("equal in meaning, bytes differ", Tone::Good),
        Verdict::Different(..) => ("different", Tone::Bad),
    }
}

fn text(
    ctx: &Context<'_>,
    args: &CapturedDiffArgs,
    verdict: &Verdict,
    request: &[Difference],
) -> Result<(), Failure> {
    let (words, tone) = verdict_words(verdict);
    let kind = match verdict {
        Verdict::SameMeaning(kind) | Verdict::Different(kind, _) => format!(" ({})", kind.as_str()),
        Verdict::SameBytes => String::new(),
    };
    ctx.ui.line(&format!(
        "bodies of {} and {}: {}{kind}",
        args.a,
        args.b,
        ctx.ui.toned(tone, words)
    ))?;
    if let Verdict::Different(kind, differences) = verdict {
        lines(ctx, differences, *kind == Kind::Json)?;
    }
    if !request.is_empty() {
        ctx.ui.line(&format!(
            "\n{}",
            ctx.ui.toned(Tone::Strong, "beside the bodies")
        ))?;
        lines(ctx, request, false)?;
    }
    Ok(())
}

/// `  event/object/plan/name: "Basic" ≠ "Gold"`; JSON has its quotes already.
fn lines(ctx: &Context<'_>, differences: &[Difference], quoted: bool) -> Result<(), Failure> {
    let told = |value: &Option<String>| match value {
        None => "nothing".to_owned(),
        Some(value) if quoted => value.clone(),
        Some(value) => format!("{value:?}"),
    };
    for Difference { path, a, b } in differences.iter().take(SCREENFUL) {
        ctx.ui.line(
            &ctx.ui
                .untrusted(&format!("  {path}: {} ≠ {}", told(a), told(b))),
        )?;
    }
    if differences.len() > SCREENFUL {
        ctx.ui.line(&format!(
            "  and {} more; `-o json` has all",
            differences.len() - SCREENFUL
        ))?;
    }
    Ok(())
}

fn view(args: &CapturedDiffArgs, verdict: &Verdict, request: &[Difference]) -> serde_json::Value {
    let list = |differences: &[Difference]| {
        let views = differences
            .iter()
            .map(|Difference { path, a, b }| serde_json::json!({ "path": path, "a": a, "b": b }));
        views.collect::<Vec<_>>()
    };
    let (bodies, kind, differences) = match verdict {
        Verdict::SameBytes => ("byte_equal", None, Vec::new()),
        Verdict::SameMeaning(kind) => ("equal_in_meaning", Some(kind.as_str()), Vec::new()),
        Verdict::Different(kind, differences) => {
            ("different", Some(kind.as_str()), list(differences))
        }
    };
    serde_json::json!({
        "a": args.a.to_string(), "b": args.b.to_string(), "bodies": bodies, "compared_as": kind,
        "differences": differences, "beside_the_bodies": list(request),
    })
}
