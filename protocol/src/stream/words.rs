//! The words of a QEMU migration stream that matter to RDMA.
//!
//! RAM records consist of 64-bit big-endian words, whose low 12 bits are flags and whose other
//! bits are an address or a size. The stream's owner writes and reads them; the protocol only
//! has to know where a [`HOOK`] ends a message.

/// What every migration stream starts with: `"QEVM"`, 32 bits.
pub const MAGIC: u32 = 0x5145_564d;

/// The version of the migration stream, 32 bits, after [`MAGIC`].
pub const VERSION: u32 = 3;

/// The bits of a RAM word that are flags.
pub const FLAGS_MASK: u64 = 0xfff;

/// The list of RAM blocks follows; the other bits are the bytes of all blocks together.
pub const MEM_SIZE: u64 = 0x004;

/// The end of a RAM record.
pub const EOS: u64 = 0x010;

/// RAM goes by RDMA from here to `REGISTER_FINISHED`. The last stream bytes before a round.
pub const HOOK: u64 = 0x080;

/// The source sends pages over further connections (multifd), which RDMA does not have.
pub const MULTIFD_FLUSH: u64 = 0x200;
