//! Owns the walk over the elements of a queue. Must not know how they are kept.

use super::Queue;
use crate::contents::Contents;
use crate::contents::value::Value;
use crate::error::StorageError;

/// The elements of a queue from the front on. Ends after an error.
pub struct Elements {
    /// What is not loaded yet.
    left: Queue,
    /// What is, of one block.
    block: std::vec::IntoIter<Value>,
}

impl Elements {
    pub(super) fn new(queue: &Queue) -> Elements {
        Elements { left: queue.clone(), block: Vec::new().into_iter() }
    }

    fn advance(&mut self) -> Result<Option<Contents>, StorageError> {
        loop {
            if let Some(element) = self.block.next() {
                return Ok(Some(element.load()?.clone()));
            }
            let Some(run) = self.left.runs.first_mut() else { return Ok(None) };
            let block = run.block(run.lo)?.to_vec();
            // Positions alone are moved: nothing here is stored again.
            run.lo += block.len() as u64;
            self.block = block.into_iter();
            if run.len() == 0 {
                self.left.runs.remove(0);
            }
        }
    }
}

impl Iterator for Elements {
    type Item = Result<Contents, StorageError>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = self.advance();
        if next.is_err() {
            *self = Elements::new(&Queue::new());
        }
        next.transpose()
    }
}
