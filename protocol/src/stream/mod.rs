//! The migration stream: bytes that travel in `QEMU_FILE` messages.

pub mod words;
