//! Bugs with RAM that is zero.

use core::time::Duration;

use rdma_migration_protocol::address::BlockOffset;
use rdma_migration_protocol::limits::HEADER_BYTES;
use rdma_migration_protocol::time::Instant;
use rdma_migration_protocol::transport::Operation;
use rdma_migration_protocol::wire::Kind;

use crate::desk::Desk;
use crate::message::{
    COMMAND, change_u64, compose, get_u32, get_u64, is, payload, places, put_u32, put_u64, reverse,
};
use crate::mutation::{Mutant, Mutation, Order, orders, sends};

const PAGE: u64 = 4096;

pub(super) const MUTANTS: &[Mutant] = &[
    Mutant::source(
        "zero-run-in-host-order",
        "ZERO-1",
        "It writes offset and length of a zero run in the order of its own processor.",
        || {
            runs(|run| {
                reverse(run, 8, 8);
                reverse(run, 16, 8);
            })
        },
    ),
    Mutant::source(
        "zero-run-offset-first",
        "ZERO-1",
        "It writes offset and length of a zero run before its value and its block.",
        || runs(|run| run.rotate_left(8)),
    ),
    Mutant::source(
        "zero-run-block-first",
        "ZERO-1",
        "It writes the block of a zero run before its value, counted from 1.",
        || {
            runs(|run| {
                let block = get_u32(run, 4);
                put_u32(run, 0, block + 1);
                put_u32(run, 4, 0);
            })
        },
    ),
    Mutant::source("zero-run-of-ones", "ZERO-11", "It sends 0xff as fill byte.", || {
        runs(|run| put_u32(run, 0, 0xff))
    }),
    Mutant::source(
        "two-zero-runs-in-a-message",
        "ZERO-15",
        "It sends the two halves of a run as two commands of one message.",
        || {
            sends(|message| {
                if is(message, Kind::Compress) {
                    let mut first = payload(message).to_vec();
                    let mut second = first.clone();
                    let half = get_u64(&first, 16) / 2;
                    put_u64(&mut first, 16, half);
                    change_u64(&mut second, 8, |offset| offset + half);
                    change_u64(&mut second, 16, |length| length - half);
                    *message = compose(Kind::Compress, 2, &[first, second].concat());
                }
            })
        },
    ),
    Mutant::source(
        "zero-run-out-of-its-block",
        "WRITE-1",
        "It lets the last zero run of a RAM block go on behind the block.",
        || runs(|run| change_u64(run, 16, |length| length + (1 << 32))),
    ),
    Mutant::source(
        "zero-run-across-the-end-of-its-chunk",
        "WRITE-4",
        "It lets a zero run end one page behind its chunk.",
        || {
            runs(|run| {
                let end = get_u64(run, 8) + get_u64(run, 16);
                if end.is_multiple_of(1 << 20) {
                    change_u64(run, 16, |length| length + PAGE);
                }
            })
        },
    ),
    Mutant::destination(
        "zero-run-not-written",
        "ZERO-14",
        "It believes that its memory is zero already.",
        || {
            orders(|order, desk| match order.operation {
                Operation::ZeroRam { .. } => desk.skip(&order),
                _ => desk.issue(order),
            })
        },
    ),
    Mutant::destination(
        "zero-run-one-byte-short",
        "ZERO-14",
        "It sets a run to zero but for its last byte.",
        || fills(|offset, length, _| (offset, length.saturating_sub(1).max(1))),
    ),
    Mutant::destination(
        "zero-run-one-page-long",
        "ZERO-14",
        "It sets one page more to zero than the run has.",
        || fills(|offset, length, block| (offset, (length + PAGE).min(block - offset))),
    ),
    Mutant::destination(
        "zero-run-at-its-chunk",
        "ZERO-14",
        "It sets a run to zero at the beginning of its chunk.",
        || fills(|offset, length, _| (offset / (1 << 20) * (1 << 20), length)),
    ),
    Mutant::destination(
        "first-zero-run-only",
        "ZERO-14",
        "Of several runs in a message it sets the first to zero, as QEMU does.",
        || Box::new(FirstRun::default()),
    ),
    Mutant::destination(
        "zero-run-written-late",
        "ZERO-14",
        "It says READY and sets the run to zero afterwards.",
        || Box::new(LateFill::default()),
    ),
];

/// Changes each zero run that is sent.
fn runs(change: fn(&mut [u8])) -> Box<dyn Mutation> {
    sends(move |message| {
        if is(message, Kind::Compress) {
            for at in places(message, COMMAND) {
                if let Some(run) = message.get_mut(at..at + COMMAND) {
                    change(run);
                }
            }
        }
    })
}

/// Sets other memory to zero than was ordered: from offset and length in bytes, and the length of the
/// block, to offset and length.
fn fills(change: fn(u64, u64, u64) -> (u64, u64)) -> Box<dyn Mutation> {
    orders(move |mut order, desk| {
        let issued = order.operation;
        if let Operation::ZeroRam { block, offset, length } = &mut order.operation
            && let Some(known) = desk.block(block.get())
        {
            let (changed, bytes) = change(offset.get(), *length, known.length);
            (*offset, *length) = (BlockOffset::new(changed), bytes);
            // The machine waits for the run that it has ordered.
            desk.add(order);
            return desk.skip(&Order::bare(issued));
        }
        desk.issue(order);
    })
}

#[derive(Default)]
struct FirstRun {
    filled: bool,
}

impl Mutation for FirstRun {
    fn order(&mut self, order: Order, desk: &mut Desk<'_, '_>) {
        match order.operation {
            Operation::ZeroRam { .. } if self.filled => desk.skip(&order),
            Operation::ZeroRam { .. } => {
                self.filled = true;
                desk.issue(order);
            }
            Operation::Send { .. } => {
                self.filled = false;
                desk.issue(order);
            }
            _ => desk.issue(order),
        }
    }
}

#[derive(Default)]
struct LateFill {
    held: Vec<Order>,
    due_at: Option<Instant>,
}

impl Mutation for LateFill {
    fn order(&mut self, order: Order, desk: &mut Desk<'_, '_>) {
        match order.operation {
            Operation::ZeroRam { .. } => {
                desk.skip(&order);
                self.held.push(order);
            }
            Operation::Send { .. } if order.message.len() == HEADER_BYTES => {
                let late = Duration::from_millis(5);
                self.due_at = Some(desk.now().after(late));
                desk.wake_after(late);
                desk.issue(order);
            }
            _ => desk.issue(order),
        }
    }

    fn idle(&mut self, desk: &mut Desk<'_, '_>) {
        if self.due_at.is_some_and(|due_at| desk.now() >= due_at) {
            for fill in self.held.drain(..) {
                desk.add(fill);
            }
        }
    }
}
