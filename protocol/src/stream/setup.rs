//! Finds the list of RAM blocks in a QEMU migration stream.
//!
//! A destination has to know the number, the order and the exact length of the source's RAM
//! blocks when `RAM_BLOCKS_REQUEST` arrives. They stand in the stream: the RAM section starts
//! with them, and they end at a hook word, which is the last that was sent. Sections of unknown
//! length may lie before, so the list is looked for from the end.

pub use super::head::Unsupported;
pub use super::name::Name;
pub use super::setup_error::{SetupError, SetupFault};

use super::head::{self, Head};
use super::reader::Reader;
use super::words;
use crate::limits::{RAM_BLOCK_NAME_BYTES_MAX, RAM_BLOCKS_MAX, STREAM_BLOCKS_READ_MAX};
use alloc::vec::Vec;
use core::ops::Range;

const SECTION_START: u8 = 0x01;

/// How the RAM section names itself: `"ram"` behind its length, instance 0, version 4.
const RAM_SECTION: [u8; 12] = *b"\x03ram\0\0\0\0\0\0\0\x04";

/// Start byte, section number, name, and the word with the total.
const RAM_SECTION_BYTES: usize = 1 + 4 + 12 + WORD_BYTES;

const WORD_BYTES: usize = 8;

/// Name behind its length, length, page size, guest address.
const BLOCK_BYTES_MAX: usize = 1 + RAM_BLOCK_NAME_BYTES_MAX + 3 * WORD_BYTES;

/// Bytes from the start of the RAM section to the hook, at most. Searching no further back bounds
/// the work that a hostile stream can cause.
const LIST_BYTES_MAX: usize = RAM_SECTION_BYTES + RAM_BLOCKS_MAX * BLOCK_BYTES_MAX;

//= spec/text/11-limits.md#stream
//# [LIM-6] A destination MUST NOT look for the RAM block list further back than 4587265 bytes from
//# the hook word.
const _: () = assert!(LIST_BYTES_MAX == 4_587_265);

/// The largest page size that the list can carry: its first byte is zero, by which it is told from
/// the name that may stand in its place.
const PAGE_SIZE_MAX: u64 = 1 << 55;

/// What a migration stream says up to the end of its RAM block list.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Setup<'a> {
    /// The source's machine type, unless the machine is too old to send it.
    pub machine: Option<Name<'a>>,
    /// The RAM blocks. A block's position is its index in all later messages.
    pub blocks: Vec<SetupBlock<'a>>,
    /// What the stream asks for and this protocol version does not have, each once.
    pub unsupported: Vec<Unsupported<'a>>,
    /// The first part of the configuration that is not known. What lies between it and the RAM
    /// section was not read, so `unsupported` may lack something.
    pub unread: Option<Name<'a>>,
}

/// One RAM block of the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SetupBlock<'a> {
    /// The name, 1 to 255 bytes, that both sides know the block by.
    pub name: Name<'a>,
    /// Bytes in use, at least 1.
    pub length: u64,
    /// Bytes of a page, a power of two, if the stream says them. It does so for postcopy, and
    /// only where they are not those of the host.
    pub page_size: Option<u64>,
}

/// Reads the RAM block list from all the stream bytes that were received before
/// `RAM_BLOCKS_REQUEST`.
///
/// The work is linear in the bytes and in [`RAM_BLOCKS_MAX`], and the memory bounded by it,
/// whatever the bytes are.
///
/// # Errors
/// [`SetupError`] with the place in the stream, what was found there and what was expected.
pub fn ram_blocks(stream: &[u8]) -> Result<Setup<'_>, SetupError> {
    let mut front = Reader::new(stream, 0);
    head::read_magic(&mut front)?;
    let stream = without_hook(stream)?;
    let (before, section, offset) = split_at_ram_section(stream)?;

    let magic_bytes = front.offset();
    let before = before.get(magic_bytes..).unwrap_or_default();
    let mut head = Head::read(&mut Reader::new(before, magic_bytes))?;

    //= spec/text/08-stream.md#ram-block-list
    //# [STR-30] A destination MUST read a guest address after each RAM block if the stream names
    //# the capability `x-ignore-shared`.
    let has_guest_addresses = head.unsupported.contains(&Unsupported::IgnoreShared);
    let guest_address_bytes = if has_guest_addresses { WORD_BYTES } else { 0 };
    let blocks = List::new(Reader::new(section, offset), guest_address_bytes).read()?;
    if blocks.iter().any(|block| block.page_size.is_some()) {
        head.ask(Unsupported::Postcopy);
    }
    let Head { machine, unsupported, unread } = head;
    Ok(Setup { machine, blocks, unsupported, unread })
}

