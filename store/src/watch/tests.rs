//! Owns the tests of what publishers tell in another order than they published in.

use super::*;
use crate::commit::Meta;
use crate::history::Values;
use crate::tree::Tree;

#[test]
fn who_tells_late_does_not_move_the_head_back() {
    let history = History::Values(Values::default());
    let branch = BranchName::new("main").unwrap();
    let watches = Watches::default();
    let mut watch = watches.watch(&branch, &history).unwrap();
    let [a, b] = [1, 2].map(|time_ms| {
        let meta = Meta { time_ms, ..Meta::default() };
        Some(history.create(1, &[], Tree::empty(), meta).unwrap().0)
    });
    let moved = |old: &Option<Commit>, new: &Option<Commit>| Moved {
        branch: branch.clone(),
        old: old.clone(),
        new: new.clone(),
    };
    for (old, new) in [(&None, &a), (&a, &b)] {
        assert!(history.set_heads(1, &[moved(old, new)]).unwrap());
    }
    watches.ring(&[moved(&a, &b)], &history);
    assert_eq!(watch.try_next(), Some(HeadMoved::of(&moved(&None, &b))));
    watches.ring(&[moved(&None, &a)], &history);
    assert_eq!(watch.try_next(), None);
}
