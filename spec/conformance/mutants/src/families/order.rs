//! Bugs in who says what when: READY, replies, receives, rounds.

use core::time::Duration;
use std::collections::VecDeque;

use rdma_migration_protocol::time::Instant;
use rdma_migration_protocol::transport::Operation;
use rdma_migration_protocol::wire::{Kind, Message};

use crate::desk::Desk;
use crate::message::{COMMAND, compose, is, is_any, is_command, is_reply, put_u32, put_u64};
use crate::mutation::{Arrival, Mutant, Mutation, Order, arrivals, orders};

pub(super) const MUTANTS: &[Mutant] = &[
    Mutant::destination(
        "ready-before-reply",
        "CTL-22",
        "It says READY for the next command before it sends the reply to this one.",
        || ready_before_reply(),
    ),
    Mutant::destination(
        "two-readys",
        "CTL-21",
        "It says READY twice when it is connected.",
        || ready(|number, _| number == 1, 2),
    ),
    Mutant::destination(
        "two-readys-after-a-round",
        "CTL-21",
        "It says READY twice after REGISTER_FINISHED.",
        || ready(|_, after| after == Some(Kind::RegisterFinished), 2),
    ),
    Mutant::destination(
        "first-ready-omitted",
        "CTL-33",
        "It waits for the first command without a READY.",
        || ready(|number, _| number == 1, 0),
    ),
    Mutant::destination(
        "ready-omitted",
        "CTL-33",
        "It says no READY after a command that has a reply.",
        || ready(|_, after| after == Some(Kind::RegisterRequest), 0),
    ),
    Mutant::destination(
        "ready-omitted-after-a-zero-run",
        "CTL-33",
        "It says no READY after COMPRESS.",
        || ready(|_, after| after == Some(Kind::Compress), 0),
    ),
    Mutant::destination(
        "ready-omitted-after-a-round",
        "CTL-33",
        "It says no READY after REGISTER_FINISHED.",
        || ready(|_, after| after == Some(Kind::RegisterFinished), 0),
    ),
    Mutant::destination(
        "commands-without-ready-queued",
        "CTL-23",
        "It keeps a command that comes too early until its turn has come.",
        || Box::new(EarlyCommands::default()),
    ),
    Mutant::source(
        "first-command-without-ready",
        "CTL-20",
        "It sends its first command as soon as it is connected.",
        || {
            let mut due = true;
            arrivals(move |arrival, desk| match &arrival {
                Arrival::Established(_) => {
                    desk.deliver(arrival);
                    desk.pretend_message(&Message::Ready);
                }
                Arrival::Message(message) if due && is(message, Kind::Ready) => {
                    due = false;
                    desk.post_one();
                }
                _ => desk.deliver(arrival),
            })
        },
    ),
    Mutant::source(
        "two-commands-for-one-ready",
        "CTL-20",
        "It sends its second command without waiting for another READY.",
        || Box::new(TwoCommands::default()),
    ),
    Mutant::source(
        "ready-before-reply-taken",
        "CTL-24",
        "It takes READY and the reply in either order.",
        || Box::new(EitherOrder::default()),
    ),
    Mutant::source(
        "second-ready-ignored",
        "CTL-25",
        "It ignores a READY while it holds an earlier one.",
        || Box::new(SecondReady::default()),
    ),
    Mutant::source(
        "any-reply-taken",
        "CTL-26",
        "It takes whatever comes for the reply that is due.",
        || Box::new(AnyReply::default()),
    ),
    Mutant::source(
        "error-taken-for-ready",
        "CTL-31",
        "It takes ERROR for READY, as QEMU does in one case.",
        || {
            arrivals(|arrival, desk| match &arrival {
                Arrival::Message(message) if is(message, Kind::Error) => {
                    desk.deliver(Arrival::Message(compose(Kind::Ready, 1, &[])));
                }
                _ => desk.deliver(arrival),
            })
        },
    ),
    Mutant::destination("error-passed-over", "CTL-31", "It says READY again after ERROR.", || {
        arrivals(|arrival, desk| match &arrival {
            Arrival::Message(message) if is(message, Kind::Error) => {
                desk.post_one();
                desk.say(&Message::Ready);
            }
            _ => desk.deliver(arrival),
        })
    }),
    Mutant::source(
        "no-receive-for-error-at-source",
        "CTL-28",
        "It posts two receives, for the reply and READY.",
        || fewer_receives(1),
    ),
    Mutant::destination(
        "no-receive-for-error-at-destination",
        "CTL-28",
        "It posts one receive, for the command.",
        || fewer_receives(2),
    ),
    Mutant::destination(
        "ready-before-receive",
        "CTL-29",
        "It has one receive, and posts it a while after READY.",
        || Box::new(LateReceive { most: 1, ..LateReceive::default() }),
    ),
    Mutant::source(
        "one-receive-for-reply-and-ready",
        "CTL-30",
        "It posts one receive, and posts it again when it has used what came.",
        || fewer_receives(2),
    ),
    Mutant::source(
        "blocks-asked-for-twice",
        "BLK-10",
        "It sends RAM_BLOCKS_REQUEST again before it ends the first round.",
        || before(Kind::RegisterFinished, 1, || compose(Kind::RamBlocksRequest, 1, &[])),
    ),
    Mutant::source(
        "round-not-finished",
        "RND-1",
        "It goes on with the stream after the RAM of a round, without REGISTER_FINISHED.",
        || finish_omitted(),
    ),
    Mutant::source(
        "finished-before-the-last-write",
        "WRITE-2",
        "It posts the last write of a round behind REGISTER_FINISHED.",
        || Box::new(LateWrite::default()),
    ),
    Mutant::source(
        "finished-without-the-last-write",
        "WRITE-2",
        "It loses the last run of a batch.",
        || {
            orders(|order, desk| match order.operation {
                Operation::WriteRam(write) if write.signaled => desk.skip(&order),
                _ => desk.issue(order),
            })
        },
    ),
    Mutant::source(
        "last-write-without-completion",
        "WRITE-3",
        "It asks for no completion of the last write before it waits for it.",
        || {
            orders(|mut order, desk| {
                if let Operation::WriteRam(write) = &mut order.operation {
                    write.signaled = false;
                }
                desk.issue(order);
            })
        },
    ),
    Mutant::source(
        "stream-inside-a-round",
        "STR-3",
        "It sends a word of the stream in the middle of a round, as QEMU 8.1.0 does.",
        || before(Kind::RegisterRequest, 1, || compose(Kind::QemuFile, 1, &[0; 8])),
    ),
    Mutant::source(
        "empty-stream-message",
        "STR-1",
        "It flushes its stream before each round even where there is nothing in it.",
        || before(Kind::RegisterFinished, 1, || compose(Kind::QemuFile, 1, &[])),
    ),
    Mutant::source(
        "zero-run-of-a-registered-chunk",
        "ZERO-10",
        "It says of a page of a registered chunk that it is zero.",
        || {
            before(Kind::RegisterFinished, 3, || {
                let mut run = [0; COMMAND];
                put_u32(&mut run, 4, 0);
                put_u64(&mut run, 16, 4096);
                compose(Kind::Compress, 1, &run)
            })
        },
    ),
];

