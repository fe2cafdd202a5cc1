//! How commits, contents, changes and conflicts look to a person: as `jitsu log`, `diff` and
//! `cat` show them.

use std::time::{Duration, UNIX_EPOCH};

use jitsu_store::{Change, Commit, Conflict, Contents, Side};

/// A commit in a line: which, when, who, what, and what came of it.
pub(crate) fn commit_line(commit: &Commit) -> String {
    let meta = commit.meta();
    let message = meta.message.lines().next().unwrap_or_default();
    let id = commit.id().short();
    let mut text = format!("{id}  {}  {}  {message}", moment(meta.time_ms), meta.author);
    if let Some(result) = meta.fields.get("result") {
        text.push_str(": ");
        text.push_str(result);
    }
    text
}

/// A moment, in milliseconds since 1970, as RFC 3339.
pub(crate) fn moment(ms: u64) -> String {
    // What lies behind the year 9999 has no such form.
    const LAST_MS: u64 = 253_402_300_799_999;
    let time = UNIX_EPOCH + Duration::from_millis(ms.min(LAST_MS));
    humantime::format_rfc3339_millis(time).to_string()
}

/// Contents in a line.
pub(crate) fn value(contents: &Contents) -> String {
    let text = |bytes: &[u8]| match std::str::from_utf8(bytes) {
        Ok(text) => text.trim_end_matches('\n').to_owned(),
        Err(_) => format!("{} bytes that are no text", bytes.len()),
    };
    match contents {
        Contents::Bytes(bytes) => text(bytes),
        Contents::Counter(count) => count.to_string(),
        Contents::Register(register) => text(&register.value),
        Contents::Set(members) => {
            format!("{{{}}}", members.iter().map(|it| text(it)).collect::<Vec<_>>().join(", "))
        }
        other => other.to_string(),
    }
}

/// A change in a line for each side.
pub(crate) fn change(change: &Change) -> String {
    let side = |sign, contents: &Option<Contents>| {
        let line = |contents| format!("{sign} {} = {}\n", change.path, value(contents));
        contents.as_ref().map(line).unwrap_or_default()
    };
    side('-', &change.before) + &side('+', &change.after)
}

/// The three sides of a conflict.
pub(crate) fn conflict(conflict: &Conflict) -> String {
    let side = |side: &Option<Side>| match side {
        Some(Side::Contents(contents)) => value(contents),
        Some(Side::Directory(_)) => "a directory".to_owned(),
        None => "nothing".to_owned(),
    };
    format!(
        "  {}: {}\n    was:    {}\n    ours:   {}\n    theirs: {}\n",
        conflict.path,
        conflict.why,
        side(&conflict.base),
        side(&conflict.ours),
        side(&conflict.theirs)
    )
}
