//! The suite's own reading and writing of the protocol's bytes.
//!
//! A judge that shared its codec with the implementation would share its mistakes, so nothing here
//! comes from `rdma-migration-protocol`. Decoding is lenient: it yields what is there, and leaves
//! the verdict to whoever asked.

mod capabilities;
mod command;
mod end_of_stream;
mod header;
mod kind;
mod ram_block_list;

pub use capabilities::Capabilities;
pub use command::{
    Command, Compress, RamBlock, RegisterRequest, RegisterResult, UnregisterRequest,
};
pub use end_of_stream::find_description;
pub use header::Header;
pub use kind::Kind;
pub use ram_block_list::{
    ListFault, ListedBlock, NamedBlock, RAM_BLOCKS_MAX, find_ram_block_list, read_ram_block_list,
    starts_ram_section,
};

/// The most bytes that a control message may take, header included.
pub const MESSAGE_BYTES_MAX: usize = 512 * 1024;

/// The most commands of one kind that a message may carry.
pub const REPEAT_MAX: u32 = 4096;

/// Fewer bytes than the value takes on the wire.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("cut short: {present} bytes where {wanted} are needed")]
pub struct CutShort {
    /// Bytes that the value takes.
    pub wanted: usize,
    /// Bytes that were there.
    pub present: usize,
}
