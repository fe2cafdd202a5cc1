//! Every spec comes back as it was written; every mistake is told with its path.

use jitsu_proto::{Guest, Listen, Millis, OnCrash, Ready};

use super::*;

fn name(text: &str) -> Name {
    Name::new(text).expect("a name")
}

fn subject_tree(subject: &Subject, writes: &[Write]) -> Tree {
    let mut below = Tree::empty();
    for write in writes {
        apply(&mut below, write).expect("applied");
    }
    let mut tree = Tree::empty();
    tree.set_tree(&subject.path(), below).expect("set");
    tree
}

fn specs() -> Vec<DomainSpec> {
    let command = Guest::Command {
        argv: vec!["/bin/echo".to_owned(), "64".to_owned()],
        env: [("A".to_owned(), "7".to_owned())].into(),
    };
    let bare = Guest::Command { argv: vec!["true".to_owned()], env: BTreeMap::new() };
    let hello = Guest::Hello { port: 80, boot: Millis(1500) };
    let kernel = Guest::Kernel {
        image: "/boot/mirage".to_owned(),
        ramdisk: None,
        cmdline: "64".to_owned(),
        mode: jitsu_proto::Mode::Pvh,
    };
    let mut specs: Vec<_> = [command, bare, hello, kernel].map(DomainSpec::new).into();
    specs[0].address = Some("127.0.3.1".parse().expect("an address"));
    specs[0].on_crash = OnCrash::Restart;
    specs
}

#[test]
fn domains_come_back_as_they_were() {
    for spec in specs() {
        let subject = Subject::Domain(name("www"));
        let writes = [Write::Spec(Box::new(spec.clone())), Write::Wanted(Wanted::Running)];
        let tree = subject_tree(&subject, &writes);
        let read = intent(&tree, &name("www")).expect("it can be read");
        assert_eq!(read, Some(Intent { spec, wanted: Wanted::Running }));
    }
}

#[test]
fn services_come_back_as_they_were() {
    let on = "127.0.0.1:8080".parse().expect("an address");
    let spec = ServiceSpec {
        names: vec!["www.example.org".to_owned(), "*.example.org".to_owned()],
        domain: Some(name("web-1")),
        listen: vec![Listen { on, to: Some(80) }],
        ready: Ready::Port(80),
        ..ServiceSpec::default()
    };
    for spec in [spec, ServiceSpec::default()] {
        let subject = Subject::Service(name("www"));
        let facts = Facts { questions: 3, ..Facts::default() };
        let writes =
            [Write::Service(Box::new(spec.clone())), Write::Count(facts), Write::Count(facts)];
        let tree = subject_tree(&subject, &writes);
        assert_eq!(service(&tree, &name("www")).expect("read"), Some(spec));
        let counted = super::facts(&tree, &name("www")).expect("read");
        assert_eq!(counted.questions, 6);
    }
}

#[track_caller]
fn check_wrong(edits: &[(&str, &str)], expected: &str) {
    let subject = Subject::Domain(name("www"));
    let hello = DomainSpec::new(Guest::Hello { port: 80, boot: Millis(0) });
    let mut tree = subject_tree(&subject, &[Write::Spec(Box::new(hello))]);
    for (at, text) in edits {
        let at: Path = format!("domains/www/{at}").parse().expect("a path");
        tree.set(&at, Contents::text(*text)).expect("set");
    }
    let error = intent(&tree, &name("www")).expect_err("it is wrong").to_string();
    assert!(error.contains(expected), "{error}");
}

#[test]
fn mistakes_are_told_with_their_path() {
    check_wrong(
        &[("spec/memory_mib", "lots")],
        "domains/www/spec/memory_mib: \"lots\" is not a number that fits here",
    );
    check_wrong(&[("spec/memroy_mib", "64")], "domains/www/spec/memroy_mib: unknown field");
    check_wrong(&[("wanted", "runing")], "domains/www/wanted: unknown variant `runing`");
    check_wrong(&[("spec/shutdown_grace", "5")], "domains/www/spec/shutdown_grace: \"5\" is not");
    check_wrong(&[("spec/guest/command/argv", "[]")], "domains/www/spec/guest: one kind is due");
    check_wrong(&[("spec/memory_mib", "0")], "domains/www/spec: ");
    check_wrong(&[("spec/guest/hello", "x")], "domains/www/spec/guest/hello: this must be");
}

#[test]
fn wanting_what_is_not_defined_is_a_mistake() {
    let tree = subject_tree(&Subject::Domain(name("www")), &[Write::Wanted(Wanted::Running)]);
    assert!(intent(&tree, &name("www")).is_err());
    assert_eq!(intent(&tree, &name("other")).expect("read"), None);
}
