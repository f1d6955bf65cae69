//! A folder of evidence that was forged.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rdma_migration_fuzz::evidence::drive;

fuzz_target!(|bytes: &[u8]| drive(bytes));
