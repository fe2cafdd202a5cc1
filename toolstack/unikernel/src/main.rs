//! A Xen PV guest that is an HTTP server: what happens from its first instruction to its last.
//!
//! Owns the order of things and the loop. What needs no Xen is in the library of this package.
#![no_std]
#![no_main]

mod bytes;
mod console;
mod cpu;
mod entry;
mod grants;
mod memory;
mod netfront;
mod power;
mod queue;
mod server;
mod shared_info;
mod xenstore;

use core::net::Ipv4Addr;
use core::panic::PanicInfo;

use jitsu_unikernel::cmdline::{Fault, Options};
use smoltcp::iface::{Config, Interface, SocketSet, SocketStorage};
use smoltcp::time::{Duration, Instant};
use smoltcp::wire::{EthernetAddress, HardwareAddress, IpCidr};

use console::say;
use cpu::Reason;
use memory::StartInfo;
use netfront::Netfront;
use server::{Buffer, CONNECTIONS, Identity, Server};
use xenstore::XenStore;

/// Everything, on the stack that [`entry`] made.
fn start(info: &StartInfo) -> ! {
    info.keep_frames();
    shared_info::map(info.shared_info).expect("the shared info page");
    let start = now();
    console::map(info).expect("the console");
    let line = info.command_line().expect("the command line is text");
    let options = Options::parse(line).unwrap_or_else(|wrong| panic!("{wrong}"));
    say!("{} starts: {line}", options.name);
    let mut store = XenStore::connect(info).expect("the XenStore");
    match options.fault {
        Some(Fault::Hang) => hang(),
        Some(Fault::Crash) => panic!("the command line asked for it"),
        Some(Fault::Reboot) => power::end(Reason::Reboot),
        Some(Fault::Poweroff) => power::end(Reason::Poweroff),
        Some(Fault::Silent) => say!("control/shutdown is ignored"),
        None => power::watch(&mut store),
    }
    match Netfront::find(&mut store) {
        Ok(Some(netfront)) => serve(&options, start, store, netfront),
        Ok(None) => idle(&options, store),
        Err(wrong) => panic!("{wrong}"),
    }
}

/// Serves until somebody ends it.
fn serve(options: &Options, start: Instant, mut store: XenStore, mut netfront: Netfront) -> ! {
    let (address, prefix) = options.address.expect("command line: ip= is needed with a vif");
    let mut interface = interface(options, address, prefix, &mut netfront);
    let mut buffers = [const { Buffer::NEW }; CONNECTIONS];
    let mut storage = [const { SocketStorage::EMPTY }; CONNECTIONS];
    let mut sockets = SocketSet::new(&mut storage[..]);
    let mut server = Server::listen(options.port, &mut buffers, &mut sockets);
    let mut identity = Identity { name: options.name, address, start, boot: Duration::ZERO };
    let ports = [store.port(), netfront.port()];
    loop {
        while store.take_changed() {
            follow_power(options, &mut store);
            netfront.follow(&mut store).unwrap_or_else(|wrong| panic!("{wrong}"));
            if netfront.is_running() && identity.boot == Duration::ZERO {
                identity.boot = now() - start;
                ready(options, &mut store);
                say!("serves http://{address}:{}/ after {}", options.port, identity.boot);
            }
        }
        interface.poll(now(), &mut netfront, &mut sockets);
        if let Some(end) = server.step(now(), &mut sockets, &identity) {
            power::end_for_client(end);
        }
        interface.poll(now(), &mut netfront, &mut sockets);
        if netfront.arm() {
            continue;
        }
        // With no room to send, what the stack would send now waits for the backend.
        let stack = interface.poll_at(now(), &sockets).filter(|_| !netfront.is_full());
        let deadline = stack.into_iter().chain(server.deadline()).min();
        shared_info::wait(&ports, deadline.map_or(0, nanoseconds));
    }
}

fn interface(
    options: &Options,
    address: Ipv4Addr,
    prefix: u8,
    netfront: &mut Netfront,
) -> Interface {
    let mut config = Config::new(HardwareAddress::Ethernet(EthernetAddress(netfront.mac)));
    config.random_seed = cpu::ticks();
    let mut interface = Interface::new(config, netfront, now());
    interface.update_ip_addrs(|addresses| {
        let pushed = addresses.push(IpCidr::new(address.into(), prefix));
        pushed.expect("a new interface has no address");
    });
    if let Some(gateway) = options.gateway {
        let added = interface.routes_mut().add_default_ipv4_route(gateway);
        added.expect("a new interface has no route");
    }
    interface
}

/// Without a network there is nothing to serve, but it can still be ended.
fn idle(options: &Options, mut store: XenStore) -> ! {
    say!("there is no device/vif/0: nothing is served");
    ready(options, &mut store);
    loop {
        while store.take_changed() {
            follow_power(options, &mut store);
        }
        shared_info::wait(&[store.port()], 0);
    }
}

fn follow_power(options: &Options, store: &mut XenStore) {
    if options.fault != Some(Fault::Silent) {
        power::follow(store);
    }
}

fn ready(options: &Options, store: &mut XenStore) {
    if let Err(errno) = store.write(options.ready, 1) {
        say!("{} is not set: {errno}", options.ready);
    }
}

fn hang() -> ! {
    say!("hangs, as the command line asked for it");
    loop {
        shared_info::wait(&[], 0);
    }
}

fn now() -> Instant {
    Instant::from_micros((shared_info::now() / 1000) as i64)
}

/// `instant` as a deadline for [`shared_info::wait`], to which 0 is never; it is at once here.
fn nanoseconds(instant: Instant) -> u64 {
    (instant.total_micros() as u64 * 1000).max(1)
}

#[panic_handler]
fn panicked(info: &PanicInfo) -> ! {
    say!("crash: {}", info.message());
    if let Some(place) = info.location() {
        say!("  at {place}");
    }
    power::end(Reason::Crash)
}
