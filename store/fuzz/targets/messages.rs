//! Owns the fuzzing of stores that synchronise: whatever the other one says, nothing panics, every
//! message has one form, and this store stays whole.

#![no_main]

use jitsu_store::sync::{Message, Peer, Server, SyncError};
use jitsu_store::{BranchName, Meta, Store};
use jitsu_store_fuzz::{assert_whole, linked, objects, parts, sample};
use libfuzzer_sys::fuzz_target;

// How many parts are objects that the messages may name; those objects; then messages.
fuzz_target!(|data: &[u8]| {
    let Some((count, rest)) = data.split_first() else { return };
    let parts = parts(rest);
    let (named, said) = parts.split_at(usize::from(*count % 16).min(parts.len()));
    let ids = {
        let (_, store) = sample();
        store.branches().unwrap().into_iter().map(|(_, head)| head).collect()
    };
    let (_, ids) = objects(named, ids);
    let mut messages = Vec::new();
    for part in said {
        let bytes = linked(part, &ids);
        if let Ok(message) = Message::decode(&bytes) {
            assert_eq!(message.encode(), bytes);
            messages.push(message);
        }
    }
    for talk in [serve, fetch, push, pull] {
        let (backend, store) = sample();
        let before = store.branches().unwrap();
        talk(&store, &messages);
        let after = store.branches().unwrap();
        assert_whole(&*backend, after.iter().map(|(_, head)| *head));
        for (branch, head) in before {
            let (_, now) = after.iter().find(|(it, _)| *it == branch).expect("a branch is gone");
            assert!(store.is_ancestor(&head, now).unwrap(), "{branch} lost commits");
        }
    }
});

fn serve(store: &Store, messages: &[Message]) {
    let mut server = Server::new(store);
    for message in messages {
        if let Ok(answer) = server.answer(message) {
            assert_eq!(Message::decode(&answer.encode()).unwrap(), answer);
        }
    }
}

fn fetch(store: &Store, messages: &[Message]) {
    drop(store.fetch(&mut Scripted(messages.iter()), &main()));
}

fn push(store: &Store, messages: &[Message]) {
    drop(store.push(&mut Scripted(messages.iter()), &main()));
}

fn pull(store: &Store, messages: &[Message]) {
    drop(store.pull(&mut Scripted(messages.iter()), &main(), &Meta::default()));
}

fn main() -> BranchName {
    BranchName::new("main").unwrap()
}

/// A peer that says what it says, whatever it is told.
struct Scripted<'a>(std::slice::Iter<'a, Message>);

impl Peer for Scripted<'_> {
    fn call(&mut self, _: Message) -> Result<Message, SyncError> {
        self.0.next().cloned().ok_or_else(|| SyncError::Told("no more".to_owned()))
    }
}
