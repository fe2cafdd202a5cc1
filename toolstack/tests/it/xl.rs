//! The hypervisor `xl`, with a shell script for the command and a XenStore of a few lines.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use jitsu_proto::{
    Commit, Disk, DomainSpec, DomainState, DomainStatus, ErrorCode, Event, Guest, Key, Mode,
    OnCrash, Request, Vif, Wanted,
};
use tempfile::TempDir;

use crate::client::{Client, PATIENCE};
use crate::crash::Daemon;
use crate::host::{TOOLSTACK, define, name};
use crate::store::Store;

/// A dom0 of its own.
struct Dom0 {
    dir: TempDir,
    config: PathBuf,
    path: std::ffi::OsString,
    store: Store,
}

impl Dom0 {
    fn new() -> Dom0 {
        let dir = TempDir::new().expect("a folder");
        for folder in ["domains", "configs"] {
            fs::create_dir(dir.path().join(folder)).expect("made");
        }
        fs::write(dir.path().join("last"), "0").expect("written");
        fs::write(dir.path().join("image"), "a kernel").expect("written");
        let config = dir.path().join("toolstack.toml");
        let at = |name: &str| dir.path().join(name).display().to_string();
        let text = format!(
            "hypervisor = \"xl\"\nbridge = \"lo\"\nsocket = \"{}\"\nstate_dir = \"{}\"\n\
             runtime_dir = \"{}\"\n[limits]\nattempts_max = 2\nstable_after = \"1ms\"\nbackoff_min = \"1ms\"\n",
            at("socket"),
            at("state"),
            at("run")
        );
        fs::write(&config, text).expect("written");
        let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/xl");
        let path = std::env::var_os("PATH").expect("a path");
        let path = std::env::join_paths([tools].into_iter().chain(std::env::split_paths(&path)));
        let store = Store::start(dir.path());
        Dom0 { config, path: path.expect("a path"), store, dir }
    }

    fn environment(&self) -> [(&'static str, &OsStr); 3] {
        [
            ("FAKE_XL", self.dir.path().as_ref()),
            ("PATH", &self.path),
            ("XENSTORED_PATH", self.store.socket.as_ref()),
        ]
    }

    fn start(&self) -> (Daemon, Client) {
        let daemon = Daemon::start_with(self.dir.path(), &self.config, &self.environment());
        let client = Client::connect(&daemon.socket);
        (daemon, client)
    }

    fn at(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.at(name), text).expect("written");
    }

    /// Domains as the script has them: number, name, state.
    fn domains(&self) -> Vec<(u32, String, String)> {
        let entries = fs::read_dir(self.at("domains")).expect("a folder").flatten();
        let mut domains: Vec<_> = entries
            .filter_map(|entry| {
                // None: it has just gone.
                let line = fs::read_to_string(entry.path()).ok()?;
                let words: Vec<&str> = line.split_whitespace().collect();
                let domid = entry.file_name().to_str().expect("a number").parse();
                Some((domid.expect("a number"), words[0].to_owned(), words[2].to_owned()))
            })
            .collect();
        domains.sort_unstable();
        domains
    }

    /// Lets a guest end by itself, and the XenStore say that some domain has.
    fn end(&self, status: &DomainStatus, state: &str, reason: &str) {
        let file = self.at(&format!("domains/{}", status.id.expect("it exists")));
        let line = fs::read_to_string(&file).expect("a domain");
        let mut words: Vec<&str> = line.split_whitespace().collect();
        words[2..].copy_from_slice(&[state, reason]);
        fs::write(&file, words.join(" ") + "\n").expect("written");
        self.store.release();
    }

    fn spec(&self) -> DomainSpec {
        DomainSpec::new(Guest::Kernel {
            image: self.at("image").display().to_string(),
            ramdisk: None,
            cmdline: "ip={address}".to_owned(),
            mode: Mode::Pv,
        })
    }

    /// What is in the XenStore below the domain's UUID.
    fn note(&self, domid: u32, key: &str) -> Option<String> {
        let line = fs::read_to_string(self.at(&format!("domains/{domid}"))).expect("a domain");
        let uuid = line.split_whitespace().nth(1).expect("a UUID").to_owned();
        let bytes = self.store.client().read(&format!("/vm/{uuid}/{key}")).ok()?;
        Some(String::from_utf8(bytes).expect("text"))
    }
}

/// Waits for a state of the domain `www`, that it has or is told.
fn until(client: &mut Client, is: impl Fn(&DomainStatus) -> bool) -> DomainStatus {
    let subscription = client.begin(Request::Subscribe);
    let now = client.status("www");
    if is(&now) {
        return now;
    }
    let www = name("www");
    let event = client.until(
        subscription,
        |event| matches!(event, Event::Domain(status) if status.name == www && is(status)),
    );
    match event {
        Event::Domain(status) => status,
        other => panic!("not a domain: {other:?}"),
    }
}

