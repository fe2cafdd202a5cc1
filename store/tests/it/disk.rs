//! Owns a disk for tests: it counts, refuses, tears, and forgets what was not flushed.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::sync::{Mutex, MutexGuard};

use jitsu_store::backend::{Disk, LogFile};

/// A disk in memory.
#[derive(Default)]
pub(crate) struct SimDisk {
    state: Mutex<State>,
    on_read: Mutex<Option<OnRead>>,
}

/// What a test does when a file is read.
type OnRead = Box<dyn FnMut(LogFile) + Send>;

#[derive(Default, Clone)]
struct State {
    files: BTreeMap<LogFile, File>,
    /// Operations that changed something, or tried to.
    operations: u64,
    /// The operation at which the power goes, and how many bytes of a write still get through.
    death: Option<(u64, usize)>,
    /// All bytes that fit.
    capacity: Option<usize>,
    fail_sync: bool,
    fail_truncate: bool,
    bytes_written: u64,
    bytes_read: u64,
    syncs: u64,
}

#[derive(Default, Clone)]
struct File {
    now: Vec<u8>,
    durable: Vec<u8>,
}

/// What a crash leaves of what was not flushed.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Left {
    /// Nothing.
    None,
    /// All of it.
    All,
    /// A beginning.
    Part,
    /// The end, with zeros before it: the order in which a disk writes is its own.
    End,
}

pub(crate) const LEFT: [Left; 4] = [Left::None, Left::All, Left::Part, Left::End];

impl SimDisk {
    pub(crate) fn new() -> SimDisk {
        SimDisk::default()
    }

    /// Lets the power go at an operation, of which this many bytes still get through.
    pub(crate) fn dying(operation: u64, bytes: usize) -> SimDisk {
        let disk = SimDisk::new();
        disk.state().death = Some((operation, bytes));
        disk
    }

    /// Lets the power go after this many operations more.
    pub(crate) fn die_after(&self, operations: u64, bytes: usize) {
        let mut state = self.state();
        state.death = Some((state.operations + operations, bytes));
    }

    pub(crate) fn operations(&self) -> u64 {
        self.state().operations
    }

    pub(crate) fn bytes_written(&self) -> u64 {
        self.state().bytes_written
    }

    pub(crate) fn bytes_read(&self) -> u64 {
        self.state().bytes_read
    }

    pub(crate) fn syncs(&self) -> u64 {
        self.state().syncs
    }

    pub(crate) fn fill_at(&self, capacity: Option<usize>) {
        self.state().capacity = capacity;
    }

    pub(crate) fn used(&self) -> usize {
        self.state().used()
    }

    pub(crate) fn fail_sync(&self, fail: bool) {
        self.state().fail_sync = fail;
    }

    pub(crate) fn fail_truncate(&self, fail: bool) {
        self.state().fail_truncate = fail;
    }

    /// The disk after a crash, working again.
    pub(crate) fn crash(&self, left: Left) -> SimDisk {
        let mut files = self.state().files.clone();
        for file in files.values_mut() {
            file.survive(left);
        }
        let state = Mutex::new(State { files, ..State::default() });
        SimDisk { state, on_read: Mutex::default() }
    }

    /// The disk with one of its segments changed.
    pub(crate) fn altered(&self, segment: u32, alter: impl FnOnce(&mut Vec<u8>)) -> SimDisk {
        let disk = self.crash(Left::All);
        disk.alter(LogFile::Segment(segment), alter);
        disk
    }

    /// Calls this before each read, but not for those that it does itself.
    pub(crate) fn on_read(&self, call: impl FnMut(LogFile) + Send + 'static) {
        *self.on_read.lock().unwrap() = Some(Box::new(call));
    }

    /// Changes a file.
    pub(crate) fn alter(&self, file: LogFile, alter: impl FnOnce(&mut Vec<u8>)) {
        let mut state = self.state();
        let file = state.files.get_mut(&file).unwrap();
        alter(&mut file.now);
        file.durable = file.now.clone();
    }

    /// The bytes of a segment.
    pub(crate) fn bytes(&self, segment: u32) -> Vec<u8> {
        self.bytes_of(LogFile::Segment(segment))
    }

    pub(crate) fn bytes_of(&self, file: LogFile) -> Vec<u8> {
        self.state().files[&file].now.clone()
    }

    /// Loses a segment.
    pub(crate) fn lose(&self, segment: u32) {
        self.state().files.remove(&LogFile::Segment(segment));
    }

    /// The numbers of the runs of the index.
    pub(crate) fn runs(&self) -> Vec<u32> {
        let run = |file: &LogFile| match file {
            LogFile::Run(number) => Some(*number),
            LogFile::Segment(_) => None,
        };
        self.state().files.keys().filter_map(run).collect()
    }

