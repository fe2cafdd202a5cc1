//! `prove` and `verify`.
//!
//! Owns what is told of them. What makes a proof the store knows.

use std::fs;
use std::path::Path as FilePath;

use anyhow::{Context as _, Result, bail};
use jitsu_store::{Contents, Id, Proof, Proven};

use crate::history::place;
use crate::show::value;
use crate::{Said, file, open};

pub(crate) fn prove(folder: &FilePath, at: &str, to: &FilePath) -> Result<Said> {
    let store = open::read(folder)?;
    let (commit, path) = place(&store, at)?;
    let bytes = store.prove(&commit.id(), &path)?.encode();
    file::write(to, |file| Ok(file.write_all(&bytes)?))?;
    Ok(format!("/{path} in {}\n{} bytes\n", commit.id(), bytes.len()).into())
}

pub(crate) fn verify(from: &FilePath, commit: &str) -> Result<Said> {
    let bytes = fs::read(from).with_context(|| format!("cannot read {}", from.display()))?;
    // A few digits are no proof: who gives the commit says all of them.
    let commit: Id = commit.parse().with_context(|| format!("{commit:?} names no commit"))?;
    let wrong = || format!("cannot believe {}", from.display());
    let proof = Proof::decode(&bytes).with_context(wrong)?;
    if proof.commit != commit {
        bail!("this proves something of the commit {}, not of {commit}", proof.commit);
    }
    let told = match proof.verify().with_context(wrong)? {
        Proven::Nothing => "held nothing".to_owned(),
        Proven::Directory(id) => format!("was a directory, of id {id}"),
        Proven::Contents(contents @ Contents::Bytes(_)) => format!("was: {}", value(&contents)),
        Proven::Contents(contents) => format!("was: {contents}"),
    };
    Ok(format!("/{} {told}\n", proof.path).into())
}
