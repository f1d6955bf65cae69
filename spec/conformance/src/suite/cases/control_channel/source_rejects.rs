//! What a source rejects: messages that are none, of the wrong kind, or at the wrong time.

use super::{little_endian, message, rejects};
use crate::codec::{Command, Kind, RegisterResult};
use crate::suite::play::Message;
use crate::suite::{Case, Finding, Play, Stop};

pub(in crate::suite::cases) const CASES: &[Case] = &[
    Case::source("S-CTL-010", "a message without a whole header", &["CTL-2"], |play| {
        first(play, "CTL-2", vec![0; 15])
    })
    .text("15 bytes in place of the first READY.", "The end of the migration.")
    .dangerous(),
    Case::source("S-CTL-300", "a header without its padding", &["CTL-2"], |play| {
        let mut message = Message::encode(Kind::Ready, 1, &[]);
        message.pop();
        first(play, "CTL-2", message)
    })
    .text("The first 15 bytes of READY in place of the first one.", "The end of the migration.")
    .dangerous(),
    Case::source("S-CTL-011", "a message of one byte", &["CTL-2"], |play| {
        in_place_of_blocks(play, "CTL-2", |_| vec![0])
    })
    .text("One byte in place of RAM_BLOCKS_RESULT.", "The end of the migration.")
    .dangerous(),
    Case::source("S-CTL-012", "a length just past the longest", &["CTL-3"], |play| {
        in_place_of_blocks(play, "CTL-3", |blocks| {
            message(524_273, Kind::RamBlocksResult, 1, blocks)
        })
    })
    .text("RAM_BLOCKS_RESULT that announces 524273 bytes.", "The end of the migration.")
    .quick()
    .dangerous(),
    Case::source("S-CTL-014", "the longest length there is", &["CTL-3"], |play| {
        in_place_of_blocks(play, "CTL-3", |blocks| {
            message(u32::MAX, Kind::RamBlocksResult, 1, blocks)
        })
    })
    .text("RAM_BLOCKS_RESULT that announces 4294967295 bytes.", "The end of the migration.")
    .dangerous(),
    Case::source("S-CTL-015", "RAM blocks cut short", &["CTL-4"], |play| {
        in_place_of_blocks(play, "CTL-4", |blocks| {
            let cut = blocks.split_at(blocks.len().saturating_sub(32)).0;
            message(length(blocks), Kind::RamBlocksResult, 1, cut)
        })
    })
    .text("RAM_BLOCKS_RESULT whose last RAM block is missing.", "The end of the migration.")
    .quick()
    .dangerous(),
    Case::source("S-CTL-016", "more RAM blocks than announced", &["CTL-4"], |play| {
        in_place_of_blocks(play, "CTL-4", |blocks| {
            let announced = length(blocks).saturating_sub(32);
            message(announced, Kind::RamBlocksResult, 1, blocks)
        })
    })
    .text("RAM_BLOCKS_RESULT that announces a RAM block less.", "The end of the migration."),
    Case::source("S-CTL-017", "a READY that announces a byte", &["CTL-4"], |play| {
        first(play, "CTL-4", message(1, Kind::Ready, 1, &[]))
    })
    .text("READY that announces a byte and has none.", "The end of the migration."),
    Case::source("S-CTL-018", "a header in the other byte order", &["CTL-1"], |play| {
        first(play, "CTL-1", little_endian(Kind::Ready))
    })
    .text("READY with its fields reversed.", "The end of the migration."),
    Case::source("S-CTL-032", "the first kind that does not exist", &["CTL-6"], |play| {
        first(play, "CTL-6", message(0, Kind::Unknown(12), 1, &[]))
    })
    .text("A message of type 12 in place of READY.", "The end of the migration.")
    .quick(),
    Case::source("S-CTL-033", "the last kind that does not exist", &["CTL-6"], |play| {
        in_place_of_blocks(play, "CTL-6", |blocks| {
            message(length(blocks), Kind::Unknown(u32::MAX), 1, blocks)
        })
    })
    .text("A message of type 4294967295 in place of a reply.", "The end of the migration."),
    Case::source("S-CTL-034", "NONE", &["CTL-26"], |play| {
        in_place_of_blocks(play, "CTL-26", |_| message(0, Kind::None, 1, &[]))
    })
    .text("A message of type 0 in place of a reply.", "The end of the migration."),
    Case::source("S-CTL-035", "stream bytes for a source", &["CTL-26"], |play| {
        in_place_of_blocks(play, "CTL-26", |_| message(4, Kind::QemuFile, 1, b"QEVM"))
    })
    .text("QEMU_FILE, which only a source sends.", "The end of the migration."),
    Case::source("S-CTL-036", "a command for a source", &["CTL-26"], |play| {
        first(play, "CTL-26", message(0, Kind::RamBlocksRequest, 1, &[]))
    })
    .text("RAM_BLOCKS_REQUEST, which only a source sends.", "The end of the migration."),
    Case::source("S-CTL-040", "READY with a payload", &["CTL-7"], |play| {
        first(play, "CTL-7", message(16, Kind::Ready, 1, &[0; 16]))
    })
    .text("READY with 16 bytes behind its header.", "The end of the migration.")
    .quick(),
    Case::source("S-CTL-041", "UNREGISTER_FINISHED with a payload", &["CTL-7"], |play| {
        play.reach_command(Kind::UnregisterRequest)?;
        rejects(play, "CTL-7", message(24, Kind::UnregisterFinished, 1, &[0; 24]))
    })
    .text("UNREGISTER_FINISHED with 24 bytes behind its header.", "The end of the migration.")
    .unregisters(),
    Case::source("S-CTL-050", "a result that counts 0", &["CTL-10"], |play| {
        in_place_of_result(play, "CTL-10", |result| message(16, Kind::RegisterResult, 0, result))
    })
    .text("REGISTER_RESULT with a `repeat` of 0.", "The end of the migration.")
    .quick(),
    Case::source("S-CTL-051", "a result that counts too many", &["CTL-10"], |play| {
        in_place_of_result(play, "CTL-10", |result| message(16, Kind::RegisterResult, 4097, result))
    })
    .text("REGISTER_RESULT with a `repeat` of 4097.", "The end of the migration."),
    Case::source("S-CTL-052", "a result that counts without end", &["CTL-10"], |play| {
        in_place_of_result(play, "CTL-10", |result| {
            message(16, Kind::RegisterResult, u32::MAX, result)
        })
    })
    .text("REGISTER_RESULT with a `repeat` of 4294967295.", "The end of the migration."),
    Case::source("S-CTL-060", "half a result", &["CTL-11"], |play| {
        in_place_of_result(play, "CTL-11", |result| {
            message(8, Kind::RegisterResult, 1, result.split_at(8).0)
        })
    })
    .text("REGISTER_RESULT of 8 bytes.", "The end of the migration.")
    .quick()
    .dangerous(),
    Case::source("S-CTL-061", "no result", &["CTL-11"], |play| {
        in_place_of_result(play, "CTL-11", |_| message(0, Kind::RegisterResult, 1, &[]))
    })
    .text("REGISTER_RESULT of no bytes.", "The end of the migration.")
    .dangerous(),
    Case::source("S-CTL-062", "a result and a half", &["CTL-11"], |play| {
        in_place_of_result(play, "CTL-11", |result| {
            let payload = [result, result.split_at(8).0].concat();
            message(24, Kind::RegisterResult, 1, &payload)
        })
    })
    .text("REGISTER_RESULT of 24 bytes.", "The end of the migration."),
    Case::source("S-CTL-063", "fewer results than counted", &["CTL-11", "REG-24"], |play| {
        in_place_of_result(play, "CTL-11", |result| {
            message(32, Kind::RegisterResult, 3, &result.repeat(2))
        })
    })
    .text("REGISTER_RESULT that counts 3 and has two.", "The end of the migration."),
    Case::source("S-CTL-070", "READY before the RAM blocks", &["CTL-24"], |play| {
        ready_first(play, Kind::RamBlocksRequest)
    })
    .text("READY, and RAM_BLOCKS_RESULT behind it.", "The end of the migration.")
    .quick(),
    Case::source("S-CTL-071", "READY before the result", &["CTL-24"], |play| {
        ready_first(play, Kind::RegisterRequest)
    })
    .text("READY, and REGISTER_RESULT behind it.", "The end of the migration."),
    Case::source("S-CTL-072", "READY before the unregistration", &["CTL-24"], |play| {
        ready_first(play, Kind::UnregisterRequest)
    })
    .text("READY, and UNREGISTER_FINISHED behind it.", "The end of the migration.")
    .unregisters(),
    Case::source("S-CTL-073", "two READY for each command", &["CTL-25"], too_much_credit)
        .text(
            "Twice as many READY as there are commands.",
            "The end of the migration, before the fifth command at the latest.",
        )
        .quick(),
    Case::source(
        "S-CTL-301",
        "a second READY while writes are under way",
        &["CTL-25"],
        unused_credit,
    )
    .text(
        "The result that the last round needs, and two READY, of which the first cannot be used \
             before the writes are acknowledged.",
        "The end of the migration.",
    ),
    Case::source("S-CTL-080", "a result in place of the RAM blocks", &["CTL-26"], |play| {
        in_place_of_blocks(play, "CTL-26", |_| some_result())
    })
    .text("REGISTER_RESULT in answer to RAM_BLOCKS_REQUEST.", "The end of the migration.")
    .quick(),
    Case::source("S-CTL-081", "RAM blocks in place of a result", &["CTL-26"], |play| {
        play.reach_command(Kind::RegisterRequest)?;
        let blocks: Vec<_> = play.blocks().iter().copied().map(Command::RamBlock).collect();
        rejects(play, "CTL-26", Message::of_commands(Kind::RamBlocksResult, &blocks))
    })
    .text("RAM_BLOCKS_RESULT in answer to REGISTER_REQUEST.", "The end of the migration."),
    Case::source("S-CTL-082", "UNREGISTER_FINISHED in place of a result", &["CTL-26"], |play| {
        play.reach_command(Kind::RegisterRequest)?;
        rejects(play, "CTL-26", message(0, Kind::UnregisterFinished, 1, &[]))
    })
    .text("UNREGISTER_FINISHED in answer to REGISTER_REQUEST.", "The end of the migration."),
    Case::source("S-CTL-083", "a result in place of UNREGISTER_FINISHED", &["CTL-26"], |play| {
        play.reach_command(Kind::UnregisterRequest)?;
        rejects(play, "CTL-26", some_result())
    })
    .text("REGISTER_RESULT in answer to UNREGISTER_REQUEST.", "The end of the migration.")
    .unregisters(),
    Case::source("S-CTL-084", "a reply that nobody asked for", &["CTL-26"], |play| {
        first(play, "CTL-26", some_result())
    })
    .text("REGISTER_RESULT in place of the first READY.", "The end of the migration."),
    Case::source("S-CTL-085", "the same reply twice", &["CTL-26"], |play| {
        let (mut asked, request) = play.reach_command(Kind::RamBlocksRequest)?;
        play.serve(&mut asked, &request)?;
        let blocks: Vec<_> = play.blocks().iter().copied().map(Command::RamBlock).collect();
        rejects(play, "CTL-26", Message::of_commands(Kind::RamBlocksResult, &blocks))
    })
    .text("RAM_BLOCKS_RESULT twice.", "The end of the migration."),
];

