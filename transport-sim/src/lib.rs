//! A strict in-memory RDMA fabric in virtual time, for RDMA live migration.
//!
//! Two hosts, each with one adapter, one queue pair and RAM blocks, joined by one link. It is a
//! strict verbs machine: what real verbs would punish is acted out and named as a [`Violation`].
//! Time is virtual and comes from a [`CostModel`]; chance comes from a seed; what goes wrong comes
//! from a [`FaultPlan`]. The same configuration gives the same run, exactly.
//!
//! [`Pair`] runs both machines with their owners to the end; [`plain`] has owners for tests;
//! [`Scripted`] and [`ScriptedSource`] let a test play one of the sides by hand. What crosses the
//! link can be written down for Wireshark: [`Recorder::start`].
//!
//! ```
//! use rdma_migration_protocol::destination::{Destination, DestinationConfig};
//! use rdma_migration_protocol::source::{Source, SourceConfig};
//! use rdma_migration_transport_sim::plain::{PlainDestination, PlainSource};
//! use rdma_migration_transport_sim::{Backing, Fabric, FabricConfig, FinalOwner, Pair, Side};
//!
//! let mut fabric = Fabric::new(FabricConfig { seed: 7, ..FabricConfig::default() });
//! let block = fabric.port(Side::Source).add_block(Backing::Bytes(vec![1; 3 << 20]));
//! fabric.port(Side::Destination).add_block(Backing::zeroed(3 << 20));
//! let source_owner = PlainSource::new(vec![3 << 20], []);
//! let destination_owner = PlainDestination::new(vec![3 << 20], source_owner.stream_length());
//! let source = Source::new(SourceConfig::default())?;
//! let destination = Destination::new(DestinationConfig::default());
//!
//! let mut pair = Pair::new(fabric, source, source_owner, destination, destination_owner);
//! pair.run()?;
//! assert_eq!(pair.final_owner(), FinalOwner::Destination);
//! assert!(pair.fabric.port(Side::Destination).memory(block).iter().all(|byte| *byte == 1));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![forbid(unsafe_code)]

mod checker;
mod clock;
mod cost;
mod fabric;
mod fault;
mod memory;
mod pair;
pub mod plain;
mod port;
mod queue_pair;
mod region;
mod scripted;
mod side;
mod trace;
mod violation;

pub use checker::{FinalOwner, SplitBrain};
pub use cost::{CostModel, CostPreset, Figure, Parameter, Status, Unit, UnknownPreset};
pub use fabric::{Fabric, FabricConfig, Pinned};
pub use fault::{FAULTS, Fault, FaultKind, FaultPlan, ParseFaultError, Recovery};
pub use memory::{Backing, PAGE_BYTES, ZeroMap};
pub use pair::{Pair, Stuck};
pub use port::Port;
pub use queue_pair::PATH_MTU_BYTES;
pub use scripted::{Scripted, ScriptedSource};
pub use side::{Side, Sides};
pub use trace::{DialogueTrace, Opcode, Recorder, WireCounters};
pub use violation::{Breach, Violation};
