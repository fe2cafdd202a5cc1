//! Owns how figures are gathered and shown. Must not know what is measured.

use std::fmt;
use std::time::{Duration, Instant};

/// How often each is measured; the median counts.
const RUNS: usize = 3;

/// The figures of one workload.
pub(crate) struct Table {
    name: &'static str,
    title: &'static str,
    rows: Vec<Row>,
}

struct Row {
    what: String,
    per_second: f64,
    beside: Option<Figure>,
}

/// What somebody else measured of the same.
#[derive(Clone, Copy)]
pub(crate) struct Figure {
    whose: &'static str,
    per_second: f64,
}

impl Figure {
    /// Irmin 3.11 on one of its backends.
    pub(crate) fn irmin(backend: &'static str, per_second: f64) -> Figure {
        Figure { whose: backend, per_second }
    }

    /// The libraries of the paper on Irmin 0.9.4, in memory.
    pub(crate) fn irmin_of_2015(per_second: f64) -> Figure {
        Figure { whose: "0.9.4", per_second }
    }

    /// The paper itself, on one of its backends and a machine of 2015.
    pub(crate) fn paper(backend: &'static str, per_second: f64) -> Figure {
        Figure { whose: backend, per_second }
    }
}

impl Table {
    pub(crate) fn new(name: &'static str, title: &'static str) -> Table {
        Table { name, title, rows: Vec::new() }
    }

    /// Measures `ops` operations that `run` does after it was prepared, and is told how long.
    pub(crate) fn measure(
        &mut self,
        what: impl Into<String>,
        ops: usize,
        beside: Option<Figure>,
        mut run: impl FnMut() -> Duration,
    ) {
        let mut times: Vec<Duration> = (0..RUNS).map(|_| run()).collect();
        times.sort_unstable();
        let per_second = ops as f64 / times[RUNS / 2].as_secs_f64();
        self.rows.push(Row { what: what.into(), per_second, beside });
    }
}

pub(crate) fn timed<T>(run: impl FnOnce() -> T) -> Duration {
    let begun = Instant::now();
    std::hint::black_box(run());
    begun.elapsed()
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Table { name, title, rows } = self;
        writeln!(f, "\n{name}: {title}")?;
        writeln!(f, "{:48} {:>12} {:>9}  beside, ops/s", "", "ops/s", "µs/op")?;
        for Row { what, per_second, beside } in rows {
            let micros = 1e6 / per_second;
            write!(f, "{what:48} {per_second:>12.0} {micros:>9.3}")?;
            if let Some(Figure { whose, per_second: theirs }) = beside {
                let ratio = per_second / theirs;
                write!(f, "  {whose} {theirs:.0}: {ratio:.1} times")?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}
