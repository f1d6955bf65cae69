//! The front of a migration stream and its end, read strictly.
//!
//! [`find_ram_block_list`](crate::codec::find_ram_block_list) takes what a capture holds, whatever
//! stands before the list; this reads as chapter 8 of the specification wants a destination to.

use byteorder::{BigEndian, ReadBytesExt};

use super::error_name::ErrorName;
use super::reading::{NamedBlock, StreamEndReading, StreamReading, Wide};
use crate::codec::{ListFault, ListedBlock, read_ram_block_list, starts_ram_section};

const MAGIC: u32 = 0x5145_564d;
const VERSION: u32 = 3;
const HOOK: u64 = 0x080;
const WORD_BYTES: usize = 8;
/// Start byte, number, name, instance and version of a section, and the word with the total.
const RAM_SECTION_BYTES: usize = 25;
/// How far before the hook word the list may start.
const LIST_BYTES_MAX: usize = 4_587_265;

const CONFIGURATION: u8 = 0x07;
const SUBSECTION: u8 = 0x05;
const COMMAND: u8 = 0x08;
const OPEN_RETURN_PATH: u16 = 1;
const POSTCOPY_ADVISE: u16 = 3;
const CAPABILITIES_MAX: u32 = 64;
const COMMANDS_MAX: usize = 64;

const END_MARKER_AND_DESCRIPTION: [u8; 2] = [0x00, 0x06];

/// Reads the front of a stream that has reached the hook word behind its list of RAM blocks.
///
/// # Errors
/// The first thing that is wrong with it.
pub fn read_stream(stream: &[u8]) -> Result<StreamReading, ErrorName> {
    let mut front = stream;
    if read_u32(&mut front)? != MAGIC {
        return Err(ErrorName::BadMagic);
    }
    if read_u32(&mut front)? != VERSION {
        return Err(ErrorName::BadVersion);
    }
    let (before_hook, hook) = front.split_last_chunk::<WORD_BYTES>().ok_or(TRUNCATED)?;
    if u64::from_be_bytes(*hook) != HOOK {
        return Err(ErrorName::NoHook);
    }
    let skipped = before_hook.len().saturating_sub(LIST_BYTES_MAX);
    let searched = before_hook.get(skipped..).unwrap_or_default();
    let section = searched
        .windows(RAM_SECTION_BYTES)
        .rposition(starts_ram_section)
        .ok_or(ErrorName::NoRamSection)?;
    let (head, list) = before_hook.split_at_checked(skipped + section).ok_or(TRUNCATED)?;
    let mut reading = read_head(head)?;
    let has_guest_addresses = reading.capabilities.iter().any(|name| name == "x-ignore-shared");
    let list = list.get(RAM_SECTION_BYTES - WORD_BYTES..).unwrap_or_default();
    reading.blocks = read_list(list, has_guest_addresses)?;
    Ok(reading)
}

/// Reads a stream whose source has disconnected.
///
/// # Errors
/// [`ErrorName::StreamIncomplete`].
pub fn read_stream_end(stream: &[u8]) -> Result<StreamEndReading, ErrorName> {
    let ends_here = |at: usize| {
        let mut rest = stream.get(at..)?.strip_prefix(&END_MARKER_AND_DESCRIPTION)?;
        let description = rest.read_u32::<BigEndian>().ok()?;
        let whole = usize::try_from(description) == Ok(rest.len());
        (whole && rest.starts_with(b"{") && rest.ends_with(b"}")).then_some(description)
    };
    let description = (0..stream.len()).rev().find_map(ends_here);
    Ok(StreamEndReading { description: description.ok_or(ErrorName::StreamIncomplete)? })
}

const TRUNCATED: ErrorName = ErrorName::StreamTruncated;

