//! What is measured, each subject beside its baselines. The benches of criterion, the table of
//! comparisons, the counts of instructions and the tests of allocations run the same code, which is
//! here.

pub mod codec;
pub mod contest;
pub mod cpu_time;
pub mod desk;
pub mod destination;
pub mod laid;
pub mod machines;
pub mod migrations;
pub mod naive;
pub mod source;
pub mod zero_scan;

/// Bytes of a MiB, which is also the chunk size that all subjects use.
pub const MIB: u64 = 1 << 20;