#[test]
fn a_domain_lives_and_goes() {
    let dom0 = Dom0::new();
    let (_daemon, mut client) = dom0.start();
    let spec = DomainSpec {
        address: Some("10.0.0.2".parse().expect("an address")),
        vifs: vec![Vif::default()],
        keys: vec![Key { path: "data/cfg".to_owned(), value: "{\"a\": 1}".to_owned() }],
        ..dom0.spec()
    };
    client.ok(define("www", spec));
    let status = client.want("www", Wanted::Paused).expect("made");
    assert_eq!((status.state, status.id), (DomainState::Paused, Some(1)));
    assert_eq!(status.address, Some("10.0.0.2".parse().expect("an address")));
    assert_eq!(dom0.domains(), [(1, "www".to_owned(), "--p---".to_owned())]);
    assert_eq!(dom0.note(1, "jitsu-built").as_deref(), Some("built"));
    let config = fs::read_to_string(dom0.at("configs/www")).expect("there was one");
    assert!(config.contains("cmdline = \"ip=10.0.0.2\"\n"), "{config}");
    assert!(config.contains(",ip=10.0.0.2,bridge=lo\""), "{config}");
    assert!(!dom0.at("run/xl/www.cfg").exists(), "it is removed");
    let key = dom0.store.client().read("/local/domain/1/data/cfg").expect("a key");
    assert_eq!(key, b"{\"a\": 1}");

    client.want("www", Wanted::Running).expect("runs");
    assert_eq!(dom0.domains()[0].2, "-b----");
    assert_eq!(dom0.note(1, "jitsu-built").as_deref(), Some("started"));
    client.want("www", Wanted::Suspended).expect("saved");
    assert_eq!(dom0.domains(), []);
    assert!(dom0.at("state/saved/www").exists());
    let status = client.want("www", Wanted::Running).expect("runs again");
    assert_eq!(status.id, Some(2));
    assert!(!dom0.at("state/saved/www").exists());
    let key = dom0.store.client().read("/local/domain/2/data/cfg").expect("a key");
    assert_eq!(key, b"{\"a\": 1}");
    client.want("www", Wanted::Paused).expect("paused");
    // Its guest must run to be saved.
    client.want("www", Wanted::Suspended).expect("saved");
    let status = client.want("www", Wanted::Running).expect("runs again");
    client.want("www", Wanted::Absent).expect("gone");
    assert_eq!((status.id, dom0.domains()), (Some(3), vec![]));
    let calls = fs::read_to_string(dom0.at("calls")).expect("calls");
    for call in ["create -e -p -q /", "unpause 1", "save 1 ", "restore -e -p /", "destroy 3"] {
        assert!(calls.lines().any(|line| line.starts_with(call)), "{call}: {calls}");
    }
    let after: Vec<&str> = calls.lines().skip_while(|call| *call != "pause 2").collect();
    let at = |what: &str| after.iter().position(|call| call.starts_with(what));
    assert!(at("unpause 2").expect("let run") < at("save 2").expect("saved"), "{calls}");
}

#[test]
fn ends_are_heard_and_ours_to_answer() {
    let dom0 = Dom0::new();
    let (_daemon, mut client) = dom0.start();
    client.ok(define("www", DomainSpec { on_crash: OnCrash::Restart, ..dom0.spec() }));
    let first = client.want("www", Wanted::Running).expect("runs");
    dom0.end(&first, "---sc-", "3");
    let is_next = |before: &DomainStatus| {
        let id = before.id;
        move |status: &DomainStatus| status.state == DomainState::Running && status.id != id
    };
    let second = until(&mut client, is_next(&first));
    let log = client.log("domain/www", None);
    let crashes = |commit: &Commit| format!("{commit:?}").contains("the guest crashed");
    assert!(log.iter().any(crashes), "{log:#?}");
    // By default that is what a reboot means.
    dom0.end(&second, "---s--", "1");
    let third = until(&mut client, is_next(&second));
    // Somebody else has removed it.
    fs::remove_file(dom0.at(&format!("domains/{}", third.id.expect("it runs")))).expect("gone");
    dom0.store.release();
    let fourth = until(&mut client, is_next(&third));
    assert_eq!(dom0.domains().len(), 1, "each of the others was removed");

    // A shutdown that was asked for, through the XenStore; it is the guest that ends.
    let request = Request::Want { name: name("www"), wanted: Wanted::Shutdown, branch: None };
    let asked = client.begin(request);
    let deadline = Instant::now() + PATIENCE;
    let control = format!("/local/domain/{}/control/shutdown", fourth.id.expect("it runs"));
    while dom0.store.client().read(&control).ok().as_deref() != Some(b"poweroff") {
        assert!(Instant::now() < deadline, "it is never asked");
        std::thread::sleep(Duration::from_millis(5));
    }
    dom0.end(&fourth, "---s--", "0");
    client.reply(asked).expect("gone");
    assert_eq!(dom0.domains(), []);
}

