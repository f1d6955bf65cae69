//! Files that somebody else may have made.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use serde::de::DeserializeOwned;

use super::FILE_BYTES_MAX;

/// The bytes of a file, if it is one and not too long.
pub(super) fn bytes(path: &Path) -> Result<Vec<u8>, String> {
    let about = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => "it is missing".to_owned(),
        _ => format!("it cannot be read: {error}"),
    };
    // A pipe or a device could be read for ever.
    if !fs::symlink_metadata(path).map_err(about)?.is_file() {
        return Err("it is no file".to_owned());
    }
    let mut bytes = Vec::new();
    let one_more = u64::try_from(FILE_BYTES_MAX).unwrap_or(u64::MAX).saturating_add(1);
    let file = File::open(path).map_err(about)?;
    file.take(one_more).read_to_end(&mut bytes).map_err(about)?;
    match bytes.len() <= FILE_BYTES_MAX {
        true => Ok(bytes),
        false => Err(format!("it is longer than {FILE_BYTES_MAX} bytes")),
    }
}

/// What a file says, if it says it in the one form that there is.
pub(super) fn parsed<T: DeserializeOwned>(
    bytes: &[u8],
    write: impl FnOnce(&T) -> io::Result<Vec<u8>>,
) -> Result<T, String> {
    let value = serde_json::from_slice(bytes).map_err(|error| format!("it is damaged: {error}"))?;
    match write(&value) {
        Ok(again) if again == bytes => Ok(value),
        Ok(_) => Err("it is not in the form in which it was written".to_owned()),
        Err(error) => Err(format!("it cannot be written again: {error}")),
    }
}
