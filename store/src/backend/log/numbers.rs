//! Owns the numbers of ids: what millions of objects that refer to each other call themselves in
//! 4 bytes rather than 32. Must not know what the ids name.

use std::hash::BuildHasher;

use crate::id::Id;
use crate::id_map::Secret;

/// What an id is called by who numbered it.
pub(super) type Number = u32;

/// No number, for there are not as many.
const NONE: Number = Number::MAX;

/// Ids, numbered from 0 on as they come.
#[derive(Default)]
pub(super) struct Numbers {
    ids: Vec<Id>,
    /// The numbers, each in the place that its id hashes to, or in the next one that was free. Three
    /// of four places are taken at most, and how many there are is a power of two. A map by ids
    /// would have all ids a second time.
    table: Vec<Number>,
    secret: Secret,
}

impl Numbers {
    pub(super) fn len(&self) -> usize {
        self.ids.len()
    }

    pub(super) fn id(&self, number: Number) -> Id {
        self.ids[number as usize]
    }

    /// The number of an id, if it has one.
    pub(super) fn find(&self, id: &Id) -> Option<Number> {
        let number = *self.table.get(self.place(id))?;
        (number != NONE).then_some(number)
    }

    /// The number of an id, a new one if it has none.
    pub(super) fn number(&mut self, id: &Id) -> Number {
        if self.ids.len() >= self.table.len() / 4 * 3 {
            self.grow();
        }
        let place = self.place(id);
        if self.table[place] == NONE {
            let next = Number::try_from(self.ids.len()).ok().filter(|next| *next != NONE);
            self.table[place] = next.expect("BUG: four billion ids in memory");
            self.ids.push(*id);
        }
        self.table[place]
    }

    fn grow(&mut self) {
        self.table = vec![NONE; (2 * self.table.len()).max(16)];
        for number in 0..self.ids.len() {
            let place = self.place(&self.ids[number]);
            self.table[place] = number as Number;
        }
    }

    /// The place of an id: where its number is, or would be.
    fn place(&self, id: &Id) -> usize {
        let last = self.table.len().wrapping_sub(1);
        let mut place = self.secret.hash_one(id) as usize & last;
        while let Some(number) = self.table.get(place)
            && *number != NONE
            && self.ids[*number as usize] != *id
        {
            place = (place + 1) & last;
        }
        place
    }
}
