//! The format of the vectors, as `spec/vectors/README.md` describes it.

use serde::{Deserialize, Serialize};

use super::bytes::{Bytes, Hex};
use super::error_name::ErrorName;
use super::reading::{CapabilitiesReading, MessageReading, StreamEndReading, StreamReading, Wide};

/// A file of vectors.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    /// What the vectors of the file are about.
    pub title: String,
    /// The vectors, in the order of their ids.
    pub vector: Vec<Vector>,
}

/// One vector.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Vector {
    /// Its name for ever.
    pub id: String,
    /// What it is, in one line.
    pub title: String,
    /// The requirements that it is about.
    pub requirements: Vec<String>,
    /// Who reads it; none where every reader finds the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reader: Option<Reader>,
    /// What is to be read, and what is to be found.
    #[serde(flatten)]
    pub content: Content,
}

/// Who reads a vector.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reader {
    /// The side that the guest leaves.
    Source,
    /// The side that it arrives at.
    Destination,
    /// Whoever sees both sides and the RDMA WRITEs: what it finds, neither side can refuse.
    Observer,
}

/// A side of a migration.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// The side that the guest leaves.
    Source,
    /// The side that it arrives at.
    Destination,
}

/// What a vector holds.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(tag = "input", rename_all = "snake_case")]
pub enum Content {
    /// The private data of a connection request or of its reply.
    PrivateData(Case<CapabilitiesReading>),
    /// What one receive brought.
    Message(Case<MessageReading>),
    /// The stream bytes that were received before RAM_BLOCKS_REQUEST.
    Stream(Case<StreamReading>),
    /// The stream bytes that were received when the source disconnected.
    StreamEnd(Case<StreamEndReading>),
    /// What happened on a connection.
    Dialogue(Dialogue),
}

/// Bytes and what is in them.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Case<Reading> {
    /// The bytes.
    #[serde(flatten)]
    pub bytes: Bytes,
    /// What a reader finds in them.
    #[serde(flatten)]
    pub expected: Expected<Reading>,
}

/// What a reader finds in bytes.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Expected<Reading> {
    /// They are valid.
    Reading {
        /// What they say.
        reading: Reading,
    },
    /// They are not.
    Errors {
        /// What may be said of them: any of these is right.
        errors: Vec<ErrorName>,
    },
}

impl<Reading: Clone> Expected<Reading> {
    /// The reading of valid bytes.
    pub const fn reading(&self) -> Option<&Reading> {
        match self {
            Self::Reading { reading } => Some(reading),
            Self::Errors { .. } => None,
        }
    }

    /// What may be said of invalid bytes; nothing of valid ones.
    pub fn errors(&self) -> &[ErrorName] {
        match self {
            Self::Reading { .. } => &[],
            Self::Errors { errors } => errors,
        }
    }
}

/// What happened on a connection, in order.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Dialogue {
    /// Bytes of a chunk; 1 MiB where it is not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chunk_bytes: Option<Wide>,
    /// Bytes of the source's RAM blocks, in their order.
    pub source_blocks: Vec<Wide>,
    /// What happened.
    pub steps: Vec<Step>,
    /// How far it is accepted.
    pub verdict: Verdict,
}

/// One step of a dialogue.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Step {
    /// Who did it.
    pub from: Side,
    /// What.
    #[serde(flatten)]
    pub act: Act,
}

/// What a side did.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Act {
    /// The request of the source, or the reply of the destination, that makes the connection.
    Connect {
        /// Says that it is this.
        input: PrivateData,
        /// What goes with it.
        hex: Hex,
        /// What a reader finds in that.
        #[serde(flatten)]
        expected: Expected<CapabilitiesReading>,
    },
    /// An RDMA WRITE.
    Write {
        /// What the peer's adapter sees of it.
        write: Write,
    },
    /// A control message.
    Message(Case<MessageReading>),
}

/// The `input` of a step that makes the connection.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PrivateData {
    /// The hex is private data.
    PrivateData,
}

/// An RDMA WRITE.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Write {
    /// Virtual address of the first byte at the destination.
    pub address: Wide,
    /// The destination's key.
    pub rkey: u32,
    /// Bytes.
    pub length: Wide,
}

/// How far a dialogue is accepted.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Verdict {
    /// To its end.
    Accepted(Accepted),
    /// Up to a step, which is the last.
    Refused {
        /// The step's number; the first is 1.
        refused_at: usize,
        /// What may be said of it: any of these is right.
        errors: Vec<ErrorName>,
        /// The requirement that says so.
        requirement: String,
    },
}

/// The verdict on a dialogue that breaks no rule.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Accepted {
    /// It is accepted to its end.
    Accepted,
}

impl Dialogue {
    /// Bytes of a chunk.
    #[must_use]
    pub fn chunk_size(&self) -> u64 {
        self.chunk_bytes.map_or(1 << 20, |Wide(bytes)| bytes)
    }
}
