//! What an owner can choose about a transport.

use std::time::Duration;

use rdma_migration_protocol::limits::{
    RECEIVE_BUFFERS, SENDS_OUTSTANDING_MAX, WRITES_IN_FLIGHT_DEFAULT,
};

/// Requests that the send queue has room for, unless chosen otherwise: as many as QEMU's.
const SEND_QUEUE_DEPTH: u32 = 512;

/// The configuration of a [`VerbsTransport`](crate::VerbsTransport).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct VerbsConfig {
    /// The RDMA device to use, by name. Default: the one that the addresses lead to.
    pub device: Option<String>,
    /// Requests that the send queue should have room for. A device that allows fewer gets fewer, but
    /// never less than [`Self::SEND_QUEUE_DEPTH_MIN`]. A source that is configured for more writes
    /// in flight needs a longer queue. Default 512.
    pub send_queue_depth: u32,
    /// How often the adapter repeats what the peer does not acknowledge, 0 to 7. Default 7.
    pub retry_count: u8,
    /// How often the peer's adapter repeats a message that finds no receive here, 0 to 6; 7 stands
    /// for without end. Default 7: the peer's adapter must not give up because we are slow.
    pub rnr_retry_count: u8,
    /// How long the resolution of one address and of one route may take, each. Default 10 s.
    pub resolve_timeout: Duration,
    /// How long [`wait`](rdma_migration_protocol::transport::BlockingTransport::wait) looks for
    /// completions before it sleeps. Default 20 us.
    pub spin: Duration,
}

impl VerbsConfig {
    /// The shortest send queue that a source with default limits can work with.
    pub const SEND_QUEUE_DEPTH_MIN: u32 = WRITES_IN_FLIGHT_DEFAULT + SENDS;
}

impl Default for VerbsConfig {
    fn default() -> Self {
        Self {
            device: None,
            send_queue_depth: SEND_QUEUE_DEPTH,
            retry_count: 7,
            rnr_retry_count: 7,
            resolve_timeout: Duration::from_secs(10),
            spin: Duration::from_micros(20),
        }
    }
}

/// Requests that the receive queue has room for: one a receive buffer.
pub(crate) const RECEIVE_QUEUE_DEPTH: u32 = 3;

const SENDS: u32 = 2;
const _: () = assert!(RECEIVE_QUEUE_DEPTH as usize == RECEIVE_BUFFERS);
const _: () = assert!(SENDS as usize == SENDS_OUTSTANDING_MAX);
const _: () = assert!(SEND_QUEUE_DEPTH >= VerbsConfig::SEND_QUEUE_DEPTH_MIN);
