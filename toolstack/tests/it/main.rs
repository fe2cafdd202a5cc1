//! The daemon as its clients meet it: over a real socket, with real processes.

mod client;
mod crash;
mod domains;
mod example;
mod exchange;
mod history;
mod host;
mod hypervisors;
mod protocol;
mod roles;
mod store;
mod streams;
mod xl;
