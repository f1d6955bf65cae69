//! A third decoder, written from the text of the specification and from nothing else.
//!
//! It is made to be obviously right and not to be fast: it reads one byte after the other, works in
//! numbers that cannot overflow, and says of a message *everything* that is wrong with it, where the
//! others stop at the first fault. Two readers who each name something of that list are both right.

use std::collections::HashSet;

use rdma_migration_conformance::vectors::error_name::ErrorName;

/// What the text says of a message.
#[derive(Debug, Default)]
pub struct Reading {
    /// Everything that is wrong with it.
    pub faults: Vec<ErrorName>,
    /// The header's `type`.
    pub kind: u128,
    /// The header's `repeat`.
    pub repeat: u128,
    /// The fields of each entry in the order of the tables, padding left out.
    pub entries: Vec<Vec<u128>>,
}

/// The big-endian number of these bytes.
fn number(bytes: &[u8]) -> u128 {
    bytes.iter().fold(0, |sum, byte| sum * 256 + u128::from(*byte))
}

/// Bytes of each field of an entry, `true` for padding (chapters 4, 5 and 7).
fn layout(kind: u128) -> &'static [(usize, bool)] {
    match kind {
        // remote_address, offset, length, rkey, padding
        5 => &[(8, false), (8, false), (8, false), (4, false), (4, true)],
        // value, block, offset, length
        6 => &[(4, false), (4, false), (8, false), (8, false)],
        // address, block, padding, chunks
        7 => &[(8, false), (4, false), (4, true), (8, false)],
        // rkey, padding, host_address
        8 => &[(4, false), (4, true), (8, false)],
        // chunk, block, padding, chunks, which is ignored [REG-36]
        10 => &[(8, false), (4, false), (4, true), (8, true)],
        _ => &[],
    }
}

/// Reads what one receive has brought (chapter 3).
#[must_use]
pub fn message(bytes: &[u8]) -> Reading {
    let mut reading = Reading::default();
    if bytes.len() < 16 {
        reading.faults.push(ErrorName::HeaderTruncated);
        return reading;
    }
    let length = number(&bytes[0..4]);
    reading.kind = number(&bytes[4..8]);
    reading.repeat = number(&bytes[8..12]);
    let payload = &bytes[16..];
    let faults = &mut reading.faults;
    if length > 524_272 {
        faults.push(ErrorName::LengthTooLarge);
    }
    if length != u128::try_from(payload.len()).unwrap() {
        faults.push(ErrorName::LengthMismatch);
    }
    let fields = layout(reading.kind);
    let entry_bytes: usize = fields.iter().map(|(bytes, _)| bytes).sum();
    match reading.kind {
        0 | 1 | 2 | 4 | 9 | 11 if !payload.is_empty() => faults.push(ErrorName::UnexpectedPayload),
        3 if payload.is_empty() => faults.push(ErrorName::EmptyStream),
        5 if !payload.len().is_multiple_of(entry_bytes) => faults.push(ErrorName::PartialRamBlock),
        6 | 7 | 8 | 10 => {
            if reading.repeat == 0 || reading.repeat > 4096 {
                faults.push(ErrorName::RepeatOutOfRange);
            }
            let counted = reading.repeat * u128::try_from(entry_bytes).unwrap();
            let one_result = reading.kind == 8 && payload.len() == entry_bytes;
            if u128::try_from(payload.len()).unwrap() != counted && !one_result {
                faults.push(ErrorName::PayloadNotRepeat);
            }
        }
        0..=11 => {}
        _ => faults.push(ErrorName::UnknownType),
    }
    if reading.faults.is_empty() && entry_bytes > 0 {
        let mut at = 0;
        while at < payload.len() {
            let mut entry = Vec::new();
            for (bytes, ignored) in fields {
                if !ignored {
                    entry.push(number(&payload[at..at + bytes]));
                }
                at += bytes;
            }
            reading.entries.push(entry);
        }
    }
    reading
}

/// Version and flags of private data (chapter 2).
#[must_use]
pub fn capabilities(private_data: &[u8]) -> Option<(u128, u128)> {
    if private_data.len() < 8 {
        return None;
    }
    Some((number(&private_data[0..4]), number(&private_data[4..8])))
}

/// A RAM block in the stream's list: its name, its length, its page size.
pub type Block = (Vec<u8>, u128, Option<u128>);

/// What the text says of the front of a stream (chapter 8).
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Front {
    /// The RAM blocks.
    pub blocks: Vec<Block>,
    /// The capabilities that the configuration names.
    pub capabilities: Vec<Vec<u8>>,
    /// The numbers of the commands.
    pub commands: Vec<u128>,
}

