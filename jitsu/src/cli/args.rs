//! The words of the command line.
//!
//! Owns what may be typed, and its help. It must not know what any of it does.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args as ClapArgs, Parser, Subcommand, ValueEnum};
use jitsu_proto::{Millis, Name};

use crate::{demo, up};

/// The inetd of Xen, with a memory.
///
/// A DNS question or a TCP connection for a service summons its VM; the connection is held
/// while it boots; when nobody needs it, it goes. Everything asked of the toolstack is a commit
/// in a store that can be read, compared, forked, merged and reverted.
#[derive(Debug, Parser)]
#[command(name = "jitsu", version)]
pub struct Args {
    /// The toolstack's socket. Default: the daemon's, or that of `jitsu up` in this folder.
    #[arg(long, global = true, env = "JITSU_SOCKET", value_name = "PATH")]
    pub(super) socket: Option<PathBuf>,
    /// Print JSON.
    #[arg(long, global = true)]
    pub(super) json: bool,
    /// What to do.
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Run everything in one process: no Xen, no root.
    Up(up::Options),
    /// Show it: a cold and a warm request, the idle stop, and what was recorded.
    Demo(demo::Options),
    /// Run the DNS server and the holding proxy.
    Serve {
        /// The configuration file.
        #[arg(long, value_name = "FILE", default_value = "/etc/jitsu/jitsu.toml")]
        config: PathBuf,
    },
    /// Say whether a configuration file is right.
    CheckConfig {
        /// The configuration of `jitsu serve`, or a file of services.
        file: PathBuf,
    },
    /// All services and domains.
    Status,
    /// All services and domains, over and over.
    Watch {
        /// How often.
        #[arg(long, default_value = "1s")]
        interval: Millis,
    },
    /// Add, change, remove and show services.
    #[command(subcommand)]
    Service(ServiceCommand),
    /// Make a domain run.
    Start {
        /// The domain.
        name: Name,
        /// Stage it on this branch, and do nothing yet.
        #[arg(long)]
        branch: Option<String>,
    },
    /// Make a domain go.
    Stop {
        /// The domain.
        name: Name,
        /// How.
        #[arg(long, value_enum, default_value_t = How::Shutdown)]
        how: How,
        /// Stage it on this branch, and do nothing yet.
        #[arg(long)]
        branch: Option<String>,
    },
    /// Stop a domain's clock.
    Pause {
        /// The domain.
        name: Name,
        /// Stage it on this branch, and do nothing yet.
        #[arg(long)]
        branch: Option<String>,
    },
    /// Make a domain go, and run again.
    Restart {
        /// The domain.
        name: Name,
    },
    /// Attach to a domain's console; Ctrl-C leaves it.
    Console {
        /// The domain.
        name: Name,
    },
    /// What was asked, by whom, with what result; newest first.
    Log {
        /// A branch, as `main` or `domain/www`; a commit; either with `~N`.
        #[arg(default_value = "main")]
        rev: String,
        /// Only what changed something at or below this path.
        #[arg(long)]
        path: Option<String>,
        /// Go on with what is new.
        #[arg(long, short)]
        follow: bool,
        /// At most that many.
        #[arg(short = 'n', long, default_value_t = 20)]
        count: u32,
    },
    /// One commit and what it changed.
    Show {
        /// The commit.
        #[arg(default_value = "main")]
        rev: String,
    },
    /// What differs between two revisions.
    Diff {
        /// Before.
        from: String,
        /// After.
        to: String,
        /// Only at or below this path.
        #[arg(long)]
        path: Option<String>,
    },
    /// List, make and delete branches.
    #[command(subcommand)]
    Branch(BranchCommand),
    /// Merge a branch into another. Into `main`, it takes effect.
    Merge {
        /// The branch or commit.
        from: String,
        /// Where to.
        #[arg(long, default_value = "main")]
        into: String,
    },
    /// Undo what one commit changed.
    Revert {
        /// The commit.
        rev: String,
        /// Where.
        #[arg(long, default_value = "main")]
        branch: String,
    },
    /// What stands at a path, as in `jitsu cat domains/www/wanted@main~1`.
    Cat {
        /// PATH or PATH@REVISION.
        at: String,
    },
    /// Change paths on a branch, as one commit.
    Edit {
        /// The branch.
        branch: String,
        /// PATH=TEXT to set, PATH= to remove.
        #[arg(required = true, value_name = "PATH=TEXT")]
        edits: Vec<String>,
    },
    /// Look into a store's folder, without a daemon; carry it to Git and back. See `jitsu store help`.
    #[command(disable_help_flag = true)]
    Store {
        /// The command `jitsu-store`'s.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "COMMAND")]
        arguments: Vec<OsString>,
    },
    /// Let another store speak to the toolstack's, on standard input and output: what `jitsu store
    /// pull` and `push` start.
    #[command(hide = true)]
    Relay {
        /// Let it move branches.
        #[arg(long)]
        push: bool,
    },
    /// Print the completions of a shell.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// Write the manual pages into a folder.
    Man {
        /// The folder.
        folder: PathBuf,
    },
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum How {
    /// Asked first, destroyed when it does not go.
    Shutdown,
    /// At once.
    Destroy,
    /// Saved, to resume where it was.
    Suspend,
}

#[derive(Debug, Subcommand)]
pub(super) enum ServiceCommand {
    /// Add services, or replace them.
    Add(AddOptions),
    /// Change settings of a service or (`domain.KEY`) of its domain.
    Set {
        /// The service.
        name: Name,
        /// KEY=VALUE, as in idle=30s or domain.memory_mib=64.
        #[arg(required = true, value_name = "KEY=VALUE")]
        settings: Vec<String>,
        /// Stage it on this branch, and do nothing yet.
        #[arg(long)]
        branch: Option<String>,
    },
    /// Remove a service and its domain.
    Rm {
        /// The service.
        name: Name,
        /// Leave its domain.
        #[arg(long)]
        keep_domain: bool,
        /// Stage it on this branch, and do nothing yet.
        #[arg(long)]
        branch: Option<String>,
    },
    /// Print a service and its domain, in the form that `add --file` takes.
    Show {
        /// The service.
        name: Name,
    },
}

#[derive(Debug, ClapArgs)]
pub(super) struct AddOptions {
    /// The service. With a file: only this one of it.
    #[arg(required_unless_present = "file")]
    pub(super) name: Option<Name>,
    /// A file of services and domains; see `jitsu/examples/services.toml`.
    #[arg(long, short, value_name = "FILE", conflicts_with_all = ["dns", "listen", "port", "command"])]
    pub(super) file: Option<PathBuf>,
    /// A DNS name of it; may be given more than once.
    #[arg(long, value_name = "NAME")]
    pub(super) dns: Vec<String>,
    /// Where the proxy listens for it, as in 127.0.0.1:8080; may be given more than once.
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(super) listen: Vec<std::net::SocketAddr>,
    /// The guest's port; it is ready when this accepts.
    #[arg(long, default_value_t = 8080)]
    pub(super) port: u16,
    /// The guest's program and arguments, after `--`; none: the built-in HTTP guest.
    #[arg(last = true, value_name = "COMMAND")]
    pub(super) command: Vec<String>,
    /// Stage it on this branch, and do nothing yet.
    #[arg(long)]
    pub(super) branch: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(super) enum BranchCommand {
    /// All branches.
    List,
    /// Make a branch.
    Create {
        /// Its name.
        name: String,
        /// Where it starts.
        #[arg(long, default_value = "main")]
        from: String,
    },
    /// Delete a branch; its commits stay where another branch reaches them.
    Delete {
        /// Its name.
        name: String,
    },
}
