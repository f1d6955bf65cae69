//! Every bound of the protocol, and how the bounds depend on each other.

/// Bytes of each control buffer, header included: the longest control message.
pub const CONTROL_BUFFER_BYTES: usize = 512 * 1024;

/// Bytes of the header in front of every control message.
pub const HEADER_BYTES: usize = 16;

/// Bytes of the longest payload of a control message.
pub const PAYLOAD_BYTES_MAX: usize = 524_272;

/// Commands that one control message carries at most, counted by the header's `repeat`.
pub const COMMANDS_MAX: usize = 4096;

/// Stream bytes that a sender puts into one `QEMU_FILE` at most.
///
/// It is the size of QEMU's stream buffer; a receiver takes up to [`PAYLOAD_BYTES_MAX`].
pub const STREAM_MESSAGE_BYTES_MAX: usize = 32 * 1024;

/// Bytes of a chunk, the unit of dynamic registration, where nothing else was agreed.
pub const CHUNK_BYTES_DEFAULT: u64 = 1024 * 1024;

/// Bytes of the smallest chunk that can be agreed. Chunk sizes are powers of two.
pub const CHUNK_BYTES_MIN: u64 = 1024 * 1024;

/// Bytes of the largest chunk that can be agreed. Chunk sizes are powers of two.
pub const CHUNK_BYTES_MAX: u64 = 1024 * 1024 * 1024;

/// RAM blocks of one guest: as many as fit into one `RAM_BLOCKS_RESULT`.
pub const RAM_BLOCKS_MAX: usize = 16_383;

/// Bytes of the longest name of a RAM block: its length is one byte in the stream.
pub const RAM_BLOCK_NAME_BYTES_MAX: usize = 255;

/// Bytes of the capabilities in the private data of both connection management messages.
pub const PRIVATE_DATA_BYTES: usize = 8;

/// Writes between two that ask for a completion, unless a batch ends earlier.
pub const SIGNAL_INTERVAL_DEFAULT: u32 = 64;

/// Entries read from each list in front of the RAM block list of a QEMU stream: capabilities in
/// the configuration, and commands after it. QEMU sends fewer than five of either.
pub const STREAM_REQUESTS_MAX: usize = 64;

/// RAM blocks that are read from a QEMU stream's list at most, those of readings that turn out not to
/// fit included. It bounds the work on a list in which every guest address looks like a page size.
pub const STREAM_BLOCKS_READ_MAX: usize = 8 * RAM_BLOCKS_MAX;

/// Bytes of the description that ends a QEMU stream, at most. Those of real guests have some ten
/// thousand.
pub const VM_DESCRIPTION_BYTES_MAX: usize = 1024 * 1024;

/// Control buffers that receives are posted into, a side: for a reply, for the READY behind it, and
/// for an ERROR; at a destination one may hold stream bytes instead.
pub const RECEIVE_BUFFERS: usize = 3;

/// Sends that may be on their way at once, a side: a reply and the READY behind it.
pub const SENDS_OUTSTANDING_MAX: usize = 2;

/// Runs that a source holds before it takes no more from its owner.
pub const RAM_WORK_QUEUED_MAX: usize = 256;

/// Deregistrations that may fail in one migration, a side, before a region is given up for lost.
pub const DEREGISTRATION_FAILURES_MAX: u8 = 3;

/// Scans that a source has asked for at once.
pub const SCANS_MAX: usize = 16;

/// Chunks that a source registers with one request, unless it is configured otherwise.
pub const SPAN_CHUNKS_DEFAULT: u32 = 64;

/// Writes that a source with look-ahead lets go before a command that waits for its READY: enough
/// to keep the link busy meanwhile, and no more, because the command queues behind them.
pub const WRITES_BEFORE_COMMAND_MAX: usize = 2;

/// Bytes of heap that a command in a control message costs its receiver at most: what is remembered
/// of it, and for a moment its result.
pub const HEAP_BYTES_PER_COMMAND_MAX: usize = 64;

/// Bytes of heap that a RAM block costs a machine at most: its place in the tables, and for a moment
/// its descriptor in the RAM block exchange.
pub const HEAP_BYTES_PER_BLOCK_MAX: usize = 72;

/// Bytes of heap that a chunk costs a machine at most.
pub const HEAP_BYTES_PER_CHUNK_MAX: usize = 16;

/// Bytes of heap that a chunk costs a source besides, where it is bounded how much is pinned.
pub const HEAP_BYTES_PER_CHUNK_BOUNDED: usize = 8;

/// Bytes of heap for the events that a machine holds until its owner polls them, at most.
pub const HEAP_BYTES_OF_EVENTS_MAX: usize = 4096;

/// Bytes of heap that a machine uses at the same time, at most, for a guest of `blocks` RAM blocks
/// with `chunks` chunks in all: nothing that a peer sends, and no transport, makes it more.
///
/// Both numbers are the owner's own, never the peer's; before the owner has named its RAM blocks
/// both are 0. What a message costs is bounded by [`COMMANDS_MAX`], whatever its length says; it
/// also covers what the owner alone decides on at a source: stream bytes of one message, and
/// [`RAM_WORK_QUEUED_MAX`] runs.
#[must_use]
pub const fn heap_bytes_max(blocks: usize, chunks: usize) -> usize {
    let tables = blocks
        .saturating_mul(HEAP_BYTES_PER_BLOCK_MAX)
        .saturating_add(chunks.saturating_mul(HEAP_BYTES_PER_CHUNK_MAX));
    (COMMANDS_MAX * HEAP_BYTES_PER_COMMAND_MAX)
        .saturating_add(HEAP_BYTES_OF_EVENTS_MAX)
        .saturating_add(tables)
}

/// Bytes of heap that [`setup::ram_blocks`](crate::stream::setup::ram_blocks) uses at the same time,
/// at most, whatever the stream: 256 for each of the most RAM blocks, the growth of lists included.
pub const STREAM_SETUP_HEAP_BYTES_MAX: usize = 256 * (RAM_BLOCKS_MAX + 1);

/// Writes that a source has in flight, unless it is configured otherwise: half of the send queue
/// that QEMU creates.
pub const WRITES_IN_FLIGHT_DEFAULT: u32 = 256;

const _: () = assert!(HEADER_BYTES + PAYLOAD_BYTES_MAX == CONTROL_BUFFER_BYTES);
const _: () = assert!(STREAM_MESSAGE_BYTES_MAX <= PAYLOAD_BYTES_MAX);
const _: () = assert!(CHUNK_BYTES_DEFAULT.is_power_of_two());
const _: () = assert!(CHUNK_BYTES_MIN.is_power_of_two() && CHUNK_BYTES_MAX.is_power_of_two());
const _: () = assert!(CHUNK_BYTES_MIN <= CHUNK_BYTES_DEFAULT);
const _: () = assert!(CHUNK_BYTES_DEFAULT <= CHUNK_BYTES_MAX);
const _: () = assert!(SIGNAL_INTERVAL_DEFAULT > 0);
const _: () = assert!(SENDS_OUTSTANDING_MAX < RECEIVE_BUFFERS);
const _: () = assert!(SIGNAL_INTERVAL_DEFAULT < WRITES_IN_FLIGHT_DEFAULT);
const _: () = assert!(SCANS_MAX <= RAM_WORK_QUEUED_MAX);
