//! Waiting for what guests write in the XenStore.
//!
//! Owns the one connection for all who wait, and making it again when it was lost.

use tokio::sync::Mutex;

use crate::xenstore::{WatchError, Watches};

/// The connection, once somebody has waited.
#[derive(Default)]
pub(crate) struct Keys {
    watches: Mutex<Option<Watches>>,
}

impl Keys {
    /// Waits until the domain's guest has written the key.
    pub(super) async fn written(&self, domid: u32, key: &str) -> Result<(), WatchError> {
        loop {
            let watches = self.watches().await?;
            match watches.await_key(domid, key).await {
                Ok(_) => return Ok(()),
                // The XenStore's daemon was started again; if it is gone, connecting says so.
                Err(WatchError::Lost { .. }) => drop(self.watches.lock().await.take()),
                Err(error) => return Err(error),
            }
        }
    }

    async fn watches(&self) -> Result<Watches, WatchError> {
        let mut watches = self.watches.lock().await;
        if watches.is_none() {
            *watches = Some(Watches::connect().await?);
        }
        Ok(watches.clone().expect("BUG: it was made just now"))
    }
}
