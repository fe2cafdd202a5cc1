//! What is counted, told to the toolstack in batches.
//!
//! Owns the rhythm. Nobody waits for a count: what cannot be told now is told later.

use std::sync::Arc;

use jitsu_proto::{Facts, Request, TraceId};

use super::Shell;

/// Tells what was counted, every so often.
pub(super) async fn run(shell: Arc<Shell>) {
    loop {
        tokio::time::sleep(shell.config().limits.facts.duration()).await;
        flush(&shell).await;
    }
}

/// Tells what was counted since the last time.
pub(super) async fn flush(shell: &Shell) {
    let Some(client) = shell.toolstack.borrow().clone() else { return };
    let counted = std::mem::take(&mut shell.core().facts);
    for (name, facts) in counted {
        if facts == Facts::default() {
            continue;
        }
        let request = Request::Record { name: name.clone(), facts };
        if let Err(why) = client.ask(TraceId::default(), request).await {
            tracing::debug!(service = %name, %why, "what was counted is kept for later");
            let mut core = shell.core();
            // A service that was forgotten meanwhile has no counters.
            if core.specs.contains_key(&name) {
                let kept = core.facts.entry(name).or_default();
                kept.questions += facts.questions;
                kept.connections += facts.connections;
                kept.refused += facts.refused;
                kept.boots += facts.boots;
            }
        }
    }
}
