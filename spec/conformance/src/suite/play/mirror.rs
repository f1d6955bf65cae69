//! What RAM ought to be when a play is over.

use super::{Access, Action, Event, Observation, Play, Region, Stop};
use crate::codec::RegisterResult;
use crate::suite::{Finding, Seen};

/// RAM of the suite's side that has, block by block, what a destination under test ought to have.
#[derive(Clone, Debug)]
pub struct Mirror(Vec<Region>);

impl Play<'_> {
    /// A mirror of RAM that is zero throughout.
    ///
    /// # Errors
    /// [`Stop`] if the suite's host has no memory.
    pub fn mirror(&mut self) -> Result<Mirror, Stop> {
        let lengths: Vec<_> = self.blocks.iter().map(|block| block.length).collect();
        let regions =
            lengths.iter().map(|length| self.make_region(*length, Access::LocalRead, false));
        Ok(Mirror(regions.collect::<Result<_, _>>()?))
    }

    /// Writes a run into the destination and into the mirror. What is written depends on the place.
    ///
    /// # Errors
    /// [`Stop`] if there is no completion, or it says that the write failed.
    pub fn write_mirrored(
        &mut self,
        mirror: &Mirror,
        (block, offset, length): (u32, u64, u64),
        granted: RegisterResult,
    ) -> Result<(), Stop> {
        let Some(region) = usize::try_from(block).ok().and_then(|block| mirror.0.get(block)) else {
            return Err(Stop::Unsupported { what: format!("RAM block {block}") });
        };
        let Region { region, block: of, .. } = *region;
        let seed = self.stage.seed ^ offset ^ u64::from(block) << 48;
        self.act(Action::Fill { block: of, offset, length, seed });
        let RegisterResult { rkey, host_address } = granted;
        let remote_address = host_address.wrapping_add(offset);
        self.act(Action::Write { region, block: of, offset, length, remote_address, rkey });
        self.written()?.map_err(|error| {
            let says = format!("{length} bytes at {offset:#x} of block {block} cannot be written");
            Stop::Found(Finding::wording("REG-14", format!("{says}: {error}")))
        })
    }

    /// Looks at the whole mirror, for [`different_ram`]. The last thing that a play does.
    ///
    /// # Errors
    /// [`Stop`] if there is no answer.
    pub fn look_at(&mut self, mirror: &Mirror) -> Result<(), Stop> {
        self.look_at_regions(&mirror.0)
    }

    /// The same for regions that are the RAM blocks in order.
    ///
    /// # Errors
    /// [`Stop`] if there is no answer.
    pub fn look_at_regions(&mut self, blocks: &[Region]) -> Result<(), Stop> {
        blocks.iter().try_for_each(|block| self.ram(block.block, 0, block.length).map(drop))
    }
}

/// Where the RAM of the peer differs from what the suite's side looked at last.
#[must_use]
pub fn different_ram(seen: &Seen<'_>, requirement: &str) -> Vec<Finding> {
    let Some(theirs) = &seen.aftermath.ram else { return Vec::new() };
    let looks = seen.transcript.0.iter().rev().filter_map(|entry| match &entry.event {
        Event::Saw(Observation::Ram { sha256, .. }) => Some(sha256),
        _ => None,
    });
    let mut ours: Vec<_> = looks.take(theirs.len()).collect();
    ours.reverse();
    let compared = (0..).zip(theirs.iter().zip(&ours));
    let mut found: Vec<_> = compared
        .filter(|(_, (theirs, ours))| theirs != *ours)
        .map(|(block, _)| format!("RAM block {block} is not the same on both sides"))
        .collect();
    if ours.len() != theirs.len() {
        found.push(format!("it has {} RAM blocks instead of {}", theirs.len(), ours.len()));
    }
    found.into_iter().map(|says| Finding::safety(requirement, says)).collect()
}
