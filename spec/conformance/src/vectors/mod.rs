//! The test vectors of the protocol: `spec/vectors`, as data and as the suite reads them.
//!
//! [`vector`] is the format, [`judge`] the suite's own verdict on a vector, made with its own
//! [`codec`](crate::codec): [`message`] reads one message strictly, [`stream`] the front of a
//! migration stream, and [`dialogue`] watches both sides of a connection.

pub mod bytes;
pub mod dialogue;
pub mod error_name;
pub mod judge;
pub mod message;
pub mod protocol_name;
pub mod reading;
mod regions;
pub mod stream;
pub mod vector;

use std::path::Path;
use std::{fs, io};

// The name and the contents of a file of `spec/vectors`.
macro_rules! vector_file {
    ($name:literal) => {
        ($name, include_str!(concat!("../../../vectors/", $name)))
    };
}

/// Every file of `spec/vectors`: its name and its contents.
pub const FILES: &[(&str, &str)] = &[
    vector_file!("README.md"),
    vector_file!("LICENSE"),
    vector_file!("manifest.toml"),
    vector_file!("vector.schema.json"),
    vector_file!("check.py"),
    vector_file!("stream.py"),
    vector_file!("02-connection.toml"),
    vector_file!("03-control-channel.toml"),
    vector_file!("04-ram-blocks.toml"),
    vector_file!("05-registration.toml"),
    vector_file!("06-ram-writes.toml"),
    vector_file!("07-zero-pages.toml"),
    vector_file!("08-stream.toml"),
    vector_file!("09-rounds.toml"),
    vector_file!("10-errors.toml"),
    vector_file!("11-limits.toml"),
    vector_file!("capture-dynamic.toml"),
    vector_file!("capture-pin-all.toml"),
];

/// Writes every file of the vectors into a folder, which is made if it is not there, and returns
/// how many. Files of the same names are replaced.
///
/// # Errors
/// What the operating system says, with the file that it is about.
pub fn copy_to(folder: &Path) -> io::Result<usize> {
    let about = |path: &Path, error: io::Error| {
        io::Error::new(error.kind(), format!("{}: {error}", path.display()))
    };
    fs::create_dir_all(folder).map_err(|error| about(folder, error))?;
    for (name, contents) in FILES {
        let path = folder.join(name);
        fs::write(&path, contents).map_err(|error| about(&path, error))?;
    }
    Ok(FILES.len())
}

/// Every vector, in the order of the files.
///
/// # Errors
/// A file that is not in the format, which the tests of this package rule out.
pub fn all() -> Result<Vec<vector::Vector>, toml::de::Error> {
    let mut vectors = Vec::new();
    for (name, contents) in FILES {
        if name.ends_with(".toml") && *name != "manifest.toml" {
            vectors.extend(toml::from_str::<vector::File>(contents)?.vector);
        }
    }
    Ok(vectors)
}
