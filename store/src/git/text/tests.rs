//! Owns the tests of texts: each kind as it is documented, any contents come back as the same
//! objects, and what is wrong is named by its line.

use std::sync::Arc;

use proptest::prelude::*;

use super::super::blob::{of_blob, to_blob};
use crate::backend::{Memory, Source};
use crate::contents::{Contents, Queue, Register};
use crate::git::Fault;
use crate::lazy::LEVELS_MAX;

fn file(contents: &Contents) -> String {
    String::from_utf8(to_blob(contents).unwrap().into_owned()).unwrap()
}

/// The contents of a file, which is as it would be written.
#[track_caller]
fn contents(text: &str) -> Contents {
    let contents = of_blob(text.as_bytes()).unwrap();
    assert_eq!(file(&contents), text);
    contents
}

/// Where a file is wrong, and what is said of it.
#[track_caller]
fn refused(text: &str) -> (usize, String) {
    match of_blob(text.as_bytes()) {
        Err(Fault::Text { line, what }) => (line, what),
        other => panic!("{other:?}"),
    }
}

/// The same contents, as somebody has them who loads them.
fn stored(contents: &Contents) -> Contents {
    let home = Source::new(Arc::new(Memory::new()));
    contents.links(&mut |part| part.save(&home, LEVELS_MAX)).unwrap();
    Contents::decode(&contents.encode(), &home).unwrap()
}

/// Contents go to a text and come back as the same objects.
fn comes_back(contents: &Contents) {
    let contents = stored(contents);
    let file = to_blob(&contents).unwrap();
    assert!(!file.starts_with(b"jitsu objects"), "{}", String::from_utf8_lossy(&file));
    let back = of_blob(&file).unwrap();
    assert_eq!(back.encode(), contents.encode());
    // Each with all that it is made of.
    assert_eq!(to_blob(&stored(&back)).unwrap(), file);
}

fn queue(elements: std::ops::Range<u32>, popped: usize) -> Queue {
    let mut queue = Queue::new();
    elements.for_each(|n| queue.push(Contents::text(format!("{n}"))).unwrap());
    (0..popped).for_each(|_| drop(queue.pop().unwrap()));
    queue
}

fn merge(base: &Contents, first: &Contents, second: &Contents) -> Contents {
    Contents::merge(Some(base), first, second).unwrap().unwrap()
}

#[test]
fn each_kind_looks_as_it_is_documented() {
    assert_eq!(file(&Contents::text("a text\n")), "a text\n");
    assert_eq!(file(&Contents::Counter(-42)), "jitsu counter\n-42\n");
    let register = Register { time_ms: 1, tie_break: 2, value: b"of it"[..].into() };
    assert_eq!(file(&Contents::Register(register)), "jitsu register 1 2\nof it");
    assert_eq!(file(&Contents::set(["b\n", "", "a"])), "jitsu set\n\na\nb%0A\n");
    let text = Contents::text("jitsu bytes\njitsu counter\n1\n");
    assert_eq!(file(&text), "jitsu bytes\njitsu bytes\njitsu counter\n1\n");
    // What only looks like a kind is bytes.
    for text in ["jitsu register 1\nx", "jitsu bytes\nplain", "jitsu unknown\n", "jitsu set"] {
        assert_eq!(contents(text), Contents::text(text));
    }
    let deep = "jitsu bytes\n".repeat(1 << 20);
    assert_eq!(contents(&deep), Contents::text(deep));
}

