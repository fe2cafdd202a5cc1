//! Owns the three-way merge of queues. Must not know how the elements of a run are kept.
//!
//! An element is what is at one position of one lineage. So which elements the base and a side
//! have in common is found by comparing runs whose positions overlap, down one path of their
//! tries, and the result is a new list of slices of the runs that are there: nothing of the
//! elements themselves is written.

use super::run::Run;
use super::{Queue, Range};
use crate::error::StorageError;

/// Elements that the base and a side have in common.
struct Match {
    /// The run of the base.
    base: usize,
    /// The run of the side.
    side: usize,
    range: Range,
}

/// A piece of the result, with the runs of both sides in which it is.
#[derive(Clone)]
struct Piece {
    range: Range,
    first: Option<usize>,
    second: Option<usize>,
}

/// What either side popped is gone, what either pushed is there: the order is that of the first
/// side, and what only the second has follows what it follows there, after what the first pushed
/// in the same place.
pub(super) fn merge(base: &Queue, first: &Queue, second: &Queue) -> Result<Queue, StorageError> {
    let in_first = matches(base, first)?;
    let in_second = matches(base, second)?;
    let kept = kept(first, &in_first, &in_second);
    let mut added = added(second, &in_second, &kept).into_iter().peekable();
    let mut pieces = Vec::new();
    for at in 0..=kept.len() {
        while let Some((_, piece)) = added.next_if(|(gap, _)| *gap == at) {
            pieces.push(piece);
        }
        pieces.extend(kept.get(at).cloned());
    }
    let run = |piece: &Piece| {
        let Range { lo, hi } = piece.range;
        let run = match (piece.first, piece.second) {
            (Some(run), _) => &first.runs[run],
            (None, Some(run)) => &second.runs[run],
            (None, None) => unreachable!("BUG: a piece that is on neither side"),
        };
        run.slice(lo, hi)
    };
    let runs = joined(pieces).iter().map(run).collect();
    Ok(Queue { runs, next: first.next.max(second.next) })
}

/// What a side has of the base. No element of either is matched twice.
fn matches(base: &Queue, side: &Queue) -> Result<Vec<Match>, StorageError> {
    let mut found: Vec<Match> = Vec::new();
    for (b, base) in base.runs.iter().enumerate() {
        for (s, side) in side.runs.iter().enumerate() {
            if Range::of(base).and(Range::of(side)).is_none() {
                continue;
            }
            let of_base = found.iter().filter(|it| it.base == b).map(|it| it.range);
            let of_side = found.iter().filter(|it| it.side == s).map(|it| it.range);
            let free_base = Range::of(base).without(of_base.collect());
            let free_side = Range::of(side).without(of_side.collect());
            for range in overlaps(&free_base, &free_side) {
                let hi = base.agree(side, range.lo, range.hi)?;
                if hi > range.lo {
                    found.push(Match { base: b, side: s, range: Range { lo: range.lo, hi } });
                }
            }
        }
    }
    Ok(found)
}

/// The first side without what the second popped.
fn kept(first: &Queue, in_first: &[Match], in_second: &[Match]) -> Vec<Piece> {
    let mut kept = Vec::new();
    for (at, run) in first.runs.iter().enumerate() {
        let of_run = in_first.iter().filter(|it| it.side == at);
        let own = Range::of(run).without(of_run.clone().map(|it| it.range).collect());
        let own = own.into_iter().map(|range| Piece { range, first: Some(at), second: None });
        let shared = of_run.flat_map(|ours| {
            let theirs = in_second.iter().filter(|it| it.base == ours.base);
            theirs.filter_map(|theirs| {
                let range = ours.range.and(theirs.range)?;
                Some(Piece { range, first: Some(at), second: Some(theirs.side) })
            })
        });
        let mut pieces: Vec<Piece> = own.chain(shared).collect();
        pieces.sort_unstable_by_key(|piece| piece.range.lo);
        kept.extend(pieces);
    }
    kept
}

