//! Owns the tests of fetch, push and pull: between stores of every kind, and cut off anywhere.

pub(crate) mod messages;

use std::collections::BTreeMap;
use std::sync::Arc;

use jitsu_store::backend::{Backend, Fault as DiskFault, Faulty, Log, Memory};
use jitsu_store::sync::{Message, Peer, Pulled, Pushed, Server, SyncError};
use jitsu_store::{BranchName, Contents, Queue, StorageError, Store, Tree};
use proptest::prelude::*;

use crate::conformance::small;
use crate::counted::Counted;
use crate::disk::{Left, SimDisk};
use crate::fixture::{all, at, branch, path, text, tree, walk, write};

/// A store of one of the kinds there are.
fn store(kind: usize) -> Store {
    let backend: Arc<dyn Backend> = match kind % 4 {
        0 => return Store::memory(),
        1 => Arc::new(Memory::new()),
        2 => Arc::new(Log::open_on(Arc::new(SimDisk::new()), small()).unwrap()),
        // Refuses an object before what it refers to.
        _ => Arc::new(Counted::default()),
    };
    Store::on(backend).unwrap()
}

/// A line that counts what goes over it, and is cut after so many messages.
struct Line {
    server: Server,
    messages_left: usize,
    calls: usize,
    objects: usize,
    bytes: usize,
}

#[derive(Debug, thiserror::Error)]
#[error("the line is cut")]
struct Cut;

impl Line {
    fn to(store: &Store) -> Line {
        Line::cut_after(store, usize::MAX)
    }

    fn cut_after(store: &Store, messages_left: usize) -> Line {
        Line { server: Server::new(store), messages_left, calls: 0, objects: 0, bytes: 0 }
    }

    /// Carries a message, as bytes.
    fn carry(&mut self, message: &Message) -> Result<Message, SyncError> {
        self.messages_left =
            self.messages_left.checked_sub(1).ok_or_else(|| SyncError::Peer(Box::new(Cut)))?;
        if let Message::Slice(objects) = message {
            self.objects += objects.len();
        }
        let bytes = message.encode();
        self.bytes += bytes.len();
        Ok(Message::decode(&bytes)?)
    }
}

impl Peer for Line {
    fn call(&mut self, message: Message) -> Result<Message, SyncError> {
        self.calls += 1;
        let message = self.carry(&message)?;
        let answer = self.server.answer(&message)?;
        self.carry(&answer)
    }
}

#[derive(Clone, Debug)]
enum Action {
    Edit { store: usize, branch: usize, key: u16, long: bool },
    Push { store: usize, branch: usize, count: usize },
    Merge { store: usize, into: usize, from: usize },
    PullFrom { store: usize, from: usize, branch: usize },
    PushTo { store: usize, to: usize, branch: usize },
}

fn action() -> impl Strategy<Value = Action> {
    let (store, branch) = (0..3usize, 0..2usize);
    prop_oneof![
        4 => (store.clone(), branch.clone(), 0..200u16, any::<bool>())
            .prop_map(|(store, branch, key, long)| Action::Edit { store, branch, key, long }),
        2 => (store.clone(), branch.clone(), 1..100usize)
            .prop_map(|(store, branch, count)| Action::Push { store, branch, count }),
        1 => (store.clone(), branch.clone(), branch.clone())
            .prop_map(|(store, into, from)| Action::Merge { store, into, from }),
        3 => (store.clone(), store.clone(), branch.clone())
            .prop_map(|(store, from, branch)| Action::PullFrom { store, from, branch }),
        2 => (store.clone(), store, branch)
            .prop_map(|(store, to, branch)| Action::PushTo { store, to, branch }),
    ]
}

fn name(number: usize) -> BranchName {
    branch(["main", "side/one"][number])
}

