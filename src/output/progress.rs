//! A bar on the terminal while much is being done.
//!
//! Deliberately knows nothing of what is done. It draws on stderr, and only when it is told how things stand; `Ui` has it
//! step aside for everything else that is written.

use std::cell::Cell;
use std::fmt::Write;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

/// How often it is drawn at most, in a second.
const DRAWN_A_SECOND: u8 = 10;

/// How things stand.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// What is done.
    pub done: u64,
    /// What there is to do, if that is known.
    pub of: Option<u64>,
    /// What else is worth knowing.
    pub words: String,
}

/// The bar.
pub struct Bar {
    bar: ProgressBar,
    of: Cell<Option<u64>>,
}

impl Bar {
    /// A bar that is not drawn yet.
    pub fn new() -> Bar {
        let bar =
            ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(DRAWN_A_SECOND));
        bar.set_style(style(WITHOUT_LENGTH));
        Bar {
            bar,
            of: Cell::new(None),
        }
    }

    /// Draws it, unless that was done a moment ago.
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

    /// Steps aside while something else is written.
    pub fn aside<T>(&self, write: impl FnOnce() -> T) -> T {
        self.bar.suspend(write)
    }

    /// Leaves no trace.
    pub fn end(self) {
        self.bar.finish_and_clear();
    }
}

const WITH_LENGTH: &str = "{bar:25} {pos} of {len}, {rate}, {eta} left; {msg}";
const WITHOUT_LENGTH: &str = "{pos}, {rate}; {msg}";

fn style(template: &str) -> ProgressStyle {
    let style = ProgressStyle::with_template(template).expect("a test reads both templates");
    style.with_key("rate", |state: &ProgressState, words: &mut dyn Write| {
        // A string takes everything.
        let _ = write!(words, "{:.0}/s", state.per_sec());
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_templates_can_be_read() {
        for template in [WITH_LENGTH, WITHOUT_LENGTH] {
            let _ = style(template);
        }
    }
}
