use byteorder::{BigEndian, ByteOrder, ReadBytesExt};

/// The most RAM blocks that fit one RAM_BLOCKS_RESULT.
pub const RAM_BLOCKS_MAX: usize = 16383;

/// The low bits of a word of the "ram" section are flags, the others an address or a size.
const FLAGS: u64 = 0xfff;
const MEM_SIZE: u64 = 0x004;
const HOOK: u64 = 0x080;
const HOOK_BYTES: usize = 8;
/// Identification, instance and version of the "ram" section, as its start spells them.
const RAM_SECTION: &[u8] = b"\x03ram\0\0\0\0\0\0\0\x04";

/// A RAM block as the source's stream names it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct NamedBlock {
    /// Its name, with what is not UTF-8 replaced. It comes from the peer: escape it before showing.
    pub name: String,
    /// Bytes in use.
    pub length: u64,
}

/// Finds the list of RAM blocks in a QEMU migration stream that has just reached its first hook.
///
/// The order of the list gives the blocks their index in every later message. Sections of unknown
/// length may come before it, so it is found from its end: it is followed by the hook, and nothing
/// else. With some capabilities each entry carries eight bytes more; the reading that ends exactly
/// at the hook is the right one.
#[must_use]
pub fn find_ram_block_list(stream: &[u8]) -> Option<Vec<NamedBlock>> {
    let (before_hook, hook) = stream.split_at_checked(stream.len().checked_sub(HOOK_BYTES)?)?;
    if BigEndian::read_u64(hook) != HOOK {
        return None;
    }
    let section = before_hook.windows(RAM_SECTION.len()).rposition(|bytes| bytes == RAM_SECTION)?;
    let list = before_hook.get(section + RAM_SECTION.len()..)?;
    [0, 8].into_iter().find_map(|extra_bytes| read_list(list, extra_bytes))
}

fn read_list(mut list: &[u8], extra_bytes: usize) -> Option<Vec<NamedBlock>> {
    let word = list.read_u64::<BigEndian>().ok()?;
    if word & FLAGS != MEM_SIZE {
        return None;
    }
    let mut left = word & !FLAGS;
    let mut blocks = Vec::new();
    while left > 0 && blocks.len() < RAM_BLOCKS_MAX {
        let name_bytes = usize::from(list.read_u8().ok()?);
        let (name, rest) = list.split_at_checked(name_bytes)?;
        list = rest;
        let length = list.read_u64::<BigEndian>().ok()?;
        list = list.get(extra_bytes..)?;
        left = left.checked_sub(length)?;
        blocks.push(NamedBlock { name: String::from_utf8_lossy(name).into_owned(), length });
    }
    (left == 0 && list.is_empty()).then_some(blocks)
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
            stream.resize(stream.len() + extra_bytes, 0);
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
        let length = stream.len() - HOOK_BYTES - 8;
        stream[length] = 0xff;
        assert_eq!(find_ram_block_list(&stream), None);
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_after_the_section_never_panic(bytes in any::<Vec<u8>>()) {
            let mut stream = RAM_SECTION.to_vec();
            stream.extend_from_slice(&(0x10_0000 | MEM_SIZE).to_be_bytes());
            stream.extend_from_slice(&bytes);
            stream.extend_from_slice(&HOOK.to_be_bytes());
            let _ = find_ram_block_list(&stream);
        }
    }
}