/// The reply waits until READY has gone.
fn ready_before_reply() -> Box<dyn Mutation> {
    let mut held: Option<Order> = None;
    orders(move |order, desk| {
        if is_reply(&order.message) {
            held = Some(order);
            return;
        }
        desk.issue(order);
        if let Some(reply) = held.take() {
            desk.issue(reply);
        }
    })
}

/// Says READY another number of times, where it has this number or comes after this command.
fn ready(which: fn(usize, Option<Kind>) -> bool, times: usize) -> Box<dyn Mutation> {
    struct Ready {
        which: fn(usize, Option<Kind>) -> bool,
        times: usize,
        readys: usize,
        after: Option<Kind>,
    }
    impl Mutation for Ready {
        fn order(&mut self, order: Order, desk: &mut Desk<'_, '_>) {
            if !is(&order.message, Kind::Ready) {
                return desk.issue(order);
            }
            self.readys += 1;
            if !(self.which)(self.readys, self.after.take()) {
                return desk.issue(order);
            }
            match self.times.checked_sub(1) {
                None => desk.skip(&order),
                Some(further) => {
                    desk.issue(order);
                    for _ in 0..further {
                        desk.say(&Message::Ready);
                    }
                }
            }
        }

        fn arrival(&mut self, arrival: Arrival, desk: &mut Desk<'_, '_>) {
            if let Arrival::Message(message) = &arrival {
                let mut kinds = Kind::ALL.into_iter();
                self.after = kinds.find(|kind| is(message, *kind));
            }
            desk.deliver(arrival);
        }
    }
    Box::new(Ready { which, times, readys: 0, after: None })
}

/// Commands that come without READY wait for it.
#[derive(Default)]
struct EarlyCommands {
    ready: bool,
    early: VecDeque<Arrival>,
}

impl Mutation for EarlyCommands {
    fn order(&mut self, order: Order, desk: &mut Desk<'_, '_>) {
        let ready = is(&order.message, Kind::Ready);
        desk.issue(order);
        if ready {
            self.ready = true;
            if let Some(command) = self.early.pop_front() {
                self.ready = false;
                desk.deliver(command);
            }
        }
    }

