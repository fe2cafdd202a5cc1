//! Every bound of the daemon, in one place.
//!
//! Owns the numbers and their defaults; it must not know what keeps to them.

use jitsu_proto::Millis;
use serde::Deserialize;

/// The bounds of a daemon. The table `[limits]` of its configuration.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Domains and services, each.
    pub subjects_max: usize,
    /// Calls that wait for their commit or their domain.
    pub calls_max: usize,
    /// Calls that wait for one domain.
    pub waiters_max: usize,
    /// How long a call may wait for its domain.
    pub want_timeout: Millis,
    /// How many times a start is tried before it is given up, until asked again.
    pub attempts_max: u32,
    /// The wait before the second attempt; doubled for each after it.
    pub backoff_min: Millis,
    /// The longest wait between attempts.
    pub backoff_max: Millis,
    /// A guest that ran that long counts as started well: its attempts are forgotten.
    pub stable_after: Millis,
    /// How long to wait before a commit of the daemon's own is tried again.
    pub record_retry: Millis,
    /// Times a publish is tried again because somebody else moved the same branch.
    pub publish_retries_max: u32,
    /// Open connections.
    pub connections_max: usize,
    /// Requests under way on one connection, subscriptions included.
    pub requests_max: usize,
    /// Frames waiting to be written to one connection, and events waiting for one subscription.
    pub queue_max: usize,
    /// How long a client may take to say hello, or to read what it was sent.
    pub client_timeout: Millis,
    /// Commits in the answer to one `log`.
    pub log_max: u32,
    /// Changes in one answer.
    pub changes_max: usize,
    /// Entries of a directory in one answer.
    pub entries_max: usize,
    /// The size at which a console's file is rotated; one older file is kept.
    pub console_bytes_max: u64,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            subjects_max: 4096,
            calls_max: 4096,
            waiters_max: 1024,
            want_timeout: Millis::from_secs(60),
            attempts_max: 5,
            backoff_min: Millis(200),
            backoff_max: Millis::from_secs(30),
            stable_after: Millis::from_secs(60),
            record_retry: Millis::from_secs(1),
            publish_retries_max: 32,
            connections_max: 256,
            requests_max: 512,
            queue_max: 1024,
            client_timeout: Millis::from_secs(10),
            log_max: 1000,
            changes_max: 2000,
            entries_max: 10_000,
            console_bytes_max: 1 << 20,
        }
    }
}
