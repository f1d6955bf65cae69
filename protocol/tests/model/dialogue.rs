//! How a counterexample reads: what happened to whom, and what it did.

use std::fmt::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};

use rdma_migration_protocol::transport::Operation;
use rdma_migration_protocol::wire::Message;
use rdma_migration_transport_sim::Side;
use stateright::Path;

use crate::actions::{Action, Notice};
use crate::exploration::Migration;
use crate::world::World;

/// Lines of a dialogue, where somebody wants to read them.
#[derive(Debug, Default)]
pub(crate) struct Log {
    lines: Option<Vec<String>>,
}

impl Log {
    pub(crate) fn say(&mut self, line: impl FnOnce() -> String) {
        if let Some(lines) = &mut self.lines {
            lines.push(line());
        }
    }
}

/// Tells a run that breaks a property, step by step.
pub(crate) fn dialogue(model: &Migration, property: &str, path: Path<World, Action>) -> String {
    let mut text = format!("{}\nbroken: {property}\n", model.bounds());
    for (world, action) in path.into_vec() {
        let mut log = Log { lines: Some(Vec::new()) };
        match action {
            Some(action) => {
                log.say(|| headline(action));
                let mut world = world.clone();
                // A run may end in a panic; what was said before it is told.
                let happen = || world.happen(action, model, &mut log);
                let _panicked = catch_unwind(AssertUnwindSafe(happen)).is_err();
            }
            None => log.say(|| last_words(&world)),
        }
        for line in log.lines.unwrap_or_default() {
            let _infallible = writeln!(text, "{line}");
        }
    }
    text
}

fn headline(action: Action) -> String {
    match action {
        Action::Hear(side) => format!("{side}: there is news of the connection"),
        Action::Receive(side) => format!("{side}: a message arrives"),
        Action::Acknowledge(side) => format!("{side}: the oldest send or writes are acknowledged"),
        Action::Answer(side, chore, true) => format!("{side}: done: {chore:?}"),
        Action::Answer(side, chore, false) => format!("{side}: failed: {chore:?}"),
        Action::Break(side, Notice::News) => format!("{side}: the connection is reported lost"),
        Action::Break(side, Notice::Request) => {
            format!("{side}: the connection is lost, the oldest send or write fails")
        }
        Action::Break(side, Notice::Receive) => {
            format!("{side}: the connection is lost, the first receive is flushed")
        }
        Action::FlushRequest(side) => format!("{side}: the next send or write is flushed"),
        Action::FlushReceive(side) => format!("{side}: the next receive is flushed"),
        Action::Disconnected(side) => format!("{side}: the queue pair is gone"),
        Action::Attend(side) => format!("{side}: the owner attends"),
        Action::Deadline(side) => format!("{side}: a deadline fires"),
        Action::Abort(side) => format!("{side}: the owner aborts"),
    }
}

fn last_words(world: &World) -> String {
    let violation = world.violation.map_or(String::new(), |violation| {
        format!("rule {:?}: {}\n", violation.rule, violation.how)
    });
    let end = |side| match world.ends.of(side) {
        Some(ended) => format!("{side}: ended: {ended:?}"),
        None => format!("{side}: says that the guest is: {}", world.guest_owner(side)),
    };
    format!("{violation}{}\n{}", end(Side::Source), end(Side::Destination))
}

/// An order of a machine in words.
pub(crate) fn order(operation: &Operation, message: &[u8]) -> String {
    match operation {
        Operation::Send { .. } => match Message::parse(message) {
            Ok(message) => format!("sends {}", message.kind().name()),
            Err(malformed) => format!("sends what cannot be read: {malformed}"),
        },
        Operation::WriteRam(write) => format!(
            "writes block {} at {}, {} bytes, with rkey {}, {}",
            write.block,
            write.offset,
            write.length,
            write.rkey,
            if write.signaled { "signaled" } else { "unsignaled" },
        ),
        operation => format!("orders {operation:?}"),
    }
}