    fn arrival(&mut self, arrival: Arrival, desk: &mut Desk<'_, '_>) {
        match &arrival {
            Arrival::Message(message) if is_command(message) => {
                if core::mem::take(&mut self.ready) {
                    desk.deliver(arrival);
                } else {
                    self.early.push_back(arrival);
                }
            }
            _ => desk.deliver(arrival),
        }
    }
}

/// The second command goes out with the READY of the first; the READY for it is not missed.
#[derive(Default)]
struct TwoCommands {
    commands: usize,
    swallow: bool,
}

impl Mutation for TwoCommands {
    fn order(&mut self, order: Order, desk: &mut Desk<'_, '_>) {
        self.commands += usize::from(is_command(&order.message));
        let first = self.commands == 1 && is_command(&order.message);
        desk.issue(order);
        if first {
            self.swallow = true;
            desk.pretend_message(&Message::Ready);
        }
    }

    fn arrival(&mut self, arrival: Arrival, desk: &mut Desk<'_, '_>) {
        match &arrival {
            Arrival::Message(message) if self.swallow && is(message, Kind::Ready) => {
                self.swallow = false;
                desk.post_one();
            }
            _ => desk.deliver(arrival),
        }
    }
}

/// Whether a reply is due at a source.
fn asks(message: &[u8]) -> bool {
    is_any(message, &[Kind::RamBlocksRequest, Kind::RegisterRequest, Kind::UnregisterRequest])
}

/// A READY that comes before the reply is put behind it.
#[derive(Default)]
struct EitherOrder {
    due: bool,
    early: Option<Arrival>,
}

impl Mutation for EitherOrder {
    fn order(&mut self, order: Order, desk: &mut Desk<'_, '_>) {
        self.due |= asks(&order.message);
        desk.issue(order);
    }

    fn arrival(&mut self, arrival: Arrival, desk: &mut Desk<'_, '_>) {
        match &arrival {
            Arrival::Message(message) if self.due && is(message, Kind::Ready) => {
                self.early = Some(arrival);
            }
            Arrival::Message(message) if is_reply(message) => {
                self.due = false;
                desk.deliver(arrival);
                if let Some(ready) = self.early.take() {
                    desk.deliver(ready);
                }
            }
            _ => desk.deliver(arrival),
        }
    }
}

/// READY is a flag and no count.
#[derive(Default)]
struct SecondReady {
    held: bool,
}

impl Mutation for SecondReady {
    fn order(&mut self, order: Order, desk: &mut Desk<'_, '_>) {
        if is_command(&order.message) {
            self.held = false;
        }
        desk.issue(order);
    }

    fn arrival(&mut self, arrival: Arrival, desk: &mut Desk<'_, '_>) {
        match &arrival {
            Arrival::Message(message) if is(message, Kind::Ready) => {
                if core::mem::replace(&mut self.held, true) {
                    desk.post_one();
                } else {
                    desk.deliver(arrival);
                }
            }
            _ => desk.deliver(arrival),
        }
    }
}

/// What comes while a reply is due becomes that reply.
#[derive(Default)]
struct AnyReply {
    due: Option<Kind>,
}

impl Mutation for AnyReply {
    fn order(&mut self, order: Order, desk: &mut Desk<'_, '_>) {
        if is(&order.message, Kind::RamBlocksRequest) {
            self.due = Some(Kind::RamBlocksResult);
        } else if is(&order.message, Kind::RegisterRequest) {
            self.due = Some(Kind::RegisterResult);
        } else if is(&order.message, Kind::UnregisterRequest) {
            self.due = Some(Kind::UnregisterFinished);
        }
        desk.issue(order);
    }

    fn arrival(&mut self, arrival: Arrival, desk: &mut Desk<'_, '_>) {
        let Arrival::Message(message) = &arrival else { return desk.deliver(arrival) };
        if is_any(message, &[Kind::Ready, Kind::Error]) {
            return desk.deliver(arrival);
        }
        match self.due.take().filter(|due| !is(message, *due)) {
            Some(due) => {
                let payload = match due {
                    Kind::RamBlocksResult => made_up_blocks(desk),
                    Kind::RegisterResult => made_up_result(desk),
                    _ => Vec::new(),
                };
                desk.deliver(Arrival::Message(compose(due, 1, &payload)));
            }
            None => desk.deliver(arrival),
        }
    }
}

fn made_up_blocks(desk: &Desk<'_, '_>) -> Vec<u8> {
    let entry = |length: &u64| {
        let mut entry = [0; 32];
        put_u64(&mut entry, 0, 1 << 20);
        put_u64(&mut entry, 16, *length);
        put_u32(&mut entry, 24, u32::from(desk.pin_all()));
        entry
    };
    desk.own_lengths().iter().flat_map(entry).collect()
}

