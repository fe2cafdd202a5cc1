//! Who may do what, and that a refusal is written down.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

use jitsu_proto::{ErrorCode, Request, Response, Role, Wanted};
use jitsu_store::sync::Message;

use crate::client::Client;
use crate::host::{Host, define, hello};

const SOMEBODY: u32 = 65534;
const SOCKET: &str = "JITSU_TEST_SOCKET";

#[test]
fn our_own_user_may_do_everything() {
    let host = Host::fake();
    let Response::Info(info) = host.client().ok(Request::Info) else { panic!("no info") };
    assert_eq!(info.role, Role::Admin);
}

/// Only root can be somebody else; without root there is nothing to see here.
#[test]
fn needs_root_somebody_else_may_do_what_the_lists_say() {
    if !nix::unistd::Uid::effective().is_root() {
        return;
    }
    let host = Host::fake_limited(|config| config.roles.summon = vec![SOMEBODY.to_string()]);
    let open = |path: &std::path::Path, mode| {
        let mode = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(path, mode).expect("opened");
    };
    open(host.dir.path(), 0o755);
    open(&host.config.socket, 0o666);
    let mut client = host.client();
    client.ok(define("www", hello()));
    let ours = std::env::current_exe().expect("a test has a file");
    let copy = host.dir.path().join("it");
    std::fs::copy(ours, &copy).expect("copied to where somebody else can run it");
    let status = Command::new(copy)
        .args(["--exact", "roles::as_somebody_else"])
        .env(SOCKET, &host.config.socket)
        .current_dir("/")
        .uid(SOMEBODY)
        .gid(SOMEBODY)
        .status()
        .expect("run");
    assert!(status.success());
    let log = client.log_of("domain/www", 5);
    let refused = log
        .iter()
        .find(|commit| commit.fields.get("result").is_some_and(|result| result == "forbidden"));
    let refused = refused.expect("the refusal is written down");
    assert_eq!(refused.fields["method"], "define");
    assert_eq!(refused.fields["uid"], SOMEBODY.to_string());
}

/// The part of the test above that somebody else runs; by itself it does nothing.
#[test]
fn as_somebody_else() {
    let Some(socket) = std::env::var_os(SOCKET).map(PathBuf::from) else { return };
    let mut client = Client::connect(&socket);
    let Response::Info(info) = client.ok(Request::Info) else { panic!("no info") };
    assert_eq!(info.role, Role::Summon);
    let refused = client.refused(define("www", hello()));
    assert_eq!(refused.code, ErrorCode::Forbidden);
    let merge = Request::Merge { from: "main".to_owned(), into: "main".to_owned() };
    assert_eq!(client.refused(merge).code, ErrorCode::Forbidden);
    let push = Request::Push { message: Message::Give("plan".parse().expect("a name")).encode() };
    assert_eq!(client.refused(push).code, ErrorCode::Forbidden);
    client.ok(Request::Fetch { message: Message::List.encode() });
    client.want("www", Wanted::Running).expect("a summoner may want");
}
