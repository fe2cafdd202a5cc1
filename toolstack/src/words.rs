//! Words that stand for codes in commits and logs.
//!
//! Owns the spelling; it must not know when a word is due.

use jitsu_proto::{ErrorCode, Role};

/// An error code as a word.
pub(crate) fn code(code: ErrorCode) -> &'static str {
    match code {
        ErrorCode::BadRequest => "bad-request",
        ErrorCode::Forbidden => "forbidden",
        ErrorCode::NotFound => "not-found",
        ErrorCode::Exists => "exists",
        ErrorCode::Conflict => "conflict",
        ErrorCode::Superseded => "superseded",
        ErrorCode::Hypervisor => "hypervisor",
        ErrorCode::Exhausted => "exhausted",
        ErrorCode::Storage => "storage",
        ErrorCode::Timeout => "timeout",
        ErrorCode::Unsupported => "unsupported",
        ErrorCode::Version => "version",
        ErrorCode::Unavailable => "unavailable",
    }
}

/// A role as a word.
pub(crate) fn role(role: Option<Role>) -> &'static str {
    match role {
        None => "none",
        Some(Role::Read) => "read",
        Some(Role::Summon) => "summon",
        Some(Role::Admin) => "admin",
    }
}
