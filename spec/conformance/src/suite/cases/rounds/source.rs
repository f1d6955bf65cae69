//! A source sends rounds, and gives the guest away.

use core::time::Duration;

use crate::codec::{Kind, find_description};
use crate::suite::play::{Asked, Message, breach};
use crate::suite::verdict::Finding;
use crate::suite::{Case, Play, Seen, Stop};

/// What ends a migration before its end.
const ENDS: &str = "The end of the migration; the guest stays the source's.";
/// The word that opens a round.
const HOOK: [u8; 8] = [0, 0, 0, 0, 0, 0, 0, 0x80];
/// What no source may call no time at all.
const A_MOMENT: Duration = Duration::from_millis(100);

pub(in super::super) const CASES: &[Case] = &[
    Case::source("S-RND-001", "a whole migration", &["RND-1", "RND-8"], |play| {
        let mut asked = play.reach_accepted()?;
        play.serve_to_the_end(&mut asked)?;
        let last = asked.messages.last().map(Message::kind);
        play.check(last == Some(Kind::QemuFile), "RND-1", "the last message is not of the stream");
        Ok(())
    })
    .text("What a destination answers in a whole migration.", "The guest leaves.")
    .quick()
    .completes()
    .after(has_given_away),
    Case::source("S-RND-002", "each round ends", &["RND-1"], rounds_end)
        .text(
            "What a destination answers in a whole migration.",
            "One REGISTER_FINISHED for each hook word at the end of a message.",
        )
        .quick()
        .completes(),
    Case::source("S-RND-003", "each round ends in pin-all mode", &["RND-1"], rounds_end)
        .text(
            "What a destination answers in a whole migration where all RAM is pinned.",
            "One REGISTER_FINISHED for each hook word at the end of a message.",
        )
        .pin_all()
        .completes(),
    Case::source("S-RND-004", "time for the destination to disconnect", &["RND-7", "ERR-2"], |play| {
        reach_last_message(play)?;
        play.expect_silence(A_MOMENT, "RND-7");
        play.wait_for_end()
    })
    .text(
        "Everything up to the last message of the stream, and nothing after it.",
        "The source stays for a tenth of a second at least, and disconnects in the end.",
    )
    .quick()
    .completes()
    .after(has_given_away),
    Case::source("S-RND-005", "disconnection behind the last message", &["RND-9", "RND-8"], |play| {
        reach_last_message(play)?;
        play.expect_silence(A_MOMENT, "RND-7");
        play.disconnect();
        Ok(())
    })
    .text(
        "The end of the connection a tenth of a second after the last message of the stream.",
        "The migration has succeeded; the guest is the destination's.",
    )
    .quick()
    .completes()
    .after(has_given_away),
    Case::source("S-RND-006", "ERROR behind the last message", &["RND-8"], |play| {
        reach_last_message(play)?;
        play.expect_silence(A_MOMENT, "RND-7");
        play.send(Kind::Error, &[]);
        play.wait_for_end()
    })
    .text(
        "ERROR a tenth of a second after the last message of the stream.",
        "The guest is the destination's, which has failed to run it.",
    )
    .quick()
    .completes()
    .after(|seen| owner_is(seen, "RND-8", "destination")),
    Case::source("S-RND-007", "an unasked reply behind the last message", &["RND-8"], |play| {
        reach_last_message(play)?;
        play.expect_silence(A_MOMENT, "RND-7");
        play.send_bytes(Message::encode(Kind::RegisterResult, 1, &[1; 16]));
        play.wait_for_end()
    })
    .text(
        "REGISTER_RESULT a tenth of a second after the last message of the stream.",
        "The end of the connection; the guest is the destination's all the same.",
    )
    .completes()
    .after(|seen| owner_is(seen, "RND-8", "destination")),
    Case::source("S-RND-008", "READY behind the last message", &["RND-9", "RND-8"], |play| {
        reach_last_message(play)?;
        play.ready();
        play.wait_for_end()
    })
    .text("READY behind the last message of the stream, which goes unused.", "The guest leaves.")
    .completes()
    .after(has_given_away),
    Case::source("S-RND-009", "the last message is not acknowledged", &["RND-3"], |play| {
        reach_last_message(play).map(|_| ())
    })
        .text(
            "What a destination answers; the acknowledgement of the last message never arrives.",
            "The migration has failed, and the guest's owner is undecided.",
        )
        .completes()
        .faults(&["last-send-unacknowledged@1"])
        .after(|seen| owner_is(seen, "RND-3", "undecided")),
    Case::source("S-RND-010", "the last message does not arrive", &["RND-3"], |play| {
        let mut asked = play.reach_accepted()?;
        loop {
            match play.take_command(&mut asked) {
                Ok(message) => play.serve(&mut asked, &message)?,
                // The link was cut, and nothing says so to this side.
                Err(Stop::Timeout { .. }) => return Ok(()),
                Err(stop) => return Err(stop),
            }
        }
    })
        .text(
            "What a destination answers; the link is cut as the last message leaves.",
            "The migration has failed, and the guest's owner is undecided.",
        )
        .completes()
        .faults(&["last-send-lost@1"])
        .after(|seen| owner_is(seen, "RND-3", "undecided")),
    Case::source("S-RND-011", "disconnection before READY", &["RND-5"], |play| {
        play.reach_accepted()?;
        play.disconnect();
        Ok(())
    })
    .text("The end of the connection before the first READY.", ENDS)
    .after(has_kept),
    Case::source("S-RND-012", "disconnection at the exchange", &["RND-5"], |play| {
        leave_at(play, Kind::RamBlocksRequest)
    })
    .text("The end of the connection in place of RAM_BLOCKS_RESULT.", ENDS)
    .after(has_kept),
    Case::source("S-RND-013", "disconnection at the end of the first round", &["RND-5"], |play| {
        leave_at(play, Kind::RegisterFinished)
    })
    .text("The end of the connection in place of READY after the first REGISTER_FINISHED.", ENDS)
    .quick()
    .after(has_kept),
    Case::source("S-RND-014", "disconnection at the end of the second round", &["RND-5"], |play| {
        leave_after_rounds(play, 2)
    })
    .text("The end of the connection in place of READY after the second REGISTER_FINISHED.", ENDS)
    .after(has_kept),
    Case::source("S-RND-015", "disconnection before the last message", &["RND-5"], |play| {
        let mut asked = play.reach_accepted()?;
        play.serve_until(&mut asked, is_device_state())?;
        play.disconnect();
        Ok(())
    })
    .text(
        "The end of the connection after the first message of the device state, if there are more.",
        ENDS,
    )
    .quick()
    .after(has_kept),
    Case::source("S-RND-016", "ERROR before the last message", &["RND-5", "CTL-31"], |play| {
        let mut asked = play.reach_accepted()?;
        play.serve_until(&mut asked, is_device_state())?;
        play.send(Kind::Error, &[]);
        play.expect_end("CTL-31")
    })
    .text("ERROR after the first message of the device state, if there are more.", ENDS)
    .after(has_kept),
    Case::source("S-RND-017", "no READY before the last message", &["RND-5", "ERR-2"], |play| {
        let mut asked = play.reach_accepted()?;
        play.serve_until(&mut asked, is_device_state())?;
        play.expect_end("ERR-2")
    })
    .text(
        "No READY after the first message of the device state, if there are more.",
        "The end of the migration, once the source has waited long enough; the guest stays its own.",
    )
    .after(has_kept),
    Case::source("S-RND-018", "ERROR at the end of a round", &["CTL-31", "RND-5"], |play| {
        play.reach_command(Kind::RegisterFinished)?;
        play.send(Kind::Error, &[]);
        play.expect_end("CTL-31")
    })
    .text("ERROR in place of READY after REGISTER_FINISHED.", ENDS)
    .after(has_kept),
    Case::source("S-RND-019", "a reply to REGISTER_FINISHED", &["CTL-26"], |play| {
        play.reach_command(Kind::RegisterFinished)?;
        play.send_bytes(Message::encode(Kind::RegisterResult, 1, &[1; 16]));
        play.expect_end("CTL-26")
    })
    .text("REGISTER_RESULT after REGISTER_FINISHED, which has no reply.", ENDS)
    .after(has_kept),
    Case::source("S-RND-020", "no READY at the end of a round", &["ERR-2", "ERR-1"], |play| {
        play.reach_command(Kind::RegisterFinished)?;
        play.expect_end("ERR-2")
    })
    .text(
        "No READY after REGISTER_FINISHED.",
        "The end of the migration, once the source has waited long enough.",
    )
    .after(has_kept),
];

