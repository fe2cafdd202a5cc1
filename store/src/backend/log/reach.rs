//! Owns how much each of several objects leads to, alone and together with others. Must not know
//! what the objects are.
//!
//! Exactly how many objects each of many leads to nobody knows how to find without looking at
//! most of them for most of these (Cohen, *Size-estimation framework with applications to
//! transitive closure and reachability*, 1997). But a word has room for 64, so that one visit of an
//! object does for as many, and what is remembered of it is two words, however many branches there
//! are.

use std::collections::HashMap;

use super::graph::Graph;
use super::numbers::Number;

/// How many objects, and the bytes of them alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Amount {
    /// Objects.
    pub objects: usize,
    /// Their bytes.
    pub bytes: u64,
}

/// What a branch reaches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reach {
    /// What no other branch reaches.
    pub own: Amount,
    /// What others reach, too.
    pub shared: Amount,
}

/// From which heads an object is reached.
#[derive(Clone, Copy, PartialEq, Eq)]
enum By {
    None,
    One(u32),
    Several,
}

/// What each of these heads reaches, and what none of them does, as far as it is there and so has
/// a length.
pub(super) fn reach(
    graph: &Graph,
    heads: &[Number],
    len: impl Fn(Number) -> Option<usize>,
) -> (Vec<Reach>, Amount) {
    let order = graph.descending();
    let mut reaches = vec![Reach::default(); heads.len()];
    let mut by = vec![By::None; graph.len()];
    // A bit for each head of a group, of each object.
    let mut masks = vec![0u64; graph.len()];
    for (group, heads) in heads.chunks(u64::BITS as usize).enumerate() {
        let first = group * u64::BITS as usize;
        masks.fill(0);
        for (bit, head) in heads.iter().enumerate() {
            masks[*head as usize] |= 1 << bit;
        }
        let mut amounts: HashMap<u64, Amount> = HashMap::new();
        for number in &order {
            let mask = masks[*number as usize];
            if mask == 0 {
                continue;
            }
            for below in graph.needed(*number) {
                masks[*below as usize] |= mask;
            }
            let Some(len) = len(*number) else { continue };
            amounts.entry(mask).or_default().add(len);
            let by = &mut by[*number as usize];
            *by = match *by {
                By::None if mask.is_power_of_two() => By::One(first as u32 + mask.trailing_zeros()),
                _ => By::Several,
            };
        }
        for (bit, reach) in reaches[first..].iter_mut().take(heads.len()).enumerate() {
            for (_, amount) in amounts.iter().filter(|(mask, _)| *mask >> bit & 1 == 1) {
                reach.shared.objects += amount.objects;
                reach.shared.bytes += amount.bytes;
            }
        }
    }
    let mut garbage = Amount::default();
    for number in graph.all() {
        let Some(len) = len(number) else { continue };
        match by[number as usize] {
            By::None => garbage.add(len),
            By::One(head) => reaches[head as usize].take_as_own(len),
            By::Several => {}
        }
    }
    (reaches, garbage)
}

impl Reach {
    /// Says that of what is shared so far an object is not.
    fn take_as_own(&mut self, len: usize) {
        self.own.add(len);
        self.shared.objects -= 1;
        self.shared.bytes -= len as u64;
    }
}

impl Amount {
    pub(super) fn add(&mut self, bytes: usize) {
        self.objects += 1;
        self.bytes += bytes as u64;
    }
}

#[cfg(test)]
mod tests;
