//! Bugs in the bytes of messages, sent and received.

use rdma_migration_protocol::limits::{COMMANDS_MAX, CONTROL_BUFFER_BYTES, HEADER_BYTES};
use rdma_migration_protocol::transport::{
    Completion, FailedOperation, Operation, ReceiveBuffer, TransportError,
};
use rdma_migration_protocol::wire::Kind;

use crate::message::{
    COMMAND, LENGTH, PADDING, REPEAT, TYPE, change_u64, compose, entries, fit, get_u32, get_u64,
    is, is_counted, is_uncounted, payload, places, put, put_u32, put_u64, reverse,
};
use crate::mutation::{Arrival, Mutant, Mutation, arrivals, orders, receives, sends};

/// What lay on the stack.
const GARBAGE: u32 = 0x7ffc_5a5a;

pub(super) const MUTANTS: &[Mutant] = &[
    Mutant::source(
        "source-length-in-host-order",
        "CTL-1",
        "It writes the length of a message in the order of its own processor.",
        || sends(|message| reverse(message, LENGTH, 4)),
    ),
    Mutant::destination(
        "destination-length-in-host-order",
        "CTL-1",
        "It writes the length of a message in the order of its own processor.",
        || sends(|message| reverse(message, LENGTH, 4)),
    ),
    Mutant::source(
        "source-type-in-host-order",
        "CTL-1",
        "It writes the type of a message in the order of its own processor.",
        || sends(|message| reverse(message, TYPE, 4)),
    ),
    Mutant::destination(
        "destination-type-in-host-order",
        "CTL-1",
        "It writes the type of a message in the order of its own processor.",
        || sends(|message| reverse(message, TYPE, 4)),
    ),
    Mutant::source(
        "source-length-with-header",
        "CTL-1",
        "It counts the header in the length of a message.",
        || sends(|message| length_with_header(message)),
    ),
    Mutant::destination(
        "destination-length-with-header",
        "CTL-1",
        "It counts the header in the length of a message.",
        || sends(|message| length_with_header(message)),
    ),
    Mutant::source(
        "source-padding-from-the-stack",
        "CTL-1",
        "It sends headers whose padding is whatever lay in memory.",
        || sends(|message| put_u32(message, PADDING, GARBAGE)),
    ),
    Mutant::destination(
        "destination-padding-from-the-stack",
        "CTL-1",
        "It sends headers whose padding is whatever lay in memory.",
        || sends(|message| put_u32(message, PADDING, GARBAGE)),
    ),
    Mutant::source(
        "source-repeat-0",
        "CTL-12",
        "It sends `repeat` 0 where it counts nothing.",
        || {
            sends(|message| {
                if is_uncounted(message) {
                    put_u32(message, REPEAT, 0);
                }
            })
        },
    ),
    Mutant::source(
        "stream-repeat-from-the-stack",
        "CTL-12",
        "It sends QEMU_FILE with whatever lay in memory as `repeat`.",
        || {
            sends(|message| {
                if is(message, Kind::QemuFile) {
                    put_u32(message, REPEAT, GARBAGE);
                }
            })
        },
    ),
    Mutant::destination("ready-repeat-0", "CTL-12", "It sends READY with a `repeat` of 0.", || {
        sends(|message| {
            if is(message, Kind::Ready) {
                put_u32(message, REPEAT, 0);
            }
        })
    }),
    Mutant::destination(
        "blocks-counted-in-repeat",
        "CTL-12",
        "It counts the RAM blocks of RAM_BLOCKS_RESULT in `repeat`.",
        || {
            sends(|message| {
                if is(message, Kind::RamBlocksResult) {
                    let blocks = u32::try_from(entries(message, 32).count()).unwrap_or(0);
                    put_u32(message, REPEAT, blocks);
                }
            })
        },
    ),
    Mutant::destination(
        "ram-block-in-two-words",
        "BLK-1",
        "It writes integers of 8 bytes as two of 4, the lower one first.",
        || each_sent(Kind::RamBlocksResult, 32, |entry| swap_words(entry, &[0, 8, 16])),
    ),
    Mutant::destination(
        "ram-block-offset-first",
        "BLK-1",
        "It writes the offset of a RAM block before its address.",
        || {
            each_sent(Kind::RamBlocksResult, 32, |entry| {
                let (address, offset) = (get_u64(entry, 0), get_u64(entry, 8));
                put_u64(entry, 0, offset);
                put_u64(entry, 8, address);
            })
        },
    ),
    Mutant::destination(
        "ram-block-padding-from-the-stack",
        "BLK-1",
        "It sends RAM blocks whose padding is whatever lay in memory.",
        || each_sent(Kind::RamBlocksResult, 32, |entry| put_u32(entry, 28, GARBAGE)),
    ),
    Mutant::source(
        "register-request-block-first",
        "REG-1",
        "It writes block and padding of a register request before the address.",
        || {
            each_sent(Kind::RegisterRequest, COMMAND, |entry| {
                if let Some(words) = entry.get_mut(..16) {
                    words.rotate_left(8);
                }
            })
        },
    ),
    Mutant::source(
        "register-request-in-host-order",
        "REG-1",
        "It writes the address of a register request in the order of its own processor.",
        || each_sent(Kind::RegisterRequest, COMMAND, |entry| reverse(entry, 0, 8)),
    ),
    Mutant::source(
        "register-request-counts-from-one",
        "REG-1",
        "It asks for 1 chunk with `chunks` 1, which means 2.",
        || each_sent(Kind::RegisterRequest, COMMAND, |entry| put_u64(entry, 16, 1)),
    ),
    Mutant::destination(
        "register-request-padding-read",
        "REG-2",
        "It takes block and padding of a register request for one integer.",
        || {
            receives(|message, _| {
                if is(message, Kind::RegisterRequest) {
                    for at in places(message, COMMAND) {
                        if get_u32(message, at + 12) != 0 {
                            put_u32(message, at + 8, u32::MAX);
                        }
                    }
                }
            })
        },
    ),
    Mutant::destination(
        "register-result-address-first",
        "REG-3",
        "It writes the address of a register result before the key.",
        || each_sent(Kind::RegisterResult, 16, |entry| entry.rotate_left(8)),
    ),
    Mutant::destination(
        "register-result-key-in-host-order",
        "REG-3",
        "It writes the key of a register result in the order of its own processor.",
        || each_sent(Kind::RegisterResult, 16, |entry| reverse(entry, 0, 4)),
    ),
    Mutant::source(
        "register-result-padding-read",
        "REG-4",
        "It takes key and padding of a register result for one integer.",
        || {
            receives(|message, _| {
                if is(message, Kind::RegisterResult) {
                    for at in places(message, 16) {
                        if get_u32(message, at + 4) != 0 {
                            put_u32(message, at, 0);
                        }
                    }
                }
            })
        },
    ),
    Mutant::source(
        "ram-block-padding-read",
        "BLK-3",
        "It takes key and padding of a RAM block for one integer.",
        || {
            receives(|message, _| {
                if is(message, Kind::RamBlocksResult) {
                    for at in places(message, 32) {
                        if get_u32(message, at + 28) != 0 {
                            put_u64(message, at + 16, 0);
                        }
                    }
                }
            })
        },
    ),
    Mutant::source(
        "unregister-request-like-a-register-request",
        "REG-5",
        "It gives back the chunk at hand as it asked for it: with `chunks` 1 for one.",
        || each_sent(Kind::UnregisterRequest, COMMAND, |entry| put_u64(entry, 16, 1)),
    ),
    Mutant::source(
        "unregister-request-counts-from-one",
        "REG-5",
        "It counts chunks from 1 in unregister requests.",
        || {
            each_sent(Kind::UnregisterRequest, COMMAND, |entry| {
                change_u64(entry, 0, |chunk| chunk + 1);
            })
        },
    ),
    Mutant::destination(
        "unregister-finished-repeat-1",
        "REG-33",
        "It sends UNREGISTER_FINISHED with a `repeat` of 1.",
        || {
            sends(|message| {
                if is(message, Kind::UnregisterFinished) {
                    put_u32(message, REPEAT, 1);
                }
            })
        },
    ),
    Mutant::destination(
        "first-result-only",
        "REG-16",
        "Of several register requests it answers the first, as QEMU does.",
        || {
            sends(|message| {
                if is(message, Kind::RegisterResult) {
                    message.truncate(HEADER_BYTES + 16);
                    fit(message);
                }
            })
        },
    ),
    Mutant::destination(
        "results-in-reverse",
        "REG-16",
        "It answers several register requests with the last one first.",
        || {
            sends(|message| {
                if is(message, Kind::RegisterResult) {
                    let results: Vec<_> = entries(message, 16).map(<[u8]>::to_vec).collect();
                    for (at, result) in places(message, 16).into_iter().zip(results.iter().rev()) {
                        put(message, at, result);
                    }
                }
            })
        },
    ),
    Mutant::destination(
        "result-repeat-1",
        "REG-16",
        "It sends REGISTER_RESULT with a `repeat` of 1, however many results there are.",
        || {
            sends(|message| {
                if is(message, Kind::RegisterResult) {
                    put_u32(message, REPEAT, 1);
                }
            })
        },
    ),
    Mutant::destination(
        "repeat-ignored",
        "CTL-11",
        "It carries out the first command of a message, whatever `repeat` says.",
        || {
            receives(|message, _| {
                if is_counted(message) && payload(message).len() >= COMMAND {
                    put_u32(message, REPEAT, 1);
                    message.truncate(HEADER_BYTES + COMMAND);
                    fit(message);
                }
            })
        },
    ),
    Mutant::source(
        "register-requests-counted-twice",
        "CTL-11",
        "It sends one command with a `repeat` of 2.",
        || {
            sends(|message| {
                if is_counted(message) {
                    put_u32(message, REPEAT, 2);
                }
            })
        },
    ),
    Mutant::destination(
        "destination-padding-checked",
        "CTL-5",
        "It rejects a header whose padding is not 0.",
        || receives(|message, _| padding_checked(message)),
    ),
    Mutant::source(
        "source-padding-checked",
        "CTL-5",
        "It rejects a header whose padding is not 0.",
        || receives(|message, _| padding_checked(message)),
    ),
    Mutant::destination(
        "destination-repeat-checked-everywhere",
        "CTL-9",
        "It rejects a `repeat` other than 1 where nothing is counted.",
        || receives(|message, _| repeat_checked(message)),
    ),
    Mutant::source(
        "source-repeat-checked-everywhere",
        "CTL-9",
        "It rejects a `repeat` other than 1 where nothing is counted.",
        || receives(|message, _| repeat_checked(message)),
    ),
    Mutant::source(
        "result-without-all-results-rejected",
        "CTL-13",
        "It rejects a REGISTER_RESULT whose `repeat` is not the number of results.",
        || {
            receives(|message, _| {
                let results = u32::try_from(entries(message, 16).count()).unwrap_or(u32::MAX);
                if is(message, Kind::RegisterResult) && get_u32(message, REPEAT) != results {
                    put_u32(message, TYPE, u32::MAX);
                }
            })
        },
    ),
    Mutant::source("too-many-commands", "LIM-2", "It puts 4097 commands into a COMPRESS.", || {
        sends(|message| {
            if is(message, Kind::Compress) {
                let command = payload(message).to_vec();
                *message = compose(
                    Kind::Compress,
                    u32::try_from(COMMANDS_MAX + 1).unwrap_or(u32::MAX),
                    &command.repeat(COMMANDS_MAX + 1),
                );
            }
        })
    }),
    Mutant::source(
        "source-message-too-long",
        "LIM-1",
        "It sends more than fits a message.",
        || too_long(Kind::QemuFile),
    ),
    Mutant::destination(
        "destination-message-too-long",
        "LIM-1",
        "It sends more than fits a message.",
        || too_long(Kind::RamBlocksResult),
    ),
    Mutant::destination(
        "destination-short-receives",
        "LIM-7",
        "It posts receives that have room for 32784 bytes.",
        || short_receives(),
    ),
    Mutant::source(
        "source-short-receives",
        "LIM-7",
        "It posts receives that have room for 100 bytes.",
        || short_receives_of(100),
    ),
];

