//! The dialogue of one side with its peer and its adapter, as JSON, one object a line.
//!
//! Messages, connects and writes have the keys that `inspect` gives them, with `time_us` counted from
//! the beginning of this side's clock. What only this side can know (scans, registrations,
//! completions) has events of its own.

use std::fmt;
use std::io::{self, Write};

use rdma_migration_protocol::time::Instant;
use rdma_migration_protocol::transport::{Completion, ConnectionEvent, Input, Operation};
use serde::Serialize;

use crate::codec::{Capabilities, Command, Header};
use crate::inspect::{Hexadecimal, JsonCommand};

/// A side of a migration.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// The side that the guest leaves.
    Source,
    /// The side that it arrives at.
    Destination,
}

impl Side {
    const fn peer(self) -> Self {
        match self {
            Self::Source => Self::Destination,
            Self::Destination => Self::Source,
        }
    }
}

/// Writes the dialogue of one side.
pub struct Dialogue {
    side: Side,
    writer: Box<dyn Write + Send>,
    /// The first error; nothing is written after it.
    failed: Option<io::Error>,
}

impl fmt::Debug for Dialogue {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Dialogue").field("side", &self.side).finish_non_exhaustive()
    }
}

#[derive(Serialize)]
struct Line {
    time_us: u64,
    #[serde(flatten)]
    event: Event,
}

#[derive(Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Event {
    ConnectRequest {
        from: Side,
        version: Option<u32>,
        flags: Option<u32>,
    },
    ConnectReply {
        from: Side,
        version: Option<u32>,
        flags: Option<u32>,
    },
    Established,
    Reject {
        from: Side,
    },
    ConnectionFailed {
        error: String,
    },
    Message {
        from: Side,
        kind: Option<String>,
        length: Option<u32>,
        repeat: Option<u32>,
        commands: Vec<JsonCommand>,
    },
    Sent,
    PostReceive {
        buffer: u8,
    },
    Write {
        from: Side,
        remote_address: Hexadecimal,
        rkey: u32,
        length: u64,
        block: u32,
        offset: u64,
        signaled: bool,
    },
    Written,
    Scan {
        block: u32,
        offset: u64,
        length: u64,
    },
    Scanned {
        block: u32,
        offset: u64,
        zero: bool,
    },
    Zero {
        block: u32,
        offset: u64,
        length: u64,
    },
    Zeroed {
        block: u32,
        offset: u64,
    },
    Register {
        region: u32,
        block: u32,
        offset: u64,
        length: u64,
    },
    Registered {
        region: u32,
        rkey: u32,
    },
    Deregister {
        region: u32,
    },
    Deregistered {
        region: u32,
    },
    Disconnect {
        from: Side,
    },
    Disconnected,
    Failed {
        operation: String,
        error: String,
    },
}

impl Dialogue {
    /// The dialogue of this side, to be written there.
    #[must_use]
    pub fn new(side: Side, writer: Box<dyn Write + Send>) -> Self {
        Self { side, writer, failed: None }
    }

    pub(crate) fn finish(mut self) -> io::Result<()> {
        self.failed.take().map_or_else(|| self.writer.flush(), Err)
    }

    /// Writes what the machine has ordered. `buffer` begins with the message of a `Send`.
    pub(crate) fn operation(&mut self, operation: &Operation, buffer: &[u8], now: Instant) {
        let event = match *operation {
            Operation::Connect { private_data } => connect_request(self.side, &private_data),
            Operation::Accept { private_data } => connect_reply(self.side, &private_data),
            Operation::Reject => Event::Reject { from: self.side },
            Operation::Disconnect => Event::Disconnect { from: self.side },
            Operation::PostReceive { buffer } => Event::PostReceive { buffer: buffer.0 },
            Operation::Send { length } => {
                message(self.side, buffer.get(..length).unwrap_or_default())
            }
            Operation::WriteRam(write) => Event::Write {
                from: self.side,
                remote_address: Hexadecimal(write.remote_address.get()),
                rkey: write.rkey.get(),
                length: write.length,
                block: write.block.get(),
                offset: write.offset.get(),
                signaled: write.signaled,
            },
            Operation::ScanRam { block, offset, length } => {
                Event::Scan { block: block.get(), offset: offset.get(), length }
            }
            Operation::ZeroRam { block, offset, length } => {
                Event::Zero { block: block.get(), offset: offset.get(), length }
            }
            Operation::RegisterMemory { region, block, offset, length, access: _ } => {
                let (block, offset) = (block.get(), offset.get());
                Event::Register { region: region.0, block, offset, length }
            }
            Operation::DeregisterMemory { region } => Event::Deregister { region: region.0 },
        };
        self.write(event, now);
    }

