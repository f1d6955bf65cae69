//! The last column of the text: what a message carries, in words.

use std::net::IpAddr;

use super::entry::{Content, DescribedCommand, MessageEntry};
use super::memory::Place;
use super::stream::{Piece, PieceEnd};
use super::text_from_peer::printable;
use crate::capture::Ends;
use crate::capture::infiniband::RemoteRange;
use crate::codec::{Capabilities, Command};
use crate::size::Size;

/// The most commands of one message that the text spells out.
const COMMANDS_SHOWN_MAX: usize = 4;

/// What a side asks for or grants when the connection is made.
pub(super) fn describe_connect(
    capabilities: Option<Capabilities>,
    ends: Option<Ends<IpAddr>>,
    port: Option<u16>,
    return_path: bool,
) -> String {
    let mut parts = Vec::new();
    if let Some(Ends { a, b }) = ends {
        let port = port.map(|port| format!(" port {port}")).unwrap_or_default();
        parts.push(format!("{a} to {b}{port}"));
    }
    parts.push(match capabilities {
        Some(capabilities) => {
            format!("version {}, flags {}", capabilities.version, describe_flags(capabilities))
        }
        None => "private data not captured".to_owned(),
    });
    if return_path {
        parts.push("return path".to_owned());
    }
    parts.join(", ")
}

/// The flags by name, unknown ones as a number.
pub(super) fn describe_flags(capabilities: Capabilities) -> String {
    let unknown = capabilities.flags & !Capabilities::PIN_ALL;
    match (capabilities.pin_all(), unknown) {
        (false, 0) => "none".to_owned(),
        (true, 0) => "PIN_ALL".to_owned(),
        (false, unknown) => format!("{unknown:#x} (unknown)"),
        (true, unknown) => format!("PIN_ALL and {unknown:#x} (unknown)"),
    }
}

/// What a control message carries.
pub(super) fn describe_content(message: &MessageEntry) -> String {
    let mut content = match &message.content {
        Content::Nothing => String::new(),
        Content::Stream(piece) => describe_piece(piece),
        Content::Commands(commands) => describe_commands(commands),
    };
    if message.missing_bytes > 0 {
        let separator = if content.is_empty() { "" } else { "  " };
        let missing = message.missing_bytes;
        content.push_str(&format!("{separator}(cut short: {missing} bytes not captured)"));
    }
    content
}

fn describe_piece(piece: &Piece) -> String {
    let mut text = match piece.start {
        Some(start) => format!("stream {start} to {}", start + u64::from(piece.length)),
        None => format!("{} bytes of the stream", piece.length),
    };
    if let Some(blocks) = &piece.blocks {
        let bytes = blocks.iter().map(|block| block.length).sum();
        text.push_str(&format!(", names {} RAM blocks, {}", blocks.len(), Size(bytes)));
    }
    match piece.end {
        PieceEnd::Hook => text.push_str(", hook"),
        PieceEnd::RamSectionEnd => text.push_str(", end of RAM section"),
        PieceEnd::Plain => {}
    }
    text
}

fn describe_commands(commands: &[DescribedCommand]) -> String {
    if commands.iter().all(|described| matches!(described.command, Command::RamBlock(_))) {
        let bytes = commands.iter().map(|described| match described.command {
            Command::RamBlock(block) => block.length,
            _ => 0,
        });
        let bytes = bytes.fold(0_u64, u64::saturating_add);
        return format!("{} RAM blocks, {}", commands.len(), Size(bytes));
    }
    let shown: Vec<_> = commands.iter().take(COMMANDS_SHOWN_MAX).map(describe_command).collect();
    let mut text = shown.join("; ");
    if commands.len() > COMMANDS_SHOWN_MAX {
        text.push_str(&format!("; and {} more", commands.len() - COMMANDS_SHOWN_MAX));
    }
    text
}

fn describe_command(described: &DescribedCommand) -> String {
    let place = described.place.as_ref();
    match &described.command {
        Command::RamBlock(_) => String::new(),
        Command::Compress(run) => {
            let place = place.map(ToString::to_string).unwrap_or_else(|| {
                format!(
                    "block {}, {} at RAM address {:#x}",
                    run.block,
                    Size(run.length),
                    run.offset
                )
            });
            format!("{place}, all {:#04x}", run.value)
        }
        Command::RegisterRequest(request) => match place {
            Some(place) => format!("{place}, at {:#x}", place.offset),
            None => format!(
                "block {}, RAM address {:#x}, {} further chunks",
                request.block, request.address, request.chunks
            ),
        },
        Command::RegisterResult(result) => {
            let place = place.map(|place| format!("{place}, ")).unwrap_or_default();
            format!("{place}rkey {:#x}, block at {:#x}", result.rkey, result.host_address)
        }
        Command::UnregisterRequest(request) => match place {
            Some(place) => place.to_string(),
            None => format!("block {}, chunk {}", request.block, request.chunk),
        },
    }
}

/// One line for each RAM block that the destination describes.
pub(super) fn ram_block_lines(commands: &[DescribedCommand]) -> impl Iterator<Item = String> {
    let names = commands.iter().filter_map(|described| described.name.as_deref());
    let width = names.map(|name| printable(name).chars().count()).max().unwrap_or_default();
    commands.iter().enumerate().filter_map(move |(index, described)| {
        let Command::RamBlock(block) = described.command else { return None };
        let name = described.name.as_deref().map(printable).unwrap_or_default();
        let size = Size(block.length).to_string();
        let rkey = match block.rkey {
            0 => String::new(),
            rkey => format!("  rkey {rkey:#x}"),
        };
        Some(format!(
            "{index:>2}  {name:<width$}  {size:>10}  at {:#x}, RAM address {:#x}{rkey}",
            block.remote_address, block.offset
        ))
    })
}

/// Where a WRITE goes.
pub(super) fn describe_write(range: Option<&RemoteRange>, place: Option<&Place>) -> String {
    let Some(range) = range else { return "(cut short: range not captured)".to_owned() };
    let rkey = range.rkey;
    match place {
        Some(place) => format!("{place}, rkey {rkey:#x}"),
        None => format!("{} at {:#x}, rkey {rkey:#x}", Size(range.length.into()), range.address),
    }
}
