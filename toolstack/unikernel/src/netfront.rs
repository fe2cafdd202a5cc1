//! The network device: the frontend of a vif (xen/include/public/io/netif.h).
//!
//! Owns its rings, its buffers and its place in the XenStore: one queue, packets copied by the
//! backend, each in one slot, checksums always there. Must not know what is in a packet.

use core::fmt;

use jitsu_unikernel::packet::{BEGINNING_BYTES_MAX, beginning};
use jitsu_unikernel::xenbus::{self, State, Step};
use smoltcp::phy::{self, Device, DeviceCapabilities, Medium};
use smoltcp::time::Instant;

use crate::console::say;
use crate::cpu::{self, Domid, Port, Refused};
use crate::grants::{self, Access, Reference};
use crate::memory::Page;
use crate::queue::Queue;
use crate::xenstore::{Errno, Text, XenStore, text};

/// Where the toolstack puts the first vif, below the domain's own directory.
const VIF: &str = "device/vif/0";
/// The longest frame: an Ethernet header and 1,500 bytes.
const FRAME_BYTES: usize = 1514;
/// Buffers of each direction.
const BUFFERS: usize = 64;

const TRANSMIT_RING: Reference = grants::FIRST;
const RECEIVE_RING: Reference = grants::FIRST + 1;
const TRANSMIT: Reference = grants::FIRST + 2;
const RECEIVE: Reference = TRANSMIT + BUFFERS as Reference;

/// `NETRXF_more_data` and `NETRXF_extra_info`: the frame has further slots.
const IN_SEVERAL_SLOTS: u16 = 4 | 8;

static TRANSMIT_RING_PAGE: Page = Page::new();
static RECEIVE_RING_PAGE: Page = Page::new();
static TRANSMIT_PAGES: [Page; BUFFERS] = [const { Page::new() }; BUFFERS];
static RECEIVE_PAGES: [Page; BUFFERS] = [const { Page::new() }; BUFFERS];

/// Why there is no network though there is a vif.
pub(crate) enum Error {
    Key(&'static str, Errno),
    Value(&'static str, heapless::String<BEGINNING_BYTES_MAX>),
    Xen(Refused),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Key(key, errno) => write!(f, "{VIF}/{key}: {errno}"),
            Error::Value(key, value) => write!(f, "{VIF}/{key} begins with {value:?}"),
            Error::Xen(refused) => refused.fmt(f),
        }
    }
}

/// The frontend.
pub(crate) struct Netfront {
    /// Its hardware address.
    pub(crate) mac: [u8; 6],
    /// The path of the backend's `state`.
    backend_state: Text,
    state: State,
    is_running: bool,
    port: Port,
    received: [u8; FRAME_BYTES],
    receive: Queue<8, 8>,
    transmitter: Transmitter,
}

impl Netfront {
    /// Looks for the vif and prepares its rings. None: there is none.
    pub(crate) fn find(store: &mut XenStore) -> Result<Option<Netfront>, Error> {
        let backend_state = match value(store, "backend", state_of) {
            Ok(path) => path,
            Err(Error::Key(_, errno)) if errno.is_absent() => return Ok(None),
            Err(wrong) => return Err(wrong),
        };
        let mac = value(store, "mac", parse_mac)?;
        let domid: Domid = value(store, "backend-id", |text| text.parse().ok())?;
        let port = cpu::allocate_port(domid).map_err(Error::Xen)?;
        grants::map().map_err(Error::Xen)?;
        grants::permit(TRANSMIT_RING, domid, &TRANSMIT_RING_PAGE, Access::ReadWrite);
        grants::permit(RECEIVE_RING, domid, &RECEIVE_RING_PAGE, Access::ReadWrite);
        for (id, page) in (0..).zip(&TRANSMIT_PAGES) {
            grants::permit(TRANSMIT + id, domid, page, Access::Read);
        }
        for (id, page) in (0..).zip(&RECEIVE_PAGES) {
            grants::permit(RECEIVE + id, domid, page, Access::ReadWrite);
        }
        let watched = store.watch(&backend_state);
        watched.map_err(|errno| Error::Key("backend", errno))?;
        let mut netfront = Netfront {
            mac,
            backend_state,
            state: State::Initialising,
            is_running: false,
            port,
            received: [0; FRAME_BYTES],
            receive: Queue::new(&RECEIVE_RING_PAGE),
            transmitter: Transmitter::new(port),
        };
        (0..BUFFERS as u16).for_each(|id| netfront.offer(id));
        netfront.receive.publish();
        Ok(Some(netfront))
    }

