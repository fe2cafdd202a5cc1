//! The messages: what a client may ask, what the toolstack answers, what it pushes.
//!
//! Owns the protocol's version and its message types; it must not know who may ask what.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{
    Branch, Change, Commit, DomainSpec, DomainStatus, Edit, Name, Node, RpcError, ServiceSpec,
    Wanted,
};

/// The protocol's version. Peers whose versions differ part after the hello.
pub const VERSION: u32 = 3;

/// The first frame each way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// [`VERSION`] of the sender.
    pub version: u32,
    /// The program and its release, for logs.
    pub program: String,
}

/// A number that follows one summon through both daemons, their logs and the commits.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize,
)]
pub struct TraceId(pub u64);

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl FromStr for TraceId {
    type Err = std::num::ParseIntError;
    fn from_str(text: &str) -> Result<TraceId, Self::Err> {
        u64::from_str_radix(text, 16).map(TraceId)
    }
}

/// A frame from the client.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ClientFrame {
    /// The first frame.
    Hello(Hello),
    /// A request.
    Request {
        /// The client's number for it, not used again on this connection while it is open.
        id: u64,
        /// The summon it belongs to; zero: none.
        trace: TraceId,
        /// What is asked.
        body: Box<Request>,
    },
    /// Ends the subscription that request `id` opened.
    Cancel {
        /// The request's number.
        id: u64,
    },
}

/// A frame from the toolstack.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ServerFrame {
    /// The first frame.
    Hello(Hello),
    /// The answer to a request.
    Reply {
        /// The request's number.
        id: u64,
        /// What came of it.
        body: Result<Response, RpcError>,
    },
    /// Something that a subscription was opened for.
    Event {
        /// The number of the request that opened it.
        id: u64,
        /// What happened.
        body: Event,
    },
}

/// What a client may ask.
///
/// Where a request has a `branch`, `None` means: do it (it is recorded on the subject's own branch
/// and merged into `main`); `Some` means: stage it there, as one commit, and do nothing else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Request {
    /// Who the daemon is. Answer: [`Response::Info`].
    Info,
    /// Set a domain's spec; a running domain keeps its old one until it is next started.
    DefineDomain {
        /// The domain.
        name: Name,
        /// Its spec.
        spec: DomainSpec,
        /// Where to stage it.
        branch: Option<String>,
    },
    /// Forget a domain; it is destroyed first.
    UndefineDomain {
        /// The domain.
        name: Name,
        /// Where to stage it.
        branch: Option<String>,
    },
    /// Want a domain to be something. Answered when it is, or cannot be: [`Response::Domain`].
    Want {
        /// The domain.
        name: Name,
        /// What it is to be.
        wanted: Wanted,
        /// Where to stage it.
        branch: Option<String>,
    },
    /// All domains. Answer: [`Response::Domains`].
    List,
    /// One domain. Answer: [`Response::Domain`].
    Domain {
        /// The domain.
        name: Name,
    },
    /// A domain's spec. Answer: [`Response::Spec`].
    Spec {
        /// The domain.
        name: Name,
    },
    /// Wait until the guest of a domain that exists has written a key of the XenStore. Answer:
    /// [`Response::Done`]; as long as the caller wants to wait.
    AwaitKey {
        /// The domain.
        name: Name,
        /// The key's path below the domain's directory.
        key: String,
    },
    /// Set a service.
    DefineService {
        /// The service.
        name: Name,
        /// What it is.
        spec: ServiceSpec,
        /// Where to stage it.
        branch: Option<String>,
    },
    /// Forget a service. Its domain is left alone.
    UndefineService {
        /// The service.
        name: Name,
        /// Where to stage it.
        branch: Option<String>,
    },
    /// All services. Answer: [`Response::Services`].
    Services,
    /// Add to a service's counters, in a batch.
    Record {
        /// The service.
        name: Name,
        /// What to add.
        facts: Facts,
    },
    /// Attach to a domain's console: [`Event::Console`] until cancelled. History comes first.
    Console {
        /// The domain.
        name: Name,
    },
    /// Type on a domain's console.
    Type {
        /// The domain.
        name: Name,
        /// What to type.
        bytes: Vec<u8>,
    },
    /// Every domain and service as it is, then as it changes:
    /// [`Event::Domain`], [`Event::DomainGone`], [`Event::Service`], [`Event::ServiceGone`];
    /// [`Event::Ready`] after the first of each.
    Subscribe,
    /// A log, newest first. Answer: [`Response::Commits`]; with `follow`, [`Event::Commit`] after that,
    /// oldest first.
    Log {
        /// The revision to start at.
        rev: String,
        /// Only commits that changed something at or below this path.
        path: Option<String>,
        /// At most that many.
        limit: u32,
        /// Go on with new commits of the branch `rev`.
        follow: bool,
    },
    /// One commit and what it changed, beside its first parent. Answer: [`Response::Shown`].
    Show {
        /// The revision.
        rev: String,
    },
    /// What differs between two revisions. Answer: [`Response::Changes`].
    Diff {
        /// Before.
        from: String,
        /// After.
        to: String,
        /// Only at or below this path.
        path: Option<String>,
    },
    /// What stands at a path. Answer: [`Response::Node`].
    Read {
        /// The revision.
        rev: String,
        /// The path; empty: the root.
        path: String,
    },
    /// All branches. Answer: [`Response::Branches`].
    Branches,
    /// Make a branch. Answer: [`Response::Committed`] with its head.
    Fork {
        /// Its name.
        name: String,
        /// Where it starts.
        from: String,
    },
    /// Remove a branch; its commits stay as long as another branch reaches them.
    DeleteBranch {
        /// Its name.
        name: String,
    },
    /// Change paths on a branch, as one commit. Answer: [`Response::Committed`].
    Edit {
        /// The branch.
        branch: String,
        /// What to change, in this order.
        edits: Vec<Edit>,
    },
    /// Merge a revision into a branch. Answer: [`Response::Committed`], or [`crate::ErrorCode::Conflict`].
    Merge {
        /// The revision.
        from: String,
        /// The branch.
        into: String,
    },
    /// Undo what one commit changed, as a new commit. Answer and refusal as for a merge.
    Revert {
        /// The commit.
        rev: String,
        /// The branch.
        branch: String,
    },
    /// Say something to the store, as another store that would have a branch of it. Answer:
    /// [`Response::Said`]. A connection carries one such exchange at a time.
    Fetch {
        /// A message as the store writes them.
        message: Vec<u8>,
    },
    /// The same, as another store that would move a branch of it.
    Push {
        /// A message as the store writes them.
        message: Vec<u8>,
    },
}

