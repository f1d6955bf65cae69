//! Bugs at the end: who tells whom, what is given back and when, who owns the guest.

use core::time::Duration;
use std::collections::VecDeque;

use rdma_migration_protocol::stream::end;
use rdma_migration_protocol::time::Instant;
use rdma_migration_protocol::transport::{Completion, Operation};
use rdma_migration_protocol::wire::{Kind, Message};

use crate::desk::Desk;
use crate::message::{is, is_command, payload};
use crate::mutation::{Arrival, Mutant, Mutation, Order, orders};

pub(super) const MUTANTS: &[Mutant] = &[
    Mutant::source("failure-not-told-by-source", "CON-30", "It fails without ERROR.", silent),
    Mutant::destination(
        "failure-not-told-by-destination",
        "CON-30",
        "It fails without ERROR.",
        silent,
    ),
    Mutant::source("error-answered-by-source", "CON-31", "It answers ERROR with ERROR.", || {
        Box::new(Echo::default())
    }),
    Mutant::destination(
        "error-answered-by-destination",
        "CON-31",
        "It answers ERROR with ERROR.",
        || Box::new(Echo::default()),
    ),
    Mutant::destination(
        "memory-released-before-the-queue-pair",
        "CON-32",
        "It deregisters its memory, and destroys the queue pair a while later.",
        || Box::new(EarlyRelease::default()),
    ),
    Mutant::source("source-keeps-regions", "CON-33", "It deregisters nothing at the end.", keeps),
    Mutant::destination(
        "destination-keeps-regions",
        "CON-33",
        "It deregisters nothing at the end.",
        keeps,
    ),
    Mutant::destination(
        "missing-deregistration",
        "REG-32",
        "It says UNREGISTER_FINISHED and leaves the chunks registered to the end.",
        || Box::new(LateDeregistration::default()),
    ),
    Mutant::destination(
        "guest-runs-before-the-queue-pair-is-gone",
        "RND-4",
        "It lets the guest run, and destroys its queue pair a while later.",
        || Box::new(LateDisconnect::default()),
    ),
    Mutant::source(
        "guest-given-away-before-the-acknowledgement",
        "RND-3",
        "It takes the guest for the destination's when the last message is posted.",
        || Box::new(LastMessage::new(Last::AnsweredAtOnce)),
    ),
    Mutant::source(
        "guest-undecided-too-early",
        "RND-5",
        "It takes the guest for undecided when the last message waits for READY.",
        || Box::new(OneAhead::default()),
    ),
    Mutant::source(
        "guest-undecided-for-ever",
        "RND-8",
        "It does not notice that the last message was acknowledged.",
        || Box::new(LastMessage::new(Last::NeverAnswered)),
    ),
    Mutant::source(
        "leaves-at-once",
        "RND-7",
        "It disconnects as soon as the last message is acknowledged.",
        || Box::new(LastMessage::new(Last::PeerGone)),
    ),
    Mutant::source(
        "end-of-the-connection-is-a-failure",
        "RND-9",
        "It takes the disconnection after the last message for a failure.",
        || Box::new(LastMessage::new(Last::AnsweredAfterTheEnd)),
    ),
    Mutant::destination(
        "last-bytes-dropped",
        "RND-10",
        "It drops the stream bytes that it holds when the connection ends.",
        || Box::new(Dropped::default()),
    ),
    Mutant::destination(
        "end-inside-a-round-taken-for-success",
        "RND-11",
        "It takes the end of the connection inside a round for the end of the migration.",
        || Box::new(TakenForComplete::new(true)),
    ),
    Mutant::destination(
        "guest-runs-when-the-source-leaves",
        "RND-6",
        "It lets the guest run when the connection ends between rounds, whatever has come.",
        || Box::new(TakenForComplete::new(false)),
    ),
    Mutant::destination(
        "stream-without-end-taken",
        "STR-40",
        "It takes a stream for complete that ends before its description.",
        || Box::new(TakenForComplete::new(false)),
    ),
];

fn silent() -> Box<dyn Mutation> {
    orders(
        |order, desk| {
            if is(&order.message, Kind::Error) { desk.skip(&order) } else { desk.issue(order) }
        },
    )
}

fn keeps() -> Box<dyn Mutation> {
    orders(|order, desk| match order.operation {
        Operation::DeregisterMemory { .. } if desk.is_disconnecting() => desk.skip(&order),
        _ => desk.issue(order),
    })
}

/// Something that is done after a while.
struct Later<T> {
    held: VecDeque<T>,
    due_at: Option<Instant>,
}

impl<T> Default for Later<T> {
    fn default() -> Self {
        Self { held: VecDeque::new(), due_at: None }
    }
}

