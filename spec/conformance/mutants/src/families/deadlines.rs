//! Waits without an end. For the machine time stands still while it waits.
//!
//! There is none for what the adapters do among themselves: a peer cannot keep its adapter from
//! acknowledging messages and writes, or from completing a connection that it has asked for.

use core::time::Duration;

use rdma_migration_protocol::time::Instant;
use rdma_migration_protocol::transport::Operation;
use rdma_migration_protocol::wire::{Kind, Message};

use crate::desk::Desk;
use crate::message::{is, is_any, is_command, is_reply};
use crate::mutation::{Arrival, Mutant, Mutation, Order};

pub(super) const MUTANTS: &[Mutant] = &[
    Mutant::source(
        "no-deadline-at-the-source",
        "ERR-1",
        "It has no deadline for anything once it is connected.",
        || stands_still(|_| false, connected, |_| false),
    ),
    Mutant::destination(
        "no-deadline-at-the-destination",
        "ERR-1",
        "It has no deadline for anything once it is connected.",
        || stands_still(|_| false, connected, |_| false),
    ),
    Mutant::source(
        "no-deadline-for-the-connection-at-the-source",
        "ERR-1",
        "It waits for the connection for ever.",
        || {
            stands_still(
                |order| matches!(order.operation, Operation::Connect { .. }),
                |_| false,
                connected,
            )
        },
    ),
    Mutant::source("no-deadline-for-ready", "ERR-1", "It waits for READY for ever.", || {
        stands_still(awaits_ready, connected, message)
    }),
    Mutant::source("no-deadline-for-the-reply", "ERR-1", "It waits for replies for ever.", || {
        stands_still(awaits_reply, |_| false, reply)
    }),
    Mutant::destination(
        "no-deadline-for-commands",
        "ERR-1",
        "It waits for the next command for ever.",
        || stands_still(|order| is(&order.message, Kind::Ready), |_| false, message),
    ),
    Mutant::source(
        "reply-asked-for-again",
        "ERR-2",
        "It sends its command again when there is no reply in time, and waits on.",
        || Box::new(Again { wait: Duration::from_secs(60), ..Again::default() }),
    ),
    Mutant::destination(
        "ready-said-again",
        "ERR-2",
        "It says READY again when no command comes in time, and waits on.",
        || Box::new(Again { wait: Duration::from_secs(300), ready: true, ..Again::default() }),
    ),
];

const fn connected(arrival: &Arrival) -> bool {
    matches!(arrival, Arrival::Established(_))
}

const fn message(arrival: &Arrival) -> bool {
    matches!(arrival, Arrival::Message(_))
}

fn reply(arrival: &Arrival) -> bool {
    matches!(arrival, Arrival::Message(message) if is_reply(message))
}

fn awaits_reply(order: &Order) -> bool {
    let asks = [Kind::RamBlocksRequest, Kind::RegisterRequest, Kind::UnregisterRequest];
    is_any(&order.message, &asks)
}

fn awaits_ready(order: &Order) -> bool {
    is_command(&order.message) && !awaits_reply(order)
}

/// The clock stands still from some order or arrival on, until another arrival.
fn stands_still(
    from_order: fn(&Order) -> bool,
    from_arrival: fn(&Arrival) -> bool,
    to: fn(&Arrival) -> bool,
) -> Box<dyn Mutation> {
    struct StandsStill {
        from_order: fn(&Order) -> bool,
        from_arrival: fn(&Arrival) -> bool,
        to: fn(&Arrival) -> bool,
    }
    impl Mutation for StandsStill {
        fn order(&mut self, order: Order, desk: &mut Desk<'_, '_>) {
            if (self.from_order)(&order) {
                desk.stop_clock();
            }
            desk.issue(order);
        }

        fn arrival(&mut self, arrival: Arrival, desk: &mut Desk<'_, '_>) {
            // Where the connection is gone, its end has deadlines as ever.
            if (self.to)(&arrival) {
                desk.start_clock();
            }
            if (self.from_arrival)(&arrival) {
                desk.stop_clock();
            }
            desk.deliver(arrival);
        }
    }
    Box::new(StandsStill { from_order, from_arrival, to })
}

/// A wait that begins anew each time that it has lasted long enough.
#[derive(Default)]
struct Again {
    wait: Duration,
    /// Whether it is about READY, or else about commands that have a reply.
    ready: bool,
    due: Option<(Instant, Vec<u8>)>,
}

impl Mutation for Again {
    fn order(&mut self, order: Order, desk: &mut Desk<'_, '_>) {
        let waits = if self.ready { is(&order.message, Kind::Ready) } else { awaits_reply(&order) };
        if waits {
            desk.stop_clock();
            desk.wake_after(self.wait);
            self.due = Some((desk.now().after(self.wait), order.message.clone()));
        }
        desk.issue(order);
    }

    fn arrival(&mut self, arrival: Arrival, desk: &mut Desk<'_, '_>) {
        if message(&arrival) || matches!(arrival, Arrival::Lost) {
            self.due = None;
            desk.start_clock();
        }
        desk.deliver(arrival);
    }

    fn idle(&mut self, desk: &mut Desk<'_, '_>) {
        if let Some((due_at, again)) = &mut self.due
            && desk.now() >= *due_at
        {
            let again = again.clone();
            *due_at = desk.now().after(self.wait);
            desk.wake_after(self.wait);
            match self.ready {
                true => desk.say(&Message::Ready),
                false => desk.say_bytes(again),
            }
        }
    }
}
