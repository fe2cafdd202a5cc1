//! A client of the XenStore, over the ring that every domain has to it
//! (xen/include/public/io/xs_wire.h).
//!
//! Owns the ring, and whether a watch has fired. Which one is not told: who watches looks at what
//! it needs again. Must not know what paths mean.

use core::fmt::{self, Display, Write};

use jitsu_unikernel::packet::{self, HEADER, Header, PAYLOAD_MAX};
use jitsu_unikernel::ring;

use crate::cpu::{self, Port, Refused};
use crate::memory::{Page, StartInfo};
use crate::shared_info;

/// Where things are in `xenstore_domain_interface`.
const REQUESTS: usize = 0;
const RESPONSES: usize = 1024;
const RING_BYTES: usize = 1024;
const REQUEST_CONSUMER: usize = 2048;
const REQUEST_PRODUCER: usize = 2052;
const RESPONSE_CONSUMER: usize = 2056;
const RESPONSE_PRODUCER: usize = 2060;

static RING: Page = Page::new();

/// A path, or a value that is written: none of this guest's own is longer. What it reads may be.
pub(crate) type Text = heapless::String<256>;

/// What the XenStore said no with, such as `ENOENT`; or `EILSEQ`, which is ours: a value is no text.
#[derive(Debug)]
pub(crate) struct Errno(heapless::String<16>);

impl Errno {
    /// Whether there is no such path.
    pub(crate) fn is_absent(&self) -> bool {
        self.0 == "ENOENT"
    }
}

impl Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The connection to the XenStore.
pub(crate) struct XenStore {
    port: Port,
    request: u32,
    has_changed: bool,
    payload: [u8; PAYLOAD_MAX],
}

impl XenStore {
    /// Maps the ring.
    pub(crate) fn connect(start: &StartInfo) -> Result<XenStore, Refused> {
        RING.map(start.store_frame)?;
        Ok(XenStore {
            port: start.store_port,
            request: 0,
            has_changed: false,
            payload: [0; PAYLOAD_MAX],
        })
    }

    /// The event channel that is pending when something was received.
    pub(crate) fn port(&self) -> Port {
        self.port
    }

    /// The value at `path`, however long it is.
    pub(crate) fn read(&mut self, path: &str) -> Result<&str, Errno> {
        let value = self.ask(packet::READ, &[path.as_bytes(), b"\0"])?;
        packet::text(value).ok_or_else(|| Errno("EILSEQ".try_into().expect("it is short")))
    }

    /// Sets the value at `path`.
    pub(crate) fn write(&mut self, path: &str, value: impl Display) -> Result<(), Errno> {
        let request = self.post_write(path, value);
        self.answer(request)?;
        Ok(())
    }

    /// Asks for the same without waiting for the answer, which [`XenStore::answer`] must take.
    /// A boot is mostly such waits.
    pub(crate) fn post_write(&mut self, path: &str, value: impl Display) -> u32 {
        let value = text(value);
        self.post(packet::WRITE, &[path.as_bytes(), b"\0", value.as_bytes()])
    }

    /// Makes [`XenStore::take_changed`] true at once, and when `path` changes.
    pub(crate) fn watch(&mut self, path: &str) -> Result<(), Errno> {
        // A token is wanted, but one watch is as good as another.
        self.ask(packet::WATCH, &[path.as_bytes(), b"\0-\0"]).map(|_| ())
    }

    /// Whether a watch has fired since the last time. What is asked between that and waiting for
    /// events may take in the next one, so it is to be asked until it is false.
    pub(crate) fn take_changed(&mut self) -> bool {
        while arrived() > 0 {
            self.receive();
        }
        core::mem::take(&mut self.has_changed)
    }

    fn ask(&mut self, kind: u32, parts: &[&[u8]]) -> Result<&[u8], Errno> {
        let request = self.post(kind, parts);
        self.answer(request)
    }

    /// Sends a request: its number.
    fn post(&mut self, kind: u32, parts: &[&[u8]]) -> u32 {
        self.request = self.request.wrapping_add(1);
        let length = parts.iter().map(|part| part.len()).sum::<usize>() as u32;
        send(self.port, &Header { kind, request: self.request, length }.encode());
        parts.iter().for_each(|part| send(self.port, part));
        self.request
    }

    /// The answer to `request`; answers come in the order of requests.
    pub(crate) fn answer(&mut self, request: u32) -> Result<&[u8], Errno> {
        let answer = loop {
            let header = self.receive();
            if header.kind != packet::WATCH_EVENT {
                assert_eq!(header.request, request, "the XenStore answers in order");
                break header;
            }
        };
        let payload = &self.payload[..answer.length as usize];
        match answer.kind {
            packet::ERROR => {
                let name = packet::text(payload).and_then(|name| name.try_into().ok());
                Err(Errno(name.unwrap_or_default()))
            }
            _ => Ok(payload),
        }
    }

    /// Takes the next packet, waiting for it; its payload is then in `payload`.
    fn receive(&mut self) -> Header {
        let mut bytes = [0; HEADER];
        take(self.port, &mut bytes);
        let header = Header::decode(&bytes).expect("the XenStore keeps to its longest payload");
        take(self.port, &mut self.payload[..header.length as usize]);
        self.has_changed |= header.kind == packet::WATCH_EVENT;
        header
    }
}

/// Bytes of responses and events that wait to be read.
fn arrived() -> usize {
    let used = ring::used(RING.load(RESPONSE_PRODUCER), RING.load(RESPONSE_CONSUMER), RING_BYTES);
    used.expect("the XenStore keeps its ring in order")
}

fn take(port: Port, mut bytes: &mut [u8]) {
    while !bytes.is_empty() {
        let consumer = RING.load(RESPONSE_CONSUMER);
        let place = ring::stretch(consumer, bytes.len().min(arrived()), RING_BYTES);
        if place.is_empty() {
            shared_info::wait(&[port], 0);
            continue;
        }
        let (now, later) = bytes.split_at_mut(place.len());
        RING.read(RESPONSES + place.start, now);
        RING.store(RESPONSE_CONSUMER, consumer.wrapping_add(now.len() as u32));
        cpu::notify(port);
        bytes = later;
    }
}

fn send(port: Port, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        let producer = RING.load(REQUEST_PRODUCER);
        let used = ring::used(producer, RING.load(REQUEST_CONSUMER), RING_BYTES);
        let free = RING_BYTES - used.expect("the XenStore keeps its ring in order");
        let place = ring::stretch(producer, bytes.len().min(free), RING_BYTES);
        if place.is_empty() {
            shared_info::wait(&[port], 0);
            continue;
        }
        let (now, later) = bytes.split_at(place.len());
        RING.write(REQUESTS + place.start, now);
        RING.store(REQUEST_PRODUCER, producer.wrapping_add(now.len() as u32));
        cpu::notify(port);
        bytes = later;
    }
}

/// What `value`, of this guest's own, reads as.
pub(crate) fn text(value: impl Display) -> Text {
    let mut text = Text::new();
    write!(text, "{value}").expect("no path or value of a guest is longer than 256 bytes");
    text
}
