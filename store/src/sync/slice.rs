//! Owns slices: branches of a store, or what they have since some commits, as one stream of bytes
//! that another store takes in. Must not know where the bytes are kept.
//!
//! ```text
//!   "jitsuslc" version │ record │ …
//!   record: len crc    │ heads and what must be there, once │ objects, … │ end: how many
//! ```
//!
//! Numbers are little-endian. Objects are in messages of their own form, each after all that it
//! refers to.

use std::collections::{BTreeMap, HashSet};
use std::io::{self, Read, Write};

use super::SyncError;
use super::message::{MESSAGE_BYTES_MAX, Message, decode_heads, encode_heads};
use super::receiver::{check_head, keep};
use super::sender::Sender;
use crate::backend::Source;
use crate::codec::{DecodeError, ObjectKind, Reader, Writer};
use crate::commit::Record;
use crate::error::StorageError;
use crate::id::Id;
use crate::lazy::decode_checked;
use crate::name::BranchName;
use crate::references::references;
use crate::store::Store;

const MAGIC: &[u8; 8] = b"jitsuslc";
/// The version of slices.
const VERSION: u32 = 1;
const HEADS: u8 = b'h';
const OBJECTS: u8 = b'o';
const END: u8 = b'z';

/// Why a slice could not be written or taken in. What came before the fault is kept, and no branch
/// was moved.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SliceError {
    /// The stream cannot be read or written.
    #[error("cannot {op} the slice: {cause}")]
    Io {
        /// What was being done.
        op: &'static str,
        /// What the system said.
        cause: io::Error,
    },
    /// It does not begin as a slice does.
    #[error("this is no slice")]
    NoSlice,
    /// It has a format that this program does not know.
    #[error("the slice has format version {0}, this program knows {VERSION}")]
    Version(u32),
    /// It ends too early.
    #[error("the slice ends too early, at byte {at}")]
    Short {
        /// Where the record begins that is not whole.
        at: u64,
    },
    /// A record is not what was written.
    #[error("the slice is damaged: a wrong checksum at byte {at}")]
    Checksum {
        /// Where the record begins.
        at: u64,
    },
    /// A record means nothing.
    #[error("the slice is damaged: {error} at byte {at}")]
    Record {
        /// Where the record begins.
        at: u64,
        /// What is wrong with it.
        error: DecodeError,
    },
    /// It builds on a commit that is not here.
    #[error("the slice builds on the commit {}, which is not here", .0.short())]
    Lacks(Id),
    /// An object in it is refused, or a backend failed.
    #[error(transparent)]
    Sync(#[from] SyncError),
}

impl From<StorageError> for SliceError {
    fn from(error: StorageError) -> SliceError {
        SliceError::Sync(error.into())
    }
}

/// What a slice brought. Its branches were not moved: [`Batch::forward`](crate::Batch::forward)
/// does that, and [`Store::merge`] where the branch has commits of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Imported {
    /// The branches that are in it, and their heads, all of which are here now.
    pub heads: Vec<(BranchName, Id)>,
    /// How many objects were in it.
    pub objects: u64,
}

impl Store {
    /// Writes these branches as a slice, without what belongs to the commits `since` or is before
    /// them: whoever takes it in must have those. How many objects are in it.
    pub fn export_slice(
        &self,
        branches: &[BranchName],
        since: &[Id],
        to: &mut dyn Write,
    ) -> Result<u64, SliceError> {
        let source = self.history().objects()?;
        let mut known = Known::new(&source, since)?;
        let mut heads = Vec::new();
        for branch in branches {
            let head = self.head(branch)?;
            let head = head.ok_or_else(|| SyncError::NoBranch(branch.clone()))?;
            heads.push((branch.clone(), head.id()));
        }
        let mut to = Output { to };
        to.bytes(MAGIC)?;
        to.bytes(&VERSION.to_le_bytes())?;
        to.record(HEADS, &encode_begin(&heads, since))?;
        let ids: Vec<Id> = heads.iter().map(|(_, head)| *head).collect();
        let mut sender = Sender::new(self, &ids)?;
        let mut said = sender.start()?;
        let mut objects = 0;
        while let Some(message) = said {
            let answer = match &message {
                Message::Offer(ids) => {
                    let has = ids.iter().map(|id| known.has(id)).collect::<Result<_, _>>();
                    Message::Has(has?)
                }
                Message::Slice(slice) => {
                    objects += slice.len() as u64;
                    to.record(OBJECTS, &message.encode())?;
                    Message::Taken
                }
                Message::Thinned(_) => {
                    to.record(OBJECTS, &message.encode())?;
                    Message::Taken
                }
                other => unreachable!("BUG: a sender says {}", other.name()),
            };
            said = sender.answered(&answer)?;
        }
        to.record(END, &objects.to_le_bytes())?;
        to.to.flush().map_err(|cause| SliceError::Io { op: "write", cause })?;
        Ok(objects)
    }

