//! The judge of RDMA live migrations: the library behind the `rdma-migration` command.
//!
//! It reads and writes the protocol's bytes with its own [`codec`], so that the judge shares no
//! code with what it judges.

pub mod capture;
pub mod codec;
pub mod dialogue;
pub mod guest_memory;
pub mod inspect;
pub mod migrate;
pub mod observed;
pub mod page;
pub mod predict;
pub mod rdma_address;
pub mod receive;
pub mod recording;
pub mod registrations;
pub mod send;
pub mod size;
pub mod suite;
pub mod transfer;
pub mod vectors;
#[cfg(feature = "verbs")]
pub mod verbs_host;

/// The example of the project's README, compiled and run with the tests.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
