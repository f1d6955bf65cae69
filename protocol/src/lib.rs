//! The RDMA live migration protocol, version 1.
#![no_std]
#![forbid(unsafe_code)]
extern crate alloc;

pub mod address;
pub mod limits;
pub mod stream;
pub mod wire;