    /// Takes in a slice, and moves none of its branches. Each object is checked before it is kept; what came
    /// before an error stays, and is garbage until a slice brings the rest.
    ///
    /// ```
    /// use jitsu_store::{BranchName, Contents, Forward, Meta, Store, Tree};
    /// let (here, there) = (Store::memory(), Store::memory());
    /// let (main, path) = (BranchName::new("main")?, "greeting".parse()?);
    /// let set = |tree: &mut Tree| tree.set(&path, Contents::text("hello"));
    /// here.update(&main, Meta::default(), set)?;
    /// let mut slice = Vec::new();
    /// here.export_slice(&[main], &[], &mut slice)?;
    /// for (branch, head) in there.import_slice(&mut &slice[..])?.heads {
    ///     let came = there.transact(|batch| batch.forward(&branch, &head))?;
    ///     assert_eq!(came, Forward::Moved);
    /// }
    /// assert_eq!(there.branches()?, here.branches()?);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn import_slice(&self, from: &mut dyn Read) -> Result<Imported, SliceError> {
        let history = self.history();
        let to = history.objects_now()?;
        let mut from = Input { from, at: 0 };
        from.magic()?;
        let (at, body) = from.record(HEADS)?;
        let (heads, since) =
            decode_begin(&body).map_err(|error| SliceError::Record { at, error })?;
        for id in since {
            if !to.contains(&id)? {
                return Err(SliceError::Lacks(id));
            }
        }
        let mut thinned_before_ms = self.let_go_before_ms()?;
        let mut objects = 0u64;
        loop {
            let (at, kind, body) = from.any_record()?;
            let wrong = |error| SliceError::Record { at, error };
            match kind {
                OBJECTS => match Message::decode(&body).map_err(wrong)? {
                    Message::Slice(slice) => {
                        for object in slice {
                            keep(&to, &Id::of(&object), &object, thinned_before_ms)?;
                            objects += 1;
                        }
                    }
                    Message::Thinned(before_ms) => {
                        self.take_let_go(before_ms)?;
                        thinned_before_ms = thinned_before_ms.max(before_ms);
                    }
                    _ => return Err(wrong(DecodeError::NotCanonical("no objects"))),
                },
                END if body == objects.to_le_bytes() => break,
                END => return Err(wrong(DecodeError::NotCanonical("a wrong count of objects"))),
                other => return Err(wrong(DecodeError::Tag(other))),
            }
        }
        for (_, head) in &heads {
            check_head(&to, head)?;
            history.adopt(head)?;
        }
        Ok(Imported { heads, objects })
    }
}

/// What whoever takes in a slice has.
struct Known {
    source: Source,
    /// Commits among the ancestors that were not looked at, by generation; and all that were seen.
    next: BTreeMap<(u64, Id), Record>,
    seen: HashSet<Id>,
    /// What the trees of those commits are made of, though not of those before them.
    objects: HashSet<Id>,
}

impl Known {
    fn new(source: &Source, since: &[Id]) -> Result<Known, StorageError> {
        let (next, seen) = (BTreeMap::new(), HashSet::new());
        let mut known = Known { source: source.clone(), next, seen, objects: HashSet::new() };
        for id in since {
            known.reach(*id)?;
        }
        let mut line = Vec::new();
        for tree in known.next.values().map(Record::tree) {
            if source.contains(&tree)? {
                line.push(tree);
            }
        }
        while let Some(id) = line.pop() {
            if known.objects.insert(id) {
                line.extend(decode_checked(&id, &source.fetch(&id)?, references)?);
            }
        }
        Ok(known)
    }

    fn has(&mut self, id: &Id) -> Result<bool, StorageError> {
        let bytes = self.source.fetch(id)?;
        if ObjectKind::of(&bytes) != Some(ObjectKind::Commit) {
            return Ok(self.objects.contains(id));
        }
        let commit = decode_checked(id, &bytes, |bytes| Record::decode(*id, bytes, &self.source))?;
        // Only a commit of greater generation can lead to it.
        while self.next.last_key_value().is_some_and(|((at, _), _)| *at > commit.generation()) {
            let (_, record) = self.next.pop_last().expect("BUG: there was a last one");
            for parent in record.parents() {
                self.reach(parent)?;
            }
        }
        Ok(self.seen.contains(id))
    }

