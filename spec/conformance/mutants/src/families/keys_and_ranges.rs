//! Bugs in which memory is registered, with which key, and where RAM is written to.

use rdma_migration_protocol::address::{BlockOffset, HostAddress, Rkey};
use rdma_migration_protocol::limits::HEADER_BYTES;
use rdma_migration_protocol::transport::{Completion, Operation, WriteRam};
use rdma_migration_protocol::wire::{Kind, Message};

use crate::desk::Desk;
use crate::message::{
    COMMAND, change_u32, compose, get_u32, get_u64, is, payload, places, put_u32, put_u64,
};
use crate::mutation::{Arrival, Mutant, Mutation, Order, orders, receives, sends};

const CHUNK: u64 = 1 << 20;
const PAGE: u64 = 4096;

pub(super) const MUTANTS: &[Mutant] = &[
    Mutant::destination(
        "region-one-chunk-short",
        "REG-14",
        "It takes `chunks` for the number of chunks, and registers one too few of a span.",
        || {
            regions(|offset, length, _| {
                let last = (offset + length - 1) / CHUNK * CHUNK;
                (offset, if last > offset { last - offset } else { length })
            })
        },
    ),
    Mutant::destination(
        "region-one-page-short",
        "REG-14",
        "It registers a chunk without its last page.",
        || regions(|offset, length, _| (offset, length.saturating_sub(PAGE).max(1))),
    ),
    Mutant::destination(
        "region-one-chunk-long",
        "REG-14",
        "It registers one chunk more than it was asked for.",
        || regions(|offset, length, block| (offset, (length + CHUNK).min(block - offset))),
    ),
    Mutant::destination(
        "region-of-the-whole-block",
        "REG-14",
        "It registers the whole RAM block when it is asked for a chunk.",
        || regions(|_, _, block| (0, block)),
    ),
    Mutant::destination(
        "chunk-base-off",
        "REG-14",
        "It lets a region begin at the address that was asked for.",
        || Box::new(FromAddress::default()),
    ),
    Mutant::destination("chunks-of-half-a-mebibyte", "LIM-10", "It has chunks of 512 KiB.", || {
        regions(|offset, length, _| {
            (offset, if length > CHUNK { length } else { length.min(CHUNK / 2) })
        })
    }),
    Mutant::destination(
        "key-of-the-first-chunk",
        "REG-15",
        "It answers every request with the key of the first region that it has registered.",
        || {
            let mut first = None;
            sends(move |message| {
                if is(message, Kind::RegisterResult) {
                    for at in places(message, 16) {
                        let key = *first.get_or_insert(get_u32(message, at));
                        put_u32(message, at, key);
                    }
                }
            })
        },
    ),
    Mutant::destination(
        "key-of-the-chunk-before",
        "REG-16",
        "It answers a request with the key of the chunk that was asked for before.",
        || {
            let mut before = None;
            sends(move |message| {
                if is(message, Kind::RegisterResult) {
                    for at in places(message, 16) {
                        let key = get_u32(message, at);
                        put_u32(message, at, before.replace(key).unwrap_or(key));
                    }
                }
            })
        },
    ),
    Mutant::destination(
        "another-key-for-the-same-chunk",
        "REG-15",
        "It answers a second request for a chunk with another key.",
        || {
            let mut seen = Vec::new();
            sends(move |message| {
                if is(message, Kind::RegisterResult) {
                    for at in places(message, 16) {
                        let key = get_u32(message, at);
                        if seen.contains(&key) {
                            put_u32(message, at, key.wrapping_add(0x100));
                        }
                        seen.push(key);
                    }
                }
            })
        },
    ),
    Mutant::destination(
        "host-address-of-the-chunk",
        "REG-17",
        "It answers with the address of the chunk and not of its RAM block.",
        || Box::new(AddressOfChunk::default()),
    ),
    Mutant::destination("key-0-given-out", "REG-18", "It answers with a key of 0.", || {
        sends(|message| {
            if is(message, Kind::RegisterResult) {
                for at in places(message, 16) {
                    put_u32(message, at, 0);
                }
            }
        })
    }),
    Mutant::destination(
        "dynamic-blocks-with-keys",
        "BLK-17",
        "It puts keys into RAM_BLOCKS_RESULT although nothing is pinned.",
        || {
            sends(|message| {
                if is(message, Kind::RamBlocksResult) {
                    for at in places(message, 32) {
                        if get_u32(message, at + 24) == 0 {
                            put_u32(message, at + 24, 0x1234);
                        }
                    }
                }
            })
        },
    ),
    Mutant::destination(
        "pinned-block-not-registered",
        "BLK-16",
        "It sends a key for the second RAM block before that is registered, and forgets it.",
        || {
            orders(|order, desk| match order.operation {
                Operation::RegisterMemory { region, block, .. }
                    if desk.pin_all() && block.get() == 1 =>
                {
                    let rkey = Rkey::new(0x0bad_cafe);
                    desk.deliver(Arrival::Answer(Completion::MemoryRegistered { region, rkey }));
                    desk.pretend_region(region);
                }
                _ => desk.issue(order),
            })
        },
    ),
    Mutant::destination(
        "last-ram-block-left-out",
        "BLK-11",
        "It describes all RAM blocks but the last.",
        || {
            sends(|message| {
                if is(message, Kind::RamBlocksResult) {
                    let shorter = message.len().saturating_sub(32).max(HEADER_BYTES);
                    *message = compose(
                        Kind::RamBlocksResult,
                        1,
                        message.get(HEADER_BYTES..shorter).unwrap_or_default(),
                    );
                }
            })
        },
    ),
    Mutant::destination(
        "ram-blocks-in-reverse",
        "BLK-11",
        "It describes the RAM blocks in an order of its own.",
        || {
            sends(|message| {
                if is(message, Kind::RamBlocksResult) {
                    let blocks = payload(message).chunks_exact(32).rev();
                    *message =
                        compose(Kind::RamBlocksResult, 1, &blocks.collect::<Vec<_>>().concat());
                }
            })
        },
    ),
    Mutant::source(
        "write-with-the-first-key",
        "REG-10",
        "It writes every run with the first key that it was given.",
        || {
            let mut first = None;
            writes(move |write, _| write.rkey = *first.get_or_insert(write.rkey))
        },
    ),
    Mutant::source(
        "write-before-result",
        "REG-10",
        "It writes as soon as it has asked for a chunk, with the key of the chunk before.",
        || Box::new(BeforeResult::default()),
    ),
    Mutant::source(
        "key-used-after-it-was-given-back",
        "REG-34",
        "It writes with the key of a chunk that it has given back.",
        || Box::new(OldKey::default()),
    ),
    Mutant::source(
        "unregister-request-before-the-writes",
        "REG-30",
        "It posts writes into a chunk behind the request to give it back.",
        || Box::new(UnregisterFirst::default()),
    ),
    Mutant::source(
        "write-one-page-off",
        "WRITE-5",
        "It writes each run one page before its place, but for the first page.",
        || {
            writes(|write, _| {
                if write.offset.get() >= PAGE {
                    write.remote_address =
                        HostAddress::new(write.remote_address.get().wrapping_sub(PAGE));
                }
            })
        },
    ),
    Mutant::source(
        "write-to-the-place-in-the-chunk",
        "WRITE-5",
        "It adds the place in the chunk to the address of the RAM block.",
        || {
            writes(|write, _| {
                let chunks = write.offset.get() / CHUNK * CHUNK;
                write.remote_address =
                    HostAddress::new(write.remote_address.get().wrapping_sub(chunks));
            })
        },
    ),
    Mutant::source(
        "write-past-the-block",
        "WRITE-1",
        "It writes the last run of a RAM block one page too far.",
        || {
            writes(|write, desk| {
                let block = desk.block(write.block.get());
                let end = write.offset.get() + write.length;
                if block.is_some_and(|block| block.length == end) {
                    write.remote_address =
                        HostAddress::new(write.remote_address.get().wrapping_add(PAGE));
                }
            })
        },
    ),
    Mutant::source(
        "request-for-a-ram-block-too-many",
        "WRITE-1",
        "It counts RAM blocks from 1 in its register requests.",
        || {
            sends(|message| {
                if is(message, Kind::RegisterRequest) {
                    for at in places(message, COMMAND) {
                        change_u32(message, at + 8, |block| block + 1);
                    }
                }
            })
        },
    ),
    Mutant::source(
        "run-across-the-end-of-its-chunk",
        "WRITE-4",
        "It writes a run that goes on in the next chunk at once.",
        || {
            orders(|mut order, desk| {
                match &mut order.operation {
                    Operation::WriteRam(write) => {
                        longer(write.block.get(), write.offset, &mut write.length, desk);
                    }
                    Operation::RegisterMemory { block, offset, length, .. } => {
                        longer(block.get(), *offset, length, desk);
                    }
                    _ => {}
                }
                desk.issue(order);
            })
        },
    ),
    Mutant::source(
        "address-of-the-exchange-kept",
        "WRITE-6",
        "It writes to the addresses of RAM_BLOCKS_RESULT, whatever later results say.",
        || Box::new(FirstAddress::default()),
    ),
    Mutant::source(
        "address-of-one-block-for-all",
        "WRITE-6",
        "It keeps one address from RAM_BLOCKS_RESULT, for all RAM blocks of the result.",
        || {
            receives(|message, _| {
                if is(message, Kind::RamBlocksResult) {
                    let first = get_u64(message, HEADER_BYTES);
                    for at in places(message, 32) {
                        put_u64(message, at, first);
                    }
                }
            })
        },
    ),
];

