//! `rdma-migration inspect`: a capture, told as the migrations in it.

mod chunk_keys;
mod content;
mod control;
mod conversation;
mod deviation;
mod entry;
mod json;
mod memory;
mod palette;
mod stream;
mod summary;
mod tally;
mod text;
mod text_from_peer;

use std::io::{self, Read, Write};
use std::num::NonZeroU64;

use crate::capture::connections::{CONNECTIONS_MAX, Connections};
use crate::capture::datagram::{NotRead, read_datagram};
use crate::capture::event::{Event, Happening};
use crate::capture::file::{CaptureError, Record, read_packets};
use crate::capture::{End, Stamp};
use conversation::{Conversation, Opening};
use entry::Entry;
pub(crate) use json::{Hexadecimal, JsonCommand};
use palette::Palette;
use summary::count;
use text::TextReport;
pub use text_from_peer::printable;

/// Chunk size of the deployed protocol.
pub const CHUNK_BYTES_DEFAULT: NonZeroU64 = NonZeroU64::new(1 << 20).unwrap();

/// How the report is written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Format {
    /// Lines and tables for people.
    Text,
    /// One JSON object a line.
    Json,
}

/// How a capture is inspected.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// How the report is written.
    pub format: Format,
    /// Whether text may contain escape sequences for colour.
    pub colour: bool,
    /// Bytes of a chunk, which both sides of the migration agreed on out of band.
    pub chunk_bytes: NonZeroU64,
}

impl Default for Options {
    fn default() -> Self {
        Self { format: Format::Text, colour: false, chunk_bytes: CHUNK_BYTES_DEFAULT }
    }
}

/// What came of inspecting a capture.
#[derive(Debug)]
pub struct Outcome {
    /// Packets read.
    pub packets: u64,
    /// RDMA connections found.
    pub connections: usize,
    /// Departures from the protocol reported.
    pub deviations: u64,
    /// What could not be read or judged, and why. Part of the report as text; for JSON, the caller
    /// has to show it.
    pub notes: Vec<String>,
    /// Why reading ended before the file did. What came before it has been reported.
    pub damage: Option<CaptureError>,
}

/// Reads a pcap or pcapng file and reports the migrations in it.
///
/// Memory is bounded whatever the file holds, and no content of it is trusted.
///
/// # Errors
/// When the report cannot be written. A file that cannot be read is part of the [`Outcome`].
pub fn inspect(
    reader: impl Read,
    options: &Options,
    mut writer: impl Write,
) -> io::Result<Outcome> {
    let mut inspection = Inspection::new(*options, &mut writer);
    let damage = match read_packets(reader, |record| inspection.take(record)) {
        Ok(()) => None,
        Err(Stop::Damage(damage)) => Some(damage),
        Err(Stop::Write(error)) => return Err(error),
    };
    inspection.finish(damage)
}

enum Stop {
    Damage(CaptureError),
    Write(io::Error),
}

impl From<CaptureError> for Stop {
    fn from(error: CaptureError) -> Self {
        Self::Damage(error)
    }
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Self::Write(error)
    }
}

struct Inspection<W> {
    options: Options,
    palette: Palette,
    writer: W,
    text: TextReport,
    first_nanoseconds: Option<u64>,
    packets: u64,
    other_link_packets: u64,
    fragments: u64,
    connections: Connections,
    conversations: Vec<Conversation>,
}

impl<W: Write> Inspection<W> {
    fn new(options: Options, writer: W) -> Self {
        let palette = Palette::new(options.colour);
        Self {
            options,
            palette,
            writer,
            text: TextReport::new(palette),
            first_nanoseconds: None,
            packets: 0,
            other_link_packets: 0,
            fragments: 0,
            connections: Connections::default(),
            conversations: Vec::new(),
        }
    }