/// The configuration and the commands: all that stands before the first section.
fn read_head(mut head: &[u8]) -> Result<StreamReading, ErrorName> {
    let mut reading = StreamReading {
        capabilities: Vec::new(),
        return_path: false,
        postcopy: false,
        blocks: Vec::new(),
    };
    let from = &mut head;
    if from.first() == Some(&CONFIGURATION) {
        take(from, 1)?;
        let machine_bytes = read_u32(from)?;
        take(from, usize::try_from(machine_bytes).map_err(|_| TRUNCATED)?)?;
        while from.first() == Some(&SUBSECTION) {
            if !read_subsection(from, &mut reading)? {
                return Ok(reading);
            }
        }
    }
    let mut commands = 0;
    while from.first() == Some(&COMMAND) {
        commands += 1;
        if commands > COMMANDS_MAX {
            return Err(ErrorName::TooManyCommands);
        }
        take(from, 1)?;
        let number = read_u16(from)?;
        let length = read_u16(from)?;
        take(from, length.into())?;
        reading.return_path |= number == OPEN_RETURN_PATH;
        reading.postcopy |= number == POSTCOPY_ADVISE;
    }
    Ok(reading)
}

/// Whether the subsection is one whose length is known.
fn read_subsection(from: &mut &[u8], reading: &mut StreamReading) -> Result<bool, ErrorName> {
    take(from, 1)?;
    let name = read_name(from)?;
    let version = read_u32(from)?;
    match (name, version) {
        (b"configuration/capabilities", 1) => {
            let count = read_u32(from)?;
            if count > CAPABILITIES_MAX {
                return Err(ErrorName::TooManyCapabilities);
            }
            for _ in 0..count {
                let name = read_name(from)?;
                reading.capabilities.push(String::from_utf8_lossy(name).into_owned());
            }
        }
        (b"configuration/uuid", 1) => {
            take(from, 16)?;
        }
        (b"configuration/target-page-bits", 1) => {
            take(from, 4)?;
        }
        _ => return Ok(false),
    }
    Ok(true)
}

fn read_list(list: &[u8], has_guest_addresses: bool) -> Result<Vec<NamedBlock>, ErrorName> {
    let blocks = read_ram_block_list(list, has_guest_addresses).map_err(named)?;
    let mut names: Vec<_> = blocks.iter().map(|block| block.name).collect();
    names.sort_unstable();
    if names.windows(2).any(|pair| pair.first() == pair.last()) {
        return Err(ErrorName::DuplicateName);
    }
    let block = |block: ListedBlock<'_>| NamedBlock {
        name: String::from_utf8_lossy(block.name).into_owned(),
        length: Wide(block.length),
        page_size: block.page_size.map(Wide),
    };
    Ok(blocks.into_iter().map(block).collect())
}

fn named(fault: ListFault) -> ErrorName {
    match fault {
        ListFault::Truncated => TRUNCATED,
        ListFault::NoBlocks => ErrorName::NoRamBlocks,
        ListFault::TooManyBlocks => ErrorName::TooManyBlocks,
        ListFault::EmptyName => ErrorName::EmptyName,
        ListFault::EmptyBlock => ErrorName::EmptyBlock,
        ListFault::BlockExceedsTotal => ErrorName::BlockExceedsTotal,
        ListFault::BadPageSize => ErrorName::BadPageSize,
        ListFault::NotAtHook => ErrorName::ListNotAtHook,
    }
}

fn read_name<'a>(from: &mut &'a [u8]) -> Result<&'a [u8], ErrorName> {
    let bytes = from.read_u8().map_err(|_| TRUNCATED)?;
    take(from, bytes.into())
}

fn take<'a>(from: &mut &'a [u8], bytes: usize) -> Result<&'a [u8], ErrorName> {
    let (taken, rest) = from.split_at_checked(bytes).ok_or(TRUNCATED)?;
    *from = rest;
    Ok(taken)
}

fn read_u16(from: &mut &[u8]) -> Result<u16, ErrorName> {
    from.read_u16::<BigEndian>().map_err(|_| TRUNCATED)
}

fn read_u32(from: &mut &[u8]) -> Result<u32, ErrorName> {
    from.read_u32::<BigEndian>().map_err(|_| TRUNCATED)
}
