//! Interfaces of dom0: the dom0 ends of guests' interfaces, and bridges.
//!
//! Owns waiting for an interface to come and go, plugging it into a bridge, and whose address is
//! behind it, over rtnetlink
//! (rtnetlink(7)), in this process: no hotplug script, no udev. It must not know the XenStore.

use std::io;
use std::net::IpAddr;
use std::os::fd::AsFd;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_CREATE, NLM_F_REPLACE, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage,
    NetlinkPayload,
};
use netlink_packet_route::link::{LinkAttribute, LinkFlags, LinkMessage};
use netlink_packet_route::neighbour::{NeighbourAttribute, NeighbourMessage, NeighbourState};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{Socket, SocketAddr};
use nix::net::if_::if_nametoindex;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// `RTNLGRP_LINK` of linux/rtnetlink.h: interfaces come, change and go.
const LINK_GROUP: u32 = 1;

/// The kernel's news of interfaces, and a way to change them.
pub(super) struct Links {
    news: Socket,
}

/// The dom0 end of a guest's n-th interface, as the kernel calls it.
pub(super) fn vif(domid: u32, nth: usize) -> String {
    format!("vif{domid}.{nth}")
}

/// Whether there is a bridge of this name.
pub(super) fn is_bridge(name: &str) -> bool {
    Path::new("/sys/class/net").join(name).join("bridge").is_dir()
}

/// Whether there is an interface of this name.
pub(super) fn exists(name: &str) -> bool {
    if_nametoindex(name).is_ok()
}

impl Links {
    /// Listens from now on: what comes after this is not missed.
    pub(super) fn listen() -> io::Result<Links> {
        let mut news = Socket::new(NETLINK_ROUTE)?;
        news.bind_auto()?;
        news.add_membership(LINK_GROUP)?;
        news.set_non_blocking(true)?;
        Ok(Links { news })
    }

    /// Waits until `is_done` says so, which is asked again after each change of an interface.
    pub(super) fn wait(&self, until: Instant, mut is_done: impl FnMut() -> bool) -> io::Result<()> {
        while !is_done() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(io::ErrorKind::TimedOut.into());
            }
            self.wait_for_news(left)?;
        }
        Ok(())
    }

    fn wait_for_news(&self, left: Duration) -> io::Result<()> {
        let mut polled = [PollFd::new(self.news.as_fd(), PollFlags::POLLIN)];
        let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
        poll(&mut polled, timeout)?;
        loop {
            // What the news are does not matter. Too many at once: some were lost, all the same.
            match self.news.recv_from_full() {
                Ok(_) => {}
                Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }

    /// Plugs the interface `name`, once it is there, into `bridge`, and sets it up.
    pub(super) fn plug(&self, name: &str, bridge: &str, until: Instant) -> io::Result<()> {
        self.wait(until, || exists(name))?;
        let index = if_nametoindex(name)?;
        let mut link = LinkMessage::default();
        link.header.index = index;
        link.header.flags = LinkFlags::Up;
        link.header.change_mask = LinkFlags::Up;
        link.attributes.push(LinkAttribute::Controller(if_nametoindex(bridge)?));
        request(RouteNetlinkMessage::SetLink(link), 0)
    }
}

/// Tells the kernel that the guest at this address has this MAC, on `bridge`. It believes that until
/// it finds otherwise (`NUD_STALE`). Who connects while the guest boots would have the kernel ask
/// for the MAC when there is nobody yet to answer, and ask again only a second later.
pub(super) fn introduce(bridge: &str, address: IpAddr, mac: [u8; 6]) -> io::Result<()> {
    let mut neighbour = NeighbourMessage::default();
    neighbour.header.family = match address {
        IpAddr::V4(_) => AddressFamily::Inet,
        IpAddr::V6(_) => AddressFamily::Inet6,
    };
    neighbour.header.ifindex = if_nametoindex(bridge)?;
    neighbour.header.state = NeighbourState::Stale;
    neighbour.attributes = vec![
        NeighbourAttribute::Destination(address.into()),
        NeighbourAttribute::LinkLayerAddress(mac.to_vec()),
    ];
    request(RouteNetlinkMessage::NewNeighbour(neighbour), NLM_F_CREATE | NLM_F_REPLACE)
}

/// Runs a hotplug script as libxl does (docs/misc/block-scripts.txt and tools/hotplug of Xen): with
/// the backend's path and the interface in its environment.
pub(super) fn run_script(script: &str, action: &str, domid: u32, nth: usize) -> io::Result<()> {
    let output = Command::new(script)
        .args([action, "type_if=vif"])
        .env("vif", vif(domid, nth))
        .env("XENBUS_PATH", format!("backend/vif/{domid}/{nth}"))
        .env("XENBUS_BASE_PATH", "backend")
        .env("XENBUS_TYPE", "vif")
        .stdin(Stdio::null())
        .output()?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(io::Error::other(format!("{script} {action}: {}: {}", output.status, said.trim())))
}

/// Asks the kernel for one thing and waits for its answer.
fn request(what: RouteNetlinkMessage, flags: u16) -> io::Result<()> {
    let mut socket = Socket::new(NETLINK_ROUTE)?;
    socket.bind_auto()?;
    socket.connect(&SocketAddr::new(0, 0))?;
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST | NLM_F_ACK | flags;
    header.sequence_number = 1;
    let mut message = NetlinkMessage::new(header, NetlinkPayload::from(what));
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    socket.send(&bytes, 0)?;
    let (bytes, _) = socket.recv_from_full()?;
    let answer = NetlinkMessage::<RouteNetlinkMessage>::deserialize(&bytes)
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.to_string()))?;
    match answer.payload {
        NetlinkPayload::Error(error) if error.code.is_some() => Err(error.to_io()),
        _ => Ok(()),
    }
}