/// Does something at a time that nothing else has.
fn act(stores: &[Store], action: &Action, time: u64) {
    match *action {
        Action::Edit { store, branch, key, long } => {
            // Everybody writes elsewhere, so that nothing conflicts.
            let at_path = path(&format!("{store}/{branch}/{key}"));
            let value = text(&if long { format!("{time:0200}") } else { time.to_string() });
            let set = |tree: &mut Tree| tree.set(&at_path, value.clone());
            stores[store].update(&name(branch), at(time), set).unwrap();
        }
        Action::Push { store, branch, count } => {
            let push = |tree: &mut Tree| {
                let mut queue = match tree.get(&path("queue")).unwrap() {
                    Some(Contents::Queue(queue)) => queue,
                    _ => Queue::new(),
                };
                (0..count).for_each(|at| queue.push(text(&format!("{time} {at}"))).unwrap());
                tree.set(&path("queue"), Contents::Queue(queue))
            };
            stores[store].update(&name(branch), at(time), push).unwrap();
        }
        Action::Merge { store, into, from } => {
            if let Some(from) = stores[store].head(&name(from)).unwrap() {
                stores[store].merge(&name(into), &from, at(time)).unwrap();
            }
        }
        Action::PullFrom { store, from, branch } => {
            let pulled =
                stores[store].pull(&mut Line::to(&stores[from]), &name(branch), &at(time)).unwrap();
            let theirs = stores[from].head(&name(branch)).unwrap();
            let ours = stores[store].head(&name(branch)).unwrap();
            match (pulled, theirs, ours) {
                (Pulled::NoBranch, None, _) => {}
                (Pulled::Already, Some(theirs), Some(ours)) => {
                    assert!(stores[store].is_ancestor(&theirs.id(), &ours.id()).unwrap());
                }
                (Pulled::Forward(commit), Some(theirs), Some(ours)) => {
                    assert_eq!((commit.id(), ours.id()), (theirs.id(), theirs.id()));
                    assert_eq!(all(&ours.tree()), all(&theirs.tree()));
                }
                (Pulled::Merged(commit), Some(theirs), Some(ours)) => {
                    assert_eq!(commit.id(), ours.id());
                    assert_eq!(ours.parents()[1], theirs.id());
                }
                (pulled, theirs, ours) => panic!("{pulled:?}: {theirs:?} to {ours:?}"),
            }
        }
        Action::PushTo { store, to, branch } => {
            let before = stores[to].head(&name(branch)).unwrap().map(|head| head.id());
            let Some(ours) = stores[store].head(&name(branch)).unwrap() else { return };
            let pushed = stores[store].push(&mut Line::to(&stores[to]), &name(branch)).unwrap();
            let after = stores[to].head(&name(branch)).unwrap().map(|head| head.id());
            match pushed {
                Pushed::Moved => assert!(after != before && after == Some(ours.id())),
                Pushed::Already => assert!(after == before && after == Some(ours.id())),
                Pushed::Behind(head) => {
                    assert_eq!((after, before), (Some(head), Some(head)));
                    assert!(!stores[to].is_ancestor(&head, &ours.id()).unwrap());
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn stores_of_all_kinds_come_together(
        actions in prop::collection::vec(action(), 1..40),
        kinds in prop::array::uniform3(0..4usize),
    ) {
        let stores = kinds.map(store);
        let mut time = 0;
        for action in &actions {
            time += 1;
            act(&stores, action, time);
        }
        // Around once and back: then all have everything.
        for (store, from) in [(1, 0), (2, 1), (1, 2), (0, 1)] {
            for branch in 0..2 {
                time += 1;
                act(&stores, &Action::PullFrom { store, from, branch }, time);
            }
        }
        let heads = walk(&stores[0]);
        for store in &stores {
            prop_assert_eq!(&walk(store), &heads);
            for head in heads.values() {
                let [here, there] = [store, &stores[0]]
                    .map(|store| all(&store.commit(head).unwrap().unwrap().tree()));
                prop_assert_eq!(here, there);
            }
        }
    }
}

/// A store with so many commits, each of which writes one of so many keys.
fn filled(kind: usize, commits: usize, keys: usize) -> Store {
    let store = store(kind);
    for number in 0..commits {
        let at_path = format!("keys/{}", number % keys);
        write(&store, "main", &at_path, &format!("{number:0100}"), number as u64);
    }
    store
}

#[test]
fn a_line_that_is_cut_anywhere_loses_nothing_and_the_next_one_goes_on() {
    let from = filled(1, 300, 700);
    let head = from.head(&branch("main")).unwrap().unwrap().id();
    let whole = {
        let mut line = Line::to(&from);
        store(3).fetch(&mut line, &branch("main")).unwrap().unwrap();
        (line.calls * 2, line.objects)
    };
    assert!(whole.0 > 20, "{whole:?} is too short for a test");
    for messages in 0..whole.0 {
        let to = store(messages);
        let mut line = Line::cut_after(&from, messages);
        let cut = to.fetch(&mut line, &branch("main")).unwrap_err();
        assert!(matches!(cut, SyncError::Peer(_)), "{cut}");
        assert!(walk(&to).is_empty());
        let mut again = Line::to(&from);
        let fetched = to.fetch(&mut again, &branch("main")).unwrap().unwrap();
        assert_eq!(fetched.id(), head);
        assert_eq!(all(&fetched.tree()).len(), 300);
        // The answer that did not come through was sent in vain.
        assert!(line.objects + again.objects <= whole.1 + 1500, "{messages}: sent again");
        assert!(again.objects <= whole.1);
    }
}

/// Of which of its commits a branch has the trees, the newest first.
fn trees(store: &Store) -> Vec<bool> {
    let head = store.head(&branch("main")).unwrap().unwrap().id();
    let commits = store.log(&head).map(Result::unwrap);
    let has = commits.map(|commit| {
        let has = store.keeps_tree(&commit).unwrap();
        assert!(!has || commit.tree().entries().all(|entry| entry.is_ok()), "half a tree");
        has
    });
    has.collect()
}

fn fetch_newest(to: &Store, line: &mut Line, count: u64) -> Result<(), SyncError> {
    let fetched = to.fetch_newest(line, &branch("main"), count)?.expect("the branch is there");
    let mut batch = to.batch();
    batch.set(&branch("main"), &fetched).unwrap();
    batch.publish().unwrap();
    Ok(())
}

#[test]
fn the_trees_of_the_newest_commits_come_alone_and_the_next_ones_when_asked_for() {
    let from = filled(1, 40, 1000);
    let head = from.head(&branch("main")).unwrap().unwrap();
    let mut all_of_it = Line::to(&from);
    store(1).fetch(&mut all_of_it, &branch("main")).unwrap();
    // The last kind refuses a commit before its tree.
    for kind in 0..3 {
        let to = store(kind);
        let mut sent = Vec::new();
        for (asked, newest) in [(0, 1), (1, 1), (3, 3), (30, 30), (30, 30), (u64::MAX, 40)] {
            let mut line = Line::to(&from);
            fetch_newest(&to, &mut line, asked).unwrap();
            let expected: Vec<bool> = (0..40).map(|at| at < newest).collect();
            assert_eq!(trees(&to), expected, "{kind}: {asked}");
            sent.push(line.objects);
        }
        // What is there does not come again, and everything comes once.
        assert_eq!((sent[1], sent[4]), (0, 0), "{sent:?}");
        assert_eq!(sent.iter().sum::<usize>(), all_of_it.objects, "{sent:?}");
        assert!(sent[0] < all_of_it.objects * 2 / 3, "{sent:?} of {}", all_of_it.objects);
        assert_eq!(walk(&to)[&branch("main")], head.id());
    }
}

#[test]
fn who_has_the_newest_trees_alone_goes_on_from_there() {
    let from = filled(1, 40, 1000);
    let disk = Arc::new(SimDisk::new());
    let log = Arc::new(Log::open_on(disk.clone(), small()).unwrap());
    let to = Store::on(log.clone()).unwrap();
    fetch_newest(&to, &mut Line::to(&from), 2).unwrap();
    log.collect().unwrap();
    assert!(jitsu_store::backend::fsck_on(&*disk).unwrap().is_whole());
    // Both go on, and meet: the base is a commit that has its tree.
    write(&to, "main", "here", "ours", 50);
    write(&from, "main", "there", "theirs", 51);
    let pulled = to.pull(&mut Line::to(&from), &branch("main"), &at(52)).unwrap();
    assert!(matches!(pulled, Pulled::Merged(_)), "{pulled:?}");
    assert_eq!(trees(&to).iter().filter(|has| **has).count(), 5);
    let pushed = to.push(&mut Line::to(&from), &branch("main")).unwrap();
    assert_eq!(pushed, Pushed::Moved);
    assert_eq!(
        walk(&from).get(&branch("main")),
        Some(&to.head(&branch("main")).unwrap().unwrap().id())
    );
    // A third store gets from it what it has.
    let third = store(2);
    third.pull(&mut Line::to(&to), &branch("main"), &at(53)).unwrap();
    assert_eq!(trees(&third), trees(&to));
    fetch_newest(&third, &mut Line::to(&from), u64::MAX).unwrap();
    assert!(trees(&third).iter().all(|has| *has));
    // What came is there for who opens it again, though no branch moved.
    to.fetch_newest(&mut Line::to(&from), &branch("main"), u64::MAX).unwrap();
    let again = Log::open_on(Arc::new(disk.crash(Left::None)), small()).unwrap();
    assert!(trees(&Store::on(Arc::new(again)).unwrap()).iter().all(|has| *has));
}

#[test]
fn the_newest_trees_come_at_last_whenever_the_line_is_cut() {
    let from = filled(1, 40, 1000);
    for messages in 0.. {
        let to = store(messages % 3);
        let cut = fetch_newest(&to, &mut Line::cut_after(&from, messages), 3);
        fetch_newest(&to, &mut Line::to(&from), 3).unwrap();
        let has = trees(&to);
        assert!(has[..3].iter().all(|has| *has), "{messages}");
        assert!(!has[3], "{messages}");
        let again = fetch_newest(&to, &mut Line::cut_after(&from, messages), u64::MAX);
        if again.is_err() {
            fetch_newest(&to, &mut Line::to(&from), u64::MAX).unwrap();
        }
        assert!(trees(&to).iter().all(|has| *has), "{messages}");
        if cut.is_ok() && again.is_ok() {
            assert!(messages > 8);
            break;
        }
    }
}

/// A line on which the receiver's log is collected after so many messages.
struct Collecting {
    server: Server,
    log: Arc<Log>,
    messages_left: usize,
}

impl Peer for Collecting {
    fn call(&mut self, message: Message) -> Result<Message, SyncError> {
        let answer = self.server.answer(&message);
        if self.messages_left == 0 {
            self.log.collect().unwrap();
        }
        self.messages_left = self.messages_left.wrapping_sub(1);
        answer
    }
}

#[test]
fn a_collection_in_the_middle_costs_a_second_try_at_most() {
    let from = filled(1, 300, 700);
    let mut overtaken = 0;
    for messages_left in (0..).step_by(3) {
        let disk = Arc::new(SimDisk::new());
        let log = Arc::new(Log::open_on(disk.clone(), small()).unwrap());
        let to = Store::on(log.clone()).unwrap();
        write(&to, "other", "a", "kept", 1);
        let mut line = Collecting { server: Server::new(&from), log, messages_left };
        match to.pull(&mut line, &branch("main"), &at(0)) {
            Ok(Pulled::Forward(_)) => {}
            Err(SyncError::Storage(StorageError::Outrun)) => {
                overtaken += 1;
                to.pull(&mut line, &branch("main"), &at(0)).unwrap();
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(walk(&to)[&branch("main")], walk(&from)[&branch("main")]);
        assert!(jitsu_store::backend::fsck_on(&*disk).unwrap().is_whole());
        if line.messages_left < usize::MAX / 2 {
            // It was over before.
            assert!(overtaken > 0, "{overtaken}");
            return;
        }
    }
}

#[test]
fn a_push_that_is_cut_anywhere_moves_the_branch_or_does_not() {
    let from = filled(1, 20, 20);
    let head = from.head(&branch("main")).unwrap().unwrap().id();
    for messages in 0.. {
        let to = store(messages);
        let pushed = from.push(&mut Line::cut_after(&to, messages), &branch("main"));
        let moved = to.head(&branch("main")).unwrap().map(|head| head.id());
        walk(&to);
        match pushed {
            Ok(pushed) => {
                assert_eq!((pushed, moved), (Pushed::Moved, Some(head)));
                assert!(messages > 8);
                break;
            }
            Err(SyncError::Peer(_)) => assert!(moved.is_none_or(|moved| moved == head)),
            Err(other) => panic!("{other}"),
        }
        let again = from.push(&mut Line::to(&to), &branch("main")).unwrap();
        assert_eq!(again == Pushed::Already, moved.is_some());
        assert_eq!(walk(&to), BTreeMap::from([(branch("main"), head)]));
    }
}

#[test]
fn a_receiver_whose_disk_fails_at_any_write_stays_whole() {
    let from = filled(1, 30, 10);
    for (fault, writes) in (0..).flat_map(|at| [(DiskFault::Fail, at), (DiskFault::Tear, at)]) {
        let memory = Arc::new(Counted::default());
        let to = Store::on(Arc::new(Faulty::new(memory.clone(), writes, fault))).unwrap();
        let pulled = to.pull(&mut Line::to(&from), &branch("main"), &at(0));
        let to = Store::on(memory).unwrap();
        match pulled {
            Ok(_) => {
                assert_eq!(walk(&to), walk(&from));
                assert!(writes > 60);
                return;
            }
            Err(SyncError::Storage(_)) => drop(walk(&to)),
            Err(other) => panic!("{other}"),
        }
        to.pull(&mut Line::to(&from), &branch("main"), &at(0)).unwrap();
        assert_eq!(walk(&to), walk(&from));
    }
}

#[test]
fn the_cost_follows_the_difference() {
    for (from, to) in [(0, 1), (1, 0), (2, 3), (0, 0)] {
        let (from, to) = (filled(from, 1000, 500), store(to));
        let mut line = Line::to(&from);
        to.pull(&mut line, &branch("main"), &at(0)).unwrap();
        assert!(line.objects > 3000);
        let mut line = Line::to(&from);
        assert!(matches!(to.pull(&mut line, &branch("main"), &at(0)).unwrap(), Pulled::Already));
        assert_eq!((line.calls, line.objects), (2, 0));
        write(&from, "main", "keys/7", "changed", 5000);
        let mut line = Line::to(&from);
        to.pull(&mut line, &branch("main"), &at(0)).unwrap();
        // The commit, its root, and what leads to the key.
        assert!(line.objects <= 5 && line.bytes < 6000, "{} {}", line.objects, line.bytes);
        assert!(line.calls <= 10, "{}", line.calls);
        // Back: of three commits.
        (0..3).for_each(|n| drop(write(&to, "main", "keys/9", &n.to_string(), 6000 + n)));
        let mut line = Line::to(&from);
        assert_eq!(to.push(&mut line, &branch("main")).unwrap(), Pushed::Moved);
        assert!(line.objects <= 15 && line.calls <= 14, "{} {}", line.objects, line.calls);
    }
}

#[test]
fn a_long_history_takes_few_turns() {
    let from = store(1);
    (0..5000).for_each(|time| drop(write(&from, "main", "key", "value", time)));
    let mut line = Line::to(&from);
    store(1).pull(&mut line, &branch("main"), &at(0)).unwrap();
    assert!(line.calls < 80, "{}", line.calls);
}

#[test]
fn a_branch_that_has_more_is_not_moved_back() {
    let (here, there) = (store(0), store(1));
    let old = write(&here, "main", "a", "1", 1);
    assert!(matches!(here.push(&mut Server::new(&there), &branch("main")).unwrap(), Pushed::Moved));
    let more = write(&there, "main", "b", "2", 2);
    assert_eq!(
        here.push(&mut Server::new(&there), &branch("main")).unwrap(),
        Pushed::Behind(more.id())
    );
    assert_eq!(there.head(&branch("main")).unwrap().unwrap().id(), more.id());
    assert_eq!(here.head(&branch("main")).unwrap().unwrap().id(), old.id());
    assert!(here.commit(&more.id()).unwrap().is_none(), "a push brings nothing here");
    let missing = here.push(&mut Server::new(&there), &branch("none")).unwrap_err();
    assert_eq!(missing.to_string(), "there is no branch none");
    let none = here.pull(&mut Server::new(&there), &branch("none"), &at(3)).unwrap();
    assert!(matches!(none, Pulled::NoBranch));
}

#[test]
fn a_pull_that_conflicts_says_where_and_moves_nothing() {
    let (here, there) = (store(0), store(1));
    write(&here, "main", "a", "here", 1);
    write(&there, "main", "a", "there", 1);
    let pulled = here.pull(&mut Server::new(&there), &branch("main"), &at(2)).unwrap();
    let Pulled::Conflicts(conflicts) = pulled else { panic!("{pulled:?}") };
    assert_eq!(conflicts[0].path, path("a"));
    assert_eq!(here.head(&branch("main")).unwrap().unwrap().tree(), tree(&[("a", "here")]));
}
