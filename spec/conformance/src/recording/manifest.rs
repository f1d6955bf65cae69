//! The manifest: what a recording is, and by which digests its files can be told from others.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// The format of recordings that this program writes, and the only one that it reads.
pub const FORMAT: u32 = 1;

/// The contents of `manifest.json`.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The format, [`FORMAT`].
    pub format: u32,
    /// The program that wrote it, with its version.
    pub written_by: String,
    /// Whether the migration came to its end, so that the recording can be played.
    pub complete: bool,
    /// Why it is not complete.
    pub reason: Option<String>,
    /// The machine type of the guest, if the stream names it.
    pub machine: Option<String>,
    /// The version of the protocol that was agreed.
    pub version: u32,
    /// Whether all RAM was pinned.
    pub pin_all: bool,
    /// The chunk size in bytes, on which both sides had agreed.
    pub chunk_bytes: u64,
    /// Whether the stream ends with a description of the device state. Where it does not, somebody
    /// has said that the source sends none.
    pub vm_description: bool,
    /// The stream.
    pub stream: StreamEntry,
    /// The rounds.
    pub rounds: RoundsEntry,
    /// The RAM blocks, in the order of their indices.
    pub blocks: Vec<BlockEntry>,
    /// The SHA-256 of this manifest, computed with this field empty.
    pub sha256: String,
}

/// What the manifest says of the stream.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct StreamEntry {
    /// Its file.
    pub file: String,
    /// Messages in which it came.
    pub messages: u64,
    /// Its length.
    pub bytes: u64,
    /// The digest of its file.
    pub sha256: String,
}

/// What the manifest says of the rounds.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct RoundsEntry {
    /// Their file.
    pub file: String,
    /// How many there are.
    pub count: u64,
    /// The length of their file.
    pub bytes: u64,
    /// The digest of their file.
    pub sha256: String,
}

/// What the manifest says of a RAM block.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct BlockEntry {
    /// Its name; what is not plain text is escaped.
    pub name: String,
    /// Its file.
    pub file: String,
    /// Its length, and that of its file.
    pub bytes: u64,
    /// The digest of its file.
    pub sha256: String,
}

/// The name of the manifest's file.
pub(super) const MANIFEST_FILE: &str = "manifest.json";
/// The name of the stream's file.
pub(super) const STREAM_FILE: &str = "stream";
/// The name of the rounds' file.
pub(super) const ROUNDS_FILE: &str = "rounds";
/// The name of the file that is there while a recording is being written.
pub(super) const UNFINISHED_FILE: &str = "UNFINISHED";

/// The name of a RAM block's file.
pub(super) fn block_file(index: usize) -> String {
    format!("ram-{index:02}")
}

impl Manifest {
    /// The digest that belongs into the field `sha256`.
    pub(super) fn digest(&self) -> String {
        let blank = Self { sha256: String::new(), ..self.clone() };
        // A struct of texts and numbers can always be written.
        sha256(&serde_json::to_vec(&blank).unwrap_or_default())
    }

    /// The manifest with its digest in it.
    pub(super) fn sealed(self) -> Self {
        Self { sha256: self.digest(), ..self }
    }
}

/// The SHA-256 of bytes, in hexadecimal.
pub(super) fn sha256(bytes: &[u8]) -> String {
    hexadecimal(Sha256::new_with_prefix(bytes))
}

/// The digest of what was put into a hash.
pub(super) fn hexadecimal(hash: Sha256) -> String {
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}
