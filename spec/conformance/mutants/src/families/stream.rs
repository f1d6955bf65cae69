//! Bugs with the stream: how it is cut into messages, and how the list of RAM blocks is read.

use rdma_migration_protocol::limits::{RAM_BLOCKS_MAX, STREAM_REQUESTS_MAX};
use rdma_migration_protocol::stream::words::{HOOK, MAGIC, VERSION};
use rdma_migration_protocol::wire::{Kind, Message};

use crate::desk::Desk;
use crate::message::{compose, get_u32, get_u64, is, is_command, payload, put, put_u32};
use crate::mutation::{Arrival, Mutant, Mutation, Order, sends};
use crate::ram_list::{self, Entry};

/// Stream bytes that the machine is given in one message.
const PIECE: usize = 32 * 1024;

const CONFIGURATION: u8 = 0x07;
const SUBSECTION: u8 = 0x05;
const COMMAND: u8 = 0x08;
const CAPABILITIES: &[u8] = b"configuration/capabilities";

pub(super) const MUTANTS: &[Mutant] = &[
    Mutant::source(
        "stream-message-of-64-kib",
        "STR-1",
        "It puts up to 64 KiB of the stream into a message.",
        || Box::new(LongMessages::default()),
    ),
    Mutant::source(
        "hook-word-behind-the-round",
        "STR-2",
        "It flushes its stream without the last word, which travels with the next bytes.",
        || {
            let mut kept = Vec::new();
            sends(move |message| {
                if is(message, Kind::QemuFile) {
                    let mut stream = core::mem::take(&mut kept);
                    stream.extend_from_slice(payload(message));
                    if let Some(hook_at) = stream.len().checked_sub(8).filter(|at| *at > 0)
                        && get_u64(&stream, hook_at) == HOOK
                    {
                        kept = stream.split_off(hook_at);
                    }
                    *message = compose(Kind::QemuFile, 1, &stream);
                }
            })
        },
    ),
    Mutant::destination(
        "magic-word-unchecked",
        "STR-20",
        "It does not look at magic word and version of the stream.",
        || {
            reads(|stream| {
                put_u32(stream, 0, MAGIC);
                put_u32(stream, 4, VERSION);
            })
        },
    ),
    Mutant::destination(
        "hook-word-unchecked",
        "STR-21",
        "It takes RAM_BLOCKS_REQUEST wherever the stream stands.",
        || {
            reads(|stream| {
                let last = stream.len().checked_sub(8).map(|at| get_u64(stream, at));
                if last != Some(HOOK) {
                    end_with_hook(stream);
                }
            })
        },
    ),
    Mutant::destination(
        "first-ram-section-taken",
        "STR-22",
        "It takes the list from the first RAM section of the stream.",
        || {
            reads(|stream| {
                let last = ram_list::total_at(stream);
                let front = last.and_then(|last| stream.get(..last - 1));
                if front.is_some_and(|front| ram_list::total_at(front).is_some())
                    && let Some(last) = last
                {
                    put(stream, last - 12, b"\x03rom");
                }
            })
        },
    ),
    Mutant::destination(
        "empty-name-taken",
        "STR-23",
        "It takes a RAM block without a name.",
        || {
            lists(|entries| {
                for (index, entry) in entries.iter_mut().enumerate() {
                    if entry.name.is_empty() {
                        entry.name = format!("unnamed {index}").into_bytes();
                    }
                }
            })
        },
    ),
    Mutant::destination(
        "empty-ram-block-taken",
        "STR-24",
        "It takes a RAM block of no bytes for one of a page.",
        || {
            lists(|entries| {
                for entry in entries.iter_mut().filter(|entry| entry.length == 0) {
                    entry.length = 4096;
                }
            })
        },
    ),
    Mutant::destination(
        "total-of-ram-unchecked",
        "STR-25",
        "It goes by the lengths of the RAM blocks, and does not look at their total.",
        || lists(|_| {}),
    ),
    Mutant::destination(
        "bytes-behind-the-list-ignored",
        "STR-26",
        "It ignores what is between the list and the hook word.",
        || {
            reads(|stream| {
                if let Some(end) = end_by_total(stream).filter(|end| *end + 8 < stream.len()) {
                    stream.truncate(end);
                    stream.extend_from_slice(&HOOK.to_be_bytes());
                }
            })
        },
    ),
    Mutant::destination(
        "ram-block-named-twice-taken",
        "STR-27",
        "It takes a list in which a name is there twice.",
        || {
            lists(|entries| {
                for index in (0..entries.len()).rev() {
                    let (before, from_here) = entries.split_at_mut(index);
                    if let Some(entry) = from_here.first_mut()
                        && before.iter().any(|other| other.name == entry.name)
                    {
                        entry.name.extend_from_slice(b" again");
                    }
                }
            })
        },
    ),
    Mutant::destination(
        "page-sizes-unknown",
        "STR-28",
        "It does not know that a page size can follow a RAM block.",
        || {
            reads(|stream| {
                if ram_list::find(stream)
                    .is_some_and(|list| list.entries.iter().any(|entry| entry.name.is_empty()))
                {
                    stream.clear();
                    stream.extend_from_slice(b"unreadable");
                }
            })
        },
    ),
    Mutant::destination(
        "page-size-unchecked",
        "STR-29",
        "It takes a page size that is not a power of two.",
        || {
            reads(|stream| {
                let Some(mut list) = ram_list::find(stream) else { return };
                let bad = |entry: &Entry| entry.name.is_empty() && !entry.length.is_power_of_two();
                if list.entries.iter().any(bad) {
                    list.entries.retain(|entry| !entry.name.is_empty());
                    ram_list::replace(stream, &list);
                }
            })
        },
    ),
    Mutant::destination(
        "guest-addresses-unknown",
        "STR-30",
        "It does not know that x-ignore-shared adds an address to each RAM block.",
        || reads(|stream| rename(stream, b"x-ignore-shared", b"x-ignore-sharex")),
    ),
    Mutant::destination(
        "commands-of-the-stream-unread",
        "STR-31",
        "It does not see that the source wants a return path or postcopy.",
        || {
            reads(|stream| {
                for at in Head::of(stream).commands {
                    // A switchover is no wish.
                    put(stream, at + 1, &[0, 11]);
                }
            })
        },
    ),
    Mutant::destination(
        "capabilities-of-the-stream-unread",
        "STR-32",
        "It does not look at the capabilities that the configuration names.",
        || reads(|stream| keep_capabilities(stream, 0)),
    ),
    Mutant::destination(
        "second-capability-unread",
        "STR-32",
        "It looks at the first capability that the configuration names.",
        || reads(|stream| keep_capabilities(stream, 1)),
    ),
    Mutant::destination(
        "ram-blocks-unbounded",
        "LIM-3",
        "It takes the first 16383 of more RAM blocks.",
        || {
            reads(|stream| {
                let Some(mut list) = ram_list::find(stream) else { return };
                if list.entries.len() > RAM_BLOCKS_MAX {
                    list.entries.truncate(RAM_BLOCKS_MAX);
                    ram_list::replace(stream, &list);
                }
            })
        },
    ),
    Mutant::destination(
        "capabilities-unbounded",
        "LIM-4",
        "It takes any number of capabilities that it has, and it has all of them.",
        || {
            reads(|stream| {
                if Head::of(stream).capabilities.len() > STREAM_REQUESTS_MAX {
                    keep_capabilities(stream, 0);
                }
            })
        },
    ),
    Mutant::destination(
        "stream-commands-unbounded",
        "LIM-5",
        "It takes any number of commands.",
        || {
            reads(|stream| {
                let commands = Head::of(stream).commands;
                if let (Some(from), Some(last)) =
                    (commands.get(STREAM_REQUESTS_MAX), commands.last())
                {
                    let end = last + command_bytes(stream, *last);
                    stream.drain(*from..end.min(stream.len()));
                }
            })
        },
    ),
];

