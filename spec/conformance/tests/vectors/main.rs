//! The test vectors of `spec/vectors`: made here, and read by everybody who can.

mod command;
mod committed;
mod copied;
mod coverage;
mod destination_machine;
mod documented;
mod generate;
mod machine;
mod protocol_crate;
mod python;
mod schema;
mod source_machine;
mod suite;
mod write;
