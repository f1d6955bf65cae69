//! The migration stream: bytes that travel in `QEMU_FILE` messages.

pub mod end;
mod head;
mod incoming;
mod name;
mod outgoing;
mod reader;
pub mod setup;
mod setup_error;
pub mod words;

pub use incoming::HeldStream;
pub(crate) use incoming::Incoming;
pub(crate) use outgoing::Outgoing;
