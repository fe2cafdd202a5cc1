//! Owns the difference of two ropes as edits. Must not know what is done with them.
//!
//! Nodes are compared height by height, and only what lies between those that are the same is
//! looked into, so that the cost follows the change.

use std::ops::Range;

use super::Rope;
use super::chunk::Chunk;
use super::node::{Child, Node};
use crate::error::StorageError;

/// Items of the base, and what is in their place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::contents) struct Edit {
    pub(in crate::contents) base: Range<u64>,
    pub(in crate::contents) side: Range<u64>,
}

/// Everything in which a side differs from the base, in order.
pub(in crate::contents) fn diff<C: Chunk>(
    base: &Rope<C>,
    side: &Rope<C>,
) -> Result<Vec<Edit>, StorageError> {
    let (mut a, mut b) = (top(base), top(side));
    let (mut a_height, mut b_height) = (height(base), height(side));
    while a_height > b_height {
        a = below(&a, a_height)?;
        a_height -= 1;
    }
    while b_height > a_height {
        b = below(&b, b_height)?;
        b_height -= 1;
    }
    let mut edits = Vec::new();
    nodes(&a, &b, a_height, (0, 0), &mut edits)?;
    Ok(edits)
}

/// The highest nodes that can be shared, and their height.
fn top<C: Chunk>(rope: &Rope<C>) -> Vec<Child<C>> {
    match &rope.root {
        Node::Leaf(chunk) if chunk.count() == 0 => Vec::new(),
        Node::Leaf(_) => vec![Child::new(rope.root.clone())],
        Node::Branch { children, .. } => children.clone(),
    }
}

fn height<C: Chunk>(rope: &Rope<C>) -> u32 {
    rope.root.height().saturating_sub(1)
}

fn below<C: Chunk>(nodes: &[Child<C>], height: u32) -> Result<Vec<Child<C>>, StorageError> {
    let children: Result<Vec<_>, _> = nodes.iter().map(|node| node.children(height)).collect();
    Ok(children?.concat())
}

fn total<C>(nodes: &[Child<C>]) -> u64 {
    nodes.iter().map(|node| node.len).sum()
}

/// Collects the edits between nodes of one height that begin at these indices.
fn nodes<C: Chunk>(
    a: &[Child<C>],
    b: &[Child<C>],
    height: u32,
    (a_at, b_at): (u64, u64),
    edits: &mut Vec<Edit>,
) -> Result<(), StorageError> {
    for hunk in script(a, b, |a, b| a.link.same(&b.link)) {
        let (a_at, b_at) = (a_at + total(&a[..hunk.a.start]), b_at + total(&b[..hunk.b.start]));
        let (a, b) = (&a[hunk.a], &b[hunk.b]);
        if a.is_empty() || b.is_empty() {
            let (base, side) = (a_at..a_at + total(a), b_at..b_at + total(b));
            edits.push(Edit { base, side });
        } else if height > 0 {
            let (a, b) = (below(a, height)?, below(b, height)?);
            nodes(&a, &b, height - 1, (a_at, b_at), edits)?;
        } else {
            let keys = |nodes: &[Child<C>]| {
                let keys: Result<Vec<_>, StorageError> =
                    nodes.iter().map(|node| Ok(node.leaf()?.keys())).collect();
                Ok::<_, StorageError>(keys?.concat())
            };
            let moved =
                |range: Range<usize>, at: u64| at + range.start as u64..at + range.end as u64;
            let hunks = script(&keys(a)?, &keys(b)?, |a, b| a == b);
            edits.extend(
                hunks
                    .into_iter()
                    .map(|Hunk { a, b }| Edit { base: moved(a, a_at), side: moved(b, b_at) }),
            );
        }
    }
    Ok(())
}

/// Where two lists differ.
struct Hunk {
    a: Range<usize>,
    b: Range<usize>,
}

/// The most differences that are told apart from each other. Where there are more, all that is
/// between the first and the last is one.
const DISTANCE_MAX: usize = 512;

