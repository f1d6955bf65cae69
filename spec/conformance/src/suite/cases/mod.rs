//! The cases, one file for each chapter of the specification.

mod connection;
mod control_channel;
mod errors;
mod limits;
mod ram_blocks;
mod ram_writes;
mod registration;
mod rounds;
mod stream;
mod zero_pages;

use super::Case;

const CHAPTERS: &[&[Case]] = &[
    connection::destination::CASES,
    connection::source::CASES,
    control_channel::destination::CASES,
    control_channel::destination_rejects::CASES,
    control_channel::source::CASES,
    control_channel::source_rejects::CASES,
    ram_blocks::CASES,
    registration::CASES,
    ram_writes::CASES,
    zero_pages::CASES,
    stream::CASES,
    rounds::CASES,
    errors::CASES,
    limits::CASES,
];

/// All cases, in the order of the chapters.
pub fn all() -> impl Iterator<Item = &'static Case> {
    CHAPTERS.iter().copied().flatten()
}
