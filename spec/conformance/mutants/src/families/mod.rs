//! The mutants, one file for each family.

mod bounds;
mod deadlines;
mod handshake;
mod keys_and_ranges;
mod messages;
mod order;
mod release;
mod stream;
mod zero_pages;

use crate::desk::Desk;
use crate::mutation::{Mutant, Order, orders};

const FAMILIES: &[&[Mutant]] = &[
    handshake::MUTANTS,
    messages::MUTANTS,
    bounds::MUTANTS,
    order::MUTANTS,
    keys_and_ranges::MUTANTS,
    zero_pages::MUTANTS,
    stream::MUTANTS,
    deadlines::MUTANTS,
    release::MUTANTS,
];

/// Machines without a bug, behind everything that a mutant has before it: no case may notice them.
pub static NO_MUTANTS: [Mutant; 2] = [
    Mutant::source("no-mutant", "CTL-1", "It does what it has to.", || orders(hand_on)),
    Mutant::destination("no-mutant", "CTL-1", "It does what it has to.", || orders(hand_on)),
];

fn hand_on(order: Order, desk: &mut Desk<'_, '_>) {
    desk.issue(order);
}

/// All mutants, family by family.
pub fn all() -> impl Iterator<Item = &'static Mutant> {
    FAMILIES.iter().copied().flatten()
}
