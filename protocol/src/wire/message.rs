//! Whole control messages.

use super::{
    Compress, EncodeError, Entries, Entry, Header, Kind, Malformed, RamBlock, RegisterRequest,
    RegisterResult, UnregisterRequest,
};
use crate::limits::{COMMANDS_MAX, HEADER_BYTES, PAYLOAD_BYTES_MAX, RAM_BLOCKS_MAX};

/// A control message: what one SEND carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message<'a> {
    /// Nobody sends it.
    None,
    /// The sender has failed and will disconnect.
    Error,
    /// The destination takes one more message.
    Ready,
    /// Bytes of the migration stream, at least one.
    QemuFile(&'a [u8]),
    /// Asks where the RAM blocks lie.
    RamBlocksRequest,
    /// Where the RAM blocks lie, in the order of the stream's list.
    RamBlocksResult(Entries<'a, RamBlock>),
    /// Runs of equal bytes, 1 to 4096 of them. Deployed destinations apply only the first.
    Compress(Entries<'a, Compress>),
    /// Asks for chunks to be registered, 1 to 4096 requests.
    RegisterRequest(Entries<'a, RegisterRequest>),
    /// The keys of registered chunks.
    RegisterResult {
        /// The request's number of commands, 1 to 4096.
        repeat: u32,
        /// One result for each command, or one for the first of them alone, which is what
        /// deployed destinations answer to several.
        results: Entries<'a, RegisterResult>,
    },
    /// All RAM of this round has been written.
    RegisterFinished,
    /// Asks for chunks to be unregistered, 1 to 4096 requests.
    UnregisterRequest(Entries<'a, UnregisterRequest>),
    /// The chunks are unregistered.
    UnregisterFinished {
        /// The request's number of commands.
        repeat: u32,
    },
}

impl<'a> Message<'a> {
    /// Reads the message that `bytes`, all that one receive brought, hold.
    ///
    /// # Errors
    /// [`Malformed`] names what was received and what was expected.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let (header, payload) = Header::split_from(bytes)?;
        check_length(header, payload)?;
        Ok(match header.kind {
            Kind::None => empty(header, payload, Self::None)?,
            Kind::Error => empty(header, payload, Self::Error)?,
            Kind::Ready => empty(header, payload, Self::Ready)?,
            //= spec/text/03-control-channel.md#kinds
            //# [CTL-8] A receiver MUST reject a `QEMU_FILE` without payload.
            Kind::QemuFile if payload.is_empty() => return Err(Malformed::EmptyStream),
            Kind::QemuFile => Self::QemuFile(payload),
            Kind::RamBlocksRequest => empty(header, payload, Self::RamBlocksRequest)?,
            Kind::RamBlocksResult => Self::RamBlocksResult(ram_blocks(payload)?),
            Kind::Compress => Self::Compress(commands(header, payload)?),
            Kind::RegisterRequest => Self::RegisterRequest(commands(header, payload)?),
            Kind::RegisterResult => {
                Self::RegisterResult { repeat: header.repeat, results: results(header, payload)? }
            }
            Kind::RegisterFinished => empty(header, payload, Self::RegisterFinished)?,
            Kind::UnregisterRequest => Self::UnregisterRequest(commands(header, payload)?),
            Kind::UnregisterFinished => {
                let repeat = header.repeat;
                empty(header, payload, Self::UnregisterFinished { repeat })?
            }
        })
    }

    /// Writes the message to the front of `buffer` and returns how many bytes it took.
    ///
    /// # Errors
    /// [`EncodeError`], with the buffer unchanged, if the message does not fit or would be
    /// malformed.
    pub fn encode(&self, buffer: &mut [u8]) -> Result<usize, EncodeError> {
        let repeat = self.repeat()?;
        let needed = self.encoded_len();
        let too_small = EncodeError::BufferTooSmall { needed, available: buffer.len() };
        let target = buffer.get_mut(..needed).ok_or(too_small)?;
        let payload_bytes = u32::try_from(self.payload_bytes()).map_err(|_| too_small)?;
        let header = Header { payload_bytes, kind: self.kind(), repeat };
        let payload = header.write_to(target).ok_or(too_small)?;
        match self {
            Self::None
            | Self::Error
            | Self::Ready
            | Self::RamBlocksRequest
            | Self::RegisterFinished
            | Self::UnregisterFinished { .. } => Some(()),
            Self::QemuFile(stream) => {
                payload.copy_from_slice(stream);
                Some(())
            }
            Self::RamBlocksResult(blocks) => blocks.write_to(payload),
            Self::Compress(commands) => commands.write_to(payload),
            Self::RegisterRequest(commands) => commands.write_to(payload),
            Self::RegisterResult { results, .. } => results.write_to(payload),
            Self::UnregisterRequest(commands) => commands.write_to(payload),
        }
        .ok_or(too_small)?;
        Ok(needed)
    }

    /// What the message is.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        match self {
            Self::None => Kind::None,
            Self::Error => Kind::Error,
            Self::Ready => Kind::Ready,
            Self::QemuFile(_) => Kind::QemuFile,
            Self::RamBlocksRequest => Kind::RamBlocksRequest,
            Self::RamBlocksResult(_) => Kind::RamBlocksResult,
            Self::Compress(_) => Kind::Compress,
            Self::RegisterRequest(_) => Kind::RegisterRequest,
            Self::RegisterResult { .. } => Kind::RegisterResult,
            Self::RegisterFinished => Kind::RegisterFinished,
            Self::UnregisterRequest(_) => Kind::UnregisterRequest,
            Self::UnregisterFinished { .. } => Kind::UnregisterFinished,
        }
    }

    /// Bytes of the whole message on the wire, header included.
    #[must_use]
    pub const fn encoded_len(&self) -> usize {
        HEADER_BYTES.saturating_add(self.payload_bytes())
    }

    const fn payload_bytes(&self) -> usize {
        match self {
            Self::None
            | Self::Error
            | Self::Ready
            | Self::RamBlocksRequest
            | Self::RegisterFinished
            | Self::UnregisterFinished { .. } => 0,
            Self::QemuFile(stream) => stream.len(),
            Self::RamBlocksResult(blocks) => blocks.encoded_bytes(),
            Self::Compress(commands) => commands.encoded_bytes(),
            Self::RegisterRequest(commands) => commands.encoded_bytes(),
            Self::RegisterResult { results, .. } => results.encoded_bytes(),
            Self::UnregisterRequest(commands) => commands.encoded_bytes(),
        }
    }

    /// The header's `repeat`, once the payload is known to be within the limits.
    fn repeat(&self) -> Result<u32, EncodeError> {
        match self {
            //= spec/text/03-control-channel.md#repeat
            //# [CTL-12] A sender MUST set `repeat` to 1 in a message whose commands it does not
            //# count.
            Self::None
            | Self::Error
            | Self::Ready
            | Self::RamBlocksRequest
            | Self::RegisterFinished => Ok(1),
            //= spec/text/11-limits.md#control-messages
            //# [LIM-1] A sender MUST NOT send a control message of more than 524288 bytes, header
            //# included.
            Self::QemuFile(stream) if (1..=PAYLOAD_BYTES_MAX).contains(&stream.len()) => Ok(1),
            Self::QemuFile(stream) => {
                Err(EncodeError::StreamOutOfRange { stream_bytes: stream.len() })
            }
            Self::RamBlocksResult(blocks) => self.count(blocks.len(), 0, RAM_BLOCKS_MAX).and(Ok(1)),
            Self::Compress(commands) => self.count(commands.len(), 1, COMMANDS_MAX),
            Self::RegisterRequest(commands) => self.count(commands.len(), 1, COMMANDS_MAX),
            Self::UnregisterRequest(commands) => self.count(commands.len(), 1, COMMANDS_MAX),
            &Self::RegisterResult { repeat, results } => {
                match self.count(results.len(), 1, COMMANDS_MAX)? {
                    count if repeat_in_range(repeat) && (count == 1 || count == repeat) => {
                        Ok(repeat)
                    }
                    _ => Err(EncodeError::ResultsNotRepeat { repeat, results: results.len() }),
                }
            }
            Self::UnregisterFinished { repeat } => Ok(*repeat),
        }
    }

    /// `count` in the width of the wire, if it lies between `min` and `max`.
    fn count(&self, count: usize, min: usize, max: usize) -> Result<u32, EncodeError> {
        //= spec/text/11-limits.md#control-messages
        //# [LIM-2] A sender MUST NOT put more than 4096 commands into a control message.
        u32::try_from(count)
            .ok()
            .filter(|_| (min..=max).contains(&count))
            .ok_or(EncodeError::CountOutOfRange { kind: self.kind(), count, min, max })
    }
}

fn check_length(header: Header, payload: &[u8]) -> Result<(), Malformed> {
    let Header { kind, payload_bytes: declared, .. } = header;
    //= spec/text/03-control-channel.md#header
    //# [CTL-3] A receiver MUST reject a header whose `length` is more than 524272.
    if usize::try_from(declared).is_ok_and(|declared| declared <= PAYLOAD_BYTES_MAX) {
        //= spec/text/03-control-channel.md#header
        //# [CTL-4] A receiver MUST reject a header whose `length` does not match the number of
        //# bytes received after it.
        if u32::try_from(payload.len()) == Ok(declared) {
            return Ok(());
        }
        return Err(Malformed::LengthMismatch { kind, declared, received: payload.len() });
    }
    Err(Malformed::PayloadTooLong { kind, declared })
}

/// `message`, if no payload came with it.
//= spec/text/03-control-channel.md#repeat
//# [CTL-9] A receiver MUST ignore `repeat` in a message whose commands it does not count.
fn empty<'a>(
    header: Header,
    payload: &[u8],
    message: Message<'a>,
) -> Result<Message<'a>, Malformed> {
    //= spec/text/03-control-channel.md#kinds
    //# [CTL-7] A receiver MUST reject a payload where this table has none.
    if payload.is_empty() {
        return Ok(message);
    }
    Err(Malformed::UnexpectedPayload { kind: header.kind, payload_bytes: payload.len() })
}

