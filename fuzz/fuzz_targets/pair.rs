//! A source against a destination, where one thing goes wrong.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rdma_migration_fuzz::pair::drive;

fuzz_target!(|bytes: &[u8]| drive(bytes));
