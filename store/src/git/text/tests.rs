//! Owns the tests of texts: each kind as it is documented, any contents come back as the same
//! objects, and what is wrong is named by its line.

use std::sync::Arc;

use proptest::prelude::*;

use super::super::blob::{of_blob, to_blob};
use super::LEVELS_MAX as LEVELS;
use crate::backend::{Memory, Source};
use crate::contents::{
    ByteRope, Contents, Journal, ListRope, Map, Opaque, Queue, Register, TextRope,
};
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
    // Somebody removed the first line, and says so.
    let text = format!("jitsu queue\n% from 1\n{}", lines(1..40));
    let Contents::Queue(popped) = stored(&contents(&text)) else { panic!("another kind") };
    assert_eq!(popped.peek().unwrap(), Some(Contents::text("1")));
    // And it is merged as if it had been popped: the other side pushed.
    let [base, other] = [queue(0..40, 0), queue(0..41, 0)].map(Contents::Queue);
    let merged = merge(&base, &Contents::Queue(popped), &other);
    let Contents::Queue(merged) = merged else { panic!("another kind") };
    let elements: Vec<Contents> = merged.iter().map(Result::unwrap).collect();
    let expected: Vec<Contents> = (1..41).map(|n: u32| Contents::text(n.to_string())).collect();
    assert_eq!(elements, expected);
    // Two branches popped and pushed.
    let [base, first] = [queue(0..3, 0), queue(0..4, 1)].map(Contents::Queue);
    let mut second = queue(0..3, 0);
    second.push(Contents::text("other")).unwrap();
    let merged = merge(&base, &first, &Contents::Queue(second));
    let text = "jitsu queue\n% from 1\n1\n2\n3\n% from 0\n0\n1\n2\n% front\nother\n% closed\n";
    assert_eq!(contents(text), merged);
}

#[test]
fn a_map_is_a_line_for_each_key() {
    let mut map = Map::new();
    map.set("visits", Contents::Counter(3));
    map.set("a=b", Contents::text("x=y"));
    map.set("", Contents::text(""));
    let text = "jitsu map\n=\na%3Db=x=y\nvisits=jitsu counter%0A3%0A\n";
    assert_eq!(contents(text), Contents::Map(map));
}

#[test]
fn a_log_is_a_line_for_each_entry() {
    let log = |range: std::ops::Range<u64>| {
        let mut log = Journal::new();
        range.for_each(|n| log.append(n, Contents::text(format!("at {n}"))).unwrap());
        log
    };
    let lines = |range: std::ops::Range<u64>| range.map(|n| format!("{n} at {n}\n"));
    let text: String = std::iter::once("jitsu log\n".to_owned()).chain(lines(0..100)).collect();
    assert_eq!(contents(&text), Contents::Log(log(0..100)));
    // A line more is an entry more.
    assert_eq!(contents(&(text + "200 late\n")), {
        let mut log = log(0..100);
        log.append(200, Contents::text("late")).unwrap();
        Contents::Log(log)
    });
    let [base, first] = [log(0..1), log(0..3)].map(Contents::Log);
    let mut second = log(0..1);
    second.append(5, Contents::text("other")).unwrap();
    let merged = merge(&base, &first, &Contents::Log(second));
    let text = "jitsu log\n% leaves *\n0 at 0\n1 at 1\n2 at 2\n5 other\n% tail\n";
    assert_eq!(contents(text), merged);
    let Contents::Log(mut merged) = merged else { panic!("another kind") };
    merged.append(9, Contents::text("more")).unwrap();
    assert_eq!(contents(&format!("{text}9 more\n")), Contents::Log(merged));
}

