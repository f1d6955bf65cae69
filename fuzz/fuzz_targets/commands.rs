//! Arrays of commands.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rdma_migration_fuzz::commands::drive;

fuzz_target!(|bytes: &[u8]| drive(bytes));
