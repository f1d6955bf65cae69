//! The recording of a real guest on disk: everything that a migration brought, to be looked at or
//! played into another destination.
//!
//! A recording is a folder:
//!
//! | file | holds |
//! |---|---|
//! | `manifest.json` | what it is ([`Manifest`]): format, machine, what was agreed, the table of RAM blocks, and the SHA-256 of every other file and of itself |
//! | `stream` | all bytes of the migration stream, in order |
//! | `rounds` | where in the stream each round of RAM lies, and which RAM it brought ([`Round`]) |
//! | `ram-00`, `ram-01`, ... | the RAM blocks as they were at the end, one sparse file each |
//! | `UNFINISHED` | is there while the recording is being written, and says so |
//!
//! The manifest comes last and by renaming, when everything else is on disk; then `UNFINISHED`
//! goes. So whatever happens in between, the folder is either a whole recording or can be told
//! from one. A migration that ended too early makes a recording whose manifest says that it is not
//! complete, and why.
//!
//! A reader trusts nothing: [`Recording::open`] and [`Recording::read_block`] hold every length,
//! digest, name and number against the others before anything is used.

mod error;
mod file;
mod inspection;
mod manifest;
mod reader;
mod rounds;
mod setup;
mod writer;

pub use error::{Fault, Place, RecordingError};
pub use inspection::Inspection;
pub use manifest::{BlockEntry, FORMAT, Manifest, RoundsEntry, StreamEntry};
pub use reader::{Contents, Recording};
pub(crate) use rounds::{ROUNDS_MAX, RUNS_MAX};
pub use rounds::{Round, Run};
pub use setup::{Block, Layout};
pub use writer::{Migration, Writer};

/// What a reader takes at the most.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Limits {
    /// Bytes of the stream.
    pub stream_bytes_max: u64,
    /// Bytes of all RAM blocks together.
    pub ram_bytes_max: u64,
}

/// Bytes of a stream that are taken unless somebody says otherwise. Real guests have a few million;
/// those with large devices that are passed through have more.
pub const STREAM_BYTES_MAX_DEFAULT: u64 = 1 << 30;

impl Default for Limits {
    fn default() -> Self {
        Self { stream_bytes_max: STREAM_BYTES_MAX_DEFAULT, ram_bytes_max: u64::MAX }
    }
}
