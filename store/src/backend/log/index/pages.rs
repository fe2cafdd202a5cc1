//! Owns the pages of runs that are kept in memory: a bounded number. Must not know what is in
//! them.

use std::sync::{Arc, Mutex};

use super::Unread;
use super::page::Page;
use super::run::Run;
use crate::backend::log::disk::Disk;
use crate::cache::Bounded;

/// Half of how many pages are kept in each part: 32 MB in all.
const HALF: usize = 256;
/// The parts, each behind a lock of its own.
const PARTS: usize = 16;

/// The pages that were looked at of late, by run and number.
pub(in crate::backend::log) struct Pages {
    parts: Vec<Mutex<Part>>,
}

type Part = Bounded<(u32, u32), Arc<Page>>;

impl Pages {
    pub(in crate::backend::log) fn new() -> Pages {
        Pages { parts: (0..PARTS).map(|_| Mutex::new(Bounded::new(HALF))).collect() }
    }

    /// A page of a run, checked.
    pub(super) fn get(&self, disk: &dyn Disk, run: &Run, number: u32) -> Result<Arc<Page>, Unread> {
        let key = (run.number, number);
        let part = &self.parts[number as usize % PARTS];
        let known = part.lock().expect(PANICKED).get(&key);
        if let Some(page) = known {
            return Ok(page);
        }
        let page = run.read(disk, number)?;
        part.lock().expect(PANICKED).insert(key, page.clone());
        Ok(page)
    }
}

const PANICKED: &str = "BUG: a thread panicked inside the cache of pages";
