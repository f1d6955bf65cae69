//! A destination sets runs to zero.

use crate::codec::{Command, Compress, Kind, UnregisterRequest};
use crate::suite::play::{CHUNK, Message, Mirror, different_ram};
use crate::suite::{Case, Play, Stop};

/// What a source that breaks a rule is answered with.
const ENDS: &str = "The end of the migration, and no READY.";

pub(in super::super) const CASES: &[Case] = &[
    Case::destination("D-ZERO-001", "a zero run in fresh memory", &["ZERO-14", "ZERO-1"], |play| {
        play.reach_round(0)?;
        play.first_block(2)?;
        let mirror = play.mirror()?;
        play.compress(0, CHUNK, 4096)?;
        play.finish_migration()?;
        play.look_at(&mirror)
    })
    .text("A zero run of a page in memory that was never written.", "READY, and zeroes.")
    .completes()
    .after(|seen| different_ram(seen, "ZERO-14"))
    .quick(),
    Case::destination("D-ZERO-002", "a zero run in used memory", &["ZERO-14"], |play| {
        let mirror = used(play, &[(0, 65536), (131_072, CHUNK - 131_072)])?;
        play.compress(0, 65536, 65536)?;
        play.finish_migration()?;
        play.look_at(&mirror)
    })
    .text(
        "A chunk written and given back, and a zero run in the middle of it.",
        "READY; the run is zero, and what lies around it is as it was.",
    )
    .completes()
    .after(|seen| different_ram(seen, "ZERO-14"))
    .quick(),
    Case::destination("D-ZERO-003", "zero runs of odd lengths", &["ZERO-14", "ZERO-13"], |play| {
        let mirror = used(play, &[(1, 99), (107, CHUNK - 108)])?;
        play.compress(0, 0, 1)?;
        play.compress(0, 100, 7)?;
        play.compress(0, CHUNK - 1, 1)?;
        play.finish_migration()?;
        play.look_at(&mirror)
    })
    .text(
        "Zero runs of 1 and 7 bytes at odd places, up to the last byte of a chunk.",
        "Each is zero, and the bytes around them are as they were.",
    )
    .completes()
    .after(|seen| different_ram(seen, "ZERO-14")),
    Case::destination(
        "D-ZERO-004",
        "a zero run of a whole RAM block",
        &["ZERO-14", "ZERO-13"],
        |play| {
            let mirror = used(play, &[])?;
            let length = play.first_block(2)?.length;
            play.compress(0, 0, length)?;
            play.finish_migration()?;
            play.look_at(&mirror)
        },
    )
    .text(
        "A zero run from the first byte of a RAM block to its last, longer than a chunk.",
        "READY, and zeroes: a destination takes a run up to the end of its block.",
    )
    .completes()
    .after(|seen| different_ram(seen, "ZERO-14")),
    Case::destination("D-ZERO-005", "several commands in a message", &["ZERO-14"], |play| {
        let mirror = used(play, &[(8192, CHUNK - 12288)])?;
        let runs = [run(play, 0, 4096), run(play, 4096, 4096), run(play, CHUNK - 4096, 4096)];
        play.send_commands(Kind::Compress, &runs.map(Command::Compress));
        play.take_ready()?;
        play.finish_migration()?;
        play.look_at(&mirror)
    })
    .text(
        "Three zero runs in one message, in memory that was written before.",
        "One READY, and all three are zero.",
    )
    .completes()
    .after(|seen| different_ram(seen, "ZERO-14")),
    Case::destination("D-ZERO-006", "zero, then written", &["ZERO-14", "REG-14"], |play| {
        play.reach_round(0)?;
        let mirror = play.mirror()?;
        play.compress(0, 0, 65536)?;
        let request = play.request_for(0, 0, 0);
        for granted in play.register(&[request])? {
            play.write_mirrored(&mirror, (0, 0, 65536), granted)?;
        }
        play.finish_migration()?;
        play.look_at(&mirror)
    })
    .text(
        "A zero run, and then a request for its chunk and a write of the same bytes.",
        "RAM has what was written: the fill is done when READY comes.",
    )
    .completes()
    .after(|seen| different_ram(seen, "ZERO-14")),
    Case::destination("D-ZERO-007", "zero in the first round", &["ZERO-14"], |play| {
        play.reach_exchanged(0)?;
        play.compress(0, 0, 4096)
    })
    .text("A zero run directly after the exchange of RAM blocks.", "READY."),
    Case::destination("D-ZERO-008", "a zero run in pin-all mode", &["ZERO-14"], |play| {
        play.reach_pinned_round()?;
        let run = Command::Compress(run(play, 0, 4096));
        play.send_commands(Kind::Compress, &[run]);
        play.take_ready_unless_ended().map(drop)
    })
    .text(
        "A zero run where all RAM is pinned, which no source may send.",
        "READY or the end of the migration: nothing is required of a destination.",
    )
    .pin_all()
    .observed(),
    Case::destination("D-ZERO-020", "a fill byte of 1", &["ZERO-12"], |play| {
        rejects(play, "ZERO-12", |run, _| run.value = 1)
    })
    .text("A run whose `value` is 1.", ENDS)
    .quick(),
    Case::destination("D-ZERO-021", "a fill value whose low byte is 0", &["ZERO-12"], |play| {
        rejects(play, "ZERO-12", |run, _| run.value = 0x0100_0000)
    })
    .text("A run whose `value` is 0x01000000, which is 1 to whoever does not swap bytes.", ENDS),
    Case::destination("D-ZERO-022", "an empty run", &["ZERO-13"], |play| {
        rejects(play, "ZERO-13", |run, _| run.length = 0)
    })
    .text("A zero run of no bytes.", ENDS),
    Case::destination("D-ZERO-023", "a run that is a byte too long", &["ZERO-13"], |play| {
        rejects(play, "ZERO-13", |run, block| run.length = block + 1)
    })
    .text("A zero run of all bytes of its RAM block and one more.", ENDS)
    .quick()
    .dangerous(),
    Case::destination("D-ZERO-024", "a run behind its RAM block", &["ZERO-13"], |play| {
        rejects(play, "ZERO-13", |run, block| {
            run.offset = run.offset.wrapping_add(block);
            run.length = 1;
        })
    })
    .text("A zero run of a byte, the first behind its RAM block.", ENDS)
    .dangerous(),
    Case::destination("D-ZERO-025", "a run in front of its RAM block", &["ZERO-13"], |play| {
        rejects(play, "ZERO-13", |run, _| {
            run.offset = run.offset.wrapping_sub(1);
            run.length = 2;
        })
    })
    .text("A zero run of two bytes, the first of which is in front of its RAM block.", ENDS)
    .dangerous(),
    Case::destination("D-ZERO-026", "the longest run", &["ZERO-13"], |play| {
        rejects(play, "ZERO-13", |run, _| run.length = u64::MAX)
    })
    .text("A zero run of 2^64 - 1 bytes.", ENDS)
    .dangerous(),
    Case::destination("D-ZERO-027", "a run that wraps around", &["ZERO-13"], |play| {
        rejects(play, "ZERO-13", |run, _| {
            run.offset = run.offset.wrapping_add(4096);
            run.length = 0_u64.wrapping_sub(2048);
        })
    })
    .text("A zero run whose end is no number: with 64 bits it lies inside the block.", ENDS)
    .quick()
    .dangerous(),
    Case::destination("D-ZERO-028", "the largest offset", &["ZERO-13"], |play| {
        rejects(play, "ZERO-13", |run, _| run.offset = u64::MAX)
    })
    .text("A zero run whose offset is 2^64 - 1.", ENDS)
    .dangerous(),
    Case::destination(
        "D-ZERO-029",
        "zero in a RAM block that does not exist",
        &["REG-11"],
        |play| {
            play.reach_round(0)?;
            let block = u32::try_from(play.blocks().len()).unwrap_or(u32::MAX);
            let run = Command::Compress(Compress { value: 0, block, offset: 0, length: 4096 });
            play.send_commands(Kind::Compress, &[run]);
            play.expect_end("REG-11")
        },
    )
    .text("A zero run in a RAM block past the last.", ENDS)
    .quick()
    .dangerous(),
    Case::destination("D-ZERO-030", "zero in the last index there is", &["REG-11"], |play| {
        rejects(play, "REG-11", |run, _| run.block = u32::MAX)
    })
    .text("A zero run in RAM block 4294967295.", ENDS)
    .dangerous(),
    Case::destination("D-ZERO-031", "one bad run of several", &["ZERO-13"], |play| {
        let mirror = used(play, &[(0, CHUNK)])?;
        let bad = Compress { length: 0, ..run(play, 0, 1) };
        let runs = [run(play, 0, 4096), bad, run(play, 8192, 4096)];
        play.send_commands(Kind::Compress, &runs.map(Command::Compress));
        play.expect_end("ZERO-13")?;
        play.look_at(&mirror)
    })
    .text(
        "Three zero runs in one message, of which the second is empty.",
        "The end of the migration, and nothing of the message is filled.",
    )
    .after(|seen| different_ram(seen, "ZERO-13")),
    Case::destination("D-ZERO-032", "zero before the exchange", &["REG-22"], |play| {
        play.reach_set_up(0)?;
        let run = Command::Compress(Compress { value: 0, block: 0, offset: 0, length: 4096 });
        play.send_commands(Kind::Compress, &[run]);
        play.expect_end("REG-22")
    })
    .text("A zero run behind the first hook word, in place of RAM_BLOCKS_REQUEST.", ENDS)
    .dangerous(),
    Case::destination(
        "D-ZERO-033",
        "a zero run that is cut short",
        &["CTL-11", "ZERO-1"],
        |play| rejects_payload(play, 1, |payload| payload.truncate(23)),
    )
    .text("A COMPRESS of 23 bytes, with a header that says so.", ENDS),
    Case::destination("D-ZERO-034", "a zero run with a byte more", &["CTL-11", "ZERO-1"], |play| {
        rejects_payload(play, 1, |payload| payload.push(0))
    })
    .text("A COMPRESS of 25 bytes, with a header that says so.", ENDS),
    Case::destination("D-ZERO-035", "no zero runs at all", &["CTL-10"], |play| {
        rejects_payload(play, 0, Vec::clear)
    })
    .text("A COMPRESS without payload whose `repeat` is 0.", ENDS),
    Case::destination("D-ZERO-036", "fewer zero runs than `repeat`", &["CTL-11"], |play| {
        rejects_payload(play, 2, |_| {})
    })
    .text("One zero run in a message whose `repeat` is 2.", ENDS),
    Case::destination("D-ZERO-037", "4097 zero runs in a message", &["CTL-10", "LIM-2"], |play| {
        rejects_payload(play, 4097, |payload| *payload = payload.repeat(4097))
    })
    .text("4097 zero runs in a message whose `repeat` is 4097.", ENDS),
    Case::destination(
        "D-ZERO-038",
        "memory that cannot be filled",
        &["ZERO-14", "CON-30"],
        |play| {
            play.reach_round(0)?;
            let run = Command::Compress(run(play, 0, 4096));
            play.send_commands(Kind::Compress, &[run]);
            play.expect_end("ZERO-14")
        },
    )
    .text("A zero run that the destination's host cannot fill.", ENDS)
    .faults(&["zero-failed@1"]),
    Case::destination("D-ZERO-039", "disconnection at a zero run", &["RND-11"], |play| {
        play.reach_round(0)?;
        let run = Command::Compress(run(play, 0, 4096));
        play.send_commands(Kind::Compress, &[run]);
        play.disconnect();
        Ok(())
    })
    .text("A zero run, and the end of the connection behind it.", "The migration has failed."),
    Case::destination("D-ZERO-040", "ERROR at a zero run", &["CTL-31"], |play| {
        play.reach_round(0)?;
        let run = Command::Compress(run(play, 0, 4096));
        play.send_commands(Kind::Compress, &[run]);
        play.send(Kind::Error, &[]);
        play.wait_for_end()
    })
    .text("A zero run, and ERROR without waiting for READY.", "The end of the migration."),
];

