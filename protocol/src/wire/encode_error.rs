//! Values that cannot become a message.

use super::Kind;
use crate::limits::PAYLOAD_BYTES_MAX;
use core::fmt;

/// Why a message could not be encoded. The caller is to blame; the buffer is unchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EncodeError {
    /// The buffer is shorter than the message.
    BufferTooSmall {
        /// Bytes of the message.
        needed: usize,
        /// Bytes of the buffer.
        available: usize,
    },
    /// More or fewer commands than one message of this kind carries.
    CountOutOfRange {
        /// The kind to be sent.
        kind: Kind,
        /// Commands given.
        count: usize,
        /// Fewest commands allowed.
        min: usize,
        /// Most commands allowed.
        max: usize,
    },
    /// A `REGISTER_RESULT` with neither one result nor as many as `repeat` says.
    ResultsNotRepeat {
        /// The `repeat` given.
        repeat: u32,
        /// Results given.
        results: usize,
    },
    /// A `QEMU_FILE` of no bytes, or of more than a control buffer holds.
    StreamOutOfRange {
        /// Stream bytes given.
        stream_bytes: usize,
    },
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::BufferTooSmall { needed, available } => {
                write!(f, "buffer of {available} bytes, the message needs {needed}")
            }
            Self::CountOutOfRange { kind, count, min, max } => {
                write!(f, "{kind} with {count} commands, expected {min} to {max}")
            }
            Self::ResultsNotRepeat { repeat, results } => {
                write!(f, "REGISTER_RESULT with {results} results, expected 1 or {repeat}")
            }
            Self::StreamOutOfRange { stream_bytes } => {
                write!(f, "QEMU_FILE with {stream_bytes} bytes, expected 1 to {PAYLOAD_BYTES_MAX}")
            }
        }
    }
}

impl core::error::Error for EncodeError {}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn an_error_says_what_was_given_and_what_is_allowed() {
        let kind = Kind::Compress;
        let count = EncodeError::CountOutOfRange { kind, count: 4097, min: 1, max: 4096 };
        assert_eq!(count.to_string(), "COMPRESS with 4097 commands, expected 1 to 4096");
        let buffer = EncodeError::BufferTooSmall { needed: 40, available: 39 };
        assert_eq!(buffer.to_string(), "buffer of 39 bytes, the message needs 40");
    }
}
