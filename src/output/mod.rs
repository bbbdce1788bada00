//! The only writer of stdout and stderr.
//!
//! Data goes to stdout, status messages to stderr. With a structured format (JSON, NDJSON) stderr gets nothing but errors as
//! JSON objects, and what `-v` asks for. Untrusted text, such as response bodies, is escaped on a terminal and unchanged in
//! a pipe. Read [`Ui`] first; `rows` writes lists, `human` and `capture` write text for people, `json` and `capture_json` JSON.

pub mod capture;
pub mod capture_json;
mod highlight;
pub mod human;
pub mod json;
mod progress;
pub mod replay_json;
pub mod requestbin;
pub mod rows;

use std::borrow::Cow;
use std::cell::{Cell, OnceCell, RefCell};
use std::io::{self, BufRead as _, BufWriter, IsTerminal as _, Stdout, Write};
use std::time::Duration;

use anstyle::{AnsiColor, Style};
use clap::builder::StyledStr;

use progress::Bar;
pub use progress::Progress;
pub use rows::{Column, Format, RowWriter, optional, rows};

use crate::env::{self, Terminals};
use crate::sanitize;
use crate::text::{self, named_enum};
use crate::time::compact;

const STDOUT_BUFFER_BYTES: usize = 64 * 1024;

named_enum! {
    #[derive(Default)]
    pub enum Color {
        /// On a terminal, unless `NO_COLOR` is set.
        #[default]
        Auto = "auto",
        /// Colours also a pipe or a file.
        Always = "always",
        Never = "never",
    }
}

/// What to print and how, decided once per run.
#[derive(Clone, Copy, Debug, Default)]
pub struct OutputOptions {
    /// Print only errors to stderr.
    pub quiet: bool,
    pub no_hints: bool,
    /// The number of `-v` flags.
    pub verbose: u8,
    pub color: Color,
    /// stdout is JSON: print no status messages, and errors as JSON.
    pub structured: bool,
}

#[derive(Debug, thiserror::Error)]
#[error("could not write to stdout")]
pub struct OutputError(#[from] io::Error);

impl OutputError {
    /// Whether the reader of stdout closed it, which is not an error.
    pub fn is_closed_pipe(&self) -> bool {
        self.0.kind() == io::ErrorKind::BrokenPipe
    }
}

/// An error, ready to print.
#[derive(Debug)]
pub struct ErrorReport<'a> {
    pub kind: &'static str,
    pub message: &'a str,
    /// What led to the error, outermost first.
    pub causes: &'a [String],
    pub hints: &'a [String],
}

pub struct Ui {
    out: RefCell<BufWriter<Stdout>>,
    terminals: Terminals,
    options: OutputOptions,
    colors_by_default: bool,
    /// Whether stderr ends with a line that the next output replaces.
    transient_shown: Cell<bool>,
    bar: RefCell<Option<Bar>>,
    /// `hookfire` with the global options that suggested commands need.
    program: OnceCell<String>,
}

/// Writes untrusted bytes to stdout: unchanged, or escaped on a terminal. There it writes whole lines, because a piece may
/// end within a character; [`Write::flush`] writes the rest.
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
        if self.ui.terminals.stdout {
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

/// The meaning of a word, which decides its colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    Good,
    Bad,
    Warning,
    Hint,
    Strong,
    Faint,
    /// In a document: of an element, an attribute or a field.
    Name,
    Text,
    /// A number, a truth value or null.
    Literal,
}

impl Tone {
    fn style(self) -> Style {
        match self {
            Tone::Good | Tone::Text => AnsiColor::Green.on_default(),
            Tone::Bad => AnsiColor::Red.on_default().bold(),
            Tone::Warning | Tone::Literal => AnsiColor::Yellow.on_default(),
            Tone::Hint | Tone::Name => AnsiColor::Cyan.on_default(),
            Tone::Strong => Style::new().bold(),
            Tone::Faint => Style::new().dimmed(),
        }
    }
}

impl Ui {
    pub fn new(terminals: Terminals, options: OutputOptions) -> Ui {
        // These look only at environment variables; `terminals` knows whether the streams are terminals.
        let colors_by_default = !anstyle_query::no_color() && anstyle_query::term_supports_color();
        Ui {
            colors_by_default,
            out: RefCell::new(BufWriter::with_capacity(STDOUT_BUFFER_BYTES, io::stdout())),
            terminals,
            options,
            transient_shown: Cell::new(false),
            bar: RefCell::default(),
            program: OnceCell::new(),
        }
    }

    /// Characters per line for tables. None if stdout is not a terminal and `COLUMNS` is not set.
    pub fn width(&self) -> Option<u16> {
        env::terminal_width(io::stdout())
    }

    /// Whether stdin and stderr are terminals, so that a question can be asked.
    pub fn can_ask(&self) -> bool {
        self.terminals.stderr && !self.options.structured && io::stdin().is_terminal()
    }

