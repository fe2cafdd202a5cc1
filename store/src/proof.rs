//! Owns proofs: the objects that lead from a commit to what it holds at a path, by which whoever
//! knows the commit's id can tell what it is without the store. Must not know branches.

use std::sync::Arc;

use crate::backend::{Memory, Source};
use crate::codec::{DecodeError, FORMAT, Reader, Writer};
use crate::commit::{Commit, Record};
use crate::contents::Contents;
use crate::error::StorageError;
use crate::id::Id;
use crate::lazy::decode_checked;
use crate::path::{Path, Step};
use crate::references::references;
use crate::store::Store;
use crate::tree::node::Entry;

const MAGIC: &[u8; 8] = b"jitsuprf";

/// What a commit held at a path, with all that is needed to see that it is so: objects, each of
/// which is named by its hash in the one before it, and the first by the commit's id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    /// The commit.
    pub commit: Id,
    /// The path.
    pub path: Path,
    /// In the order in which they are needed.
    objects: Vec<Arc<[u8]>>,
}

/// What is proven.
#[derive(Clone, Debug, PartialEq)]
pub enum Proven {
    /// Nothing is at the path.
    Nothing,
    /// A directory is there, of which this is the id: [`crate::Tree::id`].
    Directory(Id),
    /// These contents, all of them.
    Contents(Contents),
}

/// Why a proof proves nothing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProofError {
    /// It does not begin as a proof does.
    #[error("this is no proof")]
    NoProof,
    /// The bytes are not those of a proof.
    #[error("the proof cannot be read: {0}")]
    Decode(DecodeError),
    /// An object that is needed is not in it, or what is in its place is none.
    #[error("the proof lacks the object {}", .0.short())]
    Lacks(Id),
    /// So many objects in it are not needed.
    #[error("the proof holds {0} objects that prove nothing")]
    Extra(usize),
    /// An object in it does not mean anything.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl From<DecodeError> for ProofError {
    fn from(error: DecodeError) -> ProofError {
        ProofError::Decode(error)
    }
}

impl Store {
    /// Proves what a commit holds at a path.
    ///
    /// ```
    /// use jitsu_store::{BranchName, Contents, Meta, Path, Proof, Proven, Store};
    /// let store = Store::memory();
    /// let path: Path = "domains/www/wanted".parse()?;
    /// let set = |tree: &mut jitsu_store::Tree| tree.set(&path, Contents::text("running"));
    /// let (commit, ()) = store.update(&BranchName::new("main")?, Meta::default(), set)?;
    /// let bytes = store.prove(&commit.id(), &path)?.encode();
    /// drop(store);
    /// let proof = Proof::decode(&bytes)?;
    /// assert_eq!((proof.commit, &proof.path), (commit.id(), &path));
    /// assert_eq!(proof.verify()?, Proven::Contents(Contents::text("running")));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn prove(&self, commit: &Id, path: &Path) -> Result<Proof, StorageError> {
        let source = self.history().objects()?;
        let mut objects = Vec::new();
        read(commit, path, |id| {
            let object = source.fetch(id)?;
            objects.push(object.clone());
            Ok::<_, StorageError>(object)
        })?;
        Ok(Proof { commit: *commit, path: path.clone(), objects })
    }
}

impl Proof {
    /// What the commit held at the path. That the commit is the one that is meant is for the
    /// caller to see.
    pub fn verify(&self) -> Result<Proven, ProofError> {
        let mut rest = self.objects.iter();
        let proven = read(&self.commit, &self.path, |id| {
            let object = rest.next().filter(|object| Id::of(object) == *id);
            object.cloned().ok_or(ProofError::Lacks(*id))
        })?;
        match rest.len() {
            0 => Ok(proven),
            more => Err(ProofError::Extra(more)),
        }
    }

    /// The bytes, of which every proof has exactly one form.
    pub fn encode(&self) -> Vec<u8> {
        let mut to = Writer::new();
        to.raw(MAGIC);
        to.byte(FORMAT);
        to.id(&self.commit);
        to.number(self.path.steps().len() as u64);
        self.path.iter().for_each(|step| to.bytes(step.as_str().as_bytes()));
        to.number(self.objects.len() as u64);
        self.objects.iter().for_each(|object| to.bytes(object));
        to.finish()
    }

    /// The proof with these bytes, which is not verified yet.
    pub fn decode(bytes: &[u8]) -> Result<Proof, ProofError> {
        let mut from = Reader::new(bytes.strip_prefix(MAGIC).ok_or(ProofError::NoProof)?);
        match from.byte()? {
            FORMAT => {}
            other => return Err(DecodeError::Format(other).into()),
        }
        let commit = from.id()?;
        let steps = (0..from.count(2)?).map(|_| Ok(Step::new(from.text()?)?));
        let steps = steps.collect::<Result<Vec<Step>, DecodeError>>()?;
        let path = Path::from_steps(steps).map_err(DecodeError::from)?;
        let count = from.count(3)?;
        let objects = (0..count).map(|_| from.bytes().map(Arc::from));
        let objects = objects.collect::<Result<_, _>>()?;
        from.end()?;
        Ok(Proof { commit, path, objects })
    }
}

/// What a commit holds at a path, for which objects are fetched as they are found to be needed:
/// always the same ones, in the same order, each once.
fn read<E: From<StorageError>>(
    commit: &Id,
    path: &Path,
    mut fetch: impl FnMut(&Id) -> Result<Arc<[u8]>, E>,
) -> Result<Proven, E> {
    let here = Source::new(Arc::new(Memory::new()));
    let proven = loop {
        match look(&here, commit, path) {
            Err(StorageError::Missing { id }) => here.put(&id, &fetch(&id)?)?,
            proven => break proven?,
        }
    };
    if let Proven::Contents(contents) = &proven {
        let mut line = Vec::new();
        contents.links(&mut |part| {
            line.push(part.id());
            Ok(())
        })?;
        while let Some(id) = line.pop() {
            if here.contains(&id)? {
                continue;
            }
            let part = fetch(&id)?;
            line.extend(decode_checked(&id, &part, references)?);
            here.put(&id, &part)?;
        }
    }
    Ok(proven)
}

fn look(here: &Source, commit: &Id, path: &Path) -> Result<Proven, StorageError> {
    let record = Record::fetch(commit, here)?;
    match Commit::stored(Arc::new(record), here).tree().entry(path)? {
        None => Ok(Proven::Nothing),
        Some(Entry::Directory(directory)) => Ok(Proven::Directory(directory.id())),
        Some(Entry::Value(value)) => Ok(Proven::Contents(value.load()?.clone())),
    }
}
