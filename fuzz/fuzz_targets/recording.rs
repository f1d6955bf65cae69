//! A recording of a migration.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rdma_migration_fuzz::recording::drive;

fuzz_target!(|bytes: &[u8]| drive(bytes));
