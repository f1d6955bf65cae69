//! Checks that are missing: what has to be rejected is made to look harmless, and the machine goes on.

use rdma_migration_protocol::limits::{COMMANDS_MAX, HEADER_BYTES, PAYLOAD_BYTES_MAX};
use rdma_migration_protocol::wire::{Kind, Message};

use crate::desk::{Block, Desk, Region};
use crate::message::{
    COMMAND, LENGTH, REPEAT, TYPE, compose, fit, get_u32, get_u64, is, is_any, is_counted, payload,
    places, put_u32, put_u64,
};
use crate::mutation::{Arrival, Mutant, Mutation, arrivals, receives};

/// The size of a chunk.
const CHUNK: u64 = 1 << 20;

/// A key that nobody has given out.
const MADE_UP: u32 = 0x00c0_ffee;

const NO_PAYLOAD: &[Kind] = &[
    Kind::None,
    Kind::Error,
    Kind::Ready,
    Kind::RamBlocksRequest,
    Kind::RegisterFinished,
    Kind::UnregisterFinished,
];

pub(super) const MUTANTS: &[Mutant] = &[
    Mutant::destination(
        "destination-header-length-unchecked",
        "CTL-2",
        "It reads the header of a message that is shorter than one.",
        || receives(|message, _| complete_header(message)),
    ),
    Mutant::source(
        "source-header-length-unchecked",
        "CTL-2",
        "It reads the header of a message that is shorter than one.",
        || receives(|message, _| complete_header(message)),
    ),
    Mutant::destination(
        "destination-length-bound-unchecked",
        "CTL-3",
        "It takes a `length` that no message can have for the longest one.",
        || receives(|message, _| cap_length(message)),
    ),
    Mutant::source(
        "source-length-bound-unchecked",
        "CTL-3",
        "It takes a `length` that no message can have for the longest one.",
        || receives(|message, _| cap_length(message)),
    ),
    Mutant::destination(
        "destination-length-unchecked",
        "CTL-4",
        "It goes by the bytes received, whatever `length` says.",
        || receives(|message, _| correct_length(message)),
    ),
    Mutant::source(
        "source-length-unchecked",
        "CTL-4",
        "It goes by the bytes received, whatever `length` says.",
        || receives(|message, _| correct_length(message)),
    ),
    Mutant::destination(
        "unknown-type-ignored-by-destination",
        "CTL-6",
        "It says READY again after a message of a type that it does not know.",
        || {
            pass_over(|message, _| {
                message.len() >= HEADER_BYTES && get_u32(message, TYPE) >= types()
            })
        },
    ),
    Mutant::source(
        "unknown-type-taken-for-ready",
        "CTL-6",
        "It takes a message of a type that it does not know for READY.",
        || {
            receives(|message, _| {
                if message.len() >= HEADER_BYTES && get_u32(message, TYPE) >= types() {
                    *message = compose(Kind::Ready, 1, &[]);
                }
            })
        },
    ),
    Mutant::destination(
        "destination-ignores-payload",
        "CTL-7",
        "It does not look for a payload where there is to be none.",
        || receives(|message, _| strip_payload(message)),
    ),
    Mutant::source(
        "source-ignores-payload",
        "CTL-7",
        "It does not look for a payload where there is to be none.",
        || receives(|message, _| strip_payload(message)),
    ),
    Mutant::destination(
        "empty-stream-message-taken",
        "CTL-8",
        "It takes a QEMU_FILE without payload.",
        || pass_over(|message, _| is(message, Kind::QemuFile) && message.len() == HEADER_BYTES),
    ),
    Mutant::destination(
        "repeat-0-taken",
        "CTL-10",
        "It takes a message that counts no commands, and does nothing.",
        || pass_over(|message, _| is_counted(message) && get_u32(message, REPEAT) == 0),
    ),
    Mutant::destination(
        "repeat-unbounded",
        "CTL-10",
        "It takes any number of commands that fits a message.",
        || {
            receives(|message, _| {
                let most = u32::try_from(COMMANDS_MAX).unwrap_or(u32::MAX);
                if is_counted(message) && get_u32(message, REPEAT) > most {
                    put_u32(message, REPEAT, most);
                    message.truncate(HEADER_BYTES + COMMANDS_MAX * COMMAND);
                    fit(message);
                }
            })
        },
    ),
    Mutant::source(
        "result-repeat-unchecked",
        "CTL-10",
        "It takes a REGISTER_RESULT whatever it counts.",
        || {
            receives(|message, _| {
                if is(message, Kind::RegisterResult) {
                    put_u32(message, REPEAT, 1);
                }
            })
        },
    ),
    Mutant::destination(
        "payload-longer-than-repeat-taken",
        "CTL-11",
        "It ignores what is behind the commands that `repeat` counts.",
        || {
            receives(|message, _| {
                let commands = usize::try_from(get_u32(message, REPEAT)).unwrap_or(usize::MAX);
                let counted = HEADER_BYTES.saturating_add(commands.saturating_mul(COMMAND));
                if is_counted(message) && message.len() > counted {
                    message.truncate(counted);
                    fit(message);
                }
            })
        },
    ),
    Mutant::destination(
        "payload-shorter-than-repeat-taken",
        "CTL-11",
        "It carries out the commands that are there, if `repeat` counts more.",
        || {
            receives(|message, _| {
                let commands = places(message, COMMAND).len();
                let repeat = u32::try_from(commands).unwrap_or(u32::MAX);
                if is_counted(message) && commands > 0 && get_u32(message, REPEAT) > repeat {
                    put_u32(message, REPEAT, repeat);
                    message.truncate(HEADER_BYTES + commands * COMMAND);
                    fit(message);
                }
            })
        },
    ),
    Mutant::source(
        "result-cut-short-taken",
        "CTL-11",
        "It takes a REGISTER_RESULT that is not whole results.",
        || {
            receives(|message, _| {
                if is(message, Kind::RegisterResult) && !payload(message).len().is_multiple_of(16) {
                    message.resize(HEADER_BYTES + 16, 0);
                    fit(message);
                    made_up_result(message);
                }
            })
        },
    ),
    Mutant::source(
        "ram-blocks-cut-short-taken",
        "BLK-2",
        "It takes a RAM_BLOCKS_RESULT that is not whole RAM blocks.",
        || {
            receives(|message, desk| {
                if is(message, Kind::RamBlocksResult) && !payload(message).len().is_multiple_of(32)
                {
                    as_many_blocks(message, desk);
                }
            })
        },
    ),
    Mutant::source(
        "number-of-ram-blocks-unchecked",
        "BLK-13",
        "It does not compare the number of RAM blocks with its own.",
        || {
            receives(|message, desk| {
                if is(message, Kind::RamBlocksResult) && payload(message).len().is_multiple_of(32) {
                    as_many_blocks(message, desk);
                }
            })
        },
    ),
    Mutant::source(
        "length-of-ram-blocks-unchecked",
        "BLK-14",
        "It does not compare the lengths of the RAM blocks with its own.",
        || {
            receives(|message, desk| {
                if is(message, Kind::RamBlocksResult) {
                    own_lengths(message, desk);
                }
            })
        },
    ),
    Mutant::source(
        "ram-blocks-may-wrap-around",
        "BLK-15",
        "It does not look whether a RAM block ends below 2^64.",
        || {
            receives(|message, _| {
                if is(message, Kind::RamBlocksResult) {
                    for at in places(message, 32) {
                        let length = get_u64(message, at + 16);
                        unwrap_around(message, at, length);
                        unwrap_around(message, at + 8, length);
                    }
                }
            })
        },
    ),
    Mutant::source(
        "pinned-block-without-key-taken",
        "BLK-18",
        "It writes with key 0 where a pinned RAM block has it.",
        || {
            receives(|message, desk| {
                if is(message, Kind::RamBlocksResult) && desk.pin_all() {
                    for at in places(message, 32) {
                        key_unless_zero(message, at + 24);
                    }
                }
            })
        },
    ),
    Mutant::destination(
        "second-blocks-request-answered",
        "BLK-12",
        "It answers RAM_BLOCKS_REQUEST as often as it comes.",
        || {
            answer_by_itself(|message, desk| {
                let again = is(message, Kind::RamBlocksRequest) && !desk.blocks().is_empty();
                again.then(|| compose(Kind::RamBlocksResult, 1, &descriptors(desk.blocks())))
            })
        },
    ),
    Mutant::destination(
        "block-of-request-unchecked",
        "REG-11",
        "It takes the last RAM block where a register request names none that exists.",
        || each_received(Kind::RegisterRequest, |entry, desk| existing_block(entry, 8, desk)),
    ),
    Mutant::destination(
        "block-of-zero-run-unchecked",
        "REG-11",
        "It takes the last RAM block where COMPRESS names none that exists.",
        || each_received(Kind::Compress, |entry, desk| existing_block(entry, 4, desk)),
    ),
    Mutant::destination(
        "block-of-unregister-request-unchecked",
        "REG-11",
        "It says that it has given back a chunk of a RAM block that does not exist.",
        || {
            unregistered_by_itself(|entry, desk| {
                desk.block(get_u32(entry, 8)).is_none() && !desk.blocks().is_empty()
            })
        },
    ),
    Mutant::destination(
        "address-of-request-unchecked",
        "REG-12",
        "It takes the nearest byte of the RAM block for an address outside it.",
        || {
            each_received(Kind::RegisterRequest, |entry, desk| {
                let Some(block) = desk.block(get_u32(entry, 8)) else { return };
                let last = block.offset.saturating_add(block.length - 1);
                let address = get_u64(entry, 0);
                if address < block.offset || address > last {
                    put_u64(entry, 0, address.clamp(block.offset, last));
                    put_u64(entry, 16, 0);
                }
            })
        },
    ),
    Mutant::destination(
        "chunks-of-request-unchecked",
        "REG-13",
        "It registers to the end of the RAM block where more chunks are asked for.",
        || {
            each_received(Kind::RegisterRequest, |entry, desk| {
                let Some(block) = desk.block(get_u32(entry, 8)) else { return };
                let place = get_u64(entry, 0).wrapping_sub(block.offset);
                if place < block.length {
                    let behind = (block.length - 1) / CHUNK - place / CHUNK;
                    put_u64(entry, 16, get_u64(entry, 16).min(behind));
                }
            })
        },
    ),
    Mutant::destination(
        "request-with-pinned-memory-answered",
        "REG-20",
        "It answers a REGISTER_REQUEST with the key of the RAM block where all RAM is pinned.",
        || {
            answer_by_itself(|message, desk| {
                let pinned = is(message, Kind::RegisterRequest) && desk.pin_all();
                (pinned && !desk.blocks().is_empty()).then(|| {
                    let places = places(message, COMMAND);
                    let blocks = places
                        .iter()
                        .filter_map(|at| desk.block(get_u32(message, at + 8)).or(desk.block(0)));
                    let results: Vec<_> = blocks.flat_map(result).collect();
                    compose(Kind::RegisterResult, get_u32(message, REPEAT), &results)
                })
            })
        },
    ),
    Mutant::destination(
        "span-partly-registered-taken",
        "REG-21",
        "It looks at the first chunk of a span only, and registers it anew where that has no region.",
        || {
            each_received(Kind::RegisterRequest, |entry, desk| {
                if let Some(chunk) = fitting_chunk(entry, desk) {
                    let offset = desk.block(get_u32(entry, 8)).map_or(0, |block| block.offset);
                    put_u64(entry, 0, offset.wrapping_add(chunk * CHUNK));
                    put_u64(entry, 16, 0);
                }
            })
        },
    ),
    Mutant::destination(
        "ram-commands-before-the-exchange-ignored",
        "REG-22",
        "It does nothing for commands on RAM before the exchange, and goes on.",
        || {
            pass_over(|message, desk| {
                let unregister = is(message, Kind::UnregisterRequest);
                is_counted(message) && !unregister && desk.blocks().is_empty()
            })
        },
    ),
    Mutant::destination(
        "unregistered-chunk-given-back",
        "REG-31",
        "It says UNREGISTER_FINISHED for a chunk that has no region.",
        || {
            unregistered_by_itself(|entry, desk| {
                let (chunk, block) = (get_u64(entry, 0), get_u32(entry, 8));
                let starts = |region: &Region| {
                    region.block == block && region.offset == chunk.saturating_mul(CHUNK)
                };
                desk.block(block).is_some() && !desk.pin_all() && !desk.regions().iter().any(starts)
            })
        },
    ),
    Mutant::destination(
        "pinned-memory-given-back",
        "REG-35",
        "It says UNREGISTER_FINISHED where all RAM is pinned.",
        || unregistered_by_itself(|_, desk| desk.pin_all()),
    ),
    Mutant::source("key-0-taken", "REG-19", "It takes a register result whose key is 0.", || {
        receives(|message, _| {
            if is(message, Kind::RegisterResult) {
                for at in places(message, 16) {
                    key_unless_zero(message, at);
                }
            }
        })
    }),
    Mutant::source(
        "host-address-may-wrap-around",
        "REG-23",
        "It does not look whether the host address of a result lets the RAM block wrap around.",
        || {
            receives(|message, desk| {
                if is(message, Kind::RegisterResult) {
                    let longest = desk.own_lengths().iter().copied().max().unwrap_or_default();
                    for at in places(message, 16) {
                        unwrap_around(message, at + 8, longest);
                    }
                }
            })
        },
    ),
    Mutant::source(
        "more-results-than-requests-taken",
        "REG-24",
        "It takes the first result and does not care how many there are.",
        || {
            receives(|message, _| {
                if is(message, Kind::RegisterResult) && payload(message).len() > 16 {
                    message.truncate(HEADER_BYTES + 16);
                    put_u32(message, REPEAT, 1);
                    fit(message);
                }
            })
        },
    ),
    Mutant::destination(
        "fill-byte-unchecked",
        "ZERO-12",
        "It takes every fill byte for 0.",
        || each_received(Kind::Compress, |entry, _| put_u32(entry, 0, 0)),
    ),
    Mutant::destination(
        "end-of-zero-run-unchecked",
        "ZERO-13",
        "It fills to the end of the RAM block where a run goes further.",
        || {
            each_received(Kind::Compress, |entry, desk| {
                let Some(block) = desk.block(get_u32(entry, 4)) else { return };
                let place = get_u64(entry, 8).wrapping_sub(block.offset);
                if place < block.length {
                    put_u64(entry, 16, get_u64(entry, 16).min(block.length - place));
                }
            })
        },
    ),
    Mutant::destination(
        "start-of-zero-run-unchecked",
        "ZERO-13",
        "It does nothing for a run that starts outside its RAM block.",
        || {
            pass_over(|message, desk| {
                is(message, Kind::Compress)
                    && places(message, COMMAND).iter().any(|at| {
                        desk.block(get_u32(message, at + 4)).is_some_and(|block| {
                            get_u64(message, at + 8).wrapping_sub(block.offset) >= block.length
                        })
                    })
            })
        },
    ),
    Mutant::destination(
        "empty-zero-run-taken",
        "ZERO-13",
        "It does nothing for a run of no bytes.",
        || {
            pass_over(|message, desk| {
                let empty = |at: &usize| get_u64(message, at + 16) == 0;
                is(message, Kind::Compress)
                    && !desk.blocks().is_empty()
                    && places(message, COMMAND).iter().any(empty)
            })
        },
    ),
    Mutant::destination(
        "replies-passed-over",
        "CTL-32",
        "It says READY again after a message that only a destination sends.",
        || {
            pass_over(|message, _| {
                let destinations = [
                    Kind::None,
                    Kind::Ready,
                    Kind::RamBlocksResult,
                    Kind::RegisterResult,
                    Kind::UnregisterFinished,
                ];
                is_any(message, &destinations)
            })
        },
    ),
];

