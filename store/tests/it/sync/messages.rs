//! Owns the tests of what a store is told over a line: by those who send what they should not, out
//! of turn, or in bytes that are no message.

use std::sync::Arc;

use jitsu_store::backend::{Backend, Memory};
use jitsu_store::sync::{self, Fault, Message, Peer, Pushed, Server, Stream, SyncError};
use jitsu_store::{Id, Store, references};
use proptest::prelude::*;

use super::{filled, store};
use crate::fixture::{at, branch, walk, write};

/// The objects of a store's `main`, each after what it refers to, and its head.
fn objects(store: &Store) -> (Vec<Vec<u8>>, Id) {
    let memory = Arc::new(Memory::new());
    let copy = Store::on(memory.clone()).unwrap();
    let head = copy.fetch(&mut Server::new(store), &branch("main")).unwrap().unwrap().id();
    let (mut order, mut line) = (Vec::new(), vec![head]);
    while let Some(id) = line.pop() {
        let bytes = memory.get(&id).unwrap().unwrap();
        line.extend(references(&bytes).unwrap());
        order.retain(|object: &Vec<u8>| **object != *bytes);
        order.push(bytes.to_vec());
    }
    order.reverse();
    (order, head)
}

/// Gives these objects, all of which are offered, to a store.
pub(crate) fn give(to: &Store, objects: &[Vec<u8>], head: Id) -> Result<Message, SyncError> {
    let mut server = Server::new(to);
    server.answer(&Message::Give(branch("main")))?;
    server.answer(&Message::Offer(objects.iter().map(|object| Id::of(object)).collect()))?;
    server.answer(&Message::Slice(objects.to_vec()))?;
    server.answer(&Message::Head(head))
}

fn fault(given: Result<Message, SyncError>) -> Fault {
    match given {
        Err(SyncError::Object { fault, .. }) => fault,
        other => panic!("{other:?}"),
    }
}

/// The bytes of a commit without metadata.
pub(crate) fn bytes_of_commit(tree: Id, parents: &[Id], generation: u8) -> Vec<u8> {
    let mut bytes = b"k\x01".to_vec();
    bytes.extend(tree.as_bytes());
    bytes.push(parents.len() as u8);
    parents.iter().for_each(|parent| bytes.extend(parent.as_bytes()));
    bytes.extend([generation, 0, 0, 0, 0]);
    bytes
}

#[test]
fn what_is_not_sound_is_refused_by_name() {
    let from = filled(1, 3, 3);
    let (sound, head) = objects(&from);
    for kind in 0..4 {
        assert!(matches!(give(&store(kind), &sound, head), Ok(Message::Moved(_))));
        let to = store(kind);
        // Before what it refers to.
        let last = sound.last().unwrap().clone();
        assert!(matches!(fault(give(&to, &[last], head)), Fault::Refers(_)));
        // Nothing of it came.
        assert_eq!(fault(give(&to, &[], head)), Fault::Missing);
        // Bytes that are no object, or no canonical one.
        assert!(matches!(fault(give(&to, &[b"nonsense".to_vec()], head)), Fault::Decode(_)));
        let mut trailing = sound.last().unwrap().clone();
        trailing.push(0);
        assert!(matches!(fault(give(&to, &[trailing], head)), Fault::Decode(_)));
        // What nobody asked for.
        let mut server = Server::new(&to);
        server.answer(&Message::Give(branch("main"))).unwrap();
        assert_eq!(fault(server.answer(&Message::Slice(sound.clone()))), Fault::Unasked);
        // A generation that skips one; a tree that is a commit; a parent that is a tree.
        give(&to, &sound, head).unwrap();
        let tree = from.commit(&head).unwrap().unwrap().tree().id();
        let wrong = [
            (bytes_of_commit(tree, &[head], 9), Fault::Generation(4)),
            (bytes_of_commit(tree, &[head], 3), Fault::Generation(4)),
            (bytes_of_commit(head, &[head], 4), Fault::Kind(head)),
            (bytes_of_commit(tree, &[tree], 4), Fault::Kind(tree)),
        ];
        for (bytes, wanted) in wrong {
            let id = Id::of(&bytes);
            assert_eq!(fault(give(&to, &[bytes], id)), wanted);
            assert!(to.commit(&id).unwrap().is_none());
        }
        let right = bytes_of_commit(tree, &[head], 4);
        assert!(matches!(
            give(&to, std::slice::from_ref(&right), Id::of(&right)),
            Ok(Message::Moved(_))
        ));
        assert_eq!(walk(&to)[&branch("main")], Id::of(&right));
    }
}