fn rounds_end(play: &mut Play<'_>) -> Result<(), Stop> {
    let mut asked = play.reach_accepted()?;
    play.serve_to_the_end(&mut asked)?;
    let mut open = false;
    for message in &asked.messages {
        match message.kind() {
            Kind::QemuFile => {
                play.check(!open, "RND-1", "a round is open, and the stream goes on");
                open = message.payload.ends_with(&HOOK);
            }
            Kind::RegisterFinished => {
                play.check(open, "RND-1", "REGISTER_FINISHED where no round is open");
                open = false;
            }
            _ => {}
        }
    }
    play.check(!open, "RND-1", "the last round has no end");
    Ok(())
}

/// Serves the source up to the last message of its stream, which gets no READY.
fn reach_last_message(play: &mut Play<'_>) -> Result<Asked, Stop> {
    let mut asked = play.reach_accepted()?;
    loop {
        let message = play.take_command(&mut asked)?;
        play.serve(&mut asked, &message)?;
        if find_description(&asked.stream).is_some() {
            return Ok(asked);
        }
    }
}

/// The first message behind the last round that is full: more of the stream follows.
fn is_device_state() -> impl FnMut(&Message) -> bool {
    let mut rounds = 0;
    move |message| {
        rounds += usize::from(message.kind() == Kind::RegisterFinished);
        let full = message.payload.len() >= 32768;
        rounds > 0 && message.kind() == Kind::QemuFile && full
    }
}

