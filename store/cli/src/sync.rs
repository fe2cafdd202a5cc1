//! `pull`, `push`, `serve`, `export-slice` and `import-slice`.
//!
//! Owns how another store is found, and what is told. What the two say to each other the store
//! knows.

use std::env;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, BufReader, Read as _};
use std::path::Path as FilePath;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context as _, Result, bail};
use jitsu_store::sync::{self, Message, Peer, Pulled, Pushed, Server, Stream, SyncError};
use jitsu_store::{BranchName, Forward, Id};

use crate::show::conflict;
use crate::{Said, file, open, remote};

/// Another store: a folder, `HOST:FOLDER`, or `toolstack:SOCKET`.
enum Other {
    Here(Box<Server>),
    There(Remote),
}

/// A program that answers for it: `jitsu-store serve` by `ssh`, or `jitsu relay`.
struct Remote {
    stream: Stream<ChildStdout, ChildStdin>,
    child: Child,
}

#[derive(Clone, Copy)]
enum Use {
    Read,
    Write,
}

impl Other {
    fn open(at: &str, for_use: Use) -> Result<Other> {
        match at.split_once(':') {
            // As with `scp`, a slash before the colon makes it a folder here.
            Some(("toolstack", socket)) => Remote::run(relay(socket, for_use)),
            Some((host, folder)) if !host.contains('/') => {
                Remote::run(serve_on(host, folder, for_use)?)
            }
            _ => {
                let folder = FilePath::new(at);
                let store = match for_use {
                    Use::Read => open::read(folder)?,
                    Use::Write => open::change_or_begin(folder)?,
                };
                Ok(Other::Here(Box::new(Server::new(&store))))
            }
        }
    }
}

/// The command that asks the toolstack at a socket, or at the one it has mostly.
fn relay(socket: &str, for_use: Use) -> Command {
    let mut command = Command::new(open::beside("jitsu"));
    if !socket.is_empty() {
        command.args(["--socket", socket]);
    }
    command.arg("relay");
    if matches!(for_use, Use::Write) {
        command.arg("--push");
    }
    command
}

/// The command that asks a folder on another host.
fn serve_on(host: &str, folder: &str, for_use: Use) -> Result<Command> {
    if host.is_empty() || host.starts_with('-') || folder.is_empty() {
        bail!("{host}:{folder} is no HOST:FOLDER");
    }
    let ssh = env::var_os("JITSU_SSH").unwrap_or_else(|| OsString::from("ssh"));
    let mut command = Command::new(ssh);
    command.args([host, "jitsu-store", "serve"]);
    if matches!(for_use, Use::Write) {
        command.arg("--write");
    }
    command.args(["--", &quoted(folder)]);
    Ok(command)
}

impl Remote {
    fn run(mut command: Command) -> Result<Other> {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot run {}", command.get_program().display()))?;
        let (read, write) = child.stdout.take().zip(child.stdin.take()).expect("BUG: no pipes");
        Ok(Other::There(Remote { stream: Stream::new(read, write), child }))
    }
}

/// A text as one word of the shell that `ssh` starts.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

impl Peer for Other {
    fn call(&mut self, message: Message) -> Result<Message, SyncError> {
        match self {
            Other::Here(server) => server.call(message),
            Other::There(remote) => remote.stream.call(message),
        }
    }
}

