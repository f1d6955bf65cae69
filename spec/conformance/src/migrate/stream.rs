//! The stream of the synthetic guest: sections as QEMU writes them, around RAM that goes by RDMA.

use byteorder::{BigEndian, WriteBytesExt};

use super::guest::GuestBlock;

const MAGIC: u32 = 0x5145_564d;
const VERSION: u32 = 3;
const CONFIGURATION: u8 = 0x07;
const SECTION_START: u8 = 0x01;
const SECTION_PART: u8 = 0x02;
const SECTION_END: u8 = 0x03;
const SECTION_FULL: u8 = 0x04;
const SECTION_FOOTER: u8 = 0x7e;
const END_OF_STREAM: u8 = 0x00;
const VM_DESCRIPTION: u8 = 0x06;

const RAM_SECTION: u32 = 2;
const RAM_VERSION: u32 = 4;
const DEVICE_SECTION: u32 = 3;

const MEM_SIZE: u64 = 0x004;
const END_OF_RAM: u64 = 0x010;
const HOOK: u64 = 0x080;

const MACHINE: &str = "synthetic-pc";

/// Stream bytes under construction. Writing to memory does not fail.
#[derive(Default)]
struct Stream(Vec<u8>);

impl Stream {
    fn byte(mut self, value: u8) -> Self {
        self.0.push(value);
        self
    }

    fn word(mut self, value: u32) -> Self {
        let _ = self.0.write_u32::<BigEndian>(value);
        self
    }

    fn long(mut self, value: u64) -> Self {
        let _ = self.0.write_u64::<BigEndian>(value);
        self
    }

    fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    fn name(self, name: &str) -> Self {
        let length = u8::try_from(name.len()).unwrap_or(u8::MAX);
        self.byte(length).bytes(name.as_bytes())
    }

    fn length_and_bytes(self, bytes: &[u8]) -> Self {
        self.word(u32::try_from(bytes.len()).unwrap_or(u32::MAX)).bytes(bytes)
    }

    fn section(self, kind: u8, number: u32, name: &str, version: u32) -> Self {
        self.byte(kind).word(number).name(name).word(0).word(version)
    }

    fn end_of_ram(self) -> Self {
        self.long(END_OF_RAM).byte(SECTION_FOOTER).word(RAM_SECTION)
    }
}

/// From the magic number to the hook behind the list of RAM blocks.
#[must_use]
pub fn setup(blocks: &[GuestBlock]) -> Vec<u8> {
    let total: u64 = blocks.iter().map(|block| block.length).sum();
    let head = Stream::default()
        .word(MAGIC)
        .word(VERSION)
        .byte(CONFIGURATION)
        .length_and_bytes(MACHINE.as_bytes())
        .section(SECTION_START, RAM_SECTION, "ram", RAM_VERSION)
        .long(total | MEM_SIZE);
    let list =
        blocks.iter().fold(head, |stream, block| stream.name(&block.name).long(block.length));
    list.long(HOOK).0
}

/// Between two rounds: the end of one RAM record and the hook of the next, which may be the last.
#[must_use]
pub fn between_rounds(last: bool) -> Vec<u8> {
    let kind = if last { SECTION_END } else { SECTION_PART };
    Stream::default().end_of_ram().byte(kind).word(RAM_SECTION).long(HOOK).0
}

/// After the last round: device state, the end marker, and the description of the device state.
#[must_use]
pub fn device_state(state: &[u8]) -> Vec<u8> {
    let description = format!(
        "{{\"configuration\": {{\"machine\": \"{MACHINE}\"}}, \"page_size\": 4096, \"devices\": \
         [{{\"name\": \"synthetic\", \"instance_id\": 0, \"size\": {}}}]}}",
        state.len()
    );
    Stream::default()
        .end_of_ram()
        .section(SECTION_FULL, DEVICE_SECTION, "synthetic", 1)
        .length_and_bytes(state)
        .byte(SECTION_FOOTER)
        .word(DEVICE_SECTION)
        .byte(END_OF_STREAM)
        .byte(VM_DESCRIPTION)
        .length_and_bytes(description.as_bytes())
        .0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::migrate::guest;
    use rdma_migration_protocol::stream::{end, setup::ram_blocks};

    #[test]
    fn the_list_of_ram_blocks_is_found_where_the_setup_ends() {
        let blocks = guest::blocks(32 << 20);
        let stream = setup(&blocks);
        let found = ram_blocks(&stream).unwrap();
        let found: Vec<_> = found.blocks.iter().map(|block| block.length).collect();
        assert_eq!(found, blocks.iter().map(|block| block.length).collect::<Vec<_>>());
    }

    #[test]
    fn the_stream_is_complete_with_its_last_byte() {
        let stream = device_state(&guest::device_state(1));
        assert!(end::vm_description(&stream).is_some());
        assert!(end::vm_description(&stream[..stream.len() - 1]).is_none());
    }
}
