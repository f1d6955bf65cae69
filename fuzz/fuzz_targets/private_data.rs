//! Private data of a connection, and both sides' answer to it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rdma_migration_fuzz::private_data::drive;

fuzz_target!(|bytes: &[u8]| drive(bytes));
