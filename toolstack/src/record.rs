//! What is written down: who asked what, and what came of it.
//!
//! Owns the value that becomes one commit. It must not know the store: where a write lands in
//! the tree is [`crate::layout`]'s, how it becomes durable is [`crate::committer`]'s.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use jitsu_proto::{
    DomainSpec, DomainState, ErrorCode, Facts, Name, Role, ServiceSpec, TraceId, Wanted,
};
use serde_json::json;

/// Who asked: the peer of a connection, as the kernel names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// Its user.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
    /// Its process, when it connected.
    pub pid: i32,
    /// The program it says it is.
    pub program: String,
    /// What it may do. None: nothing.
    pub role: Option<Role>,
}

impl fmt::Display for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "uid={} gid={} pid={}", self.uid, self.gid, self.pid)
    }
}

/// Who a commit is by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Author {
    /// A client.
    Caller(Caller),
    /// The daemon itself.
    Toolstack,
}

/// What a commit is about; each has its own branch.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Subject {
    /// A domain: branch `domain/<name>`, tree `/domains/<name>`.
    Domain(Name),
    /// A service: branch `service/<name>`, tree `/services/<name>`.
    Service(Name),
    /// The daemon: branch `toolstack`, tree `/host`.
    Host,
}

/// One change of a subject's tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Write {
    /// A domain's spec.
    Spec(Box<DomainSpec>),
    /// What is wanted of a domain.
    Wanted(Wanted),
    /// What a domain was seen to be.
    Seen(Seen),
    /// A domain is defined no more; what was seen of it stays until it is gone.
    Undefine,
    /// A service's spec.
    Service(Box<ServiceSpec>),
    /// Counts of a service.
    Count(Facts),
    /// The daemon started.
    Started {
        /// Its hypervisor.
        hypervisor: &'static str,
        /// When, in milliseconds since 1970.
        started_ms: u64,
    },
    /// The subject is gone, with all that is known of it.
    Forget,
}

/// What a domain was seen to be, as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Its state.
    pub state: DomainState,
    /// Its address, when it has one.
    pub address: Option<IpAddr>,
    /// The hypervisor's number for it.
    pub id: Option<u32>,
    /// Why it failed or ended, the last time.
    pub error: Option<String>,
    /// When it entered its state, in milliseconds since 1970.
    pub since_ms: u64,
}

impl Seen {
    /// Whether nothing but the time differs.
    pub fn is_same(&self, other: &Seen) -> bool {
        let key = |seen: &Seen| (seen.state, seen.address, seen.id);
        key(self) == key(other) && self.error == other.error
    }
}

/// Which half of a call a commit tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// It was asked.
    Asked,
    /// It came to its end.
    Done,
}

impl Phase {
    /// As it stands in a commit.
    pub fn as_str(self) -> &'static str {
        match self {
            Phase::Asked => "asked",
            Phase::Done => "done",
        }
    }
}

/// What came of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It worked.
    Ok,
    /// It did not.
    Failed(ErrorCode, String),
}

/// One commit to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// About what.
    pub subject: Subject,
    /// What changes, in order.
    pub writes: Vec<Write>,
    /// By whom.
    pub author: Author,
    /// The summon it belongs to; zero: none.
    pub trace: TraceId,
    /// What was asked, or what the daemon did of itself.
    pub method: &'static str,
    /// The call's arguments, as JSON.
    pub arguments: String,
    /// Which half.
    pub phase: Phase,
    /// What came of it.
    pub outcome: Option<Outcome>,
    /// How long it took.
    pub duration: Option<Duration>,
}

impl Record {
    /// Something that the daemon did of itself.
    pub fn own(subject: Subject, method: &'static str, writes: Vec<Write>) -> Record {
        Record {
            subject,
            writes,
            author: Author::Toolstack,
            trace: TraceId::default(),
            method,
            arguments: String::new(),
            phase: Phase::Done,
            outcome: Some(Outcome::Ok),
            duration: None,
        }
    }
}

/// A call that changes something, without who asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ask {
    /// Set a domain's spec.
    Define(Name, Box<DomainSpec>),
    /// Forget a domain.
    Undefine(Name),
    /// Want a domain to be something.
    Want(Name, Wanted),
    /// Set a service.
    DefineService(Name, Box<ServiceSpec>),
    /// Forget a service.
    UndefineService(Name),
    /// Add to a service's counters.
    Count(Name, Facts),
}

impl Ask {
    /// What it is about.
    pub fn subject(&self) -> Subject {
        match self {
            Ask::Define(name, _) | Ask::Undefine(name) | Ask::Want(name, _) => {
                Subject::Domain(name.clone())
            }
            Ask::DefineService(name, _) | Ask::UndefineService(name) | Ask::Count(name, _) => {
                Subject::Service(name.clone())
            }
        }
    }

    /// Its name in commits.
    pub fn method(&self) -> &'static str {
        match self {
            Ask::Define(..) => "define",
            Ask::Undefine(_) => "undefine",
            Ask::Want(..) => "want",
            Ask::DefineService(..) => "define-service",
            Ask::UndefineService(_) => "undefine-service",
            Ask::Count(..) => "record",
        }
    }

    /// Its arguments, as JSON.
    pub fn arguments(&self) -> String {
        match self {
            Ask::Define(name, spec) => json!({ "name": name, "spec": spec }),
            Ask::DefineService(name, spec) => json!({ "name": name, "spec": spec }),
            Ask::Undefine(name) | Ask::UndefineService(name) => json!({ "name": name }),
            Ask::Want(name, wanted) => json!({ "name": name, "wanted": wanted }),
            Ask::Count(name, facts) => json!({ "name": name, "facts": facts }),
        }
        .to_string()
    }

    /// What asking for it changes at once.
    pub fn writes(&self, is_new: bool) -> Vec<Write> {
        match self {
            Ask::Define(_, spec) if is_new => {
                vec![Write::Spec(spec.clone()), Write::Wanted(Wanted::Absent)]
            }
            Ask::Define(_, spec) => vec![Write::Spec(spec.clone())],
            Ask::Undefine(_) => vec![Write::Undefine],
            Ask::Want(_, wanted) => vec![Write::Wanted(*wanted)],
            Ask::DefineService(_, spec) => vec![Write::Service(spec.clone())],
            Ask::UndefineService(_) => vec![Write::Forget],
            Ask::Count(_, facts) => vec![Write::Count(*facts)],
        }
    }
}
