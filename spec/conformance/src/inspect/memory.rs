//! The destination's RAM, as far as the messages describe it.

use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroU64;

use super::chunk_keys::{ChunkKeys, Chunks};
use super::deviation::{Act, Deviation};
use super::text_from_peer::printable;
use crate::capture::infiniband::RemoteRange;
use crate::codec::{
    Compress, Kind, NamedBlock, RamBlock, RegisterRequest, RegisterResult, UnregisterRequest,
};
use crate::size::Size;

/// A run of bytes in a RAM block.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Place {
    /// Index of the block.
    pub(super) block: usize,
    /// How to call the block.
    pub(super) name: String,
    /// Offset of the first byte in the block.
    pub(super) offset: u64,
    /// Bytes; none where the message names chunks, not bytes.
    pub(super) length: Option<u64>,
    /// Number of the first chunk.
    pub(super) first_chunk: u64,
    /// Number of the last chunk.
    pub(super) last_chunk: u64,
}

impl Place {
    fn chunks(&self) -> Chunks {
        Chunks { block: self.block, first: self.first_chunk, last: self.last_chunk }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, offset, first_chunk, last_chunk, .. } = self;
        if first_chunk == last_chunk {
            write!(f, "{name} chunk {first_chunk}")?;
        } else {
            write!(f, "{name} chunks {first_chunk} to {last_chunk}")?;
        }
        match self.length {
            Some(length) => write!(f, ", {} at {offset:#x}", Size(length)),
            None => Ok(()),
        }
    }
}

/// A RAM block and what has been done to it.
#[derive(Clone, Debug)]
pub(super) struct Block {
    /// Its name in the stream.
    pub(super) name: Option<String>,
    /// What the destination says about it.
    pub(super) granted: RamBlock,
    /// RDMA WRITEs to it.
    pub(super) writes: u64,
    /// Bytes that they carried.
    pub(super) written_bytes: u64,
    /// Bytes that COMPRESS has filled.
    pub(super) compressed_bytes: u64,
}

/// Every RAM block of the destination, and the keys to them.
#[derive(Clone, Debug)]
pub(super) struct Memory {
    chunk_bytes: NonZeroU64,
    named: Vec<NamedBlock>,
    blocks: Vec<Block>,
    /// By the address of their first byte at the destination.
    by_address: BTreeMap<u64, usize>,
    keys: ChunkKeys,
    /// What has been asked for and not been answered.
    requested: Vec<Option<Place>>,
    /// Whether some answers are missing from the capture.
    incomplete: bool,
}

impl Memory {
    /// RAM of which nothing is known yet.
    pub(super) fn new(chunk_bytes: NonZeroU64, from_the_beginning: bool) -> Self {
        Self {
            chunk_bytes,
            named: Vec::new(),
            blocks: Vec::new(),
            by_address: BTreeMap::new(),
            keys: ChunkKeys::default(),
            requested: Vec::new(),
            incomplete: !from_the_beginning,
        }
    }

    /// The blocks that the destination has described.
    pub(super) fn blocks(&self) -> &[Block] {
        &self.blocks
    }

    /// How many chunks of a block have a key.
    pub(super) fn registered_chunks(&self, block: usize) -> u64 {
        self.keys.count(block)
    }

    /// The name that the stream gives to the block with this index.
    pub(super) fn name(&self, block: usize) -> Option<&str> {
        self.named.get(block).map(|named| named.name.as_str())
    }

    /// Answers may be missing from the capture: keys are no longer judged.
    pub(super) fn lose_track(&mut self) {
        self.incomplete = true;
        self.requested.clear();
    }

    /// The stream has named the source's RAM blocks.
    pub(super) fn take_names(&mut self, named: &[NamedBlock]) {
        self.named = named.to_vec();
    }

