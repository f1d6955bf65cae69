//! The migration stream: bytes that travel in `QEMU_FILE` messages.

mod head;
mod name;
mod reader;
pub mod setup;
mod setup_error;
pub mod words;
