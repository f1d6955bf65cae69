//! Evidence: what a verdict was found from, kept so that anybody can find it again.
//!
//! A folder of evidence has `guest.json`, a folder for each case that was played, and
//! `manifest.json`, which is written last: without it the run did not come to its end. In the
//! folder of a case, `dialogue.json` is all that was done and seen, `dialogue.pcapng` the same as
//! packets, and `verdict.json` the judgement with the digests of the two.

mod dialogue;
mod guest;
mod manifest;
mod packets;
mod read;
mod replayed;
mod verdict;
mod verify;
mod write;

use std::io;

use serde::Serialize;
use sha2::{Digest, Sha256};

pub use dialogue::{Dialogue, Header};
pub use packets::capture;
pub use verify::{Disagreement, Verified, verify};
pub use write::Evidence;

/// The number of the form that evidence has.
pub const FORMAT: u32 = 1;

/// The version of the protocol that the suite judges.
const PROTOCOL_VERSION: u32 = 1;

/// The name of the list of cases.
pub const MANIFEST: &str = "manifest.json";
/// The name of the file with the guest that was moved to destinations under test.
pub const GUEST: &str = "guest.json";
/// The name of what was done and seen in a case.
pub const DIALOGUE: &str = "dialogue.json";
/// The name of the same, as packets.
pub const CAPTURE: &str = "dialogue.pcapng";
/// The name of the judgement.
pub const VERDICT: &str = "verdict.json";

/// The most bytes of a file of evidence: no case comes near it, but a forger may.
const FILE_BYTES_MAX: usize = 32 << 20;

/// The SHA-256 of some bytes, as hexadecimal digits.
fn digest(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// The one form that a small file has.
fn canonical(value: &impl Serialize) -> io::Result<Vec<u8>> {
    let mut bytes = serde_json::to_vec_pretty(value)?;
    bytes.push(b'\n');
    Ok(bytes)
}
