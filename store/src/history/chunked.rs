//! Owns a list that grows and shrinks at its end and never moves what is in it: one that is long
//! would be copied as it doubles, for longer than all else takes. Must not know what it holds.

use std::ops::{Index, IndexMut};

/// How many are together.
const CHUNK: usize = 256;

/// A list of chunks that are full but for the last.
pub(super) struct Chunked<T> {
    chunks: Vec<Vec<T>>,
}

impl<T> Chunked<T> {
    pub(super) fn len(&self) -> usize {
        self.chunks.last().map_or(0, |last| (self.chunks.len() - 1) * CHUNK + last.len())
    }

    pub(super) fn get(&self, at: usize) -> Option<&T> {
        self.chunks.get(at / CHUNK)?.get(at % CHUNK)
    }

    pub(super) fn push(&mut self, value: T) {
        match self.chunks.last_mut() {
            Some(last) if last.len() < CHUNK => last.push(value),
            _ => {
                let mut chunk = Vec::with_capacity(CHUNK);
                chunk.push(value);
                self.chunks.push(chunk);
            }
        }
    }

    pub(super) fn pop(&mut self) -> Option<T> {
        let last = self.chunks.last_mut()?;
        let value = last.pop();
        if last.is_empty() {
            self.chunks.pop();
        }
        value
    }
}

impl<T> Default for Chunked<T> {
    fn default() -> Chunked<T> {
        Chunked { chunks: Vec::new() }
    }
}

impl<T> Index<usize> for Chunked<T> {
    type Output = T;

    fn index(&self, at: usize) -> &T {
        &self.chunks[at / CHUNK][at % CHUNK]
    }
}

impl<T> IndexMut<usize> for Chunked<T> {
    fn index_mut(&mut self, at: usize) -> &mut T {
        &mut self.chunks[at / CHUNK][at % CHUNK]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_a_list() {
        let mut list = Chunked::default();
        let numbers: Vec<usize> = (0..3 * CHUNK + 1).collect();
        for n in &numbers {
            assert_eq!((list.len(), list.get(*n)), (*n, None));
            list.push(n + 1);
            list[*n] -= 1;
        }
        assert!(numbers.iter().all(|n| list.get(*n) == Some(n) && list[*n] == *n));
        for n in numbers.iter().rev() {
            assert_eq!((list.pop(), list.len()), (Some(*n), *n));
        }
        assert_eq!(list.pop(), None);
    }
}
