//! Owns the tests of proofs: that they prove what is, and that nobody can make one prove more.

use std::sync::Arc;

use jitsu_store::backend::Memory;
use jitsu_store::{Commit, Contents, Path, Proof, ProofError, Proven, Queue, Store, Tree};

use crate::fixture::{all, at, branch, path, text, write};

/// A store with a large directory, a deep one, contents of every size, and a queue of parts.
fn filled(store: &Store) -> Commit {
    let mut queue = Queue::new();
    (0..100).for_each(|number| queue.push(text(&format!("{number:070}"))).unwrap());
    let edit = |tree: &mut Tree| {
        for number in 0..500 {
            tree.set(&path(&format!("many/{number}")), text(&"x".repeat(number)))?;
        }
        tree.set(&path("a/b/c/d/e"), text("deep"))?;
        tree.set(&path("queue"), Contents::Queue(queue.clone()))
    };
    store.update(&branch("main"), at(1), edit).unwrap().0
}

fn stores() -> [Store; 2] {
    [Store::memory(), Store::on(Arc::new(Memory::new())).unwrap()]
}

#[test]
fn everything_that_is_there_is_proven_and_nothing_else() {
    for store in stores() {
        let commit = filled(&store);
        let proven = |at: &Path| {
            let proof = store.prove(&commit.id(), at).unwrap();
            let sent = Proof::decode(&proof.encode()).unwrap();
            assert_eq!(sent, proof);
            assert_eq!((sent.commit, &sent.path), (commit.id(), at));
            sent.verify().unwrap()
        };
        for (at, contents) in all(&commit.tree()) {
            assert_eq!(proven(&at), Proven::Contents(contents));
        }
        let many = commit.tree().subtree(&path("many")).unwrap().unwrap();
        assert_eq!(proven(&path("many")), Proven::Directory(many.id()));
        assert_eq!(proven(&Path::root()), Proven::Directory(commit.tree().id()));
        for nothing in ["many/501", "none", "a/b/x", "many/7/below"] {
            assert_eq!(proven(&path(nothing)), Proven::Nothing, "{nothing}");
        }
    }
}

#[test]
fn a_queue_that_is_proven_can_be_read_without_the_store() {
    let store = Store::memory();
    let commit = filled(&store);
    let proof = store.prove(&commit.id(), &path("queue")).unwrap();
    drop((store, commit));
    let Proven::Contents(Contents::Queue(queue)) = proof.verify().unwrap() else { panic!() };
    let last = queue.iter().last().unwrap().unwrap();
    assert_eq!(last.as_text(), Some(&*format!("{:070}", 99)));
}

#[test]
fn a_proof_is_as_long_as_the_way() {
    let store = Store::memory();
    let commit = filled(&store);
    let bytes = store.prove(&commit.id(), &path("many/7")).unwrap().encode();
    let whole: usize = (0..500).sum();
    assert!(bytes.len() < whole / 15, "{} bytes", bytes.len());
}

#[test]
fn no_byte_can_be_changed() {
    let store = Store::memory();
    let commit = filled(&store);
    for at in ["a/b/c/d/e", "many/70", "none"] {
        let proof = store.prove(&commit.id(), &path(at)).unwrap();
        let bytes = proof.encode();
        for (place, flip) in (0..bytes.len()).flat_map(|at| [(at, 1), (at, 0x80)]) {
            let mut changed = bytes.clone();
            changed[place] ^= flip;
            let Ok(proof) = Proof::decode(&changed) else { continue };
            match proof.verify() {
                Err(_) => {}
                // Another path may lead along the same objects: to what is true of it.
                Ok(proven) => {
                    assert_ne!(proof.path, path(at), "byte {place}");
                    let truth = store.prove(&proof.commit, &proof.path).unwrap().verify();
                    assert_eq!(proven, truth.unwrap());
                }
            }
        }
        for end in 0..bytes.len() {
            assert!(Proof::decode(&bytes[..end]).is_err());
        }
    }
}

#[test]
fn what_is_wrong_with_a_proof_is_told() {
    let store = Store::memory();
    let commit = filled(&store);
    let other = write(&store, "main", "a/x", "y", 2);
    let (at, id) = (path("a/b/c/d/e"), commit.id());
    let verify = |bytes: &[u8]| Proof::decode(bytes).and_then(|proof| proof.verify());
    let told = |bytes: &[u8]| verify(bytes).unwrap_err().to_string();
    assert_eq!(told(b"something else"), "this is no proof");
    assert_eq!(
        told(b"jitsuprf\x07"),
        "the proof cannot be read: the object has format 7, this program knows 1"
    );
    let bytes = store.prove(&id, &at).unwrap().encode();
    // The same objects for another commit.
    let mut wrong = bytes.clone();
    wrong[9..41].copy_from_slice(other.id().as_bytes());
    assert_eq!(told(&wrong), format!("the proof lacks the object {}", other.id().short()));
    // One object more than is needed.
    let mut more = bytes.clone();
    let count = 8 + 1 + 32 + 1 + at.steps().len() * 2;
    more[count] += 1;
    more.extend([3, b'c', 1, b'b']);
    assert!(matches!(verify(&more), Err(ProofError::Extra(1))), "{:?}", verify(&more));
    let unknown = jitsu_store::Id::from_bytes([3; 32]);
    let error = store.prove(&unknown, &at).unwrap_err();
    assert_eq!(error.to_string(), format!("the object {} is missing", unknown.short()));
}
