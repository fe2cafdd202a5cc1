//! Files that come to be whole or not at all.
//!
//! Owns what becomes of a file that was there before. It must not know what is written.

use std::fs::{self, File, Permissions};
use std::io::{BufWriter, Write};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path as FilePath;

use anyhow::{Context as _, Result};

/// Writes a file. It takes the place of the one that was there once all of it is on the disk; if
/// writing fails, that one stays.
pub(crate) fn write<T>(
    to: &FilePath,
    contents: impl FnOnce(&mut dyn Write) -> Result<T>,
) -> Result<T> {
    let cannot = || format!("cannot write {}", to.display());
    // A link stays a link, to the new file.
    let at = fs::canonicalize(to).unwrap_or_else(|_| to.to_owned());
    let before = fs::metadata(&at).ok();
    // A pipe cannot be replaced, and a folder says that it is one.
    if before.as_ref().is_some_and(|it| !it.is_file()) {
        return filled(&File::create(&at).with_context(cannot)?, contents);
    }
    let mode = before.map_or(0o666, |it| it.mode());
    let folder = at.parent().filter(|it| !it.as_os_str().is_empty());
    let new = tempfile::Builder::new()
        .permissions(Permissions::from_mode(mode))
        .tempfile_in(folder.unwrap_or(FilePath::new(".")))
        .with_context(cannot)?;
    let value = filled(new.as_file(), contents)?;
    new.as_file().sync_all().with_context(cannot)?;
    new.persist(&at).map_err(|error| error.error).with_context(cannot)?;
    Ok(value)
}

fn filled<T>(file: &File, contents: impl FnOnce(&mut dyn Write) -> Result<T>) -> Result<T> {
    let mut file = BufWriter::new(file);
    let value = contents(&mut file)?;
    file.flush()?;
    Ok(value)
}
