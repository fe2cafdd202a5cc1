//! A store that is a map: what `main` holds, and what waits to become so.
//!
//! Owns how records change it; it says the same as `layout` and `committer` do, without a tree.

use std::collections::{BTreeMap, BTreeSet};

use jitsu_proto::{ErrorCode, Name, RpcError, Wanted};

use super::super::{Intent, Seq};
use crate::record::{Record, Seen, Subject, Write};

#[derive(Default)]
pub(super) struct Kept {
    pub(super) main: BTreeMap<Name, Intent>,
    pub(super) seen: BTreeMap<Name, Seen>,
    pub(super) waiting: Vec<(Seq, Record)>,
    pub(super) durable: BTreeSet<Seq>,
    /// Domains that were durably asked to exist, even if another commit of the same flush said
    /// otherwise.
    pub(super) asked: BTreeSet<Name>,
}

type Done = (Seq, Result<(), RpcError>);

impl Kept {
    pub(super) fn set(&mut self, name: &Name, intent: Option<Intent>) {
        match intent {
            Some(intent) => drop(self.main.insert(name.clone(), intent)),
            None => drop(self.main.remove(name)),
        }
    }

    /// Makes all that waits durable. What changed on `main`, and what came of each.
    pub(super) fn flush(&mut self) -> (Vec<Name>, Vec<Done>) {
        let before = self.main.clone();
        let mut done = Vec::new();
        for (seq, record) in std::mem::take(&mut self.waiting) {
            let result = self.apply(&record);
            if result.is_ok() {
                self.durable.insert(seq);
            }
            done.push((seq, result));
        }
        let names: BTreeSet<_> = before.keys().chain(self.main.keys()).cloned().collect();
        let is_changed = |name: &Name| before.get(name) != self.main.get(name);
        (names.into_iter().filter(is_changed).collect(), done)
    }

    fn apply(&mut self, record: &Record) -> Result<(), RpcError> {
        let Subject::Domain(name) = &record.subject else { return Ok(()) };
        let mut intent = self.main.get(name).cloned();
        let mut seen = self.seen.get(name).cloned();
        for write in &record.writes {
            match (write, &mut intent) {
                (Write::Spec(spec), Some(intent)) => intent.spec = (**spec).clone(),
                (Write::Spec(spec), none) => {
                    *none = Some(Intent { spec: (**spec).clone(), wanted: Wanted::Absent });
                }
                (Write::Wanted(wanted), Some(intent)) => {
                    intent.wanted = *wanted;
                    if matches!(wanted, Wanted::Running | Wanted::Paused) {
                        self.asked.insert(name.clone());
                    }
                }
                (Write::Wanted(_), None) => {
                    return Err(RpcError::new(ErrorCode::NotFound, "wanted without a spec"));
                }
                (Write::Seen(new), _) => seen = Some(new.clone()),
                (Write::Undefine, _) => intent = None,
                (Write::Forget, _) => {
                    intent = None;
                    seen = None;
                }
                (Write::Service(_) | Write::Count(_) | Write::Started { .. }, _) => {}
            }
        }
        self.set(name, intent);
        match seen {
            Some(seen) => drop(self.seen.insert(name.clone(), seen)),
            None => drop(self.seen.remove(name)),
        }
        Ok(())
    }
}