/// Reads the stream up to the hook word behind the list; `None` where it has to be rejected.
#[must_use]
pub fn front(stream: &[u8]) -> Option<Front> {
    // Magic word and version [STR-20], hook word [STR-21].
    if stream.len() < 16 || &stream[0..8] != b"QEVM\0\0\0\x03" {
        return None;
    }
    let hook = stream.len() - 8;
    if number(&stream[hook..]) != 0x80 {
        return None;
    }
    // The last section that starts [STR-22], no further back than the bound [LIM-6].
    let furthest = hook.saturating_sub(4_587_265);
    let section = (furthest..hook).rev().find(|at| is_ram_section(&stream[*at..hook]))?;
    let mut front = Front::default();
    if section < 8 {
        return None;
    }
    head(&stream[8..section], &mut front)?;
    let has_addresses = front.capabilities.iter().any(|name| name == b"x-ignore-shared");
    let total = number(&stream[section + 17..section + 25]) / 4096 * 4096;
    if total == 0 {
        return None;
    }
    let list = &stream[section + 25..hook];
    let mut search = Search { list, has_addresses, dead: HashSet::new() };
    if !search.blocks(0, total, &mut front.blocks) {
        return None;
    }
    let names: HashSet<_> = front.blocks.iter().map(|(name, _, _)| name).collect();
    (names.len() == front.blocks.len()).then_some(front)
}

fn is_ram_section(bytes: &[u8]) -> bool {
    bytes.len() >= 25
        && bytes[0] == 1
        && &bytes[5..17] == b"\x03ram\0\0\0\0\0\0\0\x04"
        && number(&bytes[17..25]) % 4096 == 4
}

/// The configuration and the commands, without gaps.
fn head(bytes: &[u8], front: &mut Front) -> Option<()> {
    let mut at = 0;
    let field = |at: &mut usize, length: usize| {
        let end = at.checked_add(length).filter(|end| *end <= bytes.len())?;
        let field = &bytes[*at..end];
        *at = end;
        Some(field)
    };
    let size = |number: u128| usize::try_from(number).unwrap_or(usize::MAX);
    if bytes.first() == Some(&7) {
        at = 1;
        let name = number(field(&mut at, 4)?);
        field(&mut at, size(name))?;
        while bytes.get(at) == Some(&5) {
            at += 1;
            let length = number(field(&mut at, 1)?);
            let name = field(&mut at, size(length))?;
            let version = number(field(&mut at, 4)?);
            match (name, version) {
                (b"configuration/capabilities", 1) => {
                    let count = number(field(&mut at, 4)?);
                    if count > 64 {
                        return None;
                    }
                    for _ in 0..count {
                        let length = number(field(&mut at, 1)?);
                        front.capabilities.push(field(&mut at, size(length))?.to_vec());
                    }
                }
                (b"configuration/uuid", 1) => drop(field(&mut at, 16)?),
                (b"configuration/target-page-bits", 1) => drop(field(&mut at, 4)?),
                // Nothing behind it can be read before the RAM section.
                _ => return Some(()),
            }
        }
    }
    while bytes.get(at) == Some(&8) {
        if front.commands.len() == 64 {
            return None;
        }
        at += 1;
        front.commands.push(number(field(&mut at, 2)?));
        let length = number(field(&mut at, 2)?);
        field(&mut at, size(length))?;
    }
    Some(())
}

/// All readings of a list, tried one after the other: the one without a page size first.
struct Search<'a> {
    list: &'a [u8],
    has_addresses: bool,
    /// Where nothing fits any more: place in the list, and bytes that are left of the total.
    dead: HashSet<(usize, u128)>,
}

impl Search<'_> {
    /// Whether the list from `at` on takes up what is left of the total and ends at the hook.
    fn blocks(&mut self, at: usize, left: u128, blocks: &mut Vec<Block>) -> bool {
        if left == 0 {
            return at == self.list.len();
        }
        if self.dead.contains(&(at, left)) {
            return false;
        }
        let before = blocks.len();
        for has_page_size in [false, true] {
            if let Some((block, next)) = self.block(at, left, has_page_size) {
                let length = block.1;
                blocks.push(block);
                if blocks.len() <= 16_383 && self.blocks(next, left - length, blocks) {
                    return true;
                }
                blocks.truncate(before);
            }
        }
        self.dead.insert((at, left));
        false
    }

    fn block(&self, at: usize, left: u128, has_page_size: bool) -> Option<(Block, usize)> {
        let name_bytes = usize::from(*self.list.get(at)?);
        let name = self.list.get(at + 1..at + 1 + name_bytes)?;
        let mut at = at + 1 + name_bytes;
        let length = number(self.list.get(at..at + 8)?);
        at += 8;
        if name.is_empty() || length == 0 || length > left {
            return None;
        }
        let mut page_size = None;
        if has_page_size {
            let size = number(self.list.get(at..at + 8)?);
            at += 8;
            // A power of two below 2^56.
            if size.count_ones() != 1 || size >= 1 << 56 {
                return None;
            }
            page_size = Some(size);
        }
        if self.has_addresses {
            self.list.get(at..at + 8)?;
            at += 8;
        }
        Some(((name.to_vec(), length, page_size), at))
    }
}

/// Bytes of the description that ends a complete stream (chapter 8, STR-40).
#[must_use]
pub fn description(stream: &[u8]) -> Option<usize> {
    let furthest = stream.len().saturating_sub(6 + (1 << 20));
    (furthest..stream.len()).rev().find_map(|at| {
        let end = &stream[at..];
        if end.len() < 7 || end[0] != 0 || end[1] != 6 {
            return None;
        }
        let text = &end[6..];
        let said = number(&end[2..6]) == u128::try_from(text.len()).unwrap();
        (said && text[0] == b'{' && text[text.len() - 1] == b'}').then_some(text.len())
    })
}