impl<T> Later<T> {
    fn hold(&mut self, what: T, desk: &mut Desk<'_, '_>) {
        let time = Duration::from_millis(20);
        self.held.push_back(what);
        self.due_at.get_or_insert_with(|| desk.now().after(time));
        desk.wake_after(time);
    }

    fn due(&mut self, desk: &Desk<'_, '_>) -> VecDeque<T> {
        match self.due_at.is_some_and(|due_at| desk.now() >= due_at) {
            true => {
                self.due_at = None;
                core::mem::take(&mut self.held)
            }
            false => VecDeque::new(),
        }
    }
}

/// The machine hears of an ERROR after it has been answered.
#[derive(Default)]
struct Echo {
    later: Later<Arrival>,
}

impl Mutation for Echo {
    fn arrival(&mut self, arrival: Arrival, desk: &mut Desk<'_, '_>) {
        match &arrival {
            Arrival::Message(message) if is(message, Kind::Error) => {
                desk.say(&Message::Error);
                self.later.hold(arrival, desk);
            }
            _ => desk.deliver(arrival),
        }
    }

    fn idle(&mut self, desk: &mut Desk<'_, '_>) {
        for arrival in self.later.due(desk) {
            desk.deliver(arrival);
        }
    }
}

/// Regions go first, and the queue pair later.
#[derive(Default)]
struct EarlyRelease {
    later: Later<Order>,
}

impl Mutation for EarlyRelease {
    fn order(&mut self, order: Order, desk: &mut Desk<'_, '_>) {
        match order.operation {
            Operation::Disconnect => {
                let regions: Vec<_> = desk.regions().iter().map(|region| region.id).collect();
                for region in regions {
                    desk.add(Order::bare(Operation::DeregisterMemory { region }));
                    desk.pretend_region(region);
                }
                self.later.hold(order, desk);
            }
            _ => desk.issue(order),
        }
    }

    fn idle(&mut self, desk: &mut Desk<'_, '_>) {
        for order in self.later.due(desk) {
            desk.issue(order);
        }
    }
}

/// What the peer has given back is deregistered when the queue pair is gone.
#[derive(Default)]
struct LateDeregistration {
    held: Vec<Order>,
}

impl Mutation for LateDeregistration {
    fn order(&mut self, order: Order, desk: &mut Desk<'_, '_>) {
        match order.operation {
            Operation::DeregisterMemory { .. } if !desk.is_disconnecting() => {
                desk.skip(&order);
                self.held.push(order);
            }
            _ => desk.issue(order),
        }
    }

    fn arrival(&mut self, arrival: Arrival, desk: &mut Desk<'_, '_>) {
        if let Arrival::Answer(Completion::Disconnected) = arrival {
            for order in self.held.drain(..) {
                desk.add(order);
            }
        }
        desk.deliver(arrival);
    }
}

/// The machine believes that the queue pair is gone before it is.
#[derive(Default)]
struct LateDisconnect {
    later: Later<Order>,
    gone: bool,
}

impl Mutation for LateDisconnect {
    fn order(&mut self, order: Order, desk: &mut Desk<'_, '_>) {
        match order.operation {
            Operation::Disconnect => {
                self.gone = true;
                desk.deliver(Arrival::Answer(Completion::Disconnected));
                self.later.hold(order, desk);
            }
            _ => desk.issue(order),
        }
    }

    fn arrival(&mut self, arrival: Arrival, desk: &mut Desk<'_, '_>) {
        match arrival {
            Arrival::Answer(Completion::MemoryDeregistered { .. }) => desk.deliver(arrival),
            _ if self.gone => {}
            _ => desk.deliver(arrival),
        }
    }

    fn idle(&mut self, desk: &mut Desk<'_, '_>) {
        for order in self.later.due(desk) {
            desk.issue(order);
        }
    }
}

/// What becomes of the acknowledgement of the last message.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Last {
    AnsweredAtOnce,
    NeverAnswered,
    AnsweredAfterTheEnd,
    /// The machine believes that the peer has disconnected.
    PeerGone,
}

struct LastMessage {
    what: Last,
    stream: Vec<u8>,
    posted: bool,
    held: Option<Arrival>,
}

impl LastMessage {
    const fn new(what: Last) -> Self {
        Self { what, stream: Vec::new(), posted: false, held: None }
    }
}

