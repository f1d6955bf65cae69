//! The published names of what can be wrong.

use serde::{Deserialize, Serialize};

/// Defines the names, each with the requirements that it may stand for and its meaning.
macro_rules! error_names {
    ($($name:ident [$($requirement:literal)*] $meaning:literal;)*) => {
        /// What is wrong with bytes, or with a step of a dialogue. The requirements that it may stand
        /// for and its meaning are [`ErrorName::requirements`] and [`ErrorName::meaning`].
        #[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
        #[serde(rename_all = "snake_case")]
        pub enum ErrorName {
            $(#[doc = $meaning] $name,)*
        }

        impl ErrorName {
            /// Every name, in the order of the chapters.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The requirements that it may stand for.
            #[must_use]
            pub const fn requirements(self) -> &'static [&'static str] {
                match self {
                    $(Self::$name => &[$($requirement,)*],)*
                }
            }

            /// What it means.
            #[must_use]
            pub const fn meaning(self) -> &'static str {
                match self {
                    $(Self::$name => $meaning,)*
                }
            }
        }
    };
}

error_names! {
    PrivateDataTruncated ["CON-2"] "private data of fewer than 8 bytes";
    VersionZero ["CON-11" "CON-17"] "a request or a reply of version 0";
    FlagNotOffered ["CON-13"] "a reply with a flag that is unknown or was not offered";
    HeaderTruncated ["CTL-2"] "a message of fewer than 16 bytes";
    LengthTooLarge ["CTL-3"] "a `length` of more than 524272";
    LengthMismatch ["CTL-4"] "a `length` that is not the number of bytes after the header";
    UnknownType ["CTL-6"] "a `type` of more than 11";
    UnexpectedPayload ["CTL-7"] "a payload in a message of a type that has none";
    EmptyStream ["CTL-8"] "a `QEMU_FILE` without payload";
    RepeatOutOfRange ["CTL-10"] "a `repeat` that counts, and is 0 or more than 4096";
    PayloadNotRepeat ["CTL-11"] "a payload that is not as long as the entries that `repeat` counts";
    CommandWithoutReady ["CTL-23"] "a command without a READY for it";
    ReadyBeforeReply ["CTL-24"] "READY while a reply is due";
    ReadyTwice ["CTL-25"] "READY while an earlier one is unused";
    WrongReply ["CTL-26"] "a message other than READY and ERROR that is not the reply due";
    NotACommand ["CTL-32"] "a message to the destination that no source sends";
    PeerError ["CTL-31"] "`ERROR`, which ends the migration";
    PartialRamBlock ["BLK-2"] "a `RAM_BLOCKS_RESULT` that ends inside a RAM block";
    BlocksRequestedTwice ["BLK-12"] "a second `RAM_BLOCKS_REQUEST`";
    BlockCount ["BLK-13"] "another number of RAM blocks than the source has";
    BlockLength ["BLK-14"] "a RAM block of another length than at the source";
    AddressOverflow ["BLK-15" "REG-23"] "a RAM block that wraps around the end of an address space";
    KeyWithoutPinAll ["BLK-17"] "a RAM block with a key where chunks are registered one by one";
    ZeroKey ["BLK-18" "REG-19"] "a key of 0 where one is needed";
    NoSuchBlock ["REG-11"] "the index of a RAM block that does not exist";
    OutsideBlock ["REG-12" "ZERO-13"] "an address or a run that is not inside its RAM block";
    TooManyChunks ["REG-13"] "more chunks than the RAM block has from the address on";
    AnotherKey ["REG-15"] "another key for chunks that are registered already";
    ResultCount ["REG-16" "REG-24"] "neither one result nor as many as there were requests";
    NotHostAddressOfBlock ["REG-17"] "a host address that is not that of the RAM block's first byte";
    RegistrationWhilePinned ["REG-20" "REG-35"] "`REGISTER_REQUEST` or `UNREGISTER_REQUEST` where all RAM is pinned";
    RegionsOverlap ["REG-21"] "a request for a part of a registered region and chunks outside it";
    BeforeRamBlocks ["REG-22"] "a command on RAM before the RAM blocks were exchanged";
    NotRegistered ["REG-31"] "`UNREGISTER_REQUEST` for a chunk at which no registered region starts";
    RepeatNotOfRequest ["REG-33"] "a reply with another `repeat` than its request";
    WriteWithoutKey ["REG-10" "REG-34"] "a WRITE with a key that was not granted for the place";
    WriteOutsideBlocks ["WRITE-1"] "a WRITE that is not inside a RAM block";
    RunAcrossChunks ["WRITE-4"] "a run that crosses the end of a chunk";
    CompressOfRegisteredChunk ["ZERO-10"] "`COMPRESS` in a chunk that is registered";
    SeveralZeroRuns ["ZERO-15"] "`COMPRESS` with more than one command";
    NonzeroFill ["ZERO-11" "ZERO-12"] "`COMPRESS` with a `value` that is not 0";
    StreamTruncated ["STR-20" "STR-26"] "a stream that ends in the middle of a field";
    BadMagic ["STR-20"] "a stream that does not start with `QEVM`";
    BadVersion ["STR-20"] "a stream of another version than 3";
    NoHook ["STR-21"] "a stream that does not end with a hook word";
    NoRamSection ["STR-22" "LIM-6"] "no RAM section in the part of the stream that is searched";
    NoRamBlocks ["STR-33"] "a list that names no RAM block";
    EmptyName ["STR-23"] "a RAM block without a name";
    EmptyBlock ["STR-24"] "a RAM block of length 0";
    BlockExceedsTotal ["STR-25"] "a RAM block that is longer than what is left of the total";
    ListNotAtHook ["STR-26"] "a list that does not end where the hook word starts";
    DuplicateName ["STR-27"] "a name that comes twice";
    BadPageSize ["STR-29"] "a page size that is not a power of two below 2^56";
    CommandBeforeHook ["STR-2"] "the first other command of a round before the hook word";
    StreamInRound ["STR-3" "RND-1"] "`QEMU_FILE` between the first other command of a round and `REGISTER_FINISHED`";
    StreamIncomplete ["STR-40"] "a stream without the end marker and the whole description behind it";
    TooManyBlocks ["LIM-3"] "more than 16383 RAM blocks";
    TooManyCapabilities ["LIM-4"] "more than 64 capabilities";
    TooManyCommands ["LIM-5"] "more than 64 commands before the first section";
}

impl std::fmt::Display for ErrorName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.serialize(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_in_snake_case() {
        assert_eq!(ErrorName::PayloadNotRepeat.to_string(), "payload_not_repeat");
        assert_eq!(ErrorName::NotACommand.to_string(), "not_a_command");
    }
}
