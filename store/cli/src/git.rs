//! `export-git` and `import-git`.
//!
//! Owns what is told of them. How a store becomes a repository and back the store knows.

use std::fs;
use std::path::Path as FilePath;

use anyhow::{Result, bail};
use jitsu_store::git::{self, Imported, Landed, ObjectFormat, Repository, Sent};

use crate::show::conflict;
use crate::{Said, open};

pub(crate) fn export(folder: &FilePath, to: &FilePath, sha256: bool) -> Result<Said> {
    let store = open::read(folder)?;
    let is_there = fs::read_dir(to).is_ok_and(|mut entries| entries.next().is_some());
    let repository = if is_there {
        let repository = Repository::open(to)?;
        if sha256 && repository.object_format() != ObjectFormat::Sha256 {
            bail!("{} is there, and names objects by SHA-1: leave out --sha256", to.display());
        }
        repository
    } else {
        let format = if sha256 { ObjectFormat::Sha256 } else { ObjectFormat::Sha1 };
        Repository::create(to, format)?
    };
    let exported = git::export(&store, &repository)?;
    let mut is_done = true;
    let mut text = String::new();
    for (branch, sent) in &exported.branches {
        let came = match sent {
            Sent::Moved(id) => format!("is now at {id}"),
            Sent::Already(id) => format!("is at {id} already"),
            Sent::Ahead(id) => {
                is_done = false;
                format!("stays at {id}, which is not in the store: import it first")
            }
        };
        text += &format!("{branch} {came}\n");
    }
    let (commits, written) = (exported.commits, exported.objects_written);
    text += &format!("{commits} commits, {written} objects written\n");
    Ok(Said { bytes: text.into_bytes(), is_done })
}

pub(crate) fn import(folder: &FilePath, from: &FilePath) -> Result<Said> {
    let repository = Repository::open(from)?;
    let store = open::change_or_begin(folder)?;
    let meta = open::meta(format!("merge what came from {}", from.display()));
    Ok(imported(&git::import(&store, &repository, &meta)?))
}

/// What came of an import.
pub(crate) fn imported(imported: &Imported) -> Said {
    let mut is_done = true;
    let mut text = String::new();
    for (branch, landed) in &imported.branches {
        let came = match landed {
            Landed::Moved(id) => format!("is now at {}\n", id.short()),
            Landed::Already => "has it already\n".to_owned(),
            Landed::Merged(id) => format!("is merged, and now at {}\n", id.short()),
            Landed::Conflicts(conflicts) => {
                is_done = false;
                let conflicts: String = conflicts.iter().map(conflict).collect();
                format!("cannot be merged, and was not moved:\n{conflicts}")
            }
            Landed::Refused => {
                is_done = false;
                "is no name that a branch of the store can have: rename it\n".to_owned()
            }
        };
        text += &format!("{branch} {came}");
    }
    text += &format!("{} commits, {} objects read\n", imported.commits, imported.objects_read);
    Said { bytes: text.into_bytes(), is_done }
}
