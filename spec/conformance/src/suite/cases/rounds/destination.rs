//! A destination takes rounds, and the guest.

use crate::codec::{Kind, RegisterResult};
use crate::suite::play::{Region, breach, different_ram};
use crate::suite::verdict::Finding;
use crate::suite::{Case, Play, Seen, Stop};

/// What the loss of the connection leads to where the stream is not complete.
const FAILS: &str = "The migration has failed: the guest is not the destination's.";

pub(in super::super) const CASES: &[Case] = &[
    Case::destination("D-RND-001", "a whole migration", &["RND-6"], |play| {
        play.reach_round(0)?;
        play.finish_migration()
    })
    .text("A whole migration of a small guest.", "The guest arrives.")
    .quick()
    .completes()
    .after(has_completed),
    Case::destination("D-RND-002", "a whole migration in pin-all mode", &["RND-6"], |play| {
        play.reach_pinned_round()?;
        play.finish_migration()
    })
    .text("A whole migration of a small guest with all RAM pinned.", "The guest arrives.")
    .pin_all()
    .quick()
    .completes()
    .after(has_completed),
    Case::destination("D-RND-003", "many rounds with nothing in them", &["RND-6", "CTL-33"], |play| {
        play.reach_round(0)?;
        let between = play.guest().between_rounds.clone();
        for _ in 0..15 {
            play.finish_round()?;
            play.stream(&between)?;
        }
        play.finish_migration()
    })
    .text("A migration of 18 rounds without a write.", "READY after each; the guest arrives.")
    .completes()
    .after(has_completed),
    Case::destination("D-RND-004", "RAM in the first round only", &["RND-6", "REG-14"], |play| {
        play.reach_exchanged(0)?;
        let mirror = play.mirror()?;
        let request = play.request_for(0, 0, 0);
        for granted in play.register(&[request])? {
            play.write_mirrored(&mirror, (0, 0, 65536), granted)?;
        }
        play.finish_round()?;
        let last = play.guest().before_last_round.clone();
        play.stream(&last)?;
        play.finish_round()?;
        play.finish_stream()?;
        play.look_at(&mirror)
    })
    .text(
        "A migration of two rounds, of which the first has the exchange and all writes.",
        "The guest arrives with its RAM.",
    )
    .completes()
    .after(|seen| different_ram(seen, "REG-14")),
    Case::destination("D-RND-005", "disconnection before the stream", &["RND-11"], |play| {
        play.reach_connected(0)?;
        play.disconnect();
        Ok(())
    })
    .text("The end of the connection once the first READY has come.", FAILS)
    .after(has_failed),
    Case::destination("D-RND-006", "disconnection before the exchange", &["RND-11"], |play| {
        play.reach_set_up(0)?;
        play.disconnect();
        Ok(())
    })
    .text("The end of the connection behind the first hook word.", FAILS)
    .after(has_failed),
    Case::destination("D-RND-007", "disconnection at the exchange", &["RND-11", "CON-33"], |play| {
        play.reach_set_up(1)?;
        play.send(Kind::RamBlocksRequest, &[]);
        play.disconnect();
        Ok(())
    })
    .text("RAM_BLOCKS_REQUEST in pin-all mode, and the end of the connection before the reply.", FAILS)
    .pin_all()
    .after(has_failed),
    Case::destination("D-RND-008", "disconnection in the first round", &["RND-11"], |play| {
        play.reach_exchanged(0)?;
        play.disconnect();
        Ok(())
    })
    .text("The end of the connection after the exchange, before REGISTER_FINISHED.", FAILS)
    .after(has_failed),
    Case::destination("D-RND-009", "disconnection in a round", &["RND-11"], |play| {
        play.reach_round(0)?;
        play.compress(0, 0, 4096)?;
        play.disconnect();
        Ok(())
    })
    .text("The end of the connection in a round with a zero run.", FAILS)
    .quick()
    .after(has_failed),
    Case::destination("D-RND-010", "disconnection between rounds", &["RND-6", "RND-10"], |play| {
        play.reach_round(0)?;
        play.finish_round()?;
        play.disconnect();
        Ok(())
    })
    .text("The end of the connection behind a round, with no more of the stream.", FAILS)
    .quick()
    .after(has_failed),
    Case::destination("D-RND-011", "disconnection behind the last round", &["RND-6"], |play| {
        reach_end(play)?;
        play.disconnect();
        Ok(())
    })
    .text("The end of the connection behind the last round, with none of the device state.", FAILS)
    .after(has_failed),
    Case::destination("D-RND-012", "disconnection in the device state", &["RND-6", "RND-10"], |play| {
        reach_end(play)?;
        let end = play.guest().end.clone();
        play.stream(&end[..end.len() / 2])?;
        play.disconnect();
        Ok(())
    })
    .text("Half of the stream behind the last round, and the end of the connection.", FAILS)
    .after(has_failed),
    Case::destination("D-RND-013", "disconnection behind the last message", &["RND-10"], |play| {
        reach_end(play)?;
        play.finish_stream()?;
        play.disconnect();
        Ok(())
    })
    .text(
        "The end of the connection as soon as the last message has been acknowledged.",
        "The guest arrives: the bytes that are held are good whatever became of the connection.",
    )
    .quick()
    .completes()
    .after(has_completed),
    Case::destination("D-RND-014", "a last round that never ends", &["RND-11", "RND-6"], |play| {
        play.reach_round(0)?;
        play.finish_round()?;
        let last = play.guest().before_last_round.clone();
        play.stream(&last)?;
        play.compress(0, 0, 4096)?;
        let end = play.guest().end.clone();
        if play.stream_is_taken(&end)? {
            play.disconnect();
        }
        Ok(())
    })
    .text(
        "A whole stream, but no REGISTER_FINISHED in its last round, which has a zero run.",
        FAILS,
    )
    .after(has_failed),
    Case::destination("D-RND-015", "the end of an unfinished round", &["RND-11"], |play| {
        play.reach_exchanged(0)?;
        let end = play.guest().end.clone();
        if play.stream_is_taken(&end)? {
            play.disconnect();
        }
        Ok(())
    })
    .text("The end of a stream directly after the exchange, in the first round.", FAILS)
    .after(has_failed),
    Case::destination("D-RND-016", "a complete stream before the exchange", &["RND-11", "RND-6"], |play| {
        play.reach_set_up(0)?;
        let end = play.guest().end.clone();
        if play.stream_is_taken(&end)? {
            play.disconnect();
        }
        Ok(())
    })
    .text("A stream with a complete end, and no RAM_BLOCKS_REQUEST in it.", FAILS)
    .after(has_failed),
    Case::destination("D-RND-017", "ERROR in a round", &["CTL-31"], |play| {
        play.reach_round(0)?;
        play.compress(0, 0, 4096)?;
        play.send(Kind::Error, &[]);
        play.expect_end("CTL-31")
    })
    .text("A zero run, its READY, and ERROR.", FAILS)
    .after(has_failed),
    Case::destination("D-RND-018", "ERROR between rounds", &["CTL-31", "RND-6"], |play| {
        reach_end(play)?;
        play.send(Kind::Error, &[]);
        play.expect_end("CTL-31")
    })
    .text("ERROR behind the last round.", FAILS)
    .quick()
    .after(has_failed),
    Case::destination("D-RND-019", "silence in a round", &["ERR-2", "ERR-1"], |play| {
        play.reach_round(0)?;
        play.compress(0, 0, 4096)?;
        play.expect_end("ERR-2")
    })
    .text(
        "A zero run, and nothing after its READY.",
        "The end of the migration, once the destination has waited long enough.",
    )
    .after(has_failed),
    Case::destination("D-RND-020", "silence between rounds", &["ERR-2", "RND-6"], |play| {
        reach_end(play)?;
        play.expect_end("ERR-2")
    })
    .text(
        "Nothing behind the last round.",
        "The end of the migration, once the destination has waited long enough.",
    )
    .after(has_failed),
    Case::destination("D-RND-021", "REGISTER_FINISHED with a payload", &["CTL-7"], |play| {
        play.reach_round(0)?;
        play.send(Kind::RegisterFinished, &[0; 24]);
        play.expect_end("CTL-7")
    })
    .text("REGISTER_FINISHED with 24 bytes of payload.", "The end of the migration."),
    Case::destination("D-RND-022", "a round that ends twice", &["RND-1"], |play| {
        play.reach_round(0)?;
        play.finish_round()?;
        play.send(Kind::RegisterFinished, &[]);
        play.take_ready_unless_ended().map(drop)
    })
    .text(
        "REGISTER_FINISHED twice, without a hook word between.",
        "READY or the end of the migration: nothing is required of a destination.",
    )
    .observed(),
    Case::destination("D-RND-023", "a write behind the end", &["RND-4"], |play| {
        play.reach_round(0)?;
        let request = play.request_for(0, 0, 0);
        let results = play.register(&[request])?;
        let Some(granted) = results.first().copied() else {
            return Err(breach("REG-16", "a result without a key"));
        };
        let from = play.writable(4096)?;
        play.finish_migration()?;
        write_behind_the_end(play, &from, granted)
    })
    .text(
        "A whole migration, and a write with a key of it once the destination has disconnected.",
        "The destination disconnects, and the write fails: its queue pair is gone before the guest runs.",
    )
    .quick()
    .completes()
    .after(has_completed),
    Case::destination("D-RND-024", "a write behind the end in pin-all mode", &["RND-4"], |play| {
        play.reach_pinned_round()?;
        let block = play.first_block(1)?;
        let granted = RegisterResult { rkey: block.rkey, host_address: block.remote_address };
        let from = play.writable(4096)?;
        play.finish_migration()?;
        write_behind_the_end(play, &from, granted)
    })
    .text(
        "As D-RND-023, with the key of a RAM block in pin-all mode.",
        "The destination disconnects, and the write fails.",
    )
    .pin_all()
    .completes()
    .after(has_completed),
];

