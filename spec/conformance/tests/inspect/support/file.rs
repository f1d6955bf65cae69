//! The file formats of captures.

use super::Trace;

/// How a pcap file is written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PcapFormat {
    pub(crate) big_endian: bool,
    pub(crate) nanoseconds: bool,
}

pub(crate) fn pcap(trace: &Trace) -> Vec<u8> {
    pcap_as(trace, PcapFormat { big_endian: false, nanoseconds: false })
}

pub(crate) fn pcap_as(trace: &Trace, format: PcapFormat) -> Vec<u8> {
    let word = |value: u32| word(value, format.big_endian);
    let mut file = Vec::new();
    let magic = if format.nanoseconds { 0xa1b2_3c4d } else { 0xa1b2_c3d4 };
    file.extend_from_slice(&word(magic));
    let versions = if format.big_endian { [0, 2, 0, 4] } else { [2, 0, 4, 0] };
    file.extend_from_slice(&versions);
    for value in [0, 0, 0x4_0000, 1] {
        file.extend_from_slice(&word(value));
    }
    for packet in &trace.packets {
        let fraction = packet.time_us % 1_000_000 * if format.nanoseconds { 1000 } else { 1 };
        for value in [
            u32::try_from(packet.time_us / 1_000_000).unwrap(),
            u32::try_from(fraction).unwrap(),
            u32::try_from(packet.frame.len()).unwrap(),
            u32::try_from(packet.original_length).unwrap(),
        ] {
            file.extend_from_slice(&word(value));
        }
        file.extend_from_slice(&packet.frame);
    }
    file
}

/// A pcapng file: a section, an interface that counts nanoseconds, a block that readers skip, and
/// the packets.
pub(crate) fn pcapng(trace: &Trace, big_endian: bool) -> Vec<u8> {
    let word = |value: u32| word(value, big_endian);
    let half = |value: u16| if big_endian { value.to_be_bytes() } else { value.to_le_bytes() };
    let block = |kind: u32, content: &[u8]| {
        let mut content = content.to_vec();
        content.resize(content.len().next_multiple_of(4), 0);
        let length = word(u32::try_from(content.len() + 12).unwrap());
        [&word(kind), length.as_slice(), &content, &length].concat()
    };
    let section = [word(0x1a2b_3c4d).as_slice(), &half(1), &half(0), &[0xff; 8]].concat();
    // Option 9 is the resolution of the clock: 10 to the power of minus 9.
    let options = [half(9).as_slice(), &half(1), &[9, 0, 0, 0], &half(0), &half(0)].concat();
    let interface = [half(1).as_slice(), &half(0), &word(0x4_0000), &options].concat();
    let mut file = block(0x0a0d_0d0a, &section);
    file.extend_from_slice(&block(1, &interface));
    file.extend_from_slice(&block(0x1234, b"a block that nobody knows"));
    for packet in &trace.packets {
        let time = packet.time_us * 1000;
        let length = u32::try_from(packet.frame.len()).unwrap();
        let original_length = u32::try_from(packet.original_length).unwrap();
        let mut content = Vec::new();
        for value in [
            0,
            u32::try_from(time >> 32).unwrap(),
            u32::try_from(time & 0xffff_ffff).unwrap(),
            length,
            original_length,
        ] {
            content.extend_from_slice(&word(value));
        }
        content.extend_from_slice(&packet.frame);
        file.extend_from_slice(&block(6, &content));
    }
    file
}

fn word(value: u32, big_endian: bool) -> [u8; 4] {
    if big_endian { value.to_be_bytes() } else { value.to_le_bytes() }
}
