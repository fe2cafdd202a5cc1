//! The program `jitsu-store`, which `jitsu store` runs.
//!
//! Owns the words that may be typed, standard output, and the exit code. It must not know what a
//! command does.

mod bench;
mod file;
mod git;
mod graph;
mod history;
mod mirror;
mod open;
mod order;
mod proof;
mod remote;
mod show;
mod sync;
mod upkeep;

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::{Parser, Subcommand};
use jitsu_store::BranchName;

/// Look into a store's folder, without a daemon and beside a running one.
#[derive(Debug, Parser)]
#[command(name = "jitsu store", bin_name = "jitsu store", version)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// A commit and all its ancestors, newest first.
    Log {
        /// The store's folder.
        folder: PathBuf,
        /// A branch, as `main`; a commit; either with `~N`.
        #[arg(default_value = "main", value_name = "BRANCH|ID")]
        rev: String,
        /// Draw which commits come from which.
        #[arg(long)]
        graph: bool,
        /// Only what changed something at or below this path.
        #[arg(long, conflicts_with = "graph")]
        path: Option<String>,
        /// At most that many.
        #[arg(short = 'n', long, default_value_t = 20)]
        count: usize,
    },
    /// What stands at a path, as it is.
    Cat {
        /// The store's folder.
        folder: PathBuf,
        /// PATH or PATH@REVISION, as in `domains/www/wanted@main~1`.
        at: String,
    },
    /// What is in a directory.
    Ls {
        /// The store's folder.
        folder: PathBuf,
        /// PATH or PATH@REVISION; the root without one.
        #[arg(default_value = "")]
        at: String,
    },
    /// What differs between two revisions.
    Diff {
        /// The store's folder.
        folder: PathBuf,
        /// Before.
        from: String,
        /// After.
        to: String,
        /// Only at or below this path.
        #[arg(long, default_value = "")]
        path: String,
    },
    /// All branches and their heads.
    Branches {
        /// The store's folder.
        folder: PathBuf,
    },
    /// Merge a branch or commit into a branch. No daemon may have the store open.
    Merge {
        /// The store's folder.
        folder: PathBuf,
        /// The branch or commit.
        from: String,
        /// The branch to merge into; begun if it is not there.
        #[arg(long, value_name = "BRANCH", default_value = "main")]
        into: String,
    },
    /// Look for damage: every record, every object, every reference. Nothing is changed.
    Fsck {
        /// The store's folder.
        folder: PathBuf,
    },
    /// Write all that is intact to a new folder, each branch at its newest commit whose history is
    /// whole. The damaged folder is left as it is.
    Repair {
        /// The damaged store's folder.
        folder: PathBuf,
        /// The new folder.
        to: PathBuf,
    },
    /// Remove what no branch leads to. No daemon may have the store open.
    ///
    /// With `--keep-newest`, `--keep-days` or `--keep-branch`, old trees go as well: each commit
    /// stays, with who did what, and keeps its tree if one of these rules says so. So do the heads
    /// of branches, and what a merge of two of them needs.
    Gc {
        /// The store's folder.
        folder: PathBuf,
        /// Keep the trees of so many commits of each branch, the newest.
        #[arg(long, value_name = "N")]
        keep_newest: Option<usize>,
        /// Keep the trees of commits that are no older.
        #[arg(long, value_name = "D")]
        keep_days: Option<u32>,
        /// Keep all trees of a branch, which has to be there.
        #[arg(long, value_name = "BRANCH")]
        keep_branch: Vec<BranchName>,
    },
    /// Count what is stored: by kind, and for each branch what it alone needs and what it shares.
    Stat {
        /// The store's folder.
        folder: PathBuf,
    },
    /// Bring branches of another store here: moved on, or merged where both have something new. No
    /// daemon may have this store open.
    Pull {
        /// The store's folder; made if it is not there.
        folder: PathBuf,
        /// The other one: a folder; HOST:FOLDER, to which `ssh` (or `$JITSU_SSH`) goes;
        /// `toolstack:`, a running daemon's, perhaps with the path of its socket; or `git:URL`, a
        /// Git repository at whatever URL or path `git fetch` takes.
        from: String,
        /// Which; all of them without a name.
        branches: Vec<String>,
        /// Bring the trees of the newest N commits of each alone, and of the others only who asked
        /// for what and when; again with a larger N, the next ones.
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
        depth: Option<u64>,
    },
    /// Bring branches to another store, if it has nothing new of its own in them.
    Push {
        /// The store's folder.
        folder: PathBuf,
        /// The other one, as with `pull`; made if it is not there, unless it is a Git repository. No
        /// daemon may have it open.
        to: String,
        /// Which; all of them without a name.
        branches: Vec<String>,
    },
    /// Answer another store on standard input and output: what `pull` and `push` start elsewhere.
    Serve {
        /// The store's folder.
        folder: PathBuf,
        /// Let it move branches. No daemon may have the store open.
        #[arg(long)]
        write: bool,
    },
    /// Write branches, with their history, to one file.
    ExportSlice {
        /// The store's folder.
        folder: PathBuf,
        /// The file.
        file: PathBuf,
        /// Which; all of them without a name.
        branches: Vec<String>,
        /// Only what came after this branch or commit, which whoever takes it in must have.
        #[arg(long, value_name = "BRANCH|ID")]
        since: Vec<String>,
    },
    /// Take in such a file. No daemon may have the store open.
    ImportSlice {
        /// The store's folder; made if it is not there.
        folder: PathBuf,
        /// The file.
        file: PathBuf,
    },
    /// Write a proof of what stands at a path to a file, for those who have no store.
    Prove {
        /// The store's folder.
        folder: PathBuf,
        /// PATH or PATH@REVISION.
        at: String,
        /// The file.
        file: PathBuf,
    },
    /// What a proof proves. No store is needed.
    Verify {
        /// The file.
        file: PathBuf,
        /// The whole id of the commit of which it must prove something, from somebody you trust.
        commit: String,
    },
    /// Measure what a store does here in a second, beside what Irmin did elsewhere.
    Bench {
        /// A folder on the disk to measure, in which nothing is left; in memory only without one.
        folder: Option<PathBuf>,
        /// How long each workload runs, in operations.
        #[arg(short = 'n', long, default_value_t = 1000)]
        count: usize,
        /// Only these workloads, as `W1`.
        #[arg(long, value_name = "NAME")]
        only: Vec<String>,
    },
    /// Write all branches, with their history, to a bare Git repository.
    ExportGit {
        /// The store's folder.
        folder: PathBuf,
        /// The repository; made if it is not there.
        repository: PathBuf,
        /// Make it one that names objects by SHA-256.
        #[arg(long)]
        sha256: bool,
    },
    /// Take all branches, with their history, from a Git repository. No daemon may have the store
    /// open.
    ImportGit {
        /// The store's folder; made if it is not there.
        folder: PathBuf,
        /// The repository.
        repository: PathBuf,
    },
}

