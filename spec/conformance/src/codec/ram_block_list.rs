use byteorder::{BigEndian, ByteOrder, ReadBytesExt};

/// The most RAM blocks that fit one RAM_BLOCKS_RESULT.
pub const RAM_BLOCKS_MAX: usize = 16383;

/// The low bits of a word of the "ram" section are flags, the others an address or a size.
const FLAGS: u64 = 0xfff;
const MEM_SIZE: u64 = 0x004;
const HOOK: u64 = 0x080;
const WORD_BYTES: usize = 8;
const SECTION_START: u8 = 0x01;
/// Identification, instance and version of the "ram" section, as its start spells them.
const RAM_SECTION: &[u8] = b"\x03ram\0\0\0\0\0\0\0\x04";
/// Start byte, number, name, instance and version, and the word with the total.
const RAM_SECTION_BYTES: usize = 25;
/// Page sizes are below this: the first byte of their eight is zero.
const PAGE_SIZE_END: u64 = 1 << 56;
/// Blocks that are read at most, those of readings that turn out not to fit included.
const BLOCKS_READ_MAX: usize = 1 << 18;

/// A RAM block as the source's stream names it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct NamedBlock {
    /// Its name, with what is not UTF-8 replaced. It comes from the peer: escape it before showing.
    pub name: String,
    /// Bytes in use.
    pub length: u64,
}

/// An entry of a list of RAM blocks.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ListedBlock<'a> {
    /// The block's name.
    pub name: &'a [u8],
    /// Bytes in use.
    pub length: u64,
    /// Bytes of its pages, where the list has them.
    pub page_size: Option<u64>,
}

/// Why a list of RAM blocks cannot be read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ListFault {
    /// It ends in the middle of something.
    Truncated,
    /// Its total is 0.
    NoBlocks,
    /// It has more blocks than fit a RAM_BLOCKS_RESULT.
    TooManyBlocks,
    /// A block has no name.
    EmptyName,
    /// A block has no bytes.
    EmptyBlock,
    /// A block is longer than what is left of the total.
    BlockExceedsTotal,
    /// A page size is no power of two below 2^56.
    BadPageSize,
    /// Bytes are left behind the last block.
    NotAtHook,
}

/// Finds the list of RAM blocks in a QEMU migration stream that has just reached its first hook.
///
/// The order of the list gives the blocks their index in every later message. Sections of unknown
/// length may come before it, so it is found from its end: it is followed by the hook, and nothing
/// else. Whether guest addresses stand in it is not looked up: the reading that ends exactly at the
/// hook is the right one.
#[must_use]
pub fn find_ram_block_list(stream: &[u8]) -> Option<Vec<NamedBlock>> {
    let (before_hook, hook) = stream.split_at_checked(stream.len().checked_sub(WORD_BYTES)?)?;
    if BigEndian::read_u64(hook) != HOOK {
        return None;
    }
    let section = before_hook.windows(RAM_SECTION_BYTES).rposition(starts_ram_section)?;
    let list = before_hook.get(section + RAM_SECTION_BYTES - WORD_BYTES..)?;
    let blocks = [false, true].into_iter().find_map(|has| read_ram_block_list(list, has).ok())?;
    let named = |block: ListedBlock<'_>| NamedBlock {
        name: String::from_utf8_lossy(block.name).into_owned(),
        length: block.length,
    };
    Some(blocks.into_iter().map(named).collect())
}

/// Whether a RAM section with a list of RAM blocks starts at the first of these 25 bytes.
#[must_use]
pub fn starts_ram_section(window: &[u8]) -> bool {
    let Some((front, word)) = window.split_last_chunk::<WORD_BYTES>() else { return false };
    front.first() == Some(&SECTION_START)
        && front.ends_with(RAM_SECTION)
        && u64::from_be_bytes(*word) & FLAGS == MEM_SIZE
}

/// Reads a list of RAM blocks: from the word with the total to the hook word, which it is without.
///
/// Nothing announces page sizes. Where a reading without one does not fit, it is tried with one.
///
/// # Errors
/// What is wrong with the first reading, if none fits.
pub fn read_ram_block_list(
    mut list: &[u8],
    has_guest_addresses: bool,
) -> Result<Vec<ListedBlock<'_>>, ListFault> {
    let left = list.read_u64::<BigEndian>().map_err(|_| ListFault::Truncated)? & !FLAGS;
    if left == 0 {
        return Err(ListFault::NoBlocks);
    }
    let address_bytes = if has_guest_addresses { WORD_BYTES } else { 0 };
    let mut reading = Reading { address_bytes, blocks: Vec::new(), open: Vec::new(), read: 0 };
    let mut outcome = reading.read_on(list, left);
    let first = outcome;
    while outcome.is_err() {
        let Some(Open { at, left, blocks }) = reading.open.pop() else { break };
        reading.blocks.truncate(blocks);
        outcome = reading.page_size(at).and_then(|rest| reading.read_on(rest, left));
    }
    outcome.or(first).map(|()| reading.blocks)
}

/// A place behind the length of a block where a page size may stand and was not read.
struct Open<'a> {
    at: &'a [u8],
    left: u64,
    blocks: usize,
}

struct Reading<'a> {
    address_bytes: usize,
    blocks: Vec<ListedBlock<'a>>,
    open: Vec<Open<'a>>,
    /// How many blocks were read in all.
    read: usize,
}

