//! The results as a Markdown table, and the machine they were measured on.

use std::fmt;
use std::fs;
use std::path::Path;
use std::time::Instant;

use crate::BenchError;
use crate::runs::Sample;

/// Rows in the order of measurement, followed by remarks.
#[derive(Default)]
pub struct Table {
    rows: Vec<Row>,
    remarks: Vec<&'static str>,
}

/// One measurement of hookfire, usually beside another program.
#[derive(Default)]
pub struct Row {
    pub what: String,
    /// hookfire's figure, with its unit.
    pub hookfire: String,
    /// The other program's figure, with its name and unit.
    pub rival: String,
    /// hookfire's figure divided by the rival's.
    pub ratio: Option<f64>,
    /// The value that a change must not worsen, and the one to work towards.
    pub goal: Option<Goal>,
}

/// The limit a measurement must keep to, and the better value it aims for.
pub struct Goal {
    keep: f64,
    aim: f64,
    unit: &'static str,
    larger_is_better: bool,
    measured: f64,
}

impl Goal {
    /// A ratio where smaller is better.
    pub fn ratio_at_most(keep: f64, aim: f64, measured: f64) -> Goal {
        Goal {
            keep,
            aim,
            unit: "",
            larger_is_better: false,
            measured,
        }
    }

    /// A ratio where larger is better.
    pub fn ratio_at_least(keep: f64, aim: f64, measured: f64) -> Goal {
        Goal {
            larger_is_better: true,
            ..Goal::ratio_at_most(keep, aim, measured)
        }
    }

    /// Milliseconds on any machine.
    pub fn ms_at_most(keep: f64, aim: f64, measured: f64) -> Goal {
        Goal {
            unit: " ms",
            ..Goal::ratio_at_most(keep, aim, measured)
        }
    }

    /// Megabytes on any machine.
    pub fn mb_at_most(keep: f64, aim: f64, measured: f64) -> Goal {
        Goal {
            unit: " MB",
            ..Goal::ratio_at_most(keep, aim, measured)
        }
    }

    fn met(&self, limit: f64) -> bool {
        if self.larger_is_better {
            self.measured >= limit
        } else {
            self.measured <= limit
        }
    }

    fn cell(&self, limit: f64) -> String {
        let sign = if self.larger_is_better { "≥" } else { "≤" };
        let missed = if self.met(limit) { "" } else { ", **missed**" };
        format!("{sign} {limit}{}{missed}", self.unit)
    }
}

impl Table {
    pub fn push(&mut self, row: Row) {
        self.rows.push(row);
    }

    /// Adds a sentence below the rows.
    pub fn remark(&mut self, text: &'static str) {
        self.remarks.push(text);
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "| what | hookfire | beside it | ratio | keep | aim |")?;
        writeln!(f, "|---|---|---|---|---|---|")?;
        for row in &self.rows {
            let ratio = row.ratio.map(|r| format!("{r:.2}")).unwrap_or_default();
            let (keep, aim) = match &row.goal {
                Some(goal) => (goal.cell(goal.keep), goal.cell(goal.aim)),
                None => (String::new(), String::new()),
            };
            let (what, hookfire, rival) = (&row.what, &row.hookfire, &row.rival);
            writeln!(
                f,
                "| {what} | {hookfire} | {rival} | {ratio} | {keep} | {aim} |"
            )?;
        }
        for remark in &self.remarks {
            writeln!(f, "\n{remark}")?;
        }
        Ok(())
    }
}

/// `4.02 ms (3.91 to 4.20)`: the median, and the quartiles.
pub fn milliseconds(sample: &Sample) -> String {
    let digits = if sample.median < 100.0 { 2 } else { 0 };
    let Sample { low, median, high } = sample;
    format!("{median:.digits$} ms ({low:.digits$} to {high:.digits$})")
}

/// `45823/s`
pub fn per_second(sample: &Sample) -> String {
    format!("{:.0}/s", sample.median)
}

/// Date, processor, kernel, load and the time of one disk sync.
pub struct Machine(String);

impl Machine {
    /// Describes the machine before anything is measured.
    pub fn describe(folder: &Path) -> Result<Machine, BenchError> {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let cores = std::thread::available_parallelism()?;
        let cpus = read("/proc/cpuinfo");
        let model = cpus
            .lines()
            .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
            .map_or(std::env::consts::ARCH, |(_, name)| name);
        let load = read("/proc/loadavg");
        let load = load.split(' ').next().unwrap_or_default();
        Ok(Machine(format!(
            "{}; {cores} cores ({model}); Linux {}; load {load} at the start; one page takes {:.2} ms to sync.",
            jiff::Zoned::now().date(),
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

/// Milliseconds until one page is on the disk: a durable journal cannot be compared without this figure.
fn sync_ms(folder: &Path) -> Result<f64, BenchError> {
    use std::os::unix::fs::FileExt as _;
    let file = fs::File::create(folder.join("synced"))?;
    let mut times = Vec::new();
    for _ in 0..50 {
        file.write_all_at(&[b'x'; 4096], 0)?;
        let start = Instant::now();
        file.sync_data()?;
        times.push(start.elapsed().as_secs_f64() * 1e3);
    }
    Ok(Sample::of(times).median)
}
