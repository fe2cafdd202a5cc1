//! Owns which objects a collection keeps: a bit for each that the index has, so that ten million
//! take 1.2 MB. Must not know why they are kept.

use std::sync::Arc;

use super::bits::Bits;
use super::disk::Disk;
use super::format::Location;
use super::index::{self, Cursor, Pages, Run, Spot, Unread};
use crate::id::Id;
use crate::id_map::IdMap;

/// A set of objects of a log.
#[derive(Clone)]
pub(super) struct Kept {
    runs: Vec<Arc<Run>>,
    /// For each entry of each of these runs.
    bits: Vec<Bits>,
    /// Those that are in none of them.
    others: IdMap<()>,
}

/// What came of adding an object.
pub(super) struct Added {
    pub(super) is_new: bool,
    /// Where it is, if one of the runs says so.
    pub(super) location: Option<Location>,
}

impl Kept {
    /// None of the objects of a log with these runs.
    pub(super) fn none_of(runs: Vec<Arc<Run>>) -> Kept {
        let bits = vec![Bits::default(); runs.len()];
        Kept { runs, bits, others: IdMap::default() }
    }

    pub(super) fn add(&mut self, disk: &dyn Disk, pages: &Pages, id: &Id) -> Result<Added, Unread> {
        let Some(spot) = index::spot(&self.runs, disk, pages, id)? else {
            return Ok(Added { is_new: self.others.insert(*id, ()).is_none(), location: None });
        };
        let is_new = self.bits[spot.run].add(spot.nth);
        Ok(Added { is_new, location: Some(spot.location) })
    }

    pub(super) fn has(&self, disk: &dyn Disk, pages: &Pages, id: &Id) -> Result<bool, Unread> {
        let spot = index::spot(&self.runs, disk, pages, id)?;
        Ok(spot.map_or_else(
            || self.others.contains_key(id),
            |Spot { run, nth, .. }| self.bits[run].has(nth),
        ))
    }

    /// Removes an object. Whether it was there.
    pub(super) fn take(&mut self, disk: &dyn Disk, pages: &Pages, id: &Id) -> Result<bool, Unread> {
        let Some(spot) = index::spot(&self.runs, disk, pages, id)? else {
            return Ok(self.others.remove(id).is_some());
        };
        Ok(self.bits[spot.run].take(spot.nth))
    }

    /// All of them.
    pub(super) fn ids(&self, disk: &dyn Disk) -> Result<Vec<Id>, Unread> {
        let mut ids: Vec<Id> = self.others.keys().copied().collect();
        for (run, bits) in self.runs.iter().zip(&self.bits) {
            if bits.is_empty() {
                continue;
            }
            let mut cursor = Cursor::new(run);
            let mut nth = 0;
            while let Some((id, _)) = cursor.next(disk)? {
                if bits.has(nth) {
                    ids.push(id);
                }
                nth += 1;
            }
        }
        Ok(ids)
    }
}
