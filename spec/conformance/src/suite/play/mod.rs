//! The suite's side of a case: what a play can do, and how it judges what it sees.

mod as_destination;
mod as_source;
mod chunk_keys;
mod end;
mod message;
mod mirror;

use core::time::Duration;
use std::collections::VecDeque;

use super::action::{Access, Operation};
use super::guest::Guest;
use super::transcript::{Event, Transcript};
use super::{Action, Aftermath, Bytes, Column, Entry, Finding, Link, Observation, Stop};
use crate::codec::{Command, Kind};
pub use as_destination::Asked;
pub use as_source::Answer;
pub use chunk_keys::ChunkKeys;
pub use message::Message;
pub use mirror::{Mirror, different_ram};

/// How long a connection may take at least: a connection manager repeats a request that was lost after
/// more than four seconds, and does so several times.
const CONNECTS_WITHIN: Duration = Duration::from_secs(20);

/// Bytes of a chunk.
pub const CHUNK: u64 = 1 << 20;

/// What a play has at hand.
#[derive(Clone, Debug)]
pub struct Stage {
    /// How long to wait for the peer.
    pub patience: Duration,
    /// Where all chance comes from.
    pub seed: u64,
    /// The guest that is moved to a destination under test.
    pub guest: Guest,
}

/// A case that is being played.
pub struct Play<'l> {
    link: &'l mut dyn Link,
    stage: Stage,
    /// What was seen and nobody has looked at yet.
    inbox: VecDeque<Observation>,
    transcript: Transcript,
    findings: Vec<Finding>,
    next_region: u32,
    /// Whether the connection is still there.
    connected: bool,
    /// Messages that the peer's adapter has neither acknowledged nor refused.
    unanswered_sends: usize,
    /// Why the first message was not taken that was not.
    failed_send: Option<String>,
    /// What is done to each message before it is sent.
    alteration: Option<fn(&mut [u8])>,
    /// What the destination under test said of its RAM blocks, or the suite's side of its own.
    blocks: Vec<crate::codec::RamBlock>,
}

/// A region of the suite's side.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Region {
    /// Its name.
    pub region: u32,
    /// The RAM block that it is all of.
    pub block: u32,
    /// The address of its first byte.
    pub address: u64,
    /// Bytes.
    pub length: u64,
    /// Its key.
    pub rkey: u32,
}

impl<'l> Play<'l> {
    pub(super) fn new(link: &'l mut dyn Link, stage: Stage) -> Self {
        Self {
            link,
            stage,
            inbox: VecDeque::new(),
            transcript: Transcript::default(),
            findings: Vec::new(),
            next_region: 0,
            connected: false,
            unanswered_sends: 0,
            failed_send: None,
            alteration: None,
            blocks: Vec::new(),
        }
    }

    /// Ends the connection if it is still there, and asks what has become of the peer.
    pub(super) fn end(mut self) -> (Transcript, Vec<Finding>, Aftermath) {
        if self.connected {
            self.disconnect();
        }
        let aftermath = self.link.aftermath();
        self.note(Event::Saw(Observation::Aftermath(aftermath.clone())));
        (self.transcript, self.findings, aftermath)
    }

    /// The guest that is moved to a destination under test.
    #[must_use]
    pub const fn guest(&self) -> &Guest {
        &self.stage.guest
    }

    /// The RAM blocks as RAM_BLOCKS_RESULT had them.
    #[must_use]
    pub fn blocks(&self) -> &[crate::codec::RamBlock] {
        &self.blocks
    }

    /// The seed of this play.
    #[must_use]
    pub const fn seed(&self) -> u64 {
        self.stage.seed
    }

    /// Does something.
    pub fn act(&mut self, action: Action) {
        self.link.act(&action);
        self.note(Event::Did(action));
    }

    /// The next thing that is seen within `time`.
    fn see(&mut self, time: Duration) -> Option<Observation> {
        if let Some(seen) = self.inbox.pop_front() {
            return Some(seen);
        }
        self.look(time)
    }

