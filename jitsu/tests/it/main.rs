//! `jitsu serve` with real sockets: a scripted toolstack, guests that are sockets of the test.

mod dns;
mod proxy;
mod toolstack;
mod world;
