//! `manifest.json`: which cases there are.

use serde::{Deserialize, Serialize};

/// The cases of a folder of evidence. Every byte of it can be checked.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Manifest {
    /// The number of this form.
    pub(super) format: u32,
    /// The SHA-256 of the file with the guest.
    pub(super) guest_sha256: String,
    /// The cases, in the order in which they were played.
    pub(super) cases: Vec<Listed>,
}

/// A case.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Listed {
    /// Its name, which is that of its folder.
    pub(super) id: String,
    /// The SHA-256 of its verdict, which has the digests of the other files.
    pub(super) verdict_sha256: String,
}
