//! Everything the program says: the one owner of stdout and stderr.
//!
//! Data goes to stdout, talk to stderr. With a structured format talk is silent but for one error object, and text from
//! outside is made visible on a terminal and left as it is in a pipe. No other file prints.

pub mod capture;
pub mod capture_json;
pub mod export;
pub mod failures_xml;
pub mod human;
pub mod json;
pub mod junit;
mod progress;
pub mod requestbin;
pub mod rows;

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::io::{self, BufRead as _, BufWriter, IsTerminal as _, Stdout, Write};
use std::time::Duration;

use anstyle::{AnsiColor, Style};

use progress::Bar;
pub use progress::Progress;
pub use rows::{Column, Format, RowWriter, rows};

use crate::env::{self, Terminals};
use crate::sanitize;
use crate::time::compact;

/// What stdout is written in.
const BUFFER: usize = 64 * 1024;

/// When to use colour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Color {
    /// On a terminal, unless `NO_COLOR` is set.
    #[default]
    Auto,
    /// Always, also into a pipe.
    Always,
    /// Never.
    Never,
}

impl Color {
    pub fn as_str(self) -> &'static str {
        match self {
            Color::Auto => "auto",
            Color::Always => "always",
            Color::Never => "never",
        }
    }
}

/// How much to say, decided once.
#[derive(Clone, Copy, Debug, Default)]
pub struct OutputOptions {
    /// Only errors.
    pub quiet: bool,
    /// How often `-v` was given.
    pub verbose: u8,
    /// Colour or not.
    pub color: Color,
    /// JSON on stdout: then talk is silent and errors are JSON.
    pub structured: bool,
}

/// stdout could not be written.
#[derive(Debug, thiserror::Error)]
#[error("could not write to stdout")]
pub struct OutputError(#[from] io::Error);

impl OutputError {
    /// Whether the reader went away, which is no error.
    pub fn is_closed_pipe(&self) -> bool {
        self.0.kind() == io::ErrorKind::BrokenPipe
    }
}

/// What went wrong, ready to be told.
#[derive(Debug)]
pub struct Report<'a> {
    /// The kind, for scripts.
    pub kind: &'static str,
    /// What went wrong.
    pub message: &'a str,
    /// Why, outermost first.
    pub causes: &'a [String],
    /// What to do about it.
    pub hints: &'a [String],
}

/// stdout and stderr.
pub struct Ui {
    out: RefCell<BufWriter<Stdout>>,
    terminals: Terminals,
    manner: OutputOptions,
    colors_welcome: bool,
    passing_shown: Cell<bool>,
    bar: RefCell<Option<Bar>>,
}

/// Writes bytes from outside to stdout: untouched, or on a terminal line by line and made visible, since a piece may end
/// within a character. What stands behind the last line break comes with [`Write::flush`].
pub struct UntrustedWriter<'a> {
    ui: &'a Ui,
    line: Vec<u8>,
}

impl UntrustedWriter<'_> {
    fn show(&mut self, length: usize) -> io::Result<()> {
        let lines: Vec<u8> = self.line.drain(..length).collect();
        self.ui
            .data(|out| out.write_all(&self.ui.untrusted_bytes(&lines)))
            .map_err(|OutputError(e)| e)
    }
}

impl Write for UntrustedWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.ui.terminals.stdout() {
            self.line.extend_from_slice(bytes);
            if let Some(end) = self.line.iter().rposition(|byte| *byte == b'\n') {
                self.show(end + 1)?;
            }
        } else {
            self.ui
                .data(|out| out.write_all(bytes))
                .map_err(|OutputError(e)| e)?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.show(self.line.len())?;
        self.ui.flush().map_err(|OutputError(e)| e)
    }
}

/// What a word is, for its colour.
#[derive(Clone, Copy, Debug)]
pub enum Tone {
    /// It worked.
    Good,
    /// It did not.
    Bad,
    /// It needs a look.
    Warning,
    /// A command to type.
    Hint,
    /// A heading.
    Strong,
    /// Beside the point.
    Faint,
}

impl Tone {
    fn style(self) -> Style {
        match self {
            Tone::Good => AnsiColor::Green.on_default(),
            Tone::Bad => AnsiColor::Red.on_default().bold(),
            Tone::Warning => AnsiColor::Yellow.on_default(),
            Tone::Hint => AnsiColor::Cyan.on_default(),
            Tone::Strong => Style::new().bold(),
            Tone::Faint => Style::new().dimmed(),
        }
    }
}

