//! A destination that gives out a key for each request and takes it back when it is asked to.

use std::collections::BTreeMap;

use super::{Access, Asked, CHUNK, Kind, Message, Play, Region, Stop, breach};
use crate::codec::{Command, RegisterRequest, RegisterResult};

/// The keys that are in force: regions by RAM block and number of their first chunk.
#[derive(Clone, Debug, Default)]
pub struct ChunkKeys(BTreeMap<(u32, u64), Region>);

impl ChunkKeys {
    /// The region that starts at a chunk.
    #[must_use]
    pub fn region(&self, block: u32, chunk: u64) -> Option<&Region> {
        self.0.get(&(block, chunk))
    }

    fn holding(&self, block: u32, chunk: u64) -> Option<&Region> {
        let (&(_, first), region) = self.0.range((block, 0)..=(block, chunk)).next_back()?;
        (chunk < first + region.length.div_ceil(CHUNK)).then_some(region)
    }
}

impl Play<'_> {
    /// Does what a command asks for, with regions of exactly the chunks that are asked for, and
    /// replies. Does not send the READY after it.
    ///
    /// # Errors
    /// [`Stop`] if it cannot be done.
    pub fn serve_by_chunk(
        &mut self,
        asked: &mut Asked,
        keys: &mut ChunkKeys,
        message: &Message,
    ) -> Result<(), Stop> {
        match message.kind() {
            Kind::RegisterRequest => {
                // The check that what is asked for exists.
                self.results_for(asked, message)?;
                let mut results = Vec::new();
                for command in message.commands() {
                    let Command::RegisterRequest(request) = command else { continue };
                    results.push(Command::RegisterResult(self.grant(asked, keys, request)?));
                }
                self.send_commands(Kind::RegisterResult, &results);
                Ok(())
            }
            Kind::UnregisterRequest => {
                for command in message.commands() {
                    let Command::UnregisterRequest(request) = command else { continue };
                    let Some(region) = keys.0.remove(&(request.block, request.chunk)) else {
                        let (block, chunk) = (request.block, request.chunk);
                        let says = format!("it gives back chunk {chunk} of block {block}");
                        return Err(breach("REG-5", format!("{says}, which it was not granted")));
                    };
                    self.give_back(&region)?;
                }
                self.serve(asked, message)
            }
            _ => self.serve(asked, message),
        }
    }

    fn grant(
        &mut self,
        asked: &Asked,
        keys: &mut ChunkKeys,
        request: RegisterRequest,
    ) -> Result<RegisterResult, Stop> {
        let index = usize::try_from(request.block).unwrap_or(usize::MAX);
        let Some((block, whole)) = self.blocks.get(index).zip(asked.regions.get(index)) else {
            return Err(breach("WRITE-1", "it asks for a RAM block that does not exist"));
        };
        let chunk = request.address.saturating_sub(block.offset) / CHUNK;
        let offset = chunk * CHUNK;
        let wanted = request.chunks.saturating_add(1).saturating_mul(CHUNK);
        let length = wanted.min(block.length.saturating_sub(offset));
        let region = match keys.holding(request.block, chunk) {
            Some(region) => *region,
            None => self.make_region_inside(whole, offset, length, Access::RemoteWrite)?,
        };
        keys.0.entry((request.block, chunk)).or_insert(region);
        Ok(RegisterResult { rkey: region.rkey, host_address: whole.address })
    }

    /// Serves the source to its end, with regions of exactly the chunks that it asks for.
    ///
    /// # Errors
    /// [`Stop`] if it does otherwise.
    pub fn serve_by_chunk_to_the_end(
        &mut self,
        asked: &mut Asked,
        keys: &mut ChunkKeys,
    ) -> Result<(), Stop> {
        while let Some(message) = self.take_command_unless_ended(asked)? {
            self.serve_by_chunk(asked, keys, &message)?;
        }
        Ok(())
    }
}
