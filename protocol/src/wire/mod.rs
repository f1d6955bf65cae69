//! Bytes to values and back: every structure that crosses the link.
//!
//! Parsing borrows from the received bytes, checks once, and neither panics nor allocates.
//! Encoding writes into the caller's buffer. All integers are big-endian on the wire and native
//! here; padding is ignored when received and zero when sent.

mod capabilities;
mod compress;
mod encode_error;
mod entries;
#[cfg(test)]
mod golden;
mod header;
mod kind;
mod malformed;
mod message;
mod ram_blocks;
mod register;
mod unregister;

pub use capabilities::{Capabilities, Flags, PROTOCOL_VERSION};
pub use compress::Compress;
pub use encode_error::EncodeError;
pub use entries::{Entries, Entry, Iter};
pub use header::Header;
pub use kind::{Kind, UnknownKind};
pub use malformed::Malformed;
pub use message::Message;
pub use ram_blocks::RamBlock;
pub use register::{RegisterRequest, RegisterResult};
pub use unregister::UnregisterRequest;
