use byteorder::{BigEndian, ByteOrder, ReadBytesExt};
use std::io;

use super::Kind;

/// One RAM block of the destination.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct RamBlock {
    /// The destination's virtual address of the block's first byte.
    pub remote_address: u64,
    /// Where the block begins in the destination's RAM address space.
    pub offset: u64,
    /// Bytes in use.
    pub length: u64,
    /// The key of the whole block; 0 where chunks are registered one by one.
    pub rkey: u32,
}

/// A run of bytes that all have one value.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Compress {
    /// The value of every byte; real sources send 0 only.
    pub value: u32,
    /// The index of the RAM block.
    pub block: u32,
    /// The run's start in the destination's RAM address space.
    pub offset: u64,
    /// Bytes in the run.
    pub length: u64,
}

/// Asks for chunks to be registered.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct RegisterRequest {
    /// An address inside the first chunk, in the destination's RAM address space.
    pub address: u64,
    /// The index of the RAM block.
    pub block: u32,
    /// How many further chunks after the first.
    pub chunks: u64,
}

/// The answer to one [`RegisterRequest`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct RegisterResult {
    /// The key that gives access to the chunks; 0 means none.
    pub rkey: u32,
    /// The destination's virtual address of the first byte of the block, not of the chunk.
    pub host_address: u64,
}

/// Asks for a chunk to be unregistered.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct UnregisterRequest {
    /// The number of the chunk in its block.
    pub chunk: u64,
    /// The index of the RAM block.
    pub block: u32,
}

/// One command of a control message.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Command {
    /// Of RAM_BLOCKS_RESULT.
    RamBlock(RamBlock),
    /// Of COMPRESS.
    Compress(Compress),
    /// Of REGISTER_REQUEST.
    RegisterRequest(RegisterRequest),
    /// Of REGISTER_RESULT.
    RegisterResult(RegisterResult),
    /// Of UNREGISTER_REQUEST.
    UnregisterRequest(UnregisterRequest),
}

impl Command {
    /// Reads every whole command in the payload of a message of this kind; what is left over at
    /// the end is not looked at.
    #[must_use]
    pub fn decode_all(kind: Kind, payload: &[u8]) -> Vec<Self> {
        let Some(bytes) = kind.command_bytes() else { return Vec::new() };
        payload.chunks_exact(bytes).filter_map(|command| Self::decode(kind, command).ok()).collect()
    }

    fn decode(kind: Kind, mut bytes: &[u8]) -> io::Result<Self> {
        let from = &mut bytes;
        Ok(match kind {
            Kind::RamBlocksResult => Self::RamBlock(RamBlock::decode(from)?),
            Kind::Compress => Self::Compress(Compress::decode(from)?),
            Kind::RegisterRequest => Self::RegisterRequest(RegisterRequest::decode(from)?),
            Kind::RegisterResult => Self::RegisterResult(RegisterResult::decode(from)?),
            Kind::UnregisterRequest => Self::UnregisterRequest(UnregisterRequest::decode(from)?),
            Kind::None
            | Kind::Error
            | Kind::Ready
            | Kind::QemuFile
            | Kind::RamBlocksRequest
            | Kind::RegisterFinished
            | Kind::UnregisterFinished
            | Kind::Unknown(_) => return Err(io::ErrorKind::InvalidInput.into()),
        })
    }

    /// Appends the command to a message, with padding of zero.
    pub fn encode(&self, message: &mut Vec<u8>) {
        let mut bytes = [0; RamBlock::BYTES];
        let length = match self {
            Self::RamBlock(block) => {
                BigEndian::write_u64(&mut bytes[0..8], block.remote_address);
                BigEndian::write_u64(&mut bytes[8..16], block.offset);
                BigEndian::write_u64(&mut bytes[16..24], block.length);
                BigEndian::write_u32(&mut bytes[24..28], block.rkey);
                RamBlock::BYTES
            }
            Self::Compress(run) => {
                BigEndian::write_u32(&mut bytes[0..4], run.value);
                BigEndian::write_u32(&mut bytes[4..8], run.block);
                BigEndian::write_u64(&mut bytes[8..16], run.offset);
                BigEndian::write_u64(&mut bytes[16..24], run.length);
                Compress::BYTES
            }
            Self::RegisterRequest(request) => {
                BigEndian::write_u64(&mut bytes[0..8], request.address);
                BigEndian::write_u32(&mut bytes[8..12], request.block);
                BigEndian::write_u64(&mut bytes[16..24], request.chunks);
                RegisterRequest::BYTES
            }
            Self::RegisterResult(result) => {
                BigEndian::write_u32(&mut bytes[0..4], result.rkey);
                BigEndian::write_u64(&mut bytes[8..16], result.host_address);
                RegisterResult::BYTES
            }
            Self::UnregisterRequest(request) => {
                BigEndian::write_u64(&mut bytes[0..8], request.chunk);
                BigEndian::write_u32(&mut bytes[8..12], request.block);
                UnregisterRequest::BYTES
            }
        };
        message.extend_from_slice(&bytes[..length]);
    }
}

