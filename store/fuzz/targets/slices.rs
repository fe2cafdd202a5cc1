//! Owns the fuzzing of slices: as raw bytes, and as records with the right checksums. What was
//! taken in is whole, and can be given on.

#![no_main]

use std::sync::Arc;

use jitsu_store::Store;
use jitsu_store::backend::Memory;
use jitsu_store::sync::Imported;
use jitsu_store_fuzz::{assert_whole, linked, objects, parts, sample};
use libfuzzer_sys::fuzz_target;

// How many parts are objects that the records may name; those objects; then records.
fuzz_target!(|data: &[u8]| {
    take(data);
    let Some((count, rest)) = data.split_first() else { return };
    let parts = parts(rest);
    let (named, records) = parts.split_at(usize::from(*count % 16).min(parts.len()));
    let ids = {
        let (_, store) = sample();
        store.branches().unwrap().into_iter().map(|(_, head)| head).collect()
    };
    let (_, ids) = objects(named, ids);
    let mut slice = b"jitsuslc\x01\0\0\0".to_vec();
    for record in records {
        let body = linked(record, &ids);
        slice.extend((body.len() as u32).to_le_bytes());
        slice.extend(crc32fast::hash(&body).to_le_bytes());
        slice.extend(body);
    }
    take(&slice);
});

fn take(slice: &[u8]) {
    let backend = Arc::new(Memory::new());
    let store = Store::on(backend.clone()).unwrap();
    let taken = store.import_slice(&mut &slice[..]);
    let values = Store::memory();
    let again = values.import_slice(&mut &slice[..]);
    assert_eq!(taken.is_ok(), again.is_ok(), "{taken:?} {again:?}");
    if let Ok(taken) = taken {
        assert_whole(&*backend, taken.heads.iter().map(|(_, head)| *head));
        give(&store, &taken);
        give(&values, &taken);
    }
    let (_, other) = sample();
    if let Ok(taken) = other.import_slice(&mut &slice[..]) {
        give(&other, &taken);
    }
}

/// Puts the branches where the slice says, and gives them on.
fn give(store: &Store, taken: &Imported) {
    for (branch, head) in &taken.heads {
        let mut batch = store.batch();
        batch.set(branch, head).unwrap();
        batch.publish().unwrap();
    }
    let mut slice = Vec::new();
    let branches: Vec<_> = taken.heads.iter().map(|(branch, _)| branch.clone()).collect();
    store.export_slice(&branches, &[], &mut slice).unwrap();
    let third = Store::memory();
    let given = third.import_slice(&mut &slice[..]).unwrap();
    for (branch, head) in given.heads {
        assert_eq!(store.head(&branch).unwrap().unwrap().id(), head);
    }
}
