//! Owns sets of small numbers, a bit for each. Must not know what is numbered.

/// A set of numbers, as large as the largest that was ever in it.
#[derive(Clone, Default)]
pub(super) struct Bits(Vec<u64>);

impl Bits {
    /// Adds a number. Whether it is new.
    pub(super) fn add(&mut self, number: usize) -> bool {
        let at = number / 64;
        if self.0.len() <= at {
            self.0.resize(at + 1, 0);
        }
        let is_new = !self.has(number);
        self.0[at] |= 1 << (number % 64);
        is_new
    }

    /// Removes a number. Whether it was there.
    pub(super) fn take(&mut self, number: usize) -> bool {
        let was_there = self.has(number);
        if was_there {
            self.0[number / 64] &= !(1 << (number % 64));
        }
        was_there
    }

    pub(super) fn has(&self, number: usize) -> bool {
        self.0.get(number / 64).is_some_and(|word| word >> (number % 64) & 1 == 1)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }
}