/// What comes before the hook word that ends the stream.
fn without_hook(stream: &[u8]) -> Result<&[u8], SetupError> {
    let offset = stream.len().saturating_sub(WORD_BYTES);
    let (before, last) = stream.split_at_checked(offset).unwrap_or_default();
    let found = Reader::new(last, offset).u64("hook")?;
    //= spec/text/08-stream.md#ram-block-list
    //# [STR-21] A destination MUST reject a `RAM_BLOCKS_REQUEST` if the stream so far does not end
    //# with a hook word.
    if found == words::HOOK {
        return Ok(before);
    }
    Err(SetupError { offset, fault: SetupFault::NoHook { found } })
}

/// What comes before the last RAM section, the section, and where it starts.
fn split_at_ram_section(stream: &[u8]) -> Result<(&[u8], &[u8], usize), SetupError> {
    let skipped = stream.len().saturating_sub(LIST_BYTES_MAX);
    let tail = stream.get(skipped..).unwrap_or_default();
    //= spec/text/08-stream.md#ram-block-list
    //# [STR-22] A destination MUST take the list from the last RAM section that starts in the
    //# stream so far.
    let position = tail.windows(RAM_SECTION_BYTES).rposition(starts_ram_section);
    position
        .and_then(|position| position.checked_add(skipped))
        .and_then(|offset| Some((offset, stream.split_at_checked(offset)?)))
        .map(|(offset, (before, section))| (before, section, offset))
        .ok_or(SetupError {
            offset: skipped,
            fault: SetupFault::NoRamSection { searched: tail.len() },
        })
}

fn starts_ram_section(window: &[u8]) -> bool {
    let [SECTION_START, _, _, _, _, rest @ ..] = window else { return false };
    rest.strip_prefix(&RAM_SECTION)
        .and_then(<[u8]>::first_chunk)
        .is_some_and(|word| u64::from_be_bytes(*word) & words::FLAGS_MASK == words::MEM_SIZE)
}

/// The RAM section, up to the hook, while it is read.
struct List<'a> {
    reader: Reader<'a>,
    /// Bytes of the guest address after each block, 0 where there is none.
    guest_address_bytes: usize,
    /// What the blocks so far leave of the total.
    left: u64,
    /// The blocks so far, and where in the stream each starts.
    blocks: Vec<(SetupBlock<'a>, usize)>,
    /// Where something was read that may have been a page size, the last one last.
    choices: Vec<Choice<'a>>,
}

/// Behind the name and the length of a block, where both readings are open.
struct Choice<'a> {
    reader: Reader<'a>,
    left: u64,
    /// How many blocks there are, this one included.
    blocks: usize,
}

/// Whether a page size follows a name and a length.
enum PageSize {
    No,
    Yes,
    /// What follows may be one, or a guest address.
    Open,
}

impl<'a> List<'a> {
    fn new(reader: Reader<'a>, guest_address_bytes: usize) -> Self {
        Self { reader, guest_address_bytes, left: 0, blocks: Vec::new(), choices: Vec::new() }
    }