/// Registers other memory than was ordered: from offset and length in bytes, and the length of the
/// block, to offset and length.
fn regions(change: fn(u64, u64, u64) -> (u64, u64)) -> Box<dyn Mutation> {
    orders(move |mut order, desk| {
        if let Operation::RegisterMemory { block, offset, length, .. } = &mut order.operation
            && let Some(block) = desk.block(block.get())
            && !desk.pin_all()
        {
            let (changed, bytes) = change(offset.get(), *length, block.length);
            (*offset, *length) = (BlockOffset::new(changed), bytes);
        }
        desk.issue(order);
    })
}

/// Changes each RDMA WRITE.
fn writes(change: impl FnMut(&mut WriteRam, &Desk<'_, '_>) + 'static) -> Box<dyn Mutation> {
    let mut change = change;
    orders(move |mut order, desk| {
        if let Operation::WriteRam(write) = &mut order.operation {
            change(write, desk);
        }
        desk.issue(order);
    })
}

/// One page more, if the piece ends with its chunk and the block goes on.
fn longer(block: u32, offset: BlockOffset, length: &mut u64, desk: &Desk<'_, '_>) {
    let end = offset.get() + *length;
    let block = desk.block(block).map_or(0, |block| block.length);
    if end.is_multiple_of(CHUNK) && end + PAGE <= block {
        *length += PAGE;
    }
}

