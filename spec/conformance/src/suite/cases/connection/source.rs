//! Connection, with a source under test.

use crate::codec::{Capabilities, Kind};
use crate::suite::play::Asked;
use crate::suite::{Case, Play, Stop};

pub(in crate::suite::cases) const CASES: &[Case] = &[
    Case::source("S-CON-001", "version 1 is offered", &["CON-10", "CON-1", "CON-3"], |play| {
        offers(play)?;
        begins(play, 1, 0)
    })
    .text(
        "Version 1 without flags, in an area that the connection manager fills up; READY.",
        "A request of version 1 with no flag but PIN_ALL, and the first bytes of the stream.",
    )
    .quick(),
    Case::source("S-CON-002", "pin-all is agreed", &["CON-16", "CON-10"], pinned)
        .text(
            "PIN_ALL in the reply, and a destination's part to the end.",
            "PIN_ALL in the request, and writes without requests to register.",
        )
        .pin_all()
        .completes()
        .quick(),
    Case::source("S-CON-003", "pin-all is declined", &["CON-16"], declined)
        .text(
            "Version 1 without flags to a source that offers PIN_ALL.",
            "Dynamic mode, or the end of the migration before the first command.",
        )
        .pin_all()
        .dangerous(),
    Case::source("S-CON-004", "pin-all that was not offered", &["CON-16"], |play| {
        goes_on_in_dynamic_mode(play, 1, Capabilities::PIN_ALL)
    })
    .text("PIN_ALL in the reply to a source that did not offer it.", "Dynamic mode."),
    Case::source("S-CON-005", "flags that nobody knows", &["CON-16"], |play| {
        goes_on_in_dynamic_mode(play, 1, !Capabilities::PIN_ALL)
    })
    .text("The 31 flags that are not assigned, in the reply.", "Dynamic mode."),
    Case::source("S-CON-006", "a newer version in the reply", &["CON-17"], |play| {
        offers(play)?;
        begins(play, 2, 0)
    })
    .text("A reply of version 2.", "The migration: only version 0 is refused.")
    .should(),
    Case::source("S-CON-007", "version 0 in the reply", &["CON-17"], |play| {
        refuses(play, &Capabilities { version: 0, flags: 0 }.encode(), "CON-17")
    })
    .text("A reply of version 0, and READY.", "The end of the migration, without a command.")
    .quick(),
    Case::source("S-CON-008", "version 0 is refused with a word", &["CON-30", "CON-17"], |play| {
        offers(play)?;
        play.accept(&Capabilities { version: 0, flags: 0 }.encode())?;
        play.expect_error("CON-30")
    })
    .text("A reply of version 0.", "ERROR, then a disconnection."),
    Case::source("S-CON-009", "no private data in the reply", &["CON-2", "CON-17"], |play| {
        refuses(play, &[], "CON-2")
    })
    .text(
        "A reply without private data, which arrives as zeroes where areas have a fixed size.",
        "The end of the migration: too short, or version 0.",
    ),
    Case::source("S-CON-010", "half of the private data", &["CON-2"], |play| {
        offers(play)?;
        play.accept(Capabilities { version: 1, flags: 0 }.encode().split_at(4).0)?;
        play.ready();
        match play.receive_unless_ended("the first command, or the end")? {
            None => Ok(()),
            Some(command) => is_stream(play, command.kind()),
        }
    })
    .text(
        "The version alone, which arrives without flags where areas have a fixed size.",
        "The end of the migration, or the first bytes of the stream.",
    ),
    Case::source("S-CON-020", "READY and ERROR at once", &["CON-20", "CTL-28"], |play| {
        play.reach_accepted()?;
        play.ready();
        play.send(Kind::Error, &[]);
        play.expect_taken("CON-20")?;
        play.expect_end_after("CTL-31", &[Kind::QemuFile])
    })
    .text(
        "READY and ERROR at the moment when the connection is made.",
        "Both find a receive; then the end of the migration.",
    ),
    Case::source("S-CON-030", "a failure is told", &["CON-30"], |play| {
        play.reach_accepted()?;
        play.send(Kind::Unknown(12), &[]);
        play.expect_error("CON-30")
    })
    .text("A message of a kind that does not exist.", "ERROR, then a disconnection.")
    .quick(),
    Case::source("S-CON-031", "ERROR is not answered by ERROR", &["CON-31", "CTL-31"], |play| {
        play.reach_command(Kind::RamBlocksRequest)?;
        play.send(Kind::Error, &[]);
        play.expect_no_error("CON-31")
    })
    .text("ERROR in place of a reply.", "A disconnection, without ERROR before it."),
    Case::source("S-CON-032", "a failure while writes are on their way", &["CON-32"], |play| {
        let (mut asked, request) = play.reach_command(Kind::RegisterRequest)?;
        play.serve(&mut asked, &request)?;
        play.send(Kind::RegisterFinished, &[]);
        play.expect_end_after("CTL-26", &[])
    })
    .text(
        "A key, which is written with at once, and behind it a message that no destination sends.",
        "The end of the migration; the memory that is written from stays registered meanwhile.",
    ),
    Case::source("S-CON-033", "everything registered is released", &["CON-33"], |play| {
        let mut asked = play.reach_accepted()?;
        let end_of_second = |play: &mut Play<'_>, asked: &mut Asked| {
            let message =
                play.serve_until(asked, |message| message.kind() == Kind::RegisterFinished)?;
            play.serve(asked, &message)
        };
        end_of_second(play, &mut asked)?;
        end_of_second(play, &mut asked)?;
        play.disconnect();
        Ok(())
    })
    .text(
        "A disconnection behind the first round with RAM.",
        "Nothing is registered any more when the source has ended.",
    ),
    Case::source("S-CON-034", "everything pinned is released", &["CON-33", "CON-32"], |play| {
        let (mut asked, request) = play.reach_command(Kind::RamBlocksRequest)?;
        play.serve(&mut asked, &request)?;
        play.take_command(&mut asked)?;
        play.disconnect();
        Ok(())
    })
    .text(
        "A disconnection behind the exchange of RAM blocks in pin-all mode.",
        "Nothing is registered any more when the source has ended.",
    )
    .pin_all(),
];

