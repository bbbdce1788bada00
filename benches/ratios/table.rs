//! What was measured, as a table in Markdown, and the machine that it was measured on.

use std::fmt;
use std::fs;
use std::path::Path;
use std::time::Instant;

use crate::Failure;
use crate::runs::Sample;

/// Rows in the order in which they were measured, and what is to be said below them.
#[derive(Default)]
pub struct Table {
    rows: Vec<Row>,
    remarks: Vec<&'static str>,
}

/// One comparison.
pub struct Row {
    /// What was done.
    pub what: String,
    /// How hookfire did.
    pub ours: String,
    /// How the rival did, by name.
    pub theirs: String,
    /// Ours by theirs.
    pub ratio: Option<f64>,
    /// What is aimed at.
    pub aim: Option<Aim>,
}

/// What is aimed at, and whether it was met.
pub struct Aim {
    words: String,
    met: bool,
}

impl Aim {
    /// A ratio of at most this.
    pub fn ratio_at_most(most: f64, ratio: f64) -> Aim {
        Aim {
            words: format!("at most {most:.2}"),
            met: ratio <= most,
        }
    }

    /// A ratio of at least this.
    pub fn ratio_at_least(least: f64, ratio: f64) -> Aim {
        Aim {
            words: format!("at least {least:.2}"),
            met: ratio >= least,
        }
    }

    /// At most so many milliseconds, on any machine.
    pub fn at_most_ms(most: f64, ms: f64) -> Aim {
        Aim {
            words: format!("at most {most} ms"),
            met: ms <= most,
        }
    }
}

impl Table {
    /// Adds a comparison.
    pub fn push(&mut self, row: Row) {
        self.rows.push(row);
    }

    /// Adds a sentence below the rows.
    pub fn remark(&mut self, words: &'static str) {
        self.remarks.push(words);
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "| what | hookfire | beside it | ratio | aim |\n|---|---|---|---|---|"
        )?;
        for Row {
            what,
            ours,
            theirs,
            ratio,
            aim,
        } in &self.rows
        {
            let ratio = ratio.map(|ratio| format!("{ratio:.2}")).unwrap_or_default();
            let aim = aim.as_ref().map(|Aim { words, met }| {
                format!("{words}{}", if *met { "" } else { ", **missed**" })
            });
            writeln!(
                f,
                "| {what} | {ours} | {theirs} | {ratio} | {} |",
                aim.unwrap_or_default()
            )?;
        }
        self.remarks
            .iter()
            .try_for_each(|words| writeln!(f, "\n{words}"))
    }
}

/// `4.02 ms (3.91 to 4.20)`: the median, and where the middle half of the runs lies.
pub fn milliseconds(sample: &Sample) -> String {
    let digits = if sample.median < 100.0 { 2 } else { 0 };
    let [low, median, high] = [sample.low, sample.median, sample.high];
    format!("{median:.digits$} ms ({low:.digits$} to {high:.digits$})")
}

/// `45823/s`
pub fn rate(sample: &Sample) -> String {
    format!("{:.0}/s", sample.median)
}

/// When and where it was measured.
pub struct Machine(String);

impl Machine {
    /// The machine as it is before anything is measured.
    pub fn look(folder: &Path) -> Result<Machine, Failure> {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let cores = std::thread::available_parallelism()?;
        let cpus = read("/proc/cpuinfo");
        let model = cpus
            .lines()
            .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
            .map(|(_, name)| name);
        let load = read("/proc/loadavg")
            .split(' ')
            .next()
            .unwrap_or_default()
            .to_owned();
        Ok(Machine(format!(
            "{}; {cores} cores ({}); Linux {}; load {load} when it began; a sync of one page takes {:.2} ms.",
            jiff::Zoned::now().date(),
            model.unwrap_or(std::env::consts::ARCH),
            read("/proc/sys/kernel/osrelease").trim(),
            sync_ms(folder)?
        )))
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What it takes until a page is on the disk: without it, nobody knows what a durable journal is compared with.
fn sync_ms(folder: &Path) -> Result<f64, Failure> {
    use std::os::unix::fs::FileExt as _;
    let file = fs::File::create(folder.join("synced"))?;
    let mut took = Vec::new();
    for _ in 0..50 {
        file.write_all_at(&[b'x'; 4096], 0)?;
        let begun = Instant::now();
        file.sync_data()?;
        took.push(begun.elapsed().as_secs_f64() * 1e3);
    }
    Ok(Sample::of(took).median)
}
