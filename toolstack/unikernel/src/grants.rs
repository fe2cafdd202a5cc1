//! The grant table: which pages another domain may use (xen/include/public/grant_table.h).
//!
//! Owns the table of one page, version 1. Must not know what a page is for.

use crate::cpu::{self, Domid, Refused};
use crate::memory::Page;

/// The number of an entry; those below [`FIRST`] are the tools'.
pub(crate) type Reference = u32;
/// The first entry that is free for use (`GNTTAB_NR_RESERVED_ENTRIES`).
pub(crate) const FIRST: Reference = 8;

const ENTRY_BYTES: usize = 8;
const PERMIT_ACCESS: u16 = 1;
const READ_ONLY: u16 = 4;

static TABLE: Page = Page::new();

/// What may be done with a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    Read,
    ReadWrite,
}

/// Asks for the table.
pub(crate) fn map() -> Result<(), Refused> {
    TABLE.map(cpu::grant_table_frame()?)
}

/// Lets `domid` use `page` by `reference`, for as long as this domain lives.
pub(crate) fn permit(reference: Reference, domid: Domid, page: &'static Page, access: Access) {
    let frame = u32::try_from(page.frame()).expect("version 1 of the table holds 32-bit frames");
    let entry = reference as usize * ENTRY_BYTES;
    TABLE.store(entry + 4, frame);
    TABLE.store_short(entry + 2, domid);
    let flags = match access {
        Access::Read => PERMIT_ACCESS | READ_ONLY,
        Access::ReadWrite => PERMIT_ACCESS,
    };
    // Last, as it makes the entry valid.
    TABLE.store_short(entry, flags);
}
