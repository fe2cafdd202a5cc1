//! Who may do what.
//!
//! Owns the lists of the configuration and the table of what each request needs. Root and the
//! daemon's own user may do everything, always: they could change its files anyway. The groups
//! of a caller are those its process has, the supplementary ones included, when it connects.

use std::collections::HashSet;
use std::fs;

use jitsu_proto::{Request, Role};
use nix::unistd::{Group, Uid, User};
use serde::Deserialize;

/// The lists, each of users and `@groups`, by name or number. The table `[roles]`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RoleConfig {
    /// Who may look.
    pub read: Vec<String>,
    /// Who may look and want domains to run or not.
    pub summon: Vec<String>,
    /// Who may do everything.
    pub admin: Vec<String>,
}

/// A name in a list that this machine does not have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RoleError {
    /// A user.
    #[error("roles.{list}: this machine has no user {name:?}")]
    User {
        /// The list.
        list: &'static str,
        /// The name.
        name: String,
    },
    /// A group.
    #[error("roles.{list}: this machine has no group {name:?}")]
    Group {
        /// The list.
        list: &'static str,
        /// The name.
        name: String,
    },
}

/// The lists, in numbers.
#[derive(Debug, Clone, Default)]
pub struct Roles {
    /// The most first.
    lists: Vec<(Role, Members)>,
}

#[derive(Debug, Clone, Default)]
struct Members {
    users: HashSet<u32>,
    groups: HashSet<u32>,
}

impl Roles {
    /// Looks all names up.
    pub fn new(config: &RoleConfig) -> Result<Roles, RoleError> {
        let lists = [
            (Role::Admin, "admin", &config.admin),
            (Role::Summon, "summon", &config.summon),
            (Role::Read, "read", &config.read),
        ];
        let resolved =
            lists.into_iter().map(|(role, list, names)| Ok((role, members(list, names)?)));
        Ok(Roles { lists: resolved.collect::<Result<_, _>>()? })
    }

    /// What a caller may do. None: nothing.
    pub fn of(&self, uid: u32, gid: u32, pid: i32) -> Option<Role> {
        if uid == 0 || uid == Uid::effective().as_raw() {
            return Some(Role::Admin);
        }
        let groups = supplementary_groups(uid, pid);
        let is_in = |members: &Members| {
            members.users.contains(&uid)
                || members.groups.contains(&gid)
                || groups.iter().any(|group| members.groups.contains(group))
        };
        self.lists.iter().find(|(_, members)| is_in(members)).map(|(role, _)| *role)
    }
}

fn members(list: &'static str, names: &[String]) -> Result<Members, RoleError> {
    let mut members = Members::default();
    for entry in names {
        if let Some(name) = entry.strip_prefix('@') {
            let group = name
                .parse()
                .ok()
                .or_else(|| Group::from_name(name).ok().flatten().map(|group| group.gid.as_raw()));
            let name = name.to_owned();
            members.groups.insert(group.ok_or(RoleError::Group { list, name })?);
        } else {
            let user = entry
                .parse()
                .ok()
                .or_else(|| User::from_name(entry).ok().flatten().map(|user| user.uid.as_raw()));
            let name = entry.clone();
            members.users.insert(user.ok_or(RoleError::User { list, name })?);
        }
    }
    Ok(members)
}

/// The groups of the process, if it still is there and of that user.
fn supplementary_groups(uid: u32, pid: i32) -> Vec<u32> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let numbers = |key: &str| -> Vec<u32> {
        let line = status.lines().find_map(|line| line.strip_prefix(key));
        let words = line.unwrap_or("").split_whitespace();
        words.filter_map(|word| word.parse().ok()).collect()
    };
    // The effective user is the second of four; a number that passed to another user is nobody's.
    if numbers("Uid:").get(1) == Some(&uid) { numbers("Groups:") } else { Vec::new() }
}

/// What a caller needs to ask this.
pub fn needed(request: &Request) -> Role {
    match request {
        Request::Info
        | Request::List
        | Request::Domain { .. }
        | Request::Spec { .. }
        | Request::Services
        | Request::Console { .. }
        | Request::Subscribe
        | Request::Log { .. }
        | Request::Show { .. }
        | Request::Diff { .. }
        | Request::Read { .. }
        | Request::Branches
        | Request::Fetch { .. } => Role::Read,
        Request::Want { branch: None, .. } | Request::AwaitKey { .. } | Request::Record { .. } => {
            Role::Summon
        }
        Request::Want { branch: Some(_), .. }
        | Request::DefineDomain { .. }
        | Request::UndefineDomain { .. }
        | Request::DefineService { .. }
        | Request::UndefineService { .. }
        | Request::Type { .. }
        | Request::Fork { .. }
        | Request::DeleteBranch { .. }
        | Request::Edit { .. }
        | Request::Merge { .. }
        | Request::Revert { .. }
        | Request::Push { .. } => Role::Admin,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_list_counts_and_strangers_get_nothing() {
        let config = RoleConfig {
            read: vec!["70001".to_owned(), "@70002".to_owned()],
            summon: vec!["70003".to_owned()],
            admin: vec!["@70004".to_owned()],
        };
        let roles = Roles::new(&config).expect("numbers need no names");
        assert_eq!(roles.of(0, 0, 1), Some(Role::Admin));
        assert_eq!(roles.of(70001, 1, 1), Some(Role::Read));
        assert_eq!(roles.of(70009, 70002, 1), Some(Role::Read));
        assert_eq!(roles.of(70003, 70004, 1), Some(Role::Admin));
        assert_eq!(roles.of(70003, 1, 1), Some(Role::Summon));
        assert_eq!(roles.of(70009, 1, 1), None);
    }

    #[test]
    fn names_that_are_not_there_are_told() {
        let config = RoleConfig { read: vec!["@no-such-group".to_owned()], ..Default::default() };
        let error = Roles::new(&config).expect_err("no such group").to_string();
        assert_eq!(error, "roles.read: this machine has no group \"no-such-group\"");
    }
}