    fn take(&mut self, record: Record<'_>) -> Result<(), Stop> {
        let stamp = Stamp { packet: record.number, time_us: self.time_us(record.nanoseconds) };
        self.packets = record.number;
        if !record.ethernet {
            self.other_link_packets += 1;
            return Ok(());
        }
        match read_datagram(record.data) {
            Ok(datagram) => {
                let happenings = self.connections.take(stamp, &datagram);
                Ok(self.report(happenings)?)
            }
            Err(NotRead::IpFragment) => {
                self.fragments += 1;
                Ok(())
            }
            Err(NotRead::OtherTraffic) => Ok(()),
        }
    }

    /// Microseconds since the first packet that has a time.
    fn time_us(&mut self, nanoseconds: Option<u64>) -> Option<i64> {
        let now = i128::from(nanoseconds?);
        let first = i128::from(*self.first_nanoseconds.get_or_insert(nanoseconds?));
        i64::try_from((now - first).div_euclid(1000)).ok()
    }

    fn report(&mut self, happenings: Vec<Happening>) -> io::Result<()> {
        for happening in happenings {
            let conversation = self.conversation(&happening);
            let Some(conversation) = self.conversations.get_mut(conversation) else { continue };
            for entry in conversation.take(happening) {
                self.write(entry)?;
            }
        }
        Ok(())
    }

    fn write(&mut self, entry: Entry) -> io::Result<()> {
        match self.options.format {
            Format::Text => self.text.write_entry(entry, &mut self.writer),
            Format::Json => json::write_entry(&entry, &mut self.writer),
        }
    }

    /// The conversation on this connection, which begins with its first happening.
    fn conversation(&mut self, happening: &Happening) -> usize {
        let index = happening.connection;
        while self.conversations.len() <= index {
            let next = self.conversations.len();
            let opening = Opening {
                number: next + 1,
                ends: self.connections.addresses(next),
                managed: self.connections.is_managed(next),
                return_path: next == index && self.is_return_path(happening),
            };
            self.conversations.push(Conversation::new(opening, self.options.chunk_bytes));
        }
        index
    }

    /// A second connection between the same ends, to the same port, made before the stream of the
    /// first has begun.
    fn is_return_path(&self, happening: &Happening) -> bool {
        let Event::ConnectRequest(_, port) = &happening.event else { return false };
        let ends = self.connections.addresses(happening.connection);
        happening.from == End::A
            && self.conversations.iter().any(|first| {
                first.awaits_return_path() && first.opening.ends == ends && first.port == *port
            })
    }

    fn finish(mut self, damage: Option<CaptureError>) -> io::Result<Outcome> {
        let held_back = self.connections.end();
        self.report(held_back)?;
        let notes = self.notes();
        if self.options.format == Format::Text {
            self.text.finish(&mut self.writer)?;
            for conversation in &self.conversations {
                summary::write_summary(conversation, &self.palette, &mut self.writer)?;
            }
            if !notes.is_empty() && !self.conversations.is_empty() {
                writeln!(self.writer)?;
                for note in &notes {
                    writeln!(self.writer, "note: {note}")?;
                }
            }
        }
        self.writer.flush()?;
        Ok(Outcome {
            packets: self.packets,
            connections: self.conversations.len(),
            deviations: self.conversations.iter().map(|each| each.tally.deviations).sum(),
            notes,
            damage,
        })
    }

    fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        for conversation in &self.conversations {
            let number = conversation.opening.number;
            if conversation.foreign {
                notes.push(format!("connection {number} carries another protocol"));
            } else if !conversation.opening.managed {
                notes.push(format!(
                    "the packets that made connection {number} are not in the capture: version \
                     and flags are unknown, and which side is the source is inferred"
                ));
            }
        }
        let mut note = |number, what| {
            if number > 0 {
                notes.push(format!("{} {what}", count(number, "packet")));
            }
        };
        note(self.other_link_packets, "not read: their link type is not Ethernet");
        note(self.fragments, "not read: IP fragments, which RoCEv2 does not use");
        note(self.connections.cut_off(), "not read: cut off inside their first header");
        let not_followed = format!("not read: more than {CONNECTIONS_MAX} connections");
        note(self.connections.not_followed(), not_followed.as_str());
        notes
    }
}
