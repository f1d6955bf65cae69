//! Connection, with a destination under test.

use rdma_migration_protocol::transport::TransportError;

use crate::codec::{Capabilities, Header, Kind};
use crate::suite::action::Operation;
use crate::suite::play::Answer;
use crate::suite::transcript::Event;
use crate::suite::{Case, Finding, Observation, Play, Seen, Stop};

const CHUNK: u64 = 1 << 20;

pub(in crate::suite::cases) const CASES: &[Case] = &[
    Case::destination(
        "D-CON-001",
        "dynamic mode is agreed",
        &["CON-1", "CON-13", "CON-3"],
        |play| answers(play, 1, 0, 0),
    )
    .text(
        "A request of version 1 without flags, in an area that the connection manager fills up.",
        "Version 1 without flags, and READY.",
    )
    .quick(),
    Case::destination("D-CON-002", "pin-all is agreed", &["CON-14", "CON-1"], |play| {
        answers(play, 1, Capabilities::PIN_ALL, Capabilities::PIN_ALL)
    })
    .text("A request of version 1 with PIN_ALL.", "Version 1 with PIN_ALL, and READY.")
    .quick()
    .pin_all(),
    Case::destination("D-CON-003", "flags that nobody knows", &["CON-13"], |play| {
        answers(play, 1, !Capabilities::PIN_ALL, 0)
    })
    .text("Version 1 with the 31 flags that are not assigned.", "Version 1 without flags."),
    Case::destination("D-CON-004", "all flags", &["CON-13", "CON-14"], |play| {
        answers(play, 1, u32::MAX, Capabilities::PIN_ALL)
    })
    .text("Version 1 with all 32 flags.", "Version 1 with PIN_ALL and no other flag.")
    .pin_all(),
    Case::destination(
        "D-CON-005",
        "pin-all in the other byte order",
        &["CON-1", "CON-13"],
        |play| answers(play, 1, Capabilities::PIN_ALL.swap_bytes(), 0),
    )
    .text("The flags `01 00 00 00`: bit 24, which is not assigned.", "Version 1 without flags."),
    Case::destination("D-CON-006", "version 0", &["CON-11"], |play| {
        refuses(play, &Capabilities { version: 0, flags: 0 }.encode(), "CON-11")
    })
    .text("A request of version 0.", "A refusal.")
    .quick()
    .dangerous(),
    Case::destination("D-CON-007", "version 0 with pin-all", &["CON-11"], |play| {
        refuses(play, &Capabilities { version: 0, flags: 1 }.encode(), "CON-11")
    })
    .text("A request of version 0 with PIN_ALL.", "A refusal.")
    .dangerous(),
    Case::destination("D-CON-008", "a newer version", &["CON-12"], |play| newer(play, 2, 0))
        .text("A request of version 2.", "Version 1, or a refusal where that is the policy.")
        .dangerous(),
    Case::destination(
        "D-CON-009",
        "the newest version, all flags",
        &["CON-12", "CON-13"],
        |play| newer(play, u32::MAX, u32::MAX),
    )
    .text(
        "A request of version 4294967295 with all flags.",
        "Version 1 and at most PIN_ALL, or a refusal where that is the policy.",
    )
    .dangerous(),
    Case::destination("D-CON-010", "no private data", &["CON-2", "CON-11"], |play| {
        refuses(play, &[], "CON-2")
    })
    .text(
        "A request without private data, which arrives as zeroes where areas have a fixed size.",
        "A refusal: too short, or version 0.",
    )
    .dangerous(),
    Case::destination("D-CON-011", "half of the private data", &["CON-2"], half_a_request).text(
        "The version alone, which arrives without flags where areas have a fixed size.",
        "A refusal, or version 1 without flags.",
    ),
    Case::destination("D-CON-020", "ERROR as soon as there is a connection", &["CON-20"], |play| {
        play.connect(0)?;
        play.send(Kind::Error, &[]);
        play.expect_taken("CON-20")?;
        play.expect_end_after("CTL-31", &[Kind::Ready])
    })
    .text(
        "ERROR at the moment when the connection is made.",
        "It finds a receive; then the end of the migration.",
    ),
    Case::destination("D-CON-030", "a failure is told", &["CON-30"], |play| {
        play.reach_connected(0)?;
        play.send(Kind::Unknown(12), &[]);
        play.expect_error("CON-30")
    })
    .text("A message of a kind that does not exist.", "ERROR, then a disconnection.")
    .quick(),
    Case::destination("D-CON-034", "a failure inside a round is told", &["CON-30"], |play| {
        play.reach_round(0)?;
        let short = Header { length: 48, kind: Kind::RegisterRequest, repeat: 2 };
        play.send_bytes(crate::suite::play::Message::with_header(short, &[0; 24]));
        play.expect_error("CON-30")
    })
    .text("A register request that is cut short.", "ERROR, then a disconnection."),
    Case::destination(
        "D-CON-031",
        "ERROR is not answered by ERROR",
        &["CON-31", "CTL-31"],
        |play| {
            play.reach_set_up(0)?;
            play.send(Kind::Error, &[]);
            play.expect_no_error("CON-31")
        },
    )
    .text("ERROR, where a command is awaited.", "A disconnection, without ERROR before it."),
    Case::destination(
        "D-CON-032",
        "writes on their way to a side that fails",
        &["CON-32"],
        fail_under_writes,
    )
    .text(
        "Writes with a key that was given, and between them a message that is no command.",
        "The end of the migration. Writes arrive or find no queue pair, but their key stays good.",
    )
    .after(no_key_was_taken_back),
    Case::destination("D-CON-033", "everything registered is released", &["CON-33"], |play| {
        play.reach_round(0)?;
        for (block, length) in (0..).zip(lengths(play)) {
            for offset in (0..length).step_by(usize::try_from(CHUNK).unwrap_or(usize::MAX)).take(16)
            {
                let request = play.request_for(block, offset, 0);
                play.register(&[request])?;
            }
        }
        play.disconnect();
        Ok(())
    })
    .text(
        "Requests for many chunks, and a disconnection.",
        "Nothing is registered any more when the destination has ended.",
    ),
    Case::destination(
        "D-CON-035",
        "everything pinned is released",
        &["CON-33", "CON-32"],
        |play| {
            play.reach_round(Capabilities::PIN_ALL)?;
            play.disconnect();
            Ok(())
        },
    )
    .text(
        "A disconnection inside a round in pin-all mode.",
        "Nothing is registered any more when the destination has ended.",
    )
    .pin_all(),
];

