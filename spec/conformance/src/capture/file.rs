//! Packets out of pcap and pcapng files.

use std::cell::Cell;
use std::io::{self, Cursor, Read};
use std::rc::Rc;

use pcap_parser::{
    Block, LegacyPcapReader, PcapBlockOwned, PcapError, PcapNGReader,
    traits::{PcapNGPacketBlock, PcapReaderIterator},
};

/// The most bytes that one record of a file may take; the largest packet that capture tools write
/// has 256 KiB.
pub const RECORD_BYTES_MAX: usize = 1 << 20;
/// The most interfaces that one section of a pcapng file may describe.
pub const INTERFACES_MAX: usize = 4096;

const PCAP_HEADER_BYTES: usize = 24;
const PCAPNG_SECTION_BYTES_MIN: u64 = 28;
/// Link type of Ethernet frames in both formats.
const ETHERNET: i32 = 1;
const NANOSECONDS_PER_SECOND: u64 = 1_000_000_000;

/// Why a file could not be read to its end.
#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    /// There is nothing in it.
    #[error("the file is empty")]
    Empty,
    /// It is something else.
    #[error("not a pcap or pcapng capture: the file begins with {found}")]
    NotACapture {
        /// Its first bytes, in hexadecimal.
        found: String,
    },
    /// It ends before its own header does.
    #[error("cut short in the file header, at offset {offset}")]
    HeaderCutShort {
        /// Bytes that the file has.
        offset: u64,
    },
    /// It ends inside a record.
    #[error("cut short in the record of packet {packet}, which begins at offset {offset}")]
    CutShort {
        /// The packet that the record holds, or that would have come next.
        packet: u64,
        /// Where the record begins in the file.
        offset: u64,
    },
    /// A record claims more than any capture tool writes.
    #[error(
        "the record of packet {packet} at offset {offset} claims more than {} bytes",
        RECORD_BYTES_MAX
    )]
    RecordTooLarge {
        /// The packet that the record holds, or that would have come next.
        packet: u64,
        /// Where the record begins in the file.
        offset: u64,
    },
    /// A record contradicts itself or what came before it.
    #[error("malformed record of packet {packet} at offset {offset}: {reason}")]
    Malformed {
        /// The packet that the record holds, or that would have come next.
        packet: u64,
        /// Where the record begins in the file.
        offset: u64,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The operating system could not read it.
    #[error("cannot read the file after packet {packet}, at offset {offset}: {cause}")]
    Read {
        /// Packets read until then.
        packet: u64,
        /// Bytes used until then.
        offset: u64,
        /// Why not.
        cause: io::Error,
    },
}

/// One packet of a capture.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// Its number in the file; the first is 1.
    pub number: u64,
    /// Nanoseconds since the epoch of the file; none where the file records no time.
    pub nanoseconds: Option<u64>,
    /// Whether `data` is an Ethernet frame.
    pub ethernet: bool,
    /// What was captured, which may be less than was sent.
    pub data: &'a [u8],
}