#[test]
fn a_queue_is_a_line_for_each_element() {
    let mut jobs = queue(1..3, 0);
    jobs.push(Contents::Counter(3)).unwrap();
    jobs.push(Contents::text("")).unwrap();
    let text = "jitsu queue\n1\n2\njitsu counter%0A3%0A\n\n";
    assert_eq!(file(&Contents::Queue(jobs)), text);
    assert_eq!(file(&Contents::Queue(queue(0..3, 1))), "jitsu queue\n% from 1\n1\n2\n");
    assert_eq!(file(&Contents::Queue(queue(0..3, 3))), "jitsu queue\n% next 3\n");
    assert_eq!(file(&Contents::Queue(Queue::new())), "jitsu queue\n");
    // A line more is an element more, and so is one fewer where it is said from which on.
    assert_eq!(contents("jitsu queue\n% from 1\n1\n2\n3\n"), Contents::Queue(queue(0..4, 1)));
    assert_eq!(contents("jitsu queue\n% from 2\n2\n"), Contents::Queue(queue(0..3, 2)));
    let lines = |range: std::ops::Range<u32>| range.map(|n| format!("{n}\n")).collect::<String>();
    // A whole block stays until all of it was popped.
    let text = format!("jitsu queue\n{}% front\n{}", lines(0..5), lines(5..40));
    assert_eq!(contents(&text), Contents::Queue(queue(0..40, 5)));
    let text = format!("jitsu queue\n% from 32\n{}", lines(32..40));
    assert_eq!(contents(&text), Contents::Queue(queue(0..40, 32)));
    // Two branches popped and pushed.
    let [base, first] = [queue(0..3, 0), queue(0..4, 1)].map(Contents::Queue);
    let mut second = queue(0..3, 0);
    second.push(Contents::text("other")).unwrap();
    let merged = merge(&base, &first, &Contents::Queue(second));
    let text = "jitsu queue\n% from 1\n1\n2\n3\n% from 0\n0\n1\n2\n% front\nother\n% closed\n";
    assert_eq!(contents(text), merged);
}

#[test]
fn what_is_wrong_is_named_by_its_line() {
    for (text, line, what) in [
        ("jitsu counter\n042\n", 2, "it would be written as \"42\""),
        ("jitsu counter\n42", 2, "the line does not end"),
        ("jitsu counter\n", 2, "a counter is one line"),
        ("jitsu counter\n1\n2\n", 2, "a counter is one line"),
        ("jitsu counter\nx\n", 2, "a counter is a number"),
        ("jitsu counter\r\n1\r\n", 2, "a counter is a number"),
        ("jitsu set\r\n", 1, "it would be written as \"jitsu set\""),
        ("jitsu set\nb\na\n", 3, "a member out of order, or there twice"),
        ("jitsu set\na\na\n", 3, "a member out of order, or there twice"),
        ("jitsu set\n%61\n", 2, "`%` and two digits are not as they are written"),
        ("jitsu set\n100%\n", 2, "`%` and two digits are not as they are written"),
        ("jitsu register 1 x\n", 1, "numbers belong here"),
        ("jitsu register 01 1\n", 1, "it would be written as \"jitsu register 1 1\""),
        ("jitsu queue\na\nb", 3, "the line does not end"),
        ("jitsu queue\na\n% odd\n", 3, "nothing that is said of a queue here"),
        ("jitsu queue\n% front\n", 2, "nothing that is said of a queue here"),
        ("jitsu queue\n% from x\n", 2, "`% from` and a position"),
        ("jitsu queue\n% from 0\na\n", 2, "it would be written as \"a\""),
        ("jitsu queue\n% from 999999999999999999\na\n", 2, "`% from` and a position"),
        (
            "jitsu queue\n% from 576460752303423488\na\n",
            2,
            "here begins a position that no queue comes to",
        ),
        (
            "jitsu queue\na\n% next 4\nb\n",
            4,
            "nothing follows `% next`; write `% from` for it, to add elements",
        ),
        ("jitsu queue\na\nb\n% next 1\n", 2, "here begins an element after the next position"),
        (
            "jitsu queue\na\n% closed\nb\n",
            4,
            "no element follows `% closed`; remove that, to add elements",
        ),
        (
            "jitsu queue\na\n% front\nb\n",
            2,
            "here begins elements that are not in the queue, in a block that is open",
        ),
        (
            "jitsu queue\na\n% from 5\n",
            3,
            "here begins a run with nothing in it that is in the queue",
        ),
        (
            "jitsu queue\na\njitsu counter%0Ax%0A\n",
            3,
            "line 2 of what is inside: a counter is a number",
        ),
        ("jitsu objects\n", 2, "the first object"),
        ("jitsu objects\nx\n", 2, "unknown tag 0x78"),
        (
            "jitsu objects\nc%01q%00%00\n",
            1,
            "objects of contents that are a text by now: export them again, to a new repository",
        ),
    ] {
        assert_eq!(refused(text), (line, what.to_owned()), "{text}");
    }
    let what = of_blob(b"jitsu queue\na\n\xff\n").unwrap_err();
    assert_eq!(what.to_string(), "line 3: it is not UTF-8");
}

