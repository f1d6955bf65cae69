//! A capture file, as `inspect` reads it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rdma_migration_fuzz::capture::drive;

fuzz_target!(|bytes: &[u8]| drive(bytes));