/// What turns one list into the other: the fewest removals and additions (Myers 1986), those that
/// touch each other as one.
fn script<T>(a: &[T], b: &[T], same: impl Fn(&T, &T) -> bool) -> Vec<Hunk> {
    let before = a.iter().zip(b).take_while(|(a, b)| same(a, b)).count();
    let (a_left, b_left) = (&a[before..], &b[before..]);
    let after =
        a_left.iter().rev().zip(b_left.iter().rev()).take_while(|(a, b)| same(a, b)).count();
    let (a, b) = (&a_left[..a_left.len() - after], &b_left[..b_left.len() - after]);
    if a.is_empty() && b.is_empty() {
        return Vec::new();
    }
    let whole = || vec![Hunk { a: 0..a.len(), b: 0..b.len() }];
    let mut hunks = if a.is_empty() || b.is_empty() {
        whole()
    } else {
        common(a, b, same).map_or_else(whole, |common| between(&common, a.len(), b.len()))
    };
    for Hunk { a, b } in &mut hunks {
        (a.start, a.end, b.start, b.end) =
            (a.start + before, a.end + before, b.start + before, b.end + before);
    }
    hunks
}

/// What is left between the pairs in common.
fn between(common: &[(usize, usize)], a_len: usize, b_len: usize) -> Vec<Hunk> {
    let (mut hunks, mut a_at, mut b_at) = (Vec::new(), 0, 0);
    for (a, b) in common.iter().copied().chain([(a_len, b_len)]) {
        if a > a_at || b > b_at {
            hunks.push(Hunk { a: a_at..a, b: b_at..b });
        }
        (a_at, b_at) = (a + 1, b + 1);
    }
    hunks
}

/// The pairs of a longest common subsequence; `None` if the lists differ too much.
fn common<T>(a: &[T], b: &[T], same: impl Fn(&T, &T) -> bool) -> Option<Vec<(usize, usize)>> {
    // For each number of differences, how far into `a` each diagonal gets: those on which `b` is
    // further than `a` by that number less than twice the place in the row.
    let mut reached: Vec<Vec<usize>> = Vec::new();
    for distance in 0..=DISTANCE_MAX.min(a.len() + b.len()) {
        let mut row = Vec::with_capacity(distance + 1);
        for at in 0..=distance {
            let (mut x, _) = step(reached.last(), at);
            let mut y = x + 2 * at - distance;
            while x < a.len() && y < b.len() && same(&a[x], &b[y]) {
                (x, y) = (x + 1, y + 1);
            }
            row.push(x);
            if x >= a.len() && y >= b.len() {
                reached.push(row);
                return Some(backwards(&reached, a.len(), b.len()));
            }
        }
        reached.push(row);
    }
    None
}

/// Where the best way with one difference less, and then that one, enters a diagonal, and whether
/// the difference is an item that is only in `a`.
fn step(before: Option<&Vec<usize>>, at: usize) -> (usize, bool) {
    let Some(before) = before else { return (0, false) };
    let removed = before.get(at).map(|x| x + 1);
    let added = at.checked_sub(1).map(|at| before[at]);
    match (removed, added) {
        (Some(removed), Some(added)) if added >= removed => (added, false),
        (Some(removed), _) => (removed, true),
        (None, Some(added)) => (added, false),
        (None, None) => unreachable!("BUG: a diagonal without neighbours"),
    }
}

/// The pairs on the best way, followed from its end.
fn backwards(reached: &[Vec<usize>], a_len: usize, b_len: usize) -> Vec<(usize, usize)> {
    let (mut x, mut y) = (a_len, b_len);
    let mut pairs = Vec::new();
    for distance in (0..reached.len()).rev() {
        let at = (y + distance - x) / 2;
        let before = distance.checked_sub(1).map(|it| &reached[it]);
        let (entered, is_removed) = step(before, at);
        while x > entered {
            (x, y) = (x - 1, y - 1);
            pairs.push((x, y));
        }
        if distance > 0 {
            (x, y) = if is_removed { (x - 1, y) } else { (x, y - 1) };
        }
    }
    pairs.reverse();
    pairs
}
