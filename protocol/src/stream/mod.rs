//! The migration stream: bytes that travel in `QEMU_FILE` messages.

mod incoming;
mod outgoing;
pub mod words;

pub use incoming::HeldStream;
pub(crate) use incoming::Incoming;
pub(crate) use outgoing::Outgoing;