fn types() -> u32 {
    u32::try_from(Kind::ALL.len()).unwrap_or(u32::MAX)
}

fn complete_header(message: &mut Vec<u8>) {
    if message.len() < HEADER_BYTES {
        message.resize(HEADER_BYTES, 0);
    }
}

fn cap_length(message: &mut [u8]) {
    let most = u32::try_from(PAYLOAD_BYTES_MAX).unwrap_or(u32::MAX);
    if message.len() >= HEADER_BYTES && get_u32(message, LENGTH) > most {
        fit(message);
    }
}

fn correct_length(message: &mut [u8]) {
    let most = u32::try_from(PAYLOAD_BYTES_MAX).unwrap_or(u32::MAX);
    if message.len() >= HEADER_BYTES && get_u32(message, LENGTH) <= most {
        fit(message);
    }
}

fn strip_payload(message: &mut Vec<u8>) {
    if is_any(message, NO_PAYLOAD) {
        message.truncate(HEADER_BYTES);
        fit(message);
    }
}

/// Changes each command of the messages of a kind that are received.
fn each_received(kind: Kind, change: fn(&mut [u8], &Desk<'_, '_>)) -> Box<dyn Mutation> {
    receives(move |message, desk| {
        if is(message, kind) {
            for at in places(message, COMMAND) {
                if let Some(entry) = message.get_mut(at..at + COMMAND) {
                    change(entry, desk);
                }
            }
        }
    })
}

