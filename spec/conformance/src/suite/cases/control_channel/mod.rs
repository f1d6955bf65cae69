//! Chapter 3: the control channel.

pub(super) mod destination;
pub(super) mod destination_rejects;
pub(super) mod source;
pub(super) mod source_rejects;

use crate::codec::{Header, Kind};
use crate::suite::play::Message;
use crate::suite::{Finding, Play, Seen, Stop};

/// Bytes that a sender leaves zero at the end of a header.
const PADDING: core::ops::Range<usize> = 12..Header::BYTES;
const REPEAT: core::ops::Range<usize> = 8..12;

/// A message with a header that need not fit it.
fn message(length: u32, kind: Kind, repeat: u32, payload: &[u8]) -> Vec<u8> {
    Message::with_header(Header { length, kind, repeat }, payload)
}

/// Sends a message that has to be rejected.
fn rejects(play: &mut Play<'_>, requirement: &str, message: Vec<u8>) -> Result<(), Stop> {
    play.send_bytes(message);
    play.expect_end_at_once(requirement)
}

/// The header, field by field, in the order of bytes that is not the network's.
fn little_endian(kind: Kind) -> Vec<u8> {
    let mut bytes = message(0, kind, 1, &[]);
    bytes.chunks_mut(4).for_each(<[u8]>::reverse);
    bytes
}

/// Puts what a stack may hold into the padding.
fn fill_padding(message: &mut [u8]) {
    set(message, PADDING, 0x0000_567f);
}

/// Sets the `repeat` of messages of one of these kinds.
fn set_repeat(message: &mut [u8], kinds: &[Kind], repeat: u32) {
    if Header::decode(message).is_ok_and(|(header, _)| kinds.contains(&header.kind)) {
        set(message, REPEAT, repeat);
    }
}

fn set(message: &mut [u8], field: core::ops::Range<usize>, value: u32) {
    if let Some(field) = message.get_mut(field) {
        field.copy_from_slice(&value.to_be_bytes());
    }
}

/// Everything that the peer sent has a header as the table says, and no message is too long.
fn headers(seen: &Seen<'_>) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut check = |holds: bool, requirement: &str, says: &dyn Fn() -> String| {
        if !holds && found.len() < 10 {
            found.push(Finding::wording(requirement, says()));
        }
    };
    for bytes in seen.received() {
        let Ok((Header { length, kind, repeat }, payload)) = Header::decode(bytes) else {
            check(false, "CTL-1", &|| format!("a message of {} bytes", bytes.len()));
            continue;
        };
        let padding = bytes.get(PADDING).is_some_and(|padding| padding == [0; 4]);
        check(padding, "CTL-1", &|| format!("the padding of {kind} is not 0"));
        let fits = usize::try_from(length) == Ok(payload.len());
        check(fits, "CTL-1", &|| format!("{kind} announces {length} of {} bytes", payload.len()));
        check(bytes.len() <= 524_288, "LIM-1", &|| format!("{kind} of {} bytes", bytes.len()));
        match kind {
            Kind::Compress | Kind::RegisterRequest | Kind::UnregisterRequest => {
                let counted = (1..=4096).contains(&repeat);
                check(counted, "LIM-2", &|| format!("{kind} counts {repeat} commands"));
                let commands = Some(repeat)
                    .zip(kind.command_bytes())
                    .and_then(|(count, bytes)| usize::try_from(count).ok()?.checked_mul(bytes));
                let whole = commands == Some(payload.len());
                check(whole, "CTL-1", &|| format!("{kind} is not as long as {repeat} commands"));
            }
            Kind::RegisterResult => {
                let counted = (1..=4096).contains(&repeat);
                check(counted, "LIM-2", &|| format!("{kind} answers {repeat} requests"));
            }
            Kind::UnregisterFinished => {}
            _ => check(repeat == 1, "CTL-12", &|| format!("the repeat of {kind} is {repeat}")),
        }
    }
    found
}
