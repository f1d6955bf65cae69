//! RDMA live migration over real verbs: InfiniBand, RoCE, soft-RoCE.
//!
//! [`VerbsTransport`] carries out what a [`Source`](rdma_migration_protocol::source::Source) or a
//! [`Destination`](rdma_migration_protocol::destination::Destination) orders, by libibverbs and
//! librdmacm. It is one end of one migration: made, driven until its machine is closed, dropped.
//!
//! ```no_run
//! use rdma_migration_protocol::source::{Source, SourceConfig};
//! use rdma_migration_protocol::transport::{Owner, drive};
//! use rdma_migration_transport_verbs::{VerbsConfig, VerbsError, VerbsTransport};
//!
//! fn migrate(owner: &mut impl Owner<Source, VerbsTransport>) -> Result<(), VerbsError> {
//!     let config = VerbsConfig::default();
//!     let mut transport = VerbsTransport::to("host.example", 4444, config)?;
//!     let mut source = Source::new(SourceConfig::default()).expect("the defaults are valid");
//!     source.connect().expect("it has not been connected before");
//!     drive(&mut source, &mut transport, owner);
//!     Ok(())
//! }
//! ```
//!
//! # What it takes care of
//!
//! - **Nothing blocks without a deadline.** Every call on a queue or a connection returns at once;
//!   name look-ups, registrations and scans run on threads. What is awaited has a deadline of the
//!   machine. An event loop of the owner's own watches one file descriptor:
//!   [`VerbsTransport::arm`].
//! - **Guest RAM** is the caller's: raw ranges ([`VerbsTransport::attach`]), mappings
//!   ([`GuestRam`]), or regions of the vm-memory crate (feature `vm-memory`). No reference to it ever
//!   exists.
//! - **Rights are no wider than needed.** The memory of a source is never remotely writable, nor are
//!   control buffers. Each transport has a protection domain of its own.
//! - **Everything is given back**, on every path, in this order: queue pair, regions, completion
//!   queues, protection domain, connection.
//! - **Failures have names.** Machines are told
//!   [`TransportError`](rdma_migration_protocol::transport::TransportError)s;
//!   [`VerbsTransport::failure`] says which call failed, with which number, towards which peer.
//! - **Tracing.** Events of the `tracing` crate, silent without a subscriber: connection management at
//!   `debug`, each operation and its answer at `trace`, failures at `warn`.
//!
//! [`preflight`] tells before a migration whether this process may lock the memory that it needs.

#![deny(unsafe_op_in_unsafe_fn)]

mod closing;
mod completion_queue;
mod config;
mod connection_id;
mod connection_manager;
mod control_buffers;
mod device;
mod endpoint;
mod error;
mod guest_ram;
mod link;
mod look_up;
mod memory_region;
mod memory_worker;
mod outstanding;
pub mod preflight;
mod queue_pair;
mod ram_range;
mod readiness;
mod report;
mod socket_address;
mod transport;
#[cfg(feature = "vm-memory")]
mod vm_memory_region;
mod work;

pub use config::VerbsConfig;
pub use device::devices;
pub use error::{Errno, VerbsError, WorkStatus};
pub use guest_ram::GuestRam;
pub use preflight::LockedMemory;
pub use readiness::Waker;
pub use transport::VerbsTransport;