/// Two messages of the machine become one, as far as the first is full.
#[derive(Default)]
struct LongMessages {
    kept: Vec<u8>,
}

impl Mutation for LongMessages {
    fn order(&mut self, order: Order, desk: &mut Desk<'_, '_>) {
        if !is(&order.message, Kind::QemuFile) {
            return desk.issue(order);
        }
        let full = payload(&order.message).len() == PIECE;
        if full && self.kept.is_empty() {
            self.kept.extend_from_slice(payload(&order.message));
            desk.skip(&order);
            // The READY was not used.
            return desk.pretend_message(&Message::Ready);
        }
        let mut stream = core::mem::take(&mut self.kept);
        stream.extend_from_slice(payload(&order.message));
        desk.issue(Order::send(compose(Kind::QemuFile, 1, &stream)));
    }
}

/// The stream up to the first other command, as the machine reads it.
fn reads(change: impl Fn(&mut Vec<u8>) + 'static) -> Box<dyn Mutation> {
    Box::new(Reads { change, stream: Vec::new(), over: false, unsaid: 0 })
}

/// The list of RAM blocks, as the machine reads it, with a total that fits.
fn lists(change: impl Fn(&mut [Entry]) + 'static) -> Box<dyn Mutation> {
    reads(move |stream| {
        if let Some(mut list) = ram_list::find(stream) {
            change(&mut list.entries);
            ram_list::replace(stream, &list);
        }
    })
}

/// The stream is kept back, and handed over when the RAM blocks are asked for.
struct Reads<F> {
    change: F,
    stream: Vec<u8>,
    over: bool,
    /// READYs of the machine that the peer has had already.
    unsaid: usize,
}

