//! `pull` and `push` with a Git remote.
//!
//! Owns what is told of them. How the remote is reached the mirror knows, and how commits become
//! those of Git the store.

use std::path::Path as FilePath;

use anyhow::Result;
use jitsu_store::BranchName;
use jitsu_store::git::{self, git_branch};

use crate::mirror::{Mirror, Pushed};
use crate::{Said, open};

pub(crate) fn pull(folder: &FilePath, url: &str, branches: &[String]) -> Result<Said> {
    let mirror = Mirror::open(folder, url)?;
    let mut wanted = mirror.branches.clone();
    let mut missing = Vec::new();
    if !branches.is_empty() {
        let names = branches.iter().map(|name| Ok(git_branch(&BranchName::new(name)?)));
        wanted = names.collect::<Result<Vec<String>>>()?;
        wanted.sort_unstable();
        wanted.dedup();
        missing = wanted.extract_if(.., |name| !mirror.branches.contains(name)).collect();
    }
    let heads = mirror.fetch(&wanted)?;
    let store = open::change_or_begin(folder)?;
    let meta = open::meta(format!("merge what came from {url}"));
    let imported = git::import_heads(&store, &mirror.repository()?, &heads, &meta)?;
    let mut said = crate::git::imported(&imported);
    for name in missing {
        said.is_done = false;
        said.bytes.extend(format!("{name} is not in {url}\n").bytes());
    }
    Ok(said)
}

pub(crate) fn push(folder: &FilePath, url: &str, branches: &[String]) -> Result<Said> {
    let store = open::read(folder)?;
    let mut heads = store.branches()?;
    let mut said = Said::from(String::new());
    if !branches.is_empty() {
        let names = branches.iter().map(|name| Ok(BranchName::new(name)?));
        let names = names.collect::<Result<Vec<BranchName>>>()?;
        heads.retain(|(branch, _)| names.contains(branch));
        for name in names.iter().filter(|name| !heads.iter().any(|(branch, _)| branch == *name)) {
            said.is_done = false;
            said.bytes.extend(format!("{name} is not in {}\n", folder.display()).bytes());
        }
    }
    let mirror = Mirror::open(folder, url)?;
    let commits: Vec<_> = heads.iter().map(|(_, head)| *head).collect();
    let sent = git::export_commits(&store, &mirror.repository()?, &commits)?;
    let sent: Vec<_> = heads.iter().map(|(branch, _)| git_branch(branch)).zip(sent).collect();
    for ((branch, _), came) in heads.iter().zip(mirror.push(&sent)?) {
        let told = match came {
            Pushed::Moved => "was moved".to_owned(),
            Pushed::Already => "is there already".to_owned(),
            Pushed::Behind => {
                said.is_done = false;
                format!("was not moved: {url} has commits that are not here; pull first")
            }
            Pushed::Rejected(why) => {
                said.is_done = false;
                format!("was not moved: {why}")
            }
        };
        said.bytes.extend(format!("{branch} {told}\n").bytes());
    }
    Ok(said)
}