#[test]
fn messages_out_of_turn_are_refused_and_end_what_was_under_way() {
    let (from, to) = (filled(1, 3, 3), store(1));
    let head = from.head(&branch("main")).unwrap().unwrap().id();
    let mut server = Server::new(&from);
    for message in [Message::Taken, Message::Head(head), Message::Has(vec![]), Message::Unknown] {
        let error = server.answer(&message).unwrap_err();
        assert!(matches!(error, SyncError::Unexpected(_)), "{error}");
    }
    assert!(matches!(server.answer(&Message::Want(branch("main"))), Ok(Message::Offer(_))));
    let error = server.answer(&Message::Has(vec![false; 7])).unwrap_err();
    assert_eq!(error.to_string(), "what is there is no answer to what was said");
    assert!(server.answer(&Message::Has(vec![false])).is_err());
    assert!(to.pull(&mut server, &branch("main"), &at(0)).is_ok(), "a want begins anew");
}

fn message() -> impl Strategy<Value = Message> {
    let id = any::<[u8; 32]>().prop_map(Id::from_bytes);
    prop_oneof![
        Just(Message::Want(branch("main"))),
        any::<u64>().prop_map(|trees| Message::WantNewest(branch("main"), trees)),
        Just(Message::Give(branch("main"))),
        Just(Message::Unknown),
        Just(Message::List),
        prop::collection::vec(id.clone(), 0..3).prop_map(|ids| {
            Message::Branches(ids.into_iter().map(|id| (branch("main"), id)).collect())
        }),
        prop::collection::vec(id.clone(), 0..5).prop_map(Message::Offer),
        prop::collection::vec(any::<bool>(), 0..5).prop_map(Message::Has),
        prop::collection::vec(prop::collection::vec(any::<u8>(), 2..50), 0..3)
            .prop_map(Message::Slice),
        Just(Message::Taken),
        id.clone().prop_map(Message::Head),
        id.prop_map(Message::Behind),
    ]
}

#[test]
fn a_stream_carries_messages_and_what_went_wrong() {
    let (from, to) = (filled(1, 300, 700), store(1));
    let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    let answering = std::thread::spawn({
        let mut server = Server::new(&from);
        move || sync::serve(&mut server, &mut &theirs, &mut &theirs)
    });
    let mut stream = Stream::new(&ours, &ours);
    let heads = sync::branches(&mut stream).unwrap();
    assert_eq!(heads, from.branches().unwrap());
    to.pull(&mut stream, &branch("main"), &at(0)).unwrap();
    assert_eq!(walk(&to), walk(&from));
    let error = stream.call(Message::Taken).unwrap_err().to_string();
    assert_eq!(error, "the other store says: a receipt is no answer to what was said");
    write(&to, "main", "a", "b", 1000);
    assert_eq!(to.push(&mut stream, &branch("main")).unwrap(), Pushed::Moved);
    assert_eq!(walk(&to), walk(&from));
    drop(ours);
    answering.join().unwrap().unwrap();
}

#[test]
fn a_stream_that_ends_or_lies_is_told() {
    let mut server = Server::new(&store(1));
    let mut serve = |bytes: &[u8]| {
        let mut out = Vec::new();
        sync::serve(&mut server, &mut &*bytes, &mut out).map(|()| out).map_err(|e| e.to_string())
    };
    assert_eq!(serve(b""), Ok(vec![]));
    assert_eq!(serve(b"\x05\0"), Err("unexpected end of file".into()));
    assert_eq!(serve(b"\x05\0\0\0mx"), Err("unexpected end of file".into()));
    let huge = serve(&[0xff; 8]).unwrap_err();
    assert!(huge.starts_with("a message of 4294967295 bytes"), "{huge}");
    let error = serve(b"\x03\0\0\0m\x01?").unwrap();
    assert_eq!(&error[4..], b"ea message that cannot be read: unknown tag 0x3f");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn whatever_is_said_a_store_stays_whole(said in prop::collection::vec(message(), 0..20)) {
        let store = filled(1, 3, 3);
        let before = walk(&store);
        let mut server = Server::new(&store);
        for message in &said {
            let _ = server.answer(message);
        }
        prop_assert_eq!(walk(&store), before);
    }

    #[test]
    fn a_message_has_one_form(
        message in message(),
        at in any::<prop::sample::Index>(),
        flip in 1..=255u8,
    ) {
        let mut bytes = message.encode();
        prop_assert_eq!(&Message::decode(&bytes).unwrap(), &message);
        let at = at.index(bytes.len());
        prop_assert!(Message::decode(&bytes[..at]).is_err());
        bytes[at] ^= flip;
        if let Ok(other) = Message::decode(&bytes) {
            prop_assert_ne!(&other, &message);
            prop_assert_eq!(other.encode(), bytes);
        }
    }
}
