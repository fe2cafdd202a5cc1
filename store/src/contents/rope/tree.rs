//! Owns how trees of a rope are split, joined and edited: a counted B+-tree with all leaves at one
//! height. Must not know merges.
//!
//! An edit within a leaf changes that leaf and what is above it, and a neighbour only when the
//! leaf becomes too small: what is not touched stays the same object, which is what a merge lives
//! on. Splitting and joining touch one path.

use super::chunk::Chunk;
use super::node::{BRANCH_MAX, BRANCH_MIN, Child, LEAF_FILL, LEAF_MAX, LEAF_MIN, Node};
use crate::error::StorageError;

/// A tree of which the root may be smaller than other nodes.
pub(super) struct Tree<C> {
    pub(super) height: u32,
    pub(super) root: Child<C>,
}

/// A part of a rope, which may be empty.
pub(super) type Part<C> = Option<Tree<C>>;

/// A new tree of these items.
pub(super) fn build<C: Chunk>(chunk: C) -> Part<C> {
    grow(0, leaves(chunk))
}

/// The tree of these nodes of one height.
pub(super) fn grow<C: Chunk>(mut height: u32, mut nodes: Vec<Child<C>>) -> Part<C> {
    while nodes.len() > 1 {
        height += 1;
        nodes = branches(height, &nodes);
    }
    nodes.pop().map(|root| Tree { height, root })
}

/// The leaves for these items: one if they fit, else some with room for edits.
fn leaves<C: Chunk>(chunk: C) -> Vec<Child<C>> {
    if chunk.count() == 0 {
        return Vec::new();
    }
    let pieces = if chunk.weight() <= LEAF_MAX { 1 } else { 1 + chunk.weight() / LEAF_FILL };
    chunk.cut(pieces).into_iter().map(|piece| Child::new(Node::Leaf(piece))).collect()
}

/// As few branches as these children fit into, each with as many as the others or one more: where
/// the last had what is left it might be a single one, which no branch has.
fn branches<C: Chunk>(height: u32, children: &[Child<C>]) -> Vec<Child<C>> {
    let count = children.len().div_ceil(BRANCH_MAX);
    let start = |branch: usize| branch * children.len() / count;
    let branch = |at| Child::branch(height, children[start(at)..start(at + 1)].to_vec());
    (0..count).map(branch).collect()
}

/// One tree after the other.
pub(super) fn join<C: Chunk>(a: Part<C>, b: Part<C>) -> Result<Part<C>, StorageError> {
    let (a, b) = match (a, b) {
        (Some(a), Some(b)) => (a, b),
        (a, b) => return Ok(a.or(b)),
    };
    let nodes = join_nodes(&a.root, a.height, &b.root, b.height)?;
    Ok(grow(a.height.max(b.height), nodes))
}

/// The one or two nodes that come of joining two, as high as the higher one.
fn join_nodes<C: Chunk>(
    a: &Child<C>,
    a_height: u32,
    b: &Child<C>,
    b_height: u32,
) -> Result<Vec<Child<C>>, StorageError> {
    let height = a_height.max(b_height);
    if a_height > b_height {
        let (last, before) =
            a.children(a_height)?.split_last().expect("BUG: a branch without children");
        let joined = join_nodes(last, a_height - 1, b, b_height)?;
        return Ok(branches(height, &[before, &joined].concat()));
    }
    if a_height < b_height {
        let (first, after) =
            b.children(b_height)?.split_first().expect("BUG: a branch without children");
        let joined = join_nodes(a, a_height, first, b_height - 1)?;
        return Ok(branches(height, &[&joined, after].concat()));
    }
    if height == 0 {
        let (left, right) = (a.leaf()?, b.leaf()?);
        let fits = left.weight() + right.weight() <= LEAF_MAX;
        if fits || left.weight() < LEAF_MIN || right.weight() < LEAF_MIN {
            let mut both = left.clone();
            both.append(right);
            return Ok(leaves(both));
        }
    } else {
        let (left, right) = (a.children(height)?, b.children(height)?);
        let fits = left.len() + right.len() <= BRANCH_MAX;
        if fits || left.len() < BRANCH_MIN || right.len() < BRANCH_MIN {
            return Ok(branches(height, &[left, right].concat()));
        }
    }
    Ok(vec![a.clone(), b.clone()])
}

/// What is before an item, and what is from it on.
pub(super) fn split<C: Chunk>(tree: Part<C>, at: u64) -> Result<(Part<C>, Part<C>), StorageError> {
    let Some(tree) = tree else { return Ok((None, None)) };
    if at == 0 {
        return Ok((None, Some(tree)));
    }
    if at == tree.root.len {
        return Ok((Some(tree), None));
    }
    if tree.height == 0 {
        let mut left = tree.root.leaf()?.clone();
        let right = left.split_off(at as usize);
        return Ok((build(left), build(right)));
    }
    let children = tree.root.children(tree.height)?;
    let (number, before) = find(children, at);
    let below = Tree { height: tree.height - 1, root: children[number].clone() };
    let (left, right) = split(Some(below), at - before)?;
    let left = join(grow(tree.height - 1, children[..number].to_vec()), left)?;
    let right = join(right, grow(tree.height - 1, children[number + 1..].to_vec()))?;
    Ok((left, right))
}

/// The child in which an item is, and how many are before that child. The end of a child counts
/// as in it.
pub(super) fn find<C: Chunk>(children: &[Child<C>], at: u64) -> (usize, u64) {
    let mut before = 0;
    for (number, child) in children.iter().enumerate() {
        if at <= before + child.len {
            return (number, before);
        }
        before += child.len;
    }
    unreachable!("BUG: an index beyond the end of a rope")
}

/// Puts a few items in place of those at `from..to`. `None` if these are not in one leaf; else the
/// nodes that come of this one, of which one alone may be too small.
pub(super) fn splice<C: Chunk>(
    node: &Child<C>,
    height: u32,
    from: u64,
    to: u64,
    items: &C,
) -> Result<Option<Vec<Child<C>>>, StorageError> {
    if height == 0 {
        let mut chunk = node.leaf()?.clone();
        let mut after = chunk.split_off(from as usize);
        let after = after.split_off((to - from) as usize);
        chunk.append(items);
        chunk.append(&after);
        return Ok(Some(leaves(chunk)));
    }
    let children = node.children(height)?;
    // An item that goes away must be in the child; a new one may be at its end as well.
    let (number, before) = find(children, if from < to { from + 1 } else { from });
    let child = &children[number];
    if to > before + child.len {
        return Ok(None);
    }
    let Some(new) = splice(child, height - 1, from - before, to - before, items)? else {
        return Ok(None);
    };
    let mut children = children.to_vec();
    let is_small = new.len() == 1 && new[0].is_small(height - 1)?;
    children.splice(number..=number, new);
    if is_small && children.len() > 1 {
        let left = number.saturating_sub(1);
        let (a, b) = (&children[left], &children[left + 1]);
        let joined = join_nodes(a, height - 1, b, height - 1)?;
        children.splice(left..=left + 1, joined);
    }
    Ok(Some(branches(height, &children)))
}
