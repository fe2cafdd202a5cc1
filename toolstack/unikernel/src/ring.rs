//! The arithmetic of Xen's shared rings: free-running 32-bit indices, and when the other side
//! wants to be notified (xen/include/public/io/ring.h, console.h, xs_wire.h).
//!
//! Must not know where a ring is, nor what is in it.

use core::ops::Range;

/// Bytes that may be read between `consumer` and `producer` of a byte ring of `size` bytes.
/// `None`: the indices are impossible, so the other side is broken.
pub fn used(producer: u32, consumer: u32, size: usize) -> Option<usize> {
    let used = producer.wrapping_sub(consumer) as usize;
    (used <= size).then_some(used)
}

/// Where the next piece in one stretch is, for at most `length` bytes from `index` on: a ring of
/// `size` bytes (a power of two) wraps at its end.
pub fn stretch(index: u32, length: usize, size: usize) -> Range<usize> {
    let start = index as usize & (size - 1);
    start..size.min(start + length)
}

/// The frontend's own half of a ring of slots: what it has asked, and what it has seen answered.
#[derive(Debug, Clone, Copy, Default)]
pub struct Front {
    /// The index of the next request that is written.
    pub request: u32,
    /// The index of the next response that is read.
    pub response: u32,
    published: u32,
}

impl Front {
    /// Requests that are not answered yet.
    pub fn outstanding(&self) -> u32 {
        self.request.wrapping_sub(self.response)
    }

    /// Responses that wait to be read, by the backend's `rsp_prod`. `None`: it answered what was
    /// never asked.
    pub fn waiting(&self, response_producer: u32) -> Option<u32> {
        let waiting = response_producer.wrapping_sub(self.response);
        (waiting <= self.outstanding()).then_some(waiting)
    }

    /// Takes note that everything up to `request` is published; answers whether a backend that
    /// waits for `request_event` must be notified.
    pub fn publish(&mut self, request_event: u32) -> bool {
        let before = core::mem::replace(&mut self.published, self.request);
        self.request.wrapping_sub(request_event) < self.request.wrapping_sub(before)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn used_bytes_are_counted_over_the_end_of_the_indices() {
        assert_eq!(used(5, 5, 1024), Some(0));
        assert_eq!(used(3, u32::MAX - 1, 1024), Some(5));
        assert_eq!(used(1024, 0, 1024), Some(1024));
        assert_eq!(used(1025, 0, 1024), None);
        assert_eq!(used(0, 1, 1024), None);
    }

    #[test]
    fn a_stretch_ends_where_the_ring_does() {
        assert_eq!(stretch(1020, 10, 1024), 1020..1024);
        assert_eq!(stretch(1024, 10, 1024), 0..10);
        assert_eq!(stretch(u32::MAX, 10, 1024), 1023..1024);
        assert_eq!(stretch(7, 0, 1024), 7..7);
    }

    #[test]
    fn the_backend_is_notified_only_when_it_waits_for_what_is_new() {
        let mut front = Front { request: u32::MAX, response: u32::MAX, published: u32::MAX };
        front.request = 1;
        assert!(front.publish(0), "it waits for the first of two");
        front.request = 3;
        assert!(!front.publish(1), "it has seen that one and not asked for more");
        front.request = 4;
        assert!(!front.publish(9), "it waits for a later one");
        assert!(!front.publish(4), "nothing is new");
    }

    #[test]
    fn no_more_is_answered_than_was_asked() {
        let front = Front { request: 2, response: u32::MAX, published: 2 };
        assert_eq!(front.outstanding(), 3);
        assert_eq!(front.waiting(u32::MAX), Some(0));
        assert_eq!(front.waiting(2), Some(3));
        assert_eq!(front.waiting(3), None);
        assert_eq!(front.waiting(u32::MAX - 1), None);
    }
}
