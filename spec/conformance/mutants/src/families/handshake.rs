//! Bugs in what is agreed on when the connection is made.

use core::time::Duration;

use rdma_migration_protocol::limits::PRIVATE_DATA_BYTES;
use rdma_migration_protocol::time::Instant;
use rdma_migration_protocol::transport::Operation;

use crate::desk::Desk;
use crate::message::{change_u32, get_u32, put_u32, reverse};
use crate::mutation::{Arrival, Mutant, Mutation, Order, arrivals, orders};

const VERSION: usize = 0;
const FLAGS: usize = 4;
const PIN_ALL: u32 = 1;

pub(super) const MUTANTS: &[Mutant] = &[
    Mutant::source(
        "offer-in-host-order",
        "CON-1",
        "It writes version and flags of its request in the order of its own processor.",
        || offer(host_order),
    ),
    Mutant::destination(
        "reply-in-host-order",
        "CON-1",
        "It writes version and flags of its reply in the order of its own processor.",
        || reply(|_, reply| host_order(reply)),
    ),
    Mutant::source(
        "offer-of-version-2",
        "CON-10",
        "It offers a version that does not exist.",
        || offer(|offer| put_u32(offer, VERSION, 2)),
    ),
    Mutant::destination(
        "private-data-of-eight-bytes-only",
        "CON-3",
        "It takes a request only if nothing is behind its 8 bytes, not even zeroes.",
        || requests(|request| request.truncate(PRIVATE_DATA_BYTES - 1)),
    ),
    Mutant::source(
        "reply-of-eight-bytes-only",
        "CON-3",
        "It takes a reply only if nothing is behind its 8 bytes, not even zeroes.",
        || replies(|_, reply| reply.truncate(PRIVATE_DATA_BYTES - 1)),
    ),
    Mutant::destination(
        "version-0-accepted",
        "CON-11",
        "It does not look at the version of a request.",
        || {
            requests(|request| {
                if get_u32(request, VERSION) == 0 {
                    put_u32(request, VERSION, 1);
                }
            })
        },
    ),
    Mutant::destination(
        "wrong-version-reply",
        "CON-12",
        "It answers with the version that was requested.",
        || reply(|request, reply| put_u32(reply, VERSION, get_u32(request, VERSION))),
    ),
    Mutant::destination(
        "flags-echoed-unmasked",
        "CON-13",
        "It answers with all flags that were requested, known or not.",
        || reply(|request, reply| put_u32(reply, FLAGS, get_u32(request, FLAGS))),
    ),
    Mutant::destination(
        "pin-all-without-being-asked",
        "CON-13",
        "It answers with PIN_ALL whether or not it was offered.",
        || reply(|_, reply| change_u32(reply, FLAGS, |flags| flags | PIN_ALL)),
    ),
    Mutant::destination("pin-all-declined", "CON-14", "It never grants PIN_ALL.", || {
        requests(|request| change_u32(request, FLAGS, |flags| flags & !PIN_ALL))
    }),
    Mutant::source(
        "pin-all-taken-for-granted",
        "CON-16",
        "It pins all RAM where it has offered to, whatever the reply says.",
        || replies(|offered, reply| put_u32(reply, FLAGS, offered & PIN_ALL)),
    ),
    Mutant::source(
        "reply-of-version-0-accepted",
        "CON-17",
        "It does not look at the version of a reply.",
        || {
            replies(|_, reply| {
                if get_u32(reply, VERSION) == 0 {
                    put_u32(reply, VERSION, 1);
                }
            })
        },
    ),
    Mutant::source(
        "receives-after-connecting",
        "CON-20",
        "It posts its receives a while after the connection is made.",
        || Box::new(LateReceives::default()),
    ),
    Mutant::destination(
        "receives-after-accepting",
        "CON-20",
        "It posts its receives a while after the connection is made.",
        || Box::new(LateReceives::default()),
    ),
];

fn host_order(data: &mut [u8]) {
    reverse(data, VERSION, 4);
    reverse(data, FLAGS, 4);
}

fn offer(change: fn(&mut [u8])) -> Box<dyn Mutation> {
    orders(move |mut order, desk| {
        if let Operation::Connect { private_data } = &mut order.operation {
            change(private_data);
        }
        desk.issue(order);
    })
}

fn requests(change: fn(&mut Vec<u8>)) -> Box<dyn Mutation> {
    arrivals(move |mut arrival, desk| {
        if let Arrival::Requested(request) = &mut arrival {
            change(request);
        }
        desk.deliver(arrival);
    })
}

/// Changes the reply of a destination, in view of the request.
fn reply(change: fn(&[u8], &mut [u8])) -> Box<dyn Mutation> {
    struct Reply {
        change: fn(&[u8], &mut [u8]),
        request: Vec<u8>,
    }
    impl Mutation for Reply {
        fn order(&mut self, mut order: Order, desk: &mut Desk<'_, '_>) {
            if let Operation::Accept { private_data } = &mut order.operation {
                (self.change)(&self.request, private_data);
            }
            desk.issue(order);
        }

        fn arrival(&mut self, arrival: Arrival, desk: &mut Desk<'_, '_>) {
            if let Arrival::Requested(request) = &arrival {
                self.request.clone_from(request);
            }
            desk.deliver(arrival);
        }
    }
    Box::new(Reply { change, request: Vec::new() })
}

/// Changes the reply as a source sees it, in view of the flags that it has offered.
fn replies(change: fn(u32, &mut Vec<u8>)) -> Box<dyn Mutation> {
    struct Replies {
        change: fn(u32, &mut Vec<u8>),
        offered: u32,
    }
    impl Mutation for Replies {
        fn order(&mut self, order: Order, desk: &mut Desk<'_, '_>) {
            if let Operation::Connect { private_data } = &order.operation {
                self.offered = get_u32(private_data, FLAGS);
            }
            desk.issue(order);
        }

        fn arrival(&mut self, mut arrival: Arrival, desk: &mut Desk<'_, '_>) {
            if let Arrival::Established(reply) = &mut arrival {
                (self.change)(self.offered, reply);
            }
            desk.deliver(arrival);
        }
    }
    Box::new(Replies { change, offered: 0 })
}

/// Receives that the machine has ordered are posted some time after the connection is made.
#[derive(Default)]
struct LateReceives {
    owed: usize,
    due_at: Option<Instant>,
    posted: bool,
}

impl Mutation for LateReceives {
    fn order(&mut self, order: Order, desk: &mut Desk<'_, '_>) {
        match order.operation {
            Operation::PostReceive { .. } if !self.posted => {
                self.owed += 1;
                desk.skip(&order);
            }
            _ => desk.issue(order),
        }
    }

    fn arrival(&mut self, arrival: Arrival, desk: &mut Desk<'_, '_>) {
        if let Arrival::Established(_) = arrival {
            let while_it_sets_up = Duration::from_millis(50);
            self.due_at = Some(desk.now().after(while_it_sets_up));
            desk.wake_after(while_it_sets_up);
        }
        desk.deliver(arrival);
    }

    fn idle(&mut self, desk: &mut Desk<'_, '_>) {
        if self.posted || self.due_at.is_none_or(|due_at| desk.now() < due_at) {
            return;
        }
        self.posted = true;
        for _ in 0..core::mem::take(&mut self.owed) {
            desk.post_one();
        }
    }
}
