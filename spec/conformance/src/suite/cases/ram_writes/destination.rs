//! A destination's RAM is written.

use crate::codec::{RamBlock, RegisterResult};
use crate::suite::play::{CHUNK, breach, different_ram};
use crate::suite::{Case, Play, Stop};

pub(in super::super) const CASES: &[Case] = &[
    Case::destination("D-WRITE-001", "runs of every length arrive", &["REG-14", "REG-17"], lengths)
        .text(
            "Writes of a byte, of odd lengths at odd places, of a page, and of a whole chunk.",
            "RAM has what was written, where it was written, and zeroes elsewhere.",
        )
        .completes()
        .after(|seen| different_ram(seen, "REG-14"))
        .quick(),
    Case::destination(
        "D-WRITE-002",
        "all RAM with a key for each chunk",
        &["REG-14", "REG-17"],
        all,
    )
    .text(
        "A request for each chunk of the guest, and a write of all of it.",
        "RAM has what was written.",
    )
    .completes()
    .after(|seen| different_ram(seen, "REG-14")),
    Case::destination(
        "D-WRITE-003",
        "all RAM with the keys of its blocks",
        &["BLK-16"],
        all_pinned,
    )
    .text(
        "Writes of all chunks in pin-all mode, with the keys and addresses of RAM_BLOCKS_RESULT.",
        "RAM has what was written.",
    )
    .pin_all()
    .completes()
    .after(|seen| different_ram(seen, "BLK-16"))
    .quick(),
    Case::destination("D-WRITE-004", "the same bytes twice", &["REG-14"], twice)
        .text(
            "Two writes of different bytes to the same place, without a wait between them.",
            "RAM has what was written last.",
        )
        .completes()
        .after(|seen| different_ram(seen, "REG-14")),
    Case::destination("D-WRITE-005", "the key of a block ends with it", &["BLK-16"], |play| {
        let block = pinned(play)?;
        write_past(play, block.remote_address + block.length - 1, block.rkey)
    })
    .text(
        "A write in pin-all mode that ends one byte past its RAM block.",
        "The write fails, and the migration ends: the guest stays the source's.",
    )
    .pin_all(),
    Case::destination("D-WRITE-006", "the key of a block begins with it", &["BLK-16"], |play| {
        let block = pinned(play)?;
        write_past(play, block.remote_address - 1, block.rkey)
    })
    .text(
        "A write in pin-all mode that begins one byte before its RAM block.",
        "The write fails, and the migration ends: the guest stays the source's.",
    )
    .pin_all(),
    Case::destination("D-WRITE-007", "a key that was never given out", &["REG-14"], |play| {
        play.reach_round(0)?;
        let granted = grant(play, 0, 0)?;
        write_past(play, granted.host_address, !granted.rkey)
    })
    .text(
        "A write with a key that the destination has not given out.",
        "The write fails, and the migration ends: the guest stays the source's.",
    ),
    Case::destination("D-WRITE-008", "writes over two rounds", &["REG-15", "REG-14"], two_rounds)
        .text(
            "A chunk written in one round, and written again in the next with the same key.",
            "The key holds until the end: RAM has what was written last.",
        )
        .completes()
        .after(|seen| different_ram(seen, "REG-14")),
];

fn grant(play: &mut Play<'_>, block: u32, offset: u64) -> Result<RegisterResult, Stop> {
    let request = play.request_for(block, offset, 0);
    let results = play.register(&[request])?;
    results.first().copied().ok_or_else(|| breach("REG-16", "a result without a key"))
}

fn lengths(play: &mut Play<'_>) -> Result<(), Stop> {
    play.reach_round(0)?;
    play.first_block(2)?;
    let mirror = play.mirror()?;
    let first = grant(play, 0, 0)?;
    for (offset, length) in [(0, 1), (3, 5), (4095, 2), (8192, 4096), (CHUNK - 1, 1)] {
        play.write_mirrored(&mirror, (0, offset, length), first)?;
    }
    let second = grant(play, 0, CHUNK)?;
    let length = CHUNK.min(play.first_block(2)?.length - CHUNK);
    play.write_mirrored(&mirror, (0, CHUNK, length), second)?;
    play.finish_migration()?;
    play.look_at(&mirror)
}

/// Block and place of every chunk, and its length.
fn chunks(play: &Play<'_>) -> Vec<(u32, u64, u64)> {
    let blocks = (0..).zip(play.blocks().iter().map(|block| block.length));
    blocks
        .flat_map(|(block, length)| {
            (0..length.div_ceil(CHUNK)).map(move |chunk| {
                let offset = chunk * CHUNK;
                (block, offset, CHUNK.min(length - offset))
            })
        })
        .collect()
}

fn all(play: &mut Play<'_>) -> Result<(), Stop> {
    play.reach_round(0)?;
    let mirror = play.mirror()?;
    for (block, offset, length) in chunks(play) {
        let granted = grant(play, block, offset)?;
        play.write_mirrored(&mirror, (block, offset, length), granted)?;
    }
    play.finish_migration()?;
    play.look_at(&mirror)
}

fn all_pinned(play: &mut Play<'_>) -> Result<(), Stop> {
    play.reach_pinned_round()?;
    let mirror = play.mirror()?;
    for (index, offset, length) in chunks(play) {
        let Some(block) = play.destination_block(index) else { continue };
        let RamBlock { remote_address: host_address, rkey, .. } = block;
        let granted = RegisterResult { rkey, host_address };
        play.write_mirrored(&mirror, (index, offset, length), granted)?;
    }
    play.finish_migration()?;
    play.look_at(&mirror)
}

fn twice(play: &mut Play<'_>) -> Result<(), Stop> {
    play.reach_round(0)?;
    let mirror = play.mirror()?;
    let granted = grant(play, 0, 0)?;
    let first = play.writable(65536)?;
    play.post_write(&first, 65536, granted.host_address, granted.rkey);
    play.write_mirrored(&mirror, (0, 0, 65536), granted)?;
    let _ = play.written()?;
    play.finish_migration()?;
    play.look_at(&mirror)
}

fn two_rounds(play: &mut Play<'_>) -> Result<(), Stop> {
    play.reach_round(0)?;
    let mirror = play.mirror()?;
    let granted = grant(play, 0, 0)?;
    let from = play.writable(65536)?;
    let _ = play.write(&from, 65536, granted.host_address, granted.rkey)?;
    play.finish_round()?;
    let between = play.guest().between_rounds.clone();
    play.stream(&between)?;
    play.write_mirrored(&mirror, (0, 0, 65536), granted)?;
    play.finish_migration()?;
    play.look_at(&mirror)
}

fn pinned(play: &mut Play<'_>) -> Result<RamBlock, Stop> {
    play.reach_pinned_round()?;
    play.first_block(1)
}

/// Two bytes that ought not to be writable.
fn write_past(play: &mut Play<'_>, address: u64, rkey: u32) -> Result<(), Stop> {
    let from = play.writable(2)?;
    let written = play.write(&from, 2, address, rkey)?;
    play.check_safety(written.is_err(), "BLK-16", "it can be written outside its RAM");
    Ok(())
}
