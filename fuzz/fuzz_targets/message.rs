//! One control message.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rdma_migration_fuzz::message::drive;

fuzz_target!(|bytes: &[u8]| drive(bytes));