/// A run in the first RAM block.
fn run(play: &Play<'_>, offset: u64, length: u64) -> Compress {
    Compress { value: 0, block: 0, offset: play.ram_address(0, offset), length }
}

/// Writes the first chunk and gives it back. `stays` is what of it is not set to zero afterwards, and
/// what the mirror has.
fn used(play: &mut Play<'_>, stays: &[(u64, u64)]) -> Result<Mirror, Stop> {
    play.reach_round(0)?;
    play.first_block(2)?;
    let mirror = play.mirror()?;
    let request = play.request_for(0, 0, 0);
    for granted in play.register(&[request])? {
        let from = play.writable(CHUNK)?;
        let _ = play.write(&from, CHUNK, granted.host_address, granted.rkey)?;
        for (offset, length) in stays {
            play.write_mirrored(&mirror, (0, *offset, *length), granted)?;
        }
    }
    let first = UnregisterRequest { chunk: 0, block: 0 };
    play.send_commands(Kind::UnregisterRequest, &[Command::UnregisterRequest(first)]);
    play.expect(Kind::UnregisterFinished, "REG-32")?;
    play.take_ready()?;
    Ok(mirror)
}

/// `spoil` is told the length of the RAM block.
fn rejects(
    play: &mut Play<'_>,
    requirement: &str,
    spoil: impl FnOnce(&mut Compress, u64),
) -> Result<(), Stop> {
    play.reach_round(0)?;
    let mut run = run(play, 0, 4096);
    spoil(&mut run, play.first_block(1)?.length);
    play.send_commands(Kind::Compress, &[Command::Compress(run)]);
    play.expect_end(requirement)
}

fn rejects_payload(
    play: &mut Play<'_>,
    repeat: u32,
    spoil: impl FnOnce(&mut Vec<u8>),
) -> Result<(), Stop> {
    play.reach_round(0)?;
    let mut payload = Vec::new();
    Command::Compress(run(play, 0, 4096)).encode(&mut payload);
    spoil(&mut payload);
    play.send_bytes(Message::encode(Kind::Compress, repeat, &payload));
    play.expect_end(if (1..=4096).contains(&repeat) { "CTL-11" } else { "CTL-10" })
}
