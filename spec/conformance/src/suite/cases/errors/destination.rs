//! A destination ends a migration that has failed, at whatever point.

use core::time::Duration;

use super::{error_with_garbage, has_failed};
use crate::codec::{Capabilities, Command, Kind, UnregisterRequest};
use crate::suite::play::breach;
use crate::suite::{Action, Case, Play, Stop};

/// Long enough for a host to begin with what it is slow at.
const A_MOMENT: Duration = Duration::from_millis(100);
/// What silence leads to.
const WAITS: &str = "The end of the migration, once the destination has waited long enough.";
/// What ERROR and a failure of its own host lead to.
const ENDS: &str = "The end of the migration, with nothing left registered.";
/// What a disconnection leads to.
const FAILS: &str = "The migration has failed, and nothing is left registered.";

pub(in super::super) const CASES: &[Case] = &[
    Case::destination(
        "D-ERR-001",
        "silence from the first READY on",
        &["ERR-2", "ERR-1"],
        |play| {
            play.reach_connected(0)?;
            play.expect_end("ERR-2")
        },
    )
    .text("Nothing behind the first READY.", WAITS)
    .quick()
    .after(has_failed),
    Case::destination("D-ERR-002", "silence behind the first hook word", &["ERR-2"], |play| {
        play.reach_set_up(0)?;
        play.expect_end("ERR-2")
    })
    .text("The stream up to the first hook word, and nothing behind it.", WAITS)
    .after(has_failed),
    Case::destination("D-ERR-003", "silence behind the exchange", &["ERR-2"], |play| {
        play.reach_exchanged(0)?;
        play.expect_end("ERR-2")
    })
    .text("Nothing behind the RAM blocks.", WAITS)
    .after(has_failed),
    Case::destination("D-ERR-004", "silence with all RAM pinned", &["ERR-2", "CON-33"], |play| {
        play.reach_pinned_round()?;
        play.expect_end("ERR-2")
    })
    .text("Nothing in the second round of pin-all mode.", WAITS)
    .pin_all()
    .after(has_failed),
    Case::destination("D-ERR-005", "silence between rounds", &["ERR-2"], |play| {
        play.reach_exchanged(0)?;
        play.finish_round()?;
        play.expect_end("ERR-2")
    })
    .text("Nothing behind the first REGISTER_FINISHED.", WAITS)
    .after(has_failed),
    Case::destination("D-ERR-006", "silence behind a hook word", &["ERR-2"], |play| {
        play.reach_round(0)?;
        play.expect_end("ERR-2")
    })
    .text("Nothing behind the second hook word.", WAITS)
    .after(has_failed),
    Case::destination(
        "D-ERR-007",
        "silence with one chunk given back",
        &["ERR-2", "CON-33"],
        |play| {
            play.reach_round(0)?;
            play.register(&[play.request_for(0, 0, 0)])?;
            play.register(&[play.request_for(1, 0, 0)])?;
            let request = UnregisterRequest { chunk: 0, block: 0 };
            play.send_commands(Kind::UnregisterRequest, &[Command::UnregisterRequest(request)]);
            play.expect(Kind::UnregisterFinished, "CTL-22")?;
            play.take_ready()?;
            play.expect_end("ERR-2")
        },
    )
    .text("Nothing behind UNREGISTER_FINISHED, with another chunk registered.", WAITS)
    .after(has_failed),
    Case::destination("D-ERR-008", "silence in the device state", &["ERR-2", "RND-6"], |play| {
        reach_device_state(play)?;
        play.expect_end("ERR-2")
    })
    .text("Half of the stream behind the last round, and nothing more.", WAITS)
    .quick()
    .after(has_failed),
    Case::destination("D-ERR-009", "silence before the last byte", &["ERR-2", "RND-6"], |play| {
        reach_last_round_done(play)?;
        let end = play.guest().end.clone();
        play.stream(end.split_at(end.len() - 1).0)?;
        play.expect_end("ERR-2")
    })
    .text("The whole stream but its last byte, and nothing more.", WAITS)
    .after(has_failed),
    Case::destination("D-ERR-010", "a source that takes no message", &["ERR-2", "ERR-1"], |play| {
        play.act(Action::WithholdReceives);
        play.connect(0)?;
        // As many READY as there were receives; the next one finds none.
        for _ in 0..3 {
            play.take_ready()?;
            play.send(Kind::QemuFile, b"Q");
        }
        play.wait_for_end()
    })
    .text("Three stream messages, and no receive for the READY behind the last.", WAITS)
    .misleads()
    .after(has_failed),
    Case::destination("D-ERR-020", "ERROR behind the first READY", &["CTL-31"], |play| {
        play.reach_connected(0)?;
        fail(play, &[])
    })
    .text("ERROR as the first message.", ENDS)
    .after(has_failed),
    Case::destination("D-ERR-021", "ERROR behind the exchange", &["CTL-31"], |play| {
        play.reach_exchanged(0)?;
        fail(play, &[])
    })
    .text("ERROR in the first round.", ENDS)
    .after(has_failed),
    Case::destination("D-ERR-022", "ERROR with all RAM pinned", &["CTL-31", "CON-33"], |play| {
        play.reach_pinned_round()?;
        fail(play, &[])
    })
    .text("ERROR in the second round of pin-all mode.", ENDS)
    .pin_all()
    .after(has_failed),
    Case::destination("D-ERR-023", "ERROR behind a result", &["CTL-31", "CON-33"], |play| {
        play.reach_round(0)?;
        play.register(&[play.request_for(0, 0, 0)])?;
        fail(play, &[])
    })
    .text("ERROR in a round in which a chunk was registered.", ENDS)
    .after(has_failed),
    Case::destination("D-ERR-024", "ERROR behind REGISTER_FINISHED", &["CTL-31"], |play| {
        play.reach_exchanged(0)?;
        play.send(Kind::RegisterFinished, &[]);
        fail(play, &[Kind::Ready])
    })
    .text("REGISTER_FINISHED, and ERROR without a READY behind it.", ENDS)
    .after(has_failed),
    Case::destination("D-ERR-025", "ERROR in the device state", &["CTL-31", "RND-6"], |play| {
        reach_device_state(play)?;
        fail(play, &[])
    })
    .text("Half of the stream behind the last round, and ERROR.", ENDS)
    .quick()
    .after(has_failed),
    Case::destination(
        "D-ERR-026",
        "ERROR with garbage in its header",
        &["CTL-9", "CTL-5"],
        |play| {
            play.reach_exchanged(0)?;
            play.send_bytes(error_with_garbage());
            play.expect_no_error("CON-31")
        },
    )
    .text("ERROR whose `repeat` and padding are anything.", "A disconnection, without ERROR.")
    .after(has_failed),
    Case::destination("D-ERR-027", "ERROR with a payload", &["CTL-7"], |play| {
        play.reach_exchanged(0)?;
        play.send(Kind::Error, &[0; 16]);
        play.expect_end_at_once("CTL-7")
    })
    .text("ERROR with 16 bytes of payload.", ENDS)
    .after(has_failed),
    Case::destination("D-ERR-028", "ERROR twice", &["CTL-31", "CON-31"], |play| {
        play.reach_round(0)?;
        play.send(Kind::Error, &[]);
        play.send(Kind::Error, &[]);
        play.expect_no_error("CON-31")
    })
    .text("ERROR, and ERROR again.", "A disconnection, without ERROR.")
    .after(has_failed),
    Case::destination("D-ERR-029", "a command behind ERROR", &["CTL-31", "CON-33"], |play| {
        play.reach_round(0)?;
        play.send(Kind::Error, &[]);
        let request = Command::RegisterRequest(play.request_for(0, 0, 0));
        play.send_commands(Kind::RegisterRequest, &[request]);
        play.expect_end_at_once("CTL-31")
    })
    .text("ERROR, and a request for a chunk behind it.", ENDS)
    .after(has_failed),
    Case::destination("D-ERR-040", "disconnection at once", &["RND-11"], |play| {
        play.connect(0)?;
        play.disconnect();
        Ok(())
    })
    .text("The end of the connection as soon as it is made.", FAILS)
    .after(has_failed),
    Case::destination("D-ERR-041", "disconnection at REGISTER_FINISHED", &["RND-6"], |play| {
        play.reach_round(0)?;
        play.send(Kind::RegisterFinished, &[]);
        play.disconnect();
        Ok(())
    })
    .text("REGISTER_FINISHED, and the end of the connection before READY.", FAILS)
    .after(has_failed),
    Case::destination(
        "D-ERR-042",
        "disconnection behind a result",
        &["RND-11", "CON-33"],
        |play| {
            play.reach_round(0)?;
            play.register(&[play.request_for(0, 0, 0)])?;
            play.disconnect();
            Ok(())
        },
    )
    .text("The end of the connection in a round in which a chunk was registered.", FAILS)
    .after(has_failed),
    Case::destination("D-ERR-043", "disconnection while pinning", &["RND-11", "CON-33"], |play| {
        play.reach_set_up(Capabilities::PIN_ALL)?;
        play.send(Kind::RamBlocksRequest, &[]);
        play.expect_silence(A_MOMENT, "BLK-16");
        play.disconnect();
        Ok(())
    })
    .text("The end of the connection while the destination's host is slow to pin RAM.", FAILS)
    .pin_all()
    .faults(&["destination-registration-slow@2"])
    .after(has_failed),
    Case::destination(
        "D-ERR-050",
        "its adapter fails in the stream",
        &["CON-33", "ERR-1"],
        |play| until_it_ends(play, 0),
    )
    .text("A migration, to a destination whose adapter fails at its tenth operation.", ENDS)
    .faults(&["destination-device-fatal@10"])
    .after(has_failed),
    Case::destination("D-ERR-051", "its adapter fails in a round", &["CON-33", "ERR-1"], |play| {
        until_it_ends(play, 0)
    })
    .text("A migration, to a destination whose adapter fails at its 16th operation.", ENDS)
    .faults(&["destination-device-fatal@16"])
    .after(has_failed),
    Case::destination("D-ERR-052", "its adapter fails with RAM pinned", &["CON-33"], |play| {
        until_it_ends(play, Capabilities::PIN_ALL)
    })
    .text("A migration in pin-all mode, to a destination whose adapter fails in it.", ENDS)
    .pin_all()
    .faults(&["destination-device-fatal@16"])
    .after(has_failed),
    Case::destination(
        "D-ERR-053",
        "a registration that never ends",
        &["ERR-1", "CON-33"],
        |play| {
            play.reach_round(0)?;
            let request = Command::RegisterRequest(play.request_for(0, 0, 0));
            play.send_commands(Kind::RegisterRequest, &[request]);
            play.expect_end("ERR-1")
        },
    )
    .text("A request for a chunk, to a destination whose host never answers.", WAITS)
    .faults(&["destination-registration-stuck@1"])
    .after(has_failed),
    Case::destination(
        "D-ERR-054",
        "RAM that is given back at the second try",
        &["CON-33"],
        |play| {
            play.reach_pinned_round()?;
            play.disconnect();
            Ok(())
        },
    )
    .text(
        "The end of the connection in pin-all mode; the host fails to release RAM at first.",
        FAILS,
    )
    .pin_all()
    .faults(&["destination-deregistration-failed@1"])
    .after(has_failed),
    Case::destination("D-ERR-055", "a failure of its host is told", &["CON-30"], |play| {
        play.reach_round(0)?;
        let request = Command::RegisterRequest(play.request_for(0, 0, 0));
        play.send_commands(Kind::RegisterRequest, &[request]);
        play.expect_error("CON-30")
    })
    .text(
        "A request for a chunk that the destination's host cannot register.",
        "ERROR, then a disconnection.",
    )
    .faults(&["destination-registration-refused@1"])
    .after(has_failed),
    Case::destination("D-ERR-056", "a deadline is told", &["CON-30", "ERR-2"], |play| {
        play.reach_round(0)?;
        let message = play.receive("ERROR, once it has waited long enough").map_err(untold)?;
        play.check(message.kind() == Kind::Error, "CON-30", "it goes on");
        play.wait_for_end()
    })
    .text("Nothing in a round.", "ERROR, once the destination has waited long enough.")
    .after(has_failed),
];

