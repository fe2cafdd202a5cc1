//! The rules: each looks at one file and says what is wrong with it.
//!
//! Owns the lists of who may do what. A list here is the only place to change when an exception
//! is made, and that is seen in review.

use crate::source::{Source, words};

/// The longest file, in lines, without its tests.
const FILE_LINES_MAX: usize = 600;
/// The longest function.
const FUNCTION_LINES_MAX: usize = 70;

/// Files whose whole purpose is calls that the compiler cannot check.
const UNSAFE: [&str; 9] = [
    "systemd/daemon/src/sockets.rs",
    "toolstack/src/hypervisor/process/pidfd.rs",
    "toolstack/src/hypervisor/process/spawn.rs",
    "toolstack/src/hypervisor/xen/native/loopdev.rs",
    "toolstack/src/hypervisor/xen/native/sys.rs",
    "toolstack/unikernel/src/bytes.rs",
    "toolstack/unikernel/src/cpu.rs",
    "toolstack/unikernel/src/entry.rs",
    "toolstack/unikernel/src/memory.rs",
];

/// What a pure state machine has no use for: a clock, a socket, a file, a task, a lock.
const WORLD: [&str; 17] = [
    "Instant::now",
    "SystemTime",
    "UNIX_EPOCH",
    "async",
    "await",
    "libc",
    "nix",
    "std::env",
    "std::fs",
    "std::io",
    "std::os",
    "std::process",
    "std::sync::Mutex",
    "std::sync::RwLock",
    "std::thread",
    "tokio",
    "tracing",
];
const SOCKETS: [&str; 5] = [
    "std::net::TcpListener",
    "std::net::TcpStream",
    "std::net::ToSocketAddrs",
    "std::net::UdpSocket",
    "std::os::unix::net",
];
/// What a crate without a system below it has no use for. It may block and be woken.
const SYSTEM: [&str; 9] = [
    "SystemTime::now",
    "libc",
    "nix",
    "std::env",
    "std::fs",
    "std::os",
    "std::process",
    "std::thread::spawn",
    "tokio",
];

/// Files and folders, and what must not be named there.
const PURE: [(&str, &[&[&str]]); 13] = [
    ("jitsu/src/summon.rs", &[&WORLD, &SOCKETS]),
    ("jitsu/src/summon/", &[&WORLD, &SOCKETS]),
    ("jitsu/src/zones.rs", &[&WORLD, &SOCKETS]),
    ("toolstack/src/machine", &[&WORLD, &SOCKETS]),
    ("toolstack/src/plan.rs", &[&WORLD, &SOCKETS]),
    ("toolstack/src/hypervisor/xen/native/entries.rs", &[&WORLD, &SOCKETS]),
    ("toolstack/src/hypervisor/xl/config.rs", &[&WORLD, &SOCKETS]),
    ("toolstack/src/xenstore/packet.rs", &[&WORLD, &SOCKETS]),
    ("toolstack/src/xenstore/path.rs", &[&WORLD, &SOCKETS]),
    ("toolstack/src/xenstore/permission.rs", &[&WORLD, &SOCKETS]),
    ("toolstack/src/xenstore/wire.rs", &[&WORLD, &SOCKETS]),
    ("proto/src/", &[&WORLD, &SOCKETS]),
    ("store/src/", &[&SYSTEM, &SOCKETS]),
];
/// What is below a folder of [`PURE`] and is not.
const IMPURE: [&str; 5] = [
    "store/src/backend",
    "store/src/git/cache.rs",
    "store/src/git/ids.rs",
    "store/src/git/pending.rs",
    "store/src/git/repository.rs",
];

/// What only the named files may name, within a folder.
const ONLY_IN: [(&str, &str, &[&str]); 4] = [
    ("gix", "", &["store/src/git/repository.rs"]),
    ("hickory_server", "", &["jitsu/src/dns.rs"]),
    ("xenstore_rs", "", &["toolstack/src/xenstore/watch.rs"]),
    // Both machines in one process: nothing else of jitsu sees a hypervisor.
    ("toolstack::", "jitsu/src/", &["jitsu/src/up.rs", "jitsu/src/up/", "jitsu/src/demo.rs"]),
];

/// Crates, and what they must not depend on, by the beginnings of names.
const EDGES: [(&str, &[&str]); 7] = [
    ("store", &["jitsu", "toolstack", "tokio", "serde", "hickory", "clap", "xen"]),
    (
        "store/cli",
        &["jitsu=", "jitsu-proto", "jitsu-daemon", "toolstack", "tokio", "hickory", "xen"],
    ),
    ("proto", &["jitsu", "toolstack", "tokio", "hickory", "clap", "nix", "libc", "xen"]),
    ("systemd/daemon", &["jitsu", "toolstack", "tokio", "hickory", "clap", "xen"]),
    ("toolstack", &["jitsu=", "hickory"]),
    ("toolstack/unikernel", &["jitsu", "toolstack", "tokio", "nix", "libc", "xen"]),
    ("jitsu", &["jitsu-store", "xen"]),
];

/// What is left undone, or done for a moment.
const UNDONE: [&str; 4] = ["#[ignore", "todo!", "unimplemented!", "dbg!"];

fn at(source: &Source, line: usize, what: &str) -> String {
    format!("{}:{line}: {what}", source.path)
}

