//! The front of a migration stream, in which the list of RAM blocks is found.

use rdma_migration_conformance::vectors::error_name::ErrorName;
use rdma_migration_conformance::vectors::protocol_name;
use rdma_migration_conformance::vectors::stream::read_stream;
use rdma_migration_protocol::limits::STREAM_SETUP_HEAP_BYTES_MAX;
use rdma_migration_protocol::stream::setup::{Setup, SetupFault, Unsupported, ram_blocks};

use crate::allocator::measure;
use crate::naive;

/// What the reading of a byte of the stream allocates at most: a block takes 10 bytes or more.
const HEAP_PER_BYTE_MAX: usize = 40;
/// What a reading allocates at most besides.
const HEAP_BASE_MAX: usize = 8192;

/// Reads the front of a stream with three decoders, and counts what ours allocates.
///
/// # Panics
///
/// If they differ in whether there is a list or in a value, if ours and the suite's name different
/// faults, or if ours allocates more than its bound.
pub fn drive(stream: &[u8]) {
    let mut ours = None;
    let peak = measure(|| ours = Some(ram_blocks(stream))).peak;
    let ours = ours.expect("it was read");
    assert!(peak <= STREAM_SETUP_HEAP_BYTES_MAX, "{peak} bytes of heap");
    assert!(peak <= HEAP_BASE_MAX + HEAP_PER_BYTE_MAX * stream.len(), "{peak} bytes of heap");

    let naive = naive::front(stream);
    match (&ours, read_stream(stream)) {
        (Ok(setup), Ok(reading)) => {
            let naive = naive.expect("the naive decoder rejects what the others take");
            compare(setup, &naive);
            let theirs = reading.blocks.iter().map(|block| (block.name.clone(), block.length.0));
            let ours = setup.blocks.iter().map(|block| {
                (String::from_utf8_lossy(block.name.as_bytes()).into_owned(), block.length)
            });
            assert!(ours.eq(theirs), "{setup:?}, {reading:?}");
            assert_eq!(setup.unsupported.contains(&Unsupported::ReturnPath), reading.return_path);
        }
        (Err(error), Err(name)) => {
            assert_eq!(naive, None, "{error}, {name}");
            assert!(error.offset <= stream.len());
            // Magic word and hook word are 16 bytes: of fewer, either name is right.
            let either = stream.len() < 16
                && matches!(error.fault, SetupFault::NoHook { .. })
                && name == ErrorName::StreamTruncated;
            assert!(
                either || protocol_name::of_stream(&error.fault) == Some(name),
                "{error}, {name}"
            );
        }
        (ours, suite) => panic!("protocol: {ours:?}, suite: {suite:?}, naive: {naive:?}"),
    }
}

fn compare(setup: &Setup<'_>, naive: &naive::Front) {
    let blocks = setup.blocks.iter().map(|block| {
        let page_size = block.page_size.map(u128::from);
        (block.name.as_bytes().to_vec(), u128::from(block.length), page_size)
    });
    assert_eq!(blocks.collect::<Vec<_>>(), naive.blocks);
    let said = |unsupported| setup.unsupported.contains(&unsupported);
    assert_eq!(said(Unsupported::ReturnPath), naive.commands.contains(&1));
    let page_sizes = naive.blocks.iter().any(|(_, _, page_size)| page_size.is_some());
    assert_eq!(said(Unsupported::Postcopy), naive.commands.contains(&3) || page_sizes);
    for name in &naive.capabilities {
        let found = setup.unsupported.iter().any(|unsupported| match unsupported {
            Unsupported::IgnoreShared => name == b"x-ignore-shared",
            Unsupported::Capability(found) => found.as_bytes() == name,
            _ => false,
        });
        assert!(found, "{name:?} is not recognised");
    }
}
