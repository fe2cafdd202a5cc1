//! Owns which objects refer to which, in as little memory as tens of millions of them take: ids
//! once, and references as numbers in one vector, a row for each object (compressed sparse rows).
//! Must not know what the objects are, nor where.
//!
//! What is referred to has a number, whether it is there or not; what is not there needs nothing.

use super::bits::Bits;
use super::numbers::{Number, Numbers};
use crate::id::Id;

/// Objects and what they refer to.
pub(super) struct Graph {
    numbers: Numbers,
    /// Where the row of each begins in `rows`.
    starts: Vec<usize>,
    /// Rows, behind the length of each. The first one is that of all who refer to nothing.
    rows: Vec<Number>,
    /// Those whose first reference may lead nowhere.
    first_is_optional: Bits,
}

impl Default for Graph {
    fn default() -> Graph {
        Graph {
            numbers: Numbers::default(),
            starts: Vec::new(),
            rows: vec![0],
            first_is_optional: Bits::default(),
        }
    }
}

impl Graph {
    /// How many objects have numbers, which are those from 0 on.
    pub(super) fn len(&self) -> usize {
        self.numbers.len()
    }

    pub(super) fn all(&self) -> impl Iterator<Item = Number> + use<> {
        0..self.len() as Number
    }

    pub(super) fn id(&self, number: Number) -> Id {
        self.numbers.id(number)
    }

    pub(super) fn find(&self, id: &Id) -> Option<Number> {
        self.numbers.find(id)
    }

    /// The number of an object, a new one if it has none.
    pub(super) fn number(&mut self, id: &Id) -> Number {
        let number = self.numbers.number(id);
        self.starts.resize(self.len(), 0);
        number
    }

    /// Says what an object refers to.
    pub(super) fn link(&mut self, number: Number, references: &[Id]) {
        if references.is_empty() {
            return self.unlink(number);
        }
        let start = self.rows.len();
        let len = Number::try_from(references.len());
        self.rows.push(len.expect("BUG: an object with four billion references"));
        for id in references {
            let below = self.number(id);
            self.rows.push(below);
        }
        self.starts[number as usize] = start;
    }

    /// Says that an object refers to nothing.
    pub(super) fn unlink(&mut self, number: Number) {
        self.starts[number as usize] = 0;
        self.first_is_optional.take(number as usize);
    }

    /// Says that what an object refers to first need not be there.
    pub(super) fn let_first_go(&mut self, number: Number) {
        self.first_is_optional.add(number as usize);
    }

    /// What an object refers to, in its order; one that it has twice is here twice.
    pub(super) fn references(&self, number: Number) -> &[Number] {
        let start = self.starts[number as usize];
        &self.rows[start + 1..][..self.rows[start] as usize]
    }

    /// What has to be there of what it refers to.
    pub(super) fn needed(&self, number: Number) -> &[Number] {
        let is_optional = self.first_is_optional.has(number as usize);
        &self.references(number)[usize::from(is_optional)..]
    }

    /// These, and everything that they need.
    pub(super) fn reached(&self, from: impl IntoIterator<Item = Number>) -> Bits {
        let mut reached = Bits::default();
        let mut line: Vec<Number> = from.into_iter().collect();
        while let Some(number) = line.pop() {
            if reached.add(number as usize) {
                line.extend(self.needed(number));
            }
        }
        reached
    }

    /// All objects, each before what it needs: there is such an order, for no object can have been
    /// hashed before what it refers to (Kahn, *Topological sorting of large networks*, 1962).
    pub(super) fn descending(&self) -> Vec<Number> {
        let mut above = vec![0u32; self.len()];
        for below in self.all().flat_map(|number| self.needed(number)) {
            above[*below as usize] += 1;
        }
        let mut order: Vec<Number> =
            self.all().filter(|number| above[*number as usize] == 0).collect();
        let mut next = 0;
        while let Some(number) = order.get(next).copied() {
            next += 1;
            for below in self.needed(number) {
                above[*below as usize] -= 1;
                if above[*below as usize] == 0 {
                    order.push(*below);
                }
            }
        }
        order
    }

    /// The other way round.
    pub(super) fn needing(&self) -> Needing {
        let mut ends = vec![0; self.len() + 1];
        for below in self.all().flat_map(|number| self.needed(number)) {
            ends[*below as usize + 1] += 1;
        }
        for number in 1..ends.len() {
            ends[number] += ends[number - 1];
        }
        let mut rows = vec![0; ends.last().copied().unwrap_or_default()];
        // Each row's beginning moves to its end, which is where the next one begins.
        for number in self.all() {
            for below in self.needed(number) {
                let end = &mut ends[*below as usize];
                rows[*end] = number;
                *end += 1;
            }
        }
        Needing { ends, rows }
    }
}

/// Which objects need which.
pub(super) struct Needing {
    ends: Vec<usize>,
    rows: Vec<Number>,
}

impl Needing {
    /// Which need this one, in the order of their numbers; one that does twice is here twice.
    pub(super) fn of(&self, number: Number) -> &[Number] {
        let at = number as usize;
        let start = at.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.rows[start..self.ends[at]]
    }

    /// These, and everything that leads to them by references that count: of whom, to whom.
    pub(super) fn leading_to(
        &self,
        to: impl IntoIterator<Item = Number>,
        counts: impl Fn(Number, Number) -> bool,
    ) -> Bits {
        let mut leading = Bits::default();
        let mut line: Vec<Number> =
            to.into_iter().filter(|number| leading.add(*number as usize)).collect();
        while let Some(number) = line.pop() {
            for by in self.of(number) {
                if counts(*by, number) && leading.add(*by as usize) {
                    line.push(*by);
                }
            }
        }
        leading
    }
}

#[cfg(test)]
pub(super) mod tests;
