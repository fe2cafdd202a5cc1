//! Owns the tests of names: what is refused, and where it goes wrong.

use jitsu_store::{
    BRANCH_BYTES_MAX, BranchName, Id, NameFault, PATH_STEPS_MAX, Path, STEP_BYTES_MAX, Step,
};

fn fault<T: std::fmt::Debug>(parsed: Result<T, jitsu_store::NameError>) -> (NameFault, usize) {
    let error = parsed.unwrap_err();
    (error.fault, error.at)
}

#[test]
fn branch_names() {
    for good in ["main", "domain/www", "a-b_c.d/e@f+g*", "x=1,y=2", &"x".repeat(BRANCH_BYTES_MAX)] {
        assert_eq!(BranchName::new(good).unwrap().as_str(), good);
    }
    let refused = |name: &str| fault(BranchName::new(name));
    assert_eq!(refused(""), (NameFault::Empty, 0));
    assert_eq!(refused("/a"), (NameFault::Empty, 0));
    assert_eq!(refused("a//b"), (NameFault::Empty, 2));
    assert_eq!(refused("a/"), (NameFault::Empty, 2));
    assert_eq!(refused("a/b c"), (NameFault::Character(' '), 3));
    assert_eq!(refused("a/bü"), (NameFault::Character('ü'), 3));
    assert_eq!(refused("a/.b"), (NameFault::Reserved, 2));
    assert_eq!(refused("a..b"), (NameFault::Reserved, 0));
    assert_eq!(refused("a/b.lock"), (NameFault::Reserved, 2));
    let long = "x".repeat(BRANCH_BYTES_MAX + 1);
    assert_eq!(refused(&long), (NameFault::TooLong(BRANCH_BYTES_MAX), BRANCH_BYTES_MAX));
    let shown = BranchName::new("a/b c").unwrap_err().to_string();
    assert_eq!(shown, "the name \"a/b c\" holds the character ' ' (at byte 3)");
}

#[test]
fn steps_and_paths() {
    for good in ["a", "a/b", "ü/ /…", "..a/b..", "-/*"] {
        assert_eq!(good.parse::<Path>().unwrap().to_string(), good);
    }
    let refused = |path: &str| fault(path.parse::<Path>());
    assert_eq!(refused("/"), (NameFault::Empty, 0));
    assert_eq!(refused("a//b"), (NameFault::Empty, 2));
    assert_eq!(refused("a/../b"), (NameFault::Reserved, 2));
    assert_eq!(refused("a/."), (NameFault::Reserved, 2));
    assert_eq!(refused("a/b\0"), (NameFault::Character('\0'), 3));
    assert_eq!(fault(Step::new("a/b")), (NameFault::Character('/'), 1));
    let long = "x".repeat(STEP_BYTES_MAX + 1);
    assert_eq!(refused(&format!("a/{long}")).0, NameFault::TooLong(STEP_BYTES_MAX));
    let deep = vec!["x"; PATH_STEPS_MAX + 1].join("/");
    assert_eq!(refused(&deep).0, NameFault::TooDeep(PATH_STEPS_MAX));
    let mut path: Path = deep[2..].parse().unwrap();
    let step = Step::new("x").unwrap();
    assert_eq!(fault(path.push(step.clone())).0, NameFault::TooDeep(PATH_STEPS_MAX));
    assert_eq!(fault(path.join(&Path::from(step))).0, NameFault::TooDeep(PATH_STEPS_MAX));
}

#[test]
fn ids_are_read_as_they_are_shown() {
    let id = Id::of(b"something");
    assert_eq!(id.to_string().parse::<Id>(), Ok(id));
    assert_eq!(id.short(), id.to_string()[..12]);
    for bad in ["", "abc", &"g".repeat(64), &"A".repeat(64), &"a".repeat(65)] {
        assert!(bad.parse::<Id>().is_err(), "{bad}");
    }
}
