//! The payload of a command line: an event document, given or built, or the bytes of `--body`.

use std::path::{Path, PathBuf};

use super::FireArgs;
use super::body::{self, Labels};
use crate::cli::context::Context;
use crate::cli::portal;
use crate::cli::sample::{SamplePurpose, event_name};
use crate::cli::settings::FireSettings;
use crate::delivery::payload::Payload;
use crate::document::{Change, edit_json};
use crate::error::{Failure, Kind};
use crate::event::{ElementOrder, Event, Object};
use crate::text;

/// Larger payloads and objects are not read.
const MAX_PAYLOAD_BYTES: u64 = 64 << 20;

/// Options about events, which have no effect on other payloads.
const EVENT_OPTIONS: [&str; 6] = ["wire", "compat", "auth_mode", "seed", "origin", "force"];

/// Where the payload comes from.
pub enum PayloadSource<'a> {
    /// A file with a whole event document, sent as it is.
    Event(&'a PathBuf),
    /// An event of this type and action.
    Built(&'a str, &'a str),
    /// A file with any bytes, sent as they are.
    Body(&'a PathBuf),
}

impl<'a> PayloadSource<'a> {
    /// Checks the options that say what to send, and reads nothing yet.
    pub fn new(args: &'a FireArgs, ctx: &Context<'_>) -> Result<PayloadSource<'a>, Failure> {
        if let Some(file) = &args.body.body {
            ctx.refuse(&EVENT_OPTIONS, |flag| {
                Failure::usage(format!(
                    "`{flag}` applies to events, and `--body` is sent as it is"
                ))
            })?;
            refuse_url(args)?;
            return Ok(PayloadSource::Body(file));
        }
        if let Some(file) = &args.event {
            return Ok(PayloadSource::Event(file));
        }
        let Some(event_type) = &args.event_type else {
            return Err(Failure::usage("no event is given")
                .hint("`hookfire fire account created` sends a sample; `hookfire events list` lists the events")
                .hint("`--body FILE` sends any file, `--event FILE` an event document, `--batch FILE` many events"));
        };
        let (event_type, action) = event_name(event_type, args.action.as_deref())?;
        Ok(PayloadSource::Built(event_type, action))
    }

    pub fn read(
        &self,
        args: &FireArgs,
        ctx: &Context<'_>,
        settings: &FireSettings<'_>,
    ) -> Result<Payload, Failure> {
        let event = match self {
            PayloadSource::Body(file) => return given_body(file, args, ctx, settings),
            PayloadSource::Event(file) => document(file, args, ctx)?,
            PayloadSource::Built(event_type, action) => {
                built((event_type, action), args, ctx, settings.element_order)?
            }
        };
        let mut payload = Payload::event(&event, settings.body_format);
        if let Some(method) = &args.body.method {
            payload.method.clone_from(method);
        }
        Ok(payload)
    }
}

/// Refuses a URL as TYPE, which would otherwise name the delivery.
fn refuse_url(args: &FireArgs) -> Result<(), Failure> {
    let words = args.event_type.iter().chain(&args.action);
    for word in words {
        crate::cli::sample::refuse_url(word)?;
    }
    Ok(())
}

fn given_body(
    file: &Path,
    args: &FireArgs,
    ctx: &Context<'_>,
    settings: &FireSettings<'_>,
) -> Result<Payload, Failure> {
    let options = &args.body;
    if options.content_type.is_some() {
        refuse_second_content_type("`--content-type`", settings)?;
    }
    let changes = args.set.iter().map(|change| Change::parse(change));
    let changes = changes.collect::<Result<Vec<_>, _>>();
    let changes = changes.map_err(Failure::usage)?;
    let mut bytes = read(file, ctx, "the body")?;
    if !changes.is_empty() {
        bytes = edit_json(&bytes, &changes).map_err(Failure::usage)?;
    }
    let content_type = match &options.content_type {
        Some(content_type) => content_type.clone(),
        None => body::guess_content_type(Some(file), &bytes),
    };
    let labels = Labels {
        event_type: args.event_type.as_deref(),
        action: args.action.as_deref(),
    };
    body::payload(bytes, content_type, options.method.as_deref(), labels)
}

/// Refuses a content type beside a header of that name, which would replace it.
pub fn refuse_second_content_type(
    option: &str,
    settings: &FireSettings<'_>,
) -> Result<(), Failure> {
    let mut headers = settings.target.headers.iter();
    if headers.any(|header| header.name.eq_ignore_ascii_case("content-type")) {
        return Err(Failure::usage(format!(
            "{option} and a `Content-Type` header are both given"
        ))
        .hint("give one of them; a header may also come from the endpoint's configuration"));
    }
    Ok(())
}

/// The event document of `--event`.
fn document(file: &Path, args: &FireArgs, ctx: &Context<'_>) -> Result<Event, Failure> {
    args.sample.refuse_beside(ctx, "--event")?;
    if ctx.is_flag("compat") {
        return Err(Failure::usage(
            "`--compat` cannot order the fields of `--event`, which is sent byte for byte",
        ));
    }
    let document = read(file, ctx, "the event")?;
    Event::from_document(document).map_err(|e| in_file(e, "event", file))
}

fn built(
    (event_type, action): (&str, &str),
    args: &FireArgs,
    ctx: &Context<'_>,
    compat: ElementOrder,
) -> Result<Event, Failure> {
    let mut object = match (&args.object, args.portal_object) {
        (None, Some(id)) => {
            args.sample.refuse_beside(ctx, "--portal-object")?;
            portal::fetch(
                event_type,
                id,
                args.portal_account,
                (&args.portal, &args.transport),
                ctx,
            )?
        }
        (Some(path), _) => {
            args.sample.refuse_beside(ctx, "--object")?;
            Object::parse(&read(path, ctx, "the object")?)
                .map_err(|e| in_file(e, "object", path))?
        }
        (None, None) => args
            .sample
            .object(ctx, event_type, action, compat, SamplePurpose::Fire)?,
    };
    let changes = args.set.iter().map(|change| match change.split_once('=') {
        Some((path, _)) if path.ends_with(':') => Err(Failure::usage(format!(
            "`--set` with `:=` sets JSON in a `--body`, and an event is XML: `{change}`"
        ))
        .hint("`--set PATH=VALUE` sets a field of the event's object")),
        Some(parts) => Ok(parts),
        None => Err(Failure::usage(format!(
            "`--set` takes PATH=VALUE, not `{change}`"
        ))),
    });
    object.set_all(&changes.collect::<Result<Vec<_>, _>>()?)?;
    Ok(Event::build(event_type, action, &object, compat)?)
}

pub fn read(path: &Path, ctx: &Context<'_>, what: &str) -> Result<Vec<u8>, Failure> {
    let read = if path == Path::new("-") {
        ctx.ui.reads_stdin(what);
        text::read_whole(std::io::stdin().lock(), MAX_PAYLOAD_BYTES)
    } else {
        text::read_file(path, MAX_PAYLOAD_BYTES)
    };
    read.map_err(|e| {
        Failure::from_error(Kind::Error, e).context(format!("cannot read {}", file_name(path)))
    })
}

pub fn file_name(path: &Path) -> String {
    if path == Path::new("-") {
        "stdin".to_owned()
    } else {
        format!("`{}`", path.display())
    }
}

pub fn in_file(error: impl Into<anyhow::Error>, what: &str, path: &Path) -> Failure {
    let name = file_name(path);
    Failure::from_error(Kind::Usage, error).context(format!("the {what} in {name} cannot be sent"))
}
