//! Errors as they cross the wire: a code to branch on, a text to read.
//!
//! Owns the closed list of codes; it must not know who raises them.

use serde::{Deserialize, Serialize};

/// What kind of refusal this is. Callers branch on it; the numbers never change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "u16", try_from = "u16")]
#[repr(u16)]
pub enum ErrorCode {
    /// The request itself is wrong.
    BadRequest = 1,
    /// The caller's role does not allow it.
    Forbidden = 2,
    /// What it names is not there.
    NotFound = 3,
    /// What it would make is there already.
    Exists = 4,
    /// Two changes do not go together; the reply says which paths.
    Conflict = 5,
    /// The caller is not the latest: another request for the same thing took its place.
    Superseded = 6,
    /// The hypervisor could not do it.
    Hypervisor = 7,
    /// A resource has run out: memory, addresses, places in a queue.
    Exhausted = 8,
    /// The store could not keep it.
    Storage = 9,
    /// It took too long.
    Timeout = 10,
    /// The hypervisor or this build has no such thing.
    Unsupported = 11,
    /// The peers speak different versions.
    Version = 12,
    /// The daemon is stopping, or was lost.
    Unavailable = 13,
}

const CODES: [ErrorCode; 13] = [
    ErrorCode::BadRequest,
    ErrorCode::Forbidden,
    ErrorCode::NotFound,
    ErrorCode::Exists,
    ErrorCode::Conflict,
    ErrorCode::Superseded,
    ErrorCode::Hypervisor,
    ErrorCode::Exhausted,
    ErrorCode::Storage,
    ErrorCode::Timeout,
    ErrorCode::Unsupported,
    ErrorCode::Version,
    ErrorCode::Unavailable,
];

impl From<ErrorCode> for u16 {
    fn from(code: ErrorCode) -> u16 {
        code as u16
    }
}

/// A number that is no [`ErrorCode`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0} is no error code")]
pub struct NoErrorCode(u16);

impl TryFrom<u16> for ErrorCode {
    type Error = NoErrorCode;
    fn try_from(number: u16) -> Result<ErrorCode, NoErrorCode> {
        CODES.into_iter().find(|code| *code as u16 == number).ok_or(NoErrorCode(number))
    }
}

/// A refusal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{text}")]
pub struct RpcError {
    /// What kind.
    pub code: ErrorCode,
    /// What was wrong and where, for a person.
    pub text: String,
    /// For [`ErrorCode::Conflict`]: the paths.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conflicts: Vec<crate::Conflict>,
}

impl RpcError {
    /// A refusal without conflicts.
    pub fn new(code: ErrorCode, text: impl Into<String>) -> RpcError {
        RpcError { code, text: text.into(), conflicts: Vec::new() }
    }
}