/// Every file opens with what it owns and what it must not know.
pub(crate) fn header(source: &Source) -> Vec<String> {
    if source.text.starts_with("//! ") {
        return Vec::new();
    }
    vec![at(source, 1, "a file begins with `//!`: what it owns, what it must not know")]
}

/// Files are short, their tests not counted.
pub(crate) fn file_length(source: &Source) -> Vec<String> {
    let tests = source.code.lines().zip(source.shipped.lines());
    let tests = tests.filter(|(code, shipped)| code != shipped).count();
    let lines = source.text.lines().count() - tests;
    if lines <= FILE_LINES_MAX {
        return Vec::new();
    }
    vec![at(
        source,
        1,
        &format!("{lines} lines without tests; at most {FILE_LINES_MAX} are allowed"),
    )]
}

/// Functions are short.
pub(crate) fn function_length(source: &Source) -> Vec<String> {
    let long = source.functions().into_iter().filter(|f| f.lines > FUNCTION_LINES_MAX);
    long.map(|f| {
        let what = format!(
            "fn {} has {} lines; at most {FUNCTION_LINES_MAX} are allowed",
            f.name, f.lines
        );
        at(source, f.line, &what)
    })
    .collect()
}

/// Pure files are pure.
pub(crate) fn purity(source: &Source) -> Vec<String> {
    if IMPURE.iter().any(|path| source.path.starts_with(path)) {
        return Vec::new();
    }
    let lists = PURE.iter().filter(|(path, _)| source.path.starts_with(path));
    let forbidden = lists.flat_map(|(_, lists)| lists.iter().copied().flatten());
    forbidden
        .flat_map(|name| {
            let what = format!("`{name}` in a file that is to be pure");
            source.names(name).into_iter().map(move |line| at(source, line, &what))
        })
        .collect()
}

/// Some names are for one file only.
pub(crate) fn only_in(source: &Source) -> Vec<String> {
    let mut wrong = Vec::new();
    for (name, within, allowed) in ONLY_IN {
        let is_allowed = allowed.iter().any(|path| source.path.starts_with(path));
        if is_allowed || !source.path.starts_with(within) {
            continue;
        }
        for line in source.names(name) {
            wrong.push(at(source, line, &format!("only {} may name `{name}`", allowed.join(", "))));
        }
    }
    wrong
}

/// Only types that cross a process boundary are written down as they are, and all are in `proto`.
pub(crate) fn serialize(source: &Source) -> Vec<String> {
    if source.path.starts_with("proto/") {
        return Vec::new();
    }
    let derived = source.shipped.match_indices("derive(").filter_map(|(at, _)| {
        let list = source.shipped[at..].split(')').next()?;
        words(list, "Serialize").next().map(|_| at)
    });
    let by_hand = words(&source.shipped, "Serialize for");
    derived
        .chain(by_hand)
        .map(|byte| at(source, source.line(byte), "Serialize outside of proto"))
        .collect()
}

/// Unsafe code stands in the files that are there for it, and these have some.
pub(crate) fn unchecked(source: &Source) -> Vec<String> {
    let mut found =
        words(&source.code, "unsafe").chain(words(&source.code, "unsafe_code")).peekable();
    if UNSAFE.contains(&source.path.as_str()) {
        let none = found.peek().is_none();
        return none
            .then(|| at(source, 1, "listed for unsafe code and has none"))
            .into_iter()
            .collect();
    }
    found
        .map(|byte| {
            at(source, source.line(byte), "unsafe code in a file that is not listed for it")
        })
        .collect()
}

/// Nothing is left undone.
pub(crate) fn undone(source: &Source) -> Vec<String> {
    let found =
        UNDONE.iter().flat_map(|name| words(&source.code, name).map(move |byte| (byte, name)));
    found.map(|(byte, name)| at(source, source.line(byte), &format!("`{name}`"))).collect()
}

/// A crate depends on nothing that it must not know. `folder` is the crate's, `manifest` its
/// `Cargo.toml`.
pub(crate) fn edges(folder: &str, manifest: &str) -> Vec<String> {
    let forbidden = EDGES.iter().filter(|(of, _)| *of == folder).flat_map(|(_, names)| *names);
    let found = dependencies(manifest);
    forbidden
        .flat_map(|name| {
            let is_it = move |dependency: &&String| match name.strip_suffix('=') {
                Some(whole) => *dependency == whole,
                None => dependency.starts_with(name),
            };
            found.iter().filter(is_it)
        })
        .map(|dependency| format!("{folder}/Cargo.toml: must not depend on {dependency}"))
        .collect()
}

/// The names of all dependencies in a manifest, those for tests and for some targets included.
fn dependencies(manifest: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut is_list = false;
    for line in manifest.lines().map(str::trim) {
        if let Some(section) = line.strip_prefix('[') {
            let section = section.trim_end_matches(']');
            is_list = section.ends_with("dependencies");
            if let Some((_, name)) = section.rsplit_once("dependencies.") {
                found.push(name.to_owned());
            }
        } else if is_list && !line.starts_with('#') {
            let name = line.split(['.', '=', ' ']).next().unwrap_or_default();
            found.extend((!name.is_empty()).then(|| name.to_owned()));
        }
    }
    found
}
