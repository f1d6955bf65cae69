//! Received bytes that are no valid message.

use super::{Kind, UnknownKind};
use crate::limits::{COMMANDS_MAX, HEADER_BYTES, PAYLOAD_BYTES_MAX, PRIVATE_DATA_BYTES};
use core::fmt;

/// Why received bytes are no valid message. The peer is to blame.
///
/// Every variant carries what was received; what was expected is in the variant or in its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Malformed {
    /// Fewer bytes than a header; 16 were expected.
    HeaderTruncated {
        /// Bytes received.
        received: usize,
    },
    /// The header's `type` is no [`Kind`]; 0 to 11 were expected.
    UnknownKind {
        /// The number received.
        number: u32,
    },
    /// The header declares a payload longer than any control buffer holds.
    PayloadTooLong {
        /// The kind received.
        kind: Kind,
        /// Payload bytes that the header declares.
        declared: u32,
    },
    /// The header's `length` is not the number of bytes after the header.
    LengthMismatch {
        /// The kind received.
        kind: Kind,
        /// Payload bytes that the header declares.
        declared: u32,
        /// Bytes received after the header.
        received: usize,
    },
    /// A message that has no payload came with one.
    UnexpectedPayload {
        /// The kind received.
        kind: Kind,
        /// Payload bytes received; none were expected.
        payload_bytes: usize,
    },
    /// A `QEMU_FILE` without a byte of stream; 1 to [`PAYLOAD_BYTES_MAX`] were expected.
    EmptyStream,
    /// The header's `repeat` is 0 or more than [`COMMANDS_MAX`].
    RepeatOutOfRange {
        /// The kind received.
        kind: Kind,
        /// The `repeat` received.
        repeat: u32,
    },
    /// The payload is not as long as `repeat` commands.
    PayloadNotRepeat {
        /// The kind received.
        kind: Kind,
        /// The `repeat` received.
        repeat: u32,
        /// Bytes of one command.
        command_bytes: usize,
        /// Payload bytes received; `repeat * command_bytes` were expected.
        payload_bytes: usize,
    },
    /// The payload of `RAM_BLOCKS_RESULT` does not end at the end of a RAM block.
    PartialRamBlock {
        /// Bytes of one RAM block.
        block_bytes: usize,
        /// Payload bytes received; a multiple of `block_bytes` was expected.
        payload_bytes: usize,
    },
    /// The private data of a connection is too short for the capabilities.
    PrivateDataTooShort {
        /// Bytes received; 8 or more were expected.
        received: usize,
    },
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::HeaderTruncated { received } => {
                write!(f, "message of {received} bytes, expected a header of {HEADER_BYTES}")
            }
            Self::UnknownKind { number } => UnknownKind { number }.fmt(f),
            Self::PayloadTooLong { kind, declared } => {
                write!(f, "{kind} declares {declared} bytes, expected {PAYLOAD_BYTES_MAX} at most")
            }
            Self::LengthMismatch { kind, declared, received } => {
                write!(f, "{kind} declares {declared} bytes, but {received} follow the header")
            }
            Self::UnexpectedPayload { kind, payload_bytes } => {
                write!(f, "{kind} with a payload of {payload_bytes} bytes, expected none")
            }
            Self::EmptyStream => {
                write!(f, "QEMU_FILE with 0 bytes, expected 1 to {PAYLOAD_BYTES_MAX}")
            }
            Self::RepeatOutOfRange { kind, repeat } => {
                write!(f, "{kind} with repeat {repeat}, expected 1 to {COMMANDS_MAX}")
            }
            Self::PayloadNotRepeat { kind, repeat, command_bytes, payload_bytes } => write!(
                f,
                "{kind} with a payload of {payload_bytes} bytes, \
                 expected {repeat} commands of {command_bytes} bytes"
            ),
            Self::PartialRamBlock { block_bytes, payload_bytes } => write!(
                f,
                "RAM_BLOCKS_RESULT with a payload of {payload_bytes} bytes, \
                 expected a multiple of {block_bytes}"
            ),
            Self::PrivateDataTooShort { received } => {
                write!(f, "private data of {received} bytes, expected {PRIVATE_DATA_BYTES} or more")
            }
        }
    }
}

impl core::error::Error for Malformed {}

impl From<UnknownKind> for Malformed {
    fn from(UnknownKind { number }: UnknownKind) -> Self {
        Self::UnknownKind { number }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn an_error_says_what_was_received_and_what_was_expected() {
        let kind = Kind::RegisterResult;
        let not_repeat =
            Malformed::PayloadNotRepeat { kind, repeat: 3, command_bytes: 16, payload_bytes: 32 };
        let cases = [
            (
                Malformed::HeaderTruncated { received: 7 },
                "message of 7 bytes, expected a header of 16",
            ),
            (Malformed::UnknownKind { number: 77 }, "unknown message type 77, expected 0 to 11"),
            (
                Malformed::LengthMismatch { kind, declared: 16, received: 15 },
                "REGISTER_RESULT declares 16 bytes, but 15 follow the header",
            ),
            (
                not_repeat,
                "REGISTER_RESULT with a payload of 32 bytes, expected 3 commands of 16 bytes",
            ),
            (
                Malformed::PrivateDataTooShort { received: 4 },
                "private data of 4 bytes, expected 8 or more",
            ),
        ];
        for (error, text) in cases {
            assert_eq!(error.to_string(), text);
        }
    }
}
