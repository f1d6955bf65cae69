//! What a control message is.

use core::fmt;

/// The kind of a control message: the header's `type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// 0: no message. Nobody sends it.
    None,
    /// 1: the sender has failed and will disconnect. Either side.
    Error,
    /// 2: the destination takes one more message. Destination.
    Ready,
    /// 3: bytes of the migration stream. Source.
    QemuFile,
    /// 4: asks where the RAM blocks lie. Source.
    RamBlocksRequest,
    /// 5: where the RAM blocks lie. Destination.
    RamBlocksResult,
    /// 6: runs of equal bytes, in practice zeroes. Source.
    Compress,
    /// 7: asks for chunks to be registered. Source.
    RegisterRequest,
    /// 8: the keys of registered chunks. Destination.
    RegisterResult,
    /// 9: all RAM of this round has been written. Source.
    RegisterFinished,
    /// 10: asks for chunks to be unregistered. Source.
    UnregisterRequest,
    /// 11: the chunks are unregistered. Destination.
    UnregisterFinished,
}

impl Kind {
    /// Every kind, in the order of the numbers.
    pub const ALL: [Self; 12] = [
        Self::None,
        Self::Error,
        Self::Ready,
        Self::QemuFile,
        Self::RamBlocksRequest,
        Self::RamBlocksResult,
        Self::Compress,
        Self::RegisterRequest,
        Self::RegisterResult,
        Self::RegisterFinished,
        Self::UnregisterRequest,
        Self::UnregisterFinished,
    ];

    /// The number on the wire, 0 to 11.
    #[must_use]
    pub const fn number(self) -> u32 {
        match self {
            Self::None => 0,
            Self::Error => 1,
            Self::Ready => 2,
            Self::QemuFile => 3,
            Self::RamBlocksRequest => 4,
            Self::RamBlocksResult => 5,
            Self::Compress => 6,
            Self::RegisterRequest => 7,
            Self::RegisterResult => 8,
            Self::RegisterFinished => 9,
            Self::UnregisterRequest => 10,
            Self::UnregisterFinished => 11,
        }
    }

    /// The name in the specification, in capitals: `"QEMU_FILE"`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "NONE",
            Self::Error => "ERROR",
            Self::Ready => "READY",
            Self::QemuFile => "QEMU_FILE",
            Self::RamBlocksRequest => "RAM_BLOCKS_REQUEST",
            Self::RamBlocksResult => "RAM_BLOCKS_RESULT",
            Self::Compress => "COMPRESS",
            Self::RegisterRequest => "REGISTER_REQUEST",
            Self::RegisterResult => "REGISTER_RESULT",
            Self::RegisterFinished => "REGISTER_FINISHED",
            Self::UnregisterRequest => "UNREGISTER_REQUEST",
            Self::UnregisterFinished => "UNREGISTER_FINISHED",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A number that is no [`Kind`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct UnknownKind {
    /// The number received, 12 or more.
    pub number: u32,
}

impl fmt::Display for UnknownKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unknown message type {}, expected 0 to 11", self.number)
    }
}

impl core::error::Error for UnknownKind {}

impl TryFrom<u32> for Kind {
    type Error = UnknownKind;

    fn try_from(number: u32) -> Result<Self, UnknownKind> {
        Self::ALL.into_iter().find(|kind| kind.number() == number).ok_or(UnknownKind { number })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_run_from_0_to_11_in_the_order_of_the_list() {
        for (number, kind) in (0u32..).zip(Kind::ALL) {
            assert_eq!(kind.number(), number);
            assert_eq!(Kind::try_from(number), Ok(kind));
        }
    }

    //= spec/text/03-control-channel.md#kinds
    //= type=test
    //# [CTL-6] A receiver MUST reject a message whose `type` is not in this table.
    #[test]
    fn an_unknown_number_is_kept_in_the_error() {
        for number in [12, 77, u32::MAX] {
            assert_eq!(Kind::try_from(number), Err(UnknownKind { number }));
        }
    }
}
