//! The whole daemon, started and stopped.
//!
//! Owns the order of both: store, hypervisor, what `main` says, what is there, the machine, and
//! the socket last, so that whoever can connect is served. It must not know the command line.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jitsu_proto::{ErrorCode, Name, Role, RpcError, TraceId, Wanted};
use jitsu_store::{BranchName, Commit, StorageError, Store, Tree};
use tokio::net::UnixListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::committer::Committer;
use crate::config::Config;
use crate::driver::{Driver, Mailbox, mailbox, now};
use crate::history::History;
use crate::hypervisor::{self, Hypervisor, HypervisorError};
use crate::layout::{self, ReadError};
use crate::machine::{Found, Input, Machine};
use crate::record::{Ask, Caller, Record, Subject, Write};
use crate::roles::{RoleError, Roles};
use crate::server::{self, ListenError, Server};

/// How many messages may wait for the machine.
const MAILBOX_SIZE: usize = 1024;

/// How long [`Daemon::stop_all`] waits for domains to go.
const STOP_MAX: Duration = Duration::from_secs(10);

/// Why the daemon did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A folder cannot be made.
    #[error("{}: {cause}", path.display())]
    Folder {
        /// Which.
        path: PathBuf,
        /// Why.
        cause: io::Error,
    },
    /// The store cannot be opened, or read.
    #[error("the store in {}: {cause}", path.display())]
    Store {
        /// Its folder.
        path: PathBuf,
        /// Why.
        cause: StorageError,
    },
    /// `main` cannot be read.
    #[error("the store's main: {0}")]
    Main(#[from] ReadError),
    /// The hypervisor does not work here.
    #[error(transparent)]
    Hypervisor(#[from] HypervisorError),
    /// The lists of roles name somebody who is not there.
    #[error(transparent)]
    Roles(#[from] RoleError),
    /// The socket cannot be opened.
    #[error("the socket: {0}")]
    Listen(#[from] ListenError),
    /// A thread cannot be started.
    #[error("starting a thread: {0}")]
    Thread(io::Error),
}

/// What a daemon is made of that tests, and `jitsu up`, may want to choose.
pub struct Parts {
    /// The store. None: the one in the configuration's `state_dir`.
    pub store: Option<Store>,
    /// The hypervisor. None: the configuration's.
    pub hypervisor: Option<Arc<dyn Hypervisor>>,
    /// The socket. None: it is opened where the configuration says.
    pub listener: Option<std::os::unix::net::UnixListener>,
}

impl Parts {
    /// Everything as the configuration says.
    pub const FROM_CONFIG: Parts = Parts { store: None, hypervisor: None, listener: None };
}

/// A daemon that runs. Dropping it leaves it running: see [`Daemon::stop`].
pub struct Daemon {
    mailbox: Mailbox,
    server: Arc<Server>,
    stop: watch::Sender<bool>,
    driving: JoinHandle<()>,
    serving: JoinHandle<()>,
    committing: std::thread::JoinHandle<()>,
    /// The socket's file, when we made it.
    socket: Option<PathBuf>,
}

impl Daemon {
    /// Starts a daemon; it serves when this returns.
    pub async fn start(config: Config) -> Result<Daemon, StartError> {
        Daemon::start_with(config, Parts::FROM_CONFIG).await
    }

    /// Starts a daemon of these parts.
    pub async fn start_with(config: Config, parts: Parts) -> Result<Daemon, StartError> {
        let roles = Roles::new(&config.roles)?;
        let saved_dir = config.state_dir.join("saved");
        for path in [&config.state_dir, &saved_dir, &config.runtime_dir] {
            std::fs::create_dir_all(path)
                .map_err(|cause| StartError::Folder { path: path.clone(), cause })?;
        }
        let store_dir = config.state_dir.join("store");
        let broken = |cause| StartError::Store { path: store_dir.clone(), cause };
        let store = match parts.store {
            Some(store) => store,
            None => open_store(&store_dir).map_err(broken)?,
        };
        let hypervisor = match parts.hypervisor {
            Some(hypervisor) => hypervisor,
            None => hypervisor::open(&config)?,
        };
        let main = BranchName::new(layout::MAIN).expect("BUG: main is a branch name");
        let head = store.head(&main).map_err(broken)?;

        let (mailbox, messages) = mailbox(MAILBOX_SIZE);
        let ends = mailbox.clone();
        hypervisor.watch(Box::new(move |ended| ends.input(Input::Ended(ended))));
        let (found, services) = look(head.as_ref(), &*hypervisor, &saved_dir)?;
        let tell = mailbox.clone();
        let (committer, committing) = Committer::start(
            store.clone(),
            head,
            config.limits.publish_retries_max,
            Box::new(move |input| tell.input(input)),
        )
        .map_err(StartError::Thread)?;

        let mut machine = Machine::new(config.limits.clone());
        let mut effects = Vec::new();
        let now = now();
        let (name, started_ms) = (hypervisor.name(), now.wall_ms);
        let started = vec![Write::Started { hypervisor: name, started_ms }];
        let record = Record::own(Subject::Host, "started", started);
        machine.handle(now, Input::Note(Box::new(record)), &mut effects);
        machine.start(now, found, services, &mut effects);
        let driver =
            Driver::new(machine, committer, hypervisor.clone(), saved_dir, mailbox.clone());

        let (count, published) = watch::channel(0_u64);
        store.on_publish(Box::new(move |_| count.send_modify(|count| *count += 1)));
        let server = Arc::new(Server {
            mailbox: mailbox.clone(),
            history: History::new(store, config.limits.clone()),
            hypervisor,
            keys: server::Keys::default(),
            limits: config.limits.clone(),
            roles: std::sync::RwLock::new(roles),
            store_folder: store_dir.display().to_string(),
            begun: Instant::now(),
            published,
        });
        let (listener, socket) = listen(&config, parts.listener)?;
        let (stop, stopped) = watch::channel(false);
        Ok(Daemon {
            mailbox,
            driving: tokio::spawn(driver.run(messages, effects)),
            serving: tokio::spawn(server.clone().run(listener, stopped)),
            server,
            stop,
            committing,
            socket,
        })
    }

    /// Takes up what may change while it runs: roles and limits. Open connections keep their
    /// role.
    pub async fn reload(&self, config: &Config) -> Result<(), RoleError> {
        let roles = Roles::new(&config.roles)?;
        self.server.set_roles(roles);
        self.mailbox.set_limits(config.limits.clone()).await;
        Ok(())
    }

    /// Whether the machine answers.
    pub async fn is_alive(&self) -> bool {
        self.mailbox.look(|_| ()).await.is_ok()
    }

    /// Stops serving and writes down what is left to write. Domains go on running; the next
    /// daemon adopts them.
    pub async fn stop(self) {
        let _ = self.stop.send(true);
        let _ = self.serving.await;
        self.mailbox.stop().await;
        let _ = self.driving.await;
        let committing = self.committing;
        let _ = tokio::task::spawn_blocking(move || committing.join()).await;
        if let Some(socket) = self.socket {
            let _ = std::fs::remove_file(socket);
        }
    }

    /// Wants every domain gone, waits until they are, and stops. What would not go is named.
    pub async fn stop_all(self) -> Result<(), RpcError> {
        let mut left = Vec::new();
        let stopped = tokio::time::timeout(STOP_MAX, self.want_all_absent(&mut left)).await;
        self.stop().await;
        match stopped {
            Ok(result) => result,
            Err(_) => {
                let names: Vec<_> = left.iter().map(Name::as_str).collect();
                let text = format!("these domains did not go within {STOP_MAX:?}: {names:?}");
                Err(RpcError::new(ErrorCode::Timeout, text))
            }
        }
    }

    async fn want_all_absent(&self, left: &mut Vec<Name>) -> Result<(), RpcError> {
        let list = self.mailbox.look(Machine::list).await?;
        left.extend(list.into_iter().map(|status| status.name));
        let caller = Caller {
            uid: nix::unistd::Uid::effective().as_raw(),
            gid: nix::unistd::Gid::effective().as_raw(),
            pid: nix::unistd::Pid::this().as_raw(),
            program: server::PROGRAM.to_owned(),
            role: Some(Role::Admin),
        };
        let mut asks = tokio::task::JoinSet::new();
        for name in left.iter().cloned() {
            let (mailbox, caller) = (self.mailbox.clone(), caller.clone());
            asks.spawn(async move {
                let ask = Ask::Want(name.clone(), Wanted::Absent);
                (name, mailbox.ask(caller, TraceId::default(), ask).await)
            });
        }
        while let Some(asked) = asks.join_next().await {
            let (name, reply) = asked.expect("BUG: waiting for an answer panicked");
            reply?;
            left.retain(|other| *other != name);
        }
        Ok(())
    }
}

fn open_store(dir: &std::path::Path) -> Result<Store, StorageError> {
    Store::open(dir)
}

/// The socket that was passed in, or one of our own and the file to remove after it.
fn listen(
    config: &Config,
    passed: Option<std::os::unix::net::UnixListener>,
) -> Result<(UnixListener, Option<PathBuf>), ListenError> {
    let (listener, file) = match passed {
        Some(listener) => (listener, None),
        None => {
            let listener = server::open(&config.socket, config.socket_group.as_deref())?;
            (listener, Some(config.socket.clone()))
        }
    };
    let failed =
        |cause| ListenError::Io { path: config.socket.clone(), doing: "watching it", cause };
    Ok((UnixListener::from_std(listener).map_err(failed)?, file))
}

type Services = Vec<(Name, jitsu_proto::ServiceSpec)>;

/// What `main` says and what is there, side by side.
fn look(
    head: Option<&Commit>,
    hypervisor: &dyn Hypervisor,
    saved_dir: &std::path::Path,
) -> Result<(Vec<Found>, Services), StartError> {
    let main = head.map_or_else(Tree::empty, Commit::tree);
    let mut found = BTreeMap::new();
    let blank =
        |name: Name| Found { name, intent: None, exists: None, saved: false, recorded: None };
    for name in layout::names(&main, "domains")? {
        let intent = match layout::intent(&main, &name) {
            Ok(intent) => intent,
            Err(error) => {
                // Left alone, whatever runs: nobody can tell what was meant.
                tracing::error!(domain = %name, %error, "main holds what cannot be understood");
                continue;
            }
        };
        let recorded = layout::seen(&main, &name)?;
        let entry = Found { intent, recorded, ..blank(name.clone()) };
        found.insert(name, entry);
    }
    for info in hypervisor.list()? {
        let name = info.handle.name.clone();
        let entry = found.entry(name.clone()).or_insert_with(|| blank(name));
        entry.exists = Some((info.handle, info.state));
    }
    let entries = std::fs::read_dir(saved_dir)
        .map_err(|cause| StartError::Folder { path: saved_dir.to_owned(), cause })?;
    for entry in entries.flatten() {
        if let Some(name) = entry.file_name().to_str().and_then(|name| Name::new(name).ok()) {
            let entry = found.entry(name.clone()).or_insert_with(|| blank(name));
            entry.saved = true;
        }
    }
    let mut services = Vec::new();
    for name in layout::names(&main, "services")? {
        match layout::service(&main, &name) {
            Ok(spec) => services.extend(spec.map(|spec| (name, spec))),
            Err(error) => {
                tracing::error!(service = %name, %error, "main holds what cannot be understood");
            }
        }
    }
    Ok((found.into_values().collect(), services))
}
