//! Options on the registrations of a source, which several commands have.

use clap::{Args, ValueEnum};
use rdma_migration_conformance::registrations::Registrations;
use rdma_migration_conformance::size::Size;
use rdma_migration_protocol::limits::SPAN_CHUNKS_DEFAULT;
use rdma_migration_protocol::ram::ChunkSize;
use rdma_migration_protocol::source::Registration;

/// How chunks are registered where not all RAM is pinned.
#[derive(Clone, Debug, Args)]
pub(super) struct RegistrationArguments {
    /// How chunks are registered where not all RAM is pinned.
    #[arg(long, value_enum, default_value_t = Strategy::LookAhead, conflicts_with = "pin_all")]
    registration: Strategy,

    /// The most chunks that one request registers; not where they are registered chunk by chunk.
    #[arg(long, value_name = "CHUNKS", default_value_t = SPAN_CHUNKS_DEFAULT, value_parser = clap::value_parser!(u32).range(1..), conflicts_with = "pin_all")]
    span_chunks: u32,

    /// The most requests in a message, with --registration batches.
    #[arg(long, value_name = "REQUESTS", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=4096))]
    batch_requests: u32,

    /// Register no more than this at a time, and give back what was used longest ago.
    #[arg(long, value_name = "BYTES", conflicts_with = "pin_all")]
    max_pinned: Option<Size>,

    /// The destination takes UNREGISTER_REQUEST, so that --max-pinned bounds it as well. Nothing on
    /// the wire tells; QEMU 11.2 and later do not.
    #[arg(long, requires = "max_pinned")]
    peer_unregisters: bool,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum Strategy {
    /// Chunk by chunk, each thing after the other, as QEMU does
    Chunks,
    /// Adjacent chunks by one request
    Spans,
    /// Adjacent chunks by one request, which leaves before what was granted earlier is written
    LookAhead,
    /// The same with several requests in a message, for destinations that answer them all
    Batches,
}

impl RegistrationArguments {
    /// Bytes that are registered at a time, at most.
    #[cfg(feature = "verbs")]
    pub(super) fn pinned_bytes_max(&self) -> Option<u64> {
        self.max_pinned.map(|Size(bytes)| bytes)
    }

    /// What was asked for, with chunks of this size.
    pub(super) fn registrations(&self, chunk_size: ChunkSize) -> Result<Registrations, String> {
        let chunks_max = self.span_chunks;
        let (strategy, at_once) = match self.registration {
            Strategy::Chunks => (Registration::Chunks, 1),
            Strategy::Spans => (Registration::Spans { chunks_max }, 1),
            Strategy::LookAhead => (Registration::LookAhead { chunks_max }, 2),
            Strategy::Batches => {
                let requests_max = self.batch_requests;
                (Registration::Batches { chunks_max, requests_max }, 2)
            }
        };
        let least = chunk_size.bytes().saturating_mul(at_once);
        let pinned_bytes_max = self.max_pinned.map(|Size(bytes)| bytes);
        if let Some(bytes) = pinned_bytes_max.filter(|bytes| *bytes < least) {
            let (given, least) = (Size(bytes), Size(least));
            return Err(format!(
                "--max-pinned {given}: with --registration {} and this chunk size at least {least} are \
                 needed at once",
                self.registration
                    .to_possible_value()
                    .map_or_else(String::new, |value| value.get_name().to_owned())
            ));
        }
        let peer_unregisters = self.peer_unregisters;
        Ok(Registrations { strategy, pinned_bytes_max, peer_unregisters })
    }
}
