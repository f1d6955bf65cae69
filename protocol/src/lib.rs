//! The RDMA live migration protocol, version 1.
#![no_std]
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    warn(
        clippy::as_conversions,
        clippy::indexing_slicing,
        clippy::unwrap_used,
        clippy::expect_used
    )
)]
extern crate alloc;

pub mod address;
pub mod connection;
mod control;
pub mod deadline;
pub mod destination;
pub mod error;
pub mod limits;
pub mod ram;
pub mod source;
pub mod stream;
pub mod time;
pub mod transport;
pub mod wire;