impl<'a> Reading<'a> {
    fn read_on(&mut self, mut from: &'a [u8], mut left: u64) -> Result<(), ListFault> {
        while left > 0 {
            self.read += 1;
            if self.blocks.len() == RAM_BLOCKS_MAX || self.read > BLOCKS_READ_MAX {
                return Err(ListFault::TooManyBlocks);
            }
            let name_bytes = from.read_u8().map_err(|_| ListFault::Truncated)?;
            let name = take(&mut from, name_bytes.into())?;
            if name.is_empty() {
                return Err(ListFault::EmptyName);
            }
            let length = from.read_u64::<BigEndian>().map_err(|_| ListFault::Truncated)?;
            if length == 0 {
                return Err(ListFault::EmptyBlock);
            }
            left = left.checked_sub(length).ok_or(ListFault::BlockExceedsTotal)?;
            self.blocks.push(ListedBlock { name, length, page_size: None });
            from = self.numbers(from, left)?;
        }
        if from.is_empty() { Ok(()) } else { Err(ListFault::NotAtHook) }
    }

    /// What follows the numbers behind the last block.
    fn numbers(&mut self, mut from: &'a [u8], left: u64) -> Result<&'a [u8], ListFault> {
        // Neither a page size nor the name that follows without one is taken for the other by its
        // first byte, but a guest address may look like either.
        let is_there = match left {
            0 => from.len() == WORD_BYTES + self.address_bytes,
            _ => from.get(self.address_bytes) == Some(&0),
        };
        if is_there {
            return self.page_size(from);
        }
        let word = from.first_chunk().map(|bytes| u64::from_be_bytes(*bytes));
        let may_be_one = word.is_some_and(|word| word.is_power_of_two() && word < PAGE_SIZE_END);
        if may_be_one && left > 0 && self.address_bytes > 0 {
            self.open.push(Open { at: from, left, blocks: self.blocks.len() });
        }
        take(&mut from, self.address_bytes)?;
        Ok(from)
    }

    /// Reads the page size of the last block, and skips its guest address.
    fn page_size(&mut self, mut from: &'a [u8]) -> Result<&'a [u8], ListFault> {
        let size = from.read_u64::<BigEndian>().map_err(|_| ListFault::Truncated)?;
        if !size.is_power_of_two() || size >= PAGE_SIZE_END {
            return Err(ListFault::BadPageSize);
        }
        if let Some(block) = self.blocks.last_mut() {
            block.page_size = Some(size);
        }
        take(&mut from, self.address_bytes)?;
        Ok(from)
    }
}

fn take<'a>(from: &mut &'a [u8], bytes: usize) -> Result<&'a [u8], ListFault> {
    let (taken, rest) = from.split_at_checked(bytes).ok_or(ListFault::Truncated)?;
    *from = rest;
    Ok(taken)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn stream(blocks: &[(&str, u64)], extra_bytes: usize) -> Vec<u8> {
        let total: u64 = blocks.iter().map(|(_, length)| length).sum();
        let mut stream = b"QEVM\0\0\0\x03\x01\0\0\0\x02".to_vec();
        stream.extend_from_slice(RAM_SECTION);
        stream.extend_from_slice(&(total | MEM_SIZE).to_be_bytes());
        for (name, length) in blocks {
            stream.push(u8::try_from(name.len()).unwrap());
            stream.extend_from_slice(name.as_bytes());
            stream.extend_from_slice(&length.to_be_bytes());
            stream.resize(stream.len() + extra_bytes.saturating_sub(1), 0);
            stream.resize(stream.len() + extra_bytes.min(1), 1);
        }
        stream.extend_from_slice(&HOOK.to_be_bytes());
        stream
    }

    fn named(name: &str, length: u64) -> NamedBlock {
        NamedBlock { name: name.into(), length }
    }

    #[test]
    fn the_list_gives_names_in_order() {
        let stream = stream(&[("pc.ram", 0x100_0000), ("pc.bios", 0x4_0000)], 0);
        let expected = vec![named("pc.ram", 0x100_0000), named("pc.bios", 0x4_0000)];
        assert_eq!(find_ram_block_list(&stream), Some(expected));
    }

    #[test]
    fn entries_with_eight_bytes_more_are_read_too() {
        let stream = stream(&[("pc.ram", 0x100_0000), ("pc.bios", 0x4_0000)], 8);
        let expected = vec![named("pc.ram", 0x100_0000), named("pc.bios", 0x4_0000)];
        assert_eq!(find_ram_block_list(&stream), Some(expected));
    }

    #[test]
    fn what_looks_like_the_section_before_it_does_not_matter() {
        let mut before = RAM_SECTION.to_vec();
        before.extend_from_slice(&stream(&[("pc.ram", 0x100_0000)], 0));
        let expected = vec![named("pc.ram", 0x100_0000)];
        assert_eq!(find_ram_block_list(&before), Some(expected));
    }

    #[test]
    fn a_stream_that_has_not_reached_the_hook_has_no_list() {
        let mut stream = stream(&[("pc.ram", 0x100_0000)], 0);
        stream.pop();
        assert_eq!(find_ram_block_list(&stream), None);
        assert_eq!(find_ram_block_list(&[]), None);
    }

    #[test]
    fn sizes_that_exceed_the_total_are_no_list() {
        let mut stream = stream(&[("pc.ram", 0x100_0000)], 0);
        let length = stream.len() - 2 * WORD_BYTES;
        stream[length] = 0xff;
        assert_eq!(find_ram_block_list(&stream), None);
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_after_the_section_never_panic(bytes in any::<Vec<u8>>()) {
            let mut stream = b"\x01\0\0\0\x02".to_vec();
            stream.extend_from_slice(RAM_SECTION);
            stream.extend_from_slice(&(0x10_0000 | MEM_SIZE).to_be_bytes());
            stream.extend_from_slice(&bytes);
            stream.extend_from_slice(&HOOK.to_be_bytes());
            let _ = find_ram_block_list(&stream);
        }
    }
}