/// A region begins at the address of its request.
#[derive(Default)]
struct FromAddress {
    /// Places in RAM blocks that were asked for, and not registered yet.
    asked: Vec<(u32, u64)>,
}

impl Mutation for FromAddress {
    fn order(&mut self, mut order: Order, desk: &mut Desk<'_, '_>) {
        if let Operation::RegisterMemory { block, offset, length, .. } = &mut order.operation {
            let (index, begin, end) = (block.get(), offset.get(), offset.get() + *length);
            let place = self
                .asked
                .iter()
                .find(|(block, place)| *block == index && (begin..end).contains(place));
            if let Some((_, place)) = place {
                (*offset, *length) = (BlockOffset::new(*place), end - place);
            }
        }
        desk.issue(order);
    }

    fn arrival(&mut self, arrival: Arrival, desk: &mut Desk<'_, '_>) {
        if let Arrival::Message(message) = &arrival
            && is(message, Kind::RegisterRequest)
        {
            self.asked = places(message, COMMAND)
                .into_iter()
                .filter_map(|at| {
                    let index = get_u32(message, at + 8);
                    let start = desk.block(index)?.offset;
                    Some((index, get_u64(message, at).checked_sub(start)?))
                })
                .collect();
        }
        desk.deliver(arrival);
    }
}

/// A result has the address of its chunk.
#[derive(Default)]
struct AddressOfChunk {
    chunks: Vec<u64>,
}

impl Mutation for AddressOfChunk {
    fn order(&mut self, mut order: Order, desk: &mut Desk<'_, '_>) {
        if is(&order.message, Kind::RegisterResult) {
            for (at, chunk) in places(&order.message, 16).into_iter().zip(&self.chunks) {
                let address = get_u64(&order.message, at + 8).wrapping_add(chunk * CHUNK);
                put_u64(&mut order.message, at + 8, address);
            }
        }
        desk.issue(order);
    }