/// Everything up to the end of the last round.
fn reach_last_round_done(play: &mut Play<'_>) -> Result<(), Stop> {
    play.reach_round(0)?;
    play.finish_round()?;
    let last = play.guest().before_last_round.clone();
    play.stream(&last)?;
    play.finish_round()
}

/// Everything up to the middle of the stream behind the last round.
fn reach_device_state(play: &mut Play<'_>) -> Result<(), Stop> {
    reach_last_round_done(play)?;
    let end = play.guest().end.clone();
    play.stream(end.split_at(end.len() / 2).0)
}

fn fail(play: &mut Play<'_>, sent: &[Kind]) -> Result<(), Stop> {
    play.send(Kind::Error, &[]);
    play.expect_end_after("CTL-31", sent)
}

/// A disconnection where ERROR was due is against the rule on ERROR.
fn untold(stop: Stop) -> Stop {
    stop.against("CON-30")
}

/// Plays a source's part until the destination ends the migration.
fn until_it_ends(play: &mut Play<'_>, flags: u32) -> Result<(), Stop> {
    play.connect(flags)?;
    let guest = play.guest().clone();
    let stream = |bytes: &[u8]| {
        bytes.chunks(32768).map(|piece| (Kind::QemuFile, piece.to_vec())).collect::<Vec<_>>()
    };
    let finished = || vec![(Kind::RegisterFinished, Vec::new())];
    let messages = [
        stream(&guest.set_up),
        vec![(Kind::RamBlocksRequest, Vec::new())],
        finished(),
        stream(&guest.between_rounds),
        finished(),
        stream(&guest.before_last_round),
        finished(),
        stream(&guest.end),
    ];
    for (kind, payload) in messages.concat() {
        loop {
            match play.receive_unless_ended("READY, or the end of the migration")? {
                None => return Ok(()),
                Some(message) if message.kind() == Kind::Ready => break,
                Some(_) => {}
            }
        }
        play.send(kind, &payload);
    }
    match play.receive_unless_ended("the end of the migration")? {
        None => Ok(()),
        Some(message) => Err(breach("ERR-1", format!("it goes on with {}", message.kind()))),
    }
}