/// What a command says, and whether all of what was asked came to be.
struct Said {
    bytes: Vec<u8>,
    is_done: bool,
}

impl From<String> for Said {
    fn from(text: String) -> Said {
        Said { bytes: text.into_bytes(), is_done: true }
    }
}

fn main() -> ExitCode {
    match run(Args::parse().command).and_then(|said| print(&said.bytes).map(|()| said.is_done)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            let _ = writeln!(io::stderr(), "jitsu store: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<Said> {
    match command {
        Command::Log { folder, rev, graph: true, count, .. } => {
            history::graph(&folder, &rev, count)
        }
        Command::Log { folder, rev, path, count, .. } => {
            history::log(&folder, &rev, path.as_deref(), count)
        }
        Command::Cat { folder, at } => history::cat(&folder, &at),
        Command::Ls { folder, at } => history::ls(&folder, &at),
        Command::Diff { folder, from, to, path } => history::diff(&folder, &from, &to, &path),
        Command::Branches { folder } => history::branches(&folder),
        Command::Merge { folder, from, into } => history::merge(&folder, &from, &into),
        Command::Fsck { folder } => upkeep::fsck(&folder),
        Command::Repair { folder, to } => upkeep::repair(&folder, &to),
        Command::Gc { folder, keep_newest: None, keep_days: None, keep_branch }
            if keep_branch.is_empty() =>
        {
            upkeep::gc(&folder)
        }
        Command::Gc { folder, keep_newest, keep_days, keep_branch } => {
            upkeep::let_go(&folder, keep_newest, keep_days, keep_branch)
        }
        Command::Stat { folder } => upkeep::stat(&folder),
        Command::Pull { folder, from, branches, depth } => {
            sync::pull(&folder, &from, &branches, depth)
        }
        Command::Push { folder, to, branches } => sync::push(&folder, &to, &branches),
        Command::Serve { folder, write } => sync::serve(&folder, write),
        Command::ExportSlice { folder, file, branches, since } => {
            sync::export_slice(&folder, &file, &branches, &since)
        }
        Command::ImportSlice { folder, file } => sync::import_slice(&folder, &file),
        Command::Prove { folder, at, file } => proof::prove(&folder, &at, &file),
        Command::Verify { file, commit } => proof::verify(&file, &commit),
        Command::Bench { folder, count, only } => bench::bench(folder.as_deref(), count, &only),
        Command::ExportGit { folder, repository, sha256 } => {
            git::export(&folder, &repository, sha256)
        }
        Command::ImportGit { folder, repository } => git::import(&folder, &repository),
    }
}

/// A reader that has gone is no error: the command ends quietly.
fn print(bytes: &[u8]) -> Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result.context("cannot write to standard output"),
    }
}