    /// The next thing that the link has, within `time`.
    fn look(&mut self, time: Duration) -> Option<Observation> {
        let seen = self.link.next(self.link.now() + time);
        self.note(Event::Saw(seen.clone().unwrap_or(Observation::Nothing)));
        match &seen {
            Some(Observation::Established { .. }) => self.connected = true,
            Some(Observation::Disconnected | Observation::Closed) => self.connected = false,
            Some(Observation::Sent) => {
                self.unanswered_sends = self.unanswered_sends.saturating_sub(1);
            }
            Some(Observation::Failed { operation: Operation::Send, error }) => {
                self.unanswered_sends = self.unanswered_sends.saturating_sub(1);
                self.failed_send.get_or_insert_with(|| error.clone());
            }
            _ => {}
        }
        seen
    }

    fn note(&mut self, event: Event) {
        let time_us = u64::try_from(self.link.now().as_micros()).unwrap_or(u64::MAX);
        self.transcript.0.push(Entry { time_us, event });
    }

    /// Waits for something that `wanted` takes; what else is seen meanwhile stays to be seen.
    ///
    /// # Errors
    /// [`Stop::Timeout`] if it does not come.
    pub fn wait_for<T>(
        &mut self,
        awaited: &str,
        wanted: impl FnMut(&Observation) -> Option<T>,
    ) -> Result<T, Stop> {
        self.wait_within(self.stage.patience, awaited, wanted)
    }

    /// The same for what the connection manager brings, which may take longer than a peer does.
    ///
    /// # Errors
    /// [`Stop::Timeout`] if it does not come.
    pub fn wait_for_connection<T>(
        &mut self,
        awaited: &str,
        wanted: impl FnMut(&Observation) -> Option<T>,
    ) -> Result<T, Stop> {
        self.wait_within(self.stage.patience.max(CONNECTS_WITHIN), awaited, wanted)
    }

    fn wait_within<T>(
        &mut self,
        time: Duration,
        awaited: &str,
        mut wanted: impl FnMut(&Observation) -> Option<T>,
    ) -> Result<T, Stop> {
        for (index, seen) in self.inbox.iter().enumerate() {
            if let Some(found) = wanted(seen) {
                self.inbox.remove(index);
                return Ok(found);
            }
        }
        let until = self.link.now() + time;
        while let Some(seen) = self.look(until.saturating_sub(self.link.now())) {
            match wanted(&seen) {
                Some(found) => return Ok(found),
                None => self.inbox.push_back(seen),
            }
        }
        Err(Stop::Timeout { awaited: awaited.to_owned() })
    }

    /// Keeps something that the peer did against a requirement, and goes on.
    pub fn find(&mut self, column: Column, requirement: &str, says: impl Into<String>) {
        self.findings.push(finding(column, requirement, says));
    }

    /// Keeps a finding of the wording unless `holds`.
    pub fn check(&mut self, holds: bool, requirement: &str, says: impl Into<String>) {
        if !holds {
            self.find(Column::Wording, requirement, says);
        }
    }

    /// Keeps a finding of safety unless `holds`.
    pub fn check_safety(&mut self, holds: bool, requirement: &str, says: impl Into<String>) {
        if !holds {
            self.find(Column::Safety, requirement, says);
        }
    }

    /// Alters each message that is sent from here on, header included.
    pub fn alter_messages(&mut self, alteration: fn(&mut [u8])) {
        self.alteration = Some(alteration);
    }

    /// Sends bytes as a message.
    pub fn send_bytes(&mut self, mut message: Vec<u8>) {
        if let Some(alter) = self.alteration {
            alter(&mut message);
        }
        self.unanswered_sends += 1;
        self.act(Action::Send { message: Bytes(message) });
    }

    /// Sends a message with a header that fits it.
    pub fn send(&mut self, kind: Kind, payload: &[u8]) {
        self.send_bytes(Message::encode(kind, 1, payload));
    }

    /// Sends a message of commands.
    pub fn send_commands(&mut self, kind: Kind, commands: &[Command]) {
        self.send_bytes(Message::of_commands(kind, commands));
    }

