//! Numbers of several rounds, and the table of them.
//!
//! Owns what is shown of a sample: the best and the median. It must not know what was measured.

use std::collections::BTreeMap;

/// The value below which this share of the sample lies. The sample is sorted by it.
pub(crate) fn quantile(sample: &mut [f64], share: f64) -> f64 {
    sample.sort_by(f64::total_cmp);
    let last = sample.len().saturating_sub(1);
    sample.get((last as f64 * share).round() as usize).copied().unwrap_or(f64::NAN)
}

/// Which end of a sample is the better one.
#[derive(Clone, Copy)]
pub(crate) enum Better {
    Less,
    More,
}

/// A table: a row for each candidate, a column for each number.
pub(crate) struct Table {
    title: &'static str,
    columns: &'static [(&'static str, Better)],
    rows: Vec<(String, BTreeMap<usize, Vec<f64>>)>,
}

impl Table {
    pub(crate) fn new(title: &'static str, columns: &'static [(&'static str, Better)]) -> Table {
        Table { title, columns, rows: Vec::new() }
    }

    /// Adds one round's numbers of a candidate, in the columns' order.
    pub(crate) fn add(&mut self, candidate: &str, numbers: &[f64]) {
        let at = self.rows.iter().position(|(name, _)| name == candidate);
        let at = at.unwrap_or_else(|| {
            self.rows.push((candidate.to_owned(), BTreeMap::new()));
            self.rows.len() - 1
        });
        for (column, number) in numbers.iter().enumerate() {
            self.rows[at].1.entry(column).or_default().push(*number);
        }
    }

    /// Prints it, in Markdown.
    pub(crate) fn print(&self) {
        println!(
            "| {} |{}",
            self.title,
            self.columns.iter().map(|(c, _)| format!(" {c} |")).collect::<String>()
        );
        println!("|---|{}", "---|".repeat(self.columns.len()));
        for (name, numbers) in &self.rows {
            let cell = |(at, (_, better)): (usize, &(&str, Better))| {
                let Some(sample) = numbers.get(&at) else { return " - |".to_owned() };
                let mut sample = sample.clone();
                let best = match better {
                    Better::Less => quantile(&mut sample, 0.0),
                    Better::More => quantile(&mut sample, 1.0),
                };
                match sample.len() {
                    1 => format!(" {} |", short(best)),
                    _ => format!(" {} ({}) |", short(best), short(quantile(&mut sample, 0.5))),
                }
            };
            let cells: String = self.columns.iter().enumerate().map(cell).collect();
            println!("| {name} |{cells}");
        }
        println!();
    }
}

fn short(number: f64) -> String {
    match number.abs() {
        n if n >= 1000.0 => format!("{number:.0}"),
        n if n >= 10.0 => format!("{number:.1}"),
        _ => format!("{number:.2}"),
    }
}
