//! Owns a log as its entries, apart from how they are kept, and how the same objects come of that:
//! for those who write a log down in another form. Must not know that form.

use super::entries::{Entries, Entry, Logged};
use super::{Journal, TAIL_MAX};
use crate::contents::rope::Rope;
use crate::contents::rope::shape::Shape;
use crate::contents::value::Value;
use crate::error::StorageError;

/// How the entries of a log are kept.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    /// How those are cut that are not in the log itself.
    pub(crate) shape: Shape,
    /// How many these are, from the first on.
    pub(crate) below: usize,
}

impl Journal {
    /// All entries, oldest first, and how they are kept.
    pub(crate) fn laid_out(&self) -> Result<(Vec<Logged>, Layout), StorageError> {
        let mut entries = Vec::new();
        let mut see = |leaf: &Entries| {
            for entry in &leaf.0 {
                entries.push(entry.load()?);
            }
            Ok(())
        };
        let shape = self.rope.shape(&mut see)?;
        see(&self.tail)?;
        let below = entries.len() - self.tail.0.len();
        Ok((entries, Layout { shape, below }))
    }

    /// A log of these entries, which are in the order of their times, that are kept so; or why they
    /// cannot be.
    pub(crate) fn of_layout(
        entries: Vec<Logged>,
        Layout { shape, below }: &Layout,
    ) -> Result<Journal, &'static str> {
        let entry = |it: Logged| Entry { time_ms: it.time_ms, value: Value::new(it.contents) };
        let mut entries = entries.into_iter().map(entry);
        let mut left = *below;
        let rope = Rope::shaped(shape, &mut |count| {
            let count = count.map_or(Some(left), |count| usize::try_from(count).ok())?;
            left = left.checked_sub(count)?;
            Some(Entries(entries.by_ref().take(count).collect()))
        })?;
        let tail = Entries(entries.collect());
        if left > 0 {
            return Err("there is more than in the leaves");
        }
        if tail.0.len() >= TAIL_MAX {
            return Err("too many entries in the log itself");
        }
        Ok(Journal { rope, tail })
    }
}
