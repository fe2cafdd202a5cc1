//! What the packets of the XenStore protocol say, both ways.
//!
//! Owns the payloads of requests, replies and events (docs/misc/xenstore.txt of Xen). It must not
//! know sockets, nor what a node holds. A client encodes requests and decodes answers; a server
//! the other way round.

use std::borrow::Cow;
use std::fmt;

use super::packet::{self, Kind, WireError};
use super::path::Path;
use super::permission::Permission;

/// What a client asks. Text is in bytes where the protocol does not say which bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "these are the protocol's own words")]
pub enum Request<'a> {
    /// A command to the daemon, and what it takes.
    Control(Vec<&'a [u8]>),
    /// The names of a node's children.
    Directory(Path<'a>),
    /// The same from a byte of the list on, where it is too long for one answer.
    DirectoryPart {
        path: Path<'a>,
        offset: u32,
    },
    Read(Path<'a>),
    GetPerms(Path<'a>),
    SetPerms {
        path: Path<'a>,
        permissions: Vec<Permission>,
    },
    Watch {
        path: Path<'a>,
        token: &'a [u8],
    },
    Unwatch {
        path: Path<'a>,
        token: &'a [u8],
    },
    ResetWatches,
    TransactionStart,
    TransactionEnd {
        commit: bool,
    },
    /// A domain that may connect: its ring's frame, its event channel's port.
    Introduce {
        domid: u32,
        frame: u64,
        port: u32,
    },
    Release {
        domid: u32,
    },
    GetDomainPath {
        domid: u32,
    },
    IsDomainIntroduced {
        domid: u32,
    },
    Resume {
        domid: u32,
    },
    /// `domid` may do what `target` may.
    SetTarget {
        domid: u32,
        target: u32,
    },
    Write {
        path: Path<'a>,
        value: &'a [u8],
    },
    Mkdir(Path<'a>),
    Rm(Path<'a>),
}

/// What a server sends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer<'a> {
    /// It is done.
    Reply(Reply<'a>),
    /// It is not, and why.
    Error(ErrorName),
    /// Something at or below a watched path changed.
    Event {
        /// What changed.
        path: Path<'a>,
        /// The watch's token.
        token: &'a [u8],
    },
}

/// What a request gets that is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply<'a> {
    /// Nothing but that.
    Done,
    /// CONTROL: what the daemon says.
    Output(&'a [u8]),
    /// READ: what the node holds.
    Value(&'a [u8]),
    /// DIRECTORY: the children.
    Names(Vec<&'a str>),
    /// DIRECTORY_PART: some of them.
    Part {
        /// Changes with the list.
        generation: u64,
        /// The children.
        names: Vec<&'a str>,
        /// Whether these are the last.
        is_last: bool,
    },
    /// GET_PERMS.
    Permissions(Vec<Permission>),
    /// TRANSACTION_START: its number.
    Transaction(u32),
    /// GET_DOMAIN_PATH.
    DomainPath(Path<'a>),
    /// IS_DOMAIN_INTRODUCED.
    Introduced(bool),
}

/// The name of an error, as it is sent: those of xs_wire.h, and whatever else a daemon has.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ErrorName(Cow<'static, str>);

impl ErrorName {
    /// Another commit came between: the transaction is to be tried again.
    pub const AGAIN: ErrorName = ErrorName(Cow::Borrowed("EAGAIN"));
    /// There is no such node, or no such transaction.
    pub const NO_ENTRY: ErrorName = ErrorName(Cow::Borrowed("ENOENT"));
    /// The answer has no room in a packet, or a value none in a node.
    pub const TOO_BIG: ErrorName = ErrorName(Cow::Borrowed("E2BIG"));

    /// The name that these bytes are: an E, then capitals and digits. None: they are none.
    pub fn from_bytes(bytes: &[u8]) -> Option<ErrorName> {
        let is_letter = |byte: &u8| byte.is_ascii_uppercase() || byte.is_ascii_digit();
        let is_name = (2..=16).contains(&bytes.len()) && bytes[0] == b'E';
        let text = std::str::from_utf8(bytes).ok()?;
        let is_name = is_name && bytes.iter().all(is_letter);
        is_name.then(|| ErrorName(Cow::Owned(text.to_owned())))
    }

    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Request<'_> {
    /// Its kind.
    pub fn kind(&self) -> Kind {
        match self {
            Request::Control(_) => Kind::Control,
            Request::Directory(_) => Kind::Directory,
            Request::DirectoryPart { .. } => Kind::DirectoryPart,
            Request::Read(_) => Kind::Read,
            Request::GetPerms(_) => Kind::GetPerms,
            Request::SetPerms { .. } => Kind::SetPerms,
            Request::Watch { .. } => Kind::Watch,
            Request::Unwatch { .. } => Kind::Unwatch,
            Request::ResetWatches => Kind::ResetWatches,
            Request::TransactionStart => Kind::TransactionStart,
            Request::TransactionEnd { .. } => Kind::TransactionEnd,
            Request::Introduce { .. } => Kind::Introduce,
            Request::Release { .. } => Kind::Release,
            Request::GetDomainPath { .. } => Kind::GetDomainPath,
            Request::IsDomainIntroduced { .. } => Kind::IsDomainIntroduced,
            Request::Resume { .. } => Kind::Resume,
            Request::SetTarget { .. } => Kind::SetTarget,
            Request::Write { .. } => Kind::Write,
            Request::Mkdir(_) => Kind::Mkdir,
            Request::Rm(_) => Kind::Rm,
        }
    }

    /// Appends it to `out` as a packet. On an error `out` is as it was.
    pub fn encode(&self, req_id: u32, tx_id: u32, out: &mut Vec<u8>) -> Result<(), WireError> {
        packet::encode(self.kind(), req_id, tx_id, out, |out| match self {
            Request::Control(parts) => parts.iter().for_each(|part| string(out, part)),
            Request::Directory(path)
            | Request::Read(path)
            | Request::GetPerms(path)
            | Request::Mkdir(path)
            | Request::Rm(path) => string(out, path.as_str()),
            Request::DirectoryPart { path, offset } => {
                string(out, path.as_str());
                string(out, offset.to_string());
            }
            Request::SetPerms { path, permissions } => {
                string(out, path.as_str());
                permissions.iter().for_each(|permission| string(out, permission.to_string()));
            }
            Request::Watch { path, token } | Request::Unwatch { path, token } => {
                string(out, path.as_str());
                string(out, token);
            }
            // oxenstored waits for the next packet where a payload is empty, so a NUL it is.
            Request::ResetWatches | Request::TransactionStart => string(out, ""),
            Request::TransactionEnd { commit } => string(out, if *commit { "T" } else { "F" }),
            Request::Introduce { domid, frame, port } => {
                string(out, domid.to_string());
                string(out, frame.to_string());
                string(out, port.to_string());
            }
            Request::Release { domid }
            | Request::GetDomainPath { domid }
            | Request::IsDomainIntroduced { domid }
            | Request::Resume { domid } => string(out, domid.to_string()),
            Request::SetTarget { domid, target } => {
                string(out, domid.to_string());
                string(out, target.to_string());
            }
            Request::Write { path, value } => {
                string(out, path.as_str());
                out.extend_from_slice(value);
            }
        })
    }

    /// The request of this type (`Header::kind`) and payload. Numbers are decimal, without a sign
    /// or zeros before them.
    pub fn decode(kind: u32, payload: &[u8]) -> Result<Request<'_>, WireError> {
        let kind = Kind::new(kind)?;
        let strings = Strings { kind, payload };
        Ok(match kind {
            Kind::Control => match strings.all()? {
                parts if parts.is_empty() => return Err(strings.is_not("a command")),
                parts => Request::Control(parts),
            },
            Kind::Directory => Request::Directory(strings.path()?),
            Kind::Read => Request::Read(strings.path()?),
            Kind::GetPerms => Request::GetPerms(strings.path()?),
            Kind::Mkdir => Request::Mkdir(strings.path()?),
            Kind::Rm => Request::Rm(strings.path()?),
            Kind::DirectoryPart => {
                let [path, offset] = strings.exactly("a path and an offset")?;
                let (path, offset) = (strings.to_path(path)?, strings.to_number(offset)?);
                Request::DirectoryPart { path, offset }
            }
            Kind::SetPerms => match strings.all()?[..] {
                [path, ref list @ ..] if !list.is_empty() => Request::SetPerms {
                    path: strings.to_path(path)?,
                    permissions: strings.to_permissions(list)?,
                },
                _ => return Err(strings.is_not("a path and permissions")),
            },
            Kind::Watch => {
                let [path, token] = strings.exactly("a path and a token")?;
                Request::Watch { path: strings.to_path(path)?, token }
            }
            Kind::Unwatch => {
                let [path, token] = strings.exactly("a path and a token")?;
                Request::Unwatch { path: strings.to_path(path)?, token }
            }
            Kind::ResetWatches if payload == b"\0" => Request::ResetWatches,
            Kind::TransactionStart if payload == b"\0" => Request::TransactionStart,
            Kind::ResetWatches | Kind::TransactionStart => return Err(strings.is_not("one NUL")),
            Kind::TransactionEnd => Request::TransactionEnd { commit: strings.truth()? },
            Kind::Introduce => {
                let [domid, frame, port] = strings.exactly("a domid, a frame and a port")?;
                Request::Introduce {
                    domid: strings.to_number(domid)?,
                    frame: strings.to_number(frame)?,
                    port: strings.to_number(port)?,
                }
            }
            Kind::Release => Request::Release { domid: strings.domid()? },
            Kind::GetDomainPath => Request::GetDomainPath { domid: strings.domid()? },
            Kind::IsDomainIntroduced => Request::IsDomainIntroduced { domid: strings.domid()? },
            Kind::Resume => Request::Resume { domid: strings.domid()? },
            Kind::SetTarget => {
                let [domid, target] = strings.exactly("two domids")?;
                Request::SetTarget {
                    domid: strings.to_number(domid)?,
                    target: strings.to_number(target)?,
                }
            }
            Kind::Write => {
                let nul = payload.iter().position(|byte| *byte == 0);
                let nul = nul.ok_or_else(|| strings.is_not("a path, a NUL and a value"))?;
                let path = strings.to_path(&payload[..nul])?;
                Request::Write { path, value: &payload[nul + 1..] }
            }
            Kind::WatchEvent | Kind::Error => return Err(WireError::Kind(kind as u32)),
        })
    }
}

impl Answer<'_> {
    /// Appends it to `out` as a packet: the answer to a request of kind `asked`, an event with
    /// zeros for both numbers. On an error `out` is as it was.
    pub fn encode(
        &self,
        asked: Kind,
        req_id: u32,
        tx_id: u32,
        out: &mut Vec<u8>,
    ) -> Result<(), WireError> {
        let kind = match self {
            Answer::Reply(_) => asked,
            Answer::Error(_) => Kind::Error,
            Answer::Event { .. } => Kind::WatchEvent,
        };
        packet::encode(kind, req_id, tx_id, out, |out| match self {
            Answer::Reply(reply) => reply.encode(out),
            Answer::Error(name) => string(out, name.as_str()),
            Answer::Event { path, token } => {
                string(out, path.as_str());
                string(out, token);
            }
        })
    }

    /// The answer of this type (`Header::kind`) and payload.
    pub fn decode(kind: u32, payload: &[u8]) -> Result<Answer<'_>, WireError> {
        let kind = Kind::new(kind)?;
        let strings = Strings { kind, payload };
        Ok(match kind {
            Kind::Error => {
                let [name] = strings.exactly("the name of an error")?;
                let name = ErrorName::from_bytes(name);
                Answer::Error(name.ok_or_else(|| strings.is_not("the name of an error"))?)
            }
            Kind::WatchEvent => {
                let [path, token] = strings.exactly("a path and a token")?;
                Answer::Event { path: strings.to_path(path)?, token }
            }
            _ => Answer::Reply(Reply::decode(&strings)?),
        })
    }
}

impl<'a> Reply<'a> {
    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Reply::Done => string(out, "OK"),
            Reply::Output(bytes) | Reply::Value(bytes) => out.extend_from_slice(bytes),
            Reply::Names(names) => names.iter().for_each(|name| string(out, name)),
            Reply::Part { generation, names, is_last } => {
                string(out, generation.to_string());
                names.iter().for_each(|name| string(out, name));
                if *is_last {
                    string(out, "");
                }
            }
            Reply::Permissions(list) => list.iter().for_each(|one| string(out, one.to_string())),
            Reply::Transaction(id) => string(out, id.to_string()),
            Reply::DomainPath(path) => string(out, path.as_str()),
            Reply::Introduced(yes) => string(out, if *yes { "T" } else { "F" }),
        }
    }

    fn decode(strings: &Strings<'a>) -> Result<Reply<'a>, WireError> {
        Ok(match strings.kind {
            Kind::Control => Reply::Output(strings.payload),
            Kind::Read => Reply::Value(strings.payload),
            Kind::Directory => Reply::Names(strings.to_names(&strings.all()?)?),
            Kind::DirectoryPart => match strings.all()?[..] {
                [generation, ref names @ .., b""] => Reply::Part {
                    generation: strings.to_number(generation)?,
                    names: strings.to_names(names)?,
                    is_last: true,
                },
                [generation, ref names @ ..] => Reply::Part {
                    generation: strings.to_number(generation)?,
                    names: strings.to_names(names)?,
                    is_last: false,
                },
                [] => return Err(strings.is_not("a generation and names")),
            },
            Kind::GetPerms => Reply::Permissions(strings.to_permissions(&strings.all()?)?),
            Kind::TransactionStart => {
                let [id] = strings.exactly("the number of a transaction")?;
                Reply::Transaction(strings.to_number(id)?)
            }
            Kind::GetDomainPath => Reply::DomainPath(strings.path()?),
            Kind::IsDomainIntroduced => Reply::Introduced(strings.truth()?),
            _ if strings.payload == b"OK\0" => Reply::Done,
            _ => return Err(strings.is_not("OK")),
        })
    }
}

impl fmt::Display for ErrorName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A payload of strings, each with a NUL after it.
struct Strings<'a> {
    kind: Kind,
    payload: &'a [u8],
}

impl<'a> Strings<'a> {
    fn is_not(&self, wanted: &'static str) -> WireError {
        WireError::Payload { kind: self.kind, wanted }
    }

    fn all(&self) -> Result<Vec<&'a [u8]>, WireError> {
        let Some((last, _)) = self.payload.split_last() else { return Ok(Vec::new()) };
        if *last != 0 {
            return Err(self.is_not("strings with a NUL after each"));
        }
        Ok(self.payload.split_inclusive(|byte| *byte == 0).map(|s| &s[..s.len() - 1]).collect())
    }

    fn exactly<const N: usize>(&self, wanted: &'static str) -> Result<[&'a [u8]; N], WireError> {
        self.all()?.try_into().map_err(|_| self.is_not(wanted))
    }

    fn path(&self) -> Result<Path<'a>, WireError> {
        let [path] = self.exactly("one path")?;
        self.to_path(path)
    }

    fn domid(&self) -> Result<u32, WireError> {
        let [domid] = self.exactly("one domid")?;
        self.to_number(domid)
    }

    fn truth(&self) -> Result<bool, WireError> {
        match self.payload {
            b"T\0" => Ok(true),
            b"F\0" => Ok(false),
            _ => Err(self.is_not("T or F")),
        }
    }

    fn to_path(&self, text: &'a [u8]) -> Result<Path<'a>, WireError> {
        Path::from_bytes(text).map_err(|cause| WireError::Path { kind: self.kind, cause })
    }

    fn to_number<T: std::str::FromStr>(&self, text: &[u8]) -> Result<T, WireError> {
        decimal(text).ok_or_else(|| self.is_not("a number where one belongs"))
    }

    fn to_permissions(&self, list: &[&[u8]]) -> Result<Vec<Permission>, WireError> {
        let permissions = list.iter().map(|text| Permission::from_bytes(text));
        permissions.collect::<Option<_>>().ok_or_else(|| self.is_not("permissions, as r5"))
    }

    fn to_names(&self, list: &[&'a [u8]]) -> Result<Vec<&'a str>, WireError> {
        let name = |text: &&'a [u8]| match Path::from_bytes(text) {
            Ok(path) if !path.as_str().contains('/') => Some(path.as_str()),
            _ => None,
        };
        list.iter().map(name).collect::<Option<_>>().ok_or_else(|| self.is_not("names of nodes"))
    }
}

/// The number that decimal digits are, without a sign or zeros before them. None: they are none.
pub(super) fn decimal<T: std::str::FromStr>(digits: &[u8]) -> Option<T> {
    let is_number =
        digits.iter().all(u8::is_ascii_digit) && (digits == b"0" || !digits.starts_with(b"0"));
    std::str::from_utf8(digits).ok().filter(|_| is_number)?.parse().ok()
}

fn string(out: &mut Vec<u8>, text: impl AsRef<[u8]>) {
    out.extend_from_slice(text.as_ref());
    out.push(0);
}

#[cfg(test)]
mod tests;
