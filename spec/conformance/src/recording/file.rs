//! Files of a recording: plain ones only, and on disk when they are said to be written.

use std::fs::{self, File, Metadata};
use std::io::{Read, Write};
use std::path::Path;

use super::error::{Fault, Place, RecordingError};

/// Opens a file that has to be a plain one, and returns its length. A link could lead anywhere, and a
/// pipe could make the reader wait for ever.
pub(super) fn open(path: &Path) -> Result<(File, u64), RecordingError> {
    let before = fs::symlink_metadata(path).map_err(RecordingError::system(path, "read"))?;
    if !before.is_file() {
        let what = match before.file_type() {
            kind if kind.is_symlink() => "a symbolic link",
            kind if kind.is_dir() => "a folder",
            _ => "a device or a pipe",
        };
        return Err(RecordingError::damaged(path, Place::Whole, Fault::NotAFile(what)));
    }
    let file = File::open(path).map_err(RecordingError::system(path, "open"))?;
    let after = file.metadata().map_err(RecordingError::system(path, "read"))?;
    if !after.is_file() || !is_same(&before, &after) {
        return Err(RecordingError::damaged(path, Place::Whole, Fault::Exchanged));
    }
    Ok((file, after.len()))
}

#[cfg(unix)]
fn is_same(one: &Metadata, other: &Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    (one.dev(), one.ino()) == (other.dev(), other.ino())
}

#[cfg(not(unix))]
fn is_same(_one: &Metadata, _other: &Metadata) -> bool {
    true
}

/// Reads a whole file, if it has no more than `max` bytes.
pub(super) fn read(path: &Path, max: u64) -> Result<Vec<u8>, RecordingError> {
    let (file, found) = open(path)?;
    let too_long =
        |found| RecordingError::damaged(path, Place::Whole, Fault::TooLong { found, max });
    if found > max {
        return Err(too_long(found));
    }
    // It may grow while it is read.
    let mut bytes = Vec::new();
    let mut limited = file.take(max.saturating_add(1));
    limited.read_to_end(&mut bytes).map_err(RecordingError::system(path, "read"))?;
    match u64::try_from(bytes.len()) {
        Ok(length) if length <= max => Ok(bytes),
        _ => Err(too_long(max.saturating_add(1))),
    }
}

/// Writes a file that must not exist, and waits until it is on disk.
pub(super) fn write(path: &Path, bytes: &[u8]) -> Result<(), RecordingError> {
    let mut file = create(path)?;
    file.write_all(bytes).map_err(RecordingError::system(path, "write"))?;
    sync(path, &file)
}

/// Makes a file that must not exist.
pub(super) fn create(path: &Path) -> Result<File, RecordingError> {
    File::create_new(path).map_err(RecordingError::system(path, "create"))
}

/// Waits until what was written to a file is on disk.
pub(super) fn sync(path: &Path, file: &File) -> Result<(), RecordingError> {
    file.sync_all().map_err(RecordingError::system(path, "write to disk"))
}

/// Waits until the names in a folder are on disk.
pub(super) fn sync_folder(folder: &Path) -> Result<(), RecordingError> {
    // Only Unix opens folders; elsewhere the names get to disk when the system likes.
    if !cfg!(unix) {
        return Ok(());
    }
    let file = File::open(folder).map_err(RecordingError::system(folder, "open"))?;
    sync(folder, &file)
}
