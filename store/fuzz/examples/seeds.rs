//! Owns the inputs to begin with: writes one of each kind to the folder `seeds`. Must not know what
//! grew from them.

use std::fs;
use std::sync::Arc;

use jitsu_store::backend::Memory;
use jitsu_store::sync::{Message, Peer, Server, SyncError};
use jitsu_store::{
    BranchName, ByteRope, Contents, Id, Journal, ListRope, Map, Meta, Path, Queue, Register, Store,
    TextRope, Tree,
};
use jitsu_store_fuzz::{below, joined, sample, unlinked};

fn main() {
    let objects = kinds();
    for (name, contents) in &objects {
        save("objects", name, &joined(&named(&all_of(contents), &[]).0));
    }
    let many: Tree = tree((0..40).map(|n| (format!("d{}/{n}", n % 3), Contents::Counter(n))));
    save("objects", "directories", &joined(&named(&all(&many), &[]).0));
    talks();
    let text = ["main", "main~1", "a/b", "d.lock", "services/www/wanted", "0123456789abcdef"];
    text.iter().enumerate().for_each(|(at, text)| save("words", &at.to_string(), text.as_bytes()));
    // These are decoded by `arbitrary`, which makes something of any bytes.
    for target in ["logs", "operations", "repositories"] {
        for n in 1..5u8 {
            let bytes: Vec<u8> = (0..200).map(|at: u8| at.wrapping_mul(n * 37)).collect();
            save(target, &n.to_string(), &bytes);
        }
    }
}

fn save(target: &str, name: &str, bytes: &[u8]) {
    let folder = format!("{}/seeds/{target}", env!("CARGO_MANIFEST_DIR"));
    fs::create_dir_all(&folder).unwrap();
    fs::write(format!("{folder}/{name}"), bytes).unwrap();
}

fn tree(entries: impl IntoIterator<Item = (String, Contents)>) -> Tree {
    let mut tree = Tree::empty();
    for (path, contents) in entries {
        tree.set(&path.parse().unwrap(), contents).unwrap();
    }
    tree
}

fn all_of(contents: &Contents) -> Vec<Vec<u8>> {
    all(&tree([("at".to_owned(), contents.clone())]))
}

/// All objects of a commit of this tree.
fn all(tree: &Tree) -> Vec<Vec<u8>> {
    let backend = Arc::new(Memory::new());
    let store = Store::on(backend.clone()).unwrap();
    let set = |new: &mut Tree| new.set_tree(&Path::root(), tree.clone());
    let (commit, ()) = store.update(&main_branch(), Meta::default(), set).unwrap();
    below(&*backend, &commit.id())
}

fn main_branch() -> BranchName {
    "main".parse().unwrap()
}

/// The objects with names in place of ids, and the ids.
fn named(objects: &[Vec<u8>], known: &[Id]) -> (Vec<Vec<u8>>, Vec<Id>) {
    let mut ids = known.to_vec();
    ids.extend(objects.iter().map(|bytes| Id::of(bytes)));
    (objects.iter().map(|bytes| unlinked(bytes, &ids)).collect(), ids)
}

/// Contents of each kind.
fn kinds() -> Vec<(&'static str, Contents)> {
    let large = |n: usize| Contents::text(n.to_string().repeat(70));
    let (mut queue, mut map, mut log) = (Queue::new(), Map::new(), Journal::new());
    (0..40).for_each(|n| queue.push(Contents::Counter(n)).unwrap());
    queue.push(large(7)).unwrap();
    queue.pop().unwrap();
    map.set("small", Contents::Counter(1));
    map.set("large", large(8));
    (0..40).for_each(|time| log.append(time, Contents::Counter(7)).unwrap());
    let [base, mut first, mut second] = [(); 3].map(|()| queue.clone());
    first.push(Contents::Counter(1)).unwrap();
    second.push(Contents::Counter(2)).unwrap();
    let [base, first, second] = [base, first, second].map(Contents::Queue);
    let merged = Contents::merge(Some(&base), &first, &second).unwrap().unwrap();
    let numbers: Vec<Contents> = (0..33).map(Contents::Counter).collect();
    let register = Register { time_ms: 300, tie_break: 7, value: b"value"[..].into() };
    vec![
        ("bytes", large(9)),
        ("counter", Contents::Counter(-65)),
        ("register", Contents::Register(register)),
        ("set", Contents::set(["", "a", "ab"])),
        ("queue", base),
        ("merged-queue", merged),
        ("text-rope", Contents::TextRope(TextRope::of("ü".repeat(550)))),
        ("byte-rope", Contents::ByteRope(ByteRope::of(vec![7; 1100]))),
        ("list-rope", Contents::ListRope(ListRope::of(numbers))),
        ("map", Contents::Map(map)),
        ("log", Contents::Log(log)),
    ]
}

