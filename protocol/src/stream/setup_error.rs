//! Streams in which no RAM block list can be found.

use super::words;
use crate::limits::{RAM_BLOCKS_MAX, STREAM_REQUESTS_MAX};
use core::fmt;

/// Where in the stream the RAM block list could not be read, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SetupError {
    /// Bytes of the stream before the place at fault.
    pub offset: usize,
    /// What was found there.
    pub fault: SetupFault,
}

/// What was found in place of what was expected. The source is to blame, except where a stream is
/// merely not complete yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SetupFault {
    /// The bytes end in the middle of a field.
    Truncated {
        /// The field.
        field: &'static str,
        /// Bytes that the field takes.
        wanted: usize,
        /// Bytes that are left for it.
        left: usize,
    },
    /// The stream does not start as a migration stream does.
    Magic {
        /// The first 32 bits.
        found: u32,
    },
    /// The stream has a version other than 3.
    Version {
        /// The version.
        found: u32,
    },
    /// The stream does not end with a hook word.
    NoHook {
        /// The last 64 bits.
        found: u64,
    },
    /// No RAM section starts in the part of the stream that can hold the list.
    NoRamSection {
        /// Bytes searched, from the end.
        searched: usize,
    },
    /// The configuration names too many capabilities.
    TooManyCapabilities {
        /// How many it announces.
        found: u32,
    },
    /// Too many commands stand before the RAM section.
    TooManyCommands,
    /// The list has no RAM block: its total is 0.
    NoBlocks,
    /// There are more RAM blocks than one answer can carry.
    TooManyBlocks {
        /// Bytes of the total that the blocks so far leave.
        left: u64,
    },
    /// A RAM block has a name of no bytes.
    EmptyName,
    /// A RAM block has no bytes.
    EmptyBlock,
    /// A RAM block is longer than the total leaves for it.
    BlockExceedsTotal {
        /// Bytes of the block.
        found: u64,
        /// Bytes that are left.
        left: u64,
    },
    /// Neither a name nor a page size follows a RAM block.
    PageSize {
        /// The 64 bits that follow.
        found: u64,
    },
    /// The list does not end at the hook word.
    NotAtHook {
        /// Bytes between the list and the hook word.
        left: usize,
    },
    /// Two RAM blocks have one name.
    DuplicateName {
        /// Bytes of the stream before the first of the two.
        first_offset: usize,
    },
}

impl fmt::Display for SetupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "stream offset {}: ", self.offset)?;
        self.fault.fmt(f)
    }
}

impl fmt::Display for SetupFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Truncated { field, wanted, left } => {
                write!(f, "{field}: {left} bytes are left, expected {wanted}")
            }
            Self::Magic { found } => {
                write!(f, "no migration stream: found {found:#x}, expected {:#x}", words::MAGIC)
            }
            Self::Version { found } => {
                write!(f, "stream version {found}, expected {}", words::VERSION)
            }
            Self::NoHook { found } => {
                write!(f, "the stream ends with {found:#x}, expected the hook {:#x}", words::HOOK)
            }
            Self::NoRamSection { searched } => {
                write!(f, "the last {searched} bytes start no RAM section, expected one")
            }
            Self::TooManyCapabilities { found } => {
                write!(f, "{found} capabilities, expected {STREAM_REQUESTS_MAX} at most")
            }
            Self::TooManyCommands => write!(
                f,
                "one command more than the {STREAM_REQUESTS_MAX} expected at most before the \
                 RAM section"
            ),
            Self::TooManyBlocks { left } => write!(
                f,
                "{left} bytes of RAM are left after {RAM_BLOCKS_MAX} RAM blocks, expected none"
            ),
            Self::NoBlocks => write!(f, "a total of 0 bytes of RAM, expected 1 or more"),
            Self::EmptyName => write!(f, "RAM block with a name of 0 bytes, expected 1 to 255"),
            Self::EmptyBlock => write!(f, "RAM block of 0 bytes, expected 1 or more"),
            Self::BlockExceedsTotal { found, left } => {
                write!(f, "RAM block of {found} bytes, expected {left} at most")
            }
            Self::PageSize { found } => write!(
                f,
                "found {found:#x} after a RAM block, expected the next name or a page size, \
                 which is a power of two below 2^56"
            ),
            Self::NotAtHook { left } => {
                write!(
                    f,
                    "{left} bytes stand between the RAM block list and the hook, expected none"
                )
            }
            Self::DuplicateName { first_offset } => {
                write!(f, "RAM block with the name of the one at {first_offset}, expected another")
            }
        }
    }
}

impl core::error::Error for SetupError {}
