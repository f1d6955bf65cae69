//! Pieces of migration streams.

/// What every stream starts with.
pub(super) const MAGIC_AND_VERSION: &[u8] = b"QEVM\0\0\0\x03";
/// The word behind which RAM goes by RDMA.
pub(super) const HOOK: [u8; 8] = [0, 0, 0, 0, 0, 0, 0, 0x80];
/// The word that ends a RAM record.
pub(super) const END_OF_RECORD: [u8; 8] = [0, 0, 0, 0, 0, 0, 0, 0x10];
const MEM_SIZE: u64 = 0x004;

/// The start of a later RAM record, up to its hook word.
pub(super) fn round() -> Vec<u8> {
    [&[0x7e, 0, 0, 0, 2, 0x02, 0, 0, 0, 2][..], &HOOK].concat()
}

/// Device state, as far as the protocol is concerned, and the end of the stream behind it.
pub(super) fn end(device_state: &[u8], description: &[u8]) -> Vec<u8> {
    let length = u32::try_from(description.len()).unwrap().to_be_bytes();
    [device_state, &[0x00, 0x06], &length, description].concat()
}

/// A configuration that names a machine and capabilities.
pub(super) fn configuration(capabilities: &[&str]) -> Vec<u8> {
    let mut bytes = b"\x07\0\0\0\x02pc".to_vec();
    if !capabilities.is_empty() {
        bytes.extend(capabilities_of(u32::try_from(capabilities.len()).unwrap()));
        bytes.extend(capabilities.iter().flat_map(|name| short_string(name)));
    }
    bytes
}

/// The start of the subsection that names capabilities, with their number.
pub(super) fn capabilities_of(count: u32) -> Vec<u8> {
    let name = short_string("configuration/capabilities");
    [&[0x05][..], &name, &1_u32.to_be_bytes(), &count.to_be_bytes()].concat()
}

pub(super) fn command(number: u16, data: &[u8]) -> Vec<u8> {
    let length = u16::try_from(data.len()).unwrap();
    [&[0x08][..], &number.to_be_bytes(), &length.to_be_bytes(), data].concat()
}

pub(super) fn short_string(name: &str) -> Vec<u8> {
    [&[u8::try_from(name.len()).unwrap()], name.as_bytes()].concat()
}

/// A block of the list: its name and its length.
pub(super) fn block(name: &str, length: u64) -> Vec<u8> {
    [short_string(name), length.to_be_bytes().to_vec()].concat()
}

/// The start of the RAM section with this total, and what follows it.
pub(super) fn ram(total: u64, blocks: &[Vec<u8>]) -> Vec<u8> {
    let start = b"\x01\0\0\0\x02\x03ram\0\0\0\0\0\0\0\x04";
    [&start[..], &(total | MEM_SIZE).to_be_bytes(), &blocks.concat()].concat()
}

/// A stream of these parts, from its magic word to its hook word.
pub(super) fn stream(parts: &[&[u8]]) -> Vec<u8> {
    [MAGIC_AND_VERSION, &parts.concat(), &HOOK].concat()
}

/// A stream with these blocks, whose lengths are the last eight bytes of each.
pub(super) fn whole(blocks: &[Vec<u8>]) -> Vec<u8> {
    let length = |block: &Vec<u8>| u64::from_be_bytes(*block.last_chunk().unwrap());
    let total = blocks.iter().map(length).sum();
    stream(&[&configuration(&[]), &ram(total, blocks)])
}