impl Mutation for LastMessage {
    fn order(&mut self, order: Order, desk: &mut Desk<'_, '_>) {
        if is(&order.message, Kind::QemuFile) {
            self.stream.extend_from_slice(payload(&order.message));
            self.posted = end::vm_description(&self.stream).is_some();
        }
        if !self.posted || !is(&order.message, Kind::QemuFile) {
            return desk.issue(order);
        }
        match self.what {
            Last::AnsweredAtOnce => {
                desk.add(order);
                desk.deliver(Arrival::Answer(Completion::Sent));
            }
            Last::NeverAnswered => desk.add(order),
            Last::AnsweredAfterTheEnd | Last::PeerGone => desk.issue(order),
        }
    }

    fn arrival(&mut self, arrival: Arrival, desk: &mut Desk<'_, '_>) {
        let answer = matches!(arrival, Arrival::Answer(Completion::Sent));
        match (self.what, &arrival) {
            (Last::AnsweredAfterTheEnd, Arrival::Answer(_)) if self.posted && answer => {
                self.held = Some(arrival);
            }
            (Last::AnsweredAfterTheEnd, Arrival::Lost) => {
                desk.deliver(arrival);
                if let Some(held) = self.held.take() {
                    desk.deliver(held);
                }
            }
            (Last::PeerGone, Arrival::Answer(_)) if self.posted && answer => {
                desk.deliver(arrival);
                desk.deliver(Arrival::Lost);
            }
            _ => desk.deliver(arrival),
        }
    }
}

/// The machine is told of READY as soon as it has sent stream bytes; what it sends then waits for
/// the READY of the peer.
#[derive(Default)]
struct OneAhead {
    /// The machine holds a READY that has not come.
    ahead: bool,
    held: Option<Order>,
}

impl OneAhead {
    fn go(&mut self, order: Order, desk: &mut Desk<'_, '_>) {
        let stream = is(&order.message, Kind::QemuFile);
        desk.issue(order);
        if stream {
            self.ahead = true;
            desk.pretend_message(&Message::Ready);
        }
    }
}

impl Mutation for OneAhead {
    fn order(&mut self, order: Order, desk: &mut Desk<'_, '_>) {
        if !is_command(&order.message) {
            desk.issue(order);
        } else if self.ahead {
            self.held = Some(order);
        } else {
            self.go(order, desk);
        }
    }

    fn arrival(&mut self, arrival: Arrival, desk: &mut Desk<'_, '_>) {
        let Arrival::Message(message) = &arrival else { return desk.deliver(arrival) };
        if !self.ahead || !is(message, Kind::Ready) {
            return desk.deliver(arrival);
        }
        self.ahead = false;
        desk.post_one();
        if let Some(held) = self.held.take() {
            self.go(held, desk);
        }
    }
}

/// Stream bytes are looked at a while after they have come.
#[derive(Default)]
struct Dropped {
    later: Later<Arrival>,
}

impl Mutation for Dropped {
    fn arrival(&mut self, arrival: Arrival, desk: &mut Desk<'_, '_>) {
        match &arrival {
            Arrival::Message(message) if is(message, Kind::QemuFile) => {
                self.later.hold(arrival, desk);
            }
            Arrival::Lost => {
                self.later.held.clear();
                desk.deliver(arrival);
            }
            _ => desk.deliver(arrival),
        }
    }

    fn idle(&mut self, desk: &mut Desk<'_, '_>) {
        for arrival in self.later.due(desk) {
            desk.deliver(arrival);
        }
    }
}

/// Where the connection ends the machine is shown what it would need to call the stream complete.
struct TakenForComplete {
    inside_rounds: bool,
    ready: bool,
    in_round: bool,
    lost: bool,
}

impl TakenForComplete {
    const fn new(inside_rounds: bool) -> Self {
        Self { inside_rounds, ready: false, in_round: false, lost: false }
    }
}

impl Mutation for TakenForComplete {
    fn order(&mut self, order: Order, desk: &mut Desk<'_, '_>) {
        if is(&order.message, Kind::Ready) {
            self.ready = true;
            if self.lost {
                return desk.skip(&order);
            }
        }
        desk.issue(order);
    }

    fn arrival(&mut self, arrival: Arrival, desk: &mut Desk<'_, '_>) {
        match &arrival {
            Arrival::Message(message) if is_command(message) => {
                self.ready = false;
                let stream = is(message, Kind::QemuFile);
                self.in_round = !stream && !is(message, Kind::RegisterFinished);
            }
            Arrival::Lost => {
                self.lost = true;
                if self.ready && !desk.blocks().is_empty() && self.in_round == self.inside_rounds {
                    if self.in_round {
                        desk.pretend_message(&Message::RegisterFinished);
                    }
                    desk.pretend_message(&Message::QemuFile(b"\0\x06\0\0\0\x02{}"));
                }
            }
            _ => {}
        }
        desk.deliver(arrival);
    }
}
