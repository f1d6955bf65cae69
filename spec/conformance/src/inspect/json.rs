//! The report as JSON, one object a line.

use std::io::{self, Write};

use serde::Serialize;

use super::entry::{Body, Content, DescribedCommand, Entry};
use crate::codec::{Capabilities, Command};

#[derive(Serialize)]
struct Line {
    packet: u64,
    time_us: Option<i64>,
    connection: usize,
    from: Option<String>,
    #[serde(flatten)]
    event: Event,
}

#[derive(Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Event {
    ConnectRequest {
        version: Option<u32>,
        flags: Option<u32>,
    },
    ConnectReply {
        version: Option<u32>,
        flags: Option<u32>,
    },
    Reject,
    Message {
        kind: Option<String>,
        length: Option<u32>,
        repeat: Option<u32>,
        commands: Vec<JsonCommand>,
    },
    Write {
        remote_address: Option<Hexadecimal>,
        rkey: Option<u32>,
        length: Option<u32>,
    },
    Disconnect,
    Retransmission,
    Deviation {
        deviation: &'static str,
        detail: String,
    },
}

/// A command of a control message, as it is written in JSON.
#[derive(Serialize)]
#[serde(untagged)]
pub(crate) enum JsonCommand {
    RamBlock {
        block: usize,
        name: Option<String>,
        remote_address: Hexadecimal,
        offset: u64,
        length: u64,
        rkey: u32,
    },
    Compress {
        value: u32,
        block: u32,
        offset: u64,
        length: u64,
    },
    RegisterRequest {
        block: u32,
        address: Hexadecimal,
        chunks: u64,
    },
    RegisterResult {
        rkey: u32,
        host_address: Hexadecimal,
    },
    UnregisterRequest {
        block: u32,
        chunk: u64,
    },
}

/// An address, which many readers of JSON could not hold as a number.
pub(crate) struct Hexadecimal(pub(crate) u64);

impl Serialize for Hexadecimal {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{:#x}", self.0))
    }
}

/// Writes the object for this entry; what has no event of its own is left out.
pub(super) fn write_entry(entry: &Entry, writer: &mut impl Write) -> io::Result<()> {
    let Some(event) = event(&entry.body) else { return Ok(()) };
    let line = Line {
        packet: entry.stamp.packet,
        time_us: entry.stamp.time_us,
        connection: entry.connection,
        from: entry.from.map(|role| role.to_string()),
        event,
    };
    serde_json::to_writer(&mut *writer, &line)?;
    writeln!(writer)
}

fn event(body: &Body) -> Option<Event> {
    let version = |offer: &Option<Capabilities>| offer.map(|offer| offer.version);
    let flags = |offer: &Option<Capabilities>| offer.map(|offer| offer.flags);
    Some(match body {
        Body::ConnectRequest { capabilities, .. } => {
            Event::ConnectRequest { version: version(capabilities), flags: flags(capabilities) }
        }
        Body::ConnectReply(capabilities) => {
            Event::ConnectReply { version: version(capabilities), flags: flags(capabilities) }
        }
        Body::Reject(_) => Event::Reject,
        Body::DisconnectRequest => Event::Disconnect,
        Body::Message(message) => Event::Message {
            kind: message.header.map(|header| header.kind.to_string()),
            length: message.header.map(|header| header.length),
            repeat: message.header.map(|header| header.repeat),
            commands: match &message.content {
                Content::Nothing | Content::Stream(_) => Vec::new(),
                Content::Commands(commands) => commands.iter().enumerate().map(command).collect(),
            },
        },
        Body::Write { range, .. } => Event::Write {
            remote_address: range.map(|range| Hexadecimal(range.address)),
            rkey: range.map(|range| range.rkey),
            length: range.map(|range| range.length),
        },
        Body::Retransmission(_) => Event::Retransmission,
        Body::Deviation(deviation) => {
            Event::Deviation { deviation: deviation.name(), detail: deviation.to_string() }
        }
        Body::ReadyToUse | Body::DisconnectReply | Body::Missing(_) | Body::IncompleteMessage => {
            return None;
        }
    })
}

fn command((index, described): (usize, &DescribedCommand)) -> JsonCommand {
    JsonCommand::new(index, &described.command, described.name.clone())
}

impl JsonCommand {
    /// The command that stands at this place in its message, about the block of this name.
    pub(crate) fn new(index: usize, command: &Command, name: Option<String>) -> Self {
        match command {
            Command::RamBlock(block) => Self::RamBlock {
                block: index,
                name,
                remote_address: Hexadecimal(block.remote_address),
                offset: block.offset,
                length: block.length,
                rkey: block.rkey,
            },
            Command::Compress(run) => Self::Compress {
                value: run.value,
                block: run.block,
                offset: run.offset,
                length: run.length,
            },
            Command::RegisterRequest(request) => Self::RegisterRequest {
                block: request.block,
                address: Hexadecimal(request.address),
                chunks: request.chunks,
            },
            Command::RegisterResult(result) => Self::RegisterResult {
                rkey: result.rkey,
                host_address: Hexadecimal(result.host_address),
            },
            Command::UnregisterRequest(request) => {
                Self::UnregisterRequest { block: request.block, chunk: request.chunk }
            }
        }
    }
}
