//! Owns the examination of the index of a log: where it disagrees with the segments. Must not know
//! how damaged segments are read (`scan`), and changes nothing.

use super::disk::{self, Disk, LogFile};
use super::index::{self, Cursor, Pages, Unread};
use super::intact::IntactAt;
use super::scan::Scan;
use super::{places, recover};
use crate::error::StorageError;
use crate::id::Id;

/// Where the index of a log disagrees with it. None costs any object: without its index a log is
/// the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IndexFlaw {
    /// A file that the next opening to write removes: unfinished, merged into another one, of other
    /// segments, or damaged at its end.
    Unused {
        /// The file.
        run: String,
    },
    /// A file of which a part is damaged. It is made again when somebody looks there.
    Damaged {
        /// The file.
        run: String,
    },
    /// A file that says an object is where it is not.
    Wrong {
        /// The file.
        run: String,
        /// The object.
        object: Id,
    },
    /// An object of which no file says where it is, as one should.
    Lacking {
        /// The object.
        object: Id,
    },
}

/// Compares the index with what the segments were found to hold.
pub(super) fn audit(disk: &dyn Disk, scan: &Scan) -> Result<Vec<IndexFlaw>, StorageError> {
    let present = recover::present(disk, &disk::segments(disk)?)?;
    let runs = index::chain(index::readable(disk)?, &present);
    let name = |number| disk.name(LogFile::Run(number));
    let mut flaws = Vec::new();
    for number in disk::runs(disk)? {
        if !runs.iter().any(|run| run.number == number) {
            flaws.push(IndexFlaw::Unused { run: name(number) });
        }
    }
    for run in &runs {
        let mut cursor = Cursor::new(run);
        loop {
            match cursor.next(disk) {
                Ok(None) => break,
                Ok(Some((object, location))) => {
                    // An object that is nowhere intact is no fault of the index.
                    if scan.intact.has_id(&object) && places::read(disk, &object, location).is_err()
                    {
                        flaws.push(IndexFlaw::Wrong { run: name(run.number), object });
                    }
                }
                Err(Unread::Damaged(number)) => {
                    flaws.push(IndexFlaw::Damaged { run: name(number) });
                    break;
                }
                Err(Unread::Failed(error)) => return Err(error),
            }
        }
    }
    let Some(end) = runs.last().map(|run| run.trailer.end()) else { return Ok(flaws) };
    let pages = Pages::new();
    let is_covered = |at: &IntactAt| (at.file, at.offset) < (end.header.number, end.len);
    let mut lacking = Vec::new();
    for (number, _) in scan.intact.iter().filter(|(_, at)| is_covered(at)) {
        let object = scan.intact.graph().id(number);
        match index::find(&runs, disk, &pages, &object) {
            Ok(Some(_)) => {}
            Ok(None) => lacking.push(object),
            Err(Unread::Damaged(number)) => {
                let damaged = IndexFlaw::Damaged { run: name(number) };
                if !flaws.contains(&damaged) {
                    flaws.push(damaged);
                }
            }
            Err(Unread::Failed(error)) => return Err(error),
        }
    }
    lacking.sort();
    flaws.extend(lacking.into_iter().map(|object| IndexFlaw::Lacking { object }));
    Ok(flaws)
}
