//! Owns the test of how much memory the examination of a log takes: what the system says of a
//! process that does nothing else. Of a small log and of a large one, so that what every process
//! takes makes no difference.

use std::io::Write;
use std::path::Path as FilePath;
use std::process::Command;
use std::sync::Arc;

use jitsu_store::backend::{Log, LogOptions, fsck, stat};
use jitsu_store::{Store, Tree};

use crate::fixture::{at, branch, merged, path, text};

const FOLDER: &str = "JITSU_STORE_EXAMINED_FOLDER";
const CALL: &str = "JITSU_STORE_EXAMINED_BY";

/// Steps of subjects, ten objects each.
const STEPS: [u64; 2] = [1000, 11_000];
/// Branches that reach all that there is: a set for each would be 6 kB for each object.
const FORKS: usize = 150;
/// What an object may take. Its id is 32 bytes, its number in the table 5 to 11, where it is 24,
/// where its references begin 8 both ways, and each of its seven references or so 4 both ways:
/// about 140, and for a commit what it says of itself, 50. For stat it is two words and three
/// numbers in place of one way. What grows by doubling may be there twice for a moment.
const OBJECT_BYTES_MAX: u64 = 300;

/// Writes a log like that of a host: subjects with histories of their own, merged into one branch.
fn fill(folder: &FilePath, steps: u64) {
    let mut options = LogOptions::default();
    // A segment is read whole.
    options.segment_bytes = 1 << 20;
    let store = Store::on(Arc::new(Log::open(folder, options).unwrap())).unwrap();
    for first in (0..steps).step_by(100) {
        let mut batch = store.batch();
        for n in first..first + 100 {
            let name = branch(&format!("domain/{}", n % 10));
            let head = batch.head(&name).unwrap();
            let mut tree = head.map_or_else(Tree::empty, |head| head.tree());
            let wanted = path(&format!("domains/{}/wanted", n % 1000));
            tree.set(&wanted, text(&format!("{n:050}"))).unwrap();
            let commit = batch.commit(&name, tree, at(n)).unwrap();
            merged(batch.merge(&branch("main"), &commit, at(n)).unwrap());
        }
        batch.publish().unwrap();
    }
    let mut batch = store.batch();
    let main = batch.head(&branch("main")).unwrap().unwrap();
    for fork in 0..FORKS {
        batch.set(&branch(&format!("fork/{fork}")), &main).unwrap();
    }
    batch.publish().unwrap();
}

/// Run by [`an_examination_takes_little_memory_for_each_object`] as a process of its own; by
/// itself it does nothing. It says how many objects it found, and how many kilobytes it took.
#[test]
fn examining_process() {
    let (Some(folder), Some(call)) = (std::env::var_os(FOLDER), std::env::var_os(CALL)) else {
        return;
    };
    let objects = if call == "fsck" {
        let report = fsck(&folder).unwrap();
        assert!(report.is_whole(), "{report:?}");
        report.objects
    } else {
        let stat = stat(&folder).unwrap();
        assert_eq!(stat.branches[&branch("fork/0")].own.objects, 0);
        stat.commits.objects + stat.nodes.objects + stat.contents.objects
    };
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let peak = peak.unwrap().trim_end_matches("kB").trim();
    std::io::stdout().write_all(format!("\ntook {objects} {peak}\n").as_bytes()).unwrap();
}

/// How many objects it found in how many bytes.
fn examined(folder: &FilePath, call: &str) -> (u64, u64) {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["memory::examining_process", "--exact", "--nocapture", "--test-threads=1"])
        .envs([(FOLDER, folder.as_os_str()), (CALL, call.as_ref())])
        .output()
        .unwrap();
    let out = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{out}{}", String::from_utf8_lossy(&output.stderr));
    let took = out.lines().find_map(|line| line.strip_prefix("took ")).unwrap();
    let (objects, kilobytes) = took.split_once(' ').unwrap();
    (objects.parse().unwrap(), kilobytes.parse::<u64>().unwrap() * 1024)
}

#[test]
fn an_examination_takes_little_memory_for_each_object() {
    let logs = STEPS.map(|steps| {
        let folder = tempfile::tempdir().unwrap();
        fill(folder.path(), steps);
        folder
    });
    for call in ["fsck", "stat"] {
        let [small, large] = logs.each_ref().map(|folder| examined(folder.path(), call));
        let objects = large.0 - small.0;
        assert!(objects >= 100_000, "{objects} objects");
        let each = large.1.saturating_sub(small.1) / objects;
        assert!(each > 0, "a process that holds {objects} objects takes more than nothing");
        assert!(each <= OBJECT_BYTES_MAX, "{call} takes {each} bytes for each object");
    }
}
