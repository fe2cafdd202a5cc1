//! Consoles of Xen domains, collected into files.
//!
//! Owns one thread that reads the pseudo terminals on which `xenconsoled` offers what guests
//! write. It finds a terminal when `xenconsoled` has made it, and nobody waits for that. It must
//! not know the XenStore: it is told how to look.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jitsu_proto::Name;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::eventfd::{EfdFlags, EventFd};

use crate::hypervisor::console;

/// How soon a terminal that is not there yet is looked for again; then after twice as long, and so
/// on: `xenconsoled` is quick, and where there is none nobody shall pay for it.
const LOOK: Duration = Duration::from_millis(20);

/// The longest it takes until it is looked for again.
const LOOK_MAX: Duration = Duration::from_secs(1);

/// How much is read at once.
const CHUNK_BYTES: usize = 16 * 1024;

/// The number that stands for news from the other threads; no domain has it.
const NEWS: u64 = u64::MAX;

/// Finds the terminal of a domain. None: there is none yet.
pub type FindTerminal = Box<dyn Fn(u32) -> Option<PathBuf> + Send>;

/// The thread's other end. When it is dropped the thread ends.
pub struct Consoles {
    shared: Arc<Shared>,
}

struct Shared {
    dir: PathBuf,
    bytes_max: u64,
    domains: Mutex<HashMap<u32, Domain>>,
    epoll: Epoll,
    news: EventFd,
    is_over: AtomicBool,
}

struct Domain {
    name: Name,
    terminal: Option<File>,
    output: File,
    /// Readable once the domain has ended.
    end: EventFd,
}

impl Consoles {
    /// Starts the thread; files go to `dir`, each of at most `bytes_max` twice.
    pub fn start(dir: PathBuf, bytes_max: u64, find: FindTerminal) -> io::Result<Consoles> {
        fs::create_dir_all(&dir)?;
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        let news = EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?;
        epoll.add(news.as_fd(), EpollEvent::new(EpollFlags::EPOLLIN, NEWS))?;
        let (domains, is_over) = (Mutex::default(), AtomicBool::new(false));
        let shared = Arc::new(Shared { dir, bytes_max, domains, epoll, news, is_over });
        let ours = shared.clone();
        std::thread::Builder::new().name("consoles".to_owned()).spawn(move || run(&ours, &find))?;
        Ok(Consoles { shared })
    }

