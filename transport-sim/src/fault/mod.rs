//! Faults by name: what strikes, where, and at which operation.

mod plan;
mod table;

pub use plan::{Fault, FaultPlan, ParseFaultError};
pub(crate) use plan::Striker;
pub use table::{FAULTS, FaultKind, Recovery};
pub(crate) use table::{Corruption, Effect, Site};