fn capabilities(private_data: &[u8]) -> Result<Capabilities, Stop> {
    let short = |_| Stop::Found(Finding::wording("CON-1", "its answer has no capabilities"));
    Capabilities::decode(private_data).map_err(short)
}

/// Asks with this version and these flags; the answer is version 1 with `granted`.
fn answers(play: &mut Play<'_>, version: u32, flags: u32, granted: u32) -> Result<(), Stop> {
    match play.ask(&Capabilities { version, flags }.encode())? {
        Answer::Accepted(private_data) => {
            let answer = capabilities(&private_data)?;
            check_answer(play, answer, flags);
            let all = answer.flags & granted == granted;
            play.check(all, "CON-14", "PIN_ALL was offered and is not answered");
            play.take_ready()
        }
        Answer::Rejected => Err(Stop::Found(Finding::wording("CON-12", "it refuses version 1"))),
        Answer::Gone { error } => Err(Stop::Found(Finding::safety("CON-12", error))),
    }
}

fn check_answer(play: &mut Play<'_>, answer: Capabilities, offered: u32) {
    let version = answer.version;
    play.check(version == 1, "CON-1", format!("its version is {version}"));
    let extra = answer.flags & !(offered & Capabilities::PIN_ALL);
    play.check(extra == 0, "CON-13", format!("it answers with the flags {extra:#x}"));
}

fn newer(play: &mut Play<'_>, version: u32, flags: u32) -> Result<(), Stop> {
    if let Answer::Accepted(private_data) = play.ask(&Capabilities { version, flags }.encode())? {
        let answer = capabilities(&private_data)?;
        let version = answer.version;
        play.check(version == 1, "CON-12", format!("its version is {version}"));
        check_answer(play, answer, flags);
        play.take_ready()?;
    }
    Ok(())
}

fn refuses(play: &mut Play<'_>, private_data: &[u8], requirement: &str) -> Result<(), Stop> {
    if let Answer::Accepted(_) = play.ask(private_data)? {
        let accepts = Finding::wording(requirement, "it accepts the connection");
        return Err(Stop::Found(accepts));
    }
    Ok(())
}

fn half_a_request(play: &mut Play<'_>) -> Result<(), Stop> {
    let version = Capabilities { version: 1, flags: 0 }.encode();
    if let Answer::Accepted(private_data) = play.ask(version.split_at(4).0)? {
        let answer = capabilities(&private_data)?;
        check_answer(play, answer, 0);
        play.take_ready()?;
    }
    Ok(())
}

fn lengths(play: &Play<'_>) -> Vec<u64> {
    play.blocks().iter().map(|block| block.length).collect()
}

fn fail_under_writes(play: &mut Play<'_>) -> Result<(), Stop> {
    play.reach_round(0)?;
    let length = lengths(play).first().copied().unwrap_or_default().min(CHUNK);
    let request = play.request_for(0, 0, 0);
    let results = play.register(&[request])?;
    let Some(result) = results.first() else { return Ok(()) };
    let from = play.writable(length)?;
    for number in 0..40 {
        play.post_write(&from, length, result.host_address, result.rkey);
        if number == 4 {
            play.send(Kind::RegisterResult, &[]);
        }
    }
    play.expect_end_at_once("CTL-32")
}

fn no_key_was_taken_back(seen: &Seen<'_>) -> Vec<Finding> {
    let taken_back = TransportError::RemoteAccess.to_string();
    let refused = seen.transcript.0.iter().any(|entry| match &entry.event {
        Event::Saw(Observation::Failed { operation: Operation::Write, error }) => {
            *error == taken_back
        }
        _ => false,
    });
    let says = "a write was refused by an adapter whose connection was still up";
    refused.then(|| Finding::safety("CON-32", says)).into_iter().collect()
}