#[test]
fn a_whole_machine_is_shut_down_by_xl() {
    let dom0 = Dom0::new();
    let (_daemon, mut client) = dom0.start();
    client.ok(define("www", dom0.spec()));
    let status = client.want("www", Wanted::Running).expect("runs");
    let domid = status.id.expect("it runs");
    dom0.store.client().write(&format!("/libxl/{domid}/type"), "hvm").expect("written");
    let request = Request::Want { name: name("www"), wanted: Wanted::Shutdown, branch: None };
    let asked = client.begin(request);
    let deadline = Instant::now() + PATIENCE;
    // The script's guest obeys at once.
    while dom0.domains().iter().any(|domain| domain.2 != "---s--") {
        assert!(Instant::now() < deadline, "it is never asked");
        std::thread::sleep(Duration::from_millis(5));
    }
    dom0.store.release();
    client.reply(asked).expect("gone");
    assert_eq!(dom0.domains(), []);
}

#[test]
fn what_goes_wrong_is_told_and_nothing_is_left() {
    let dom0 = Dom0::new();
    let (_daemon, mut client) = dom0.start();
    let image = dom0.at("image").display().to_string();
    let missing = DomainSpec::new(Guest::Kernel {
        image: "/nonexistent/image".to_owned(),
        ramdisk: None,
        cmdline: String::new(),
        mode: Mode::Pv,
    });
    let bridge = Vif { bridge: Some("nobr9".to_owned()), ..Vif::default() };
    let disk = Disk {
        source: "/nonexistent/disk".to_owned(),
        device: "xvda".to_owned(),
        read_only: false,
    };
    let quoted = DomainSpec::new(Guest::Kernel {
        image: image.clone(),
        ramdisk: None,
        cmdline: "a\nname=\"other\"".to_owned(),
        mode: Mode::Pv,
    });
    let parse = "xc: error: panic: xg_dom_core.c:689: xc_dom_find_loader: no loader found: Invalid kernel\n\
                 libxl: error: libxl_dom.c:571:libxl__build_dom: xc_dom_parse_image failed\n";
    let memory = "libxl: error: libxl_dom.c:586:libxl__build_dom: xc_dom_boot_mem_init failed: Cannot allocate memory\n";
    let handle = "xencall: error: Could not obtain handle on privileged command interface: Permission denied\n";
    let rows = [
        (missing, "", "", "the guest cannot be started: /nonexistent/image: No such file"),
        (
            DomainSpec { vifs: vec![Vif::default(), bridge], ..dom0.spec() },
            "",
            "",
            "vifs[1]: dom0 has no bridge \"nobr9\"",
        ),
        (
            DomainSpec { disks: vec![disk], ..dom0.spec() },
            "",
            "",
            "disk xvda (/nonexistent/disk): No such file",
        ),
        (quoted, "", "", "writing the xl.cfg: guest.kernel.cmdline is \"a\\nname="),
        (dom0.spec(), "fail-create", parse, "image: no loader found: Invalid kernel; xc_dom_pa"),
        (dom0.spec(), "fail-create", memory, "not enough memory for 64 MiB"),
        (dom0.spec(), "fail-create", handle, "not permitted: making the domain: Could not obtain"),
        (dom0.spec(), "fail-create-late", "libxl: error: a.c:1:b: Domain 3:odd\n", "domain: odd"),
    ];
    for (spec, file, text, words) in rows {
        client.ok(define("www", spec));
        if !file.is_empty() {
            dom0.write(file, text);
        }
        let error = client.want("www", Wanted::Running).expect_err(words);
        assert!(error.text.contains(words), "{} is not: {words}", error.text);
        client.want("www", Wanted::Absent).expect("it is not there");
        assert_eq!(dom0.domains(), [], "{words}");
        let _ = fs::remove_file(dom0.at(file));
    }
    // It can be tried again.
    client.ok(define("www", dom0.spec()));
    client.want("www", Wanted::Running).expect("runs");
}