/// What stores say to each other, slices and proofs, of a commit that goes on from the sample.
fn talks() {
    let (_, known) = sample();
    let heads: Vec<Id> = known.branches().unwrap().into_iter().map(|(_, head)| head).collect();
    let (backend, store) = sample();
    let head = store.head(&main_branch()).unwrap().unwrap().id();
    let (path, long) = ("a/new".parse().unwrap(), Contents::text("long ".repeat(60)));
    let set = |tree: &mut Tree| tree.set(&path, long.clone());
    let (commit, ()) = store.update(&main_branch(), Meta::default(), set).unwrap();
    let new = below(&*backend, &commit.id());
    let new: Vec<Vec<u8>> =
        new.into_iter().filter(|it| !below(&*backend, &head).contains(it)).collect();
    let (objects, ids) = named(&new, &heads);
    let input = |said: Vec<Vec<u8>>| {
        let said = said.iter().map(|bytes| unlinked(bytes, &ids));
        let parts: Vec<Vec<u8>> = objects.iter().cloned().chain(said).collect();
        [vec![objects.len() as u8], joined(&parts)].concat()
    };
    let mut peer = Recorded { server: Server::new(&known), asked: vec![], answered: vec![] };
    store.push(&mut peer, &main_branch()).unwrap();
    save("messages", "push", &input(peer.asked));
    let (_, behind) = sample();
    let mut peer = Recorded { server: Server::new(&store), asked: vec![], answered: vec![] };
    behind.fetch(&mut peer, &main_branch()).unwrap();
    save("messages", "fetch", &input(peer.answered));
    save("messages", "fetched", &input(peer.asked));
    for (name, since) in [("whole", vec![]), ("since", vec![head])] {
        let mut slice = Vec::new();
        store.export_slice(&[main_branch()], &since, &mut slice).unwrap();
        save("slices", &format!("raw-{name}"), &slice);
        let (mut records, mut rest) = (Vec::new(), &slice[12..]);
        while let Some((len, after)) = rest.split_first_chunk::<4>() {
            let len = u32::from_le_bytes(*len) as usize;
            records.push(after[4..4 + len].to_vec());
            rest = &after[4 + len..];
        }
        save("slices", name, &input(records));
    }
    for (name, at) in [("directory", "a"), ("contents", "a/new"), ("nothing", "x/y")] {
        let proof = store.prove(&commit.id(), &at.parse().unwrap()).unwrap().encode();
        save("proofs", &format!("raw-{name}"), &proof);
        save("proofs", name, &input(vec![proof]));
        let proof = store.prove(&head, &at.parse().unwrap()).unwrap().encode();
        save("proofs", &format!("known-{name}"), &input(vec![proof]));
    }
}

/// A peer of which it is kept what it heard and said.
struct Recorded {
    server: Server,
    asked: Vec<Vec<u8>>,
    answered: Vec<Vec<u8>>,
}

impl Peer for Recorded {
    fn call(&mut self, message: Message) -> Result<Message, SyncError> {
        self.asked.push(message.encode());
        let answer = self.server.call(message)?;
        self.answered.push(answer.encode());
        Ok(answer)
    }
}