/// Reads a capture and shows every packet in it.
///
/// Memory is bounded by [`RECORD_BYTES_MAX`], whatever the file says.
///
/// # Errors
/// What `visit` returns, or a [`CaptureError`] when the file is not a capture, or damaged. Packets
/// before the damage have been shown by then.
pub fn read_packets<E: From<CaptureError>>(
    reader: impl Read,
    mut visit: impl FnMut(Record<'_>) -> Result<(), E>,
) -> Result<(), E> {
    let failure = Rc::new(Cell::new(None));
    let mut blocks = open(reader, &failure)?;
    let mut section = Section::default();
    let mut progress = Progress { packet: 0, offset: 0 };
    loop {
        let complete = match blocks.next() {
            Ok((length, block)) => {
                if let Some(record) = section.take(&block, &progress)? {
                    progress.packet += 1;
                    visit(record)?;
                }
                Some(length)
            }
            Err(PcapError::Eof) => return Ok(()),
            Err(PcapError::Incomplete(_) | PcapError::UnexpectedEof) => None,
            Err(error) => return Err(progress.error(&error).into()),
        };
        if let Some(length) = complete {
            progress.offset += u64::try_from(length).unwrap_or(u64::MAX);
            blocks.consume(length);
        } else if section.holds_whole_block(blocks.data()) {
            return Err(progress.malformed("a length inside it exceeds it").into());
        } else if blocks.reader_exhausted() {
            return Err(progress.cut_short().into());
        } else {
            blocks.refill().map_err(|_| progress.read_failed(failure.get()))?;
        }
    }
}

/// The first failure of the underlying reader, which the parser's own error does not carry.
type Failure = Rc<Cell<Option<io::ErrorKind>>>;

fn open<'a>(
    mut reader: impl Read + 'a,
    failure: &Failure,
) -> Result<Box<dyn PcapReaderIterator + 'a>, CaptureError> {
    let mut head = Vec::new();
    reader
        .by_ref()
        .take(PCAPNG_SECTION_BYTES_MIN)
        .read_to_end(&mut head)
        .map_err(|cause| CaptureError::Read { packet: 0, offset: 0, cause })?;
    let Some(magic) = head.first_chunk::<4>().copied() else {
        let found = hexadecimal(&head);
        let empty = head.is_empty();
        return Err(if empty { CaptureError::Empty } else { CaptureError::NotACapture { found } });
    };
    let cut_short = CaptureError::HeaderCutShort { offset: u64::try_from(head.len()).unwrap_or(0) };
    let has_pcap_header = head.len() >= PCAP_HEADER_BYTES;
    let whole = FullReads { reader: Cursor::new(head).chain(reader), failure: failure.clone() };
    match u32::from_be_bytes(magic) {
        0x0a0d_0d0a => match PcapNGReader::new(RECORD_BYTES_MAX, whole) {
            Ok(blocks) => Ok(Box::new(blocks)),
            Err(PcapError::Incomplete(_)) => Err(cut_short),
            Err(_) => {
                let reason = "the section header is damaged";
                Err(CaptureError::Malformed { packet: 1, offset: 0, reason })
            }
        },
        // Both byte orders, of microseconds, of nanoseconds, and of one historic variant.
        0xa1b2_c3d4 | 0xd4c3_b2a1 | 0xa1b2_3c4d | 0x4d3c_b2a1 | 0x34cd_b2a1 => {
            match LegacyPcapReader::new(RECORD_BYTES_MAX, whole) {
                Ok(blocks) if has_pcap_header => Ok(Box::new(blocks)),
                _ => Err(cut_short),
            }
        }
        _ => Err(CaptureError::NotACapture { found: hexadecimal(&magic) }),
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" ")
}

/// Fills every buffer it is given, so that a short read means the end of the file; pipes give
/// short reads at any time.
struct FullReads<R> {
    reader: R,
    failure: Failure,
}

impl<R: Read> Read for FullReads<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        while let Some(space) = buffer.get_mut(filled..).filter(|space| !space.is_empty()) {
            match self.reader.read(space) {
                Ok(0) => break,
                Ok(length) => filled += length,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.failure.set(Some(error.kind()));
                    return Err(error);
                }
            }
        }
        Ok(filled)
    }
}

struct Progress {
    packet: u64,
    offset: u64,
}

impl Progress {
    fn cut_short(&self) -> CaptureError {
        CaptureError::CutShort { packet: self.packet + 1, offset: self.offset }
    }

    fn malformed(&self, reason: &'static str) -> CaptureError {
        CaptureError::Malformed { packet: self.packet + 1, offset: self.offset, reason }
    }

    fn read_failed(&self, failure: Option<io::ErrorKind>) -> CaptureError {
        let cause = io::Error::from(failure.unwrap_or(io::ErrorKind::Other));
        CaptureError::Read { packet: self.packet, offset: self.offset, cause }
    }

    fn error(&self, error: &PcapError<&[u8]>) -> CaptureError {
        let (packet, offset) = (self.packet + 1, self.offset);
        match error {
            PcapError::BufferTooSmall => CaptureError::RecordTooLarge { packet, offset },
            _ => self.malformed("its lengths do not agree"),
        }
    }
}

/// What a file says about the packets that follow.
#[derive(Default)]
struct Section {
    interfaces: Vec<Interface>,
    /// The byte order of a pcapng section; none in a pcap file.
    order: Option<ByteOrder>,
}

#[derive(Clone, Copy)]
enum ByteOrder {
    Big,
    Little,
}

#[derive(Clone, Copy)]
struct Interface {
    ethernet: bool,
    units_per_second: Option<u64>,
}