impl Drop for Remote {
    fn drop(&mut self) {
        // It ends by itself when it has no more to answer, or has ended with a message of its own.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn pull(
    folder: &FilePath,
    from: &str,
    branches: &[String],
    depth: Option<u64>,
) -> Result<Said> {
    if let Some(url) = from.strip_prefix("git:") {
        if depth.is_some() {
            bail!("a Git remote brings all trees: --depth is for stores");
        }
        return remote::pull(folder, url, branches);
    }
    let mut other = Other::open(from, Use::Read)?;
    let branches = named(branches, || Ok(sync::branches(&mut other)?))?;
    let store = open::change_or_begin(folder)?;
    let mut said = Said::from(String::new());
    for branch in branches {
        let meta = open::meta(format!("merge {branch} of {from}"));
        let newest = depth.map(|trees| store.fetch_newest(&mut other, &branch, trees)).transpose();
        let came = match newest.and_then(|_| store.pull(&mut other, &branch, &meta)) {
            Err(error) => {
                said.is_done = false;
                format!("was not moved: {error}\n")
            }
            Ok(Pulled::NoBranch) => {
                said.is_done = false;
                format!("is not in {from}\n")
            }
            Ok(Pulled::Already) => "has it already\n".to_owned(),
            Ok(Pulled::Forward(commit)) => format!("is now at {}\n", commit.id().short()),
            Ok(Pulled::Merged(commit)) => {
                format!("is merged, and now at {}\n", commit.id().short())
            }
            Ok(Pulled::Conflicts(conflicts)) => {
                said.is_done = false;
                let conflicts: String = conflicts.iter().map(conflict).collect();
                format!("cannot be merged, and was not moved:\n{conflicts}")
            }
        };
        said.bytes.extend(format!("{branch} {came}").bytes());
    }
    Ok(said)
}

pub(crate) fn push(folder: &FilePath, to: &str, branches: &[String]) -> Result<Said> {
    if let Some(url) = to.strip_prefix("git:") {
        return remote::push(folder, url, branches);
    }
    let store = open::read(folder)?;
    let branches = named(branches, || Ok(store.branches()?))?;
    let mut other = Other::open(to, Use::Write)?;
    let mut said = Said::from(String::new());
    for branch in branches {
        let came = match store.push(&mut other, &branch) {
            Err(error) => {
                said.is_done = false;
                format!("was not moved: {error}")
            }
            Ok(Pushed::Moved) => "was moved".to_owned(),
            Ok(Pushed::Already) => "is there already".to_owned(),
            Ok(Pushed::Behind(head)) => {
                said.is_done = false;
                format!("was not moved: it has {}, which is not here; pull first", head.short())
            }
        };
        said.bytes.extend(format!("{branch} {came}\n").bytes());
    }
    Ok(said)
}

pub(crate) fn serve(folder: &FilePath, write: bool) -> Result<Said> {
    let store = if write { open::change_or_begin(folder)? } else { open::read(folder)? };
    let (mut from, mut to) = (io::stdin().lock(), io::stdout().lock());
    sync::serve(&mut Server::new(&store), &mut from, &mut to)?;
    Ok(String::new().into())
}

pub(crate) fn export_slice(
    folder: &FilePath,
    to: &FilePath,
    branches: &[String],
    since: &[String],
) -> Result<Said> {
    let store = open::read(folder)?;
    let branches = named(branches, || Ok(store.branches()?))?;
    let since = since.iter().map(|rev| Ok(store.resolve(rev)?.id()));
    let since = since.collect::<Result<Vec<Id>>>()?;
    let objects = file::write(to, |file| Ok(store.export_slice(&branches, &since, file)?))?;
    Ok(format!("{} branches, {objects} objects\n", branches.len()).into())
}

pub(crate) fn import_slice(folder: &FilePath, from: &FilePath) -> Result<Said> {
    let file = File::open(from).with_context(|| format!("cannot open {}", from.display()))?;
    let store = open::change_or_begin(folder)?;
    let imported = store
        .import_slice(&mut BufReader::new(file).by_ref())
        .with_context(|| format!("cannot take in {}", from.display()))?;
    let mut said = Said::from(String::new());
    for (branch, head) in imported.heads {
        let came = store.transact(|batch| batch.forward(&branch, &head))?;
        let told = match came {
            Forward::Moved => format!("is now at {}", head.short()),
            Forward::Already | Forward::Ahead(_) => "has it already".to_owned(),
            Forward::Apart(_) => {
                said.is_done = false;
                format!("has commits of its own, and was not moved: merge {}", head.short())
            }
        };
        said.bytes.extend(format!("{branch} {told}\n").bytes());
    }
    said.bytes.extend(format!("{} objects read\n", imported.objects).bytes());
    Ok(said)
}

/// These branches, or all there are.
fn named(
    names: &[String],
    all: impl FnOnce() -> Result<Vec<(BranchName, Id)>>,
) -> Result<Vec<BranchName>> {
    if names.is_empty() {
        return Ok(all()?.into_iter().map(|(branch, _)| branch).collect());
    }
    Ok(names.iter().map(|name| BranchName::new(name)).collect::<Result<_, _>>()?)
}
