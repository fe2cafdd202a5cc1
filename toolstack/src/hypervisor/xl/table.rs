//! What `xl list -v` says.
//!
//! Owns reading its table. It is pure; it must not know what follows from it.

use jitsu_proto::Name;

use crate::hypervisor::End;
use crate::hypervisor::xen::Tag;

/// A domain that has a tag of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Row {
    /// None: it has none, or not one that we give.
    pub(super) name: Option<Name>,
    pub(super) domid: u32,
    pub(super) tag: Tag,
    pub(super) condition: Condition,
}

/// How it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Condition {
    /// It runs, or would if it had anything to do.
    Running,
    /// Its clock is stopped.
    Paused,
    /// Its guest has ended, this way; its memory is still there.
    Ended(End),
    /// It is being saved: its guest has suspended itself.
    Suspended,
    /// It is being removed.
    Dying,
}

/// The rows of domains that are ours. Err: the line that cannot be read.
///
/// A line is: name, number, MiB, VCPUs, six letters of state, seconds, UUID, reason, label; the
/// name of another's domain may be anything.
pub(super) fn read(text: &str) -> Result<Vec<Row>, &str> {
    let rows = text.lines().skip(1).filter_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let at = words.iter().position(|word| Tag::parse(word).is_some())?;
        Some(row(&words, at).ok_or(line))
    });
    rows.collect()
}

/// The row whose UUID is the `at`-th word.
fn row(words: &[&str], at: usize) -> Option<Row> {
    let before = |back: usize| words.get(at.checked_sub(back)?);
    let state = before(2)?.as_bytes();
    let domid = before(5)?.parse().ok()?;
    let has = |letter: u8| state.contains(&letter);
    if state.len() != 6 || state.iter().any(|letter| !b"-rbpscd".contains(letter)) {
        return None;
    }
    let condition = if has(b'd') {
        Condition::Dying
    } else if has(b's') || has(b'c') {
        ended(words.get(at + 1)?)?
    } else if has(b'p') {
        Condition::Paused
    } else {
        Condition::Running
    };
    let name = before(6).and_then(|name| Name::new(name).ok());
    Some(Row { name, domid, tag: Tag::parse(words[at])?, condition })
}

/// `SHUTDOWN_*` of xen/include/public/sched.h, in hexadecimal.
fn ended(reason: &str) -> Option<Condition> {
    Some(match u32::from_str_radix(reason, 16).ok()? {
        0 => Condition::Ended(End::PoweredOff),
        1 => Condition::Ended(End::Rebooted),
        2 => Condition::Suspended,
        // Crashed, or its watchdog was not fed.
        3 | 4 => Condition::Ended(End::Crashed),
        _ => Condition::Ended(End::Gone),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TAG: &str = "6a697473-7500-8123-8456-0123456789ab";

    #[test]
    fn ours_are_read_and_others_are_not() {
        let rows = [
            (
                "www 1 128 1     --p---       0.0 TAG        -                -",
                1,
                Condition::Paused,
            ),
            (
                "www 2 128 1     r-----       3.5 TAG        -                -",
                2,
                Condition::Running,
            ),
            (
                "www 3 128 1     -b----       3.5 TAG        -                -",
                3,
                Condition::Running,
            ),
            (
                "www 4 128 1     ------       3.5 TAG        -                -",
                4,
                Condition::Running,
            ),
            (
                "www 5 128 1     ---s--       3.5 TAG        0  -",
                5,
                Condition::Ended(End::PoweredOff),
            ),
            (
                "www 6 128 1     ---s--       3.5 TAG        1  -",
                6,
                Condition::Ended(End::Rebooted),
            ),
            ("www 7 128 1     ---s--       3.5 TAG        2  -", 7, Condition::Suspended),
            ("www 8 128 1     ---sc-       3.5 TAG        3  -", 8, Condition::Ended(End::Crashed)),
            ("www 8 128 1     ---sc-       3.5 TAG        4  -", 8, Condition::Ended(End::Crashed)),
            ("www 9 128 1     ---s--       3.5 TAG        5  -", 9, Condition::Ended(End::Gone)),
            ("www 9 0   1     --ps-d       3.5 TAG        0  -", 9, Condition::Dying),
            // It has no name any more.
            ("(null) 10 0 1   --ps-d       3.5 TAG        0  -", 10, Condition::Dying),
        ];
        let tag = Tag::parse(TAG).expect("ours");
        for (line, domid, condition) in rows {
            let text = format!(
                "Name ID Mem VCPUs\tState\tTime(s)   UUID Reason-Code\tSecurity Label\n\
                 Domain-0 0 1024 1 r----- 28.9 00000000-0000-0000-0000-000000000000 - -\n\
                 a name of another 44 16 1 -b---- 3.1 52d1c8c8-3ad8-4a0e-b9b8-3d94b4bb6d36 - -\n\
                 {}\n",
                line.replace("TAG", TAG)
            );
            let name = line.starts_with("www").then(|| Name::new("www").expect("a name"));
            assert_eq!(read(&text), Ok(vec![Row { name, domid, tag, condition }]), "{line}");
        }
        assert_eq!(read("Name ID\n"), Ok(vec![]));
        assert_eq!(read(""), Ok(vec![]));
    }

    #[test]
    fn what_cannot_be_read_is_said() {
        for line in [
            "TAG - -",
            "www x 128 1 r----- 3.5 TAG - -",
            "www 1 128 1 r---- 3.5 TAG - -",
            "www 1 128 1 r----z 3.5 TAG - -",
            "www 1 128 1 ---s-- 3.5 TAG",
            "www 1 128 1 ---s-- 3.5 TAG - -",
        ] {
            let line = line.replace("TAG", TAG);
            let text = format!("Name\n{line}\n");
            assert_eq!(read(&text), Err(line.as_str()));
        }
    }
}
