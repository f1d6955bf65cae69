use std::fmt;

use super::command::{Compress, RamBlock, RegisterRequest, RegisterResult, UnregisterRequest};

/// The kind of a control message: the `type` field of its header.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Kind {
    /// Unused; nobody sends it.
    None,
    /// The sender has failed and ends the migration.
    Error,
    /// The receiver of the channel can take one more message.
    Ready,
    /// Bytes of the migration stream.
    QemuFile,
    /// Asks for the RAM blocks of the destination.
    RamBlocksRequest,
    /// The RAM blocks of the destination.
    RamBlocksResult,
    /// A run of RAM filled with one value, sent without its bytes.
    Compress,
    /// Asks for chunks to be registered.
    RegisterRequest,
    /// The keys of the registered chunks.
    RegisterResult,
    /// This round asks for nothing more.
    RegisterFinished,
    /// Asks for chunks to be unregistered.
    UnregisterRequest,
    /// The chunks are unregistered.
    UnregisterFinished,
    /// A number that the protocol does not define.
    Unknown(u32),
}

impl Kind {
    const DEFINED: [(Self, &'static str); 12] = [
        (Self::None, "NONE"),
        (Self::Error, "ERROR"),
        (Self::Ready, "READY"),
        (Self::QemuFile, "QEMU_FILE"),
        (Self::RamBlocksRequest, "RAM_BLOCKS_REQUEST"),
        (Self::RamBlocksResult, "RAM_BLOCKS_RESULT"),
        (Self::Compress, "COMPRESS"),
        (Self::RegisterRequest, "REGISTER_REQUEST"),
        (Self::RegisterResult, "REGISTER_RESULT"),
        (Self::RegisterFinished, "REGISTER_FINISHED"),
        (Self::UnregisterRequest, "UNREGISTER_REQUEST"),
        (Self::UnregisterFinished, "UNREGISTER_FINISHED"),
    ];

    /// The kind with this number on the wire.
    #[must_use]
    pub fn from_number(number: u32) -> Self {
        usize::try_from(number)
            .ok()
            .and_then(|index| Self::DEFINED.get(index))
            .map_or(Self::Unknown(number), |(kind, _)| *kind)
    }

    /// The number on the wire.
    #[must_use]
    pub fn number(self) -> u32 {
        match self {
            Self::Unknown(number) => number,
            defined => (0..)
                .zip(Self::DEFINED)
                .find_map(|(number, (kind, _))| (kind == defined).then_some(number))
                .unwrap_or_default(),
        }
    }

    /// Bytes of one command in a message of this kind; none when it carries no commands.
    #[must_use]
    pub fn command_bytes(self) -> Option<usize> {
        match self {
            Self::RamBlocksResult => Some(RamBlock::BYTES),
            Self::Compress => Some(Compress::BYTES),
            Self::RegisterRequest => Some(RegisterRequest::BYTES),
            Self::RegisterResult => Some(RegisterResult::BYTES),
            Self::UnregisterRequest => Some(UnregisterRequest::BYTES),
            Self::None
            | Self::Error
            | Self::Ready
            | Self::QemuFile
            | Self::RamBlocksRequest
            | Self::RegisterFinished
            | Self::UnregisterFinished
            | Self::Unknown(_) => None,
        }
    }

    /// The kind that answers this one; none when it is not a request.
    #[must_use]
    pub fn reply(self) -> Option<Self> {
        match self {
            Self::RamBlocksRequest => Some(Self::RamBlocksResult),
            Self::RegisterRequest => Some(Self::RegisterResult),
            Self::UnregisterRequest => Some(Self::UnregisterFinished),
            Self::None
            | Self::Error
            | Self::Ready
            | Self::QemuFile
            | Self::RamBlocksResult
            | Self::Compress
            | Self::RegisterResult
            | Self::RegisterFinished
            | Self::UnregisterFinished
            | Self::Unknown(_) => None,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = Self::DEFINED.iter().find_map(|(kind, name)| (kind == self).then_some(*name));
        match (name, self) {
            (Some(name), _) => f.pad(name),
            (None, kind) => f.pad(&format!("UNKNOWN({})", kind.number())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_kinds_correspond() {
        for number in 0..100 {
            assert_eq!(Kind::from_number(number).number(), number);
        }
        assert_eq!(Kind::Ready.number(), 2);
        assert_eq!(Kind::UnregisterFinished.number(), 11);
        assert_eq!(Kind::from_number(12), Kind::Unknown(12));
        assert_eq!(Kind::Unknown(77).to_string(), "UNKNOWN(77)");
    }
}
