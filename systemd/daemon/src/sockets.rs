//! The sockets that the service manager opened and passed in (`sd_listen_fds(3)`).
//!
//! Owns the one place where a descriptor number becomes an owned socket. It must not know what
//! a socket is for: callers find theirs by address.
#![allow(unsafe_code)]

use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::net::UnixListener;

use nix::sys::socket::{
    AddressFamily, SockType, SockaddrLike, SockaddrStorage, getsockname, getsockopt, sockopt,
};

/// Sockets passed in, not blocking and closed on exec.
#[derive(Debug, Default)]
pub struct Passed {
    tcp: Vec<TcpListener>,
    udp: Vec<UdpSocket>,
    unix: Vec<UnixListener>,
}

/// A socket that was passed in and cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PassedError {
    /// The environment is wrong.
    #[error("the service manager's list of sockets: {0}")]
    List(io::Error),
    /// The descriptor cannot be asked what it is.
    #[error("descriptor {fd}, passed in by the service manager: {source}")]
    Descriptor {
        /// Its number.
        fd: i32,
        /// Why.
        source: io::Error,
    },
    /// It is no socket that a daemon of ours could serve.
    #[error(
        "descriptor {fd}, passed in by the service manager, is neither TCP, UDP nor a Unix stream socket"
    )]
    Kind {
        /// Its number.
        fd: i32,
    },
}

impl Passed {
    /// Takes the sockets from the environment. Call once, before any thread is started.
    pub fn take() -> Result<Passed, PassedError> {
        let mut passed = Passed::default();
        for fd in sd_notify::listen_fds().map_err(PassedError::List)? {
            // SAFETY: the service manager opened this descriptor for this process alone and
            // nothing else in it has taken it: this is called once, first.
            let owned = unsafe { OwnedFd::from_raw_fd(fd) };
            passed.sort(owned)?;
        }
        Ok(passed)
    }

    fn sort(&mut self, fd: OwnedFd) -> Result<(), PassedError> {
        let number = fd.as_raw_fd();
        let wrong = |source: io::Error| PassedError::Descriptor { fd: number, source };
        let address: SockaddrStorage = getsockname(number).map_err(|e| wrong(e.into()))?;
        let kind = getsockopt(&fd, sockopt::SockType).map_err(|e| wrong(e.into()))?;
        match (address.family(), kind) {
            (Some(AddressFamily::Inet | AddressFamily::Inet6), SockType::Stream) => {
                let listener = TcpListener::from(fd);
                listener.set_nonblocking(true).map_err(wrong)?;
                self.tcp.push(listener);
            }
            (Some(AddressFamily::Inet | AddressFamily::Inet6), SockType::Datagram) => {
                let socket = UdpSocket::from(fd);
                socket.set_nonblocking(true).map_err(wrong)?;
                self.udp.push(socket);
            }
            (Some(AddressFamily::Unix), SockType::Stream) => {
                let listener = UnixListener::from(fd);
                listener.set_nonblocking(true).map_err(wrong)?;
                self.unix.push(listener);
            }
            _ => return Err(PassedError::Kind { fd: number }),
        }
        Ok(())
    }

    /// The TCP listener at `address`, if one was passed in and not yet taken.
    pub fn tcp(&mut self, address: SocketAddr) -> Option<TcpListener> {
        let at =
            self.tcp.iter().position(|socket| socket.local_addr().is_ok_and(|a| a == address))?;
        Some(self.tcp.swap_remove(at))
    }

    /// The UDP socket at `address`, if one was passed in and not yet taken.
    pub fn udp(&mut self, address: SocketAddr) -> Option<UdpSocket> {
        let at =
            self.udp.iter().position(|socket| socket.local_addr().is_ok_and(|a| a == address))?;
        Some(self.udp.swap_remove(at))
    }

    /// The next Unix listener, if one was passed in and not yet taken.
    pub fn unix(&mut self) -> Option<UnixListener> {
        self.unix.pop()
    }

    /// The addresses of the TCP and UDP sockets that nobody has taken, for a warning.
    pub fn left(&self) -> Vec<SocketAddr> {
        let tcp = self.tcp.iter().filter_map(|socket| socket.local_addr().ok());
        tcp.chain(self.udp.iter().filter_map(|socket| socket.local_addr().ok())).collect()
    }
}
