//! What a destination rejects: messages that are none, of the wrong kind, or without credit.

use super::{little_endian, message, rejects};
use crate::codec::{Command, Compress, Kind, UnregisterRequest};
use crate::suite::play::Message;
use crate::suite::{Case, Play, Stop};

const CHUNK: u64 = 1 << 20;
const PAGE: u64 = 4096;

pub(in crate::suite::cases) const CASES: &[Case] = &[
    Case::destination("D-CTL-010", "a message without a whole header", &["CTL-2"], |play| {
        first(play, "CTL-2", vec![0; 15])
    })
    .text("15 bytes in place of the first stream bytes.", "The end of the migration.")
    .dangerous(),
    Case::destination("D-CTL-300", "a header without its padding", &["CTL-2"], |play| {
        play.reach_round(0)?;
        let mut message = Message::encode(Kind::RegisterFinished, 1, &[]);
        message.pop();
        rejects(play, "CTL-2", message)
    })
    .text("The first 15 bytes of REGISTER_FINISHED, in a round.", "The end of the migration.")
    .dangerous(),
    Case::destination("D-CTL-011", "a message of one byte", &["CTL-2"], |play| {
        first(play, "CTL-2", vec![0])
    })
    .text("One byte in place of the first stream bytes.", "The end of the migration.")
    .dangerous(),
    Case::destination("D-CTL-012", "a length just past the longest", &["CTL-3"], |play| {
        first(play, "CTL-3", message(524_273, Kind::QemuFile, 1, &[0x51; 64]))
    })
    .text("QEMU_FILE that announces 524273 bytes.", "The end of the migration.")
    .quick(),
    Case::destination("D-CTL-013", "the longest length there is", &["CTL-3"], |play| {
        first(play, "CTL-3", message(u32::MAX, Kind::QemuFile, 1, &[0x51; 64]))
    })
    .text("QEMU_FILE that announces 4294967295 bytes.", "The end of the migration.")
    .dangerous(),
    Case::destination("D-CTL-014", "a byte less than announced", &["CTL-4"], |play| {
        first(play, "CTL-4", message(65, Kind::QemuFile, 1, &[0x51; 64]))
    })
    .text("QEMU_FILE that announces 65 bytes and has 64.", "The end of the migration.")
    .quick(),
    Case::destination("D-CTL-015", "a byte more than announced", &["CTL-4"], |play| {
        first(play, "CTL-4", message(63, Kind::QemuFile, 1, &[0x51; 64]))
    })
    .text("QEMU_FILE that announces 63 bytes and has 64.", "The end of the migration."),
    Case::destination("D-CTL-016", "a request cut short by a byte", &["CTL-4"], |play| {
        in_round(play, "CTL-4", |play| {
            let mut payload = requests(play, 1);
            payload.pop();
            message(24, Kind::RegisterRequest, 1, &payload)
        })
    })
    .text("REGISTER_REQUEST whose last byte is missing.", "The end of the migration.")
    .dangerous(),
    Case::destination("D-CTL-017", "no length where there is a payload", &["CTL-4"], |play| {
        in_round(play, "CTL-4", |play| message(0, Kind::Compress, 1, &runs(play, 1)))
    })
    .text("COMPRESS that announces no byte and has 24.", "The end of the migration.")
    .dangerous(),
    Case::destination("D-CTL-018", "a header in the other byte order", &["CTL-1"], |play| {
        play.reach_set_up(0)?;
        rejects(play, "CTL-1", little_endian(Kind::RamBlocksRequest))
    })
    .text("RAM_BLOCKS_REQUEST with its fields reversed.", "The end of the migration."),
    Case::destination("D-CTL-030", "the first kind that does not exist", &["CTL-6"], |play| {
        in_round(play, "CTL-6", |_| message(0, Kind::Unknown(12), 1, &[]))
    })
    .text("A message of type 12.", "The end of the migration.")
    .quick(),
    Case::destination("D-CTL-031", "the last kind that does not exist", &["CTL-6"], |play| {
        in_round(play, "CTL-6", |_| message(0, Kind::Unknown(u32::MAX), 1, &[]))
    })
    .text("A message of type 4294967295.", "The end of the migration."),
    Case::destination(
        "D-CTL-037",
        "a kind that does not exist, with a payload",
        &["CTL-6"],
        |play| {
            in_round(play, "CTL-6", |play| message(24, Kind::Unknown(12), 1, &requests(play, 1)))
        },
    )
    .text(
        "A message of type 12 that is a register request otherwise.",
        "The end of the migration.",
    ),
    Case::destination("D-CTL-032", "NONE", &["CTL-32"], |play| {
        in_round(play, "CTL-32", |_| message(0, Kind::None, 1, &[]))
    })
    .text("A message of type 0.", "The end of the migration."),
    Case::destination("D-CTL-033", "READY", &["CTL-32"], |play| {
        in_round(play, "CTL-32", |_| message(0, Kind::Ready, 1, &[]))
    })
    .text("READY, which only a destination sends.", "The end of the migration.")
    .quick(),
    Case::destination("D-CTL-034", "RAM_BLOCKS_RESULT", &["CTL-32"], |play| {
        in_round(play, "CTL-32", |_| message(32, Kind::RamBlocksResult, 1, &[0; 32]))
    })
    .text("RAM_BLOCKS_RESULT, which only a destination sends.", "The end of the migration."),
    Case::destination("D-CTL-035", "REGISTER_RESULT", &["CTL-32"], |play| {
        in_round(play, "CTL-32", |_| message(16, Kind::RegisterResult, 1, &[1; 16]))
    })
    .text("REGISTER_RESULT, which only a destination sends.", "The end of the migration."),
    Case::destination("D-CTL-036", "UNREGISTER_FINISHED", &["CTL-32"], |play| {
        in_round(play, "CTL-32", |_| message(0, Kind::UnregisterFinished, 1, &[]))
    })
    .text("UNREGISTER_FINISHED, which only a destination sends.", "The end of the migration."),
    Case::destination("D-CTL-040", "RAM_BLOCKS_REQUEST with a payload", &["CTL-7"], |play| {
        play.reach_set_up(0)?;
        rejects(play, "CTL-7", message(32, Kind::RamBlocksRequest, 1, &[0; 32]))
    })
    .text("RAM_BLOCKS_REQUEST with 32 bytes behind its header.", "The end of the migration."),
    Case::destination("D-CTL-041", "REGISTER_FINISHED with a payload", &["CTL-7"], |play| {
        in_round(play, "CTL-7", |_| message(1, Kind::RegisterFinished, 1, &[0]))
    })
    .text("REGISTER_FINISHED with a byte behind its header.", "The end of the migration."),
    Case::destination("D-CTL-043", "QEMU_FILE without payload", &["CTL-8"], |play| {
        first(play, "CTL-8", message(0, Kind::QemuFile, 1, &[]))
    })
    .text("QEMU_FILE of no bytes.", "The end of the migration.")
    .quick()
    .dangerous(),
    Case::destination("D-CTL-050", "no request at all", &["CTL-10"], |play| {
        in_round(play, "CTL-10", |_| message(0, Kind::RegisterRequest, 0, &[]))
    })
    .text("REGISTER_REQUEST that counts 0 and has none.", "The end of the migration.")
    .quick()
    .dangerous(),
    Case::destination("D-CTL-051", "no zero run at all", &["CTL-10"], |play| {
        in_round(play, "CTL-10", |_| message(0, Kind::Compress, 0, &[]))
    })
    .text("COMPRESS that counts 0 and has none.", "The end of the migration.")
    .dangerous(),
    Case::destination("D-CTL-052", "nothing to unregister", &["CTL-10"], |play| {
        in_round(play, "CTL-10", |_| message(0, Kind::UnregisterRequest, 0, &[]))
    })
    .text("UNREGISTER_REQUEST that counts 0 and has none.", "The end of the migration.")
    .dangerous(),
    Case::destination(
        "D-CTL-053",
        "a request that is not counted",
        &["CTL-10", "CTL-11"],
        |play| {
            in_round(play, "CTL-10", |play| {
                message(24, Kind::RegisterRequest, 0, &requests(play, 1))
            })
        },
    )
    .text("REGISTER_REQUEST that counts 0 and has one.", "The end of the migration.")
    .dangerous(),
    Case::destination("D-CTL-054", "one request too many", &["CTL-10"], |play| {
        in_round(play, "CTL-10", |play| {
            message(4097 * 24, Kind::RegisterRequest, 4097, &requests(play, 4097))
        })
    })
    .text("REGISTER_REQUEST that counts 4097 and has as many.", "The end of the migration.")
    .quick()
    .dangerous(),
    Case::destination("D-CTL-055", "one zero run too many", &["CTL-10"], |play| {
        in_round(play, "CTL-10", |play| message(4097 * 24, Kind::Compress, 4097, &runs(play, 4097)))
    })
    .text("COMPRESS that counts 4097 and has as many.", "The end of the migration.")
    .dangerous(),
    Case::destination("D-CTL-057", "more requests than any message has", &["CTL-10"], |play| {
        in_round(play, "CTL-10", |play| {
            message(24, Kind::RegisterRequest, u32::MAX, &requests(play, 1))
        })
    })
    .text("REGISTER_REQUEST that counts 4294967295 and has one.", "The end of the migration.")
    .dangerous(),
    Case::destination("D-CTL-060", "a request fewer than counted", &["CTL-11"], |play| {
        in_round(play, "CTL-11", |play| message(24, Kind::RegisterRequest, 2, &requests(play, 1)))
    })
    .text("REGISTER_REQUEST that counts 2 and has one.", "The end of the migration.")
    .quick()
    .dangerous(),
    Case::destination("D-CTL-061", "a request more than counted", &["CTL-11"], |play| {
        in_round(play, "CTL-11", |play| message(48, Kind::RegisterRequest, 1, &requests(play, 2)))
    })
    .text("REGISTER_REQUEST that counts 1 and has two.", "The end of the migration.")
    .dangerous(),
    Case::destination("D-CTL-062", "half a request", &["CTL-11"], |play| {
        in_round(play, "CTL-11", |play| {
            let payload = requests(play, 1);
            message(12, Kind::RegisterRequest, 1, payload.split_at(12).0)
        })
    })
    .text("REGISTER_REQUEST of 12 bytes that counts 1.", "The end of the migration.")
    .dangerous(),
    Case::destination("D-CTL-063", "a counted request that is not there", &["CTL-11"], |play| {
        in_round(play, "CTL-11", |_| message(0, Kind::RegisterRequest, 1, &[]))
    })
    .text("REGISTER_REQUEST that counts 1 and has none.", "The end of the migration.")
    .dangerous(),
    Case::destination("D-CTL-064", "a zero run fewer than counted", &["CTL-11"], |play| {
        in_round(play, "CTL-11", |play| message(24, Kind::Compress, 2, &runs(play, 1)))
    })
    .text("COMPRESS that counts 2 and has one.", "The end of the migration.")
    .dangerous(),
    Case::destination("D-CTL-065", "a zero run more than counted", &["CTL-11"], |play| {
        in_round(play, "CTL-11", |play| message(48, Kind::Compress, 1, &runs(play, 2)))
    })
    .text("COMPRESS that counts 1 and has two.", "The end of the migration.")
    .dangerous(),
    Case::destination("D-CTL-066", "less to unregister than counted", &["CTL-11"], |play| {
        play.reach_round(0)?;
        play.register(&[play.request_for(0, 0, 0)])?;
        let mut payload = Vec::new();
        let chunk = UnregisterRequest { chunk: 0, block: 0 };
        Command::UnregisterRequest(chunk).encode(&mut payload);
        rejects(play, "CTL-11", message(24, Kind::UnregisterRequest, 2, &payload))
    })
    .text("UNREGISTER_REQUEST that counts 2 and has one.", "The end of the migration.")
    .dangerous(),
    Case::destination("D-CTL-070", "a command without READY", &["CTL-23"], |play| {
        play.reach_round(0)?;
        let length = first_run(play);
        send_runs(play, length);
        play.send(Kind::RegisterFinished, &[]);
        play.expect_end_at_once("CTL-23")
    })
    .text(
        "COMPRESS of a whole chunk, and REGISTER_FINISHED behind it, for one READY.",
        "The end of the migration, without the READY of the first.",
    )
    .quick()
    .dangerous(),
    Case::destination(
        "D-CTL-071",
        "a reply is due and the next request comes",
        &["CTL-23"],
        |play| {
            play.reach_round(0)?;
            for _ in 0..2 {
                let payload = requests(play, 1);
                play.send_bytes(message(24, Kind::RegisterRequest, 1, &payload));
            }
            play.expect_end_at_once("CTL-23")
        },
    )
    .text("Two REGISTER_REQUEST for one READY.", "The end of the migration, without results.")
    .dangerous(),
    Case::destination("D-CTL-072", "stream bytes without READY", &["CTL-23"], |play| {
        play.reach_round(0)?;
        let length = first_run(play);
        send_runs(play, length);
        play.send(Kind::QemuFile, &[0; 64]);
        play.expect_end_at_once("CTL-23")
    })
    .text(
        "COMPRESS of a whole chunk, and QEMU_FILE behind it, for one READY.",
        "The end of the migration, without the READY of the first.",
    )
    .dangerous(),
];

