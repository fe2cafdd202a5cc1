//! The command line: what a person asks, and how it is shown.
//!
//! Owns the verbs and their output. Everything goes over the toolstack's socket; nothing is
//! looked up behind its back.

mod args;
mod console;
mod daemon;
mod domains;
mod history;
mod output;
mod relay;
mod services;
mod status;
mod store;

use std::future::Future;
use std::io::IsTerminal;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use clap::{CommandFactory, Parser};
use jitsu_proto::{ErrorCode, Request, Response, RpcError, TraceId};

pub use args::Args;
use args::{BranchCommand, Command, ServiceCommand};
pub use daemon::raise_descriptors;
pub use history::commit_line;
use output::Output;

use crate::client::Client;
use crate::config::DEFAULT_SOCKET;
use crate::{demo, up};

const PROGRAM: &str = concat!("jitsu ", env!("CARGO_PKG_VERSION"));

/// Before a person is told that something takes time.
const PATIENCE: Duration = Duration::from_secs(1);

/// Runs the command line of this process, to the end. The error is for a person.
pub fn run() -> Result<()> {
    let args = Args::parse();
    match args.command {
        Command::Serve { config } => daemon::serve(&config),
        Command::CheckConfig { file } => daemon::check(&file),
        Command::Store { .. } if args.json => bail!("`jitsu store` prints no JSON"),
        Command::Store { arguments } => store::run(&arguments),
        Command::Completions { shell } => {
            let mut output = Vec::new();
            clap_complete::generate(shell, &mut Args::command(), "jitsu", &mut output);
            Output::new(false).bytes(&output)
        }
        Command::Man { folder } => clap_mangen::generate_to(Args::command(), &folder)
            .with_context(|| format!("cannot write to {}", folder.display())),
        Command::Up(options) => daemon::runtime()?.block_on(up::run(options)),
        Command::Demo(options) => daemon::runtime()?.block_on(demo::run(options)),
        command => {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let session = Session { socket: args.socket, output: Output::new(args.json) };
            runtime.block_on(session.run(command))
        }
    }
}

/// One command, with where it goes and how it is shown.
struct Session {
    socket: Option<PathBuf>,
    output: Output,
}

impl Session {
    async fn run(&self, command: Command) -> Result<()> {
        match command {
            Command::Status => self.status().await,
            Command::Watch { interval } => self.watch(interval).await,
            Command::Service(command) => match command {
                ServiceCommand::Add(options) => self.service_add(options).await,
                ServiceCommand::Set { name, settings, branch } => {
                    self.service_set(&name, &settings, branch.as_deref()).await
                }
                ServiceCommand::Rm { name, keep_domain, branch } => {
                    self.service_rm(&name, keep_domain, branch.as_deref()).await
                }
                ServiceCommand::Show { name } => self.service_show(&name).await,
            },
            Command::Start { name, branch } => self.start(name, branch).await,
            Command::Stop { name, how, branch } => self.stop(name, how, branch).await,
            Command::Pause { name, branch } => self.pause(name, branch).await,
            Command::Restart { name } => self.restart(name).await,
            Command::Console { name } => self.console(name).await,
            Command::Log { rev, path, follow, count } => self.log(rev, path, follow, count).await,
            Command::Show { rev } => self.show(rev).await,
            Command::Diff { from, to, path } => self.diff(from, to, path).await,
            Command::Branch(command) => match command {
                BranchCommand::List => self.branches().await,
                BranchCommand::Create { name, from } => self.branch_create(name, from).await,
                BranchCommand::Delete { name } => self.branch_delete(name).await,
            },
            Command::Merge { from, into } => self.merge(from, into).await,
            Command::Revert { rev, branch } => self.revert(rev, branch).await,
            Command::Cat { at } => self.cat(&at).await,
            Command::Relay { push } => self.relay(push).await,
            Command::Edit { branch, edits } => self.edit(branch, &edits).await,
            Command::Serve { .. }
            | Command::CheckConfig { .. }
            | Command::Store { .. }
            | Command::Completions { .. }
            | Command::Man { .. }
            | Command::Up(_)
            | Command::Demo(_) => unreachable!("BUG: this needs no session"),
        }
    }

    /// Where the toolstack is: as told, or the daemon's, or that of `jitsu up` in this folder.
    fn socket(&self) -> PathBuf {
        if let Some(socket) = &self.socket {
            return socket.clone();
        }
        let daemon = PathBuf::from(DEFAULT_SOCKET);
        let here = up::socket(&up::default_folder());
        if !daemon.exists() && here.exists() { here } else { daemon }
    }

    async fn connect(&self) -> Result<Client> {
        let socket = self.socket();
        Client::connect(&socket, PROGRAM).await.with_context(|| {
            format!(
                "nothing can be asked without a toolstack at {}: start one with `jitsu up` or \
                 `systemctl start toolstack`, or name another socket with --socket",
                socket.display()
            )
        })
    }

    /// Asks, and says that it takes time when it does.
    async fn ask(&self, client: &Client, what: &str, request: Request) -> Result<Response> {
        let reply = self.patiently(what, client.ask(TraceId::default(), request)).await;
        reply.map_err(|error| explain(&error))
    }

    async fn patiently<T>(&self, what: &str, work: impl Future<Output = T>) -> T {
        let began = Instant::now();
        let mut told = false;
        tokio::pin!(work);
        loop {
            tokio::select! {
                done = &mut work => {
                    if told {
                        self.output.progress_end();
                    }
                    return done;
                }
                () = tokio::time::sleep(PATIENCE) => {
                    // Without a terminal one line is enough.
                    if !told || std::io::stderr().is_terminal() {
                        self.output.progress(what, began.elapsed());
                    }
                    told = true;
                }
            }
        }
    }
}

/// The error, with what can be done about it.
fn explain(error: &RpcError) -> anyhow::Error {
    let mut text = error.text.clone();
    for conflict in &error.conflicts {
        text.push_str(&history::conflict(conflict));
    }
    let next = match error.code {
        ErrorCode::Forbidden => {
            "\n  ask as another user (sudo), or have this one added to [roles] in toolstack.toml"
        }
        ErrorCode::Conflict => {
            "\n  edit one of the two branches so that they agree (`jitsu edit BRANCH PATH=VALUE`), and merge again"
        }
        ErrorCode::Storage => {
            "\n  nothing was changed; see the toolstack's log, and whether its disk is full"
        }
        ErrorCode::Version => "\n  install the same release of jitsu and toolstack",
        ErrorCode::Unavailable => "\n  see the toolstack's log, and `systemctl status toolstack`",
        ErrorCode::Hypervisor | ErrorCode::Timeout => {
            "\n  see `jitsu console NAME` and `jitsu log domain/NAME`"
        }
        ErrorCode::NotFound => "\n  see `jitsu status` and `jitsu branch list`",
        ErrorCode::BadRequest
        | ErrorCode::Exists
        | ErrorCode::Superseded
        | ErrorCode::Exhausted
        | ErrorCode::Unsupported => "",
    };
    text.push_str(next);
    anyhow::anyhow!(text)
}

/// For an answer of another kind than was asked for.
fn strange<T>(response: &Response) -> Result<T> {
    bail!("the toolstack answered something else: {response:?}")
}
