//! `verdict.json`: the judgement, and what it was found from.

use serde::{Deserialize, Serialize};

use crate::suite::Verdict;

/// The judgement of a case, as a file.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct VerdictFile {
    /// The number of this form.
    pub(super) format: u32,
    /// The case.
    pub(super) case: String,
    /// The SHA-256 of what was done and seen.
    pub(super) dialogue_sha256: String,
    /// The SHA-256 of the same, as packets.
    pub(super) capture_sha256: String,
    /// The judgement, whatever was expected.
    pub(super) verdict: Verdict,
}