    /// The event channel that is pending when there is something to do.
    pub(crate) fn port(&self) -> Port {
        self.port
    }

    /// Whether packets flow.
    pub(crate) fn is_running(&self) -> bool {
        self.is_running
    }

    /// Does what the backend's state asks for.
    pub(crate) fn follow(&mut self, store: &mut XenStore) -> Result<(), Error> {
        let backend = store.read(&self.backend_state).ok().and_then(State::parse);
        let step = xenbus::step(self.state, backend);
        self.is_running = step == Step::Run;
        match step {
            Step::Wait | Step::Run => Ok(()),
            Step::Offer => {
                self.publish(store)?;
                self.enter(store, State::Connected)
            }
            Step::Close => {
                say!("the network's backend has left");
                // The toolstack may have removed the vif's directory already.
                if let Err(wrong) = self.enter(store, State::Closed) {
                    say!("{wrong}");
                }
                Ok(())
            }
        }
    }

    /// Tells the backend where the rings are, and what is expected of it.
    fn publish(&self, store: &mut XenStore) -> Result<(), Error> {
        let keys = [
            ("tx-ring-ref", TRANSMIT_RING),
            ("rx-ring-ref", RECEIVE_RING),
            ("event-channel", self.port),
            ("request-rx-copy", 1),
            ("feature-rx-notify", 1),
            ("feature-no-csum-offload", 1),
        ];
        let requests = keys.map(|(name, value)| store.post_write(&key(name), value));
        // All are taken, whatever the first of them says.
        let answers = requests.map(|request| store.answer(request).map(|_| ()));
        for ((name, _), answer) in keys.into_iter().zip(answers) {
            answer.map_err(|errno| Error::Key(name, errno))?;
        }
        Ok(())
    }

    fn enter(&mut self, store: &mut XenStore, state: State) -> Result<(), Error> {
        self.state = state;
        let written = store.write(&key("state"), state as u32);
        written.map_err(|errno| Error::Key("state", errno))
    }

    /// Asks to be notified when there is something to do; whether there is already.
    pub(crate) fn arm(&mut self) -> bool {
        if self.transmitter.is_full() {
            // Nothing can be received either: an answer to it could not be sent.
            return self.transmitter.queue.arm();
        }
        self.receive.arm()
    }

    /// Whether nothing can be sent until the backend has taken something.
    pub(crate) fn is_full(&self) -> bool {
        self.transmitter.is_full()
    }

    /// Gives the backend a buffer to receive in.
    fn offer(&mut self, id: u16) {
        let [low, high] = id.to_le_bytes();
        let [a, b, c, d] = (RECEIVE + Reference::from(id)).to_le_bytes();
        self.receive.push([low, high, 0, 0, a, b, c, d]);
    }

    /// Copies the next frame to `received`: its length.
    fn take_frame(&mut self) -> Option<usize> {
        loop {
            let response = self.receive.pop()?;
            let [id, offset, flags, status] = shorts(response);
            let page =
                RECEIVE_PAGES.get(usize::from(id)).expect("the backend repeats an id it got");
            let (offset, length) = (usize::from(offset), status as i16);
            // Nothing that asks for it was advertised; and what is below 0 is an error.
            let is_whole = flags & IN_SEVERAL_SLOTS == 0;
            let length = usize::try_from(length).ok().filter(|length| {
                is_whole && *length <= FRAME_BYTES && offset + length <= crate::memory::PAGE
            });
            if let Some(length) = length {
                page.read(offset, &mut self.received[..length]);
            }
            self.offer(id);
            if self.receive.publish() {
                cpu::notify(self.port);
            }
            if length.is_some() {
                return length;
            }
        }
    }
}