#[test]
fn a_rope_is_what_is_in_it() {
    let text = Contents::TextRope(TextRope::of("as it is: 100%\nü"));
    assert_eq!(contents("jitsu text-rope\nas it is: 100%\nü"), text);
    let text = Contents::TextRope(TextRope::of("% leaves "));
    assert_eq!(contents("jitsu text-rope\n% leaves *\n% leaves "), text);
    let bytes = Contents::ByteRope(ByteRope::of(vec![b'a', 0xff]));
    assert_eq!(&*to_blob(&bytes).unwrap(), b"jitsu byte-rope\na\xff");
    let items = vec![Contents::text("a\n"), Contents::Counter(1)];
    let list = Contents::ListRope(ListRope::of(items));
    assert_eq!(contents("jitsu list-rope\na%0A\njitsu counter%0A1%0A\n"), list);
    // One that was edited is cut in another way than one that is made at once.
    let mut rope = TextRope::of("ü".repeat(700));
    assert_eq!(
        contents(&format!("jitsu text-rope\n{}", "ü".repeat(700))),
        Contents::TextRope(rope.clone())
    );
    rope.insert(0, "x".repeat(1000)).unwrap();
    let text = file(&Contents::TextRope(rope.clone()));
    let (head, body) = text.split_at(text.rfind('\n').unwrap() + 1);
    assert_eq!(head, "jitsu text-rope\n% leaves (567 500 283 *)\n");
    assert_eq!(body, rope.text().unwrap());
    // Somebody edits it a little: the last leaf takes what is more. Or makes the leaves anew.
    let more = format!("{text}more");
    let Contents::TextRope(edited) = contents(&more) else { panic!("another kind") };
    assert_eq!(edited.text().unwrap(), format!("{body}more"));
    let anew = format!("jitsu text-rope\n{body}more");
    assert_eq!(contents(&anew), Contents::TextRope(TextRope::of(format!("{body}more"))));
    let (line, what) = refused(&format!("{text}{}", "x".repeat(1000)));
    assert_eq!(
        (line, &*what),
        (2, "more than there may be in a leaf: remove this line, to have the leaves made anew")
    );
}

#[test]
fn a_value_of_a_type_of_a_user_is_a_line() {
    let value = Contents::Custom(Opaque::of("example.a page", b"\x03abc\x00"));
    assert_eq!(contents("jitsu custom example.a%20page\n%03abc%00\n"), value);
}

/// `depth` lists inside each other.
fn deep(depth: usize) -> Contents {
    (0..depth).fold(Contents::Counter(1), |below, _| Contents::ListRope(ListRope::of(vec![below])))
}