/// Takes the request and looks at it.
fn offers(play: &mut Play<'_>) -> Result<Capabilities, Stop> {
    let offer = play.take_request()?;
    let Capabilities { version, flags } = offer;
    play.check(version == 1, "CON-10", format!("it offers version {version}"));
    let unknown = flags & !Capabilities::PIN_ALL;
    play.check(unknown == 0, "CON-1", format!("it offers the flags {unknown:#x}"));
    Ok(offer)
}

/// Answers so, and sees the stream begin.
fn begins(play: &mut Play<'_>, version: u32, flags: u32) -> Result<(), Stop> {
    play.accept(&Capabilities { version, flags }.encode())?;
    play.ready();
    let command = play.receive("the first command").map_err(|stop| stop.against("CON-17"))?;
    is_stream(play, command.kind())
}

fn is_stream(play: &mut Play<'_>, kind: Kind) -> Result<(), Stop> {
    play.check(kind == Kind::QemuFile, "STR-2", format!("it begins with {kind}"));
    Ok(())
}

fn refuses(play: &mut Play<'_>, reply: &[u8], requirement: &str) -> Result<(), Stop> {
    offers(play)?;
    play.accept(reply)?;
    play.ready();
    play.expect_end_at_once(requirement)
}

fn pinned(play: &mut Play<'_>) -> Result<(), Stop> {
    let mut asked = play.reach_accepted()?;
    if !asked.pin_all {
        return Err(Stop::Unsupported { what: "a source that offers PIN_ALL".into() });
    }
    play.serve_to_the_end(&mut asked)?;
    for kind in [Kind::RegisterRequest, Kind::UnregisterRequest] {
        let asked = asked.messages.iter().any(|message| message.kind() == kind);
        play.check(!asked, "CON-16", format!("it sends {kind} although all RAM is pinned"));
    }
    Ok(())
}

fn declined(play: &mut Play<'_>) -> Result<(), Stop> {
    if offers(play)?.flags & Capabilities::PIN_ALL == 0 {
        return Err(Stop::Unsupported { what: "a source that offers PIN_ALL".into() });
    }
    play.accept(&Capabilities { version: 1, flags: 0 }.encode())?;
    play.ready();
    let Some(first) = play.receive_unless_ended("the first command, or the end")? else {
        return Ok(());
    };
    let mut asked = Asked::default();
    play.serve(&mut asked, &first)?;
    registers(play, &mut asked)
}

fn goes_on_in_dynamic_mode(play: &mut Play<'_>, version: u32, flags: u32) -> Result<(), Stop> {
    offers(play)?;
    play.accept(&Capabilities { version, flags }.encode())?;
    registers(play, &mut Asked::default())
}

/// Serves the source until it asks for a chunk, as it does in dynamic mode only.
fn registers(play: &mut Play<'_>, asked: &mut Asked) -> Result<(), Stop> {
    let registers = play.serve_until(asked, |message| message.kind() == Kind::RegisterRequest);
    registers.map(drop).map_err(|stop| stop.against("CON-16"))
}
