//! One shared ring of slots as its frontend uses it (xen/include/public/io/ring.h).
//!
//! Owns its page. Must not know what requests and responses say.

use jitsu_unikernel::ring::Front;

use crate::memory::Page;

/// Where things are in a ring's page.
const REQUEST_PRODUCER: usize = 0;
const REQUEST_EVENT: usize = 4;
const RESPONSE_PRODUCER: usize = 8;
const RESPONSE_EVENT: usize = 12;
const SLOTS: usize = 64;
/// Slots of a network ring of one page, for entries of 8 and of 12 bytes: a power of two.
const SLOT_COUNT: usize = 256;

/// A ring with requests of `REQUEST` bytes and responses of `RESPONSE`.
pub(crate) struct Queue<const REQUEST: usize, const RESPONSE: usize> {
    page: &'static Page,
    front: Front,
}

impl<const REQUEST: usize, const RESPONSE: usize> Queue<REQUEST, RESPONSE> {
    /// An empty ring in `page`.
    pub(crate) fn new(page: &'static Page) -> Self {
        page.store(REQUEST_PRODUCER, 0);
        page.store(REQUEST_EVENT, 1);
        page.store(RESPONSE_PRODUCER, 0);
        page.store(RESPONSE_EVENT, 1);
        Queue { page, front: Front::default() }
    }

    /// Writes a request; the backend sees it after [`Queue::publish`].
    pub(crate) fn push(&mut self, request: [u8; REQUEST]) {
        assert!((self.front.outstanding() as usize) < SLOT_COUNT, "a ring overflows");
        self.page.write(Self::slot(self.front.request), &request);
        self.front.request = self.front.request.wrapping_add(1);
    }

    /// Shows all requests to the backend; whether it must be notified.
    pub(crate) fn publish(&mut self) -> bool {
        self.page.store(REQUEST_PRODUCER, self.front.request);
        self.front.publish(self.page.load(REQUEST_EVENT))
    }

    /// Takes the next response.
    pub(crate) fn pop(&mut self) -> Option<[u8; RESPONSE]> {
        if self.waiting() == 0 {
            return None;
        }
        let mut response = [0; RESPONSE];
        self.page.read(Self::slot(self.front.response), &mut response);
        self.front.response = self.front.response.wrapping_add(1);
        Some(response)
    }

    /// Asks to be notified of the next response; whether one is there already.
    pub(crate) fn arm(&mut self) -> bool {
        self.page.store(RESPONSE_EVENT, self.front.response.wrapping_add(1));
        self.waiting() > 0
    }

    fn waiting(&self) -> u32 {
        let waiting = self.front.waiting(self.page.load(RESPONSE_PRODUCER));
        waiting.expect("the backend answers only what was asked")
    }

    fn slot(index: u32) -> usize {
        let bytes = const { if REQUEST > RESPONSE { REQUEST } else { RESPONSE } };
        SLOTS + index as usize % SLOT_COUNT * bytes
    }
}
