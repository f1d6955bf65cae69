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
    ram_blocks::destination::CASES,
    ram_blocks::source::CASES,
    ram_blocks::source_rejects::CASES,
    registration::destination::CASES,
    registration::destination_rejects::CASES,
    registration::destination_unregisters::CASES,
    registration::source::CASES,
    registration::source_unregisters::CASES,
    ram_writes::destination::CASES,
    ram_writes::source::CASES,
    zero_pages::destination::CASES,
    zero_pages::source::CASES,
    stream::destination::CASES,
    stream::destination_finds_blocks::CASES,
    stream::source::CASES,
    rounds::destination::CASES,
    rounds::source::CASES,
    errors::destination::CASES,
    errors::source::CASES,
    limits::destination::CASES,
    limits::source::CASES,
];

/// All cases, in the order of the chapters.
pub fn all() -> impl Iterator<Item = &'static Case> {
    CHAPTERS.iter().copied().flatten()
}
