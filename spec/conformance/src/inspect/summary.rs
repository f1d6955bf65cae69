//! The end of the text: what each connection carried, in tables.

use std::io::{self, Write};

use comfy_table::{CellAlignment, ContentArrangement, Table, TableComponent, presets::NOTHING};

use super::content::describe_flags;
use super::conversation::Conversation;
use super::palette::Palette;
use super::text_from_peer::printable;
use crate::capture::{End, Ends};
use crate::codec::Capabilities;
use crate::size::Size;

/// The most RAM blocks that one table lists.
const BLOCKS_SHOWN_MAX: usize = 64;

/// Writes what a connection has carried.
pub(super) fn write_summary(
    conversation: &Conversation,
    palette: &Palette,
    writer: &mut impl Write,
) -> io::Result<()> {
    let style = palette.heading;
    writeln!(writer, "\n{style}{}{style:#}\n", title(conversation))?;
    if conversation.foreign {
        return writeln!(writer, "  carries another protocol; not shown and not judged");
    }
    if let Some(requested) = conversation.requested {
        writeln!(writer, "  {}\n", negotiation(requested, conversation.granted))?;
    } else if !conversation.opening.managed {
        writeln!(
            writer,
            "  connection management not captured: version and flags are unknown, the sides inferred\n"
        )?;
    }
    if conversation.tally.messages() > 0 || conversation.tally.writes > 0 {
        write_table(&kinds(conversation), writer)?;
    }
    if !conversation.memory.blocks().is_empty() {
        write_table(&blocks(conversation), writer)?;
    }
    let tally = &conversation.tally;
    if tally.retransmitted_packets > 0 {
        let packets = tally.retransmitted_packets;
        writeln!(writer, "  {} retransmitted, not counted above", count(packets, "packet"))?;
    }
    if tally.missing_packets > 0 {
        let packets = tally.missing_packets;
        writeln!(writer, "  {} not in the capture", count(packets, "packet"))?;
    }
    match tally.deviations {
        0 => writeln!(writer, "  no deviation from the protocol"),
        deviations => {
            let style = palette.deviation;
            let deviations = count(deviations, "deviation");
            writeln!(writer, "  {style}{deviations} from the protocol{style:#}")
        }
    }
}

/// A number with its noun.
pub(super) fn count(number: u64, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{plural}")
}

fn title(conversation: &Conversation) -> String {
    let number = conversation.opening.number;
    let Some(Ends { a, b }) = conversation.opening.ends else {
        return format!("Connection {number}");
    };
    let sides = match conversation.source {
        Some(End::A) => format!("source {a}, destination {b}"),
        Some(End::B) => format!("source {b}, destination {a}"),
        None => format!("{a} and {b}"),
    };
    let port = conversation.port.map(|port| format!(", port {port}")).unwrap_or_default();
    let return_path = if conversation.opening.return_path { " (return path)" } else { "" };
    format!("Connection {number}{return_path}: {sides}{port}")
}

fn negotiation(requested: Capabilities, granted: Option<Capabilities>) -> String {
    let asked = describe_flags(requested);
    match granted {
        Some(granted) if granted == requested => {
            format!("version {}, flags {asked}", granted.version)
        }
        Some(granted) => format!(
            "version {}, flags {} (asked for version {}, flags {asked})",
            granted.version,
            describe_flags(granted),
            requested.version
        ),
        None => format!("asked for version {}, flags {asked}; not granted", requested.version),
    }
}

fn table(heading: &[&str]) -> Table {
    let mut table = Table::new();
    table
        .load_preset(NOTHING)
        .set_style(TableComponent::HeaderLines, '─')
        .set_style(TableComponent::MiddleHeaderIntersections, '─')
        .set_content_arrangement(ContentArrangement::Disabled)
        .set_header(heading);
    table
}

fn write_table(table: &Table, writer: &mut impl Write) -> io::Result<()> {
    for line in table.lines() {
        writeln!(writer, " {}", line.trim_end())?;
    }
    writeln!(writer)
}

fn align_right(table: &mut Table, columns: std::ops::Range<usize>) {
    for column in columns {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
}

fn kinds(conversation: &Conversation) -> Table {
    let mut table = table(&["kind", "from source", "from destination", "payload"]);
    let some = |number: u64| if number == 0 { String::new() } else { number.to_string() };
    for (kind, tally) in conversation.tally.kinds() {
        let payload = if tally.bytes == 0 { String::new() } else { Size(tally.bytes).to_string() };
        table.add_row([
            kind.to_string(),
            some(tally.from_source),
            some(tally.from_destination),
            payload,
        ]);
    }
    let (writes, bytes) = (conversation.tally.writes, conversation.tally.written_bytes);
    if writes > 0 {
        let payload = Size(bytes).to_string();
        table.add_row(["RDMA WRITE".to_owned(), writes.to_string(), String::new(), payload]);
    }
    align_right(&mut table, 1..4);
    table
}

fn blocks(conversation: &Conversation) -> Table {
    let heading = ["RAM block", "", "size", "writes", "written", "compressed", "registered chunks"];
    let mut table = table(&heading);
    let memory = &conversation.memory;
    for (index, block) in memory.blocks().iter().enumerate().take(BLOCKS_SHOWN_MAX) {
        let whole = block.granted.rkey != 0;
        let registered =
            if whole { "all".to_owned() } else { memory.registered_chunks(index).to_string() };
        table.add_row([
            index.to_string(),
            block.name.as_deref().map(printable).unwrap_or_default(),
            Size(block.granted.length).to_string(),
            block.writes.to_string(),
            Size(block.written_bytes).to_string(),
            Size(block.compressed_bytes).to_string(),
            registered,
        ]);
    }
    if memory.blocks().len() > BLOCKS_SHOWN_MAX {
        let more = memory.blocks().len() - BLOCKS_SHOWN_MAX;
        table.add_row([String::new(), format!("and {more} more")]);
    }
    align_right(&mut table, 2..7);
    table
}
