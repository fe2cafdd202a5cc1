//! The house rules, run over the whole workspace, and each over a violation of it.
//!
//! Owns walking the files. What the rules are is in `rules.rs`.

mod rules;
mod source;

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use source::Source;

type Rule = fn(&Source) -> Vec<String>;

const CRATES: [&str; 7] =
    ["store", "store/cli", "proto", "systemd/daemon", "toolstack", "toolstack/unikernel", "jitsu"];

fn root() -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).parent();
    folder.expect("the crate is in the workspace").to_owned()
}

fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("the folder can be read").flatten() {
        let name = entry.file_name();
        let path = entry.path();
        if path.is_dir() && name != "target" {
            walk(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

fn workspace() -> Vec<Source> {
    let (root, mut paths) = (root(), Vec::new());
    CRATES.iter().for_each(|folder| walk(&root.join(folder), &mut paths));
    paths.sort();
    // Some crates are in the folder of another.
    paths.dedup();
    let read = |path: &PathBuf| {
        let name = path.strip_prefix(&root).expect("it was found there");
        let text = fs::read_to_string(path).expect("a source file is text");
        Source::new(&name.to_string_lossy(), &text)
    };
    let sources: Vec<Source> = paths.iter().map(read).collect();
    assert!(sources.len() > 20, "only {} files were found", sources.len());
    sources
}

/// The same without what is compiled for tests only.
fn shipped() -> Vec<Source> {
    let mut sources = workspace();
    let tests: HashSet<String> = sources
        .iter()
        .flat_map(|source| source.test_modules.iter().map(|name| source.module_path(name)))
        .collect();
    sources.retain(|source| {
        let path = source.path.trim_end_matches(".rs").trim_end_matches("/mod");
        let is_test = path.contains("/tests/")
            || tests.iter().any(|test| {
                path.strip_prefix(test.as_str())
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            });
        !is_test
    });
    sources
}

fn keep(sources: &[Source], rule: Rule) {
    let wrong: Vec<String> = sources.iter().flat_map(rule).collect();
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

/// `rule` finds something in `planted`, on these lines, and nothing in `right`.
#[track_caller]
fn check(rule: Rule, path: &str, planted: &str, lines: &[usize], right: &str) {
    let found: Vec<usize> = rule(&Source::new(path, planted))
        .iter()
        .map(|wrong| {
            wrong.split(':').nth(1).and_then(|line| line.parse().ok()).expect("path:line: what")
        })
        .collect();
    assert_eq!(found, lines);
    assert_eq!(rule(&Source::new(path, right)), Vec::<String>::new());
}

#[test]
fn every_file_says_what_it_owns() {
    keep(&workspace(), rules::header);
    check(rules::header, "a.rs", "// No.\n", &[1], "//! Yes.\n");
}

#[test]
fn files_are_short() {
    keep(&shipped(), rules::file_length);
    let line = "const A: u8 = 1;\n";
    let tests = format!("#[cfg(test)]\nmod tests {{\n{}}}\n", line.repeat(500));
    check(rules::file_length, "a.rs", &line.repeat(601), &[1], &(line.repeat(600) + &tests));
}

#[test]
fn functions_are_short() {
    keep(&shipped(), rules::function_length);
    let body = "    a();\n".repeat(69);
    let long = format!("struct A;\nfn f(a: [u8; 2]) {{\n{body}}}\nfn g() {{}}\n");
    let tests = format!("#[cfg(test)]\nfn f() {{\n{body}}}\n");
    let right =
        format!("fn f() {{\n{}}}\ntype F = fn(u8) -> u8;\n{tests}", "    a();\n".repeat(68));
    check(rules::function_length, "a.rs", &long, &[2], &right);
}

#[test]
fn pure_files_are_pure() {
    keep(&shipped(), rules::purity);
    let right = "use std::net::SocketAddr;\n// Instant::now\nconst A: &str = \"tokio\";\n\
                 #[cfg(test)]\nmod tests {\n    use tokio::time;\n}\n";
    check(rules::purity, "jitsu/src/summon/a.rs", "\nlet a = Instant::now();\n", &[2], right);
    check(rules::purity, "toolstack/src/plan.rs", "use std::{fs, net::IpAddr};\n", &[1], right);
    check(rules::purity, "proto/src/a.rs", "use std::net::{IpAddr, TcpStream};\n", &[1], right);
    check(
        rules::purity,
        "store/src/a.rs",
        "use std::{\n  sync,\n  fs::{self, File},\n};\n",
        &[1],
        right,
    );
    let disk = "use std::fs;\n";
    check(rules::purity, "store/src/tree.rs", disk, &[1], "use std::sync::Mutex;\n");
    check(rules::purity, "store/src/backend/log.rs", "", &[], disk);
}

#[test]
fn some_names_are_for_one_file_only() {
    keep(&shipped(), rules::only_in);
    check(
        rules::only_in,
        "jitsu/src/serve.rs",
        "use hickory_server::Server;\n",
        &[1],
        "// hickory_server\n",
    );
    check(
        rules::only_in,
        "jitsu/src/cli.rs",
        "\nlet a = toolstack::Daemon;\n",
        &[2],
        "self.toolstack.ask();\n",
    );
    check(rules::only_in, "jitsu/src/up.rs", "", &[], "let a = toolstack::Daemon;\n");
}

#[test]
fn only_proto_is_serialized() {
    keep(&shipped(), rules::serialize);
    let planted = "#[derive(Debug, Serialize)]\nstruct A;\nimpl Serialize for B {}\n";
    check(
        rules::serialize,
        "toolstack/src/a.rs",
        planted,
        &[1, 3],
        "#[derive(Deserialize)]\nstruct A;\n",
    );
    check(rules::serialize, "proto/src/a.rs", "", &[], planted);
}

#[test]
fn unchecked_code_is_where_it_is_listed() {
    keep(&workspace(), rules::unchecked);
    let planted = "#![allow(unsafe_code)]\nlet a = unsafe { b() };\n";
    check(
        rules::unchecked,
        "jitsu/src/a.rs",
        planted,
        &[2, 1],
        "//! Nothing unsafe.\nlet a = \"unsafe\";\n",
    );
    check(rules::unchecked, "systemd/daemon/src/sockets.rs", "let a = 1;\n", &[1], planted);
}

#[test]
fn nothing_is_left_undone() {
    keep(&workspace(), rules::undone);
    let planted = "#[ignore = \"slow\"]\nfn a() {\n    todo!()\n}\n";
    check(rules::undone, "jitsu/src/a.rs", planted, &[1, 3], "// todo!\nlet a = \"todo!\";\n");
}

#[test]
fn crates_know_only_what_they_may() {
    let manifest = |folder: &&str| {
        let text = fs::read_to_string(root().join(folder).join("Cargo.toml"));
        rules::edges(folder, &text.expect("a crate has a manifest"))
    };
    let wrong: Vec<String> = CRATES.iter().flat_map(manifest).collect();
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));

    let planted = "[package]\nname = \"tokio\"\n[dependencies]\nsha2 = \"1\"\n\
                   [target.'cfg(unix)'.dev-dependencies]\ntokio.workspace = true\n\
                   [dependencies.serde]\nversion = \"1\"\n";
    assert_eq!(
        rules::edges("store", planted),
        [
            "store/Cargo.toml: must not depend on tokio",
            "store/Cargo.toml: must not depend on serde"
        ]
    );
    assert_eq!(rules::edges("jitsu", planted), Vec::<String>::new());
    assert_eq!(
        rules::edges("toolstack", "[dependencies]\njitsu-proto = \"1\"\n"),
        Vec::<String>::new()
    );
    assert_eq!(rules::edges("toolstack", "[dependencies]\njitsu = \"1\"\n").len(), 1);
}

#[test]
fn literals_and_comments_are_no_code() {
    let text = "a /* b /* c */ d */ e \"f\\\" g\" 'h' b'\\'' r#\"i \" j\"# k<'l>(m) // n\no";
    let code = Source::new("a.rs", text).code;
    let words: Vec<&str> = code.split_whitespace().collect();
    assert_eq!(words, ["a", "e", "b", "k<'l>(m)", "o"]);
    assert_eq!(code.len(), text.len());
}

#[test]
fn what_is_for_tests_is_found() {
    let text = "struct A {\n#[cfg(test)]\npub(super) a: B<C, D>,\nb: u8,\n}\nfn f() {\n    A { b,\n\
                #[cfg(test)]\na: B }\n}\n#[cfg(test)]\nuse a::b;\n#[cfg(test)]\n\
                #[derive(Debug)]\nstruct E<A, B> { a: [A; 2], b: B }\nfn g() {}\n";
    let shipped = Source::new("a.rs", text).shipped;
    let words: Vec<&str> = shipped.split_whitespace().collect();
    assert_eq!(words.concat(), "structA{b:u8,}fnf(){A{b,}}fng(){}");
}

#[test]
fn modules_for_tests_are_found() {
    let source = Source::new(
        "a/src/b.rs",
        "#[cfg(test)]\nmod tests;\n#[cfg(test)]\npub(crate) mod c;\nmod d;\n",
    );
    assert_eq!(source.test_modules, ["tests", "c"]);
    assert_eq!(source.module_path("c"), "a/src/b/c");
    assert_eq!(Source::new("a/src/b/mod.rs", "").module_path("c"), "a/src/b/c");
}
