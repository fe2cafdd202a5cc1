//! How domains and services lie in the store's tree.
//!
//! Owns the paths, and the way from values to the tree and back. One path for each field, as
//! text: a person can read it, edit it, and merge edits of different fields. It must not know
//! who writes or why.
//!
//! ```text
//!   /domains/<name>/spec/…       one path per field; a list is one JSON text
//!   /domains/<name>/wanted       "running"
//!   /domains/<name>/observed/…   state, address, id, since_ms, error
//!   /services/<name>/spec/…
//!   /services/<name>/stats/…     questions, connections, refused, boots: counters
//!   /host/…                      hypervisor, started_ms
//! ```

mod read;
mod write;

use std::collections::BTreeMap;

use jitsu_proto::{DomainSpec, Facts, Name, ServiceSpec, Wanted};
use jitsu_store::{BranchName, Contents, Kind, Path, Step, Tree, TreeError};

pub use read::{ReadError, Wrong};

use crate::machine::Intent;
use crate::record::{Seen, Subject, Write};
use read::from_node;
use write::to_node;

/// The branch that holds the state of this host.
pub const MAIN: &str = "main";

/// A directory's or contents' text, out of the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Node {
    Text(String),
    Directory(BTreeMap<String, Node>),
}

impl Subject {
    /// The branch with the history of this subject alone.
    pub fn branch(&self) -> BranchName {
        let name = match self {
            Subject::Domain(name) => format!("domain/{name}"),
            Subject::Service(name) => format!("service/{name}"),
            Subject::Host => "toolstack".to_owned(),
        };
        BranchName::new(&name).expect("BUG: a name makes a branch name")
    }

    /// Where it lies in the tree.
    pub fn path(&self) -> Path {
        match self {
            Subject::Domain(name) => path(&["domains", name.as_str()]),
            Subject::Service(name) => path(&["services", name.as_str()]),
            Subject::Host => path(&["host"]),
        }
    }

    /// The subject that a path of the tree is about.
    pub fn of(path: &Path) -> Option<Subject> {
        let mut steps = path.iter().map(Step::as_str);
        match (steps.next()?, steps.next()) {
            ("domains", Some(name)) => Name::new(name).ok().map(Subject::Domain),
            ("services", Some(name)) => Name::new(name).ok().map(Subject::Service),
            ("host", _) => Some(Subject::Host),
            _ => None,
        }
    }
}

/// Whether a branch is kept by the toolstack alone: nobody else may commit to it.
pub fn is_kept(branch: &str) -> bool {
    let below = |kept| branch.strip_prefix(kept).is_some_and(|rest| rest.starts_with('/'));
    branch == "toolstack" || ["domain", "service", "store"].into_iter().any(below)
}

/// Changes the tree below a subject's path. `tree` is that subtree.
pub fn apply(tree: &mut Tree, write: &Write) -> Result<(), TreeError> {
    match write {
        Write::Spec(spec) => replace(tree, "spec", &to_node(&**spec)),
        Write::Service(spec) => replace(tree, "spec", &to_node(&**spec)),
        Write::Wanted(wanted) => tree.set(&path(&["wanted"]), Contents::text(word(wanted))),
        Write::Undefine => {
            tree.remove(&path(&["spec"]))?;
            tree.remove(&path(&["wanted"])).map(drop)
        }
        Write::Forget => tree.remove(&Path::default()).map(drop),
        Write::Seen(seen) => replace(tree, "observed", &seen_node(seen)),
        Write::Count(facts) => {
            for (key, count) in counts(facts) {
                let at = path(&["stats", key]);
                let before = match tree.get(&at)? {
                    Some(Contents::Counter(before)) => before,
                    _ => 0,
                };
                let count = i64::try_from(count).unwrap_or(i64::MAX);
                tree.set(&at, Contents::Counter(before.saturating_add(count)))?;
            }
            Ok(())
        }
        Write::Started { hypervisor, started_ms } => {
            tree.set(&path(&["hypervisor"]), Contents::text(*hypervisor))?;
            tree.set(&path(&["started_ms"]), Contents::text(started_ms.to_string()))
        }
    }
}