fn length(payload: &[u8]) -> u32 {
    u32::try_from(payload.len()).unwrap_or(u32::MAX)
}

fn some_result() -> Vec<u8> {
    let result = RegisterResult { rkey: 0x1234_5678, host_address: 0x7f00_0000_0000 };
    Message::of_commands(Kind::RegisterResult, &[Command::RegisterResult(result)])
}

/// Sends it in place of the first READY.
fn first(play: &mut Play<'_>, requirement: &str, message: Vec<u8>) -> Result<(), Stop> {
    play.reach_accepted()?;
    rejects(play, requirement, message)
}

/// Answers RAM_BLOCKS_REQUEST with what is made of the right payload.
fn in_place_of_blocks(
    play: &mut Play<'_>,
    requirement: &str,
    message: fn(&[u8]) -> Vec<u8>,
) -> Result<(), Stop> {
    let (mut asked, _) = play.reach_command(Kind::RamBlocksRequest)?;
    play.place_blocks(&mut asked)?;
    let mut payload = Vec::new();
    for block in play.blocks() {
        Command::RamBlock(*block).encode(&mut payload);
    }
    rejects(play, requirement, message(&payload))
}

/// Answers a REGISTER_REQUEST with what is made of the right result.
fn in_place_of_result(
    play: &mut Play<'_>,
    requirement: &str,
    message: fn(&[u8]) -> Vec<u8>,
) -> Result<(), Stop> {
    let (asked, request) = play.reach_command(Kind::RegisterRequest)?;
    let mut payload = Vec::new();
    if let Some(result) = play.results_for(&asked, &request)?.first() {
        result.encode(&mut payload);
    }
    rejects(play, requirement, message(&payload))
}

fn ready_first(play: &mut Play<'_>, kind: Kind) -> Result<(), Stop> {
    let (mut asked, request) = play.reach_command(kind)?;
    play.ready();
    play.serve(&mut asked, &request)?;
    play.expect_end_at_once("CTL-24")
}

/// The last round asks for one chunk. Until that is written there is no command to send.
fn unused_credit(play: &mut Play<'_>) -> Result<(), Stop> {
    let mut asked = play.reach_accepted()?;
    let last = loop {
        let command = play.take_command(&mut asked)?;
        if asked.rounds == 2 && command.kind() == Kind::RegisterRequest {
            break command;
        }
        play.serve(&mut asked, &command)?;
    };
    play.serve(&mut asked, &last)?;
    play.ready();
    play.ready();
    play.expect_end("CTL-25")
}

fn too_much_credit(play: &mut Play<'_>) -> Result<(), Stop> {
    let mut asked = play.reach_accepted()?;
    for _ in 0..4 {
        play.ready();
        play.ready();
        let Some(command) = play.receive_unless_ended("a command, or the end")? else {
            return Ok(());
        };
        play.serve(&mut asked, &command)?;
    }
    Err(Stop::Found(Finding::wording("CTL-25", "it takes credit that it has not used")))
}
