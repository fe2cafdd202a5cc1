//! Owns other stores that can do the same, or a part of it: Git itself.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path as FilePath;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::table::{Table, timed};

/// Measures the peers of a workload that have it.
pub(crate) fn beside(workload: &str, table: &mut Table, folder: &FilePath, n: usize) {
    if workload == "W1" {
        let stream = one_set(n);
        table.measure("git fast-import, in bulk", n, None, || fast_import(folder, &stream));
    }
}

/// The commands for W1 (git-fast-import(1)).
fn one_set(n: usize) -> String {
    let mut stream = String::new();
    for nth in 0..n {
        let _ = write!(
            stream,
            "commit refs/heads/main\ncommitter uid 0 <> {nth} +0000\ndata 3\nset\nM 644 \
             inline keys/{nth:06}\ndata 100\n{nth:0100}\n"
        );
    }
    stream
}

fn fast_import(folder: &FilePath, stream: &str) -> Duration {
    let repository = tempfile::tempdir_in(folder).expect("a folder");
    let git = |arguments: &[&str]| {
        let mut git = Command::new("git");
        git.arg("-C").arg(repository.path()).args(arguments).stdout(Stdio::null());
        git
    };
    let made = git(&["init", "-q", "--bare"]).status().expect("git is installed");
    assert!(made.success(), "git init: {made}");
    timed(|| {
        let mut import = git(&["fast-import", "--quiet"]);
        let mut import = import.stdin(Stdio::piped()).spawn().expect("git fast-import");
        let mut input = import.stdin.take().expect("piped");
        input.write_all(stream.as_bytes()).expect("it reads");
        drop(input);
        let ended = import.wait().expect("it ends");
        assert!(ended.success(), "git fast-import: {ended}");
    })
}
