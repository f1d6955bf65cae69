//! Messages that carry arrays of commands, up to the most that one may carry.
//!
//! The bytes of such a message are long and much alike, which fuzzers are bad at. So the script says
//! which kind, how many, and what the first few are; the others repeat them.

use std::cell::RefCell;

use rdma_migration_protocol::address::{BlockIndex, HostAddress, RamAddress, Rkey};
use rdma_migration_protocol::limits::{COMMANDS_MAX, CONTROL_BUFFER_BYTES, HEADER_BYTES};
use rdma_migration_protocol::wire::{
    Compress, Entries, Entry, Malformed, Message, RamBlock, RegisterRequest, RegisterResult,
    UnregisterRequest,
};

use crate::script::Script;

/// Commands that the script says one by one.
const FEW: usize = 5;

thread_local! {
    static BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; CONTROL_BUFFER_BYTES + 1]);
}

/// Writes arrays of commands, reads them again whole, and with a byte more or less.
///
/// # Panics
///
/// If what is read is not what was written, or a length that does not fit is taken.
pub fn drive(bytes: &[u8]) {
    let mut script = Script::new(bytes);
    let kind = script.byte() % 5;
    let count = count(&mut script);
    let repeat = u32::from(script.u16()) % 4098;
    match kind {
        0 => check(values(&mut script, count, ram_block), |blocks| {
            Message::RamBlocksResult(Entries::new(blocks))
        }),
        1 => check(values(&mut script, count, compress), |runs| {
            Message::Compress(Entries::new(runs))
        }),
        2 => check(values(&mut script, count, request), |requests| {
            Message::RegisterRequest(Entries::new(requests))
        }),
        3 => check(values(&mut script, count, result), |results| Message::RegisterResult {
            repeat,
            results: Entries::new(results),
        }),
        _ => check(values(&mut script, count, unregistration), |requests| {
            Message::UnregisterRequest(Entries::new(requests))
        }),
    }
}

/// Mostly a few; now and then as many as there may be, or one more.
fn count(script: &mut Script<'_>) -> usize {
    match script.byte() {
        few @ 0..=0xdf => usize::from(few % 32),
        some @ 0xe0..=0xfb => usize::from(some) << (script.byte() % 5),
        0xfc => COMMANDS_MAX - 1,
        0xfd => COMMANDS_MAX,
        0xfe => COMMANDS_MAX + 1,
        0xff => usize::from(script.u16()) % 16_500,
    }
}

fn values<T: Copy>(
    script: &mut Script<'_>,
    count: usize,
    one: impl Fn(&mut Script<'_>) -> T,
) -> Vec<T> {
    let few: Vec<T> = (0..count.min(FEW)).map(|_| one(script)).collect();
    few.iter().copied().cycle().take(count).collect()
}

fn check<T: Entry>(values: Vec<T>, message: impl for<'v> Fn(&'v [T]) -> Message<'v>) {
    let message = message(&values);
    BUFFER.with_borrow_mut(|buffer| {
        let Ok(length) = message.encode(buffer) else {
            assert!(!may_be_sent(&message, values.len()), "{} refused", message.kind());
            return;
        };
        assert!(may_be_sent(&message, values.len()), "{} sent", message.kind());
        assert_eq!(length, HEADER_BYTES + values.len() * T::BYTES);
        assert_eq!(Message::parse(&buffer[..length]), Ok(message));
        for received in [length - 1, length + 1] {
            let parsed = Message::parse(&buffer[..received]);
            assert!(
                matches!(
                    parsed,
                    Err(Malformed::LengthMismatch { .. } | Malformed::HeaderTruncated { .. })
                ),
                "{parsed:?}"
            );
        }
    });
}

/// What LIM-1, LIM-2 and the tables say of counts.
fn may_be_sent(message: &Message<'_>, count: usize) -> bool {
    match message {
        Message::RamBlocksResult(_) => count <= 16_383,
        Message::RegisterResult { repeat, .. } => {
            let counted = usize::try_from(*repeat) == Ok(count) || count == 1;
            (1..=4096).contains(&count) && (1..=4096).contains(repeat) && counted
        }
        _ => (1..=4096).contains(&count),
    }
}

fn ram_block(script: &mut Script<'_>) -> RamBlock {
    RamBlock {
        remote_address: HostAddress::new(script.u64()),
        offset: RamAddress::new(script.u64()),
        length: script.u64(),
        rkey: Rkey::new(script.u32()),
    }
}

fn compress(script: &mut Script<'_>) -> Compress {
    Compress {
        value: script.u32(),
        block: BlockIndex::new(script.u32()),
        offset: RamAddress::new(script.u64()),
        length: script.u64(),
    }
}

fn request(script: &mut Script<'_>) -> RegisterRequest {
    RegisterRequest {
        address: RamAddress::new(script.u64()),
        block: BlockIndex::new(script.u32()),
        chunks: script.u64(),
    }
}

fn result(script: &mut Script<'_>) -> RegisterResult {
    RegisterResult { rkey: Rkey::new(script.u32()), host_address: HostAddress::new(script.u64()) }
}

fn unregistration(script: &mut Script<'_>) -> UnregisterRequest {
    UnregisterRequest { chunk: script.u64(), block: BlockIndex::new(script.u32()) }
}