    /// Collects what this domain writes, from now on.
    pub fn add(&self, domid: u32, name: &Name) -> io::Result<()> {
        let path = self.shared.path(name);
        match fs::rename(&path, self.shared.old_path(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        self.adopt(domid, name)
    }

    /// The same for one that ran before: what was collected is kept.
    pub fn adopt(&self, domid: u32, name: &Name) -> io::Result<()> {
        let path = self.shared.path(name);
        let output = OpenOptions::new().append(true).create(true).mode(0o640).open(path)?;
        let end = EventFd::from_flags(EfdFlags::EFD_CLOEXEC)?;
        let domain = Domain { name: name.clone(), terminal: None, output, end };
        self.shared.lock().insert(domid, domain);
        self.shared.news.write(1)?;
        Ok(())
    }

    /// The domain has ended; so do the streams of its console.
    pub fn remove(&self, domid: u32) {
        let Some(mut domain) = self.shared.lock().remove(&domid) else { return };
        // What it wrote last may still be there.
        let _ = self.shared.collect(&mut domain);
        // It cannot fail: the counter was zero.
        let _ = domain.end.write(1);
    }

    /// The console of a domain, as a stream.
    pub fn open(&self, domid: u32) -> io::Result<OwnedFd> {
        let (path, terminal, end) = {
            let domains = self.shared.lock();
            let domain = domains.get(&domid).ok_or(io::ErrorKind::NotFound)?;
            let waiting = || io::Error::other("xenconsoled has not made its terminal yet");
            let terminal = domain.terminal.as_ref().ok_or_else(waiting)?.try_clone()?;
            (self.shared.path(&domain.name), terminal, domain.end.as_fd().try_clone_to_owned()?)
        };
        console::open(&path, terminal, end)
    }
}

impl Drop for Consoles {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::Relaxed);
        let _ = self.shared.news.write(1);
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, HashMap<u32, Domain>> {
        self.domains.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn path(&self, name: &Name) -> PathBuf {
        self.dir.join(name.as_str())
    }

    fn old_path(&self, name: &Name) -> PathBuf {
        // No name has a comma.
        self.dir.join(format!("{name},1"))
    }

    /// Looks for the terminals that are missing. How many still are.
    fn look(&self, find: &FindTerminal) -> usize {
        let missing: Vec<u32> = {
            let domains = self.lock();
            let missing = domains.iter().filter(|(_, domain)| domain.terminal.is_none());
            missing.map(|(domid, _)| *domid).collect()
        };
        let mut left = missing.len();
        for domid in missing {
            let Some(path) = find(domid) else { continue };
            let flags = (nix::fcntl::OFlag::O_NOCTTY | nix::fcntl::OFlag::O_NONBLOCK).bits();
            let opened = OpenOptions::new().read(true).write(true).custom_flags(flags).open(&path);
            let mut domains = self.lock();
            let Some(domain) = domains.get_mut(&domid) else { continue };
            let added = opened.and_then(|terminal| {
                let event = EpollEvent::new(EpollFlags::EPOLLIN, u64::from(domid));
                self.epoll.add(terminal.as_fd(), event)?;
                Ok(terminal)
            });
            match added {
                Ok(terminal) => {
                    domain.terminal = Some(terminal);
                    left -= 1;
                }
                Err(error) => {
                    tracing::debug!(domain = %domain.name, %error, "no console yet");
                }
            }
        }
        left
    }

    /// Moves what a guest wrote into its file.
    fn collect(&self, domain: &mut Domain) -> io::Result<()> {
        let Some(terminal) = &mut domain.terminal else { return Ok(()) };
        let mut chunk = [0; CHUNK_BYTES];
        loop {
            match terminal.read(&mut chunk) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(count) => domain.output.write_all(&chunk[..count])?,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        console::rotate(&self.path(&domain.name), &self.old_path(&domain.name), self.bytes_max)
    }
}

fn run(shared: &Shared, find: &FindTerminal) {
    let mut events = [EpollEvent::empty(); 32];
    let (mut missing, mut pause, mut next) = (0, LOOK, Instant::now());
    while !shared.is_over.load(Ordering::Relaxed) {
        let now = Instant::now();
        if now >= next {
            missing = shared.look(find);
            next = now + pause;
            pause = LOOK_MAX.min(2 * pause);
        }
        let timeout = match missing {
            0 => EpollTimeout::NONE,
            _ => EpollTimeout::try_from(next - now).expect("BUG: a pause is short"),
        };
        let count = match shared.epoll.wait(&mut events, timeout) {
            Ok(count) => count,
            Err(nix::errno::Errno::EINTR) => continue,
            Err(errno) => panic!("BUG: waiting on an epoll of ours failed: {errno}"),
        };
        for event in &events[..count] {
            if event.data() == NEWS {
                let _ = shared.news.read();
                (pause, next) = (LOOK, Instant::now());
                continue;
            }
            let mut domains = shared.lock();
            let domid = u32::try_from(event.data()).expect("BUG: a domid was put there");
            let Some(domain) = domains.get_mut(&domid) else { continue };
            if let Err(error) = shared.collect(domain) {
                tracing::debug!(domain = %domain.name, %error, "its console has ended");
                if let Some(terminal) = domain.terminal.take() {
                    let _ = shared.epoll.delete(terminal.as_fd());
                }
                // It may be there again: another `xenconsoled` makes another.
                (pause, next) = (LOOK, Instant::now() + LOOK);
                missing += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn a_terminal_that_never_comes_is_looked_for_ever_more_rarely() {
        let dir = tempfile::tempdir().expect("a folder");
        let (told, looks) = mpsc::channel();
        let find = move |domid| {
            told.send(domid).expect("the test listens");
            None
        };
        let consoles = Consoles::start(dir.path().to_owned(), 1000, Box::new(find));
        let consoles = consoles.expect("it starts");
        let name = |text| Name::new(text).expect("a name");
        consoles.add(1, &name("www")).expect("it is added");
        std::thread::sleep(Duration::from_millis(600));
        let count = looks.try_iter().count();
        // After 0, 20, 60, 140, 300 and 620 ms, and once more for the news; a slow machine sees fewer.
        assert!((2..=7).contains(&count), "{count} looks in 0.6 s");

        consoles.add(2, &name("dns")).expect("it is added");
        let until = Instant::now() + Duration::from_secs(60);
        while looks.recv_timeout(until - Instant::now()).expect("it looks") != 2 {}
    }
}
