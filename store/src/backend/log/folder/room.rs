//! Owns the room behind the end of a file: zeros that the next writes take the place of, so that
//! what makes these durable need not write down that the file grew. Must not know what is written.

use std::fs::File;
use std::os::unix::fs::FileExt;

/// The most room that is made at a time, in bytes.
const ROOM_MAX: u64 = 256 << 10;

/// The room behind what is in a file.
pub(super) struct Room {
    /// Where what is in the file began when somebody first looked.
    begin: u64,
    end: u64,
    /// Where the zeros end.
    zeros_end: u64,
}

impl Room {
    /// None, in a file that ends here.
    pub(super) fn none(end: u64) -> Room {
        Room { begin: end, end, zeros_end: end }
    }

    /// The end of what is in the file.
    pub(super) fn end(&self) -> u64 {
        self.end
    }

    pub(super) fn is_any(&self) -> bool {
        self.zeros_end > self.end
    }

    /// Takes in that something was written up to here, and makes room if there is no more: as much
    /// as was written since somebody first looked, so that no file is made more than twice as long
    /// by who writes a little, and none behind a write that would fill it. Without room all goes
    /// on, more slowly.
    pub(super) fn make(&mut self, file: &File, end: u64) {
        let written = end - self.end;
        self.end = end;
        if end < self.zeros_end {
            return;
        }
        if written >= ROOM_MAX {
            self.zeros_end = end;
            return;
        }
        let zeros = vec![0; (end - self.begin).min(ROOM_MAX) as usize];
        self.zeros_end = end + zeros.len() as u64;
        if file.write_all_at(&zeros, end).is_err() {
            // Where a disk is full, others may need what little there is. Zeros that stay are none
            // of what is in the file either.
            let _ = file.set_len(end);
            self.zeros_end = end;
        }
    }
}
