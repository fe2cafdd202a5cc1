//! Owns the pages of runs that are kept in memory: a bounded number. Must not know what is in
//! them.
//!
//! Each page has one place where it can be, so that a look costs a lock that nobody else wants and
//! little more. The heads of groups, where most looks end, have places that no other page takes.

use std::sync::Mutex;

use super::Unread;
use super::page::{GROUP_PAGES, PAGE_BYTES, Page};
use super::run::Run;
use crate::backend::log::disk::Disk;

/// Of each of the two sorts: 16 MB.
const PLACES: usize = 4096;
/// Puts the pages of different runs far apart.
const SPREAD: usize = 1583;

/// The pages that were looked at of late.
pub(in crate::backend::log) struct Pages {
    heads: Vec<Mutex<Kept>>,
    entries: Vec<Mutex<Kept>>,
}

/// A page that is kept.
#[derive(Default)]
struct Kept {
    /// The salt of the run, and the number in it, if there is one. A run that is made again may get
    /// the number of the one before.
    of: Option<(u64, u32)>,
    page: Option<Box<Page>>,
}

impl Pages {
    pub(in crate::backend::log) fn new() -> Pages {
        let places = || (0..PLACES).map(|_| Mutex::default()).collect();
        Pages { heads: places(), entries: places() }
    }

    /// Looks at a page of a run, which is checked.
    pub(super) fn look<T>(
        &self,
        disk: &dyn Disk,
        run: &Run,
        number: u32,
        look: impl FnOnce(&Page) -> T,
    ) -> Result<T, Unread> {
        let (group, at) = (number as usize / (1 + GROUP_PAGES), number as usize);
        let is_head = at % (1 + GROUP_PAGES) == 0;
        let (places, at) = if is_head { (&self.heads, group) } else { (&self.entries, at) };
        let place = &places[(at + run.number as usize * SPREAD) % PLACES];
        let mut kept = place.lock().expect("BUG: a thread panicked while it looked at a page");
        let Kept { of, page } = &mut *kept;
        let page = page.get_or_insert_with(|| Box::new([0; PAGE_BYTES]));
        if *of != Some((run.salt, number)) {
            *of = None;
            run.read(disk, number, page)?;
            *of = Some((run.salt, number));
        }
        Ok(look(page))
    }
}
