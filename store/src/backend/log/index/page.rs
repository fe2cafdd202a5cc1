//! Owns the bytes of the pages of a run. Must not know which pages a run has.
//!
//! ```text
//!   group:       head │ up to 24 pages of entries, sorted by id
//!   head:        the first id of each of these pages, a filter over all ids in them, crc
//!   entries:     id file offset len kind │ … up to 90, crc
//! ```
//!
//! The filter is that of Bloom (CACM 1970): twelve bits for each id, so that of those that are not
//! there one in four hundred is looked for in vain.

use crate::backend::log::format::Location;
use crate::codec::ObjectKind;
use crate::id::Id;

pub(super) const PAGE_BYTES: usize = 4096;
const BODY_BYTES: usize = PAGE_BYTES - 4;
const ID_BYTES: usize = 32;
const ENTRY_BYTES: usize = ID_BYTES + 13;
pub(super) const PAGE_ENTRIES: usize = BODY_BYTES / ENTRY_BYTES;
/// Pages of entries in a group.
pub(super) const GROUP_PAGES: usize = 24;
pub(super) const GROUP_ENTRIES: usize = GROUP_PAGES * PAGE_ENTRIES;
const FILTER_AT: usize = GROUP_PAGES * ID_BYTES;
const FILTER_BITS: u64 = (BODY_BYTES - FILTER_AT) as u64 * 8;
/// Bits of the filter that each id sets.
const PROBES: u64 = 8;

pub(super) type Page = [u8; PAGE_BYTES];

/// An object and where it is.
pub(in crate::backend::log) type Entry = (Id, Location);

/// The pages of a group of a run with this salt, of which the head is the `first`.
pub(super) fn group(entries: &[Entry], salt: u64, first: u32) -> Vec<u8> {
    let mut pages = vec![[0; PAGE_BYTES]; 1 + entries.len().div_ceil(PAGE_ENTRIES)];
    let (head, rest) = pages.split_first_mut().expect("BUG: a group without a head");
    for (at, (page, entries)) in rest.iter_mut().zip(entries.chunks(PAGE_ENTRIES)).enumerate() {
        head[at * ID_BYTES..][..ID_BYTES].copy_from_slice(entries[0].0.as_bytes());
        for (to, entry) in page.chunks_exact_mut(ENTRY_BYTES).zip(entries) {
            encode(entry, to);
        }
    }
    for (id, _) in entries {
        for bit in bits(id) {
            head[FILTER_AT + bit / 8] |= 1 << (bit % 8);
        }
    }
    for (at, page) in pages.iter_mut().enumerate() {
        let crc = checksum(page, salt, first + at as u32);
        page[BODY_BYTES..].copy_from_slice(&crc.to_le_bytes());
    }
    pages.concat()
}

/// Whether this is the page with this number of the run with this salt.
pub(super) fn is_whole(page: &Page, salt: u64, number: u32) -> bool {
    page[BODY_BYTES..] == checksum(page, salt, number).to_le_bytes()
}

/// In which of the pages of a group an id is, counted without the head; `None` if it is surely in
/// none.
pub(super) fn page_of(head: &Page, pages: usize, id: &Id) -> Option<usize> {
    if !bits(id).all(|bit| head[FILTER_AT + bit / 8] & (1 << (bit % 8)) != 0) {
        return None;
    }
    // The first one begins where the whole group does.
    let (firsts, _) = head[..pages * ID_BYTES].as_chunks::<ID_BYTES>();
    firsts.partition_point(|first| first <= id.as_bytes()).checked_sub(1)
}

/// Where an object is, and the how many-th of the entries says so, if it is among the first `count`
/// entries of a page.
pub(super) fn find(page: &Page, count: usize, id: &Id) -> Option<(usize, Location)> {
    let (entries, _) = page.as_chunks::<ENTRY_BYTES>();
    let entries = &entries[..count];
    let id_at = |at: usize| entries[at].first_chunk().expect("BUG: an entry shorter than its id");
    let mut at = guess(id_at(0), id_at(count.checked_sub(1)?), count, id);
    while at > 0 && id_at(at) > id.as_bytes() {
        at -= 1;
    }
    while at < count && id_at(at) < id.as_bytes() {
        at += 1;
    }
    (at < count && id_at(at) == id.as_bytes()).then(|| (at, decode(&entries[at]).1))
}

/// The how many-th of `count` ids this is, if they are spread evenly from the first to the last. As
/// they are hashes it is some few away, in memory that is read already: a binary search would wait
/// for half a dozen places one after the other.
fn guess(first: &[u8; 32], last: &[u8; 32], count: usize, id: &Id) -> usize {
    let number = |id: &[u8; 32]| u64::from_be_bytes(*id.first_chunk().expect("BUG: 32 bytes"));
    let (first, last) = (number(first), number(last));
    let before = number(id.as_bytes()).clamp(first, last.max(first)) - first;
    let span = u128::from(last.saturating_sub(first)) + 1;
    (u128::from(before) * count as u128 / span) as usize
}

/// The first `count` entries of a page.
pub(super) fn entries(page: &Page, count: usize) -> impl Iterator<Item = Entry> {
    page.chunks_exact(ENTRY_BYTES).take(count).map(decode)
}

fn encode((id, location): &Entry, to: &mut [u8]) {
    to[..32].copy_from_slice(id.as_bytes());
    to[32..36].copy_from_slice(&location.file.to_le_bytes());
    to[36..40].copy_from_slice(&location.offset.to_le_bytes());
    to[40..44].copy_from_slice(&location.len.to_le_bytes());
    to[44] = location.kind.map_or(0, |kind| kind as u8);
}

fn decode(entry: &[u8]) -> Entry {
    let id = entry.first_chunk().expect("BUG: an entry shorter than its id");
    let number = |at: usize| {
        u32::from_le_bytes(*entry[at..].first_chunk().expect("BUG: an entry cut short"))
    };
    let kind = ObjectKind::of(&entry[44..]);
    let location = Location { file: number(32), offset: number(36), len: number(40), kind };
    (Id::from_bytes(*id), location)
}

/// The bits of an id in a filter. The ids of a group begin alike, so the beginning says nothing.
fn bits(id: &Id) -> impl Iterator<Item = usize> {
    let word = |at: usize| {
        u64::from_le_bytes(*id.as_bytes()[at..].first_chunk().expect("BUG: an id has 32 bytes"))
    };
    let (start, step) = (word(8), word(16));
    (0..PROBES).map(move |nth| (start.wrapping_add(nth.wrapping_mul(step)) % FILTER_BITS) as usize)
}

/// It covers salt and number, so that a page that was elsewhere, or that an older file left on the
/// disk, is none.
fn checksum(page: &Page, salt: u64, number: u32) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(&salt.to_le_bytes());
    crc.update(&number.to_le_bytes());
    crc.update(&page[..BODY_BYTES]);
    crc.finalize()
}
