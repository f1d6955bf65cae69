//! The front of a migration stream.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rdma_migration_fuzz::stream_setup::drive;

fuzz_target!(|bytes: &[u8]| drive(bytes));