/// Sends it in place of the first stream bytes.
fn first(play: &mut Play<'_>, requirement: &str, message: Vec<u8>) -> Result<(), Stop> {
    play.reach_connected(0)?;
    rejects(play, requirement, message)
}

/// Sends it in a round, where every command on RAM would do.
fn in_round(
    play: &mut Play<'_>,
    requirement: &str,
    message: fn(&Play<'_>) -> Vec<u8>,
) -> Result<(), Stop> {
    play.reach_round(0)?;
    let message = message(play);
    rejects(play, requirement, message)
}

/// So many requests for the first chunk, each of which would be granted.
fn requests(play: &Play<'_>, count: usize) -> Vec<u8> {
    payload(Command::RegisterRequest(play.request_for(0, 0, 0)), count)
}

/// So many zero runs of a page, each of which would be filled.
fn runs(play: &Play<'_>, count: usize) -> Vec<u8> {
    payload(run(play, PAGE.min(first_run(play))), count)
}

fn payload(command: Command, count: usize) -> Vec<u8> {
    let mut payload = Vec::new();
    for _ in 0..count {
        command.encode(&mut payload);
    }
    payload
}

fn run(play: &Play<'_>, length: u64) -> Command {
    Command::Compress(Compress { value: 0, block: 0, offset: play.ram_address(0, 0), length })
}

fn first_run(play: &Play<'_>) -> u64 {
    play.destination_block(0).map_or(0, |block| block.length).min(CHUNK)
}

fn send_runs(play: &mut Play<'_>, length: u64) {
    let run = run(play, length);
    play.send_commands(Kind::Compress, &[run]);
}
