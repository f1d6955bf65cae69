//! Registered memory of one side, and the keys that were given out for it.

use std::collections::BTreeMap;

use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rdma_migration_protocol::address::Rkey;
use rdma_migration_protocol::transport::{Access, RegionId};

use crate::memory::Run;

/// Two keys of a run are never closer than this: adapters number the variants of one key in its low
/// byte, and nothing may come to depend on neighbours.
const KEY_DISTANCE: u32 = 0x100;

/// Where a region is in its life.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Life {
    /// Being pinned.
    Registering,
    /// Usable.
    Registered,
    /// Being released: pinned still, its key void.
    Deregistering,
}

/// A piece of registered memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Region {
    pub(crate) run: Run,
    pub(crate) access: Access,
    pub(crate) rkey: Rkey,
    pub(crate) life: Life,
}

/// What a key leads to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Key {
    Unknown,
    TakenBack,
    Of(Region),
}

/// The regions of one side.
#[derive(Debug, Default)]
pub(crate) struct Regions {
    regions: BTreeMap<RegionId, Region>,
    /// Every key that was ever given out, with the region that it led to.
    keys: BTreeMap<Rkey, RegionId>,
    bytes: u64,
    bytes_peak: u64,
    registrations: u64,
}

impl Regions {
    pub(crate) fn get(&self, id: RegionId) -> Option<&Region> {
        self.regions.get(&id)
    }

    /// The regions that still exist, of which those at the end of a run are leaks.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (RegionId, &Region)> {
        self.regions.iter().map(|(id, region)| (*id, region))
    }

    /// Bytes that are pinned now.
    pub(crate) const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The most bytes that were ever pinned at once.
    pub(crate) const fn bytes_peak(&self) -> u64 {
        self.bytes_peak
    }

    /// Registrations that succeeded.
    pub(crate) const fn registrations(&self) -> u64 {
        self.registrations
    }

    /// Starts to pin a region. The caller has checked that the name is free.
    pub(crate) fn begin(
        &mut self,
        id: RegionId,
        run: Run,
        access: Access,
        random: &mut ChaCha8Rng,
    ) {
        let rkey = self.draw_key(random);
        self.keys.insert(rkey, id);
        self.regions.insert(id, Region { run, access, rkey, life: Life::Registering });
        self.bytes = self.bytes.saturating_add(run.length);
        self.bytes_peak = self.bytes_peak.max(self.bytes);
    }

    /// The region is pinned.
    pub(crate) fn registered(&mut self, id: RegionId) -> Option<Rkey> {
        let region = self.regions.get_mut(&id)?;
        region.life = Life::Registered;
        self.registrations += 1;
        Some(region.rkey)
    }

    pub(crate) fn set_life(&mut self, id: RegionId, life: Life) {
        if let Some(region) = self.regions.get_mut(&id) {
            region.life = life;
        }
    }

    /// The region is no more. Its key stays known as one that was taken back.
    pub(crate) fn remove(&mut self, id: RegionId) {
        if let Some(region) = self.regions.remove(&id) {
            self.bytes = self.bytes.saturating_sub(region.run.length);
        }
    }

    /// What a peer reaches with `rkey`.
    pub(crate) fn find(&self, rkey: Rkey) -> Key {
        let Some(id) = self.keys.get(&rkey) else { return Key::Unknown };
        match self.regions.get(id) {
            Some(region) if region.rkey == rkey && region.life == Life::Registered => {
                Key::Of(*region)
            }
            Some(_) | None => Key::TakenBack,
        }
    }

    fn draw_key(&self, random: &mut ChaCha8Rng) -> Rkey {
        loop {
            let key: u32 = random.random();
            let low = Rkey::new(key.saturating_sub(KEY_DISTANCE));
            let high = Rkey::new(key.saturating_add(KEY_DISTANCE));
            if key != 0 && self.keys.range(low..=high).next().is_none() {
                return Rkey::new(key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rdma_migration_protocol::address::{BlockIndex, BlockOffset};

    const RUN: Run = Run { block: BlockIndex::new(0), offset: BlockOffset::new(0), length: 4096 };

    fn filled(count: u32) -> Regions {
        let mut random = ChaCha8Rng::seed_from_u64(1);
        let mut regions = Regions::default();
        for id in 0..count {
            regions.begin(RegionId(id), RUN, Access::RemoteWrite, &mut random);
        }
        regions
    }

    #[test]
    fn keys_are_neither_zero_nor_neighbours() {
        let regions = filled(1000);
        let keys: Vec<_> = regions.keys.keys().map(|key| key.get()).collect();
        assert!(keys.first().is_some_and(|first| *first != 0));
        assert!(keys.iter().zip(keys.iter().skip(1)).all(|(one, next)| next - one > KEY_DISTANCE));
    }

    #[test]
    fn a_key_works_from_registration_to_deregistration() {
        let mut regions = filled(1);
        let id = RegionId(0);
        let rkey = regions.get(id).unwrap().rkey;
        assert_eq!(regions.find(rkey), Key::TakenBack);
        regions.registered(id);
        assert!(matches!(regions.find(rkey), Key::Of(_)));
        regions.set_life(id, Life::Deregistering);
        assert_eq!(regions.find(rkey), Key::TakenBack);
        regions.remove(id);
        assert_eq!(regions.find(rkey), Key::TakenBack);
        assert_eq!((regions.bytes(), regions.bytes_peak()), (0, 4096));
        let other = if rkey.get() == 1 { 2 } else { 1 };
        assert_eq!(regions.find(Rkey::new(other)), Key::Unknown);
    }
}
