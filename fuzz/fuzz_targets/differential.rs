//! One control message, read by three decoders.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rdma_migration_fuzz::message::differ;

fuzz_target!(|bytes: &[u8]| differ(bytes));