/// Answers some commands itself, with a reply and READY, and tells the machine nothing of them.
fn answer_by_itself(
    reply: impl Fn(&[u8], &Desk<'_, '_>) -> Option<Vec<u8>> + 'static,
) -> Box<dyn Mutation> {
    arrivals(move |arrival, desk| {
        let Arrival::Message(message) = &arrival else { return desk.deliver(arrival) };
        let Some(reply) = reply(message, desk) else { return desk.deliver(arrival) };
        desk.post_one();
        desk.say_bytes(reply);
        desk.say(&Message::Ready);
    })
}

/// Says READY after some messages, and tells the machine nothing of them.
fn pass_over(which: impl Fn(&[u8], &Desk<'_, '_>) -> bool + 'static) -> Box<dyn Mutation> {
    arrivals(move |arrival, desk| match &arrival {
        Arrival::Message(message) if which(message, desk) => {
            desk.post_one();
            desk.say(&Message::Ready);
        }
        _ => desk.deliver(arrival),
    })
}

/// Answers UNREGISTER_REQUEST with no more than words, where some command of it is such a one.
fn unregistered_by_itself(which: fn(&[u8], &Desk<'_, '_>) -> bool) -> Box<dyn Mutation> {
    answer_by_itself(move |message, desk| {
        let found = is(message, Kind::UnregisterRequest)
            && payload(message).chunks_exact(COMMAND).any(|entry| which(entry, desk));
        found.then(|| compose(Kind::UnregisterFinished, get_u32(message, REPEAT), &[]))
    })
}