    /// Says on a terminal that the program waits for input.
    pub fn reads_stdin(&self, what: &str) {
        if io::stdin().is_terminal() {
            self.status(&format!("reading {what} from stdin; Ctrl-D ends the input"));
        }
    }

    /// Whether a person reads along: all streams are terminals, and messages are wanted.
    pub fn is_interactive(&self) -> bool {
        self.can_ask() && self.terminals.stdout && !self.options.quiet
    }

    pub fn has_colors(&self) -> bool {
        self.colors(|terminals| terminals.stdout)
    }

    fn colors(&self, is_terminal: impl FnOnce(&Terminals) -> bool) -> bool {
        match self.options.color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => self.colors_by_default && is_terminal(&self.terminals),
        }
    }

    /// Writes a line to stdout.
    pub fn line(&self, text: &str) -> Result<(), OutputError> {
        self.data(|out| writeln!(out, "{text}"))
    }

    /// Writes and flushes all that a command has to say: the text, or `view` as a document in the other formats.
    pub fn report(
        &self,
        format: Format,
        text: &str,
        view: &impl serde::Serialize,
    ) -> Result<(), OutputError> {
        match format {
            Format::Text => self.line(text)?,
            _ => self.line(&format.document(view))?,
        }
        self.flush()
    }

    /// Writes to stdout, which is buffered until [`Ui::flush`].
    pub fn data(
        &self,
        write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> Result<(), OutputError> {
        self.clear_transient();
        // While a progress bar is shown, output is written in large pieces, because each one hides and redraws the bar.
        if self.bar.borrow().is_some() && self.out.borrow().buffer().len() > STDOUT_BUFFER_BYTES / 2
        {
            self.flush()?;
        }
        Ok(write(&mut *self.out.borrow_mut())?)
    }

    pub fn flush(&self) -> Result<(), OutputError> {
        let flush = || self.out.borrow_mut().flush();
        // Without buffered data the bar need not be hidden. stdout itself may still hold a part of a line.
        let is_empty = self.out.borrow().buffer().is_empty();
        Ok(if is_empty {
            flush()
        } else {
            self.without_bar(flush)
        }?)
    }

    /// Shows a progress bar, on a terminal.
    pub fn progress(&self, progress: &Progress) {
        if self.shows_progress() {
            self.bar
                .borrow_mut()
                .get_or_insert_with(Bar::new)
                .show(progress);
        }
    }

    pub fn end_progress(&self) {
        self.bar.borrow_mut().take().into_iter().for_each(Bar::end);
    }

    /// Hides the progress bar while something else is written.
    fn without_bar<T>(&self, write: impl FnOnce() -> T) -> T {
        match &*self.bar.borrow() {
            Some(bar) => bar.suspend(write),
            None => write(),
        }
    }

    /// Whether stderr is a terminal that can overwrite a line, and status messages are wanted.
    pub fn shows_progress(&self) -> bool {
        let terminal = self.terminals.stderr && anstyle_query::term_supports_color();
        terminal && !self.options.quiet && !self.options.structured
    }

    /// Untrusted text for stdout: escaped on a terminal, unchanged elsewhere.
    pub fn untrusted<'a>(&self, text: &'a str) -> Cow<'a, str> {
        if self.terminals.stdout {
            sanitize::visible(text)
        } else {
            Cow::Borrowed(text)
        }
    }

    /// As [`Ui::untrusted`], for bytes, which become text on a terminal.
    pub fn untrusted_bytes<'a>(&self, bytes: &'a [u8]) -> Cow<'a, [u8]> {
        if !self.terminals.stdout {
            return Cow::Borrowed(bytes);
        }
        let text = String::from_utf8_lossy(bytes);
        Cow::Owned(sanitize::visible(&text).into_owned().into_bytes())
    }

    /// As [`Ui::untrusted`], for a document in XML or JSON, which gets colours if stdout has them.
    pub fn untrusted_document(&self, text: &str) -> String {
        let text = self.untrusted(text);
        if self.has_colors() {
            highlight::document(&text)
        } else {
            text.into_owned()
        }
    }

    /// A writer of untrusted documents to stdout.
    pub fn untrusted_writer(&self) -> UntrustedWriter<'_> {
        UntrustedWriter {
            ui: self,
            line: Vec::new(),
        }
    }

    /// Colours a word, if stdout has colours.
    pub fn toned(&self, tone: Tone, text: &str) -> String {
        paint(self.has_colors(), tone, text)
    }

    pub fn is_quiet(&self) -> bool {
        self.options.quiet
    }

    /// Prints a status message to stderr.
    pub fn status(&self, text: &str) {
        if !self.options.quiet && !self.options.structured {
            self.stderr("", Tone::Strong, &self.with_program(text));
        }
    }

    /// As [`Ui::status`], also with `--quiet` and structured output: for what users need, such as the listener's address.
    pub fn status_always(&self, text: &str) {
        self.stderr("", Tone::Strong, &self.with_program(text));
    }

    /// Prints details for `-v` (level 1) or `-vv` (level 2), also with structured output.
    pub fn detail(&self, level: u8, text: impl FnOnce() -> String) {
        if self.options.verbose >= level && !self.options.quiet {
            self.stderr("", Tone::Faint, &text());
        }
    }

    pub fn warning(&self, text: &str) {
        if self.options.quiet {
            return;
        }
        let text = &*self.with_program(text);
        if self.options.structured {
            self.stderr(
                "",
                Tone::Warning,
                &json::compact(&serde_json::json!({ "warning": text })),
            );
        } else {
            self.stderr("warning: ", Tone::Warning, text);
        }
    }

    pub fn hint(&self, text: &str) {
        if !self.options.no_hints && !self.options.quiet && !self.options.structured {
            self.stderr("hint: ", Tone::Hint, &self.with_program(text));
        }
    }

    /// Suggested commands then begin with `program` instead of `hookfire`.
    pub fn set_program(&self, program: String) {
        let _ = self.program.set(program);
    }

    /// Adds the global options that they need to the commands in a message, which begin with a backtick and `hookfire`. Every
    /// message on stderr gets them; text for stdout has to pass through here.
    pub fn with_program<'t>(&self, text: &'t str) -> Cow<'t, str> {
        match self.program.get() {
            Some(program) => text::with_program(text, program),
            None => Cow::Borrowed(text),
        }
    }

    /// Prints an error as text with causes and hints, or as a JSON object.
    pub fn failure(&self, report: &ErrorReport<'_>) {
        let hints = report.hints.iter();
        let hints: Vec<String> = hints
            .filter(|_| !self.options.no_hints)
            .map(|hint| self.with_program(hint).into_owned())
            .collect();
        let report = &ErrorReport {
            hints: &hints,
            ..*report
        };
        if self.options.structured {
            self.stderr("", Tone::Strong, &json::error(report));
            return;
        }
        self.stderr("error: ", Tone::Bad, report.message);
        for cause in report.causes {
            self.stderr("caused by: ", Tone::Bad, cause);
        }
        for hint in report.hints {
            self.stderr("hint: ", Tone::Hint, hint);
        }
    }

    /// Prints help or a usage line to stderr. It must not quote the command line.
    pub fn usage(&self, text: &StyledStr) {
        let colors = self.colors(|terminals| terminals.stderr);
        let text = if colors {
            text.ansi().to_string()
        } else {
            text.to_string()
        };
        let _ = io::stderr().write_all(text.as_bytes());
    }

    /// Shows the time until the next attempt, and what Ctrl-C does.
    pub fn countdown(&self, left: Duration, on_stop: &str) {
        let left = compact(whole_seconds(left));
        self.transient(&format!("next attempt in {left} (Ctrl-C stops{on_stop})"));
    }

    /// Shows a message on a line that the next output replaces, on a terminal.
    pub fn transient(&self, text: &str) {
        if self.shows_progress() {
            // Earlier output belongs above it.
            let _ = self.flush();
            // The program erases one line only.
            let width = env::terminal_width(io::stderr()).map_or(usize::MAX, usize::from);
            let text = text::cut(text, width.saturating_sub(1));
            let mut err = io::stderr().lock();
            let _ = write!(err, "\r\x1b[K{}", sanitize::visible_line(&text));
            let _ = err.flush();
            self.transient_shown.set(true);
        }
    }

    /// Asks a yes-or-no question; the default is no.
    pub fn ask(&self, question: &str) -> bool {
        let _ = write!(io::stderr(), "{} [y/N] ", sanitize::visible_line(question));
        let _ = io::stderr().flush();
        let mut line = String::new();
        let read = io::stdin().lock().read_line(&mut line);
        if line.is_empty() {
            // Ctrl-D leaves the cursor on the question's line.
            let _ = writeln!(io::stderr());
        }
        read.is_ok() && matches!(line.trim().to_ascii_lowercase().as_str(), "y" | "yes")
    }

    fn stderr(&self, label: &str, tone: Tone, text: &str) {
        // An error of stderr cannot be reported anywhere.
        let _ = self.flush();
        self.clear_transient();
        let text = if self.terminals.stderr {
            sanitize::visible(text)
        } else {
            Cow::Borrowed(text)
        };
        let line = format!(
            "{}{text}\n",
            paint(self.colors(|terminals| terminals.stderr), tone, label)
        );
        let _ = self.without_bar(|| io::stderr().write_all(line.as_bytes()));
    }

    fn clear_transient(&self) {
        if self.transient_shown.take() {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}

impl Drop for Ui {
    /// The shell's prompt replaces what the next output would have replaced.
    fn drop(&mut self) {
        self.clear_transient();
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
