//! The source under a script.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rdma_migration_fuzz::source::drive;

fuzz_target!(|bytes: &[u8]| drive(bytes));
