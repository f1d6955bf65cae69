//! Chapter 5: registration.

pub(super) mod destination;
pub(super) mod destination_rejects;
pub(super) mod destination_unregisters;
pub(super) mod source;
pub(super) mod source_unregisters;

use crate::codec::RegisterResult;
use crate::suite::play::breach;
use crate::suite::{Play, Stop};

/// Has one request carried out: a RAM block, a place in it, and how many further chunks.
fn register_one(
    play: &mut Play<'_>,
    (block, offset, further): (u32, u64, u64),
) -> Result<RegisterResult, Stop> {
    let request = play.request_for(block, offset, further);
    let results = play.register(&[request])?;
    results.first().copied().ok_or_else(|| breach("REG-16", "a result without a key"))
}

/// Writes `length` bytes at `offset` of the first RAM block with a key that ought to be good for them.
fn write_with(
    play: &mut Play<'_>,
    result: RegisterResult,
    (offset, length): (u64, u64),
    requirement: &str,
) -> Result<(), Stop> {
    let from = play.writable(length)?;
    let written =
        play.write(&from, length, result.host_address.wrapping_add(offset), result.rkey)?;
    let says = format!("{length} bytes at {offset:#x} cannot be written with their key");
    play.check(written.is_ok(), requirement, says);
    Ok(())
}

/// Writes `length` bytes at `offset` of the first RAM block with a key that ought not to be good for
/// them.
fn write_against(
    play: &mut Play<'_>,
    result: RegisterResult,
    (offset, length): (u64, u64),
    requirement: &str,
) -> Result<(), Stop> {
    let from = play.writable(length)?;
    let written =
        play.write(&from, length, result.host_address.wrapping_add(offset), result.rkey)?;
    let says =
        format!("{length} bytes at {offset:#x} can be written with a key that is not theirs");
    play.check_safety(written.is_err(), requirement, says);
    Ok(())
}
