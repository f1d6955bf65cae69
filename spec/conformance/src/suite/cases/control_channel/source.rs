//! What a source takes, and how it uses credit.

use core::time::Duration;

use super::{fill_padding, headers, set_repeat};
use crate::codec::Kind;
use crate::suite::play::Asked;
use crate::suite::{Case, Play, Stop};

const SILENCE: Duration = Duration::from_secs(3);

/// What a destination sends in each migration and counts nothing in.
const UNCOUNTED: &[Kind] = &[Kind::Ready, Kind::RamBlocksResult];

pub(in crate::suite::cases) const CASES: &[Case] = &[
    Case::source(
        "S-CTL-001",
        "its headers in a whole migration",
        &["CTL-1", "CTL-12", "CTL-20", "LIM-1", "LIM-2"],
        whole,
    )
    .text(
        "What a destination answers in a whole migration.",
        "Every message has the 16 bytes of the table, a `repeat` of 1 where it counts nothing, and \
         a length within the limits.",
    )
    .completes()
    .quick()
    .after(headers),
    Case::source("S-CTL-002", "garbage in the padding", &["CTL-5"], |play| {
        play.alter_messages(fill_padding);
        whole(play)
    })
    .text("A migration whose headers end with garbage.", "The guest leaves.")
    .completes(),
    Case::source("S-CTL-003", "READY and RAM blocks that count 0", &["CTL-9"], |play| {
        play.alter_messages(|message| set_repeat(message, UNCOUNTED, 0));
        whole(play)
    })
    .text("READY and RAM_BLOCKS_RESULT with a `repeat` of 0.", "The guest leaves.")
    .completes()
    .quick(),
    Case::source("S-CTL-004", "READY and RAM blocks that count anything", &["CTL-9"], |play| {
        play.alter_messages(|message| set_repeat(message, UNCOUNTED, u32::MAX));
        whole(play)
    })
    .text("READY and RAM_BLOCKS_RESULT with a `repeat` of 4294967295.", "The guest leaves.")
    .completes(),
    Case::source("S-CTL-005", "an unregistration that counts 0", &["CTL-9"], |play| {
        play.alter_messages(|message| set_repeat(message, &[Kind::UnregisterFinished], 0));
        whole(play)
    })
    .text("UNREGISTER_FINISHED with a `repeat` of 0.", "The guest leaves.")
    .completes()
    .unregisters(),
    Case::source("S-CTL-013", "one result, whatever is counted", &["CTL-13"], |play| {
        play.alter_messages(|message| set_repeat(message, &[Kind::RegisterResult], 4096));
        whole(play)
    })
    .text("Single results with a `repeat` of 4096.", "The guest leaves.")
    .completes(),
    Case::source("S-CTL-020", "no command before READY", &["CTL-20"], |play| {
        let mut asked = play.reach_accepted()?;
        play.expect_silence(SILENCE, "CTL-20");
        let first = play.take_command(&mut asked)?;
        play.expect_silence(SILENCE, "CTL-20");
        play.serve(&mut asked, &first)?;
        play.take_command(&mut asked)?;
        play.expect_silence(SILENCE, "CTL-20");
        Ok(())
    })
    .text("A pause before and behind each of the first READY.", "One command for each READY.")
    .quick(),
    Case::source("S-CTL-021", "no command behind a reply", &["CTL-20"], |play| {
        let (mut asked, request) = play.reach_command(Kind::RamBlocksRequest)?;
        play.serve(&mut asked, &request)?;
        play.expect_silence(SILENCE, "CTL-20");
        let request =
            play.serve_until(&mut asked, |message| message.kind() == Kind::RegisterRequest)?;
        play.serve(&mut asked, &request)?;
        play.expect_silence(SILENCE, "CTL-20");
        play.take_command(&mut asked).map(drop)
    })
    .text("A pause between a reply and READY.", "No command in it, and one behind READY."),
    Case::source("S-CTL-030", "reply, READY and ERROR at once", &["CTL-30", "CTL-28"], |play| {
        all_at_once(play, Kind::RamBlocksRequest, Kind::RegisterFinished)
    })
    .text(
        "RAM_BLOCKS_RESULT, READY and ERROR in a row.",
        "All three find a receive; then the end of the migration.",
    )
    .quick(),
    Case::source("S-CTL-031", "result, READY and ERROR at once", &["CTL-30", "CTL-28"], |play| {
        all_at_once(play, Kind::RegisterRequest, Kind::RegisterRequest)
    })
    .text(
        "REGISTER_RESULT, READY and ERROR in a row.",
        "All three find a receive; then the end of the migration.",
    ),
    Case::source("S-CTL-027", "ERROR where READY is awaited", &["CTL-31", "CTL-27"], |play| {
        play.reach_accepted()?;
        play.send(Kind::Error, &[]);
        play.expect_end_at_once("CTL-31")
    })
    .text("ERROR in place of the first READY.", "The end of the migration.")
    .quick(),
];

/// A whole migration, in which every READY is used once.
fn whole(play: &mut Play<'_>) -> Result<(), Stop> {
    let mut asked = play.reach_accepted()?;
    play.serve_to_the_end(&mut asked)
}

/// Serves the command `kind`, gives READY and says ERROR, without a pause. One more command may come
/// meanwhile.
fn all_at_once(play: &mut Play<'_>, kind: Kind, next: Kind) -> Result<(), Stop> {
    let (mut asked, request): (Asked, _) = play.reach_command(kind)?;
    play.serve(&mut asked, &request)?;
    play.ready();
    play.send(Kind::Error, &[]);
    play.expect_taken("CTL-30")?;
    play.expect_end_after("CTL-31", &[next, Kind::Compress, Kind::RegisterFinished])
}
