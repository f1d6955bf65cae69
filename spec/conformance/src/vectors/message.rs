//! One message, or the private data of a connection, read strictly with the suite's own codec.

use super::error_name::ErrorName;
use super::reading::{CapabilitiesReading, Entries, Entry, MessageReading, Wide};
use crate::codec::{Capabilities, Command, Header, Kind, MESSAGE_BYTES_MAX, REPEAT_MAX};

/// Reads private data.
///
/// # Errors
/// What is wrong with it.
pub fn read_capabilities(private_data: &[u8]) -> Result<CapabilitiesReading, ErrorName> {
    let capabilities =
        Capabilities::decode(private_data).map_err(|_| ErrorName::PrivateDataTruncated)?;
    Ok(CapabilitiesReading { version: capabilities.version, flags: capabilities.flags })
}

/// Reads a message, whoever sent it and whenever.
///
/// # Errors
/// The first thing that is wrong with it.
pub fn read_message(message: &[u8]) -> Result<MessageReading, ErrorName> {
    let (header, payload) = Header::decode(message).map_err(|_| ErrorName::HeaderTruncated)?;
    let length_max = MESSAGE_BYTES_MAX - Header::BYTES;
    match usize::try_from(header.length) {
        Ok(length) if length <= length_max && length == payload.len() => {}
        Ok(length) if length <= length_max => return Err(ErrorName::LengthMismatch),
        _ => return Err(ErrorName::LengthTooLarge),
    }
    check_payload(header, payload)?;
    let carries_entries = header.kind.command_bytes().is_some();
    Ok(MessageReading {
        kind: header.kind.to_string(),
        length: header.length,
        repeat: says_repeat(header.kind).then_some(header.repeat),
        entries: carries_entries.then(|| {
            Entries::group(Command::decode_all(header.kind, payload).into_iter().map(entry))
        }),
    })
}

fn check_payload(header: Header, payload: &[u8]) -> Result<(), ErrorName> {
    let (entry_bytes, left_over) = match header.kind.command_bytes() {
        Some(bytes) => (bytes, payload.len() % bytes),
        None => (0, 0),
    };
    match header.kind {
        Kind::Unknown(_) => Err(ErrorName::UnknownType),
        Kind::QemuFile if payload.is_empty() => Err(ErrorName::EmptyStream),
        Kind::QemuFile => Ok(()),
        Kind::RamBlocksResult if left_over > 0 => Err(ErrorName::PartialRamBlock),
        Kind::RamBlocksResult => Ok(()),
        Kind::Compress | Kind::RegisterRequest | Kind::RegisterResult | Kind::UnregisterRequest => {
            if !(1..=REPEAT_MAX).contains(&header.repeat) {
                return Err(ErrorName::RepeatOutOfRange);
            }
            let one_result = header.kind == Kind::RegisterResult && payload.len() == entry_bytes;
            let counted = usize::try_from(header.repeat).ok().map(|repeat| repeat * entry_bytes);
            if one_result || counted == Some(payload.len()) {
                return Ok(());
            }
            Err(ErrorName::PayloadNotRepeat)
        }
        Kind::None
        | Kind::Error
        | Kind::Ready
        | Kind::RamBlocksRequest
        | Kind::RegisterFinished
        | Kind::UnregisterFinished => {
            if payload.is_empty() {
                Ok(())
            } else {
                Err(ErrorName::UnexpectedPayload)
            }
        }
    }
}

fn says_repeat(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::Compress
            | Kind::RegisterRequest
            | Kind::RegisterResult
            | Kind::UnregisterRequest
            | Kind::UnregisterFinished
    )
}

fn entry(command: Command) -> Entry {
    match command {
        Command::RamBlock(block) => Entry::RamBlock {
            remote_address: Wide(block.remote_address),
            offset: Wide(block.offset),
            length: Wide(block.length),
            rkey: block.rkey,
        },
        Command::Compress(run) => Entry::Compress {
            value: run.value,
            block: run.block,
            offset: Wide(run.offset),
            length: Wide(run.length),
        },
        Command::RegisterRequest(request) => Entry::RegisterRequest {
            address: Wide(request.address),
            block: request.block,
            chunks: Wide(request.chunks),
        },
        Command::RegisterResult(result) => {
            Entry::RegisterResult { rkey: result.rkey, host_address: Wide(result.host_address) }
        }
        Command::UnregisterRequest(request) => {
            Entry::UnregisterRequest { chunk: Wide(request.chunk), block: request.block }
        }
    }
}
