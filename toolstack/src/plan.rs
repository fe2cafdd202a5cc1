//! From what is there to what is wanted.
//!
//! Owns the one decision about domains: which actions come next. Boot, stop, clean-up after a
//! failed boot and recovery after a restart are all [`plan`]. It is pure; it must not know when
//! an action may run, who asked, or which hypervisor will do it.

use jitsu_proto::{DomainSpec, Wanted};

/// What is there, as far as the toolstack knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Observed {
    /// Nothing.
    Absent,
    /// It was built and has never run.
    Built,
    /// It runs.
    Running,
    /// It has run, and its clock is stopped.
    Paused,
    /// It is saved to a file.
    Suspended,
    /// Its guest was asked to shut down. `overdue`: its grace is over.
    ShuttingDown {
        /// Whether its grace is over.
        overdue: bool,
    },
    /// It was being let run and that failed: what is left of it is of no use.
    Broken,
}

/// One step; each is one call of a [`crate::hypervisor::Hypervisor`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// Build it, paused.
    Create,
    /// Read it back from its file, paused.
    Resume,
    /// Let it run.
    Unpause,
    /// Stop its clock.
    Pause,
    /// Save it to its file.
    Suspend,
    /// Ask its guest to shut down.
    Shutdown,
    /// Remove it.
    Destroy,
    /// Remove its file.
    Discard,
}

impl Action {
    /// Whether nobody outside can tell that it was done: such an action need not wait until
    /// its cause is durable, because it can be taken back.
    pub fn is_hidden(self) -> bool {
        matches!(self, Action::Create | Action::Resume)
    }

    /// Whether it leads towards a domain that exists; such actions are tried a bounded number
    /// of times, the others until they work.
    pub fn is_start(self) -> bool {
        matches!(self, Action::Create | Action::Resume | Action::Unpause)
    }

    /// Its name in logs and commits.
    pub fn as_str(self) -> &'static str {
        match self {
            Action::Create => "create",
            Action::Resume => "resume",
            Action::Unpause => "unpause",
            Action::Pause => "pause",
            Action::Suspend => "suspend",
            Action::Shutdown => "shutdown",
            Action::Destroy => "destroy",
            Action::Discard => "discard",
        }
    }
}

/// The actions from `observed` to `wanted`, in order. Empty: nothing to do but wait, if that.
///
/// Only the first is ever carried out before planning again: the rest says where it leads.
pub fn plan(spec: &DomainSpec, observed: Observed, wanted: Wanted) -> Vec<Action> {
    use Action::{Create, Destroy, Discard, Pause, Resume, Shutdown, Suspend, Unpause};
    use Observed as O;
    let start: &[Action] = match wanted {
        Wanted::Running => &[Create, Unpause],
        Wanted::Paused => &[Create],
        // What is not there uses no memory either.
        Wanted::Suspended | Wanted::Shutdown | Wanted::Absent => &[],
    };
    let steps: &[Action] = match (observed, wanted) {
        (O::Absent, _) => return start.to_vec(),
        (O::Broken | O::ShuttingDown { overdue: true }, _) => {
            return [&[Destroy], start].concat();
        }
        (O::Suspended, Wanted::Running) => &[Resume, Unpause],
        (O::Suspended, Wanted::Paused) => &[Resume],
        (O::Suspended, Wanted::Suspended) => &[],
        (O::Suspended, Wanted::Shutdown | Wanted::Absent) => &[Discard],
        (_, Wanted::Absent) => &[Destroy],
        // What was asked to go cannot be asked to stay: it ends first, and is then started anew.
        (O::ShuttingDown { overdue: false }, _) => &[],
        (O::Built | O::Paused, Wanted::Running) => &[Unpause],
        (O::Running, Wanted::Running) => &[],
        (O::Running, Wanted::Paused) => &[Pause],
        (O::Built | O::Paused, Wanted::Paused) => &[],
        (O::Built, Wanted::Suspended | Wanted::Shutdown) => &[Destroy],
        (O::Running | O::Paused, Wanted::Suspended) => &[Suspend],
        (_, Wanted::Shutdown) if spec.shutdown_grace.0 == 0 => &[Destroy],
        (O::Running, Wanted::Shutdown) => &[Shutdown],
        // A guest whose clock is stopped does not hear.
        (O::Paused, Wanted::Shutdown) => &[Unpause, Shutdown],
    };
    steps.to_vec()
}

/// The actions that remove what is there without a spec to go by.
pub fn remove(observed: Observed) -> Option<Action> {
    match observed {
        Observed::Absent => None,
        Observed::Suspended => Some(Action::Discard),
        _ => Some(Action::Destroy),
    }
}

#[cfg(test)]
mod tests {
    use jitsu_proto::{Guest, Millis};

    use super::*;

    const OBSERVED: [(&str, Observed); 8] = [
        ("absent", Observed::Absent),
        ("built", Observed::Built),
        ("running", Observed::Running),
        ("paused", Observed::Paused),
        ("suspended", Observed::Suspended),
        ("leaving", Observed::ShuttingDown { overdue: false }),
        ("overdue", Observed::ShuttingDown { overdue: true }),
        ("broken", Observed::Broken),
    ];

    const WANTED: [Wanted; 5] =
        [Wanted::Running, Wanted::Paused, Wanted::Suspended, Wanted::Shutdown, Wanted::Absent];

    /// Everything there is to decide: a row for what is there, a column for what is wanted.
    const TABLE: &str = "\
        absent    | create unpause         | create         | -       | -                | -
        built     | unpause                | -              | destroy | destroy          | destroy
        running   | -                      | pause          | suspend | shutdown         | destroy
        paused    | unpause                | -              | suspend | unpause shutdown | destroy
        suspended | resume unpause         | resume         | -       | discard          | discard
        leaving   | -                      | -              | -       | -                | destroy
        overdue   | destroy create unpause | destroy create | destroy | destroy          | destroy
        broken    | destroy create unpause | destroy create | destroy | destroy          | destroy";

    fn words(actions: &[Action]) -> String {
        let words: Vec<_> = actions.iter().map(|action| action.as_str()).collect();
        if words.is_empty() { "-".to_owned() } else { words.join(" ") }
    }

    #[test]
    fn the_whole_table() {
        let spec = DomainSpec::new(Guest::Hello { port: 80, boot: Millis(0) });
        for row in TABLE.lines() {
            let mut cells = row.split('|').map(str::trim);
            let name = cells.next().expect("a row has a name");
            let (_, observed) = OBSERVED.iter().find(|(known, _)| *known == name).expect("known");
            for (wanted, expected) in WANTED.into_iter().zip(cells) {
                assert_eq!(words(&plan(&spec, *observed, wanted)), expected, "{name}, {wanted:?}");
            }
        }
        assert_eq!(TABLE.lines().count(), OBSERVED.len());
    }

    #[test]
    fn without_grace_nobody_is_asked() {
        let mut spec = DomainSpec::new(Guest::Hello { port: 80, boot: Millis(0) });
        spec.shutdown_grace = Millis(0);
        assert_eq!(plan(&spec, Observed::Running, Wanted::Shutdown), [Action::Destroy]);
    }

    #[test]
    fn whatever_is_there_can_be_removed() {
        for (name, observed) in OBSERVED {
            assert_eq!(remove(observed).is_none(), observed == Observed::Absent, "{name}");
        }
    }
}