    /// The next message of the peer.
    ///
    /// # Errors
    /// [`Stop`] if there is none, or it is no message.
    pub fn receive(&mut self, awaited: &str) -> Result<Message, Stop> {
        loop {
            match self.see(self.stage.patience) {
                Some(Observation::Received { message }) => return Message::decode(&message.0),
                Some(Observation::Disconnected) => {
                    let says = format!("the peer ended the connection instead of {awaited}");
                    return Err(Stop::Found(finding(Column::Wording, "ERR-1", says)));
                }
                Some(Observation::Failed { operation, error }) => {
                    let says = format!("{operation:?} failed instead of {awaited}: {error}");
                    return Err(Stop::Found(finding(Column::Wording, "CON-20", says)));
                }
                Some(_) => {}
                None => return Err(Stop::Timeout { awaited: awaited.to_owned() }),
            }
        }
    }

    /// The next message of the peer, or `None` once it has ended the migration, with ERROR before or
    /// without.
    ///
    /// # Errors
    /// [`Stop`] if it does neither, or sends what is no message.
    pub fn take_message_unless_ended(&mut self) -> Result<Option<Message>, Stop> {
        let seen = self.wait_for("a message, or the end of the migration", |seen| match seen {
            Observation::Received { message } => Some(Some(message.0.clone())),
            Observation::Disconnected => Some(None),
            _ => None,
        })?;
        let Some(bytes) = seen else { return Ok(None) };
        let message = Message::decode(&bytes)?;
        if message.kind() == Kind::Error {
            return self.wait_for_end().map(|()| None);
        }
        Ok(Some(message))
    }

    /// The next message of the peer, which has to be of this kind.
    ///
    /// # Errors
    /// [`Stop`] if it is not; the finding is of `requirement`.
    pub fn expect(&mut self, kind: Kind, requirement: &str) -> Result<Message, Stop> {
        let message = self.receive(&kind.to_string())?;
        if message.kind() == kind {
            return Ok(message);
        }
        let says = format!("{} instead of {kind}", message.kind());
        Err(Stop::Found(finding(Column::Wording, requirement, says)))
    }

    /// The peer sends nothing for `time`, and does not end the connection.
    pub fn expect_silence(&mut self, time: Duration, requirement: &str) {
        let until = self.link.now() + time;
        while let Some(seen) = self.see(until.saturating_sub(self.link.now())) {
            let says = match &seen {
                Observation::Received { message } => match Message::decode(&message.0) {
                    Ok(message) => format!("it sent {}", message.kind()),
                    Err(_) => "it sent something that is no message".to_owned(),
                },
                Observation::Disconnected => "it ended the connection".to_owned(),
                _ => continue,
            };
            self.find(Column::Wording, requirement, says);
            if seen == Observation::Disconnected {
                self.inbox.push_back(seen);
                return;
            }
        }
    }

    /// The peer ends the migration, as it has to after a breach of `requirement`: it disconnects, with
    /// or without ERROR before. Where it answers as if nothing were wrong that is a finding.
    ///
    /// # Errors
    /// [`Stop::Timeout`] if it does nothing.
    pub fn expect_end(&mut self, requirement: &str) -> Result<(), Stop> {
        let until = self.link.now() + self.stage.patience;
        loop {
            match self.see(until.saturating_sub(self.link.now())) {
                Some(Observation::Disconnected) => return Ok(()),
                Some(Observation::Received { message }) => {
                    let kind = Message::decode(&message.0)?.kind();
                    if kind != Kind::Error {
                        let says = format!("it goes on with {kind}");
                        self.find(Column::Wording, requirement, says);
                        return Ok(());
                    }
                }
                Some(_) => {}
                None => {
                    let awaited = "the peer to end the migration".to_owned();
                    return Err(Stop::Timeout { awaited });
                }
            }
        }
    }

    /// Waits for the peer to end the connection, whatever it has sent before: for plays in which
    /// messages of the peer may be on their way when it learns why it has to end.
    ///
    /// # Errors
    /// [`Stop::Timeout`] if it does not.
    pub fn wait_for_end(&mut self) -> Result<(), Stop> {
        self.wait_for("the peer to end the migration", |seen| match seen {
            Observation::Disconnected => Some(()),
            _ => None,
        })
    }

