//! A source ends a migration that has failed, at whatever point, and keeps the guest.

use super::{error_with_garbage, has_failed};
use crate::codec::Kind;
use crate::suite::play::Asked;
use crate::suite::{Action, Case, Play, Stop};

/// What silence leads to.
const WAITS: &str = "The end of the migration, once the source has waited long enough.";
/// What ends a migration before its end.
const ENDS: &str = "The end of the migration; the guest stays the source's.";

pub(in super::super) const CASES: &[Case] = &[
    Case::source("S-ERR-001", "no answer to its request", &["ERR-1", "ERR-2"], |play| {
        play.take_request().map(drop)
    })
    .text("No answer to the request to connect.", WAITS)
    .after(has_failed),
    Case::source("S-ERR-002", "no READY at all", &["ERR-2", "ERR-1"], |play| {
        play.reach_accepted()?;
        play.expect_end("ERR-2")
    })
    .text("A connection, and nothing more.", WAITS)
    .quick()
    .after(has_failed),
    Case::source("S-ERR-003", "no result", &["ERR-2", "CON-33"], |play| {
        play.reach_command(Kind::RegisterRequest)?;
        play.expect_end("ERR-2")
    })
    .text("Nothing in answer to REGISTER_REQUEST.", WAITS)
    .quick()
    .after(has_failed),
    Case::source("S-ERR-004", "no READY behind a result", &["ERR-2", "CON-33"], |play| {
        answer(play, Kind::RegisterRequest)?;
        play.expect_end("ERR-2")
    })
    .text("REGISTER_RESULT, and no READY behind it.", WAITS)
    .after(has_failed),
    Case::source("S-ERR-005", "no READY behind a zero run", &["ERR-2"], |play| {
        play.reach_command(Kind::Compress)?;
        play.expect_end("ERR-2")
    })
    .text("No READY after COMPRESS.", WAITS)
    .after(has_failed),
    Case::source("S-ERR-006", "no answer to an unregistration", &["ERR-2", "CON-33"], |play| {
        play.reach_command(Kind::UnregisterRequest)?;
        play.expect_end("ERR-2")
    })
    .text("Nothing in answer to UNREGISTER_REQUEST.", WAITS)
    .unregisters()
    .after(has_failed),
    Case::source("S-ERR-007", "no READY behind an unregistration", &["ERR-2", "CON-33"], |play| {
        answer(play, Kind::UnregisterRequest)?;
        play.expect_end("ERR-2")
    })
    .text("UNREGISTER_FINISHED, and no READY behind it.", WAITS)
    .unregisters()
    .after(has_failed),
    Case::source("S-ERR-008", "no READY in pin-all mode", &["ERR-2", "CON-33"], |play| {
        reach_round_end(play, 2)?;
        play.expect_end("ERR-2")
    })
    .text("No READY after the second REGISTER_FINISHED, with all RAM pinned.", WAITS)
    .pin_all()
    .after(has_failed),
    Case::source("S-ERR-009", "a destination that takes no message", &["ERR-2", "ERR-1"], |play| {
        play.act(Action::WithholdReceives);
        let mut asked = play.reach_accepted()?;
        // As many commands as there were receives; the next one finds none.
        for _ in 0..3 {
            let message = play.take_command(&mut asked)?;
            play.serve(&mut asked, &message)?;
        }
        play.ready();
        play.wait_for_end()
    })
    .text("What a destination answers, and no receive for the fourth command.", WAITS)
    .misleads()
    .after(has_failed),
    Case::source("S-ERR-020", "ERROR in the second round", &["CTL-31", "RND-5"], |play| {
        answer(play, Kind::RegisterRequest)?;
        fail(play)
    })
    .text("REGISTER_RESULT, and ERROR in place of READY.", ENDS)
    .after(has_failed),
    Case::source("S-ERR-021", "ERROR behind an unregistration", &["CTL-31", "RND-5"], |play| {
        answer(play, Kind::UnregisterRequest)?;
        fail(play)
    })
    .text("UNREGISTER_FINISHED, and ERROR in place of READY.", ENDS)
    .unregisters()
    .after(has_failed),
    Case::source("S-ERR-022", "ERROR with all RAM pinned", &["CTL-31", "CON-33"], |play| {
        reach_round_end(play, 2)?;
        fail(play)
    })
    .text("ERROR after the second REGISTER_FINISHED, with all RAM pinned.", ENDS)
    .pin_all()
    .after(has_failed),
    Case::source("S-ERR-023", "ERROR between rounds", &["CTL-31", "RND-5"], |play| {
        let mut asked = reach_round_end(play, 1)?;
        play.take_command(&mut asked)?;
        fail(play)
    })
    .text("ERROR after the first message of the stream behind a round.", ENDS)
    .quick()
    .after(has_failed),
    Case::source("S-ERR-024", "ERROR with garbage in its header", &["CTL-9", "CTL-5"], |play| {
        play.reach_command(Kind::RegisterFinished)?;
        play.send_bytes(error_with_garbage());
        play.expect_no_error("CON-31")
    })
    .text("ERROR whose `repeat` and padding are anything.", "A disconnection, without ERROR.")
    .after(has_failed),
    Case::source("S-ERR-025", "ERROR with a payload", &["CTL-7", "RND-5"], |play| {
        play.reach_command(Kind::RegisterFinished)?;
        play.send(Kind::Error, &[0; 16]);
        play.expect_end_at_once("CTL-7")
    })
    .text("ERROR with 16 bytes of payload, in place of READY.", ENDS)
    .after(has_failed),
    Case::source("S-ERR-026", "ERROR twice", &["CTL-31", "CON-31"], |play| {
        play.reach_command(Kind::RegisterRequest)?;
        play.send(Kind::Error, &[]);
        play.send(Kind::Error, &[]);
        play.expect_no_error("CON-31")
    })
    .text("ERROR in place of a result, and ERROR again.", "A disconnection, without ERROR.")
    .after(has_failed),
    Case::source("S-ERR-027", "a reply behind ERROR", &["CTL-31", "RND-5"], |play| {
        let (mut asked, request) = play.reach_command(Kind::RegisterRequest)?;
        play.send(Kind::Error, &[]);
        play.serve(&mut asked, &request)?;
        play.ready();
        play.expect_end_at_once("CTL-31")
    })
    .text("ERROR in place of a result, and behind it the result and READY.", ENDS)
    .after(has_failed),
    Case::source("S-ERR-040", "it is refused", &["RND-5"], |play| {
        play.take_request()?;
        play.act(Action::Reject);
        Ok(())
    })
    .text("A refusal of the connection.", ENDS)
    .quick()
    .after(has_failed),
    Case::source("S-ERR-041", "disconnection at once", &["RND-5"], |play| {
        play.reach_accepted()?;
        play.disconnect();
        Ok(())
    })
    .text("The end of the connection as soon as it is made.", ENDS)
    .after(has_failed),
    Case::source("S-ERR-042", "disconnection behind a result", &["RND-5", "CON-33"], |play| {
        answer(play, Kind::RegisterRequest)?;
        play.disconnect();
        Ok(())
    })
    .text("REGISTER_RESULT, and the end of the connection in place of READY.", ENDS)
    .after(has_failed),
    Case::source("S-ERR-043", "disconnection behind an unregistration", &["RND-5"], |play| {
        answer(play, Kind::UnregisterRequest)?;
        play.disconnect();
        Ok(())
    })
    .text("UNREGISTER_FINISHED, and the end of the connection in place of READY.", ENDS)
    .unregisters()
    .after(has_failed),
    Case::source("S-ERR-044", "disconnection with all RAM pinned", &["RND-5", "CON-33"], |play| {
        reach_round_end(play, 2)?;
        play.disconnect();
        Ok(())
    })
    .text("The end of the connection after the second REGISTER_FINISHED, in pin-all mode.", ENDS)
    .pin_all()
    .after(has_failed),
    Case::source("S-ERR-045", "disconnection between rounds", &["RND-5"], |play| {
        let mut asked = reach_round_end(play, 1)?;
        play.take_command(&mut asked)?;
        play.disconnect();
        Ok(())
    })
    .text("The end of the connection after the first message of the stream behind a round.", ENDS)
    .after(has_failed),
    Case::source("S-ERR-050", "no way to the destination", &["ERR-1", "RND-5"], |_| Ok(()))
        .text("Nothing, to a source whose host cannot resolve the address.", ENDS)
        .faults(&["connect-unreachable@1"])
        .after(has_failed),
    Case::source(
        "S-ERR-051",
        "its adapter fails in the stream",
        &["RND-5", "CON-33"],
        until_it_ends,
    )
    .text("What a destination answers, to a source whose adapter fails early.", ENDS)
    .faults(&["source-device-fatal@8"])
    .after(has_failed),
    Case::source("S-ERR-052", "its adapter fails in a round", &["RND-5", "CON-33"], until_it_ends)
        .text(
            "What a destination answers, to a source whose adapter fails while it writes RAM.",
            ENDS,
        )
        .faults(&["source-device-fatal@30"])
        .after(has_failed),
    Case::source(
        "S-ERR-053",
        "the connection breaks in a round",
        &["RND-5", "CON-33"],
        until_it_ends,
    )
    .text("What a destination answers, over a connection that breaks while RAM is written.", ENDS)
    .faults(&["connection-dropped@30"])
    .after(has_failed),
    Case::source("S-ERR-054", "a registration that never ends", &["ERR-1", "RND-5"], until_it_ends)
        .text(
            "All answers, to a source whose host never answers when it is to register a chunk.",
            WAITS,
        )
        .faults(&["source-registration-stuck@1"])
        .after(has_failed),
    Case::source("S-ERR-055", "a deadline is told", &["CON-30", "ERR-2"], |play| {
        play.reach_command(Kind::RegisterFinished)?;
        let message = play
            .receive("ERROR, once it has waited long enough")
            .map_err(|stop| stop.against("CON-30"))?;
        play.check(message.kind() == Kind::Error, "CON-30", "it goes on");
        play.wait_for_end()
    })
    .text("No READY after REGISTER_FINISHED.", "ERROR, once the source has waited long enough.")
    .after(has_failed),
];

/// Answers the first command of this kind, and sends no READY behind the reply.
fn answer(play: &mut Play<'_>, kind: Kind) -> Result<(), Stop> {
    let (mut asked, message) = play.reach_command(kind)?;
    play.serve(&mut asked, &message)
}

/// Serves the source up to the REGISTER_FINISHED of this number, which gets no READY.
fn reach_round_end(play: &mut Play<'_>, round: usize) -> Result<Asked, Stop> {
    let mut asked = play.reach_accepted()?;
    while asked.rounds < round {
        let message = play.take_command(&mut asked)?;
        play.serve(&mut asked, &message)?;
    }
    Ok(asked)
}

fn fail(play: &mut Play<'_>) -> Result<(), Stop> {
    play.send(Kind::Error, &[]);
    play.expect_end_at_once("CTL-31")
}

/// Serves a source until it ends the migration.
fn until_it_ends(play: &mut Play<'_>) -> Result<(), Stop> {
    let mut asked = play.reach_accepted()?;
    loop {
        play.ready();
        let Some(message) = play.receive_unless_ended("a command, or the end")? else {
            return Ok(());
        };
        play.serve(&mut asked, &message)?;
    }
}