/// Names the last RAM block, and its first byte, where there is none of that number.
fn existing_block(entry: &mut [u8], at: usize, desk: &Desk<'_, '_>) {
    let blocks = u32::try_from(desk.blocks().len()).unwrap_or(u32::MAX);
    let Some(last) = blocks.checked_sub(1) else { return };
    let Some(block) = desk.block(last).filter(|_| get_u32(entry, at) > last) else { return };
    put_u32(entry, at, last);
    if at == 8 {
        put_u64(entry, 0, block.offset);
        put_u64(entry, 16, 0);
    } else {
        put_u64(entry, 8, block.offset);
        put_u64(entry, 16, block.length.min(get_u64(entry, 16)));
    }
}

/// The first chunk of a request of which a part has a region and a part has not.
fn fitting_chunk(request: &[u8], desk: &Desk<'_, '_>) -> Option<u64> {
    let index = get_u32(request, 8);
    let block = desk.block(index)?;
    let first = get_u64(request, 0).checked_sub(block.offset)? / CHUNK;
    let last = first.checked_add(get_u64(request, 16))?;
    let mut covers = desk.regions().iter().filter(|region| {
        let begins = region.offset / CHUNK;
        let ends = (region.offset + region.length - 1) / CHUNK;
        region.block == index && begins <= last && ends >= first
    });
    let region = covers.next()?;
    let begins = region.offset / CHUNK;
    let ends = (region.offset + region.length - 1) / CHUNK;
    (begins > first || ends < last).then_some(first)
}