impl RamBlock {
    /// Bytes on the wire, four of padding at the end.
    pub const BYTES: usize = 32;

    fn decode(from: &mut &[u8]) -> io::Result<Self> {
        let remote_address = from.read_u64::<BigEndian>()?;
        let offset = from.read_u64::<BigEndian>()?;
        let length = from.read_u64::<BigEndian>()?;
        let rkey = from.read_u32::<BigEndian>()?;
        Ok(Self { remote_address, offset, length, rkey })
    }
}

impl Compress {
    /// Bytes on the wire.
    pub const BYTES: usize = 24;

    fn decode(from: &mut &[u8]) -> io::Result<Self> {
        let value = from.read_u32::<BigEndian>()?;
        let block = from.read_u32::<BigEndian>()?;
        let offset = from.read_u64::<BigEndian>()?;
        let length = from.read_u64::<BigEndian>()?;
        Ok(Self { value, block, offset, length })
    }
}

impl RegisterRequest {
    /// Bytes on the wire, four of padding after the block.
    pub const BYTES: usize = 24;

    fn decode(from: &mut &[u8]) -> io::Result<Self> {
        let address = from.read_u64::<BigEndian>()?;
        let block = from.read_u32::<BigEndian>()?;
        // QEMU leaves whatever its stack held in the padding.
        let _padding = from.read_u32::<BigEndian>()?;
        let chunks = from.read_u64::<BigEndian>()?;
        Ok(Self { address, block, chunks })
    }
}

impl RegisterResult {
    /// Bytes on the wire, four of padding after the key.
    pub const BYTES: usize = 16;

    fn decode(from: &mut &[u8]) -> io::Result<Self> {
        let rkey = from.read_u32::<BigEndian>()?;
        let _padding = from.read_u32::<BigEndian>()?;
        let host_address = from.read_u64::<BigEndian>()?;
        Ok(Self { rkey, host_address })
    }
}

impl UnregisterRequest {
    /// Bytes on the wire: the layout of [`RegisterRequest`], with the count unused.
    pub const BYTES: usize = 24;

    fn decode(from: &mut &[u8]) -> io::Result<Self> {
        let chunk = from.read_u64::<BigEndian>()?;
        let block = from.read_u32::<BigEndian>()?;
        Ok(Self { chunk, block })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn commands_of_real_traffic_read_right() {
        let request =
            [0, 0, 0, 0, 0, 0xf0, 0, 0, 0, 0, 0, 2, 0, 0, 0x56, 0x7f, 0, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(
            Command::decode_all(Kind::RegisterRequest, &request),
            [Command::RegisterRequest(RegisterRequest { address: 0xf0_0000, block: 2, chunks: 0 })]
        );
        let result = [0, 0, 1, 4, 0, 0, 0, 0, 0, 0, 0x7f, 0xc2, 0x68, 0x20, 0, 0];
        assert_eq!(
            Command::decode_all(Kind::RegisterResult, &result),
            [Command::RegisterResult(RegisterResult {
                rkey: 0x104,
                host_address: 0x7fc2_6820_0000
            })]
        );
    }

    fn command() -> impl Strategy<Value = (Kind, Command)> {
        let words = (any::<u64>(), any::<u64>(), any::<u64>(), any::<u32>(), any::<u32>());
        (0..5, words).prop_map(|(which, (a, b, c, d, e))| match which {
            0 => {
                let block = RamBlock { remote_address: a, offset: b, length: c, rkey: d };
                (Kind::RamBlocksResult, Command::RamBlock(block))
            }
            1 => {
                let run = Compress { value: d, block: e, offset: a, length: b };
                (Kind::Compress, Command::Compress(run))
            }
            2 => {
                let request = RegisterRequest { address: a, block: d, chunks: b };
                (Kind::RegisterRequest, Command::RegisterRequest(request))
            }
            3 => {
                let result = RegisterResult { rkey: d, host_address: a };
                (Kind::RegisterResult, Command::RegisterResult(result))
            }
            _ => {
                let request = UnregisterRequest { chunk: a, block: d };
                (Kind::UnregisterRequest, Command::UnregisterRequest(request))
            }
        })
    }

    proptest! {
        #[test]
        fn a_decoded_command_is_the_encoded_one((kind, command) in command(), extra in 0..16_usize) {
            let mut bytes = Vec::new();
            command.encode(&mut bytes);
            prop_assert_eq!(Some(bytes.len()), kind.command_bytes());
            bytes.resize(bytes.len() + extra.min(bytes.len() - 1), 0xff);
            prop_assert_eq!(Command::decode_all(kind, &bytes), [command]);
        }
    }
}
