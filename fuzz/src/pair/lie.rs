//! The one place at which a run departs from what everybody has agreed on.

use rdma_migration_protocol::transport::TransportError;
use rdma_migration_protocol::wire::Kind;

use crate::answers::ERRORS;
use crate::script::Script;

/// What goes wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Lie {
    Nothing,
    /// A byte of the message is another.
    Changed {
        at: u8,
        by: u8,
    },
    /// The message ends early.
    Truncated {
        at: u8,
    },
    /// The message is acknowledged and never arrives.
    Dropped,
    /// The message arrives twice.
    Repeated,
    /// Another message arrives in its place.
    Replaced,
    /// A message arrives that nobody sent.
    MadeUp {
        to_source: bool,
    },
    /// The private data of a request or of its reply is another.
    PrivateData,
    /// The operation fails. A message may have arrived all the same: it is the acknowledgement that
    /// is lost then.
    Failed {
        error: TransportError,
        arrives: bool,
    },
    /// The connection is cut.
    Cut,
    /// From here on nothing crosses the link any more, and nobody is told.
    Silence,
    /// An owner gives up.
    Abort {
        source: bool,
    },
}

impl Lie {
    pub(super) fn new(script: &mut Script<'_>) -> Self {
        match script.byte() % 16 {
            0 => Self::Nothing,
            1 | 2 | 12 => Self::Changed { at: script.byte(), by: script.byte().max(1) },
            3 => Self::Truncated { at: script.byte() },
            4 => Self::Dropped,
            5 => Self::Repeated,
            6 | 13 => Self::Replaced,
            7 | 14 => Self::MadeUp { to_source: script.yes() },
            8 => Self::PrivateData,
            9 => Self::Failed { error: script.pick(&ERRORS), arrives: script.yes() },
            10 => Self::Cut,
            11 => Self::Silence,
            15 => Self::Failed { error: script.pick(&ERRORS), arrives: true },
            _ => Self::Abort { source: script.yes() },
        }
    }

    /// Whether it is the peer that lies. Otherwise the link, the adapter or the system fails, or an
    /// owner changes its mind: then what is reported has to be true.
    pub(super) const fn is_of_a_peer(self) -> bool {
        match self {
            Self::Changed { .. }
            | Self::Truncated { .. }
            | Self::Dropped
            | Self::Repeated
            | Self::Replaced
            | Self::MadeUp { .. }
            | Self::PrivateData => true,
            Self::Nothing
            | Self::Failed { .. }
            | Self::Cut
            | Self::Silence
            | Self::Abort { .. } => false,
        }
    }

    /// What arrives of a message, and how often.
    pub(super) fn told(self, message: &mut Vec<u8>, made_up: &[u8]) -> usize {
        match self {
            Self::Changed { at, by } => {
                let at = usize::from(at) % message.len();
                message[at] ^= by;
                1
            }
            Self::Truncated { at } => {
                message.truncate(usize::from(at) % message.len());
                1
            }
            Self::Dropped => 0,
            Self::Repeated => 2,
            Self::Replaced => {
                message.clear();
                message.extend_from_slice(made_up);
                1
            }
            Self::Nothing
            | Self::MadeUp { .. }
            | Self::PrivateData
            | Self::Failed { .. }
            | Self::Cut
            | Self::Silence
            | Self::Abort { .. } => 1,
        }
    }
}

/// Takes from bytes that were made up what only the stream's last message may have: then nobody but
/// the source's owner can complete the stream, as if it were signed.
pub(super) fn without_tail(message: &mut [u8]) {
    let number = message.get(4..8).map(|number| number.to_vec());
    if number.as_deref() == Some(&Kind::QemuFile.number().to_be_bytes()[..]) {
        message.iter_mut().skip(16).for_each(|byte| *byte &= 0x7f);
    }
}