/// Counts to add to a service's counters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Facts {
    /// DNS questions answered.
    pub questions: u64,
    /// Connections accepted.
    pub connections: u64,
    /// Clients refused.
    pub refused: u64,
    /// Cold starts.
    pub boots: u64,
}

/// What the toolstack answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Response {
    /// Done, and durable.
    Done,
    /// Who the daemon is.
    Info(Info),
    /// One domain.
    Domain(DomainStatus),
    /// A domain's spec.
    Spec(DomainSpec),
    /// Domains, by name.
    Domains(Vec<DomainStatus>),
    /// Services, by name.
    Services(Vec<(Name, ServiceSpec, Facts)>),
    /// Commits.
    Commits(Vec<Commit>),
    /// One commit and what it changed.
    Shown(Commit, Vec<Change>),
    /// What differs.
    Changes(Vec<Change>),
    /// What stands at a path.
    Node(Node),
    /// Branches, by name.
    Branches(Vec<Branch>),
    /// The commit that was made. `changed` is false where there was nothing to do.
    Committed {
        /// The branch's head.
        head: Commit,
        /// Whether it is new.
        changed: bool,
    },
    /// A subscription is open; events follow.
    Subscribed,
    /// What the store says to the other one.
    Said(Vec<u8>),
}

/// Who the daemon is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Info {
    /// The program and its release.
    pub program: String,
    /// The hypervisor backend: `process`, `xl`, `xen`, `fake`.
    pub hypervisor: String,
    /// How long it has been up.
    pub up_ms: u64,
    /// The folder of its store.
    pub store: String,
    /// The caller's role.
    pub role: Role,
}

/// What a caller may do. Each includes the one before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Look.
    Read,
    /// Look, want domains to run or not, and record facts: all that `jitsu serve` does.
    Summon,
    /// Everything.
    Admin,
}

/// What a subscription brings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// A domain is now this.
    Domain(DomainStatus),
    /// A domain was forgotten.
    DomainGone(Name),
    /// A service is now this.
    Service(Name, ServiceSpec),
    /// A service was forgotten.
    ServiceGone(Name),
    /// All that was there has been told.
    Ready,
    /// A new commit of the branch that is followed.
    Commit(Commit),
    /// Output of a console.
    Console(Vec<u8>),
    /// The subscription ends here: the client was too slow, or its subject is gone.
    End(RpcError),
}
