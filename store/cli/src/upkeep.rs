//! `fsck`, `repair`, `stat` and `gc`.
//!
//! Owns what is told of them. What damage is, and what is left, the store knows.

use std::path::Path as FilePath;
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use jitsu_store::backend::{
    self, Amount, Collected, Examined, IndexFlaw, Log, LogOptions, Lost, Report,
};
use jitsu_store::{BranchName, Id, Keep, Place, Store};

use crate::{Said, open};

pub(crate) fn fsck(folder: &FilePath) -> Result<Said> {
    let report = backend::fsck(folder).map_err(|error| open::told(folder, &error))?;
    Ok(Said { bytes: told(&report).into_bytes(), is_done: report.is_whole() })
}

pub(crate) fn repair(from: &FilePath, to: &FilePath) -> Result<Said> {
    let repaired = backend::repair(from, to)
        .with_context(|| format!("cannot repair {} into {}", from.display(), to.display()))?;
    let mut text = told(&repaired.damaged);
    for (branch, id) in &repaired.made {
        text += &format!("{branch} is made at {}, which no branch led to\n", id.short());
    }
    let Report { objects, .. } = repaired.damaged;
    text += &format!("{objects} objects written to {}\n", to.display());
    // Whoever removes the damaged folder after a success must not have lost all of it.
    let is_done = objects > 0 || repaired.damaged.is_whole();
    Ok(Said { bytes: text.into_bytes(), is_done })
}

pub(crate) fn gc(folder: &FilePath) -> Result<Said> {
    let options = LogOptions::default();
    let collected = backend::gc(folder, options).map_err(|error| open::told(folder, &error))?;
    Ok(told_of(&collected).into())
}

pub(crate) fn let_go(
    folder: &FilePath,
    newest: Option<usize>,
    days: Option<u32>,
    branches: Vec<BranchName>,
) -> Result<Said> {
    const DAY_MS: u64 = 24 * 60 * 60 * 1000;
    open::read(folder)?;
    let log =
        Log::open(folder, LogOptions::default()).map_err(|error| open::told(folder, &error))?;
    let log = Arc::new(log);
    let store = Store::on(log.clone())?;
    for branch in &branches {
        // A name that is mistyped would keep nothing, and what goes is gone.
        if store.head(branch)?.is_none() {
            bail!("there is no branch {branch} to keep: nothing was let go");
        }
    }
    let meta = open::meta(rules(newest, days, &branches));
    let since_ms = days.map(|days| meta.time_ms.saturating_sub(u64::from(days) * DAY_MS));
    let keep = Keep { newest: newest.unwrap_or(0), since_ms, branches };
    let let_go = store.let_go(&keep, &meta)?;
    let collected = log.let_go(&let_go)?;
    let commits = let_go.commits();
    Ok((format!("{commits} commits are without their trees now\n") + &told_of(&collected)).into())
}

/// The rules, as they are written down.
fn rules(newest: Option<usize>, days: Option<u32>, branches: &[BranchName]) -> String {
    let rules = newest.map(|count| format!("the newest {count}")).into_iter();
    let rules = rules.chain(days.map(|days| format!("{days} days")));
    let rules = rules.chain(branches.iter().map(ToString::to_string));
    format!("let go of old trees, but for {}", rules.collect::<Vec<_>>().join(", "))
}

fn told_of(collected: &Collected) -> String {
    let (removed, kept) = (amount(collected.removed), amount(collected.kept));
    format!("removed: {removed}\nkept: {kept}\n")
}

pub(crate) fn stat(folder: &FilePath) -> Result<Said> {
    let stat = backend::stat(folder).map_err(|error| open::told(folder, &error))?;
    let mut rows = vec![
        ("contents".to_owned(), amount(stat.contents)),
        ("parts of contents".to_owned(), amount(stat.parts)),
        ("directories".to_owned(), amount(stat.nodes)),
        ("commits".to_owned(), amount(stat.commits)),
        ("garbage".to_owned(), amount(stat.garbage)),
        ("files".to_owned(), format!("{} bytes", stat.file_bytes)),
    ];
    rows.extend(stat.branches.iter().map(|(branch, reach)| {
        (
            branch.to_string(),
            format!("own: {}; shared: {}", amount(reach.own), amount(reach.shared)),
        )
    }));
    let width = rows.iter().map(|(what, _)| what.len()).max().unwrap_or_default();
    let rows = rows.iter().map(|(what, much)| format!("{what:width$}  {much}\n"));
    Ok(rows.collect::<String>().into())
}

fn told(report: &Report) -> String {
    let mut text = String::new();
    for flaw in &report.flaws {
        let object = flaw.object.map(|id| format!(" (object {})", id.short())).unwrap_or_default();
        let end = if flaw.is_at_end { ", perhaps of a flush that did not finish" } else { "" };
        text += &format!("{}: {}{object}{end}\n", flaw.at, flaw.what);
    }
    text.extend(report.lost.iter().map(lost));
    for commit in &report.damaged_commits {
        text += &format!("commit {} is not whole\n", commit.short());
    }
    text.extend(report.branches.iter().map(branch));
    for commit in &report.loose {
        text += &format!("commit {} is whole, and no branch leads to it\n", commit.short());
    }
    text.extend(report.index.iter().map(index));
    let Report { files, objects, commits, .. } = report;
    text + &format!("{files} files, {objects} objects, {commits} commits\n")
}

fn index(flaw: &IndexFlaw) -> String {
    match flaw {
        IndexFlaw::Unused { run } => format!("{run} is not used, and goes when a writer opens\n"),
        IndexFlaw::Damaged { run } => format!("{run} is damaged, and is made again when needed\n"),
        IndexFlaw::Wrong { run, object } => {
            format!("{run} is wrong about object {}; remove it\n", object.short())
        }
        IndexFlaw::Lacking { object } => {
            format!("object {} is not in the index; remove that\n", object.short())
        }
    }
}

fn lost(lost: &Lost) -> String {
    let at = lost.at.as_ref().map_or("missing".to_owned(), |at: &Place| format!("damaged at {at}"));
    let by = lost.referred_by.iter().map(Id::short);
    let by: Vec<String> = by.chain(lost.head_of.iter().map(ToString::to_string)).collect();
    format!("object {} is {at}, needed by {}\n", lost.id.short(), by.join(", "))
}

fn branch(examined: &Examined) -> String {
    let Examined { branch, head, newest_whole } = examined;
    let head_short = head.short();
    match newest_whole {
        Some(whole) if whole == head => format!("{branch} is whole, at {head_short}\n"),
        Some(whole) => {
            format!("{branch} is damaged, at {head_short}; whole up to {}\n", whole.short())
        }
        None => format!("{branch} is damaged, at {head_short}; no commit before it is whole\n"),
    }
}

fn amount(amount: Amount) -> String {
    format!("{} objects, {} bytes", amount.objects, amount.bytes)
}
