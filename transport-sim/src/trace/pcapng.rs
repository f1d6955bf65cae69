//! The capture file format: little-endian blocks, each with its length before and after.

use std::io::{self, Write};

use rdma_migration_protocol::time::Instant;

use super::frame::Frame;

const SECTION_HEADER: u32 = 0x0a0d_0d0a;
const INTERFACE_DESCRIPTION: u32 = 1;
const ENHANCED_PACKET: u32 = 6;
const BYTE_ORDER: u32 = 0x1a2b_3c4d;
const LINK_TYPE_ETHERNET: u16 = 1;
const OPTION_COMMENT: u16 = 1;
const OPTION_TIME_RESOLUTION: u16 = 9;
/// Nanoseconds: ten to the minus nine.
const TIME_RESOLUTION: u8 = 9;

/// A capture file that is being written.
pub(super) struct PcapngWriter<W> {
    output: W,
}

impl<W: Write> PcapngWriter<W> {
    /// Starts the file: one section, one Ethernet interface, time stamps in nanoseconds.
    pub(super) fn new(output: W, comment: &str) -> io::Result<Self> {
        let mut writer = Self { output };
        let mut section = Vec::new();
        section.extend_from_slice(&BYTE_ORDER.to_le_bytes());
        // Version 1.0, of a section whose length is not told.
        section.extend_from_slice(&[1, 0, 0, 0]);
        section.extend_from_slice(&u64::MAX.to_le_bytes());
        option(&mut section, OPTION_COMMENT, comment.as_bytes());
        end_of_options(&mut section);
        writer.block(SECTION_HEADER, &section)?;

        let mut interface = Vec::new();
        interface.extend_from_slice(&LINK_TYPE_ETHERNET.to_le_bytes());
        // Reserved, then packets of any length.
        interface.extend_from_slice(&[0; 6]);
        option(&mut interface, OPTION_TIME_RESOLUTION, &[TIME_RESOLUTION]);
        end_of_options(&mut interface);
        writer.block(INTERFACE_DESCRIPTION, &interface)?;
        Ok(writer)
    }

    pub(super) fn packet(&mut self, at: Instant, frame: &Frame) -> io::Result<()> {
        let time = at.nanoseconds();
        let high = u32::try_from(time >> 32).unwrap_or(u32::MAX);
        let low = u32::try_from(time & u64::from(u32::MAX)).unwrap_or(u32::MAX);
        let captured = u32::try_from(frame.bytes.len()).map_err(io::Error::other)?;
        let length = u32::try_from(frame.length).map_err(io::Error::other)?;
        let mut packet = Vec::with_capacity(frame.bytes.len() + 24);
        for word in [0, high, low, captured, length] {
            packet.extend_from_slice(&word.to_le_bytes());
        }
        packet.extend_from_slice(&frame.bytes);
        pad(&mut packet);
        self.block(ENHANCED_PACKET, &packet)
    }

    pub(super) fn finish(mut self) -> io::Result<()> {
        self.output.flush()
    }

    fn block(&mut self, kind: u32, body: &[u8]) -> io::Result<()> {
        let length = u32::try_from(body.len() + 12).map_err(io::Error::other)?.to_le_bytes();
        self.output.write_all(&kind.to_le_bytes())?;
        self.output.write_all(&length)?;
        self.output.write_all(body)?;
        self.output.write_all(&length)
    }
}

fn option(block: &mut Vec<u8>, code: u16, value: &[u8]) {
    block.extend_from_slice(&code.to_le_bytes());
    let length = u16::try_from(value.len()).unwrap_or(u16::MAX);
    block.extend_from_slice(&length.to_le_bytes());
    block.extend_from_slice(value);
    pad(block);
}

fn end_of_options(block: &mut Vec<u8>) {
    block.extend_from_slice(&[0; 4]);
}

/// Everything in the file is a multiple of four bytes.
fn pad(block: &mut Vec<u8>) {
    block.resize(block.len().next_multiple_of(4), 0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_made_of_blocks_that_frame_themselves() {
        let mut file = Vec::new();
        let mut writer = PcapngWriter::new(&mut file, "virtual time").unwrap();
        let frame = Frame { bytes: vec![7; 5], length: 90 };
        writer.packet(Instant::from_nanoseconds((3 << 32) | 4), &frame).unwrap();
        writer.finish().unwrap();

        let word = |at: usize| u32::from_le_bytes(file[at..at + 4].try_into().unwrap());
        let mut starts = Vec::new();
        let mut at = 0;
        while at < file.len() {
            let length = usize::try_from(word(at + 4)).unwrap();
            assert_eq!(length % 4, 0);
            assert_eq!(word(at + length - 4), word(at + 4));
            starts.push(at);
            at += length;
        }
        let kinds: Vec<_> = starts.iter().map(|start| word(*start)).collect();
        assert_eq!(kinds, [SECTION_HEADER, INTERFACE_DESCRIPTION, ENHANCED_PACKET]);
        let packet = starts[2] + 8;
        let fields = [0, 4, 8, 12, 16].map(|offset| word(packet + offset));
        assert_eq!(fields, [0, 3, 4, 5, 90]);
    }
}