    /// The destination has described its RAM blocks.
    pub(super) fn take_blocks(&mut self, granted: &[RamBlock], pin_all: bool) -> Vec<Deviation> {
        let mut deviations = Vec::new();
        if !self.named.is_empty() && self.named.len() != granted.len() {
            let named = self.named.len();
            deviations.push(Deviation::BlockCount { named, granted: granted.len() });
        }
        // Every key is granted after this, so from here on nothing is missing.
        self.incomplete = false;
        self.blocks = Vec::with_capacity(granted.len());
        for (index, block) in granted.iter().enumerate() {
            let named = self.named.get(index);
            self.blocks.push(Block {
                name: named.map(|named| named.name.clone()),
                granted: *block,
                writes: 0,
                written_bytes: 0,
                compressed_bytes: 0,
            });
            if let Some(named) = named.filter(|named| named.length != block.length) {
                deviations.push(Deviation::BlockLength {
                    block: self.call(index),
                    named: named.length,
                    granted: block.length,
                });
            }
            if pin_all && block.rkey == 0 {
                deviations.push(Deviation::ZeroKey { place: self.call(index) });
            }
            if block.rkey != 0 {
                self.keys.note(block.rkey);
            }
        }
        let addresses = granted.iter().enumerate();
        self.by_address = addresses.map(|(index, block)| (block.remote_address, index)).collect();
        deviations
    }

    /// A run of one value: where it is, and what is wrong with it.
    pub(super) fn compress(&mut self, run: &Compress) -> (Option<Place>, Option<Deviation>) {
        if let Some(deviation) = self.missing_blocks(Kind::Compress) {
            return (None, Some(deviation));
        }
        let place = self.place(Kind::Compress, run.block, run.offset, run.length);
        if let Ok(Some(Place { block, .. })) = &place
            && let Some(block) = self.blocks.get_mut(*block)
        {
            block.compressed_bytes = block.compressed_bytes.saturating_add(run.length);
        }
        match place {
            Ok(place) if run.length == 0 => (place, Some(Deviation::EmptyRun)),
            Ok(place) => (place, None),
            Err(deviation) => (None, Some(deviation)),
        }
    }

    /// The source asks for keys: forgets what it asked before.
    pub(super) fn begin_requests(&mut self) {
        self.requested.clear();
    }

    /// One request for a key: where it is, and what is wrong with it.
    pub(super) fn request(
        &mut self,
        request: &RegisterRequest,
    ) -> (Option<Place>, Option<Deviation>) {
        let kind = Kind::RegisterRequest;
        if let Some(deviation) = self.missing_blocks(kind) {
            return (None, Some(deviation));
        }
        let place = self.place(kind, request.block, request.address, 1).and_then(|place| {
            let Some(place) = place else { return Ok(None) };
            let last_chunk = place.first_chunk.saturating_add(request.chunks);
            if last_chunk > self.last_chunk(place.block) {
                let address = request.address;
                return Err(Deviation::OutsideBlock { kind, block: place.name, address });
            }
            Ok(Some(Place { last_chunk, length: None, ..place }))
        });
        match place {
            Ok(place) => {
                self.requested.push(place.clone());
                (place, None)
            }
            Err(deviation) => {
                self.requested.push(None);
                (None, Some(deviation))
            }
        }
    }

    /// One answer to the request with this index in its message.
    pub(super) fn result(
        &mut self,
        index: usize,
        result: &RegisterResult,
    ) -> (Option<Place>, Option<Deviation>) {
        let Some(place) = self.requested.get(index).cloned().flatten() else { return (None, None) };
        if result.rkey == 0 {
            let deviation = Deviation::ZeroKey { place: place.to_string() };
            return (Some(place), Some(deviation));
        }
        self.keys.grant(place.chunks(), result.rkey);
        if let Some(block) = self.blocks.get_mut(place.block) {
            // From now on the source takes this address for the block's first byte.
            let before = std::mem::replace(&mut block.granted.remote_address, result.host_address);
            if before != result.host_address {
                self.by_address.remove(&before);
                self.by_address.insert(result.host_address, place.block);
            }
        }
        (Some(place), None)
    }

    /// The source gives a chunk back.
    pub(super) fn unregister(
        &mut self,
        request: &UnregisterRequest,
    ) -> (Option<Place>, Option<Deviation>) {
        let kind = Kind::UnregisterRequest;
        if let Some(deviation) = self.missing_blocks(kind) {
            return (None, Some(deviation));
        }
        let UnregisterRequest { chunk, block } = *request;
        let Some(index) = self.index(block) else {
            return (None, self.no_such_block(kind, block));
        };
        let name = self.call(index);
        let offset = chunk.saturating_mul(self.chunk_bytes.get());
        if chunk > self.last_chunk(index) {
            let deviation = Deviation::OutsideBlock { kind, block: name, address: offset };
            return (None, Some(deviation));
        }
        let place = Place {
            block: index,
            name,
            offset,
            length: None,
            first_chunk: chunk,
            last_chunk: chunk,
        };
        self.keys.revoke(place.chunks());
        (Some(place), None)
    }

