//! The order in which a graph is drawn: every commit before its parents, and the commits of one
//! line together, so that few lanes are open at a time.
//!
//! Owns that order. It must not know what a commit is.

use std::collections::HashMap;
use std::hash::Hash;

/// Commits and their parents, in the order to draw them. They come in any order in which the
/// first is that which all others lead up to.
///
/// All of a history has to be known before the second commit of it can be told: what a branch
/// that was merged often came from may be as old as the first.
pub(crate) fn by_line<T: Copy + Eq + Hash>(commits: Vec<(T, Vec<T>)>) -> Vec<(T, Vec<T>)> {
    let mut ready: Vec<T> = commits.first().map(|(first, _)| *first).into_iter().collect();
    let mut children: HashMap<T, usize> = HashMap::new();
    for parent in commits.iter().flat_map(|(_, parents)| parents) {
        *children.entry(*parent).or_default() += 1;
    }
    let mut left: HashMap<T, Vec<T>> = commits.into_iter().collect();
    let mut ordered = Vec::with_capacity(left.len());
    while let Some(commit) = ready.pop() {
        let Some(parents) = left.remove(&commit) else { continue };
        for parent in &parents {
            let drawn = children.get_mut(parent).expect("BUG: a parent that was not counted");
            *drawn -= 1;
            if *drawn == 0 {
                ready.push(*parent);
            }
        }
        ordered.push((commit, parents));
    }
    ordered
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_merged_is_told_before_what_it_was_merged_into() {
        // 9 merges 8 into 7, 7 merges 6 into 5; 8 follows 6, and 5 and 6 follow 4.
        let commits: [(u32, &[u32]); 6] =
            [(9, &[7, 8]), (7, &[5, 6]), (8, &[6]), (5, &[4]), (6, &[4]), (4, &[])];
        let commits = commits.map(|(commit, parents)| (commit, parents.to_vec()));
        let ordered = by_line(commits.to_vec());
        let order: Vec<u32> = ordered.iter().map(|(commit, _)| *commit).collect();
        assert_eq!(order, [9, 8, 7, 6, 5, 4]);
        assert_eq!(ordered[2].1, [5, 6]);
        assert_eq!(by_line::<u32>(Vec::new()), []);
    }
}
