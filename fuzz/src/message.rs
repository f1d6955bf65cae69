//! One control message: bytes to values and back.

use std::cell::RefCell;

use rdma_migration_conformance::codec::{Command, Header as SuiteHeader};
use rdma_migration_conformance::vectors::message::read_message;
use rdma_migration_conformance::vectors::protocol_name;
use rdma_migration_protocol::limits::CONTROL_BUFFER_BYTES;
use rdma_migration_protocol::wire::{Entries, Entry, Header, Message};

use crate::naive;

thread_local! {
    static BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; CONTROL_BUFFER_BYTES]);
}

/// Reads a message, writes it again, and reads that.
///
/// # Panics
///
/// If what is read is not what was written, or more of the bytes changes than a receiver ignores.
pub fn drive(bytes: &[u8]) {
    let parsed = Message::parse(bytes);
    let header = Header::parse(bytes);
    let Ok(message) = parsed else {
        if let Err(fault) = header {
            assert_eq!(parsed, Err(fault), "the header is judged first");
        }
        return;
    };
    let header = header.expect("a message has a header");
    assert_eq!(header.kind, message.kind());
    assert_eq!(message.encoded_len(), bytes.len());
    BUFFER.with_borrow_mut(|buffer| {
        let length = message.encode(buffer).expect("what was received can be sent");
        let again = &buffer[..length];
        assert_eq!(again.len(), bytes.len());
        assert_eq!(again[..8], bytes[..8], "length and kind");
        assert_eq!(again[12..16], [0; 4], "padding goes no further");
        assert_eq!(Message::parse(again), Ok(message));
        assert!(message.encode(&mut [0xa5; 15]).is_err(), "no message is shorter than a header");
    });
}

/// Reads a message with this crate's decoder, with the suite's and with the naive one.
///
/// # Panics
///
/// If they differ in whether it is a message, in a value, or if one names a fault that it has not.
pub fn differ(bytes: &[u8]) {
    let naive = naive::message(bytes);
    let ours = Message::parse(bytes);
    let suite = read_message(bytes);
    match (&ours, &suite) {
        (Ok(message), Ok(_)) => {
            assert!(naive.faults.is_empty(), "{:?} in what the others take", naive.faults);
            assert_eq!(u128::from(message.kind().number()), naive.kind);
            let (header, payload) = SuiteHeader::decode(bytes).expect("a whole header");
            assert_eq!((u128::from(header.kind.number()), u128::from(header.repeat)), {
                (naive.kind, naive.repeat)
            });
            let commands = Command::decode_all(header.kind, payload);
            assert_eq!(commands.iter().map(suite_fields).collect::<Vec<_>>(), naive.entries);
            assert_eq!(our_fields(message), naive.entries);
        }
        (Err(fault), Err(name)) => {
            let ours =
                protocol_name::of_message(fault).expect("every fault of a message has a name");
            assert!(naive.faults.contains(&ours), "{ours} is not among {:?}", naive.faults);
            assert!(naive.faults.contains(name), "{name} is not among {:?}", naive.faults);
        }
        _ => panic!("protocol: {ours:?}, suite: {suite:?}, naive: {naive:?}"),
    }
}

fn our_fields(message: &Message<'_>) -> Vec<Vec<u128>> {
    fn each<T: Entry>(entries: &Entries<'_, T>, of: impl Fn(T) -> Vec<u128>) -> Vec<Vec<u128>> {
        entries.iter().map(of).collect()
    }
    match message {
        Message::RamBlocksResult(blocks) => each(blocks, |block| {
            let (address, offset) = (block.remote_address.get(), block.offset.get());
            vec![address.into(), offset.into(), block.length.into(), block.rkey.get().into()]
        }),
        Message::Compress(runs) => each(runs, |run| {
            let (block, offset) = (run.block.get(), run.offset.get());
            vec![run.value.into(), block.into(), offset.into(), run.length.into()]
        }),
        Message::RegisterRequest(requests) => each(requests, |request| {
            let (address, block) = (request.address.get(), request.block.get());
            vec![address.into(), block.into(), request.chunks.into()]
        }),
        Message::RegisterResult { results, .. } => {
            each(results, |result| vec![result.rkey.get().into(), result.host_address.get().into()])
        }
        Message::UnregisterRequest(requests) => {
            each(requests, |request| vec![request.chunk.into(), request.block.get().into()])
        }
        Message::None
        | Message::Error
        | Message::Ready
        | Message::QemuFile(_)
        | Message::RamBlocksRequest
        | Message::RegisterFinished
        | Message::UnregisterFinished { .. } => Vec::new(),
    }
}

fn suite_fields(command: &Command) -> Vec<u128> {
    match *command {
        Command::RamBlock(block) => vec![
            block.remote_address.into(),
            block.offset.into(),
            block.length.into(),
            block.rkey.into(),
        ],
        Command::Compress(run) => {
            vec![run.value.into(), run.block.into(), run.offset.into(), run.length.into()]
        }
        Command::RegisterRequest(request) => {
            vec![request.address.into(), request.block.into(), request.chunks.into()]
        }
        Command::RegisterResult(result) => vec![result.rkey.into(), result.host_address.into()],
        Command::UnregisterRequest(request) => vec![request.chunk.into(), request.block.into()],
    }
}