/// Everything up to the end of the last round.
fn reach_end(play: &mut Play<'_>) -> Result<(), Stop> {
    play.reach_round(0)?;
    play.finish_round()?;
    let last = play.guest().before_last_round.clone();
    play.stream(&last)?;
    play.finish_round()
}

/// The destination has to disconnect by itself when it has the guest, and nothing can be written
/// afterwards.
fn write_behind_the_end(
    play: &mut Play<'_>,
    from: &Region,
    granted: RegisterResult,
) -> Result<(), Stop> {
    play.wait_for_end()?;
    match play.write(from, 4096, granted.host_address, granted.rkey) {
        Ok(written) => {
            play.check_safety(written.is_err(), "RND-4", "its RAM can still be written");
            Ok(())
        }
        // Behind a disconnection an adapter of the suite's side may take no requests at all.
        Err(Stop::Timeout { .. }) => Ok(()),
        Err(stop) => Err(stop),
    }
}

fn has_completed(seen: &Seen<'_>) -> Vec<Finding> {
    let failed = seen.aftermath.completed == Some(false);
    let says = "the whole stream has arrived, and it calls the migration failed";
    failed.then(|| Finding::wording("RND-10", says)).into_iter().collect()
}

fn has_failed(seen: &Seen<'_>) -> Vec<Finding> {
    let completed = seen.aftermath.completed == Some(true);
    let says = "the stream was not complete, and it calls the migration a success";
    completed.then(|| Finding::safety("RND-11", says)).into_iter().collect()
}
