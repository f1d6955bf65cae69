//! What a destination takes, and how it gives credit.

use core::time::Duration;

use super::{fill_padding, headers, set_repeat};
use crate::codec::{Command, Compress, Kind, UnregisterRequest};
use crate::suite::{Case, Play, Stop};

const CHUNK: u64 = 1 << 20;
const SILENCE: Duration = Duration::from_secs(1);

/// Commands that have no payload.
const BARE: &[Kind] = &[Kind::RamBlocksRequest, Kind::RegisterFinished];

pub(in crate::suite::cases) const CASES: &[Case] = &[
    Case::destination(
        "D-CTL-001",
        "its headers in a whole migration",
        &["CTL-1", "CTL-12", "CTL-22", "CTL-33"],
        whole,
    )
    .text(
        "A migration with a chunk that is written and a run that is zero.",
        "Every message has the 16 bytes of the table, with a `repeat` of 1 where it counts nothing.",
    )
    .completes()
    .quick()
    .after(headers),
    Case::destination("D-CTL-002", "garbage in the padding", &["CTL-5"], |play| {
        play.alter_messages(fill_padding);
        whole(play)
    })
    .text("A migration whose headers end with garbage.", "The guest arrives.")
    .completes(),
    Case::destination("D-CTL-003", "stream messages with a repeat of 0", &["CTL-9"], |play| {
        play.alter_messages(|message| set_repeat(message, &[Kind::QemuFile], 0));
        whole(play)
    })
    .text("A migration as QEMU 8.2 and later send it.", "The guest arrives.")
    .completes()
    .quick(),
    Case::destination("D-CTL-004", "stream messages with any repeat", &["CTL-9"], |play| {
        play.alter_messages(|message| set_repeat(message, &[Kind::QemuFile], u32::MAX));
        whole(play)
    })
    .text("A migration whose QEMU_FILE have a `repeat` of 4294967295.", "The guest arrives.")
    .completes(),
    Case::destination("D-CTL-005", "commands without payload that count 0", &["CTL-9"], |play| {
        play.alter_messages(|message| set_repeat(message, BARE, 0));
        whole(play)
    })
    .text(
        "A migration whose RAM_BLOCKS_REQUEST and REGISTER_FINISHED have a `repeat` of 0.",
        "The guest arrives.",
    )
    .completes(),
    Case::destination("D-CTL-006", "commands without payload that count anything", &["CTL-9"], |play| {
        play.alter_messages(|message| set_repeat(message, BARE, u32::MAX));
        whole(play)
    })
    .text("The same with a `repeat` of 4294967295.", "The guest arrives.")
    .completes(),
    Case::destination("D-CTL-020", "one READY at a time", &["CTL-21"], |play| {
        play.reach_connected(0)?;
        play.expect_silence(SILENCE, "CTL-21");
        let set_up = play.guest().set_up.clone();
        play.stream(&set_up)?;
        play.expect_silence(SILENCE, "CTL-21");
        play.exchange_blocks()?;
        play.expect_silence(SILENCE, "CTL-21");
        play.finish_round()?;
        play.expect_silence(SILENCE, "CTL-21");
        Ok(())
    })
    .text("Commands with a pause behind each READY.", "Nothing but one READY for each command."),
    Case::destination(
        "D-CTL-021",
        "a reply, then READY",
        &["CTL-22", "CTL-33", "CTL-21"],
        replies_before_ready,
    )
    .text(
        "RAM_BLOCKS_REQUEST, REGISTER_REQUEST, COMPRESS and REGISTER_FINISHED.",
        "The reply where there is one, then one READY, for each.",
    )
    .quick(),
    Case::destination("D-CTL-022", "the end of a registration, then READY", &["CTL-22"], |play| {
        play.reach_round(0)?;
        play.register(&[play.request_for(0, 0, 0)])?;
        let request = UnregisterRequest { chunk: 0, block: 0 };
        play.send_commands(Kind::UnregisterRequest, &[Command::UnregisterRequest(request)]);
        play.expect(Kind::UnregisterFinished, "CTL-22")?;
        play.take_ready()
    })
    .text("UNREGISTER_REQUEST of a chunk.", "UNREGISTER_FINISHED, then READY."),
    Case::destination("D-CTL-028", "ERROR behind a command", &["CTL-28", "CTL-27", "CTL-31"], |play| {
        play.reach_round(0)?;
        send_zero_run(play);
        play.send(Kind::Error, &[]);
        play.expect_taken("CTL-28")?;
        play.expect_end_after("CTL-31", &[Kind::Ready])
    })
    .text(
        "COMPRESS of a whole chunk and, without a READY, ERROR behind it.",
        "ERROR finds a receive; then the end of the migration.",
    ),
    Case::destination("D-CTL-029", "a command as soon as READY is there", &["CTL-29"], |play| {
        play.reach_connected(0)?;
        let set_up = play.guest().set_up.clone();
        for byte in set_up.iter().take(32) {
            play.send(Kind::QemuFile, &[*byte]);
            play.expect_taken("CTL-29")?;
            play.take_ready()?;
        }
        Ok(())
    })
    .text(
        "The first 32 bytes of the stream, in as many messages.",
        "Each finds a receive at once, and READY follows.",
    ),
];

/// A whole migration in which something is registered, written, and zero.
fn whole(play: &mut Play<'_>) -> Result<(), Stop> {
    play.reach_round(0)?;
    replies(play)?;
    let last = play.guest().before_last_round.clone();
    play.stream(&last)?;
    play.finish_round()?;
    play.finish_stream()
}

fn replies_before_ready(play: &mut Play<'_>) -> Result<(), Stop> {
    play.reach_round(0)?;
    replies(play)?;
    play.expect_silence(SILENCE, "CTL-21");
    Ok(())
}

fn replies(play: &mut Play<'_>) -> Result<(), Stop> {
    let results = play.register(&[play.request_for(0, 0, 0)])?;
    let length = first_run(play).min(4096);
    let from = play.writable(length)?;
    if let Some(result) = results.first() {
        let written = play.write(&from, length, result.host_address, result.rkey)?;
        play.check(written.is_ok(), "REG-14", "the chunk cannot be written with its key");
    }
    let last = u32::try_from(play.blocks().len()).unwrap_or(u32::MAX) - 1;
    let length = play.destination_block(last).map_or(0, |block| block.length).min(CHUNK);
    play.compress(last, 0, length)?;
    play.finish_round()
}

fn first_run(play: &Play<'_>) -> u64 {
    play.destination_block(0).map_or(0, |block| block.length).min(CHUNK)
}

fn send_zero_run(play: &mut Play<'_>) {
    let run =
        Compress { value: 0, block: 0, offset: play.ram_address(0, 0), length: first_run(play) };
    play.send_commands(Kind::Compress, &[Command::Compress(run)]);
}