fn length_with_header(message: &mut [u8]) {
    let length = get_u32(message, LENGTH);
    put_u32(message, LENGTH, length.saturating_add(16));
}

fn padding_checked(message: &mut [u8]) {
    if get_u32(message, PADDING) != 0 {
        put_u32(message, TYPE, u32::MAX);
    }
}

fn repeat_checked(message: &mut [u8]) {
    if is_uncounted(message) && get_u32(message, REPEAT) != 1 {
        put_u32(message, TYPE, u32::MAX);
    }
}

/// Changes each entry of the messages of a kind that are sent.
fn each_sent(kind: Kind, bytes: usize, change: fn(&mut [u8])) -> Box<dyn Mutation> {
    sends(move |message| {
        if is(message, kind) {
            for at in places(message, bytes) {
                if let Some(entry) = message.get_mut(at..at + bytes) {
                    change(entry);
                }
            }
        }
    })
}

fn swap_words(entry: &mut [u8], at: &[usize]) {
    for at in at {
        put_u64(entry, *at, get_u64(entry, *at).rotate_left(32));
    }
}

/// A message with a header that fits, and more behind it than any message may have.
fn too_long(kind: Kind) -> Box<dyn Mutation> {
    orders(move |mut order, desk| {
        if is(&order.message, kind) {
            order.operation = Operation::Send { length: CONTROL_BUFFER_BYTES + 1 };
        }
        desk.issue(order);
    })
}

fn short_receives() -> Box<dyn Mutation> {
    short_receives_of(HEADER_BYTES + 32 * 1024)
}

/// The adapter says of a message that is too long that its receive has failed.
fn short_receives_of(room: usize) -> Box<dyn Mutation> {
    arrivals(move |arrival, desk| match arrival {
        Arrival::Message(bytes) if bytes.len() > room => {
            let operation = FailedOperation::Receive { buffer: ReceiveBuffer(0) };
            let error = TransportError::LocalLength;
            desk.fail(Completion::Failed { operation, error });
        }
        _ => desk.deliver(arrival),
    })
}