fn made_up_result(desk: &Desk<'_, '_>) -> Vec<u8> {
    let mut entry = [0; 16];
    put_u32(&mut entry, 0, 0x00c0_ffee);
    put_u64(&mut entry, 8, desk.block(0).map_or(1 << 20, |block| block.address));
    entry.to_vec()
}

/// Posts so many receives fewer than the machine orders.
fn fewer_receives(fewer: usize) -> Box<dyn Mutation> {
    let mut left = fewer;
    orders(move |order, desk| match order.operation {
        Operation::PostReceive { .. } if left > 0 => {
            left -= 1;
            desk.skip(&order);
        }
        _ => desk.issue(order),
    })
}

/// A receive that is used is posted again some time after READY.
#[derive(Default)]
struct LateReceive {
    most: usize,
    ordered: usize,
    owed: usize,
    due_at: Option<Instant>,
}

impl Mutation for LateReceive {
    fn order(&mut self, order: Order, desk: &mut Desk<'_, '_>) {
        match order.operation {
            Operation::PostReceive { .. } => {
                self.ordered += 1;
                if self.ordered <= self.most {
                    return desk.issue(order);
                }
                // The first orders are for receives that there are not.
                self.owed += usize::from(self.ordered > 3);
                desk.skip(&order);
            }
            Operation::Send { .. } if is(&order.message, Kind::Ready) => {
                let late = Duration::from_millis(20);
                self.due_at = Some(desk.now().after(late));
                desk.wake_after(late);
                desk.issue(order);
            }
            _ => desk.issue(order),
        }
    }

    fn idle(&mut self, desk: &mut Desk<'_, '_>) {
        if self.due_at.is_some_and(|due_at| desk.now() >= due_at) {
            for _ in 0..core::mem::take(&mut self.owed) {
                desk.post_one();
            }
        }
    }
}

/// Sends a further command before the command of a kind that has this number, from 1.
fn before(kind: Kind, number: usize, extra: fn() -> Vec<u8>) -> Box<dyn Mutation> {
    struct Before {
        kind: Kind,
        number: usize,
        extra: fn() -> Vec<u8>,
        seen: usize,
        held: Option<Order>,
    }
    impl Mutation for Before {
        fn order(&mut self, order: Order, desk: &mut Desk<'_, '_>) {
            self.seen += usize::from(is(&order.message, self.kind));
            if is(&order.message, self.kind) && self.seen == self.number {
                self.held = Some(order);
                desk.say_bytes((self.extra)());
            } else {
                desk.issue(order);
            }
        }

        fn arrival(&mut self, arrival: Arrival, desk: &mut Desk<'_, '_>) {
            match &arrival {
                Arrival::Message(message) if self.held.is_some() && is_reply(message) => {
                    desk.post_one();
                }
                Arrival::Message(message) if is(message, Kind::Ready) => match self.held.take() {
                    Some(held) => {
                        desk.post_one();
                        desk.issue(held);
                    }
                    None => desk.deliver(arrival),
                },
                _ => desk.deliver(arrival),
            }
        }
    }
    Box::new(Before { kind, number, extra, seen: 0, held: None })
}

fn finish_omitted() -> Box<dyn Mutation> {
    let mut rounds = 0;
    orders(move |order, desk| {
        if is(&order.message, Kind::RegisterFinished) {
            rounds += 1;
            if rounds == 2 {
                desk.skip(&order);
                return desk.pretend_message(&Message::Ready);
            }
        }
        desk.issue(order);
    })
}

/// The last write of a batch waits until REGISTER_FINISHED has gone.
#[derive(Default)]
struct LateWrite {
    held: Option<Order>,
}

impl Mutation for LateWrite {
    fn order(&mut self, order: Order, desk: &mut Desk<'_, '_>) {
        match order.operation {
            Operation::WriteRam(write) if write.signaled => {
                if let Some(earlier) = self.held.take() {
                    desk.issue(earlier);
                }
                desk.skip(&order);
                let unsignaled = Operation::WriteRam(unsignaled(write));
                self.held = Some(Order::bare(unsignaled));
            }
            Operation::Send { .. } if is(&order.message, Kind::RegisterFinished) => {
                desk.issue(order);
                if let Some(late) = self.held.take() {
                    desk.issue(late);
                }
            }
            _ => desk.issue(order),
        }
    }
}

const fn unsignaled(
    write: rdma_migration_protocol::transport::WriteRam,
) -> rdma_migration_protocol::transport::WriteRam {
    rdma_migration_protocol::transport::WriteRam { signaled: false, ..write }
}