fn descriptors(blocks: &[Block]) -> Vec<u8> {
    let entry = |block: &Block| {
        let mut entry = [0; 32];
        put_u64(&mut entry, 0, block.address);
        put_u64(&mut entry, 8, block.offset);
        put_u64(&mut entry, 16, block.length);
        put_u32(&mut entry, 24, block.rkey);
        entry
    };
    blocks.iter().flat_map(entry).collect()
}

fn result(block: Block) -> [u8; 16] {
    let mut entry = [0; 16];
    put_u32(&mut entry, 0, block.rkey);
    put_u64(&mut entry, 8, block.address);
    entry
}

/// Makes a list of RAM blocks as long as the source's own: it drops those that are too many and makes
/// up those that are missing.
fn as_many_blocks(message: &mut Vec<u8>, desk: &Desk<'_, '_>) {
    let own = desk.own_lengths();
    message.resize(HEADER_BYTES + own.len() * 32, 0);
    fit(message);
    put_u32(message, TYPE, Kind::RamBlocksResult.number());
    for (at, length) in places(message, 32).into_iter().zip(own) {
        if get_u64(message, at + 16) == 0 {
            put_u64(message, at + 16, *length);
        }
    }
}

fn own_lengths(message: &mut [u8], desk: &Desk<'_, '_>) {
    for (at, length) in places(message, 32).into_iter().zip(desk.own_lengths()) {
        put_u64(message, at + 16, *length);
    }
}

/// Moves an address down if a block of this length would wrap around from there.
fn unwrap_around(message: &mut [u8], at: usize, length: u64) {
    if get_u64(message, at).checked_add(length).is_none() {
        put_u64(message, at, CHUNK);
    }
}

fn key_unless_zero(message: &mut [u8], at: usize) {
    if get_u32(message, at) == 0 {
        put_u32(message, at, MADE_UP);
    }
}

fn made_up_result(message: &mut [u8]) {
    key_unless_zero(message, HEADER_BYTES);
}