impl<F: Fn(&mut Vec<u8>)> Mutation for Reads<F> {
    fn order(&mut self, order: Order, desk: &mut Desk<'_, '_>) {
        if self.unsaid > 0 && is(&order.message, Kind::Ready) {
            self.unsaid -= 1;
            return desk.skip(&order);
        }
        desk.issue(order);
    }

    fn arrival(&mut self, arrival: Arrival, desk: &mut Desk<'_, '_>) {
        let Arrival::Message(message) = &arrival else { return desk.deliver(arrival) };
        let stream = is(message, Kind::QemuFile) && !payload(message).is_empty();
        if self.over || !is_command(message) {
            return desk.deliver(arrival);
        }
        if stream {
            self.stream.extend_from_slice(payload(message));
            desk.post_one();
            return desk.say(&Message::Ready);
        }
        self.over = true;
        let mut stream = core::mem::take(&mut self.stream);
        (self.change)(&mut stream);
        for piece in stream.chunks(PIECE) {
            self.unsaid += 1;
            desk.deliver(Arrival::Message(compose(Kind::QemuFile, 1, piece)));
        }
        desk.deliver(arrival);
    }
}

/// Lets the stream end with a hook word, in the place of what is behind the list.
fn end_with_hook(stream: &mut Vec<u8>) {
    let Some(end) = end_by_total(stream) else { return };
    stream.truncate(end);
    stream.extend_from_slice(&HOOK.to_be_bytes());
}

/// Where the list ends, by its total; it must be a plain one.
fn end_by_total(stream: &[u8]) -> Option<usize> {
    let total_at = ram_list::total_at(stream)?;
    let mut left = get_u64(stream, total_at).checked_sub(4)?;
    let mut at = total_at + 8;
    while left > 0 {
        at += 1 + usize::from(*stream.get(at)?);
        left = left.checked_sub(get_u64(stream, at)).filter(|rest| *rest < left)?;
        at += 8;
    }
    (at <= stream.len()).then_some(at)
}

fn rename(stream: &mut [u8], from: &[u8], to: &[u8]) {
    while let Some(at) = stream.windows(from.len()).position(|bytes| bytes == from) {
        put(stream, at, to);
    }
}

/// What stands before the first section of a stream.
#[derive(Default)]
struct Head {
    /// Where the number of capabilities is.
    count_at: Option<usize>,
    /// Where each capability begins and ends, with the length of its name.
    capabilities: Vec<(usize, usize)>,
    /// Where each command begins.
    commands: Vec<usize>,
}

impl Head {
    /// Reads as much as it can.
    fn of(stream: &[u8]) -> Self {
        let mut head = Self::default();
        let mut at = 8;
        if stream.get(at) == Some(&CONFIGURATION) {
            at += 5 + bytes(get_u32(stream, at + 1));
            while stream.get(at) == Some(&SUBSECTION) {
                match head.subsection(stream, at) {
                    Some(end) => at = end,
                    None => return head,
                }
            }
        }
        while stream.get(at) == Some(&COMMAND) {
            head.commands.push(at);
            at += command_bytes(stream, at);
        }
        head
    }

    /// Where a subsection ends.
    fn subsection(&mut self, stream: &[u8], at: usize) -> Option<usize> {
        let name_bytes = usize::from(*stream.get(at + 1)?);
        let name = stream.get(at + 2..at + 2 + name_bytes)?;
        let fields_at = at + 2 + name_bytes + 4;
        match name {
            CAPABILITIES => {
                self.count_at = Some(fields_at);
                let mut at = fields_at + 4;
                for _ in 0..get_u32(stream, fields_at) {
                    let end = at + 1 + usize::from(*stream.get(at)?);
                    self.capabilities.push((at, end));
                    at = end;
                }
                Some(at)
            }
            b"configuration/uuid" => Some(fields_at + 16),
            b"configuration/target-page-bits" => Some(fields_at + 4),
            _ => None,
        }
    }
}

fn command_bytes(stream: &[u8], at: usize) -> usize {
    let length = stream.get(at + 3..).and_then(<[u8]>::first_chunk);
    5 + length.map_or(0, |length| usize::from(u16::from_be_bytes(*length)))
}

fn bytes(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// Leaves so many of the capabilities in the stream.
fn keep_capabilities(stream: &mut Vec<u8>, keep: usize) {
    let Head { count_at: Some(count_at), capabilities, .. } = Head::of(stream) else { return };
    if let (Some((from, _)), Some((_, to))) = (capabilities.get(keep), capabilities.last()) {
        put_u32(stream, count_at, u32::try_from(keep).unwrap_or_default());
        stream.drain(*from..*to);
    }
}