    fn read(mut self) -> Result<Vec<SetupBlock<'a>>, SetupError> {
        self.reader.take(RAM_SECTION_BYTES - WORD_BYTES, "start of the RAM section")?;
        let offset = self.reader.offset();
        self.left = self.reader.u64("total")? & !words::FLAGS_MASK;
        //= spec/text/08-stream.md#ram-block-list
        //# [STR-33] A destination MUST reject a list that names no RAM block.
        if self.left == 0 {
            return Err(SetupError { offset, fault: SetupFault::NoBlocks });
        }
        let mut budget = 0..STREAM_BLOCKS_READ_MAX;
        let mut fits = self.read_blocks(&mut budget);
        while let Err(error) = fits {
            let again = self.choose_again().ok_or(error)?;
            // If no reading fits, the fault of the first one is reported.
            fits = again.and_then(|()| self.read_blocks(&mut budget)).map_err(|_| error);
        }
        check_distinct(&self.blocks)?;
        Ok(self.blocks.into_iter().map(|(block, _)| block).collect())
    }

    /// Reads up to the hook.
    fn read_blocks(&mut self, budget: &mut Range<usize>) -> Result<(), SetupError> {
        while self.left > 0 {
            let offset = self.reader.offset();
            //= spec/text/11-limits.md#ram-blocks
            //# [LIM-3] A destination MUST reject a migration of more than 16383 RAM blocks.
            if self.blocks.len() == RAM_BLOCKS_MAX || budget.next().is_none() {
                let fault = SetupFault::TooManyBlocks { left: self.left };
                return Err(SetupError { offset, fault });
            }
            let block = self.read_block()?;
            self.blocks.push((block, offset));
            self.read_numbers()?;
        }
        self.check_end()
    }

    /// Reads name and length of a block, and takes the length away from what is left of the total.
    fn read_block(&mut self) -> Result<SetupBlock<'a>, SetupError> {
        let offset = self.reader.offset();
        let name = self.reader.short_string("name of a RAM block")?;
        //= spec/text/08-stream.md#ram-block-list
        //# [STR-23] A destination MUST reject a RAM block whose name is empty.
        if name.is_empty() {
            return Err(SetupError { offset, fault: SetupFault::EmptyName });
        }
        let offset = self.reader.offset();
        let length = self.reader.u64("length of a RAM block")?;
        //= spec/text/08-stream.md#ram-block-list
        //# [STR-24] A destination MUST reject a RAM block whose length is 0.
        if length == 0 {
            return Err(SetupError { offset, fault: SetupFault::EmptyBlock });
        }
        //= spec/text/08-stream.md#ram-block-list
        //# [STR-25] A destination MUST reject a RAM block that is longer than what the blocks
        //# before leave of the total.
        self.left = self.left.checked_sub(length).ok_or(SetupError {
            offset,
            fault: SetupFault::BlockExceedsTotal { found: length, left: self.left },
        })?;
        Ok(SetupBlock { name: Name::new(name), length, page_size: None })
    }

    /// Reads the page size and the guest address of the last block, as far as there are any.
    fn read_numbers(&mut self) -> Result<(), SetupError> {
        match self.page_size_follows() {
            PageSize::No => {}
            PageSize::Yes => self.read_page_size()?,
            PageSize::Open => {
                let Self { reader, left, .. } = *self;
                self.choices.push(Choice { reader, left, blocks: self.blocks.len() });
            }
        }
        self.read_guest_address()
    }

    /// Goes back to the last choice, and reads the page size there. `None` if there is none.
    fn choose_again(&mut self) -> Option<Result<(), SetupError>> {
        let Choice { reader, left, blocks } = self.choices.pop()?;
        self.reader = reader;
        self.left = left;
        self.blocks.truncate(blocks);
        Some(self.read_page_size().and_then(|()| self.read_guest_address()))
    }

    /// Nothing announces a page size. But it starts with a zero byte, which the length of the next
    /// name never is, and after the last block the number of bytes before the hook tells. A guest
    /// address in front of the next name may look like one, and so may one behind it look like the
    /// name: what fits then shows further on.
    fn page_size_follows(&self) -> PageSize {
        let rest = self.reader.rest();
        let is_present = if self.left == 0 {
            rest.len() == self.guest_address_bytes.saturating_add(WORD_BYTES)
        } else {
            rest.get(self.guest_address_bytes) == Some(&0)
        };
        let may_be = self.left > 0
            && self.guest_address_bytes > 0
            && rest.first_chunk().is_some_and(|bytes: &[u8; WORD_BYTES]| {
                bytes.first() == Some(&0) && u64::from_be_bytes(*bytes).is_power_of_two()
            });
        match (is_present, may_be) {
            (true, _) => PageSize::Yes,
            (false, true) => PageSize::Open,
            (false, false) => PageSize::No,
        }
    }

    //= spec/text/08-stream.md#ram-block-list
    //# [STR-28] A destination MUST read a page size after a RAM block where the stream fits no
    //# other reading.
    fn read_page_size(&mut self) -> Result<(), SetupError> {
        let offset = self.reader.offset();
        let found = self.reader.u64("page size of a RAM block")?;
        //= spec/text/08-stream.md#ram-block-list
        //# [STR-29] A destination MUST reject a page size that is not a power of two below 2^56.
        if !found.is_power_of_two() || found > PAGE_SIZE_MAX {
            return Err(SetupError { offset, fault: SetupFault::PageSize { found } });
        }
        if let Some((block, _)) = self.blocks.last_mut() {
            block.page_size = Some(found);
        }
        Ok(())
    }

    fn read_guest_address(&mut self) -> Result<(), SetupError> {
        self.reader.take(self.guest_address_bytes, "guest address of a RAM block").map(drop)
    }

    fn check_end(&self) -> Result<(), SetupError> {
        let rest = self.reader.rest();
        //= spec/text/08-stream.md#ram-block-list
        //# [STR-26] A destination MUST reject a list that does not end where the hook word starts
        //# that ends the stream so far.
        if rest.is_empty() {
            return Ok(());
        }
        let fault = SetupFault::NotAtHook { left: rest.len() };
        Err(SetupError { offset: self.reader.offset(), fault })
    }
}

fn check_distinct(blocks: &[(SetupBlock<'_>, usize)]) -> Result<(), SetupError> {
    let mut names: Vec<_> = blocks.iter().map(|(block, offset)| (block.name, *offset)).collect();
    names.sort_unstable();
    //= spec/text/08-stream.md#ram-block-list
    //# [STR-27] A destination MUST reject a list that names a RAM block twice.
    for pair in names.windows(2) {
        if let &[(first, first_offset), (second, offset)] = pair
            && first == second
        {
            return Err(SetupError { offset, fault: SetupFault::DuplicateName { first_offset } });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
