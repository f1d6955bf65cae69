//! `rdma-migration predict`: how long a migration takes, and what it pins, from a calibrated model.
//!
//! One set of figures, each with its origin and how far it can be trusted, serves the closed forms
//! of [`Model`] and the simulator, which runs the real machines. What comes out is a prediction,
//! never a measurement.

mod chart;
mod costs;
mod guest;
mod model;
mod prediction;
mod published;
mod quantity;
mod report;
mod simulation;
mod strategy;

pub use chart::{Curve, Curves, Terminal, write_svg};
pub use costs::{Costs, ShownParameter};
pub use guest::{CHUNK_BYTES, Guest, GuestError, RAM_BYTES_MAX};
pub use model::{Estimate, Model};
pub use prediction::{NATURE, Plan, Prediction, Row, SimulatedRow, predict};
pub use published::{Calibrated, calibration};
pub use quantity::{BitRate, Nanoseconds, ParseQuantityError};
pub use simulation::{Simulated, SimulationError, simulate};
pub use strategy::{Machines, Strategy, ZERO_SPAN_CHUNKS};
