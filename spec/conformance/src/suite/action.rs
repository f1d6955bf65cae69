//! What the suite's side does, and what it sees.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::Aftermath;

/// Bytes, written as hexadecimal digits.
#[derive(Clone, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Bytes(#[serde(with = "hex::serde")] pub Vec<u8>);

impl fmt::Debug for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(&self.0))
    }
}

/// Who may touch a region of the suite's side.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Access {
    /// The suite's own adapter reads it, to write it to the peer.
    LocalRead,
    /// The peer may write to it.
    RemoteWrite,
}

/// Something that the suite's side does.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(tag = "action", rename_all = "snake_case")]
pub enum Action {
    /// Asks the destination under test to connect.
    Connect {
        /// Eight bytes. Where there are fewer, zeroes follow, as in the areas of InfiniBand and RoCE.
        private_data: Bytes,
    },
    /// Accepts the source under test.
    Accept {
        /// Eight bytes, or fewer as above.
        private_data: Bytes,
    },
    /// Refuses the source under test.
    Reject,
    /// Ends the connection.
    Disconnect,
    /// Sends a message, of at least one byte.
    Send {
        /// The message, header included.
        message: Bytes,
    },
    /// Posts no further receives: what the peer sends once those are used up finds none.
    WithholdReceives,
    /// Makes a RAM block of zeros. Answered by [`Observation::Allocated`].
    Allocate {
        /// Bytes.
        length: u64,
    },
    /// Fills RAM of the suite's side with bytes that depend on the seed only.
    Fill {
        /// The RAM block.
        block: u32,
        /// Where it begins in the block, in bytes.
        offset: u64,
        /// Bytes.
        length: u64,
        /// The seed.
        seed: u64,
    },
    /// Sets RAM of the suite's side to zero.
    Zero {
        /// The RAM block.
        block: u32,
        /// Where it begins in the block, in bytes.
        offset: u64,
        /// Bytes.
        length: u64,
    },
    /// Looks at RAM of the suite's side. Answered by [`Observation::Ram`].
    Look {
        /// The RAM block.
        block: u32,
        /// Where it begins in the block, in bytes.
        offset: u64,
        /// Bytes.
        length: u64,
    },
    /// Registers RAM of the suite's side. Answered by [`Observation::Registered`].
    Register {
        /// The region's name.
        region: u32,
        /// The RAM block.
        block: u32,
        /// Where it begins in the block, in bytes.
        offset: u64,
        /// Bytes.
        length: u64,
        /// Who may touch it.
        access: Access,
    },
    /// Gives a region back. Answered by [`Observation::Deregistered`].
    Deregister {
        /// The region.
        region: u32,
    },
    /// Writes RAM of the suite's side to the peer. Answered by [`Observation::Written`].
    Write {
        /// The region that the bytes are read from.
        region: u32,
        /// The RAM block.
        block: u32,
        /// Where it begins in the block, in bytes.
        offset: u64,
        /// Bytes.
        length: u64,
        /// Where the peer has the first byte.
        remote_address: u64,
        /// The peer's key.
        rkey: u32,
    },
}

/// Something that the suite's side sees.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(tag = "observation", rename_all = "snake_case")]
pub enum Observation {
    /// The source under test asks to connect.
    Requested {
        /// All of the private data that came, as long as the fabric delivers it.
        private_data: Bytes,
    },
    /// The connection is made.
    Established {
        /// The private data of a destination under test; of a source, none.
        private_data: Bytes,
    },
    /// The destination under test refused the connection.
    Rejected,
    /// The connection could not be made.
    ConnectionFailed {
        /// Why.
        error: String,
    },
    /// The peer ended the connection, or it broke.
    Disconnected,
    /// The suite's side has ended the connection.
    Closed,
    /// A message arrived.
    Received {
        /// The message, header included.
        message: Bytes,
    },
    /// A message was acknowledged by the peer's adapter.
    Sent,
    /// A write was acknowledged by the peer's adapter.
    Written,
    /// Something failed that the suite's side had done.
    Failed {
        /// What.
        operation: Operation,
        /// Why.
        error: String,
    },
    /// A RAM block was made.
    Allocated {
        /// Its number.
        block: u32,
        /// The address of its first byte.
        address: u64,
    },
    /// What is in RAM.
    Ram {
        /// The SHA-256 of its bytes.
        sha256: String,
        /// Whether they are all zero.
        zero: bool,
    },
    /// A region was registered.
    Registered {
        /// Its name.
        region: u32,
        /// Its key.
        rkey: u32,
    },
    /// A region was given back.
    Deregistered {
        /// Its name.
        region: u32,
    },
    /// A time passed in which nothing happened.
    Nothing,
    /// What has become of the peer.
    Aftermath(Aftermath),
}

/// What can fail.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Operation {
    /// A message to the peer.
    Send,
    /// A receive that was posted for a message of the peer, or a write of the peer that was refused
    /// here.
    Receive,
    /// A write to the peer.
    Write,
    /// A registration.
    Register,
    /// The end of a registration.
    Deregister,
}
