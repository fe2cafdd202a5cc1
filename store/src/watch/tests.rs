//! Owns the tests of what publishers tell in another order than they published in.

use super::*;
use crate::backend::{HeadChange, Memory};

#[test]
fn who_tells_late_does_not_move_the_head_back() {
    let source = Source(Arc::new(Memory::new()));
    let branch = BranchName::new("main").unwrap();
    let watches = Watches::default();
    let mut watch = watches.watch(&branch, &source).unwrap();
    let [a, b] = [b"c\x01ba", b"c\x01bb"].map(|bytes| {
        source.put(&Id::of(bytes), bytes).unwrap();
        Some(Id::of(bytes))
    });
    for (old, new) in [(None, a), (a, b)] {
        let change = HeadChange { branch: branch.clone(), old, new };
        assert!(source.set_heads(&[change]).unwrap());
    }
    let moved = |old, new| HeadMoved { branch: branch.clone(), old, new };
    watches.ring(&[moved(a, b)], &source);
    assert_eq!(watch.try_next(), Some(moved(None, b)));
    watches.ring(&[moved(None, a)], &source);
    assert_eq!(watch.try_next(), None);
}