fn ram_blocks(payload: &[u8]) -> Result<Entries<'_, RamBlock>, Malformed> {
    //= spec/text/04-ram-blocks.md#layout
    //# [BLK-2] A source MUST reject a `RAM_BLOCKS_RESULT` whose payload is not a whole number of
    //# RAM blocks.
    Entries::received(payload).ok_or(Malformed::PartialRamBlock {
        block_bytes: RamBlock::BYTES,
        payload_bytes: payload.len(),
    })
}

/// The `repeat` commands that the payload must consist of.
fn commands<T: Entry>(header: Header, payload: &[u8]) -> Result<Entries<'_, T>, Malformed> {
    check_repeat(header)?;
    //= spec/text/03-control-channel.md#repeat
    //# [CTL-11] A receiver MUST reject a payload that is not as long as the commands that `repeat`
    //# counts.
    Entries::received(payload)
        .filter(|commands| u32::try_from(commands.len()) == Ok(header.repeat))
        .ok_or(not_repeat::<T>(header, payload))
}

/// The results to `repeat` requests: one for each, or for the first alone.
fn results(header: Header, payload: &[u8]) -> Result<Entries<'_, RegisterResult>, Malformed> {
    check_repeat(header)?;
    //= spec/text/03-control-channel.md#repeat
    //# [CTL-13] A source MUST accept a `REGISTER_RESULT` that carries one result, whatever its
    //# counted `repeat`.
    Entries::received(payload)
        .filter(|results| results.len() == 1 || u32::try_from(results.len()) == Ok(header.repeat))
        .ok_or(not_repeat::<RegisterResult>(header, payload))
}

fn check_repeat(header: Header) -> Result<(), Malformed> {
    let Header { kind, repeat, .. } = header;
    //= spec/text/03-control-channel.md#repeat
    //# [CTL-10] A receiver MUST reject a counted `repeat` that is 0 or more than 4096.
    if repeat_in_range(repeat) {
        return Ok(());
    }
    Err(Malformed::RepeatOutOfRange { kind, repeat })
}

fn repeat_in_range(repeat: u32) -> bool {
    usize::try_from(repeat).is_ok_and(|repeat| (1..=COMMANDS_MAX).contains(&repeat))
}

fn not_repeat<T: Entry>(header: Header, payload: &[u8]) -> Malformed {
    Malformed::PayloadNotRepeat {
        kind: header.kind,
        repeat: header.repeat,
        command_bytes: T::BYTES,
        payload_bytes: payload.len(),
    }
}

#[cfg(test)]
mod tests;
