//! Bugs that tests plant, each to show that the simulation finds it.
//!
//! Owns the list. Outside of tests none is ever planted: see `Desk::planted`.

/// One bug.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Planted {
    /// Lets a domain run before what asked for it is durable.
    UnpauseEarly,
    /// Answers before what was asked is durable.
    ReplyEarly,
    /// Shows what is being made for a wish that was never durable.
    PublishEarly,
    /// Answers a call twice.
    ReplyTwice,
    /// Begins an action while another is under way.
    TwoActions,
    /// Lets calls wait forever.
    NeverTimeOut,
    /// Does not withdraw what was asked when its commit failed.
    KeepFailed,
    /// Lets any number of calls wait.
    Unbounded,
    /// Forgets to look at domains that were there before.
    ForgetFound,
}
