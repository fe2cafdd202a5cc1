//! The command line: `key=value` words, and what is wrong with one.
//!
//! Must not know who gives it, nor what is done about it.

use core::fmt;
use core::net::Ipv4Addr;

/// The longest name, so that all that is said of it has a bound.
const NAME_BYTES_MAX: usize = 64;
/// The same for the path of `ready`.
const PATH_BYTES_MAX: usize = 128;

/// What the unikernel is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options<'a> {
    /// Its own address and the bits of its network's prefix. None: only without a vif.
    pub address: Option<(Ipv4Addr, u8)>,
    /// Where packets go whose destination is not in that network.
    pub gateway: Option<Ipv4Addr>,
    /// The TCP port on which HTTP is answered.
    pub port: u16,
    /// The XenStore key that is written once it answers, below the domain's own directory.
    pub ready: &'a str,
    /// What it calls itself.
    pub name: &'a str,
    /// What it does wrong, for tests of those who run it.
    pub fault: Option<Fault>,
}

/// A misbehaviour that can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Never becomes ready, answers nothing and nobody.
    Hang,
    /// Crashes at boot.
    Crash,
    /// Reboots at boot.
    Reboot,
    /// Powers off at boot.
    Poweroff,
    /// Serves, but ignores `control/shutdown`.
    Silent,
}

/// A word of the command line that cannot be followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BadWord<'a> {
    word: &'a str,
    wanted: &'static str,
}

impl fmt::Display for BadWord<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "command line: {:?}: {}", self.word, self.wanted)
    }
}

impl<'a> Options<'a> {
    /// Reads the words of `line`. Of a key that is there twice the last counts.
    pub fn parse(line: &'a str) -> Result<Options<'a>, BadWord<'a>> {
        let mut options = Options {
            address: None,
            gateway: None,
            port: 80,
            ready: "data/ready",
            name: "unikernel",
            fault: None,
        };
        for word in line.split_ascii_whitespace() {
            options.take(word).map_err(|wanted| BadWord { word, wanted })?;
        }
        Ok(options)
    }

    fn take(&mut self, word: &'a str) -> Result<(), &'static str> {
        const KEYS: &str = "a word is ip=, gw=, port=, ready=, name= or fault= and a value";
        let (key, value) =
            word.split_once('=').filter(|(_, value)| !value.is_empty()).ok_or(KEYS)?;
        match key {
            "ip" => self.address = Some(address(value)?),
            "gw" => {
                let gateway = value.parse().map_err(|_| "gw= takes an IPv4 address")?;
                self.gateway = Some(gateway);
            }
            "port" => {
                let port = value.parse().ok().filter(|port| *port != 0);
                self.port = port.ok_or("port= takes a number from 1 to 65535")?;
            }
            "ready" => {
                let is_relative = !value.starts_with('/') && !value.ends_with('/');
                let ready = Some(value).filter(|path| is_relative && path.len() <= PATH_BYTES_MAX);
                self.ready = ready.ok_or(
                    "ready= takes a path below the domain's own directory, of at most 128 bytes",
                )?;
            }
            "name" => {
                let name = Some(value).filter(|name| name.len() <= NAME_BYTES_MAX);
                self.name = name.ok_or("name= takes at most 64 bytes")?;
            }
            "fault" => self.fault = Some(fault(value)?),
            _ => return Err(KEYS),
        }
        Ok(())
    }
}

fn address(value: &str) -> Result<(Ipv4Addr, u8), &'static str> {
    const WANTED: &str = "ip= takes ADDRESS/BITS, as in 10.77.0.9/24";
    let (address, bits) = value.split_once('/').ok_or(WANTED)?;
    let bits = bits.parse().ok().filter(|bits| (1..=32).contains(bits)).ok_or(WANTED)?;
    let address: Ipv4Addr = address.parse().map_err(|_| WANTED)?;
    // What is no host's own address would be refused much later, in the network's code.
    if address.is_unspecified() || address.is_multicast() || address.is_broadcast() {
        return Err("ip= takes the address of one machine");
    }
    Ok((address, bits))
}

fn fault(value: &str) -> Result<Fault, &'static str> {
    Ok(match value {
        "hang" => Fault::Hang,
        "crash" => Fault::Crash,
        "reboot" => Fault::Reboot,
        "poweroff" => Fault::Poweroff,
        "silent" => Fault::Silent,
        _ => return Err("fault= takes hang, crash, reboot, poweroff or silent"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_is_taken() {
        let line = "ip=10.77.0.9/24 gw=10.77.0.1  port=8080 ready=data/up name=www fault=silent";
        let wanted = Options {
            address: Some((Ipv4Addr::new(10, 77, 0, 9), 24)),
            gateway: Some(Ipv4Addr::new(10, 77, 0, 1)),
            port: 8080,
            ready: "data/up",
            name: "www",
            fault: Some(Fault::Silent),
        };
        assert_eq!(Options::parse(line), Ok(wanted));
    }

    #[test]
    fn what_is_not_said_has_a_default() {
        let options = Options::parse(" ").expect("nothing is required of a guest without a vif");
        assert_eq!((options.address, options.gateway, options.fault), (None, None, None));
        assert_eq!((options.port, options.ready, options.name), (80, "data/ready", "unikernel"));
    }

    #[test]
    fn a_bad_word_is_named_with_what_was_wanted() {
        let check = |line: &str, word: &str, wanted: &str| {
            let error = Options::parse(line).expect_err(line);
            assert_eq!(error.word, word);
            assert!(error.wanted.contains(wanted), "{error}");
        };
        check("name=a quiet", "quiet", "a word is");
        check("speed=11", "speed=11", "a word is");
        check("name=", "name=", "a word is");
        check("ip=10.77.0.9", "ip=10.77.0.9", "ADDRESS/BITS");
        check("ip=10.77.0.9/33", "ip=10.77.0.9/33", "ADDRESS/BITS");
        check("ip=10.77.0.9/0", "ip=10.77.0.9/0", "ADDRESS/BITS");
        check("ip=10.77.0/24", "ip=10.77.0/24", "ADDRESS/BITS");
        check("ip=224.0.0.1/24", "ip=224.0.0.1/24", "one machine");
        check("gw=none", "gw=none", "IPv4 address");
        check("port=0", "port=0", "1 to 65535");
        check("port=65536", "port=65536", "1 to 65535");
        check("ready=/ready", "ready=/ready", "own directory");
        let (name, path) =
            (format!("name={}", "a".repeat(65)), format!("ready={}", "a".repeat(129)));
        check(&name, &name, "at most 64");
        check(&path, &path, "at most 128");
        check("fault=slow", "fault=slow", "hang, crash");
        let error = Options::parse("port=x").expect_err("x is no number");
        let text = "command line: \"port=x\": port= takes a number from 1 to 65535";
        assert_eq!(error.to_string(), text);
    }
}
