//! The store's values as clients see them.
//!
//! Owns the translation, one way; nothing here can fail.

use jitsu_proto::{Change, Commit, Conflict, Value};
use jitsu_store::{Contents, Side};

pub(super) fn commit(commit: &jitsu_store::Commit) -> Commit {
    let meta = commit.meta();
    Commit {
        id: commit.id().to_string(),
        parents: commit.parents().iter().map(ToString::to_string).collect(),
        time_ms: meta.time_ms,
        author: meta.author.clone(),
        message: meta.message.clone(),
        fields: meta.fields.clone(),
    }
}

pub(super) fn value(contents: &Contents) -> Value {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    match contents {
        Contents::Bytes(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => Value::Text(text.to_owned()),
            Err(_) => Value::Bytes(bytes.to_vec()),
        },
        Contents::Counter(count) => Value::Counter(*count),
        Contents::Register(register) => Value::Register(text(&register.value)),
        Contents::Set(members) => Value::Set(members.iter().map(|member| text(member)).collect()),
        // A kind that is newer than this daemon: shown as it prints.
        other => Value::Text(other.to_string()),
    }
}

pub(super) fn change(change: &jitsu_store::Change) -> Change {
    Change {
        path: change.path.to_string(),
        before: change.before.as_ref().map(value),
        after: change.after.as_ref().map(value),
    }
}

pub(super) fn conflict(conflict: &jitsu_store::Conflict) -> Conflict {
    let side = |side: &Option<Side>| {
        side.as_ref().map(|side| match side {
            Side::Contents(contents) => value(contents),
            Side::Directory(_) => Value::Directory,
        })
    };
    Conflict {
        path: conflict.path.to_string(),
        base: side(&conflict.base),
        ours: side(&conflict.ours),
        theirs: side(&conflict.theirs),
    }
}
