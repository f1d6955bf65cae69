//! Faults by name: what strikes, where, and at which operation.

mod kind;
mod plan;
#[cfg(test)]
mod statuses;
mod table;

pub(crate) use kind::{Corruption, Effect, Site};
pub use kind::{FaultKind, Recovery};
pub(crate) use plan::Striker;
pub use plan::{Fault, FaultPlan, ParseFaultError};
pub use table::FAULTS;
