//! The end of a migration stream, by which a complete one is told from one that was cut short.

use rdma_migration_conformance::codec::find_description;
use rdma_migration_conformance::vectors::stream::read_stream_end;
use rdma_migration_protocol::stream::end::vm_description;

use crate::naive;

/// Looks for the description that ends a stream, with four readers.
///
/// # Panics
///
/// If they differ.
pub fn drive(stream: &[u8]) {
    let ours = vm_description(stream);
    let length = ours.map(<[u8]>::len);
    assert_eq!(length, naive::description(stream));
    // The shortest of several that fit, or the longest: the two readers of the suite differ in that
    // on purpose of neither, and either is a complete stream.
    assert_eq!(ours.is_some(), find_description(stream).is_some());
    let suite = read_stream_end(stream).ok();
    assert_eq!(length, suite.map(|reading| usize::try_from(reading.description).unwrap()));
    if let Some(text) = ours {
        assert!(stream.ends_with(text));
    }
}
