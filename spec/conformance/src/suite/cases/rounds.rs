//! Chapter 9: rounds, and the end.

use crate::codec::Kind;
use crate::suite::{Case, Play, Stop};

pub(super) const CASES: &[Case] = &[
    Case::destination("D-RND-001", "a whole migration", &["RND-6"], to_a_destination)
        .text("A whole migration of a small guest.", "The guest arrives.")
        .quick()
        .completes(),
    Case::source("S-RND-001", "a whole migration", &["RND-1", "RND-7"], from_a_source)
        .text("What a destination answers in a whole migration.", "The guest leaves.")
        .quick()
        .completes(),
];

fn to_a_destination(play: &mut Play<'_>) -> Result<(), Stop> {
    play.reach_round(0)?;
    play.finish_round()?;
    let last = play.guest().before_last_round.clone();
    play.stream(&last)?;
    play.finish_round()?;
    play.finish_stream()
}

fn from_a_source(play: &mut Play<'_>) -> Result<(), Stop> {
    let mut asked = play.reach_accepted()?;
    play.serve_to_the_end(&mut asked)?;
    let last = asked.messages.last().map(|message| message.kind());
    play.check(last == Some(Kind::QemuFile), "RND-1", "the last message is not of the stream");
    Ok(())
}
