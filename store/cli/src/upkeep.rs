//! `fsck`, `repair`, `stat` and `gc`.
//!
//! Owns what is told of them. What damage is, and what is left, the store knows.

use std::path::Path as FilePath;

use anyhow::Result;
use jitsu_store::backend::{self, Amount, Examined, IndexFlaw, Lost, Report};
use jitsu_store::{Id, Place};

use crate::{Said, open};

pub(crate) fn fsck(folder: &FilePath) -> Result<Said> {
    let report = backend::fsck(folder).map_err(|error| open::told(folder, error))?;
    Ok(Said { bytes: told(&report).into_bytes(), is_done: report.is_whole() })
}

pub(crate) fn repair(from: &FilePath, to: &FilePath) -> Result<Said> {
    let repaired = backend::repair(from, to).map_err(|error| open::told(from, error))?;
    let mut text = told(&repaired.damaged);
    for (branch, id) in &repaired.made {
        text += &format!("{branch} is made at {}, which no branch led to\n", id.short());
    }
    text += &format!("{} objects written to {}\n", repaired.damaged.objects, to.display());
    Ok(text.into())
}

pub(crate) fn gc(folder: &FilePath) -> Result<Said> {
    let options = backend::LogOptions::default();
    let collected = backend::gc(folder, options).map_err(|error| open::told(folder, error))?;
    let (removed, kept) = (amount(collected.removed), amount(collected.kept));
    Ok(format!("removed: {removed}\nkept: {kept}\n").into())
}

pub(crate) fn stat(folder: &FilePath) -> Result<Said> {
    let stat = backend::stat(folder).map_err(|error| open::told(folder, error))?;
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
