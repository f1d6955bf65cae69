//! The limits by their values: who reads them in a report or sets memory aside for them sees numbers.

use rdma_migration_protocol::limits;

#[test]
fn a_migration_stream_is_bounded() {
    assert_eq!(limits::STREAM_REQUESTS_MAX, 64);
    assert_eq!(limits::STREAM_BLOCKS_READ_MAX, 131_064);
    assert_eq!(limits::STREAM_SETUP_HEAP_BYTES_MAX, 4_194_304);
    assert_eq!(limits::VM_DESCRIPTION_BYTES_MAX, 1_048_576);
}
