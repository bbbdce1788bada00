//! The progress bar on stderr. `Ui` hides it while it writes anything else.

use std::cell::Cell;
use std::fmt::Write;
use std::time::Duration;

use indicatif::{HumanDuration, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

const MAX_REDRAWS_PER_SECOND: u8 = 10;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    pub done: u64,
    /// The total, if it is known.
    pub of: Option<u64>,
    /// Further text, such as the number of failures.
    pub words: String,
}

pub struct Bar {
    bar: ProgressBar,
    of: Cell<Option<u64>>,
}

impl Bar {
    /// A bar that is drawn with the first [`Bar::show`].
    pub fn new() -> Bar {
        let bar = ProgressBar::with_draw_target(
            None,
            ProgressDrawTarget::stderr_with_hz(MAX_REDRAWS_PER_SECOND),
        );
        bar.set_style(style(WITHOUT_LENGTH));
        Bar {
            bar,
            of: Cell::new(None),
        }
    }

    /// Draws the bar, at most ten times per second.
    pub fn show(&self, progress: &Progress) {
        let before = self.of.replace(progress.of);
        if before.is_some() != progress.of.is_some() {
            self.bar.set_style(style(if progress.of.is_some() {
                WITH_LENGTH
            } else {
                WITHOUT_LENGTH
            }));
        }
        if let Some(of) = progress.of.filter(|of| before != Some(*of)) {
            self.bar.set_length(of);
        }
        self.bar.set_message(progress.words.clone());
        self.bar.set_position(progress.done);
    }

    /// Hides the bar during `write`.
    pub fn suspend<T>(&self, write: impl FnOnce() -> T) -> T {
        self.bar.suspend(write)
    }

    pub fn end(self) {
        self.bar.finish_and_clear();
    }
}

// `wide_msg` cuts the message at the width of the terminal.
const WITH_LENGTH: &str = "{bar:15} {pos} of {len}, {rate}{left}; {wide_msg}";
const WITHOUT_LENGTH: &str = "{pos}, {rate}; {wide_msg}";

fn style(template: &str) -> ProgressStyle {
    let style = ProgressStyle::with_template(template).expect("a test parses both templates");
    // Writing to a string does not fail.
    style
        .with_key("rate", |state: &ProgressState, words: &mut dyn Write| {
            let _ = write!(words, "{:.0}/s", state.per_sec());
        })
        .with_key("left", |state: &ProgressState, words: &mut dyn Write| {
            // Without progress the time is not known, which indicatif reports as 0.
            if state.eta() >= Duration::from_secs(1) {
                let _ = write!(words, ", {:#} left", HumanDuration(state.eta()));
            }
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_templates_are_valid() {
        for template in [WITH_LENGTH, WITHOUT_LENGTH] {
            let _ = style(template);
        }
    }
}
