//! Owns which objects a collection keeps: a bit for each that the index has, so that ten million
//! take 1.2 MB. Must not know why they are kept.

use std::sync::Arc;

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
    bits: Vec<Vec<u64>>,
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
        let bits = runs.iter().map(|run| vec![0; run.count().div_ceil(64) as usize]).collect();
        Kept { runs, bits, others: IdMap::default() }
    }

    pub(super) fn add(&mut self, disk: &dyn Disk, pages: &Pages, id: &Id) -> Result<Added, Unread> {
        let Some(spot) = index::spot(&self.runs, disk, pages, id)? else {
            return Ok(Added { is_new: self.others.insert(*id, ()).is_none(), location: None });
        };
        let (word, bit) = self.bit(&spot);
        let is_new = *word & bit == 0;
        *word |= bit;
        Ok(Added { is_new, location: Some(spot.location) })
    }

    pub(super) fn has(&self, disk: &dyn Disk, pages: &Pages, id: &Id) -> Result<bool, Unread> {
        let spot = index::spot(&self.runs, disk, pages, id)?;
        Ok(spot.map_or_else(
            || self.others.contains_key(id),
            |Spot { run, nth, .. }| self.bits[run][nth / 64] >> (nth % 64) & 1 == 1,
        ))
    }

    /// Removes an object. Whether it was there.
    pub(super) fn take(&mut self, disk: &dyn Disk, pages: &Pages, id: &Id) -> Result<bool, Unread> {
        let Some(spot) = index::spot(&self.runs, disk, pages, id)? else {
            return Ok(self.others.remove(id).is_some());
        };
        let (word, bit) = self.bit(&spot);
        let was_there = *word & bit != 0;
        *word &= !bit;
        Ok(was_there)
    }

    fn bit(&mut self, spot: &Spot) -> (&mut u64, u64) {
        (&mut self.bits[spot.run][spot.nth / 64], 1 << (spot.nth % 64))
    }

    /// All of them.
    pub(super) fn ids(&self, disk: &dyn Disk) -> Result<Vec<Id>, Unread> {
        let mut ids: Vec<Id> = self.others.keys().copied().collect();
        for (run, bits) in self.runs.iter().zip(&self.bits) {
            if bits.iter().all(|word| *word == 0) {
                continue;
            }
            let mut cursor = Cursor::new(run);
            let mut nth = 0;
            while let Some((id, _)) = cursor.next(disk)? {
                if bits[nth / 64] >> (nth % 64) & 1 == 1 {
                    ids.push(id);
                }
                nth += 1;
            }
        }
        Ok(ids)
    }
}
