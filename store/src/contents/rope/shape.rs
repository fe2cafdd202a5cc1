//! Owns how a rope is cut into leaves and branches, apart from what is in them: for those who
//! write a rope down in another form. Must not know that form.

use super::Rope;
use super::chunk::Chunk;
use super::node::{BRANCH_MAX, Child, HEIGHT_MAX, LEAF_MAX, Node};
use crate::error::StorageError;

/// A leaf, or a branch of at least two.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// So many items; all that are left, in the last leaf.
    Leaf(Option<u64>),
    Branch(Vec<Shape>),
}

impl<C: Chunk> Rope<C> {
    /// How it is cut. Each leaf is shown.
    pub(crate) fn shape(
        &self,
        see: &mut dyn FnMut(&C) -> Result<(), StorageError>,
    ) -> Result<Shape, StorageError> {
        let mut shape = shape(&self.root, see)?;
        let mut last = &mut shape;
        while let Shape::Branch(children) = last {
            last = children.last_mut().expect("BUG: a branch without children");
        }
        *last = Shape::Leaf(None);
        Ok(shape)
    }

    /// A rope cut so, of the items that are taken in turn; or why it cannot be.
    pub(crate) fn shaped(
        shape: &Shape,
        take: &mut dyn FnMut(Option<u64>) -> Option<C>,
    ) -> Result<Rope<C>, &'static str> {
        Ok(Rope { root: node(shape, take)? })
    }
}

fn shape<C: Chunk>(
    node: &Node<C>,
    see: &mut dyn FnMut(&C) -> Result<(), StorageError>,
) -> Result<Shape, StorageError> {
    match node {
        Node::Leaf(chunk) => {
            see(chunk)?;
            Ok(Shape::Leaf(Some(chunk.count() as u64)))
        }
        Node::Branch { height, children } => {
            let children = children.iter().map(|child| shape(child.load(height - 1)?, see));
            Ok(Shape::Branch(children.collect::<Result<_, StorageError>>()?))
        }
    }
}

fn node<C: Chunk>(
    shape: &Shape,
    take: &mut dyn FnMut(Option<u64>) -> Option<C>,
) -> Result<Node<C>, &'static str> {
    match shape {
        Shape::Leaf(count) => {
            let chunk = take(*count).ok_or("there is less than the leaves say")?;
            if chunk.weight() > LEAF_MAX {
                return Err("more than there may be in a leaf");
            }
            Ok(Node::Leaf(chunk))
        }
        Shape::Branch(below) => {
            if !(2..=BRANCH_MAX).contains(&below.len()) {
                return Err("too many or too few in a branch");
            }
            let mut children: Vec<Child<C>> = Vec::with_capacity(below.len());
            let mut height = None;
            for shape in below {
                let node = node(shape, take)?;
                if node.len() == 0 {
                    return Err("a leaf with nothing in it");
                }
                if *height.get_or_insert(node.height()) != node.height() {
                    return Err("leaves at different heights");
                }
                children.push(Child::new(node));
            }
            let height = height.map_or(0, |below| below + 1);
            if u64::from(height) > HEIGHT_MAX {
                return Err("too many branches inside each other");
            }
            Ok(Node::Branch { height, children })
        }
    }
}