#[test]
fn the_domains_of_others_are_left_alone() {
    let dom0 = Dom0::new();
    dom0.write("domains/7", "www 52d1c8c8-3ad8-4a0e-b9b8-3d94b4bb6d36 -b---- -\n");
    dom0.write("domains/8", "other 52d1c8c8-3ad8-4a0e-b9b8-3d94b4bb6d37 ---s-- 0\n");
    // Ours, of an earlier daemon: not whole, and ended.
    dom0.write("domains/9", "half 6a697473-7500-8123-8456-0123456789ab --p--- -\n");
    dom0.write("domains/10", "over 6a697473-7500-8123-8456-0123456789ac ---s-- 0\n");
    let built = "/vm/6a697473-7500-8123-8456-0123456789ac/jitsu-built";
    dom0.store.client().write(built, "started").expect("written");
    let (_daemon, mut client) = dom0.start();
    client.ok(define("www", dom0.spec()));
    let error = client.want("www", Wanted::Running).expect_err("the name is taken");
    assert_eq!(error.code, ErrorCode::Hypervisor);
    assert!(error.text.contains("a domain named www exists already"), "{}", error.text);
    let left: Vec<u32> = dom0.domains().iter().map(|domain| domain.0).collect();
    assert_eq!(left, [7, 8]);
}

#[test]
fn an_xl_cfg_is_taken_as_it_is() {
    let dom0 = Dom0::new();
    let (_daemon, mut client) = dom0.start();
    dom0.write("mine.cfg", "name = \"mine\"\nkernel = \"/anything\"\n");
    let config = dom0.at("mine.cfg").display().to_string();
    client.ok(define("www", DomainSpec::new(Guest::Xl { config })));
    client.want("www", Wanted::Running).expect("runs");
    let config = fs::read_to_string(dom0.at("configs/www")).expect("there was one");
    assert_eq!(config, "name = \"mine\"\nkernel = \"/anything\"\n");
    assert!(dom0.at("mine.cfg").exists(), "it is not ours to remove");
    client.want("www", Wanted::Absent).expect("gone");
}

#[test]
fn a_daemon_killed_while_xl_works_is_followed_by_one_that_waits() {
    let dom0 = Dom0::new();
    let (daemon, mut client) = dom0.start();
    client.ok(define("www", dom0.spec()));
    dom0.write("stall-create", "");
    client.begin(Request::Want { name: name("www"), wanted: Wanted::Running, branch: None });
    let deadline = Instant::now() + PATIENCE;
    let is_creating = || {
        let calls = fs::read_to_string(dom0.at("calls")).unwrap_or_default();
        calls.lines().any(|call| call.starts_with("create"))
    };
    while !is_creating() {
        assert!(Instant::now() < deadline, "nothing is made");
        std::thread::sleep(Duration::from_millis(5));
    }
    // Work begins before what asked for it is durable. Two commits define the domain.
    let asked = client.log_of("domain/www", 3);
    assert!(asked[2].message.contains("asked"), "{asked:#?}");
    drop(daemon);
    let lists = || {
        let calls = fs::read_to_string(dom0.at("calls")).expect("calls");
        calls.lines().filter(|call| call.starts_with("list")).count()
    };
    let before = lists();
    std::thread::scope(|scope| {
        let next = scope.spawn(|| dom0.start());
        // It has connected to the XenStore by then, and listed nothing.
        let made = Instant::now() + PATIENCE;
        while !dom0.at("run/consoles").exists() && Instant::now() < made {
            std::thread::yield_now();
        }
        assert_eq!(lists(), before, "it waits for the xl that still works");
        fs::remove_file(dom0.at("stall-create")).expect("removed");
        let (_daemon, mut client) = next.join().expect("it starts");
        let status = until(&mut client, |status| status.state == DomainState::Running);
        // What the first one began is not whole, and was removed.
        assert_eq!((status.id, dom0.domains().len()), (Some(2), 1));
    });
}

#[test]
fn without_xl_or_a_xenstore_it_says_so() {
    let dom0 = Dom0::new();
    let start = |path: &OsStr, socket: &Path| {
        let mut toolstack = Command::new(TOOLSTACK);
        toolstack.args(["serve", "--config"]).arg(&dom0.config).env("PATH", path);
        let output = toolstack.env("XENSTORED_PATH", socket).output().expect("it starts");
        assert!(!output.status.success());
        String::from_utf8(output.stderr).expect("text")
    };
    let error = start("/nonexistent".as_ref(), &dom0.store.socket);
    let words = "the hypervisor \"xl\" does not work here: the command xl is not installed";
    assert_eq!(error.matches(words).count(), 1, "{error}");
    let error = start(&dom0.path, Path::new("/nonexistent/socket"));
    let words = "does not work here: the XenStore at /nonexistent/socket: it cannot be reached";
    assert!(error.contains(words), "{error}");
}