    /// Writes what the machine is told.
    pub(crate) fn input(&mut self, input: &Input<'_>, now: Instant) {
        let event = match input {
            Input::Connection(event) => self.connection(event),
            Input::Completion(completion) => self.completion(completion),
        };
        self.write(event, now);
    }

    fn connection(&self, event: &ConnectionEvent<'_>) -> Event {
        let from = self.side.peer();
        match event {
            ConnectionEvent::Requested { private_data } => connect_request(from, private_data),
            ConnectionEvent::Established { private_data: [] } => Event::Established,
            ConnectionEvent::Established { private_data } => connect_reply(from, private_data),
            ConnectionEvent::Rejected => Event::Reject { from },
            ConnectionEvent::Failed { error } => {
                Event::ConnectionFailed { error: error.to_string() }
            }
            ConnectionEvent::Disconnected => Event::Disconnect { from },
        }
    }

    fn completion(&self, completion: &Completion<'_>) -> Event {
        match completion {
            Completion::Received { bytes, .. } => message(self.side.peer(), bytes),
            Completion::Sent => Event::Sent,
            Completion::RamWritten => Event::Written,
            Completion::RamScanned { block, offset, zero } => {
                Event::Scanned { block: block.get(), offset: offset.get(), zero: *zero }
            }
            Completion::RamZeroed { block, offset } => {
                Event::Zeroed { block: block.get(), offset: offset.get() }
            }
            Completion::MemoryRegistered { region, rkey } => {
                Event::Registered { region: region.0, rkey: rkey.get() }
            }
            Completion::MemoryDeregistered { region } => Event::Deregistered { region: region.0 },
            Completion::Disconnected => Event::Disconnected,
            Completion::Failed { operation, error } => {
                Event::Failed { operation: operation.to_string(), error: error.to_string() }
            }
        }
    }

    fn write(&mut self, event: Event, now: Instant) {
        if self.failed.is_some() {
            return;
        }
        let time_us = now.since(Instant::ORIGIN).as_micros();
        let line = Line { time_us: u64::try_from(time_us).unwrap_or(u64::MAX), event };
        let written = serde_json::to_writer(&mut self.writer, &line).map_err(io::Error::from);
        self.failed = written.and_then(|()| self.writer.write_all(b"\n")).err();
    }
}

fn connect_request(from: Side, private_data: &[u8]) -> Event {
    let capabilities = Capabilities::decode(private_data).ok();
    let version = capabilities.map(|capabilities| capabilities.version);
    Event::ConnectRequest { from, version, flags: capabilities.map(|offer| offer.flags) }
}

fn connect_reply(from: Side, private_data: &[u8]) -> Event {
    let capabilities = Capabilities::decode(private_data).ok();
    let version = capabilities.map(|capabilities| capabilities.version);
    Event::ConnectReply { from, version, flags: capabilities.map(|offer| offer.flags) }
}

fn message(from: Side, bytes: &[u8]) -> Event {
    match Header::decode(bytes) {
        Err(_) => {
            Event::Message { from, kind: None, length: None, repeat: None, commands: Vec::new() }
        }
        Ok((header, payload)) => {
            let commands = Command::decode_all(header.kind, payload);
            Event::Message {
                from,
                kind: Some(header.kind.to_string()),
                length: Some(header.length),
                repeat: Some(header.repeat),
                commands: commands
                    .iter()
                    .enumerate()
                    .map(|(index, command)| JsonCommand::new(index, command, None))
                    .collect(),
            }
        }
    }
}
