//! Owns what a process does to the files of a folder, as `strace` records it. Must not know what
//! that leads to.

use std::collections::HashMap;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// One call that changed something, by paths below the folder.
#[derive(Debug)]
pub(crate) enum Call {
    /// A file is opened that need not be there.
    Create(PathBuf),
    Truncate(PathBuf, usize),
    Write {
        to: PathBuf,
        /// At the end, if it is said nowhere else.
        at: Option<usize>,
        bytes: Vec<u8>,
    },
    MakeFolder(PathBuf),
    Rename(PathBuf, PathBuf),
    Remove(PathBuf),
    /// A file's bytes, or the names in a folder, become durable.
    Sync(PathBuf),
    SyncAll,
    /// A line that the process says.
    Say(String),
}

const FOLLOWED: &str = "openat,write,pwrite64,ftruncate,mkdir,mkdirat,rename,renameat,renameat2,\
    unlink,unlinkat,rmdir,symlink,fsync,fdatasync,syncfs,lseek";
/// Calls that would have to be followed if they were ever made on one of the files.
const OTHERS: &str = "open,creat,writev,pwritev,pwritev2,copy_file_range,sendfile,\
    fallocate,link,linkat,symlinkat,truncate,sync_file_range";

/// Runs a command to its end, and gives all that it does to the files of a folder.
pub(crate) fn record(folder: &Path, command: &Command) -> Vec<Call> {
    let log = tempfile::NamedTempFile::new().unwrap();
    let mut strace = Command::new("strace");
    strace.args(["-f", "-y", "-xx", "-s", "10000000", "-e", "signal=none", "-e"]);
    strace.arg(format!("trace={FOLLOWED},{OTHERS}")).arg("-o");
    strace.arg(log.path()).arg(command.get_program()).args(command.get_args());
    strace.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let ended = strace.output().expect("this test needs `strace` to be installed");
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    let mut reader = Reader { folder, positions: HashMap::new(), begun: HashMap::new() };
    let text = fs::read_to_string(log.path()).unwrap();
    text.lines().flat_map(|line| reader.line(line)).collect()
}

struct Reader<'a> {
    folder: &'a Path,
    /// Where the next write to an open file goes; none: at its end.
    positions: HashMap<String, Option<usize>>,
    /// Calls that were begun when another thread made one, by thread.
    begun: HashMap<String, String>,
}

impl Reader<'_> {
    fn line(&mut self, line: &str) -> Vec<Call> {
        let (thread, rest) = line.split_once(' ').unwrap();
        let rest = rest.trim_start();
        if let Some(begin) = rest.strip_suffix(" <unfinished ...>") {
            self.begun.insert(thread.to_owned(), begin.to_owned());
            return Vec::new();
        }
        let whole = match rest.strip_prefix("<... ") {
            None => rest.to_owned(),
            Some(resumed) => {
                let end = resumed.split_once(" resumed>").unwrap().1;
                self.begun.remove(thread).unwrap() + end
            }
        };
        // Not a call, but how a thread ended.
        let Some((call, came)) = whole.rsplit_once(" = ") else { return Vec::new() };
        if came.starts_with('-') {
            return Vec::new();
        }
        let (name, arguments) = call.trim_end().strip_suffix(')').unwrap().split_once('(').unwrap();
        if !FOLLOWED.split([',', ' ']).any(|it| it == name) {
            let folder: String = self
                .folder
                .as_os_str()
                .as_bytes()
                .iter()
                .map(|it| format!("\\x{it:02x}"))
                .collect();
            assert!(!arguments.contains(&folder), "{name} is not followed: {whole}");
            return Vec::new();
        }
        let arguments: Vec<&str> = arguments.split(", ").collect();
        self.call(name, &arguments, came)
    }

    fn call(&mut self, name: &str, arguments: &[&str], came: &str) -> Vec<Call> {
        let named = |at: usize| PathBuf::from(String::from_utf8(bytes(arguments[at])).unwrap());
        let opened = |at: usize| {
            let path = arguments[at].split_once('<').unwrap().1;
            PathBuf::from(String::from_utf8(bytes(path)).unwrap())
        };
        if name == "write" && arguments[0].starts_with("1<") {
            let said = String::from_utf8(bytes(arguments[1])).unwrap();
            return said.lines().map(|line| Call::Say(line.to_owned())).collect();
        }
        let inside = |path: PathBuf| path.strip_prefix(self.folder).ok().map(Path::to_owned);
        let path = match name {
            "openat" | "mkdirat" | "unlinkat" => opened(0).join(named(1)),
            "symlink" => named(1),
            "mkdir" | "unlink" | "rmdir" | "rename" => named(0),
            "renameat" | "renameat2" => opened(0).join(named(1)),
            _ => opened(0),
        };
        let Some(path) = inside(path) else { return Vec::new() };
        let number = |at: usize| arguments[at].parse::<usize>().unwrap();
        match name {
            "openat" => {
                let has = |flag| arguments[2].split('|').any(|it| it == flag);
                let position = (!has("O_APPEND")).then_some(0);
                self.positions.insert(descriptor(came), position);
                let created = has("O_CREAT").then(|| Call::Create(path.clone()));
                let emptied = has("O_TRUNC").then_some(Call::Truncate(path, 0));
                created.into_iter().chain(emptied).collect()
            }
            "lseek" => {
                let position = self.positions.get_mut(&descriptor(arguments[0])).unwrap();
                *position = position.map(|_| came.parse().unwrap());
                Vec::new()
            }
            "write" => {
                let position = self.positions.get_mut(&descriptor(arguments[0])).unwrap();
                let (at, bytes) = (*position, bytes(arguments[1]));
                assert_eq!(came, bytes.len().to_string(), "half of a write");
                *position = position.map(|at| at + bytes.len());
                vec![Call::Write { to: path, at, bytes }]
            }
            "pwrite64" => {
                vec![Call::Write { to: path, at: Some(number(3)), bytes: bytes(arguments[1]) }]
            }
            "ftruncate" => vec![Call::Truncate(path, number(1))],
            // A file as good as any: nobody looks where it leads to.
            "symlink" => vec![Call::Create(path)],
            "mkdir" | "mkdirat" => vec![Call::MakeFolder(path)],
            "rename" => vec![Call::Rename(path, inside(named(1)).unwrap())],
            "renameat" | "renameat2" => {
                vec![Call::Rename(path, inside(opened(2).join(named(3))).unwrap())]
            }
            "unlink" | "unlinkat" | "rmdir" => vec![Call::Remove(path)],
            "fsync" | "fdatasync" => vec![Call::Sync(path)],
            "syncfs" => vec![Call::SyncAll],
            other => unreachable!("{other} is not followed"),
        }
    }
}

/// The number of an open file.
fn descriptor(argument: &str) -> String {
    argument.split('<').next().unwrap().to_owned()
}

/// What is written as `\x2f\x74`, up to where that ends.
fn bytes(text: &str) -> Vec<u8> {
    let hex = text.trim_start_matches('"').split(['"', '>']).next().unwrap();
    let bytes = hex.split("\\x").skip(1);
    bytes.map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect()
}
