//! The ways to move a guest that are compared.

use rdma_migration_protocol::connection::PinAllOffer;
use rdma_migration_protocol::source::Registration;
use serde::Serialize;

/// One way to move a guest.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Strategy {
    /// QEMU over TCP on the same network.
    Tcp,
    /// QEMU over RDMA, each chunk registered when its turn has come.
    QemuDynamic,
    /// QEMU over RDMA, all RAM registered first.
    QemuPinAll,
    /// This project's source, one chunk a request.
    OursChunks,
    /// This project's source, spans of chunks, each asked for when its turn has come.
    OursSpans,
    /// This project's source as it is by default: the next span is asked for before this one is
    /// written.
    OursLookAhead,
    /// This project's source, all RAM registered first.
    OursPinAll,
    /// What holds something, at the rate of the link, and nothing else.
    WireLimit,
}

/// Zero chunks that one COMPRESS of this project's source tells at the most. QEMU's tell one.
pub const ZERO_SPAN_CHUNKS: u32 = 64;

/// How this project's machines are configured to act a strategy out.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Machines {
    /// What the source asks for.
    pub pin_all: PinAllOffer,
    /// How it registers where not all RAM is pinned.
    pub registration: Registration,
}

impl Strategy {
    /// All of them, in the order of the table.
    pub const ALL: [Self; 8] = [
        Self::Tcp,
        Self::QemuDynamic,
        Self::QemuPinAll,
        Self::OursChunks,
        Self::OursSpans,
        Self::OursLookAhead,
        Self::OursPinAll,
        Self::WireLimit,
    ];

    /// Its name in tables.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tcp => "QEMU, TCP over IPoIB",
            Self::QemuDynamic => "QEMU, dynamic",
            Self::QemuPinAll => "QEMU, pin-all",
            Self::OursChunks => "ours, chunk by chunk",
            Self::OursSpans => "ours, spans",
            Self::OursLookAhead => "ours, look-ahead (default)",
            Self::OursPinAll => "ours, pin-all",
            Self::WireLimit => "wire limit",
        }
    }

    /// The machines that act it out on the simulator; none for what is not this protocol. QEMU's
    /// rhythm on the wire is that of one chunk a request.
    #[must_use]
    pub const fn machines(self, span_chunks: u32) -> Option<Machines> {
        let (pin_all, registration) = match self {
            Self::Tcp | Self::WireLimit => return None,
            Self::QemuPinAll | Self::OursPinAll => (PinAllOffer::Required, Registration::Chunks),
            Self::QemuDynamic | Self::OursChunks => (PinAllOffer::Never, Registration::Chunks),
            Self::OursSpans => {
                (PinAllOffer::Never, Registration::Spans { chunks_max: span_chunks })
            }
            Self::OursLookAhead => {
                (PinAllOffer::Never, Registration::LookAhead { chunks_max: span_chunks })
            }
        };
        Some(Machines { pin_all, registration })
    }
}
