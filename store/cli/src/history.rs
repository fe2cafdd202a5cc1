//! `log`, `cat`, `ls`, `diff`, `branches`, `merge`.
//!
//! Owns what is asked of the store for them.

use std::collections::HashMap;
use std::path::Path as FilePath;

use anyhow::{Result, bail};
use jitsu_store::{
    BranchName, Commit, Contents, Id, Kind, Merged, Path, RETENTION, StorageError, Store,
};

use crate::graph::Graph;
use crate::order::by_line;
use crate::show::{change, commit_line, conflict, moment, value};
use crate::{Said, open};

pub(crate) fn log(folder: &FilePath, rev: &str, path: Option<&str>, count: usize) -> Result<Said> {
    let store = open::read(folder)?;
    let mut log = store.log(&store.resolve(rev)?.id());
    if let Some(path) = path {
        log = log.touching(open::path(path)?);
    }
    let mut text = String::new();
    for commit in log.take(count) {
        match commit {
            Ok(commit) => text += &(commit_line(&commit) + "\n"),
            Err(error) if text.is_empty() => return Err(error.into()),
            // What was found is true all the same.
            Err(error) => {
                text += &format!("what was before cannot be told: {error}\n");
                return Ok(Said { bytes: text.into_bytes(), is_done: false });
            }
        }
    }
    Ok(text.into())
}

pub(crate) fn graph(folder: &FilePath, rev: &str, count: usize) -> Result<Said> {
    let store = open::read(folder)?;
    let mut names: HashMap<Id, Vec<String>> = HashMap::new();
    for (branch, head) in store.branches()? {
        names.entry(head).or_default().push(branch.to_string());
    }
    let log = store.log(&store.resolve(rev)?.id());
    let commits = log.map(|commit| commit.map(|it| (it.id(), it.parents())));
    let mut graph = Graph::default();
    let mut text = String::new();
    for (id, parents) in by_line(commits.collect::<Result<_, _>>()?).into_iter().take(count) {
        let commit = store.commit(&id)?.ok_or(StorageError::Missing { id })?;
        let mut line = commit_line(&commit);
        if let Some(names) = names.get(&id) {
            line += &format!("  ({})", names.join(", "));
        }
        text += &graph.draw(id, &parents, &line);
    }
    Ok(text.into())
}

pub(crate) fn cat(folder: &FilePath, at: &str) -> Result<Said> {
    let (commit, path) = place(&open::read(folder)?, at)?;
    let tree = commit.tree();
    match tree.get(&path)? {
        Some(Contents::Bytes(bytes)) => Ok(Said { bytes: bytes.to_vec(), is_done: true }),
        Some(contents) => Ok((value(&contents) + "\n").into()),
        None if tree.subtree(&path)?.is_some() => bail!("/{path} is a directory: see `ls`"),
        None => bail!("there is nothing at /{path} in {}", commit.id().short()),
    }
}

pub(crate) fn ls(folder: &FilePath, at: &str) -> Result<Said> {
    let (commit, path) = place(&open::read(folder)?, at)?;
    let Some(directory) = commit.tree().subtree(&path)? else {
        bail!("there is no directory at /{path} in {}", commit.id().short());
    };
    let mut text = String::new();
    for (step, kind) in directory.list(&Path::root())? {
        text += &match (kind, directory.get(&Path::from(step.clone()))?) {
            (Kind::Contents, Some(contents)) => format!("{step} = {}\n", value(&contents)),
            _ => format!("{step}/\n"),
        };
    }
    Ok(text.into())
}

pub(crate) fn diff(folder: &FilePath, from: &str, to: &str, below: &str) -> Result<Said> {
    let store = open::read(folder)?;
    let below = open::path(below)?;
    let changes = store.diff(&with_tree(&store, from)?.tree(), &with_tree(&store, to)?.tree())?;
    let shown = changes.iter().filter(|change| change.path.starts_with(&below));
    Ok(shown.map(change).collect::<String>().into())
}

pub(crate) fn branches(folder: &FilePath) -> Result<Said> {
    let store = open::read(folder)?;
    let branches = store.branches()?;
    let width = branches.iter().map(|(branch, _)| branch.as_str().len()).max().unwrap_or(0);
    let mut text = String::new();
    for (branch, _) in &branches {
        if let Some(head) = store.head(branch)? {
            let (id, when) = (head.id().short(), moment(head.meta().time_ms));
            text += &format!("{branch:width$}  {id}  {when}  {}\n", first_line(&head));
        }
    }
    Ok(text.into())
}

pub(crate) fn merge(folder: &FilePath, from: &str, into: &str) -> Result<Said> {
    let into = BranchName::new(into)?;
    let store = open::change(folder)?;
    let theirs = store.resolve(from)?;
    let meta = open::meta(format!("merge {from} into {into}"));
    Ok(match store.merge(&into, &theirs, meta)? {
        Merged::Commit(commit) => format!("{into} is now at\n{}\n", commit_line(&commit)).into(),
        Merged::Already => format!("{into} has it already\n").into(),
        Merged::Conflicts(conflicts) => {
            let text: String = conflicts.iter().map(conflict).collect();
            let text = format!("{from} and {into} cannot be merged; nothing was changed:\n{text}");
            Said { bytes: text.into_bytes(), is_done: false }
        }
    })
}

/// The commit and the path that `PATH@REVISION` means.
pub(crate) fn place(store: &Store, at: &str) -> Result<(Commit, Path)> {
    let (path, rev) = at.rsplit_once('@').unwrap_or((at, "main"));
    Ok((with_tree(store, rev)?, open::path(path)?))
}

/// The commit that is meant, which has its tree still.
fn with_tree(store: &Store, rev: &str) -> Result<Commit> {
    let commit = store.resolve(rev)?;
    if !store.keeps_tree(&commit)? {
        let id = commit.id().short();
        bail!("the tree of {id} was let go: see `log` of the branch {RETENTION}");
    }
    Ok(commit)
}

fn first_line(commit: &Commit) -> &str {
    commit.meta().message.lines().next().unwrap_or_default()
}
