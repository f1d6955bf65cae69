//! The RDMA live migration protocol, version 1: the protocol by which QEMU moves a running virtual
//! machine over InfiniBand or RoCE.
//!
//! Both sides are state machines without I/O: [`source::Source`], which the guest leaves, and
//! [`destination::Destination`], which it arrives at. A machine is between two parties:
//!
//! - its **owner**, a hypervisor, calls its methods and polls its events;
//! - its **transport** takes its [`Operation`](transport::Operation)s and returns
//!   [`Completion`](transport::Completion)s. The [contract](transport) is short, and
//!   [`transport::turn`] is the loop that keeps it.
//!
//! Whoever only needs the bytes uses [`wire`]: messages to values and back, without allocation.
//! [`stream`] finds what the protocol needs in the stream of a QEMU migration.
//!
//! Nothing that a peer sends can make this crate panic, allocate without bound ([`limits`]), wait
//! without end ([`deadline`]), or order a touch of memory outside a RAM block that the owner named.
//! What a peer does wrong is a value ([`error`]).
//!
//! Lines that begin with `//=` and `//#` quote the requirement that the code below obeys. The
//! requirements are in `spec/text` of the repository.
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
