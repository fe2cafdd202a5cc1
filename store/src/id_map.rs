//! Owns the map by ids. Must not know what it holds.
//!
//! An id is a hash already: one multiplication by a secret number spreads it over a table. Without
//! the secret nobody can choose objects that meet in one place (Dietzfelbinger and others, *A
//! reliable randomized algorithm for the closest-pair problem*, 1997).

use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher, RandomState};

use crate::id::Id;

pub(crate) type IdMap<V> = HashMap<Id, V, Secret>;

/// The secret of one map.
#[derive(Clone)]
pub(crate) struct Secret(u64);

impl Default for Secret {
    fn default() -> Secret {
        Secret(RandomState::new().build_hasher().finish() | 1)
    }
}

impl BuildHasher for Secret {
    type Hasher = Spread;

    fn build_hasher(&self) -> Spread {
        Spread { secret: self.0, spread: 0 }
    }
}

/// What becomes of an id in a table.
pub(crate) struct Spread {
    secret: u64,
    spread: u64,
}

impl Hasher for Spread {
    fn write(&mut self, _: &[u8]) {
        unreachable!("BUG: an id is hashed as one number");
    }

    fn write_u64(&mut self, id: u64) {
        // The upper half of the product depends on all bits, and tables look at both ends.
        let product = u128::from(id) * u128::from(self.secret);
        self.spread = product as u64 ^ (product >> 64) as u64;
    }

    fn finish(&self) -> u64 {
        self.spread
    }
}
