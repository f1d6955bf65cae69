//! A strict in-memory RDMA fabric in virtual time, for RDMA live migration.
//!
//! Two hosts, each with one adapter, one queue pair and RAM blocks, joined by one link. It is a
//! strict verbs machine: what real verbs would punish is acted out and named as a [`Violation`].
//! Time is virtual and comes from a [`CostModel`]; chance comes from a seed; what goes wrong comes
//! from a [`FaultPlan`]. The same configuration gives the same run, exactly.
#![forbid(unsafe_code)]

mod clock;
mod cost;
mod fabric;
mod fault;
mod memory;
mod port;
mod queue_pair;
mod region;
mod side;
mod trace;
mod violation;

pub use cost::{CostModel, CostPreset, Figure, Parameter, Status, Unit, UnknownPreset};
pub use fabric::{Fabric, FabricConfig, Pinned};
pub use fault::{FAULTS, Fault, FaultKind, FaultPlan, ParseFaultError, Recovery};
pub use memory::{Backing, PAGE_BYTES, ZeroMap};
pub use port::Port;
pub use queue_pair::PATH_MTU_BYTES;
pub use side::{Side, Sides};
pub use trace::{Opcode, Recorder, WireCounters};
pub use violation::{Breach, Violation};