fn leave_at(play: &mut Play<'_>, kind: Kind) -> Result<(), Stop> {
    play.reach_command(kind)?;
    play.disconnect();
    Ok(())
}

fn leave_after_rounds(play: &mut Play<'_>, rounds: usize) -> Result<(), Stop> {
    let mut asked = play.reach_accepted()?;
    while asked.rounds < rounds {
        let message = play.take_command(&mut asked)?;
        play.serve(&mut asked, &message)?;
    }
    if find_description(&asked.stream).is_some() {
        return Err(breach("RND-1", "the stream ends before its last round"));
    }
    play.disconnect();
    Ok(())
}

fn owner_is(seen: &Seen<'_>, requirement: &str, wanted: &str) -> Vec<Finding> {
    let owner = seen.aftermath.guest_owner.as_deref();
    let other = owner.filter(|owner| *owner != wanted);
    let says = |owner| format!("the guest's owner is {owner} and not {wanted}");
    other.map(|owner| Finding::safety(requirement, says(owner))).into_iter().collect()
}

fn has_given_away(seen: &Seen<'_>) -> Vec<Finding> {
    let mut found = owner_is(seen, "RND-8", "destination");
    if seen.aftermath.completed == Some(false) {
        let says = "the last message was acknowledged, and it calls the migration failed";
        found.push(Finding::wording("RND-9", says));
    }
    found
}

fn has_kept(seen: &Seen<'_>) -> Vec<Finding> {
    let mut found = owner_is(seen, "RND-5", "source");
    if seen.aftermath.completed == Some(true) {
        found.push(Finding::safety("RND-5", "it calls a migration a success that failed"));
    }
    found
}
