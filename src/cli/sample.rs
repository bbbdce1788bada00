//! The built-in sample of an event as `fire` and `events show` take it: its options, and what to do where there is none.

use clap::Args;

use super::args::AuthModeArg;
use super::context::Context;
use crate::error::Failure;
use crate::event::samples::{NoSample, SampleContext, sample};
use crate::event::{Object, catalogue};
use crate::text;

/// Which sample.
#[derive(Args, Clone, Copy, Debug)]
#[command(next_help_heading = "Event")]
pub struct SampleArgs {
    /// Authentication of the sample's application: user key, application id and keys, or OAuth [default: as the action
    /// implies, else user-key]
    #[arg(long, value_name = "MODE", value_enum)]
    auth_mode: Option<AuthModeArg>,
    /// Make the sample's ids, keys and times reproducible: the same number yields the same values [default: random]
    #[arg(long, value_name = "N", env = "HOOKFIRE_SEED", hide_env_values = true)]
    seed: Option<u64>,
}

/// What a sample is for.
#[derive(Clone, Copy, Debug)]
pub enum Purpose {
    /// To be sent.
    Fire,
    /// To be sent for this line of a batch: each has its own, also with `--seed`, and `--auth-mode` is for those that are
    /// about an application.
    Line(u64),
    /// To be looked at.
    Show,
}

impl SampleArgs {
    /// The sample's object.
    ///
    /// # Errors
    /// When there is none for the event, or none in the mode that was asked for.
    pub fn object(
        &self,
        ctx: &Context<'_>,
        event_type: &str,
        action: &str,
        purpose: Purpose,
    ) -> Result<Object, Failure> {
        let line = if let Purpose::Line(number) = purpose {
            Some(number)
        } else {
            None
        };
        let mode = self
            .auth_mode
            .map(|mode| mode.0)
            .filter(|_| line.is_none() || event_type == "application");
        let cx = match self.seed {
            Some(seed) => SampleContext::seeded(seed.wrapping_add(line.map_or(0, scattered)), mode),
            None => SampleContext {
                now: ctx.now(),
                seed: ctx.env.seed(),
                mode,
            },
        };
        sample(event_type, action, &cx).map_err(|none| refusal(none, event_type, action, purpose))
    }

    /// Refuses flags about the sample where there is none.
    ///
    /// # Errors
    /// When one was typed; `instead` is what took the sample's place.
    pub fn refuse_beside(&self, ctx: &Context<'_>, instead: &str) -> Result<(), Failure> {
        let typed = ["auth_mode", "seed"]
            .into_iter()
            .find(|option| ctx.is_flag(option));
        typed.map_or(Ok(()), |option| {
            let option = option.replace('_', "-");
            Err(Failure::usage(format!(
                "`--{option}` is about the built-in sample, which `{instead}` replaces"
            )))
        })
    }
}

/// A number far from that of the next line, so that the samples of two seeds do not overlap.
fn scattered(line: u64) -> u64 {
    line.wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

fn refusal(none: NoSample, event_type: &str, action: &str, purpose: Purpose) -> Failure {
    let with_object = match purpose {
        Purpose::Fire => "`--object FILE`".to_owned(),
        Purpose::Line(_) => "`\"object\"` or `\"object_file\"` in the line".to_owned(),
        Purpose::Show => {
            let words = [event_type, action].map(text::shell_word).join(" ");
            format!("`hookfire fire {words} --object FILE`")
        }
    };
    match none {
        NoSample::NoModes => Failure::usage(format!(
            "`--auth-mode` is about the sample of an application, and `{event_type} {action}` is not about one"
        )),
        NoSample::OtherMode(mode) => {
            let mode = mode.as_str();
            Failure::usage(format!(
                "`{action}` does not happen to applications of the mode that is asked for"
            ))
            .hint(format!(
                "its sample is of `--auth-mode {mode}`; any other can be sent with {with_object}"
            ))
        }
        NoSample::Unknown => {
            let failure = Failure::usage(format!(
                "there is no built-in sample for `{event_type}` `{action}`"
            ));
            let failure = match near_event(event_type, action) {
                Some((near_type, near_action)) => {
                    failure.hint(format!("did you mean `{near_type} {near_action}`?"))
                }
                None => failure,
            };
            let failure = match purpose {
                Purpose::Show => {
                    failure.hint("`hookfire events list` shows the events that have one")
                }
                Purpose::Fire | Purpose::Line(_) => failure,
            };
            failure.hint(format!(
                "any type and action can be sent with an object: {with_object}"
            ))
        }
    }
}

/// The documented event that was most likely meant.
fn near_event(event_type: &str, action: &str) -> Option<(&'static str, &'static str)> {
    let near_type = text::nearest(&event_type.to_lowercase(), catalogue::TYPES.iter().copied())?;
    Some((
        near_type,
        text::nearest(&action.to_lowercase(), catalogue::actions_of(near_type))?,
    ))
}
