//! Faults by name: what strikes, where, and at which operation.

mod plan;
mod table;

pub(crate) use plan::Striker;
pub use plan::{Fault, FaultPlan, ParseFaultError};
pub(crate) use table::{Corruption, Effect, Site};
pub use table::{FAULTS, FaultKind, Recovery};
