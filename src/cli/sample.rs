//! The built-in sample of an event, for `fire` and `events show`: options, and the error for an event without a sample.

use clap::Args;

use super::args::{one_of, whole_number};
use super::context::Context;
use super::intents;
use crate::error::Failure;
use crate::event::samples::{AuthMode, NoSample, SampleContext, sample};
use crate::event::{ElementOrder, Object, catalogue};
use crate::text;

#[derive(Args, Clone, Copy, Debug)]
#[command(next_help_heading = "Event")]
pub struct SampleArgs {
    /// Authentication of the sample's application: user key, application id and keys, OAuth or OpenID Connect [default: as
    /// the action implies, else user-key]
    #[arg(long, value_name = "MODE", value_parser = one_of(AuthMode::ALL, AuthMode::as_str))]
    auth_mode: Option<AuthMode>,
    /// Make the sample's ids, keys and times reproducible: the same number yields the same values [default: random]
    #[arg(long, value_name = "N", value_parser = whole_number::<u64>(0..=u64::MAX), env = "HOOKFIRE_SEED")]
    seed: Option<u64>,
}

#[derive(Clone, Copy, Debug)]
pub enum SamplePurpose {
    Fire,
    /// This line of a batch. Lines have different samples, with `--seed` too. `--auth-mode` is for applications alone.
    Line(u64),
    Show,
}

impl SampleArgs {
    pub fn object(
        &self,
        ctx: &Context<'_>,
        event_type: &str,
        action: &str,
        order: ElementOrder,
        purpose: SamplePurpose,
    ) -> Result<Object, Failure> {
        let mut mode = self.auth_mode;
        let mut offset: u64 = 0;
        if let SamplePurpose::Line(number) = purpose {
            // Numbers of adjacent lines are far apart, so that the samples of two seeds do not overlap.
            offset = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            mode = mode.filter(|_| event_type == "application");
        }
        let cx = match self.seed {
            Some(seed) => SampleContext::seeded(seed.wrapping_add(offset), mode, order),
            None => SampleContext {
                now: ctx.now(),
                seed: ctx.env.seed(),
                mode,
                order,
            },
        };
        sample(event_type, action, &cx).map_err(|none| refusal(none, event_type, action, purpose))
    }

    /// Refuses flags about the sample; `instead` is the option that replaces it.
    pub fn refuse_beside(&self, ctx: &Context<'_>, instead: &str) -> Result<(), Failure> {
        ctx.refuse(&["auth_mode", "seed"], |flag| {
            Failure::usage(format!(
                "`{flag}` applies to the built-in sample, which `{instead}` replaces"
            ))
        })
    }
}

fn refusal(none: NoSample, event_type: &str, action: &str, purpose: SamplePurpose) -> Failure {
    let with_object = match purpose {
        SamplePurpose::Fire => "`--object FILE`".to_owned(),
        SamplePurpose::Line(_) => "`\"object\"` or `\"object_file\"` in the line".to_owned(),
        SamplePurpose::Show => {
            let words = [event_type, action].map(text::shell_word).join(" ");
            format!("`hookfire fire {words} --object FILE`")
        }
    };
    match none {
        NoSample::NoModes => Failure::usage(format!(
            "`--auth-mode` applies to application events only, not to `{event_type} {action}`"
        )),
        NoSample::OtherMode(mode) => {
            let mode = mode.as_str();
            Failure::usage(format!(
                "`{action}` does not occur for applications of this mode"
            ))
            .hint(format!(
                "its sample has `--auth-mode {mode}`; another object can be sent with {with_object}"
            ))
        }
        NoSample::Unknown => {
            let words = format!("`{event_type}` `{action}`");
            let mut failure = Failure::usage(format!("there is no built-in sample for {words}"));
            if let Some((near_type, near_action)) = near_event(event_type, action) {
                failure = failure.hint(format!("did you mean `{near_type} {near_action}`?"));
            }
            if let SamplePurpose::Show = purpose {
                failure = failure.hint("`hookfire events list` lists the events with samples");
            }
            let any_payload = match purpose {
                SamplePurpose::Fire => ", or any payload with `--body FILE`",
                SamplePurpose::Line(_) | SamplePurpose::Show => "",
            };
            failure.hint(format!(
                "pass an object for any other type and action: {with_object}{any_payload}"
            ))
        }
    }
}

/// The event's type and action, which may be written as one word: `account.created`.
pub fn event_name<'a>(
    event_type: &'a str,
    action: Option<&'a str>,
) -> Result<(&'a str, &'a str), Failure> {
    refuse_url(event_type)?;
    if let Some(action) = action {
        refuse_url(action)?;
        return Ok((event_type, action));
    }
    let parts = event_type.rsplit_once('.');
    if let Some(name) = parts.filter(|(first, last)| !first.is_empty() && !last.is_empty()) {
        return Ok(name);
    }
    let failure = Failure::usage(format!("the action of the `{event_type}` event is missing"));
    let actions: Vec<&str> = catalogue::actions_of(event_type).collect();
    let with_action = catalogue::EVENTS
        .iter()
        .filter(|(_, action)| *action == event_type);
    let events: Vec<String> = with_action
        .map(|(of, action)| format!("{of} {action}"))
        .collect();
    Err(if !actions.is_empty() {
        failure.hint(format!(
            "actions of `{event_type}` are {}",
            text::listed(actions)
        ))
    } else if !events.is_empty() {
        let events = text::listed(events.iter().map(String::as_str));
        failure.hint(format!("events with this action are {events}"))
    } else {
        failure.hint("write TYPE and ACTION; `hookfire events list` lists the events with samples")
    })
}

/// Refuses a URL as the type or action of an event.
pub fn refuse_url(word: &str) -> Result<(), Failure> {
    if intents::is_url(word) {
        return Err(Failure::usage("a URL is not the name of an event")
            .hint("give the URL with `--url`: `hookfire fire account created --url URL`"));
    }
    Ok(())
}

/// The most similar documented event, also in the wrong order.
fn near_event(event_type: &str, action: &str) -> Option<(&'static str, &'static str)> {
    nearest_pair(event_type, action).or_else(|| nearest_pair(action, event_type))
}

fn nearest_pair(event_type: &str, action: &str) -> Option<(&'static str, &'static str)> {
    let near_type = text::nearest(&event_type.to_lowercase(), catalogue::TYPES.iter().copied())?;
    let near_action = text::nearest(&action.to_lowercase(), catalogue::actions_of(near_type))?;
    Some((near_type, near_action))
}