#[test]
fn what_no_text_can_hold_is_objects() {
    comes_back(&deep(LEVELS));
    let objects = |contents: &Contents| {
        let file = to_blob(contents).unwrap().into_owned();
        assert!(file.starts_with(b"jitsu objects\n"));
        assert_eq!(of_blob(&file).unwrap(), *contents);
        file
    };
    // The outermost is a text still, and what is in it is not.
    let text = file(&deep(LEVELS + 1));
    assert!(text.starts_with("jitsu list-rope\n") && text.contains("jitsu objects"));
    assert_eq!(contents(&text), deep(LEVELS + 1));
    // More than fits a file, in few objects.
    let mut vast = TextRope::of("x".repeat(1000));
    let mut list = ListRope::of(vec![Contents::TextRope(vast.clone())]);
    for _ in 0..50 {
        let (same, same_list) = (vast.clone(), list.clone());
        vast.append(&same).unwrap();
        list.append(&same_list).unwrap();
    }
    assert!(objects(&stored(&Contents::TextRope(vast))).len() < 50_000);
    assert!(objects(&stored(&Contents::ListRope(list))).len() < 50_000);
    // Few items, each as large as a text may be.
    let large = Contents::TextRope(TextRope::of("x".repeat(3 << 20)));
    comes_back(&large);
    objects(&Contents::ListRope(ListRope::of(vec![large; 20])));
    let large = format!("jitsu text-rope\n{}", "x".repeat(9 << 20));
    assert_eq!(refused(&large).1, "a text of more than 8388608 bytes");
    // Each element counts again for what it is inside of.
    let large = format!("jitsu list-rope\n{}\n", "x".repeat(5 << 20));
    assert_eq!(refused(&large).1, "a text that is too large, or has no such objects");
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
        ("jitsu map\nb\n", 2, "no `=` after a key"),
        ("jitsu map\nb=1\na=1\n", 3, "a key out of order, or there twice"),
        ("jitsu map\nb=1\nb=2\n", 3, "a key out of order, or there twice"),
        ("jitsu map\n%62=1\n", 2, "`%` and two digits are not as they are written"),
        ("jitsu log\n1 a\nb\n", 3, "a time in milliseconds belongs here"),
        ("jitsu log\n2 a\n1 b\n", 3, "it is of an earlier time than the line above"),
        ("jitsu log\n01 a\n", 2, "it would be written as \"1 a\""),
        (
            "jitsu log\n% leaves *\n1 a\n",
            2,
            "there is no `% tail` below: remove this line, to have the leaves made anew",
        ),
        ("jitsu log\n% tail\n1 a\n", 2, "a time in milliseconds belongs here"),
        ("jitsu list-rope\n% odd\n", 2, "`%` and two digits are not as they are written"),
        ("jitsu list-rope\n% leaves *\na\n", 2, "it would be written as \"a\""),
        (
            "jitsu list-rope\n% leaves (2 *)\na\n",
            2,
            "there is less than the leaves say: remove this line, to have the leaves made anew",
        ),
        (
            "jitsu list-rope\n% leaves (1 1)\na\nb\nc\n",
            2,
            "there is more than in the leaves: remove this line, to have the leaves made anew",
        ),
        (
            "jitsu list-rope\n% leaves (1 (1 *))\na\nb\nc\n",
            2,
            "leaves at different heights: remove this line, to have the leaves made anew",
        ),
        (
            "jitsu text-rope\n% leaves (3 *)\nabc",
            2,
            "a leaf with nothing in it: remove this line, to have the leaves made anew",
        ),
        ("jitsu text-rope\n% leaves (1\nabc", 2, "`% leaves` and sizes, as in ((700 650) (300 *))"),
        ("jitsu text-rope\n% leaves 1)\nabc", 2, "`% leaves` and sizes, as in ((700 650) (300 *))"),
        (
            "jitsu text-rope\n% leaves () 1\nabc",
            2,
            "`% leaves` and sizes, as in ((700 650) (300 *))",
        ),
        ("jitsu custom x\n\n\n", 2, "a value of a type of a user is one line"),
        ("jitsu custom %41\n\n", 1, "a name of a type is not as it is written"),
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
        ("[ab \n%]{0,3}", any::<Vec<u8>>())
            .prop_map(|(name, bytes)| Contents::Custom(Opaque::of(&name, &bytes))),
    ]
}

fn any_contents() -> impl Strategy<Value = Contents> {
    let nested = any_simple().prop_recursive(4, 16, 2, |inner| any_of(inner.boxed(), 0..3_usize));
    prop_oneof![any_of(any_simple().boxed(), long()), nested, any_rope()]
}

fn long() -> impl Strategy<Value = usize> + Clone {
    prop::sample::select(vec![0, 1, 5, 31, 32, 33, 70])
}

/// Contents of each kind that holds others, so many at a time.
fn any_of(
    element: BoxedStrategy<Contents>,
    count: impl Strategy<Value = usize> + Clone + 'static,
) -> BoxedStrategy<Contents> {
    let many = prop::collection::vec(element.clone(), 1..3);
    let some = (many, count.clone()).prop_map(|(items, count)| {
        items.iter().cycle().take(count).cloned().collect::<Vec<Contents>>()
    });
    let entries = prop::collection::vec((0..2_usize, 0..9_u64, some.clone()), 0..6);
    let map = prop::collection::btree_map(any::<Vec<u8>>(), element.clone(), 0..3);
    let lists = prop::collection::vec((any::<prop::sample::Index>(), some), 0..6);
    prop_oneof![
        any_queue(element, count),
        entries.prop_map(|entries| log(&entries)),
        map.prop_map(|entries| {
            let mut map = Map::new();
            entries.into_iter().for_each(|(key, contents)| map.set(key, contents));
            Contents::Map(map)
        }),
        lists.prop_map(|edits| {
            let mut list = ListRope::new();
            for (at, items) in edits {
                let at = at.index(list.len() as usize + 1) as u64;
                list.insert(at, items).unwrap();
            }
            Contents::ListRope(list)
        }),
    ]
    .boxed()
}