fn counts(facts: &Facts) -> [(&'static str, u64); 4] {
    [
        ("questions", facts.questions),
        ("connections", facts.connections),
        ("refused", facts.refused),
        ("boots", facts.boots),
    ]
}

fn seen_node(seen: &Seen) -> Node {
    let fields = [
        ("state", Some(word(&seen.state))),
        ("address", seen.address.map(|address| address.to_string())),
        ("id", seen.id.map(|id| id.to_string())),
        ("since_ms", Some(seen.since_ms.to_string())),
        ("error", seen.error.clone()),
    ];
    let texts =
        fields.into_iter().filter_map(|(key, value)| Some((key.to_owned(), Node::Text(value?))));
    Node::Directory(texts.collect())
}

/// What is wanted of a domain, as the tree `main` has it. None: the domain is not defined.
pub fn intent(main: &Tree, name: &Name) -> Result<Option<Intent>, ReadError> {
    let subject = Subject::Domain(name.clone()).path();
    let at = |last: &str| below(&subject, last);
    let spec = node(main, &at("spec"))?;
    let wanted = node(main, &at("wanted"))?;
    let Some(spec) = spec else {
        return match wanted {
            None => Ok(None),
            Some(_) => Err(ReadError::wrong(&at("wanted"), Wrong::WithoutSpec)),
        };
    };
    let spec: DomainSpec = from_node(&spec, &at("spec"))?;
    crate::check::domain(&spec).map_err(|wrong| ReadError::wrong(&at("spec"), wrong.into()))?;
    let wanted: Wanted = match wanted {
        Some(wanted) => from_node(&wanted, &at("wanted"))?,
        None => Wanted::Absent,
    };
    Ok(Some(Intent { spec, wanted }))
}

/// A service, as the tree `main` has it.
pub fn service(main: &Tree, name: &Name) -> Result<Option<ServiceSpec>, ReadError> {
    let at = below(&Subject::Service(name.clone()).path(), "spec");
    match node(main, &at)? {
        Some(spec) => from_node(&spec, &at).map(Some),
        None => Ok(None),
    }
}

/// What a service's counters hold.
pub fn facts(main: &Tree, name: &Name) -> Result<Facts, ReadError> {
    let stats = below(&Subject::Service(name.clone()).path(), "stats");
    let count = |key: &str| -> Result<u64, ReadError> {
        match main.get(&below(&stats, key)).map_err(ReadError::from)? {
            Some(Contents::Counter(count)) => Ok(u64::try_from(count).unwrap_or(0)),
            _ => Ok(0),
        }
    };
    Ok(Facts {
        questions: count("questions")?,
        connections: count("connections")?,
        refused: count("refused")?,
        boots: count("boots")?,
    })
}

/// What the store was last told that a domain is. What cannot be read counts as nothing: it will
/// be written again.
pub fn seen(main: &Tree, name: &Name) -> Result<Option<Seen>, ReadError> {
    let at = below(&Subject::Domain(name.clone()).path(), "observed");
    let Some(Node::Directory(fields)) = node(main, &at)? else { return Ok(None) };
    let text = |key: &str| match fields.get(key) {
        Some(Node::Text(text)) => Some(text.as_str()),
        _ => None,
    };
    let state = fields.get("state").and_then(|state| from_node(state, &at).ok());
    Ok(state.map(|state| Seen {
        state,
        address: text("address").and_then(|address| address.parse().ok()),
        id: text("id").and_then(|id| id.parse().ok()),
        since_ms: text("since_ms").and_then(|since| since.parse().ok()).unwrap_or(0),
        error: text("error").map(str::to_owned),
    }))
}

/// The names of all domains, or all services, in the tree.
pub fn names(main: &Tree, of: &str) -> Result<Vec<Name>, ReadError> {
    let list = main.list(&path(&[of])).map_err(ReadError::from)?;
    Ok(list.iter().filter_map(|(step, _)| Name::new(step.as_str()).ok()).collect())
}

/// A path of steps that are known to be right.
pub fn path(steps: &[&str]) -> Path {
    let steps = steps.iter().map(|step| Step::new(step).expect("BUG: a name makes a step"));
    Path::from_steps(steps).expect("BUG: few steps make a path")
}

fn below(path: &Path, last: &str) -> Path {
    let mut below = path.clone();
    let step = Step::new(last).expect("BUG: a field's name makes a step");
    below.push(step).expect("BUG: few steps make a path");
    below
}

/// What stands at `path`, as text.
fn node(tree: &Tree, at: &Path) -> Result<Option<Node>, ReadError> {
    if let Some(contents) = tree.get(at)? {
        let text = contents.as_text().ok_or_else(|| ReadError::wrong(at, Wrong::NoText))?;
        return Ok(Some(Node::Text(text.to_owned())));
    }
    let list = tree.list(at)?;
    if list.is_empty() {
        return Ok(None);
    }
    let mut fields = BTreeMap::new();
    for (step, _kind) in list {
        let mut child = at.clone();
        child.push(step.clone()).map_err(|_| ReadError::wrong(at, Wrong::Deep))?;
        if let Some(node) = node(tree, &child)? {
            fields.insert(step.as_str().to_owned(), node);
        }
    }
    Ok(Some(Node::Directory(fields)))
}

fn replace(tree: &mut Tree, field: &str, node: &Node) -> Result<(), TreeError> {
    let at = path(&[field]);
    tree.remove(&at)?;
    put(tree, &at, node)
}

fn put(tree: &mut Tree, at: &Path, node: &Node) -> Result<(), TreeError> {
    match node {
        Node::Text(text) => tree.set(at, Contents::text(text.as_str())),
        Node::Directory(fields) => {
            for (key, node) in fields {
                put(tree, &below(at, key), node)?;
            }
            Ok(())
        }
    }
}

/// A unit variant as the word it is written as.
fn word(value: &impl serde::Serialize) -> String {
    match to_node(value) {
        Node::Text(word) => word,
        Node::Directory(_) => unreachable!("BUG: a plain variant is one word"),
    }
}

/// Whether there is a directory at `path`.
pub fn is_directory(tree: &Tree, path: &Path) -> Result<bool, TreeError> {
    let Some(parent) = path.parent() else { return Ok(true) };
    let last = path.last().expect("BUG: what has a parent has a last step");
    let list = tree.list(&parent)?;
    Ok(list.iter().any(|(step, kind)| step == last && *kind == Kind::Directory))
}

#[cfg(test)]
mod tests;