impl Ui {
    /// Takes over both streams.
    pub fn new(terminals: Terminals, manner: OutputOptions) -> Ui {
        // Asked of the environment only: whether the streams are terminals is known already.
        let colors_welcome = !anstyle_query::no_color() && anstyle_query::term_supports_color();
        Ui {
            colors_welcome,
            out: RefCell::new(BufWriter::with_capacity(BUFFER, io::stdout())),
            terminals,
            manner,
            passing_shown: Cell::new(false),
            bar: RefCell::default(),
        }
    }

    /// Columns for tables; none when stdout is no terminal and no width was asked for.
    pub fn width(&self) -> Option<u16> {
        env::terminal_width()
    }

    /// Whether a question can be put: stdin and stderr are terminals.
    pub fn can_ask(&self) -> bool {
        self.terminals.stderr() && !self.manner.structured && io::stdin().is_terminal()
    }

    /// Whether stdout has colours.
    pub fn has_colors(&self) -> bool {
        self.colors(Terminals::stdout)
    }

    fn colors(&self, is_terminal: impl FnOnce(&Terminals) -> bool) -> bool {
        match self.manner.color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => self.colors_welcome && is_terminal(&self.terminals),
        }
    }

    /// A line of data.
    ///
    /// # Errors
    /// When stdout cannot be written.
    pub fn line(&self, text: &str) -> Result<(), OutputError> {
        self.data(|out| writeln!(out, "{text}"))
    }

    /// Data of any kind.
    ///
    /// # Errors
    /// When stdout cannot be written.
    pub fn data(
        &self,
        write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> Result<(), OutputError> {
        self.clear_passing();
        // With a bar on the terminal, what is written goes out in large pieces, for each of which it steps aside.
        if self.bar.borrow().is_some() && self.out.borrow().buffer().len() > BUFFER / 2 {
            self.flush()?;
        }
        Ok(write(&mut *self.out.borrow_mut())?)
    }

    /// Sends on what was written so far.
    ///
    /// # Errors
    /// When stdout cannot be written.
    pub fn flush(&self) -> Result<(), OutputError> {
        let flush = || self.out.borrow_mut().flush();
        // The bar has nothing to step aside for if nothing is there; stdout itself may still hold the rest of a line.
        let is_empty = self.out.borrow().buffer().is_empty();
        Ok(if is_empty {
            flush()
        } else {
            self.beside_bar(flush)
        }?)
    }

    /// Shows how much is done, on a terminal.
    pub fn progress(&self, progress: &Progress) {
        if self.can_overwrite() {
            self.bar
                .borrow_mut()
                .get_or_insert_with(Bar::new)
                .show(progress);
        }
    }

    /// Takes the progress off the terminal.
    pub fn end_progress(&self) {
        self.bar.borrow_mut().take().into_iter().for_each(Bar::end);
    }

    /// Writes something that the bar must not stand in the middle of.
    fn beside_bar<T>(&self, write: impl FnOnce() -> T) -> T {
        match &*self.bar.borrow() {
            Some(bar) => bar.aside(write),
            None => write(),
        }
    }

    /// Whether stderr is a terminal on which a line can be written over, and talk is welcome.
    fn can_overwrite(&self) -> bool {
        let terminal = self.terminals.stderr() && anstyle_query::term_supports_color();
        terminal && !self.manner.quiet && !self.manner.structured
    }

    /// Text from outside, as stdout may have it: visible on a terminal, untouched elsewhere.
    pub fn untrusted<'a>(&self, text: &'a str) -> Cow<'a, str> {
        if self.terminals.stdout() {
            sanitize::visible(text)
        } else {
            Cow::Borrowed(text)
        }
    }

    /// As [`Ui::untrusted`], for bytes: on a terminal they become text.
    pub fn untrusted_bytes<'a>(&self, bytes: &'a [u8]) -> Cow<'a, [u8]> {
        if !self.terminals.stdout() {
            return Cow::Borrowed(bytes);
        }
        let text = String::from_utf8_lossy(bytes);
        Cow::Owned(sanitize::visible(&text).into_owned().into_bytes())
    }

    /// Where documents from outside are written piece by piece, as stdout may have them.
    pub fn untrusted_writer(&self) -> UntrustedWriter<'_> {
        UntrustedWriter {
            ui: self,
            line: Vec::new(),
        }
    }

    /// A word in its tone, if stdout has colours.
    pub fn toned(&self, tone: Tone, text: &str) -> String {
        paint(self.has_colors(), tone, text)
    }

    /// Whether quiet was asked for.
    pub fn is_quiet(&self) -> bool {
        self.manner.quiet
    }

    /// Talk: what is happening.
    pub fn status(&self, text: &str) {
        if !self.manner.quiet && !self.manner.structured {
            self.talk("", Tone::Strong, text);
        }
    }

    /// Talk without which what was started could not be used: said even where quiet was asked for.
    pub fn status_always(&self, text: &str) {
        self.talk("", Tone::Strong, text);
    }

    /// Talk for `-v` (level 1) and `-vv` (level 2); shown with structured output too, since it was asked for.
    pub fn detail(&self, level: u8, text: impl FnOnce() -> String) {
        if self.manner.verbose >= level && !self.manner.quiet {
            self.talk("", Tone::Faint, &text());
        }
    }

    /// Something unwise.
    pub fn warning(&self, text: &str) {
        if self.manner.quiet {
            return;
        }
        if self.manner.structured {
            self.talk(
                "",
                Tone::Warning,
                &json::compact(&serde_json::json!({ "warning": text })),
            );
        } else {
            self.talk("warning: ", Tone::Warning, text);
        }
    }

    /// What to do next.
    pub fn hint(&self, text: &str) {
        if !self.manner.quiet && !self.manner.structured {
            self.talk("hint: ", Tone::Hint, text);
        }
    }

    /// A failure: words, causes and hints, or one JSON object.
    pub fn failure(&self, report: &Report<'_>) {
        if self.manner.structured {
            self.talk("", Tone::Strong, &json::error(report));
            return;
        }
        self.talk("error: ", Tone::Bad, report.message);
        for cause in report.causes {
            self.talk("caused by: ", Tone::Bad, cause);
        }
        for hint in report.hints {
            self.talk("hint: ", Tone::Hint, hint);
        }
    }

    /// Text for stderr as it is laid out: help and usage errors of clap, which quote the command line.
    pub fn usage(&self, text: &str) {
        let text = if self.terminals.stderr() {
            sanitize::visible(text)
        } else {
            Cow::Borrowed(text)
        };
        let _ = io::stderr().write_all(text.as_bytes());
    }

    /// The time until the next attempt.
    pub fn countdown(&self, left: Duration) {
        self.transient(&format!(
            "next attempt in {} (Ctrl-C stops)",
            compact(whole_seconds(left))
        ));
    }

    /// What is happening just now, on one line of a terminal that the next word overwrites.
    pub fn transient(&self, text: &str) {
        if self.can_overwrite() {
            let mut err = io::stderr().lock();
            let _ = write!(err, "\r\x1b[K{}", sanitize::visible_line(text));
            let _ = err.flush();
            self.passing_shown.set(true);
        }
    }

    /// Puts a yes-or-no question; no is the default.
    pub fn ask(&self, question: &str) -> bool {
        let _ = write!(io::stderr(), "{} [y/N] ", sanitize::visible_line(question));
        let _ = io::stderr().flush();
        let mut answer = String::new();
        let read = io::stdin().lock().read_line(&mut answer);
        if answer.is_empty() {
            // Ctrl-D leaves the cursor behind the question.
            let _ = writeln!(io::stderr());
        }
        read.is_ok() && matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes")
    }

    fn talk(&self, label: &str, tone: Tone, text: &str) {
        // Nothing can be said about a stderr that cannot be written, and nobody to say it to.
        let _ = self.flush();
        self.clear_passing();
        let text = if self.terminals.stderr() {
            sanitize::visible(text)
        } else {
            Cow::Borrowed(text)
        };
        let line = format!(
            "{}{text}\n",
            paint(self.colors(Terminals::stderr), tone, label)
        );
        let _ = self.beside_bar(|| io::stderr().write_all(line.as_bytes()));
    }

    /// The line of what was happening is for what is said next.
    fn clear_passing(&self) {
        if self.passing_shown.take() {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}

fn paint(colors: bool, tone: Tone, text: &str) -> String {
    if !colors || text.is_empty() {
        return text.to_owned();
    }
    let style = tone.style();
    format!("{style}{text}{style:#}")
}

fn whole_seconds(left: Duration) -> Duration {
    if left < Duration::from_secs(1) {
        left
    } else {
        Duration::from_secs(left.as_secs_f64().ceil() as u64)
    }
}
