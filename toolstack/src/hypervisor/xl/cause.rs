//! From what `xl` says when it fails to what went wrong.
//!
//! Owns knowing the messages of libxl, libxenctrl and libxenguest, which change little between
//! releases, and dropping those that only follow from others. It is pure.

/// What went wrong, cut where callers branch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    /// There is no such command.
    NoCommand,
    /// This is no dom0, or the hypervisor's drivers are not there.
    NotThere,
    /// Whoever runs `xl` may not.
    Permission,
    /// A domain of this name exists.
    NameTaken,
    /// There is not enough memory.
    NoMemory,
    /// The kernel or its ramdisk cannot be loaded.
    Image,
    /// The guest did not suspend itself when it was asked to.
    NotSuspended,
    /// Another.
    Other,
}

/// That `xl` failed, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) cause: Cause,
    /// In `xl`'s own words.
    pub(super) said: String,
}

/// What each cause is known by. The first row that fits is it: one that is not permitted to open
/// the hypervisor is told, too, that it could not.
const MESSAGES: [(&str, Cause); 15] = [
    ("command interface: Permission denied", Cause::Permission),
    ("cannot open libxc handle: Permission denied", Cause::Permission),
    ("command interface", Cause::NotThere),
    ("cannot open libxc handle", Cause::NotThere),
    ("find hypervisor information in sysfs", Cause::NotThere),
    ("already exists", Cause::NameTaken),
    ("xc_dom_boot_mem_init failed", Cause::NoMemory),
    ("failed to free memory for the domain", Cause::NoMemory),
    ("xc_dom_kernel_file failed", Cause::Image),
    ("xc_dom_ramdisk_file failed", Cause::Image),
    ("xc_dom_parse_image failed", Cause::Image),
    // Its memory has no room for it, says the line before.
    ("xc_dom_build_image failed", Cause::Image),
    ("failed to read kernel image", Cause::Image),
    ("guest didn't acknowledge suspend", Cause::NotSuspended),
    ("did not respond to suspend request", Cause::NotSuspended),
];

/// What every failure says, or what is no failure.
const NOISE: [&str; 12] = [
    "Saving to ",
    "Destruction of domain failed",
    "Non-existant domain",
    "Parsing config from",
    "Savefile contains",
    "Loading new save file",
    "Unable to destroy guest",
    "cannot (re-)build domain",
    "cannot make domain",
    "xc: Frames",
    "xc: info",
    "warning: ",
];

/// What begins a line without saying anything.
const PREFIXES: [&str; 7] = [
    "libxl: error: ",
    "xc: error: ",
    "xencall: error: ",
    "xl: fatal error: ",
    "ERROR:  ",
    "panic: ",
    "Internal error: ",
];

/// What went wrong, from all that was said.
pub(super) fn of(text: &str) -> Failure {
    let known = MESSAGES.into_iter().find(|(message, _)| text.contains(message));
    let cause = known.map_or(Cause::Other, |(_, cause)| cause);
    let mut said: Vec<&str> = Vec::new();
    for line in text.lines().filter(|line| !NOISE.iter().any(|noise| line.contains(noise))) {
        let line = bare(line);
        if !line.is_empty() && !said.contains(&line) {
            said.push(line);
        }
    }
    let said = if said.is_empty() { "it does not say why".to_owned() } else { said.join("; ") };
    Failure { cause, said }
}

/// Whether something is wrong, though `xl` ended as if all were well: some of its commands do.
pub(super) fn is_in(text: &str) -> bool {
    text.contains(": error: ")
}

