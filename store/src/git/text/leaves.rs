//! Owns the line that says how a rope is cut into leaves, where that is not as of a rope that was
//! made at once. Must not know what is in them.

use super::lines::{Wrong, wrong};
use crate::contents::Shape;

/// How a line begins that says it.
pub(super) const LEAVES: &str = "% leaves ";

/// More branches inside each other than any rope has.
const DEPTH_MAX: usize = 64;

/// The line, without its end.
pub(super) fn write(shape: &Shape) -> String {
    let mut text = LEAVES.to_owned();
    push(shape, &mut text);
    text
}

fn push(shape: &Shape, text: &mut String) {
    match shape {
        Shape::Leaf(None) => text.push('*'),
        Shape::Leaf(Some(count)) => *text += &count.to_string(),
        Shape::Branch(children) => {
            for (at, child) in children.iter().enumerate() {
                text.push(if at == 0 { '(' } else { ' ' });
                push(child, text);
            }
            text.push(')');
        }
    }
}

/// What a line with this number says that begins so.
pub(super) fn read(number: usize, line: &str) -> Result<Shape, Wrong> {
    let say = || wrong(number, "`% leaves` and sizes, as in ((700 650) (300 *))");
    let text = line.strip_prefix(LEAVES).ok_or_else(say)?;
    // What is open, from the outside in.
    let mut open: Vec<Vec<Shape>> = Vec::new();
    let (mut whole, mut rest) = (None, text);
    while !rest.is_empty() {
        if whole.is_some() {
            return Err(say());
        }
        let end = rest.find(['(', ')', ' ']).unwrap_or(rest.len()).max(1);
        let (word, after) = rest.split_at_checked(end).ok_or_else(say)?;
        rest = after;
        let shape = match word {
            "(" if open.len() < DEPTH_MAX => {
                open.push(Vec::new());
                continue;
            }
            " " => continue,
            ")" => Shape::Branch(open.pop().ok_or_else(say)?),
            "*" => Shape::Leaf(None),
            count => Shape::Leaf(Some(count.parse().map_err(|_| say())?)),
        };
        match open.last_mut() {
            Some(children) => children.push(shape),
            None => whole = Some(shape),
        }
    }
    whole.ok_or_else(say)
}

/// What is wrong where a rope cannot be cut as the line with this number says.
pub(super) fn misfit(number: usize, why: &str) -> Wrong {
    wrong(number, format!("{why}: remove this line, to have the leaves made anew"))
}