    /// An RDMA WRITE: where it goes, and what is wrong with it.
    pub(super) fn write(&mut self, range: &RemoteRange) -> (Option<Place>, Option<Deviation>) {
        if self.blocks.is_empty() {
            let act = Act::Write;
            return (None, (!self.incomplete).then_some(Deviation::BeforeBlocks { act }));
        }
        let RemoteRange { address, rkey, length } = *range;
        let Some(place) = self.place_of_address(address, u64::from(length)) else {
            return (None, Some(Deviation::WriteOutsideBlocks { address, length }));
        };
        let mut block_key = 0;
        if let Some(block) = self.blocks.get_mut(place.block) {
            block.writes += 1;
            block.written_bytes = block.written_bytes.saturating_add(u64::from(length));
            block_key = block.granted.rkey;
        }
        let allowed = self.incomplete
            || length == 0
            || (rkey == block_key && rkey != 0)
            || self.keys.cover(place.chunks(), rkey);
        let deviation = match (allowed, self.keys.was_granted(rkey)) {
            (true, _) => None,
            (false, true) => Some(Deviation::OutsideGrant { rkey, place: place.to_string() }),
            (false, false) => Some(Deviation::UnknownKey { rkey }),
        };
        (Some(place), deviation)
    }

    fn missing_blocks(&self, kind: Kind) -> Option<Deviation> {
        let missing = self.blocks.is_empty() && !self.incomplete;
        missing.then_some(Deviation::BeforeBlocks { act: Act::Message(kind) })
    }

    /// The block with this index in a message.
    fn index(&self, block: u32) -> Option<usize> {
        usize::try_from(block).ok().filter(|index| *index < self.blocks.len())
    }

    fn no_such_block(&self, kind: Kind, block: u32) -> Option<Deviation> {
        let count = self.blocks.len();
        (count > 0).then_some(Deviation::NoSuchBlock { kind, block, count })
    }

    /// Finds a run in the destination's RAM address space; nothing when no blocks are known.
    fn place(
        &self,
        kind: Kind,
        block: u32,
        address: u64,
        length: u64,
    ) -> Result<Option<Place>, Deviation> {
        let Some(index) = self.index(block) else {
            return self.no_such_block(kind, block).map_or(Ok(None), Err);
        };
        let granted = self.blocks.get(index).map(|block| block.granted);
        let place = granted.and_then(|granted| {
            let offset = address.checked_sub(granted.offset)?;
            self.place_in_block(index, offset, length)
        });
        let name = self.call(index);
        place.map(Some).ok_or(Deviation::OutsideBlock { kind, block: name, address })
    }

    fn place_of_address(&self, address: u64, length: u64) -> Option<Place> {
        let (start, index) = self.by_address.range(..=address).next_back()?;
        self.place_in_block(*index, address - start, length)
    }

    /// A run in a block; none when it leaves the block.
    fn place_in_block(&self, block: usize, offset: u64, length: u64) -> Option<Place> {
        let block_bytes = self.blocks.get(block)?.granted.length;
        let end = offset.checked_add(length).filter(|end| *end <= block_bytes)?;
        let last_byte = end.saturating_sub(1).max(offset);
        Some(Place {
            block,
            name: self.call(block),
            offset,
            length: Some(length),
            first_chunk: offset / self.chunk_bytes,
            last_chunk: last_byte / self.chunk_bytes,
        })
    }

    fn last_chunk(&self, block: usize) -> u64 {
        let bytes = self.blocks.get(block).map_or(0, |block| block.granted.length);
        bytes.saturating_sub(1) / self.chunk_bytes
    }

    /// The block's name, made fit to be shown, or its index.
    fn call(&self, block: usize) -> String {
        match self.blocks.get(block).and_then(|block| block.name.as_deref()) {
            Some(name) => printable(name),
            None => format!("block {block}"),
        }
    }
}

#[cfg(test)]
mod tests;
