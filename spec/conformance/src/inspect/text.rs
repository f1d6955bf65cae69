//! The report as text, one line an entry.

use std::fmt::Display;
use std::io::{self, Write};

use super::content::{describe_connect, describe_content, describe_write, ram_block_lines};
use super::entry::{Body, Content, Entry, Role};
use super::palette::Palette;
use crate::capture::connection_manager::reject_reason;
use crate::capture::event::Retransmitted;
use crate::codec::{Header, Kind};

/// Where the content of a message begins in its line.
const CONTENT_COLUMN: usize = 77;

/// Writes the lines of the report.
#[derive(Debug)]
pub(super) struct TextReport {
    palette: Palette,
    begun: bool,
    /// Packets that came again, one after the other: a burst of them makes one line.
    again: Option<Again>,
}

#[derive(Debug)]
struct Again {
    last: Entry,
    packets: u64,
}

/// The columns of a line between its place and its content.
struct Columns<'a> {
    kind: &'a dyn Display,
    length: &'a dyn Display,
    repeat: &'a dyn Display,
}

impl TextReport {
    pub(super) fn new(palette: Palette) -> Self {
        Self { palette, begun: false, again: None }
    }

    /// Writes the lines of this entry.
    pub(super) fn write_entry(&mut self, entry: Entry, writer: &mut impl Write) -> io::Result<()> {
        if !std::mem::replace(&mut self.begun, true) {
            self.write_heading(writer)?;
        }
        if let Body::Retransmission(what) = &entry.body {
            let burst = self.again.as_mut().filter(|again| {
                let last = &again.last;
                let same = matches!(&last.body, Body::Retransmission(before) if before == what);
                same && (last.connection, last.from) == (entry.connection, entry.from)
            });
            if let Some(again) = burst {
                again.packets += 1;
                again.last = entry;
                return Ok(());
            }
            self.write_again(writer)?;
            self.again = Some(Again { last: entry, packets: 1 });
            return Ok(());
        }
        self.write_again(writer)?;
        self.write_line(&entry, writer)
    }

    /// Writes what was held back.
    pub(super) fn finish(&mut self, writer: &mut impl Write) -> io::Result<()> {
        self.write_again(writer)
    }

    fn write_heading(&self, writer: &mut impl Write) -> io::Result<()> {
        let style = self.palette.heading;
        let heading = format!(
            "{:>8}  {:>11}  {:>4}  {:<7}  {:<19}  {:>8}  {:>6}  content",
            "packet", "seconds", "conn", "", "kind", "length", "repeat"
        );
        writeln!(writer, "{style}{heading}{style:#}\n")
    }

    fn write_again(&mut self, writer: &mut impl Write) -> io::Result<()> {
        let Some(Again { last, packets }) = self.again.take() else { return Ok(()) };
        let Body::Retransmission(what) = &last.body else { return Ok(()) };
        let what = match what {
            Retransmitted::Send(Some(bytes)) => match Header::decode(bytes) {
                Ok((header, _)) => header.kind.to_string(),
                Err(_) => "message".to_owned(),
            },
            Retransmitted::Send(None) => "piece of a message".to_owned(),
            Retransmitted::Write => "piece of a write".to_owned(),
            Retransmitted::Other => "request".to_owned(),
            Retransmitted::Management => "connection management".to_owned(),
        };
        let content = match packets {
            1 => what,
            _ => format!("{what}, {packets} packets"),
        };
        let style = self.palette.faint;
        let line = format!(
            "{}  {:<19}  {:>8}  {:>6}  {content}",
            place(&last),
            "(retransmission)",
            "",
            ""
        );
        writeln!(writer, "{style}{line}{style:#}")
    }