    /// The disk with no index.
    pub(crate) fn without_index(&self) -> SimDisk {
        let disk = self.crash(Left::All);
        disk.state().files.retain(|file, _| matches!(file, LogFile::Segment(_)));
        disk
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}

impl State {
    fn used(&self) -> usize {
        self.files.values().map(|file| file.now.len()).sum()
    }

    /// Counts an operation; how many bytes of it get through if the power goes at it.
    fn operate(&mut self) -> io::Result<Option<usize>> {
        let number = self.operations;
        self.operations += 1;
        match self.death {
            Some((death, bytes)) if number == death => Ok(Some(bytes)),
            Some((death, _)) if number > death => Err(gone()),
            _ => Ok(None),
        }
    }

    fn file(&mut self, number: LogFile) -> io::Result<&mut File> {
        self.files.get_mut(&number).ok_or_else(|| ErrorKind::NotFound.into())
    }
}

impl File {
    fn survive(&mut self, left: Left) {
        let (now, durable) = (&self.now, &self.durable);
        // What was cut off or overwritten and not flushed is not modelled: the log does neither
        // to bytes that were flushed.
        let fresh = &now[durable.len().min(now.len())..];
        let mut after = durable.clone();
        match left {
            Left::None => {}
            Left::All => after.extend_from_slice(fresh),
            Left::Part => after.extend_from_slice(&fresh[..fresh.len() / 2]),
            Left::End => {
                let lost = fresh.len() / 2;
                after.resize(after.len() + lost, 0);
                after.extend_from_slice(&fresh[lost..]);
            }
        }
        *self = File { now: after.clone(), durable: after };
    }
}

fn gone() -> io::Error {
    io::Error::other("the power is gone")
}

impl Disk for SimDisk {
    fn files(&self) -> io::Result<Vec<LogFile>> {
        Ok(self.state().files.keys().copied().collect())
    }

    fn create(&self, file: LogFile) -> io::Result<()> {
        let mut state = self.state();
        match state.operate()? {
            Some(0) => return Err(gone()),
            Some(_) => {
                state.files.insert(file, File::default());
                return Err(gone());
            }
            None => {}
        }
        state.files.insert(file, File::default());
        Ok(())
    }

    fn len(&self, file: LogFile) -> io::Result<u64> {
        Ok(self.state().file(file)?.now.len() as u64)
    }

    fn read(&self, file: LogFile, offset: u64, into: &mut [u8]) -> io::Result<()> {
        let taken = self.on_read.lock().unwrap().take();
        if let Some(mut call) = taken {
            call(file);
            *self.on_read.lock().unwrap() = Some(call);
        }
        let mut state = self.state();
        let from = state.file(file)?.now.get(offset as usize..).ok_or(ErrorKind::UnexpectedEof)?;
        let from = from.get(..into.len()).ok_or(ErrorKind::UnexpectedEof)?;
        into.copy_from_slice(from);
        state.bytes_read += into.len() as u64;
        Ok(())
    }

    fn write(&self, number: LogFile, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.state();
        let death = state.operate()?;
        let room = state.capacity.map(|all| all.saturating_sub(state.used()));
        let file = state.file(number)?;
        assert_eq!(file.now.len() as u64, offset, "a write that is not at the end");
        let through = [death, room].into_iter().flatten().min().unwrap_or(bytes.len());
        file.now.extend_from_slice(&bytes[..through.min(bytes.len())]);
        if death.is_some() {
            return Err(gone());
        }
        if room.is_some_and(|room| room < bytes.len()) {
            return Err(ErrorKind::StorageFull.into());
        }
        state.bytes_written += bytes.len() as u64;
        Ok(())
    }

    fn sync(&self, number: LogFile) -> io::Result<()> {
        let mut state = self.state();
        state.syncs += 1;
        let death = state.operate()?;
        if state.fail_sync {
            return Err(io::Error::other("a sync that fails"));
        }
        let file = state.file(number)?;
        if death == Some(0) {
            return Err(gone());
        }
        file.durable = file.now.clone();
        if death.is_some() { Err(gone()) } else { Ok(()) }
    }

    fn truncate(&self, number: LogFile, len: u64) -> io::Result<()> {
        let mut state = self.state();
        let death = state.operate()?;
        if state.fail_truncate {
            return Err(io::Error::other("a truncation that fails"));
        }
        if death.is_some() {
            return Err(gone());
        }
        let file = state.file(number)?;
        file.now.truncate(len as usize);
        Ok(())
    }

    fn remove(&self, file: LogFile) -> io::Result<()> {
        let mut state = self.state();
        let death = state.operate()?;
        if death != Some(0) {
            state.files.remove(&file).ok_or(ErrorKind::NotFound)?;
        }
        if death.is_some() { Err(gone()) } else { Ok(()) }
    }

    fn name(&self, file: LogFile) -> String {
        match file {
            LogFile::Segment(number) => format!("segment {number}"),
            LogFile::Run(number) => format!("run {number}"),
        }
    }
}
