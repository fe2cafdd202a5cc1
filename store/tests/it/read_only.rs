//! Owns the tests of a log that is read while another process writes to it.

use std::collections::HashMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path as FilePath;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use jitsu_store::backend::{Backend, Log, LogOptions};
use jitsu_store::{HeadChange, Id, StorageError, Store};

use crate::fixture::{branch, path, walk, write};

const FOLDER: &str = "JITSU_STORE_READ_FOLDER";
/// How often a reader opens the store that is being written.
const LOOKS: usize = 100;

fn open(folder: &FilePath) -> Store {
    let mut options = LogOptions::default();
    options.segment_bytes = 20_000;
    Store::on(Arc::new(Log::open(folder, options).unwrap())).unwrap()
}

fn look(folder: &FilePath) -> Store {
    Store::on(Arc::new(Log::open_read_only(folder).unwrap())).unwrap()
}

/// Every file of a folder, with its bytes.
fn files(folder: &FilePath) -> HashMap<String, Vec<u8>> {
    let file = |entry: std::io::Result<fs::DirEntry>| {
        let entry = entry.unwrap();
        (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap())
    };
    fs::read_dir(folder).unwrap().map(file).collect()
}

#[test]
fn what_is_read_only_is_read_and_refuses_to_be_written() {
    let folder = tempfile::tempdir().unwrap();
    let writer = open(folder.path());
    write(&writer, "main", "a", "1", 1);
    let log = Arc::new(Log::open_read_only(folder.path()).unwrap());
    let reader = Store::on(log.clone()).unwrap();
    assert_eq!(walk(&reader), walk(&writer));
    let bytes = b"c\x01bnew";
    assert!(matches!(log.put(&Id::of(bytes), bytes), Err(StorageError::ReadOnly)));
    let change = HeadChange { branch: branch("main"), old: None, new: None };
    assert!(matches!(log.set_heads(&[change]), Err(StorageError::ReadOnly)));
    assert!(matches!(log.sync(), Err(StorageError::ReadOnly)));
    // It shows the moment at which it was opened, and the writer was not disturbed.
    let before = walk(&reader);
    write(&writer, "main", "a", "2", 2);
    assert_eq!(walk(&reader), before);
    assert_ne!(walk(&look(folder.path())), before);
}

#[test]
fn an_unfinished_end_is_passed_over_and_left() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    write(&store, "main", "a", "1", 1);
    let before = walk(&store);
    let whole = files(folder.path())["00000001.segment"].len() as u64;
    write(&store, "main", "a", "2", 2);
    drop(store);
    let file = folder.path().join("00000001.segment");
    let end = fs::metadata(&file).unwrap().len();
    for len in (whole..end).rev() {
        fs::OpenOptions::new().write(true).open(&file).unwrap().set_len(len).unwrap();
        let as_it_was = files(folder.path());
        assert_eq!(walk(&look(folder.path())), before, "cut at {len}");
        assert_eq!(files(folder.path()), as_it_was);
    }
}

#[test]
fn damage_is_an_error_for_a_reader_too() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    (1..4).for_each(|n| drop(write(&store, "main", "a", &n.to_string(), n)));
    drop(store);
    let file = folder.path().join("00000001.segment");
    let mut bytes = fs::read(&file).unwrap();
    bytes[100] ^= 1;
    fs::write(&file, bytes).unwrap();
    let opened = Log::open_read_only(folder.path());
    assert!(matches!(opened, Err(StorageError::Corrupt { .. })));
}

#[test]
fn a_folder_without_a_store_stays_without() {
    let folder = tempfile::tempdir().unwrap();
    assert!(matches!(Log::open_read_only(folder.path()), Err(StorageError::NoStore { .. })));
    assert!(files(folder.path()).is_empty());
    let nowhere = folder.path().join("nowhere");
    assert!(matches!(Log::open_read_only(&nowhere), Err(StorageError::Io { .. })));
    assert!(!nowhere.exists());
}

/// Run by [`a_reader_sees_whole_commits_while_another_process_writes`] as a process of its own;
/// by itself it does nothing.
#[test]
fn writer_process() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let store = open(folder.as_ref());
    for n in 0.. {
        // Larger than a page, so that a frame is not there all at once.
        let value = format!("{n} {}", "x".repeat(n as usize * 37 % 9000));
        let commit = write(&store, "main", &format!("{}", n % 20), &value, n);
        let said = format!("\nack {n} {}\n", commit.id());
        if std::io::stdout().lock().write_all(said.as_bytes()).is_err() {
            return;
        }
    }
}

/// A process that ends with its owner.
struct Writer(Child);

impl Drop for Writer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_reader_sees_whole_commits_while_another_process_writes() {
    let folder = tempfile::tempdir().unwrap();
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["read_only::writer_process", "--exact", "--nocapture", "--test-threads=1"])
        .env(FOLDER, folder.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut writer = Writer(child);
    let lines = BufReader::new(writer.0.stdout.take().unwrap()).lines().map(Result::unwrap);
    let mut acknowledged = lines.filter_map(|line| {
        let (n, id) = line.strip_prefix("ack ")?.split_once(' ')?;
        Some((n.parse::<u64>().unwrap(), id.parse::<Id>().unwrap()))
    });
    for _ in 0..LOOKS {
        let (n, id) = acknowledged.next().expect("the writer ended by itself");
        let store = look(folder.path());
        let head = store.head(&branch("main")).unwrap().unwrap();
        assert!(store.is_ancestor(&id, &head.id()).unwrap(), "acknowledged and not seen");
        assert!(head.generation() > n);
        // The newest frame is whole: everything it refers to can be read.
        head.tree().entries().for_each(|entry| drop(entry.unwrap()));
        assert!(head.tree().get(&path("0")).unwrap().is_some());
    }
}
