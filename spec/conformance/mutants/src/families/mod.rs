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

use crate::mutation::Mutant;

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

/// All mutants, family by family.
pub fn all() -> impl Iterator<Item = &'static Mutant> {
    FAMILIES.iter().copied().flatten()
}
