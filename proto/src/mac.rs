//! Hardware addresses of network interfaces.
//!
//! Owns how one is written. It must not know whose it is.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// An Ethernet address of one interface: `00:16:3e:01:02:03`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Mac([u8; 6]);

/// Why a string is no [`Mac`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MacError {
    /// It is not written as one.
    #[error("{0:?} is not a hardware address; write one as 00:16:3e:01:02:03")]
    Form(String),
    /// It is an address of many interfaces.
    #[error("{0} is a multicast address; the first byte must be even")]
    Multicast(String),
}

impl Mac {
    /// The address with these bytes, unless it is a multicast one (IEEE 802-2014 §8.2).
    pub fn new(bytes: [u8; 6]) -> Result<Mac, MacError> {
        let mac = Mac(bytes);
        if bytes[0] & 1 == 0 { Ok(mac) } else { Err(MacError::Multicast(mac.to_string())) }
    }

    /// Its bytes, in the order they go over the wire.
    pub fn bytes(self) -> [u8; 6] {
        self.0
    }
}

impl FromStr for Mac {
    type Err = MacError;
    fn from_str(text: &str) -> Result<Mac, MacError> {
        let form = || MacError::Form(text.to_owned());
        let mut bytes = [0; 6];
        let mut parts = text.split(':');
        for byte in &mut bytes {
            let part = parts.next().filter(|part| part.len() == 2).ok_or_else(form)?;
            let is_hex = part.bytes().all(|digit| digit.is_ascii_hexdigit());
            *byte = u8::from_str_radix(part, 16).ok().filter(|_| is_hex).ok_or_else(form)?;
        }
        if parts.next().is_some() { Err(form()) } else { Mac::new(bytes) }
    }
}

impl TryFrom<String> for Mac {
    type Error = MacError;
    fn try_from(text: String) -> Result<Mac, MacError> {
        text.parse()
    }
}

impl From<Mac> for String {
    fn from(mac: Mac) -> String {
        mac.to_string()
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_the_rest_refused() {
        let mac: Mac = "00:16:3E:01:02:ff".parse().expect("right");
        assert_eq!(mac.bytes(), [0, 0x16, 0x3e, 1, 2, 0xff]);
        assert_eq!(mac.to_string(), "00:16:3e:01:02:ff");
        for wrong in [
            "",
            "00:16:3e:01:02",
            "00:16:3e:01:02:03:04",
            "0:16:3e:01:02:03",
            "00:16:3e:01:02:+3",
            "00-16-3e-01-02-03",
            "00:16:3e:01:02:0g",
        ] {
            let error = wrong.parse::<Mac>().expect_err(wrong);
            assert_eq!(error, MacError::Form(wrong.to_owned()));
        }
        let error = "01:16:3e:01:02:03".parse::<Mac>().expect_err("multicast");
        assert_eq!(
            error.to_string(),
            "01:16:3e:01:02:03 is a multicast address; the first byte must be even"
        );
    }
}