impl Section {
    fn take<'a>(
        &mut self,
        block: &'a PcapBlockOwned<'a>,
        progress: &Progress,
    ) -> Result<Option<Record<'a>>, CaptureError> {
        let number = progress.packet + 1;
        match block {
            PcapBlockOwned::LegacyHeader(header) => {
                let nanoseconds = header.is_nanosecond_precision();
                self.interfaces = vec![Interface {
                    ethernet: header.network.0 == ETHERNET,
                    units_per_second: Some(if nanoseconds {
                        NANOSECONDS_PER_SECOND
                    } else {
                        1_000_000
                    }),
                }];
                Ok(None)
            }
            PcapBlockOwned::Legacy(packet) => {
                let interface = self.interface(0, progress)?;
                let fraction = u64::from(packet.ts_usec)
                    * if interface.units_per_second == Some(NANOSECONDS_PER_SECOND) {
                        1
                    } else {
                        1000
                    };
                let seconds = u64::from(packet.ts_sec) * NANOSECONDS_PER_SECOND;
                Ok(Some(Record {
                    number,
                    nanoseconds: Some(seconds + fraction),
                    ethernet: interface.ethernet,
                    data: packet.data,
                }))
            }
            PcapBlockOwned::NG(Block::SectionHeader(section)) => {
                let big = section.big_endian();
                self.order = Some(if big { ByteOrder::Big } else { ByteOrder::Little });
                self.interfaces.clear();
                Ok(None)
            }
            PcapBlockOwned::NG(Block::InterfaceDescription(interface)) => {
                if self.interfaces.len() >= INTERFACES_MAX {
                    return Err(progress.malformed("too many interfaces"));
                }
                self.interfaces.push(Interface {
                    ethernet: interface.linktype.0 == ETHERNET,
                    units_per_second: units_per_second(interface.if_tsresol),
                });
                Ok(None)
            }
            PcapBlockOwned::NG(Block::EnhancedPacket(packet)) => {
                let interface = self.interface(packet.if_id, progress)?;
                let units = u64::from(packet.ts_high) << 32 | u64::from(packet.ts_low);
                Ok(Some(Record {
                    number,
                    nanoseconds: interface.units_per_second.map(|rate| nanoseconds(units, rate)),
                    ethernet: interface.ethernet,
                    data: packet.packet_data(),
                }))
            }
            PcapBlockOwned::NG(Block::SimplePacket(packet)) => {
                let interface = self.interface(0, progress)?;
                Ok(Some(Record {
                    number,
                    nanoseconds: None,
                    ethernet: interface.ethernet,
                    data: packet.packet_data(),
                }))
            }
            PcapBlockOwned::NG(_) => Ok(None),
        }
    }

    /// Whether these bytes begin with a block of pcapng that lies in them whole. If the parser
    /// still wants more, the block contradicts its own length.
    fn holds_whole_block(&self, bytes: &[u8]) -> bool {
        let length = bytes.get(4..).and_then(|bytes| bytes.first_chunk::<4>());
        let length = match (self.order, length) {
            (Some(ByteOrder::Big), Some(length)) => u32::from_be_bytes(*length),
            (Some(ByteOrder::Little), Some(length)) => u32::from_le_bytes(*length),
            _ => return false,
        };
        usize::try_from(length).is_ok_and(|length| length <= bytes.len())
    }

    fn interface(&self, index: u32, progress: &Progress) -> Result<Interface, CaptureError> {
        usize::try_from(index)
            .ok()
            .and_then(|index| self.interfaces.get(index).copied())
            .ok_or_else(|| progress.malformed("it names an interface that was not described"))
    }
}

/// How many units of its clock an interface counts in a second; none when that cannot be said.
fn units_per_second(resolution: u8) -> Option<u64> {
    let exponent = u32::from(resolution & 0x7f);
    if resolution & 0x80 == 0 { 10_u64.checked_pow(exponent) } else { 1_u64.checked_shl(exponent) }
}

fn nanoseconds(units: u64, units_per_second: u64) -> u64 {
    let nanoseconds =
        u128::from(units) * u128::from(NANOSECONDS_PER_SECOND) / u128::from(units_per_second);
    u64::try_from(nanoseconds).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_of_decimal_and_binary_resolution_become_nanoseconds() {
        let microseconds = units_per_second(6).unwrap();
        assert_eq!(nanoseconds(1_500_000, microseconds), 1_500_000_000);
        let binary = units_per_second(0x80 | 10).unwrap();
        assert_eq!(nanoseconds(1536, binary), 1_500_000_000);
        assert_eq!(units_per_second(20), None);
        assert_eq!(units_per_second(0x80 | 64), None);
    }
}
