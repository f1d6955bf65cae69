//! A source sends the stream.

use core::time::Duration;

use crate::codec::{Kind, find_ram_block_list};
use crate::suite::play::{Asked, Message};
use crate::suite::{Case, Play, Stop};

/// What ends a migration before its end.
const ENDS: &str = "The end of the migration; the guest stays the source's.";
/// Bytes of the stream in a message.
const PIECE_BYTES_MAX: usize = 32768;
/// The word that opens a round.
const HOOK: [u8; 8] = [0, 0, 0, 0, 0, 0, 0, 0x80];

pub(in super::super) const CASES: &[Case] = &[
    Case::source("S-STR-001", "how much is in a message", &["STR-1"], |play| {
        let asked = whole(play)?;
        for message in asked.messages.iter().filter(|it| it.kind() == Kind::QemuFile) {
            let bytes = message.payload.len();
            let fits = (1..=PIECE_BYTES_MAX).contains(&bytes);
            play.check(fits, "STR-1", format!("a QEMU_FILE of {bytes} bytes"));
        }
        Ok(())
    })
    .text(
        "What a destination answers in a whole migration.",
        "1 to 32768 stream bytes in each QEMU_FILE.",
    )
    .completes()
    .quick(),
    Case::source("S-STR-002", "rounds begin behind a hook word", &["STR-2"], |play| {
        let asked = whole(play)?;
        let mut stream = Vec::new();
        let mut in_round = false;
        for message in &asked.messages {
            match message.kind() {
                Kind::QemuFile => stream.extend_from_slice(&message.payload),
                kind => {
                    let hooked = in_round || stream.ends_with(&HOOK);
                    play.check(hooked, "STR-2", format!("{kind} where no hook word is"));
                    in_round = kind != Kind::RegisterFinished;
                }
            }
        }
        Ok(())
    })
    .text(
        "What a destination answers in a whole migration.",
        "Before the first other command of each round, stream bytes that end with a hook word.",
    )
    .completes()
    .quick(),
    Case::source("S-STR-003", "no stream bytes in a round", &["STR-3"], |play| {
        let asked = whole(play)?;
        stays_out_of_rounds(play, &asked);
        Ok(())
    })
    .text(
        "What a destination answers in a whole migration.",
        "No QEMU_FILE from the first other command of a round until REGISTER_FINISHED.",
    )
    .completes()
    .quick(),
    Case::source("S-STR-004", "no stream bytes in a round of writes", &["STR-3", "STR-2"], |play| {
        let asked = whole(play)?;
        stays_out_of_rounds(play, &asked);
        Ok(())
    })
    .text(
        "What a destination answers in a whole migration where all RAM is pinned.",
        "Between a hook word at the end of a message and REGISTER_FINISHED, no QEMU_FILE.",
    )
    .pin_all()
    .completes(),
    Case::source("S-STR-005", "the list of RAM blocks", &["STR-2", "STR-27", "STR-24"], list)
        .text(
            "What a destination answers up to RAM_BLOCKS_REQUEST.",
            "A stream that starts with QEVM, version 3, and ends with a list of different RAM blocks, \
             none of them empty, and a hook word.",
        )
        .quick(),
    Case::source("S-STR-006", "no READY in the stream", &["ERR-2", "ERR-1"], |play| {
        let mut asked = play.reach_accepted()?;
        play.take_command(&mut asked)?;
        play.expect_end("ERR-2")
    })
    .text(
        "One READY, and no other after the first message of the stream.",
        "The end of the migration, once the source has waited long enough.",
    ),
    Case::source("S-STR-007", "nothing before READY", &["CTL-20"], |play| {
        let mut asked = play.reach_accepted()?;
        play.expect_silence(Duration::from_millis(500), "CTL-20");
        let message = play.take_command(&mut asked)?;
        play.serve(&mut asked, &message)?;
        play.expect_silence(Duration::from_millis(500), "CTL-20");
        play.serve_to_the_end(&mut asked)
    })
    .text(
        "Half a second without READY before and after the first message of the stream.",
        "No message in that time; the guest leaves.",
    )
    .completes()
    .quick(),
    Case::source("S-STR-008", "ERROR in the stream", &["CTL-31", "RND-5"], |play| {
        let mut asked = play.reach_accepted()?;
        play.take_command(&mut asked)?;
        play.send(Kind::Error, &[]);
        play.expect_end("CTL-31")
    })
    .text("ERROR after the first message of the stream.", ENDS),
    Case::source("S-STR-009", "disconnection in the stream", &["RND-5"], |play| {
        let mut asked = play.reach_accepted()?;
        play.take_command(&mut asked)?;
        play.disconnect();
        Ok(())
    })
    .text("The end of the connection after the first message of the stream.", ENDS),
    Case::source("S-STR-010", "a reply to stream bytes", &["CTL-26"], |play| {
        let mut asked = play.reach_accepted()?;
        play.take_command(&mut asked)?;
        play.send_bytes(Message::encode(Kind::UnregisterFinished, 1, &[]));
        play.expect_end("CTL-26")
    })
    .text("UNREGISTER_FINISHED after the first message of the stream.", ENDS),
    Case::source("S-STR-011", "stream bytes from a destination", &["CTL-26"], |play| {
        let mut asked = play.reach_accepted()?;
        play.take_command(&mut asked)?;
        play.send(Kind::QemuFile, &[0; 8]);
        play.expect_end("CTL-26")
    })
    .text("QEMU_FILE from the destination.", ENDS),
];

fn whole(play: &mut Play<'_>) -> Result<Asked, Stop> {
    let mut asked = play.reach_accepted()?;
    play.serve_to_the_end(&mut asked)?;
    Ok(asked)
}

fn stays_out_of_rounds(play: &mut Play<'_>, asked: &Asked) {
    let mut in_round = false;
    for message in &asked.messages {
        match message.kind() {
            Kind::QemuFile => {
                play.check(!in_round, "STR-3", "QEMU_FILE before REGISTER_FINISHED");
                in_round = message.payload.ends_with(&HOOK);
            }
            kind => in_round = kind != Kind::RegisterFinished,
        }
    }
}

fn list(play: &mut Play<'_>) -> Result<(), Stop> {
    let (asked, _) = play.reach_command(Kind::RamBlocksRequest)?;
    let starts = asked.stream.starts_with(b"QEVM\x00\x00\x00\x03");
    play.check(starts, "STR-20", "the stream does not start with QEVM, version 3");
    let Some(blocks) = find_ram_block_list(&asked.stream) else {
        play.check(false, "STR-2", "the stream does not end with a list and a hook word");
        return Ok(());
    };
    let empty = blocks.iter().any(|block| block.length == 0 || block.name.is_empty());
    play.check(!empty, "STR-24", "a RAM block without bytes or without a name");
    let mut names: Vec<_> = blocks.iter().map(|block| &block.name).collect();
    names.sort();
    names.dedup();
    play.check(names.len() == blocks.len(), "STR-27", "a RAM block is named twice");
    Ok(())
}