impl Device for Netfront {
    type RxToken<'a> = Received<'a>;
    type TxToken<'a> = Sending<'a>;

    fn receive(&mut self, _: Instant) -> Option<(Received<'_>, Sending<'_>)> {
        if !self.is_running || !self.transmitter.has_room() {
            return None;
        }
        let length = self.take_frame()?;
        Some((Received(&self.received[..length]), Sending(&mut self.transmitter)))
    }

    fn transmit(&mut self, _: Instant) -> Option<Sending<'_>> {
        let can_send = self.is_running && self.transmitter.has_room();
        can_send.then_some(Sending(&mut self.transmitter))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = FRAME_BYTES;
        capabilities
    }
}

/// A frame that came.
pub(crate) struct Received<'a>(&'a [u8]);

impl phy::RxToken for Received<'_> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, read: F) -> R {
        read(self.0)
    }
}

/// The right to send a frame.
pub(crate) struct Sending<'a>(&'a mut Transmitter);

impl phy::TxToken for Sending<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, write: F) -> R {
        let mut frame = [0; FRAME_BYTES];
        let result = write(&mut frame[..length]);
        self.0.send(&frame[..length]);
        result
    }
}

/// The direction out.
struct Transmitter {
    port: Port,
    queue: Queue<12, 4>,
    free: heapless::Vec<u16, BUFFERS>,
}

impl Transmitter {
    fn new(port: Port) -> Transmitter {
        let queue = Queue::new(&TRANSMIT_RING_PAGE);
        Transmitter { port, queue, free: (0..BUFFERS as u16).collect() }
    }

    fn is_full(&self) -> bool {
        self.free.is_empty()
    }

    /// Whether a buffer is free, after taking back those the backend is done with.
    fn has_room(&mut self) -> bool {
        while let Some([low, high, ..]) = self.queue.pop() {
            let id = u16::from_le_bytes([low, high]);
            assert!(usize::from(id) < BUFFERS, "the backend repeats an id it got");
            self.free.push(id).expect("the backend is done with a buffer once");
        }
        !self.is_full()
    }

    fn send(&mut self, frame: &[u8]) {
        let id = self.free.pop().expect("there was room");
        TRANSMIT_PAGES[usize::from(id)].write(0, frame);
        let mut request = [0; 12];
        request[..4].copy_from_slice(&(TRANSMIT + Reference::from(id)).to_le_bytes());
        // Between them the offset and the flags: none, as the checksums are there.
        request[8..10].copy_from_slice(&id.to_le_bytes());
        request[10..].copy_from_slice(&(frame.len() as u16).to_le_bytes());
        self.queue.push(request);
        if self.queue.publish() {
            cpu::notify(self.port);
        }
    }
}

fn key(name: &str) -> Text {
    text(format_args!("{VIF}/{name}"))
}

fn value<T>(
    store: &mut XenStore,
    name: &'static str,
    parse: impl Fn(&str) -> Option<T>,
) -> Result<T, Error> {
    let value = store.read(&key(name)).map_err(|errno| Error::Key(name, errno))?;
    parse(value).ok_or_else(|| Error::Value(name, beginning(value).chars().collect()))
}

fn shorts(bytes: [u8; 8]) -> [u16; 4] {
    [0, 2, 4, 6].map(|at| u16::from_le_bytes([bytes[at], bytes[at + 1]]))
}

/// The path of the state of a backend that is at `path`. None: it is longer than any.
fn state_of(path: &str) -> Option<Text> {
    let mut state = Text::try_from(path).ok()?;
    state.push_str("/state").ok()?;
    Some(state)
}

fn parse_mac(text: &str) -> Option<[u8; 6]> {
    let mut mac = [0; 6];
    let mut parts = text.split(':');
    for byte in &mut mac {
        *byte = u8::from_str_radix(parts.next()?, 16).ok()?;
    }
    parts.next().is_none().then_some(mac)
}