/// A log to which two branches added, and which was merged at last.
fn log(entries: &[(usize, u64, Vec<Contents>)]) -> Contents {
    let base = Journal::new();
    let mut sides = [base.clone(), base.clone()];
    for (on, time_ms, contents) in entries {
        contents.iter().for_each(|it| sides[*on].append(*time_ms, it.clone()).unwrap());
    }
    let [first, second] = sides;
    if second.is_empty() {
        return Contents::Log(first);
    }
    merge(&Contents::Log(base), &Contents::Log(first), &Contents::Log(second))
}

/// A rope of characters or bytes that was edited in some places.
fn any_rope() -> impl Strategy<Value = Contents> {
    let item = prop::sample::select(vec!["a", "ü", "\n", "% leaves ", "%"]);
    let edit = (any::<prop::sample::Index>(), item, 0..1500_usize, any::<prop::sample::Index>());
    (any::<bool>(), prop::collection::vec(edit, 0..9)).prop_map(|(is_text, edits)| {
        let (mut text, mut bytes) = (TextRope::new(), ByteRope::new());
        for (from, item, times, len) in edits {
            let new = item.repeat(times);
            let range = |all: u64| {
                let from = from.index(all as usize + 1) as u64;
                from..from + len.index(300) as u64 % (all - from + 1)
            };
            text.replace(range(text.len()), new.as_str()).unwrap();
            bytes.replace(range(bytes.len()), new.into_bytes()).unwrap();
        }
        if is_text { Contents::TextRope(text) } else { Contents::ByteRope(bytes) }
    })
}

/// Queues that were pushed to and popped from on branches, which were merged.
fn any_queue(
    element: impl Strategy<Value = Contents>,
    count: impl Strategy<Value = usize>,
) -> impl Strategy<Value = Contents> {
    let step = (0..3_usize, prop::collection::vec(element, 1..3), count, 0..70_usize);
    prop::collection::vec(step, 0..16).prop_map(|steps| {
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
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn any_contents_come_back_from_a_text(contents in any_contents()) {
        comes_back(&contents);
    }

    #[test]
    fn queues_that_were_merged_come_back_from_a_text(
        queues in prop::collection::vec(any_queue("[ab]".prop_map(Contents::text), long()), 5),
    ) {
        queues.iter().for_each(comes_back);
    }

    #[test]
    fn whatever_a_file_says_it_is_that_or_a_line_is_wrong(
        first in prop::sample::select(vec![
            "", "jitsu counter\n", "jitsu set\n", "jitsu register 7 8\n", "jitsu bytes\n",
            "jitsu bytes\njitsu counter\n", "jitsu queue\n", "jitsu objects\n", "jitsu log\n",
            "jitsu text-rope\n", "jitsu byte-rope\n", "jitsu list-rope\n", "jitsu map\n",
            "jitsu custom a\n",
        ]),
        rest in prop_oneof![
            "-?[0-9]{0,4}\n?".prop_map(String::into_bytes),
            "([a-c%]{0,3}\n){0,3}".prop_map(String::into_bytes),
            "(% leaves [(]?([1-3] ){0,2}[*][)]?\n)?(([1-3] )?[a-c]=?[a-c]?\n){0,9}(% tail\n)?"
                .prop_map(String::into_bytes),
            "([a-c%]{0,3}=\n){0,3}".prop_map(String::into_bytes),
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
