//! Owns the watch as a stream, for those who have a runtime. Must not know which.

use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::Stream;

use super::{HeadMoved, Watch};

/// The movements of one branch as a stream, which ends when the store is closed.
///
/// ```
/// use futures::StreamExt as _;
/// use futures::executor::block_on;
/// use jitsu_store::{BranchName, Contents, Meta, Store, Tree};
/// let store = Store::memory();
/// let main = BranchName::new("main")?;
/// let mut moves = store.watch(&main)?.into_stream();
/// let path = "greeting".parse()?;
/// let set = |tree: &mut Tree| tree.set(&path, Contents::text("hello"));
/// let (commit, ()) = store.update(&main, Meta::default(), set)?;
/// assert_eq!(block_on(moves.next()).unwrap().new, Some(commit.id()));
/// drop(store);
/// assert_eq!(block_on(moves.next()), None);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct WatchStream(Watch);

impl Watch {
    /// The movements from here on as a stream.
    pub fn into_stream(self) -> WatchStream {
        WatchStream(self)
    }
}

impl Stream for WatchStream {
    type Item = HeadMoved;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<HeadMoved>> {
        self.0.poll_moved(context)
    }
}
