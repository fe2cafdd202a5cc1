//! Owns how commits are found and related: records by id, ancestors, merge bases, logs.
//! Must not know branches.

mod ancestors;
mod base;
mod lca;
mod log;

use std::sync::{Arc, Mutex};

pub(crate) use self::ancestors::{Ancestors, Fresh};
pub(crate) use self::base::Bases;
pub(crate) use self::lca::{is_ancestor, lcas};
pub use self::log::Log;
use crate::backend::Source;
use crate::cache::Bounded;
use crate::commit::{Commit, Record};
use crate::error::StorageError;
use crate::id::Id;

/// Half of how many commit records are kept in memory.
const RECORDS_HALF: usize = 4096;

/// The commits of a backend, of which the recently used records stay in memory, without trees.
pub(crate) struct History {
    pub(crate) source: Source,
    records: Mutex<Bounded<Id, Arc<Record>>>,
}

impl History {
    pub(crate) fn new(source: Source) -> History {
        History { source, records: Mutex::new(Bounded::new(RECORDS_HALF)) }
    }

    /// A commit that may not be there.
    pub(crate) fn find(&self, id: &Id) -> Result<Option<Arc<Record>>, StorageError> {
        if let Some(record) = self.records().get(id) {
            return Ok(Some(record));
        }
        let Some(record) = Record::load(id, &self.source)? else { return Ok(None) };
        let record = Arc::new(record);
        self.records().insert(*id, record.clone());
        Ok(Some(record))
    }

    /// A commit that something refers to.
    pub(crate) fn record(&self, id: &Id) -> Result<Arc<Record>, StorageError> {
        self.find(id)?.ok_or(StorageError::Missing { id: *id })
    }

    pub(crate) fn commit(&self, id: &Id) -> Result<Commit, StorageError> {
        Ok(Commit::stored(self.record(id)?, &self.source))
    }

    /// Remembers a commit that was just made.
    pub(crate) fn learn(&self, commit: &Commit) {
        self.records().insert(commit.id(), commit.record().clone());
    }

    fn records(&self) -> std::sync::MutexGuard<'_, Bounded<Id, Arc<Record>>> {
        self.records.lock().expect("BUG: a thread panicked inside the cache of commits")
    }
}