/// A message without the place in the source that it comes from.
fn bare(line: &str) -> &str {
    let mut line = line.trim();
    while let Some(rest) = PREFIXES.iter().find_map(|prefix| line.strip_prefix(prefix)) {
        line = rest;
    }
    // file.c:123: or file.c:123:function:
    if let Some((file, rest)) = line.split_once(':')
        && file.ends_with(".c")
        && let Some((number, rest)) = rest.split_once(':')
        && number.bytes().all(|byte| byte.is_ascii_digit())
    {
        line = rest.trim_start();
        let is_function = |word: &str| word.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        if let Some((function, rest)) = line.split_once(':')
            && is_function(function)
        {
            line = rest.trim_start();
        }
    }
    if let Some((domain, rest)) = line.split_once(':')
        && let Some(number) = domain.strip_prefix("Domain ")
        && number.bytes().all(|byte| byte.is_ascii_digit())
    {
        line = rest;
    }
    line.trim_end_matches(": Internal error").trim()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_xl_says() {
        let rows = [
            (
                "libxl: error: libxl_domain.c:81:libxl__domain_rename: Domain 2:Domain with name \"www\" already exists.\n\
                 libxl: error: libxl_create.c:1296:initiate_domain_create: Domain 2:cannot make domain: -6\n\
                 libxl: error: libxl_domain.c:1183:libxl__destroy_domid: Domain 2:Non-existant domain\n\
                 libxl: error: libxl_domain.c:1137:domain_destroy_callback: Domain 2:Unable to destroy guest\n\
                 libxl: error: libxl_domain.c:1064:domain_destroy_cb: Domain 2:Destruction of domain failed\n",
                Cause::NameTaken,
                "Domain with name \"www\" already exists.",
            ),
            (
                "xc: error: panic: xg_dom_core.c:205: failed to open file '/lab/nonexistent': No such file or directory: Internal error\n\
                 libxl: error: libxl_dom.c:646:libxl__build_pv: xc_dom_kernel_file failed: No such file or directory\n\
                 libxl: error: libxl_create.c:1640:domcreate_rebuild_done: Domain 4:cannot (re-)build domain: -3\n",
                Cause::Image,
                "failed to open file '/lab/nonexistent': No such file or directory; xc_dom_kernel_file failed: No such file or directory",
            ),
            (
                "xc: error: panic: xg_dom_core.c:689: xc_dom_find_loader: no loader found: Invalid kernel\n\
                 libxl: error: libxl_dom.c:571:libxl__build_dom: xc_dom_parse_image failed\n",
                Cause::Image,
                "no loader found: Invalid kernel; xc_dom_parse_image failed",
            ),
            (
                "xc: error: panic: xg_dom_core.c:536: xc_dom_chk_alloc_pages: segment padding too large (0x1000 > 0x800 - 0x0 pages): Out of memory\n\
                 libxl: error: libxl_dom.c:594:libxl__build_dom: xc_dom_build_image failed: No such file or directory\n",
                Cause::Image,
                "segment padding too large (0x1000 > 0x800 - 0x0 pages): Out of memory; xc_dom_build_image failed: No such file or directory",
            ),
            (
                "xc: error: panic: xg_dom_boot.c:119: xc_dom_boot_mem_init: can't allocate low memory for domain: Out of memory\n\
                 libxl: error: libxl_dom.c:586:libxl__build_dom: xc_dom_boot_mem_init failed: Cannot allocate memory\n",
                Cause::NoMemory,
                "can't allocate low memory for domain: Out of memory; xc_dom_boot_mem_init failed: Cannot allocate memory",
            ),
            (
                "xencall: error: Could not obtain handle on privileged command interface: Permission denied\n\
                 libxl: error: libxl.c:102:libxl_ctx_alloc: cannot open libxc handle: Permission denied\n\
                 cannot init xl context\n",
                Cause::Permission,
                "Could not obtain handle on privileged command interface: Permission denied; cannot open libxc handle: Permission denied; cannot init xl context",
            ),
            (
                "xencall: error: Could not obtain handle on privileged command interface: No such file or directory\n",
                Cause::NotThere,
                "Could not obtain handle on privileged command interface: No such file or directory",
            ),
            (
                "ERROR:  Can't find hypervisor information in sysfs!\n",
                Cause::NotThere,
                "Can't find hypervisor information in sysfs!",
            ),
            (
                "/srv/b.cfg:6: config parsing error near `(': lexical error\n\
                 warning: Config file looks like it contains Python code.\n\
                 Failed to parse config: Invalid argument\n",
                Cause::Other,
                "/srv/b.cfg:6: config parsing error near `(': lexical error; Failed to parse config: Invalid argument",
            ),
            (
                "Saving to /srv/www~ new xl format (info 0x3/0x0/1048)\n\
                 xc: error: Bad mfn 0 for p2m frame list list: Internal error\n\
                 libxl: error: libxl_stream_write.c:347:libxl__xc_domain_save_done: Domain 3:saving domain: domain did not respond to suspend request: Success\n\
                 Failed to save domain, resuming domain\n",
                Cause::NotSuspended,
                "Bad mfn 0 for p2m frame list list; saving domain: domain did not respond to suspend request: Success; Failed to save domain, resuming domain",
            ),
            ("", Cause::Other, "it does not say why"),
        ];
        for (text, cause, said) in rows {
            assert_eq!(of(text), Failure { cause, said: said.to_owned() }, "{text}");
        }
    }

    #[test]
    fn an_error_is_found_where_the_status_hides_it() {
        assert!(is_in(
            "libxl: error: libxl_dom.c:37:libxl__domain_type: unable to get domain type"
        ));
        assert!(!is_in("Shutting down domain 3\n"));
    }
}
