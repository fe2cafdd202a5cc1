//! Owns the figures of queues, ropes and logs, as tables: how many objects an operation reads and
//! writes, and how long it takes, in memory.
//!
//! `cargo bench -p jitsu-store --bench contents [size_max]`

#![expect(clippy::print_stdout, reason = "the tables are what it is for")]

#[expect(dead_code, reason = "tests count more")]
#[path = "../tests/it/counted.rs"]
mod counted;

use std::sync::Arc;
use std::time::{Duration, Instant};

use jitsu_store::{BranchName, Contents, Id, Journal, Merged, Meta, Queue, Store, TextRope, Tree};

use counted::Counted;

const SIZES: [u64; 6] = [10, 100, 1000, 10_000, 100_000, 1_000_000];

/// How often operations on a queue are done for the figures of one.
const TIMES: u64 = 1000;

fn main() {
    let size_max = std::env::args().skip(1).find_map(|argument| argument.parse().ok());
    let sizes = SIZES.into_iter().filter(|size| *size <= size_max.unwrap_or(u64::MAX));
    let sizes: Vec<u64> = sizes.collect();
    println!("objects of contents read and written, and the time with its commit\n");
    header("queue: pushes and pops, a commit each, and a merge of 40 and 100 pushes, 5 pops each");
    sizes.iter().for_each(|n| queue(*n));
    header("rope: ten characters in the middle, halves, and two edits in different places");
    sizes.iter().for_each(|n| rope(*n));
    header("log: an entry with a commit, and a merge of 50 entries on each side");
    sizes.iter().for_each(|n| log(*n));
}

fn header(what: &str) {
    println!("{what}\n{:>9} {:10} {:>8} {:>8} {:>12}", "n", "", "reads", "writes", "time");
}

/// A store with contents on the branches `main` and `side`.
struct Bench {
    backend: Arc<Counted>,
    store: Store,
    n: u64,
}

impl Bench {
    fn new(n: u64, contents: Contents) -> Bench {
        let backend = Arc::new(Counted::default());
        let store = Store::on(backend.clone()).expect("an empty store");
        let bench = Bench { backend, store, n };
        let base = bench.set("main", contents);
        let mut batch = bench.store.batch();
        batch.set(&branch("side"), &base).expect("a branch");
        batch.publish().expect("nobody else is here");
        bench
    }

    fn set(&self, to: &str, contents: Contents) -> Id {
        let mut tree = Tree::empty();
        tree.set(&"x".parse().expect("a good path"), contents).expect("a good path");
        let mut batch = self.store.batch();
        let commit = batch.commit(&branch(to), tree, Meta::default()).expect("a commit");
        batch.publish().expect("nobody else is here");
        commit.id()
    }

    fn get(&self, from: &str) -> Contents {
        let head = self.store.head(&branch(from)).expect("a head").expect("a commit");
        head.tree().get(&"x".parse().expect("a good path")).expect("loaded").expect("it was set")
    }

    /// Does something some times, and prints what it costs on average. Nothing is loaded before.
    fn measure(&mut self, what: &str, times: u64, mut edit: impl FnMut(&Bench)) {
        self.store = Store::on(self.backend.clone()).expect("the same store");
        let _before = self.backend.cost();
        let start = Instant::now();
        (0..times).for_each(|_| edit(self));
        let time: Duration = start.elapsed() / times as u32;
        let cost = self.backend.cost();
        let [reads, writes] = [cost.reads, cost.writes].map(|count| count as f64 / times as f64);
        println!("{:>9} {what:10} {reads:>8.2} {writes:>8.2} {time:>12.1?}", self.n);
    }

    fn merge(&mut self) {
        self.measure("merge", 1, |bench| {
            let side = bench.store.head(&branch("side")).expect("a head").expect("a commit");
            let merged = bench.store.merge(&branch("main"), &side, Meta::default());
            assert!(matches!(merged, Ok(Merged::Commit(_))), "{merged:?}");
        });
    }
}

fn branch(name: &str) -> BranchName {
    name.parse().expect("a good name")
}

fn queue(n: u64) {
    let push = |queue: &mut Queue, count: u64| {
        (0..count).for_each(|it| queue.push(Contents::Counter(it as i64)).expect("loaded"));
    };
    let mut queue = Queue::new();
    push(&mut queue, n);
    let mut bench = Bench::new(n, Contents::Queue(queue));
    for (side, count) in [("main", 40), ("side", 100)] {
        let Contents::Queue(mut queue) = bench.get(side) else { unreachable!() };
        (0..5).for_each(|_| drop(queue.pop().expect("loaded")));
        push(&mut queue, count);
        bench.set(side, Contents::Queue(queue));
    }
    bench.merge();
    let change = |bench: &Bench, edit: &dyn Fn(&mut Queue)| {
        let Contents::Queue(mut queue) = bench.get("main") else { unreachable!() };
        edit(&mut queue);
        bench.set("main", Contents::Queue(queue));
    };
    bench.measure("push", TIMES, |bench| change(bench, &|queue| push(queue, 1)));
    bench.measure("pop", TIMES, |bench| {
        change(bench, &|queue| drop(queue.pop().expect("loaded")));
    });
}

fn rope(n: u64) {
    let text: String = (0..n).map(|it| char::from(b'a' + (it * it % 23) as u8)).collect();
    let mut bench = Bench::new(n, Contents::TextRope(TextRope::of(text)));
    let rope = |bench: &Bench, side: &str| match bench.get(side) {
        Contents::TextRope(rope) => rope,
        other => unreachable!("{other}"),
    };
    bench.measure("insert", 1, |bench| {
        let mut rope = rope(bench, "main");
        rope.insert(n / 3, "0123456789").expect("in range");
        bench.set("main", Contents::TextRope(rope));
    });
    bench.measure("delete", 1, |bench| {
        let mut rope = rope(bench, "side");
        rope.delete(n / 2..n / 2 + 2).expect("in range");
        bench.set("side", Contents::TextRope(rope));
    });
    bench.merge();
    bench.measure("split", 1, |bench| {
        let mut rope = rope(bench, "main");
        let after = rope.split(n / 2).expect("in range");
        bench.set("main", Contents::TextRope(rope));
        bench.set("side", Contents::TextRope(after));
    });
    bench.measure("append", 1, |bench| {
        let (mut before, after) = (rope(bench, "main"), rope(bench, "side"));
        before.append(&after).expect("loaded");
        bench.set("main", Contents::TextRope(before));
    });
}

fn log(n: u64) {
    let append = |log: &mut Journal, time_ms| {
        log.append(time_ms, Contents::Counter(1)).expect("loaded");
    };
    let mut log = Journal::new();
    (0..n).for_each(|time_ms| append(&mut log, time_ms));
    let mut bench = Bench::new(n, Contents::Log(log));
    let get = |bench: &Bench, side: &str| match bench.get(side) {
        Contents::Log(log) => log,
        other => unreachable!("{other}"),
    };
    for (side, first) in [("main", n), ("side", n + 1)] {
        let mut log = get(&bench, side);
        (0..50).for_each(|it| append(&mut log, first + 2 * it));
        bench.set(side, Contents::Log(log));
    }
    bench.merge();
    let mut time_ms = 2 * n + 1000;
    bench.measure("append", TIMES, |bench| {
        let mut log = get(bench, "main");
        append(&mut log, time_ms);
        time_ms += 1;
        bench.set("main", Contents::Log(log));
    });
}
