//! The end of domains: ours to make, or to hear of.
//!
//! Owns removing domains, and finding out which guests have ended by themselves. Whoever takes a
//! domain out of the table removes it; nobody else does.

use std::sync::Arc;

use super::table::{Condition, Row};
use super::{BUILT, EARLIER_MAX, Ours, Shared};
use crate::hypervisor::xen::{Hearing, hear};
use crate::hypervisor::{End, Ended, Handle, HypervisorError};

/// Looks whenever the XenStore says that some domain has ended.
pub(super) fn watch(shared: &Arc<Shared>) -> Hearing {
    let shared = Arc::downgrade(shared);
    hear(move || {
        let shared = shared.upgrade();
        shared.as_deref().inspect(|shared| shared.look()).is_some()
    })
}

impl Shared {
    /// Looks which of our domains have ended by themselves, removes and tells them.
    pub(super) fn look(&self) {
        // Those that are made while `xl` lists are not in its list.
        let known: Vec<Ours> = self.table().values().cloned().collect();
        if known.is_empty() {
            return;
        }
        let rows = match self.rows() {
            Ok(rows) => rows,
            Err(error) => {
                tracing::error!(%error, "a domain may have ended, and cannot be looked for");
                return;
            }
        };
        for ours in known.into_iter().filter(|ours| !ours.is_saving) {
            let row = rows.iter().find(|row| row.tag == ours.tag);
            let how = match row.map(|row| row.condition) {
                Some(Condition::Running | Condition::Paused) => continue,
                Some(Condition::Ended(how)) => how,
                Some(Condition::Suspended | Condition::Dying) | None => End::Gone,
            };
            if !self.take(&ours) {
                continue;
            }
            if let Some(row) = row {
                self.remove_row(row);
            }
            self.consoles.remove(ours.handle.id);
            if let Some(on_end) = self.on_end.get() {
                on_end(Ended { handle: ours.handle, how });
            }
        }
    }

    /// Takes a domain out of the table, if nothing was done with it since it was looked at.
    fn take(&self, ours: &Ours) -> bool {
        let mut table = self.table();
        let is_same = table.get(&ours.handle.name) == Some(ours);
        if is_same {
            table.remove(&ours.handle.name);
        }
        is_same
    }

    /// Removes a domain that is whole.
    pub(super) fn destroy(&self, dom: &Handle) -> Result<(), HypervisorError> {
        let ours = self.ours(dom)?;
        // Out of the table first: whoever hears of its end now knows that it was us.
        if !self.take(&ours) {
            return Err(HypervisorError::NotFound(dom.name.clone()));
        }
        let destroyed = self.xl_of("removing the domain", "destroy", dom.id);
        // It may have gone by itself while it was being asked to.
        let is_gone = || match self.rows() {
            Ok(rows) => rows.iter().all(|row| row.tag != ours.tag),
            Err(_) => false,
        };
        if destroyed.is_err() && !is_gone() {
            // Still there: to be found again by the next try.
            self.table().insert(dom.name.clone(), ours);
            return destroyed;
        }
        self.consoles.remove(dom.id);
        Ok(())
    }

    /// Removes what a domain that could not be made has left. `xl` mostly has, itself.
    pub(super) fn remove_left(&self, is_it: impl Fn(&Row) -> bool) {
        match self.rows() {
            Ok(rows) => rows.iter().filter(|row| is_it(row)).for_each(|row| self.remove_row(row)),
            Err(error) => tracing::error!(%error, "a half-made domain may be left"),
        }
    }

    /// Removes a domain whose guest had ended before it was adopted.
    pub(super) fn remove_ended(&self, row: &Row) {
        let is_known = self.table().values().any(|ours| ours.tag == row.tag);
        if !is_known && matches!(row.condition, Condition::Ended(_) | Condition::Suspended) {
            self.remove_row(row);
        }
    }

    fn remove_row(&self, row: &Row) {
        if row.condition == Condition::Dying {
            return;
        }
        if let Err(error) = self.xl_of("removing the domain", "destroy", row.domid) {
            tracing::error!(domid = row.domid, %error, "a domain would not go");
        }
    }

    /// Removes what an earlier daemon left: domains that are not whole, or whose guest has ended.
    pub(super) fn clean_up(&self) -> Result<(), HypervisorError> {
        if let Err(pid) = self.xl.await_earlier(EARLIER_MAX) {
            return Err(HypervisorError::Refused {
                doing: "waiting for what an earlier toolstack began",
                said: format!("its xl, process {pid}, still runs after {EARLIER_MAX:?}"),
            });
        }
        for row in self.rows()? {
            let is_whole = row.name.is_some() && self.note(row.tag, BUILT)?.is_some();
            if !is_whole || !matches!(row.condition, Condition::Running | Condition::Paused) {
                tracing::info!(domid = row.domid, "a domain that was left is removed");
                self.remove_row(&row);
            }
        }
        Ok(())
    }
}