    fn reach(&mut self, id: Id) -> Result<(), StorageError> {
        if self.seen.insert(id) {
            let record = Record::fetch(&id, &self.source)?;
            self.next.insert((record.generation(), id), record);
        }
        Ok(())
    }
}

struct Output<'a> {
    to: &'a mut dyn Write,
}

impl Output<'_> {
    fn record(&mut self, kind: u8, body: &[u8]) -> Result<(), SliceError> {
        let len = u32::try_from(1 + body.len()).expect("BUG: a record larger than a message");
        let mut crc = crc32fast::Hasher::new();
        crc.update(&[kind]);
        crc.update(body);
        self.bytes(&len.to_le_bytes())?;
        self.bytes(&crc.finalize().to_le_bytes())?;
        self.bytes(&[kind])?;
        self.bytes(body)
    }

    fn bytes(&mut self, bytes: &[u8]) -> Result<(), SliceError> {
        self.to.write_all(bytes).map_err(|cause| SliceError::Io { op: "write", cause })
    }
}

struct Input<'a> {
    from: &'a mut dyn Read,
    at: u64,
}

impl Input<'_> {
    fn magic(&mut self) -> Result<(), SliceError> {
        let begin: Vec<u8> = match self.bytes(MAGIC.len() + 4) {
            Err(SliceError::Short { .. }) => return Err(SliceError::NoSlice),
            begin => begin?,
        };
        let version = begin.strip_prefix(MAGIC).ok_or(SliceError::NoSlice)?;
        match u32::from_le_bytes(version.try_into().expect("BUG: four bytes were read")) {
            VERSION => Ok(()),
            other => Err(SliceError::Version(other)),
        }
    }

    fn record(&mut self, wanted: u8) -> Result<(u64, Vec<u8>), SliceError> {
        match self.any_record()? {
            (at, kind, body) if kind == wanted => Ok((at, body)),
            (at, other, _) => Err(SliceError::Record { at, error: DecodeError::Tag(other) }),
        }
    }

    /// Where the next record begins, its kind and its body.
    fn any_record(&mut self) -> Result<(u64, u8, Vec<u8>), SliceError> {
        let at = self.at;
        let short = |error| match error {
            SliceError::Short { .. } => SliceError::Short { at },
            other => other,
        };
        let head = self.bytes(8).map_err(short)?;
        let (len, crc) = head.split_first_chunk::<4>().expect("BUG: eight bytes were read");
        let len = u32::from_le_bytes(*len) as usize;
        if len == 0 || len > MESSAGE_BYTES_MAX {
            return Err(SliceError::Record { at, error: DecodeError::NotCanonical("a length") });
        }
        let mut body = self.bytes(len).map_err(short)?;
        if crc32fast::hash(&body).to_le_bytes() != crc {
            return Err(SliceError::Checksum { at });
        }
        let kind = body.remove(0);
        Ok((at, kind, body))
    }

    /// So many bytes, for which no more is allocated than there is.
    fn bytes(&mut self, len: usize) -> Result<Vec<u8>, SliceError> {
        let mut bytes = Vec::new();
        let read = (&mut self.from).take(len as u64).read_to_end(&mut bytes);
        let read = read.map_err(|cause| SliceError::Io { op: "read", cause })?;
        let at = self.at;
        self.at += read as u64;
        if read < len { Err(SliceError::Short { at }) } else { Ok(bytes) }
    }
}

fn encode_begin(heads: &Heads, since: &[Id]) -> Vec<u8> {
    let mut to = Writer::new();
    encode_heads(heads, &mut to);
    to.number(since.len() as u64);
    since.iter().for_each(|id| to.id(id));
    to.finish()
}

type Heads = Vec<(BranchName, Id)>;

fn decode_begin(bytes: &[u8]) -> Result<(Heads, Vec<Id>), DecodeError> {
    let mut from = Reader::new(bytes);
    let heads = decode_heads(&mut from)?;
    let count = from.count(32)?;
    let since = (0..count).map(|_| from.id()).collect::<Result<_, _>>()?;
    from.end()?;
    Ok((heads, since))
}
