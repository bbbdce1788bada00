//! Results of background work, for people, kept until the command's own thread prints them.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use crate::output::Ui;
use crate::sanitize::visible_line;
use crate::text::count;

/// Reports that are kept until they are printed; further ones are counted.
const MAX_REPORTS: usize = 1000;

/// The result of a delivery as one line of text.
pub struct Report {
    pub text: String,
    pub succeeded: bool,
}

impl Report {
    pub fn print(&self, ui: &Ui) {
        let text = visible_line(&self.text);
        match self.succeeded {
            true => ui.status(&text),
            false => ui.warning(&text),
        }
    }
}

#[derive(Default)]
pub struct Reports(Mutex<(VecDeque<Report>, usize)>);

impl Reports {
    pub fn push(&self, text: String, succeeded: bool) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match state.0.len() < MAX_REPORTS {
            true => state.0.push_back(Report { text, succeeded }),
            false => state.1 += 1,
        }
    }

    /// The reports since the last call. The last one tells how many were not kept.
    pub fn take(&self) -> Vec<Report> {
        let (mut kept, dropped) = {
            let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut *state)
        };
        if dropped > 0 {
            let results = count(dropped, "more result", "more results");
            kept.push_back(Report {
                text: format!("{results} came too fast to be printed"),
                succeeded: true,
            });
        }
        kept.into()
    }
}