/// What only the second side has, each with the number of the piece before which it belongs.
fn added(second: &Queue, in_second: &[Match], kept: &[Piece]) -> Vec<(usize, Piece)> {
    let mut added = Vec::new();
    let mut gap = 0;
    for (at, run) in second.runs.iter().enumerate() {
        let of_run = in_second.iter().filter(|it| it.side == at).map(|it| it.range);
        let own = Range::of(run).without(of_run.collect());
        let shared = kept.iter().enumerate().filter(|(_, piece)| piece.second == Some(at));
        let mut items: Vec<(Range, Option<usize>)> =
            shared.map(|(number, piece)| (piece.range, Some(number))).collect();
        items.extend(own.into_iter().map(|range| (range, None)));
        items.sort_unstable_by_key(|(range, _)| range.lo);
        for (range, number) in items {
            if let Some(number) = number {
                gap = gap.max(number + 1);
                continue;
            }
            while kept.get(gap).is_some_and(|piece| piece.second.is_none()) {
                gap += 1;
            }
            added.push((gap, Piece { range, first: None, second: Some(at) }));
        }
    }
    added
}

/// The same with pieces joined that follow each other in one run of either side.
fn joined(pieces: Vec<Piece>) -> Vec<Piece> {
    let mut joined: Vec<Piece> = Vec::new();
    for piece in pieces {
        if let Some(last) = joined.last_mut()
            && last.range.hi == piece.range.lo
        {
            let first = last.first.filter(|_| last.first == piece.first);
            let second = last.second.filter(|_| last.second == piece.second);
            if first.is_some() || second.is_some() {
                let range = Range { lo: last.range.lo, hi: piece.range.hi };
                *last = Piece { range, first, second };
                continue;
            }
        }
        joined.push(piece);
    }
    joined
}

fn overlaps(a: &[Range], b: &[Range]) -> Vec<Range> {
    a.iter().flat_map(|a| b.iter().filter_map(|b| a.and(*b))).collect()
}

impl Range {
    fn of(run: &Run) -> Range {
        Range { lo: run.lo, hi: run.hi }
    }

    /// The positions in both, if there are any.
    fn and(self, other: Range) -> Option<Range> {
        let range = Range { lo: self.lo.max(other.lo), hi: self.hi.min(other.hi) };
        (range.lo < range.hi).then_some(range)
    }

    /// What is left when these, which do not overlap, are taken away.
    fn without(self, mut taken: Vec<Range>) -> Vec<Range> {
        taken.sort_unstable_by_key(|range| range.lo);
        let mut left = Vec::new();
        let mut lo = self.lo;
        for range in taken {
            left.extend(Range { lo, hi: range.lo }.and(self));
            lo = range.hi;
        }
        left.extend(Range { lo, hi: self.hi }.and(self));
        left
    }
}

#[cfg(test)]
mod tests {
    use super::{Piece, Range, joined};

    fn piece(lo: u64, hi: u64, first: Option<usize>, second: Option<usize>) -> Piece {
        Piece { range: Range { lo, hi }, first, second }
    }

    fn ranges(pieces: Vec<Piece>) -> Vec<(u64, u64)> {
        joined(pieces).iter().map(|piece| (piece.range.lo, piece.range.hi)).collect()
    }

    #[test]
    fn pieces_are_joined_where_they_follow_each_other_in_one_run() {
        let (a, b) = (Some(0), Some(1));
        assert_eq!(ranges(vec![piece(0, 3, a, b), piece(3, 5, a, None)]), [(0, 5)]);
        assert_eq!(ranges(vec![piece(0, 3, a, b), piece(3, 5, None, b)]), [(0, 5)]);
        // In another run, after a gap, or in no run that all three have in common.
        assert_eq!(ranges(vec![piece(0, 3, a, b), piece(3, 5, b, a)]), [(0, 3), (3, 5)]);
        assert_eq!(ranges(vec![piece(0, 3, a, b), piece(4, 5, a, b)]), [(0, 3), (4, 5)]);
        let three = vec![piece(0, 3, a, b), piece(3, 5, a, None), piece(5, 7, None, b)];
        assert_eq!(ranges(three), [(0, 5), (5, 7)]);
    }
}
