//! Owns the disk that is a folder: file names, and which system calls. Must not know
//! what is written.

mod room;

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, RwLock};

use self::room::Room;
use super::disk::{Disk, LogFile, failed};
use crate::backend::lock::{Lock, lock};
use crate::error::StorageError;

const LOCK: &str = "lock";
const SEGMENT: &str = ".segment";
const RUN: &str = ".index";

type Files = BTreeMap<LogFile, Arc<File>>;

/// A folder that no other process writes to, if it is locked.
pub(super) struct Folder {
    path: PathBuf,
    files: RwLock<Files>,
    /// Behind the segment that was written to last.
    room: Mutex<Option<(LogFile, Room)>>,
    _lock: Option<Lock>,
}

impl Folder {
    pub(super) fn open(path: &Path) -> Result<Folder, StorageError> {
        let io = |op| move |error| failed(op, error);
        make_folder(path).map_err(io("make the store's folder"))?;
        let lock = lock(path.join(LOCK))?;
        let files = open_all(path, OpenOptions::new().read(true).write(true))?;
        Ok(Folder::of(path, files, Some(lock)))
    }

    /// Opens what is there to be read, whoever has it locked.
    pub(super) fn open_read_only(path: &Path) -> Result<Folder, StorageError> {
        let files = open_all(path, OpenOptions::new().read(true))?;
        if files.is_empty() {
            return Err(StorageError::NoStore { path: path.to_owned() });
        }
        Ok(Folder::of(path, files, None))
    }

    fn of(path: &Path, files: Files, lock: Option<Lock>) -> Folder {
        let (path, files) = (path.to_owned(), RwLock::new(files));
        Folder { path, files, room: Mutex::new(None), _lock: lock }
    }

    fn file(&self, name: LogFile) -> io::Result<Arc<File>> {
        let files = self.files.read().expect(PANICKED);
        files.get(&name).cloned().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn room(&self) -> MutexGuard<'_, Option<(LogFile, Room)>> {
        self.room.lock().expect(PANICKED)
    }

    /// Leaves the segment that was written to last as long as what is in it.
    fn leave(&self) -> io::Result<()> {
        match self.room().take() {
            Some((name, room)) if room.is_any() => {
                let file = self.file(name)?;
                file.set_len(room.end())?;
                file.sync_data()
            }
            _ => Ok(()),
        }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // If it stays, the next opening removes it.
        let _ = self.leave();
    }
}

impl Disk for Folder {
    fn files(&self) -> io::Result<Vec<LogFile>> {
        let files = self.files.read().expect(PANICKED);
        Ok(files.keys().copied().collect())
    }

    fn create(&self, name: LogFile) -> io::Result<()> {
        if let LogFile::Segment(_) = name {
            self.leave()?;
        }
        let mut options = OpenOptions::new();
        let options = options.read(true).write(true).create(true).truncate(true);
        let opened = options.open(file(&self.path, name))?;
        sync_folder(&self.path)?;
        let mut files = self.files.write().expect(PANICKED);
        files.insert(name, Arc::new(opened));
        Ok(())
    }

    fn len(&self, file: LogFile) -> io::Result<u64> {
        match &*self.room() {
            Some((name, room)) if *name == file => Ok(room.end()),
            _ => Ok(self.file(file)?.metadata()?.len()),
        }
    }

    fn read(&self, file: LogFile, offset: u64, into: &mut [u8]) -> io::Result<()> {
        self.file(file)?.read_exact_at(into, offset)
    }

    fn write(&self, name: LogFile, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let file = self.file(name)?;
        file.write_all_at(bytes, offset)?;
        if let LogFile::Segment(_) = name {
            let end = offset + bytes.len() as u64;
            let mut room = self.room();
            match &mut *room {
                Some((other, room)) if *other == name => room.make(&file, end),
                _ => *room = Some((name, Room::none(end))),
            }
        }
        Ok(())
    }

    fn sync(&self, file: LogFile) -> io::Result<()> {
        self.file(file)?.sync_data()
    }

    fn truncate(&self, name: LogFile, len: u64) -> io::Result<()> {
        self.room().take_if(|(other, _)| *other == name);
        self.file(name)?.set_len(len)
    }

    fn remove(&self, name: LogFile) -> io::Result<()> {
        self.room().take_if(|(other, _)| *other == name);
        fs::remove_file(file(&self.path, name))?;
        sync_folder(&self.path)?;
        self.files.write().expect(PANICKED).remove(&name);
        Ok(())
    }

    fn name(&self, name: LogFile) -> String {
        file(&self.path, name).display().to_string()
    }
}

fn file(folder: &Path, name: LogFile) -> PathBuf {
    folder.join(match name {
        LogFile::Segment(number) => format!("{number:08}{SEGMENT}"),
        LogFile::Run(number) => format!("{number:08}{RUN}"),
    })
}

fn open_all(path: &Path, options: &OpenOptions) -> Result<Files, StorageError> {
    let mut files = Files::new();
    let names = names(path).map_err(|error| failed("list the store's folder", error))?;
    for name in names {
        match (options.open(file(path, name)), name) {
            (Ok(opened), _) => drop(files.insert(name, Arc::new(opened))),
            // A writer may have merged it into another one by now, and nobody needs it.
            (Err(error), LogFile::Run(_)) if error.kind() == io::ErrorKind::NotFound => {}
            (Err(error), _) => return Err(failed("open a file of the store", error)),
        }
    }
    Ok(files)
}

/// The files of a log in a folder. Other files are left alone.
fn names(folder: &Path) -> io::Result<Vec<LogFile>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name();
        let Some(name) = name.to_str() else { continue };
        let number = |suffix| name.strip_suffix(suffix)?.parse::<u32>().ok();
        let segment = number(SEGMENT).map(LogFile::Segment);
        names.extend(segment.or_else(|| number(RUN).map(LogFile::Run)));
    }
    Ok(names)
}

/// Makes a folder and those above it that are missing, so that none vanishes in a crash.
fn make_folder(path: &Path) -> io::Result<()> {
    if path.as_os_str().is_empty() || path.is_dir() {
        return Ok(());
    }
    let above = path.parent().unwrap_or(Path::new(""));
    make_folder(above)?;
    fs::create_dir(path)?;
    sync_folder(if above.as_os_str().is_empty() { Path::new(".") } else { above })
}

fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

const PANICKED: &str = "BUG: a thread panicked inside the folder";

#[cfg(test)]
mod tests;
