//! Owns what two stores say to each other, and its canonical bytes. Must not know what they do
//! about it.

use crate::backend::OBJECT_BYTES_MAX;
use crate::codec::{DecodeError, FORMAT, Reader, Writer};
use crate::id::Id;
use crate::name::BranchName;

/// The most ids that one message offers.
pub(super) const OFFER_MAX: usize = 4096;

/// How many bytes of objects are put into one message, which is exceeded by the last of them.
pub(super) const SLICE_BYTES: usize = 256 << 10;

/// The largest message: one object of the largest size, and what is around it.
pub const MESSAGE_BYTES_MAX: usize = OBJECT_BYTES_MAX + SLICE_BYTES + 1024;

/// What one side says to the other, in turns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// Which branches are there?
    List,
    /// These, with their heads.
    Branches(Vec<(BranchName, Id)>),
    /// The receiver, who speaks first, would have this branch.
    Want(BranchName),
    /// The same, but of no more than so many commits, the newest ones, the receiver would have the
    /// trees: of these whether or not it has the commits.
    WantNewest(BranchName, u64),
    /// The sender, who speaks first, would move this branch.
    Give(BranchName),
    /// There is no such branch.
    Unknown,
    /// The sender has these objects. Are they there?
    Offer(Vec<Id>),
    /// The receiver has those of them that are true.
    Has(Vec<bool>),
    /// A slice: objects that the receiver lacks, each after all that it refers to.
    Slice(Vec<Vec<u8>>),
    /// Commits made before this time, in milliseconds since 1970, may lack their trees, which were
    /// let go: see [`crate::Keep`].
    Thinned(u64),
    /// The receiver keeps them, and goes on.
    Taken,
    /// The receiver has everything that belongs to this commit now.
    Head(Id),
    /// The branch is at that commit now; or was before.
    Moved(Moved),
    /// The branch was not moved: it is at this commit, which is not an ancestor.
    Behind(Id),
}

/// Whether a branch had to be moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moved {
    /// It was moved.
    Now,
    /// It was where it should be.
    Before,
}

impl Message {
    /// The bytes, of which every message has exactly one form.
    pub fn encode(&self) -> Vec<u8> {
        let mut to = Writer::new();
        to.byte(FORMAT);
        match self {
            Message::List => to.byte(b'l'),
            Message::Branches(branches) => {
                to.byte(b'a');
                encode_heads(branches, &mut to);
            }
            Message::Want(branch) => {
                to.byte(b'w');
                to.bytes(branch.as_str().as_bytes());
            }
            Message::WantNewest(branch, trees) => {
                to.byte(b'n');
                to.bytes(branch.as_str().as_bytes());
                to.number(*trees);
            }
            Message::Give(branch) => {
                to.byte(b'g');
                to.bytes(branch.as_str().as_bytes());
            }
            Message::Unknown => to.byte(b'u'),
            Message::Offer(ids) => {
                to.byte(b'o');
                to.number(ids.len() as u64);
                ids.iter().for_each(|id| to.id(id));
            }
            Message::Has(has) => {
                to.byte(b'h');
                to.number(has.len() as u64);
                has.iter().for_each(|has| to.byte(u8::from(*has)));
            }
            Message::Slice(objects) => {
                to.byte(b's');
                to.number(objects.len() as u64);
                objects.iter().for_each(|object| to.bytes(object));
            }
            Message::Thinned(before_ms) => {
                to.byte(b'r');
                to.number(*before_ms);
            }
            Message::Taken => to.byte(b't'),
            Message::Head(id) => {
                to.byte(b'e');
                to.id(id);
            }
            Message::Moved(moved) => {
                to.byte(b'm');
                to.byte(u8::from(*moved == Moved::Now));
            }
            Message::Behind(id) => {
                to.byte(b'b');
                to.id(id);
            }
        }
        to.finish()
    }

    /// The message with these bytes.
    pub fn decode(bytes: &[u8]) -> Result<Message, DecodeError> {
        let mut from = Reader::new(bytes);
        match from.byte()? {
            FORMAT => {}
            other => return Err(DecodeError::Format(other)),
        }
        let message = match from.byte()? {
            b'l' => Message::List,
            b'a' => Message::Branches(decode_heads(&mut from)?),
            b'w' => Message::Want(BranchName::new(from.text()?)?),
            b'n' => Message::WantNewest(BranchName::new(from.text()?)?, from.number()?),
            b'g' => Message::Give(BranchName::new(from.text()?)?),
            b'u' => Message::Unknown,
            b'o' => {
                let count = from.count(32)?;
                check_offer(count)?;
                Message::Offer((0..count).map(|_| from.id()).collect::<Result<_, _>>()?)
            }
            b'h' => {
                let count = from.count(1)?;
                check_offer(count)?;
                Message::Has((0..count).map(|_| truth(&mut from)).collect::<Result<_, _>>()?)
            }
            b's' => {
                // No object is shorter than its kind and format.
                let count = from.count(3)?;
                let object = |_| from.bytes().map(<[u8]>::to_vec);
                Message::Slice((0..count).map(object).collect::<Result<_, _>>()?)
            }
            b'r' => Message::Thinned(from.number()?),
            b't' => Message::Taken,
            b'e' => Message::Head(from.id()?),
            b'm' => Message::Moved(if truth(&mut from)? { Moved::Now } else { Moved::Before }),
            b'b' => Message::Behind(from.id()?),
            other => return Err(DecodeError::Tag(other)),
        };
        from.end()?;
        Ok(message)
    }
}

impl Message {
    /// What it is called.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Message::List => "a question for branches",
            Message::Branches(_) => "a list of branches",
            Message::Want(_) | Message::WantNewest(..) => "a want",
            Message::Give(_) => "a give",
            Message::Unknown => "an unknown branch",
            Message::Offer(_) => "an offer",
            Message::Has(_) => "what is there",
            Message::Slice(_) => "a slice",
            Message::Thinned(_) => "history without its trees",
            Message::Taken => "a receipt",
            Message::Head(_) => "a head",
            Message::Moved(_) => "a move",
            Message::Behind(_) => "a branch that is ahead",
        }
    }
}

/// Branches and their heads.
pub(super) fn encode_heads(heads: &[(BranchName, Id)], to: &mut Writer) {
    to.number(heads.len() as u64);
    for (branch, head) in heads {
        to.bytes(branch.as_str().as_bytes());
        to.id(head);
    }
}

pub(super) fn decode_heads(from: &mut Reader<'_>) -> Result<Vec<(BranchName, Id)>, DecodeError> {
    let count = from.count(34)?;
    (0..count).map(|_| Ok((BranchName::new(from.text()?)?, from.id()?))).collect()
}

fn check_offer(count: usize) -> Result<(), DecodeError> {
    if count > OFFER_MAX {
        return Err(DecodeError::NotCanonical("too many ids in one message"));
    }
    Ok(())
}

fn truth(from: &mut Reader<'_>) -> Result<bool, DecodeError> {
    match from.byte()? {
        0 => Ok(false),
        1 => Ok(true),
        other => Err(DecodeError::Tag(other)),
    }
}