fn any_simple() -> impl Strategy<Value = Contents> {
    prop_oneof![
        "(jitsu queue\n|jitsu bytes\n|% front\n|a|\n|%|ü){0,4}".prop_map(Contents::text),
        prop::collection::vec(any::<u8>(), 0..99).prop_map(Contents::bytes),
        any::<i64>().prop_map(Contents::Counter),
        (any::<u64>(), any::<Vec<u8>>()).prop_map(|(time_ms, value)| {
            Contents::Register(Register { time_ms, tie_break: 1, value: value.into() })
        }),
        any::<[Vec<u8>; 2]>().prop_map(Contents::set),
    ]
}

fn any_contents() -> impl Strategy<Value = Contents> {
    let long = prop::sample::select(vec![0, 1, 5, 31, 32, 33, 70]);
    let nested = any_simple().prop_recursive(4, 16, 2, |inner| any_of(inner.boxed(), 0..3_usize));
    prop_oneof![any_of(any_simple().boxed(), long), nested]
}

/// Contents of each kind that holds others, so many at a time.
fn any_of(
    element: BoxedStrategy<Contents>,
    count: impl Strategy<Value = usize> + Clone + 'static,
) -> BoxedStrategy<Contents> {
    any_queue(element, count).boxed()
}

/// Queues that were pushed to and popped from on branches, which were merged.
fn any_queue(
    element: impl Strategy<Value = Contents>,
    count: impl Strategy<Value = usize>,
) -> impl Strategy<Value = Contents> {
    let step = (0..3_usize, prop::collection::vec(element, 1..3), count, 0..70_usize);
    prop::collection::vec(step, 0..6).prop_map(|steps| {
        let mut sides = [Queue::new(), Queue::new()];
        let mut base = Queue::new();
        for (on, elements, pushes, pops) in steps {
            if on == 2 {
                let [first, second] = sides.map(Contents::Queue);
                let Contents::Queue(merged) = merge(&Contents::Queue(base), &first, &second) else {
                    panic!("another kind")
                };
                base = merged.clone();
                sides = [merged.clone(), merged];
                continue;
            }
            let some = elements.iter().cycle().take(pushes);
            some.for_each(|it| sides[on].push(it.clone()).unwrap());
            (0..pops / 2).for_each(|_| drop(sides[on].pop().unwrap()));
        }
        Contents::Queue(sides[0].clone())
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn any_contents_come_back_from_a_text(contents in any_contents()) {
        comes_back(&contents);
    }

    #[test]
    fn whatever_a_file_says_it_is_that_or_a_line_is_wrong(
        first in prop::sample::select(vec![
            "", "jitsu counter\n", "jitsu set\n", "jitsu register 7 8\n", "jitsu bytes\n",
            "jitsu bytes\njitsu counter\n", "jitsu queue\n", "jitsu objects\n",
        ]),
        rest in prop_oneof![
            "-?[0-9]{0,4}\n?".prop_map(String::into_bytes),
            "([a-c%]{0,3}\n){0,3}".prop_map(String::into_bytes),
            "(% (from|next) [0-9]{1,2}\n|% (front|back|closed)\n|([a-c]\n){1,40}){0,9}"
                .prop_map(String::into_bytes),
            any::<Vec<u8>>(),
        ],
    ) {
        let file = [first.as_bytes(), &rest].concat();
        match of_blob(&file) {
            Ok(contents) => {
                let contents = stored(&contents);
                prop_assert_eq!(&*to_blob(&contents).unwrap(), &file[..]);
            }
            Err(Fault::Text { line, .. }) => {
                prop_assert!(line > 0 && line <= 1 + file.split(|byte| *byte == b'\n').count());
            }
            Err(other) => prop_assert!(false, "{}", other),
        }
        // As bytes it comes back whatever it says.
        let bytes = Contents::bytes(file);
        prop_assert_eq!(of_blob(&to_blob(&bytes).unwrap()).unwrap(), bytes);
    }
}