    fn arrival(&mut self, arrival: Arrival, desk: &mut Desk<'_, '_>) {
        if let Arrival::Message(message) = &arrival
            && is(message, Kind::RegisterRequest)
        {
            let chunk = |at: usize| {
                let start = desk.block(get_u32(message, at + 8)).map_or(0, |block| block.offset);
                get_u64(message, at).saturating_sub(start) / CHUNK
            };
            self.chunks = places(message, COMMAND).into_iter().map(chunk).collect();
        }
        desk.deliver(arrival);
    }
}

/// The result is not awaited.
#[derive(Default)]
struct BeforeResult {
    key: Option<u32>,
    made_up: bool,
}

impl Mutation for BeforeResult {
    fn order(&mut self, order: Order, desk: &mut Desk<'_, '_>) {
        let asked = is(&order.message, Kind::RegisterRequest);
        let block = desk.block(get_u32(&order.message, HEADER_BYTES + 8));
        desk.issue(order);
        if let (true, Some(key), Some(block)) = (asked, self.key, block) {
            self.made_up = true;
            desk.deliver(Arrival::Message(result(key, block.address)));
        }
    }

    fn arrival(&mut self, arrival: Arrival, desk: &mut Desk<'_, '_>) {
        match &arrival {
            Arrival::Message(message) if is(message, Kind::RegisterResult) => {
                self.key = Some(get_u32(message, HEADER_BYTES));
                if core::mem::take(&mut self.made_up) {
                    desk.post_one();
                } else {
                    desk.deliver(arrival);
                }
            }
            _ => desk.deliver(arrival),
        }
    }
}

fn result(key: u32, address: u64) -> Vec<u8> {
    let mut entry = [0; 16];
    put_u32(&mut entry, 0, key);
    put_u64(&mut entry, 8, address);
    compose(Kind::RegisterResult, 1, &entry)
}

/// After UNREGISTER_FINISHED the old key is used again, without a request.
#[derive(Default)]
struct OldKey {
    last: Option<Vec<u8>>,
    first: Option<Vec<u8>>,
    given_back: bool,
}

impl Mutation for OldKey {
    fn order(&mut self, order: Order, desk: &mut Desk<'_, '_>) {
        self.given_back |= is(&order.message, Kind::UnregisterRequest);
        if self.given_back
            && is(&order.message, Kind::RegisterRequest)
            && let Some(result) = self.first.clone()
        {
            desk.skip(&order);
            desk.deliver(Arrival::Message(result));
            // The READY was not used.
            return desk.pretend_message(&Message::Ready);
        }
        desk.issue(order);
    }

    fn arrival(&mut self, arrival: Arrival, desk: &mut Desk<'_, '_>) {
        if let Arrival::Message(message) = &arrival
            && is(message, Kind::RegisterResult)
        {
            self.first.get_or_insert_with(|| message.clone());
            self.last = Some(message.clone());
        }
        desk.deliver(arrival);
    }
}

/// Writes are held back until a request to unregister has gone.
#[derive(Default)]
struct UnregisterFirst {
    held: Option<WriteRam>,
}

impl Mutation for UnregisterFirst {
    fn order(&mut self, order: Order, desk: &mut Desk<'_, '_>) {
        match order.operation {
            Operation::WriteRam(write) if write.offset.get() < CHUNK && write.block.get() == 0 => {
                self.held = Some(WriteRam { signaled: false, ..write });
                desk.issue(order);
            }
            Operation::Send { .. } if is(&order.message, Kind::UnregisterRequest) => {
                desk.issue(order);
                if let Some(write) = self.held.take() {
                    desk.issue(Order::bare(Operation::WriteRam(write)));
                }
            }
            _ => desk.issue(order),
        }
    }
}

/// The first address that is known of a RAM block.
#[derive(Default)]
struct FirstAddress {
    asked: Option<u64>,
}

impl Mutation for FirstAddress {
    fn order(&mut self, order: Order, desk: &mut Desk<'_, '_>) {
        if is(&order.message, Kind::RegisterRequest) {
            let block = desk.block(get_u32(&order.message, HEADER_BYTES + 8));
            self.asked = block.map(|block| block.address);
        }
        desk.issue(order);
    }

    fn arrival(&mut self, mut arrival: Arrival, desk: &mut Desk<'_, '_>) {
        if let Arrival::Message(message) = &mut arrival
            && is(message, Kind::RegisterResult)
            && let Some(address) = self.asked
        {
            put_u64(message, HEADER_BYTES + 8, address);
        }
        desk.deliver(arrival);
    }
}
