//! Why a recorder gives up a migration.

use rdma_migration_protocol::error::Misuse;
use rdma_migration_protocol::stream::setup::SetupError;

use crate::size::Size;

/// Why a recorder gives up a migration.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// Somebody asked for it.
    #[error("interrupted")]
    Interrupted,
    /// Only a source that has all RAM pinned was to be taken.
    #[error(
        "the source does not ask for all RAM to be pinned, and only such a one is taken (--pin-all)"
    )]
    NotPinned,
    /// The stream has no list of RAM blocks where it has to be.
    #[error("no list of RAM blocks in the stream: {0}")]
    Setup(SetupError),
    /// The source wants something that this version does not have.
    #[error("the source wants what this version does not have: {0}")]
    Unsupported(String),
    /// The source has multifd on.
    #[error(
        "the source wants what this version does not have: multifd (word 0x200 at byte {offset} of the stream)"
    )]
    Multifd {
        /// Bytes of the stream before the word.
        offset: usize,
    },
    /// The stream does not end.
    #[error("the stream is longer than the {} that are taken (--max-stream)", Size(*max))]
    StreamTooLong {
        /// The limit in bytes.
        max: u64,
    },
    /// The guest is larger than there is room for.
    #[error("the guest has {} of RAM, and there is room for {} (--max-ram)", Size(*found), Size(*max))]
    TooMuchRam {
        /// Bytes of RAM.
        found: u64,
        /// The limit in bytes.
        max: u64,
    },
    /// There is no memory for a RAM block.
    #[error("no memory for RAM block {block} of {}: {error}", Size(*length))]
    NoMemory {
        /// The block.
        block: String,
        /// Its length in bytes.
        length: u64,
        /// What the system says.
        error: std::io::Error,
    },
    /// More rounds than anybody needs.
    #[error("more than {max} rounds of RAM")]
    TooManyRounds {
        /// The limit.
        max: usize,
    },
    /// A round where the stream announces none: no other destination could be given this.
    #[error(
        "a round of RAM ended at byte {offset} of the stream, where no hook word had announced it"
    )]
    NoHook {
        /// Bytes of the stream before it.
        offset: usize,
    },
    /// The source is gone, and the stream does not end as streams do.
    #[error(
        "the source left after {bytes} bytes of the stream, which does not end with its end marker \
         and a description of the device state{}",
        if *may_have_none { " (if the machine sends none: --accept-no-vmdesc)" } else { "" }
    )]
    LeftEarly {
        /// Bytes of the stream.
        bytes: usize,
        /// Whether it may have sent all that its machine sends.
        may_have_none: bool,
    },
    /// The machine refused what the recorder asked for.
    #[error("{0}")]
    Misuse(#[from] Misuse),
}