    /// Ends the connection.
    pub fn disconnect(&mut self) {
        self.act(Action::Disconnect);
        let closed = |seen: &Observation| matches!(seen, Observation::Closed).then_some(());
        // An adapter that does not confirm its own end has nothing more to say either.
        let _ = self.wait_for("the end of the suite's own connection", closed);
        self.connected = false;
    }

    /// Makes and registers RAM of the suite's side, zero or filled.
    ///
    /// # Errors
    /// [`Stop::Inconclusive`] if the suite's host has none.
    pub fn make_region(&mut self, length: u64, access: Access, fill: bool) -> Result<Region, Stop> {
        self.act(Action::Allocate { length });
        let (block, address) = self.wait_for("memory", |seen| match seen {
            Observation::Allocated { block, address } => Some((*block, *address)),
            _ => None,
        })?;
        let seed = self.stage.seed;
        if fill {
            self.act(Action::Fill { block, offset: 0, length, seed });
        }
        let (region, rkey) = self.register_memory(block, 0, length, access)?;
        Ok(Region { region, block, address, length, rkey })
    }

    /// Registers a part of the RAM of a region under a name and a key of its own.
    ///
    /// # Errors
    /// [`Stop::Inconclusive`] if the suite's host cannot.
    pub fn make_region_inside(
        &mut self,
        of: &Region,
        offset: u64,
        length: u64,
        access: Access,
    ) -> Result<Region, Stop> {
        let (region, rkey) = self.register_memory(of.block, offset, length, access)?;
        Ok(Region { region, block: of.block, address: of.address + offset, length, rkey })
    }

    /// The name and the key of memory that is registered now.
    fn register_memory(
        &mut self,
        block: u32,
        offset: u64,
        length: u64,
        access: Access,
    ) -> Result<(u32, u32), Stop> {
        let region = self.next_region;
        self.next_region += 1;
        self.act(Action::Register { region, block, offset, length, access });
        let rkey =
            self.wait_for("the registration of the suite's own memory", |seen| match seen {
                Observation::Registered { region: of, rkey } if *of == region => Some(Some(*rkey)),
                Observation::Failed { operation: Operation::Register, .. } => Some(None),
                _ => None,
            })?;
        let no_region =
            || Stop::Inconclusive { what: "the suite's memory cannot be registered".into() };
        Ok((region, rkey.ok_or_else(no_region)?))
    }

    /// Gives a region of the suite's side back: its key is good for nothing from here on.
    ///
    /// # Errors
    /// [`Stop::Inconclusive`] if the suite's host cannot.
    pub fn give_back(&mut self, region: &Region) -> Result<(), Stop> {
        let Region { region, .. } = *region;
        self.act(Action::Deregister { region });
        let given_back =
            self.wait_for("the end of a registration of the suite's own", |seen| match seen {
                Observation::Deregistered { region: of } if *of == region => Some(true),
                Observation::Failed { operation: Operation::Deregister, .. } => Some(false),
                _ => None,
            })?;
        let stays = || Stop::Inconclusive { what: "the suite's memory stays registered".into() };
        given_back.then_some(()).ok_or_else(stays)
    }

    /// The digest of RAM of the suite's side, and whether it is all zero.
    ///
    /// # Errors
    /// [`Stop`] if there is no answer.
    pub fn ram(&mut self, block: u32, offset: u64, length: u64) -> Result<(String, bool), Stop> {
        self.act(Action::Look { block, offset, length });
        self.wait_for("the suite's own memory", |seen| match seen {
            Observation::Ram { sha256, zero } => Some((sha256.clone(), *zero)),
            _ => None,
        })
    }
}

/// A finding after which a play cannot go on.
#[must_use]
pub fn breach(requirement: &str, says: impl Into<String>) -> Stop {
    Stop::Found(finding(Column::Wording, requirement, says))
}

fn finding(column: Column, requirement: &str, says: impl Into<String>) -> Finding {
    Finding { column, requirement: requirement.to_owned(), says: says.into() }
}
