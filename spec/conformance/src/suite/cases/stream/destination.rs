//! A destination takes the stream, and finds its end.

use core::time::Duration;

use crate::codec::{Kind, find_description};
use crate::suite::{Case, Play, Stop};

/// What a stream that is not complete leads to.
const FAILS: &str = "The migration has failed: the guest is not the destination's.";
/// The end marker, the start of the description, its length.
const HEAD_BYTES: usize = 6;

pub(in super::super) const CASES: &[Case] = &[
    Case::destination("D-STR-001", "a stream in small pieces", &["CTL-33", "BLK-11"], |play| {
        play.reach_connected(0)?;
        let set_up = play.guest().set_up.clone();
        send_in(play, &set_up, 24)?;
        play.exchange_blocks()
    })
    .text(
        "The stream up to the first hook word in 24 messages, which cut everything in it.",
        "READY after each, and the RAM blocks.",
    )
    .quick(),
    Case::destination("D-STR-002", "a hook word in two messages", &["CTL-33", "BLK-11"], |play| {
        play.reach_connected(0)?;
        let set_up = play.guest().set_up.clone();
        let (before, half) = set_up.split_at(set_up.len().saturating_sub(4));
        play.stream(before)?;
        play.stream(half)?;
        play.exchange_blocks()
    })
    .text("The stream up to the first hook word, which is cut in two.", "The RAM blocks."),
    Case::destination("D-STR-003", "a long message", &["LIM-7"], |play| {
        reach_end(play)?;
        let end = play.guest().end.clone();
        if !(32769..=524_272).contains(&end.len()) {
            return Err(Stop::Unsupported { what: "a guest with more device state".into() });
        }
        play.send(Kind::QemuFile, &end);
        play.take_ready_unless_ended().map(drop)
    })
    .text(
        "All of the stream behind the last round in one message of more than 32768 bytes.",
        "The guest arrives: a destination takes up to 524272 stream bytes in a message.",
    )
    .completes(),
    Case::destination("D-STR-004", "one READY a message", &["STR-4", "CTL-21"], |play| {
        play.reach_connected(0)?;
        let set_up = play.guest().set_up.clone();
        let (first, rest) = set_up.split_at(set_up.len() / 2);
        play.expect_silence(Duration::from_millis(200), "CTL-21");
        play.stream(first)?;
        play.expect_silence(Duration::from_millis(200), "STR-4");
        play.stream(rest)?;
        play.expect_silence(Duration::from_millis(200), "STR-4");
        play.exchange_blocks()
    })
    .text(
        "Messages of the stream, with a while of nothing after the READY of each. Whether the owner \
         has taken the bytes by then cannot be seen from here; a READY that is not for them can.",
        "Nothing but one READY for each message.",
    )
    .quick(),
    Case::destination("D-STR-005", "stream bytes in a round", &["STR-3"], |play| {
        play.reach_round(0)?;
        play.compress(0, 0, 4096)?;
        let end_of_part = play.guest().between_rounds.clone();
        if play.stream_is_taken(&end_of_part)? {
            play.disconnect();
        }
        Ok(())
    })
    .text(
        "QEMU_FILE in a round, which no source may send; QEMU 8.1.0 to 8.1.2 do.",
        "READY or the end of the migration: nothing is required of a destination.",
    )
    .observed(),
    Case::destination("D-STR-006", "silence in the stream", &["ERR-2", "ERR-1"], |play| {
        play.reach_connected(0)?;
        let set_up = play.guest().set_up.clone();
        play.stream(&set_up[..set_up.len() / 2])?;
        play.expect_end("ERR-2")
    })
    .text(
        "The first half of the stream up to the first hook word, and nothing more.",
        "The end of the migration, once the destination has waited long enough.",
    ),
    Case::destination("D-STR-007", "disconnection in the stream", &["RND-11"], |play| {
        play.reach_connected(0)?;
        let set_up = play.guest().set_up.clone();
        play.send(Kind::QemuFile, &set_up[..set_up.len() / 2]);
        play.disconnect();
        Ok(())
    })
    .text("The first half of the stream up to the first hook word, and the end of it all.", FAILS),
    Case::destination("D-STR-008", "ERROR in the stream", &["CTL-31"], |play| {
        play.reach_connected(0)?;
        let set_up = play.guest().set_up.clone();
        play.stream(&set_up[..set_up.len() / 2])?;
        play.send(Kind::Error, &[]);
        play.expect_end("CTL-31")
    })
    .text("The first half of the stream up to the first hook word, and ERROR.", FAILS),
    Case::destination("D-STR-009", "a message without stream bytes", &["CTL-8"], |play| {
        play.reach_connected(0)?;
        play.send(Kind::QemuFile, &[]);
        play.expect_end("CTL-8")
    })
    .text("A QEMU_FILE without payload.", "The end of the migration."),
    Case::destination("D-STR-010", "the last byte in a message of its own", &["STR-40"], |play| {
        reach_end(play)?;
        let end = play.guest().end.clone();
        let (before, last) = end.split_at(end.len().saturating_sub(1));
        play.stream(before)?;
        play.send(Kind::QemuFile, last);
        play.take_ready_unless_ended().map(drop)
    })
    .text(
        "The last byte of the description of the device state in a message of its own.",
        "The guest arrives, and not before that byte.",
    )
    .completes(),
    Case::destination("D-STR-060", "a stream that is a byte short", &["STR-40", "RND-6"], |play| {
        ends_with(play, |end| {
            end.pop();
        })
    })
    .text("A stream without its last byte, and the end of the connection.", FAILS)
    .quick(),
    Case::destination("D-STR-061", "a description that is too short", &["STR-40"], |play| {
        ends_with(play, |end| {
            end.pop();
            end.pop();
            end.push(b'}');
        })
    })
    .text(
        "A description of the device state with a byte less than its length, which ends with `}`.",
        FAILS,
    ),
    Case::destination("D-STR-062", "a byte behind the description", &["STR-40"], |play| {
        ends_with(play, |end| end.push(b'}'))
    })
    .text("A stream with a `}` more behind its description of the device state.", FAILS),
    Case::destination("D-STR-063", "no description", &["STR-40"], |play| {
        ends_with(play, |end| end.truncate(end.len() - description_bytes(end) - (HEAD_BYTES - 1)))
    })
    .text(
        "A stream that ends with its end marker, from a machine that sends a description.",
        FAILS,
    ),
    Case::destination("D-STR-064", "no end marker", &["STR-40"], |play| {
        ends_with(play, |end| {
            let marker = end.len() - description_bytes(end) - HEAD_BYTES;
            if let Some(byte) = end.get_mut(marker) {
                *byte = 0x7e;
            }
        })
    })
    .text("A stream with another byte in place of the end marker before its description.", FAILS),
    Case::destination("D-STR-065", "a description that is none", &["STR-40"], |play| {
        ends_with(play, |end| {
            let text = end.len() - description_bytes(end);
            if let Some(byte) = end.get_mut(text) {
                *byte = b'[';
            }
        })
    })
    .text("A description of the device state that begins with `[`.", FAILS),
    Case::destination("D-STR-066", "more stream behind a complete one", &["STR-40", "RND-6"], |play| {
        reach_end(play)?;
        let end = play.guest().end.clone();
        play.send(Kind::QemuFile, &[&end[..], &[0x02]].concat());
        let _ = play.take_ready_unless_ended()?;
        play.disconnect();
        Ok(())
    })
    .text(
        "A message that holds a complete stream and a byte more, and the end of the connection.",
        FAILS,
    ),
];

/// Sends bytes in so many messages.
fn send_in(play: &mut Play<'_>, bytes: &[u8], messages: usize) -> Result<(), Stop> {
    let piece = bytes.len().div_ceil(messages).max(1);
    bytes.chunks(piece).try_for_each(|piece| play.stream(piece))
}

/// Everything up to the end of the last round.
fn reach_end(play: &mut Play<'_>) -> Result<(), Stop> {
    play.reach_round(0)?;
    play.finish_round()?;
    let last = play.guest().before_last_round.clone();
    play.stream(&last)?;
    play.finish_round()
}

fn description_bytes(end: &[u8]) -> usize {
    find_description(end).map_or(0, <[u8]>::len)
}

/// A whole migration with another end of its stream, after which the source leaves.
fn ends_with(play: &mut Play<'_>, spoil: impl FnOnce(&mut Vec<u8>)) -> Result<(), Stop> {
    let mut end = play.guest().end.clone();
    if find_description(&end).is_none() {
        return Err(Stop::Unsupported { what: "a guest with a description".into() });
    }
    spoil(&mut end);
    reach_end(play)?;
    if play.stream_is_taken(&end)? {
        play.disconnect();
    }
    Ok(())
}
