//! HTTP/1.1 as far as it is spoken here: the head of a request, and what is asked by it.
//!
//! Owns the paths. Must not know connections: it is given what has arrived, and says what to
//! answer.

/// What a request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ask {
    /// `/`: who this is.
    Page,
    /// `/bytes/N`: that many bytes.
    Bytes(u64),
    /// `/crash`, `/reboot`, `/poweroff`: the end of this domain, once it is answered.
    End(End),
    /// What cannot be answered as asked.
    Refused(Status),
}

/// How the domain ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// As if by a bug.
    Crash,
    /// To be started again.
    Reboot,
    /// For good.
    Poweroff,
}

/// A status with its reason phrase.
pub type Status = &'static str;

/// The status of what went well.
pub const OK: Status = "200 OK";
const BAD_REQUEST: Status = "400 Bad Request";
const NOT_FOUND: Status = "404 Not Found";
/// The status of a method other than `GET` and `HEAD`.
pub const METHOD_NOT_ALLOWED: Status = "405 Method Not Allowed";
/// The status of a head that does not fit where heads are collected.
pub const TOO_LARGE: Status = "431 Request Header Fields Too Large";

/// A request, and whether the client wants the answer's body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request {
    /// What is asked.
    pub ask: Ask,
    /// False: the method was `HEAD`.
    pub wants_body: bool,
}

impl Request {
    /// One that is refused, with a body that says so.
    pub fn refused(status: Status) -> Request {
        Request { ask: Ask::Refused(status), wants_body: true }
    }

    /// Reads what has arrived. None: the head's end has not.
    pub fn parse(arrived: &[u8]) -> Option<Request> {
        let end = arrived.windows(4).position(|window| window == b"\r\n\r\n")?;
        let line = arrived[..end].split(|byte| *byte == b'\r').next().unwrap_or_default();
        Some(Request::parse_line(line).unwrap_or_else(|| Request::refused(BAD_REQUEST)))
    }

    fn parse_line(line: &[u8]) -> Option<Request> {
        let mut words = core::str::from_utf8(line).ok()?.split(' ');
        let (method, target, version) = (words.next()?, words.next()?, words.next()?);
        if words.next().is_some() || !version.starts_with("HTTP/1.") || !target.starts_with('/') {
            return None;
        }
        let ask = match method {
            "GET" | "HEAD" => ask(target.split('?').next()?),
            _ => Ask::Refused(METHOD_NOT_ALLOWED),
        };
        Some(Request { ask, wants_body: method != "HEAD" })
    }
}

fn ask(path: &str) -> Ask {
    match path {
        "/" => Ask::Page,
        "/crash" => Ask::End(End::Crash),
        "/reboot" => Ask::End(End::Reboot),
        "/poweroff" => Ask::End(End::Poweroff),
        _ => {
            let count = path.strip_prefix("/bytes/").filter(|count| !count.starts_with('+'));
            let count = count.and_then(|count| count.parse().ok());
            count.map_or(Ask::Refused(NOT_FOUND), Ask::Bytes)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(request: &str) -> Ask {
        Request::parse(request.as_bytes()).expect("the head is whole").ask
    }

    #[test]
    fn a_head_is_waited_for() {
        let whole = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
        for length in 0..whole.len() {
            assert_eq!(Request::parse(&whole[..length]), None);
        }
        let request = Request { ask: Ask::Page, wants_body: true };
        assert_eq!(Request::parse(whole), Some(request));
    }

    #[test]
    fn paths_are_found() {
        assert_eq!(ask("GET /?a=b HTTP/1.0\r\n\r\n"), Ask::Page);
        assert_eq!(ask("GET /bytes/0 HTTP/1.1\r\n\r\n"), Ask::Bytes(0));
        assert_eq!(ask("GET /bytes/10000000 HTTP/1.1\r\n\r\n"), Ask::Bytes(10_000_000));
        assert_eq!(ask("GET /crash HTTP/1.1\r\n\r\n"), Ask::End(End::Crash));
        assert_eq!(ask("GET /reboot HTTP/1.1\r\n\r\n"), Ask::End(End::Reboot));
        assert_eq!(ask("GET /poweroff HTTP/1.1\r\n\r\n"), Ask::End(End::Poweroff));
        for path in ["/x", "//", "/bytes", "/bytes/", "/bytes/-1", "/bytes/+1", "/bytes/1x"] {
            let request = format!("GET {path} HTTP/1.1\r\n\r\n");
            assert_eq!(ask(&request), Ask::Refused(NOT_FOUND), "{path}");
        }
    }

    #[test]
    fn only_two_methods_are_known() {
        let head = Request::parse(b"HEAD / HTTP/1.1\r\n\r\n");
        assert_eq!(head, Some(Request { ask: Ask::Page, wants_body: false }));
        for method in ["POST", "PUT", "get", "OPTIONS"] {
            let request = format!("{method} / HTTP/1.1\r\n\r\n");
            assert_eq!(ask(&request), Ask::Refused(METHOD_NOT_ALLOWED), "{method}");
        }
    }

    #[test]
    fn what_is_no_request_is_said_to_be_none() {
        let lines = ["", "GET", "GET /", "GET / HTTP/2", "GET / HTTP/1.1 x", "GET x HTTP/1.1"];
        for line in lines {
            assert_eq!(ask(&format!("{line}\r\n\r\n")), Ask::Refused(BAD_REQUEST), "{line}");
        }
        let bytes = Request::parse(b"\xff / HTTP/1.1\r\n\r\n");
        assert_eq!(bytes, Some(Request::refused(BAD_REQUEST)));
    }
}