    fn write_line(&self, entry: &Entry, writer: &mut impl Write) -> io::Result<()> {
        let nothing: &dyn Display = &"";
        let columns = |kind| Columns { kind, length: nothing, repeat: nothing };
        let plain = |kind: &'static str| (kind, self.palette.management);
        match &entry.body {
            Body::ConnectRequest { capabilities, ends, port, return_path } => {
                let content = describe_connect(*capabilities, *ends, *port, *return_path);
                let columns = columns(&"connect request");
                self.write_columns(entry, &columns, self.palette.management, &content, writer)
            }
            Body::ConnectReply(capabilities) => {
                let content = describe_connect(*capabilities, None, None, false);
                let columns = columns(&"connect reply");
                self.write_columns(entry, &columns, self.palette.management, &content, writer)
            }
            Body::ReadyToUse => self.write_simple(entry, plain("ready to use"), "", writer),
            Body::Reject(number) => {
                let content = format!("{} (reason {number})", reject_reason(*number));
                self.write_simple(entry, plain("reject"), &content, writer)
            }
            Body::DisconnectRequest => self.write_simple(entry, plain("disconnect"), "", writer),
            Body::DisconnectReply => {
                self.write_simple(entry, plain("disconnect reply"), "", writer)
            }
            Body::Message(message) => {
                let content = describe_content(message);
                match message.header {
                    Some(Header { length, kind, repeat }) => {
                        let columns = Columns { kind: &kind, length: &length, repeat: &repeat };
                        let style = self.palette.of(kind);
                        self.write_columns(entry, &columns, style, &content, writer)?;
                    }
                    None => {
                        let columns = columns(&"message");
                        let style = self.palette.of(Kind::None);
                        self.write_columns(entry, &columns, style, &content, writer)?;
                    }
                }
                self.write_ram_blocks(&message.content, writer)
            }
            Body::Write { range, place } => {
                let content = describe_write(range.as_ref(), place.as_ref());
                let length = range.map(|range| range.length.to_string()).unwrap_or_default();
                let columns = Columns { kind: &"RDMA WRITE", length: &length, repeat: nothing };
                self.write_columns(entry, &columns, self.palette.write, &content, writer)
            }
            Body::Deviation(deviation) => {
                let style = self.palette.deviation;
                writeln!(
                    writer,
                    "{style}{}  DEVIATION: {deviation} [{}]{style:#}",
                    place(entry),
                    deviation.name()
                )
            }
            Body::Missing(packets) => {
                let content = format!("({packets} packets are not in the capture)");
                self.write_remark(entry, &content, writer)
            }
            Body::IncompleteMessage => {
                self.write_remark(entry, "(a message is not whole in the capture)", writer)
            }
            Body::Retransmission(_) => Ok(()),
        }
    }

    fn write_simple(
        &self,
        entry: &Entry,
        (kind, style): (&'static str, anstyle::Style),
        content: &str,
        writer: &mut impl Write,
    ) -> io::Result<()> {
        let columns = Columns { kind: &kind, length: &"", repeat: &"" };
        self.write_columns(entry, &columns, style, content, writer)
    }

    fn write_columns(
        &self,
        entry: &Entry,
        columns: &Columns<'_>,
        style: anstyle::Style,
        content: &str,
        writer: &mut impl Write,
    ) -> io::Result<()> {
        let Columns { kind, length, repeat } = columns;
        let kind = kind.to_string();
        let place = place(entry);
        let (length, repeat) = (length.to_string(), repeat.to_string());
        let line =
            format!("{place}  {style}{kind:<19}{style:#}  {length:>8}  {repeat:>6}  {content}");
        writeln!(writer, "{}", line.trim_end())
    }

    fn write_remark(
        &self,
        entry: &Entry,
        content: &str,
        writer: &mut impl Write,
    ) -> io::Result<()> {
        let style = self.palette.faint;
        writeln!(writer, "{style}{}  {content}{style:#}", place(entry))
    }

    fn write_ram_blocks(&self, content: &Content, writer: &mut impl Write) -> io::Result<()> {
        let Content::Commands(commands) = content else { return Ok(()) };
        for line in ram_block_lines(commands) {
            writeln!(writer, "{:CONTENT_COLUMN$}{line}", "")?;
        }
        Ok(())
    }
}

/// Packet, time, connection and direction.
fn place(entry: &Entry) -> String {
    let seconds = match entry.stamp.time_us {
        Some(time) => {
            let sign = if time < 0 { "-" } else { "" };
            let time = time.unsigned_abs();
            format!("{sign}{}.{:06}", time / 1_000_000, time % 1_000_000)
        }
        None => "-".to_owned(),
    };
    let direction = match entry.from {
        Some(Role::Source) => "S ──▶ D",
        Some(Role::Destination) => "S ◀── D",
        None => "? ─── ?",
    };
    format!("{:>8}  {seconds:>11}  {:>4}  {direction}", entry.stamp.packet, entry.connection)
}
