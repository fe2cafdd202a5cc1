//! Owns the fuzzing of proofs: each has one form, and none proves of a commit what it does not
//! hold.

#![no_main]

use jitsu_store::{Proof, Proven};
use jitsu_store_fuzz::{linked, objects, parts, sample};
use libfuzzer_sys::fuzz_target;

// How many parts are objects that the proof may name; those objects; then the proof.
fuzz_target!(|data: &[u8]| {
    see(data);
    let Some((count, rest)) = data.split_first() else { return };
    let parts = parts(rest);
    let (named, rest) = parts.split_at(usize::from(*count % 16).min(parts.len()));
    let (_, store) = sample();
    let heads = store.branches().unwrap().into_iter().map(|(_, head)| head).collect();
    let (_, ids) = objects(named, heads);
    rest.iter().for_each(|part| see(&linked(part, &ids)));
});

fn see(bytes: &[u8]) {
    let Ok(proof) = Proof::decode(bytes) else { return };
    assert_eq!(proof.encode(), bytes);
    let Ok(proven) = proof.verify() else { return };
    let (_, store) = sample();
    let Some(commit) = store.commit(&proof.commit).unwrap() else { return };
    let tree = commit.tree();
    let held = match tree.subtree(&proof.path).unwrap() {
        Some(directory) => Proven::Directory(directory.id()),
        None => tree.get(&proof.path).unwrap().map_or(Proven::Nothing, Proven::Contents),
    };
    assert_eq!(proven, held);
}
