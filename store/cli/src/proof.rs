//! `prove` and `verify`.
//!
//! Owns what is told of them. What makes a proof the store knows.

use std::fs;
use std::path::{Path as FilePath, PathBuf};

use anyhow::{Context as _, Result, bail};
use jitsu_store::{Contents, Proof, Proven};

use crate::history::place;
use crate::show::value;
use crate::{Said, open};

pub(crate) fn prove(folder: &FilePath, at: &str, to: &PathBuf) -> Result<Said> {
    let store = open::read(folder)?;
    let (commit, path) = place(&store, at)?;
    let bytes = store.prove(&commit.id(), &path)?.encode();
    fs::write(to, &bytes).with_context(|| format!("cannot write {}", to.display()))?;
    Ok(format!("/{path} in {}\n{} bytes\n", commit.id(), bytes.len()).into())
}

pub(crate) fn verify(from: &PathBuf, commit: &str) -> Result<Said> {
    let bytes = fs::read(from).with_context(|| format!("cannot read {}", from.display()))?;
    let proof = Proof::decode(&bytes)?;
    // A few digits are no proof: who gives the commit says all of them.
    if proof.commit.to_string() != commit {
        bail!("this proves something of the commit {}, not of {commit}", proof.commit);
    }
    let told = match proof.verify()? {
        Proven::Nothing => "held nothing".to_owned(),
        Proven::Directory(id) => format!("was a directory, of id {id}"),
        Proven::Contents(contents @ Contents::Bytes(_)) => format!("was: {}", value(&contents)),
        Proven::Contents(contents) => format!("was: {contents}"),
    };
    Ok(format!("/{} {told}\n", proof.path).into())
}
