//! Playing the destination, with a source under test.

use super::{
    Access, Action, Bytes, CHUNK, Column, Kind, Message, Observation, Play, Region, Stop, breach,
};
use crate::codec::{Capabilities, Command, RamBlock, RegisterResult, find_ram_block_list};

/// What a source has asked for so far, and what it was given.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    /// The stream.
    pub stream: Vec<u8>,
    /// The memory of each RAM block.
    pub regions: Vec<Region>,
    /// Rounds that have ended.
    pub rounds: usize,
    /// Every message, in order.
    pub messages: Vec<Message>,
    /// Whether all RAM is pinned.
    pub pin_all: bool,
}

impl Play<'_> {
    /// Waits for the source's request to connect.
    ///
    /// # Errors
    /// [`Stop`] if it does not come, or without capabilities.
    pub fn take_request(&mut self) -> Result<Capabilities, Stop> {
        let private_data =
            self.wait_for_connection("the source's request to connect", |seen| match seen {
                Observation::Requested { private_data } => Some(private_data.0.clone()),
                _ => None,
            })?;
        Capabilities::decode(&private_data)
            .map_err(|_| breach("CON-1", "its request has no capabilities"))
    }

    /// Accepts the source with these private data, eight bytes or fewer, and waits for the connection.
    ///
    /// # Errors
    /// [`Stop`] if it does not come.
    pub fn accept(&mut self, private_data: &[u8]) -> Result<(), Stop> {
        self.act(Action::Accept { private_data: Bytes(private_data.to_vec()) });
        self.wait_for_connection("the connection", |seen| match seen {
            Observation::Established { .. } => Some(Ok(())),
            Observation::ConnectionFailed { error } => {
                Some(Err(Stop::Inconclusive { what: format!("no connection: {error}") }))
            }
            _ => None,
        })?
    }

    /// Accepts the source with what it offers, and sends no READY yet.
    ///
    /// # Errors
    /// [`Stop`] if it does not connect.
    pub fn reach_accepted(&mut self) -> Result<Asked, Stop> {
        let offer = self.take_request()?;
        let flags = offer.flags & Capabilities::PIN_ALL;
        self.accept(&Capabilities { version: 1, flags }.encode())?;
        Ok(Asked { pin_all: flags != 0, ..Asked::default() })
    }

    /// Sends READY.
    pub fn ready(&mut self) {
        self.send(Kind::Ready, &[]);
    }

    /// Sends READY, and takes the command that it allows.
    ///
    /// # Errors
    /// [`Stop`] if none comes.
    pub fn take_command(&mut self, asked: &mut Asked) -> Result<Message, Stop> {
        self.ready();
        let message = self.receive("the source's next command")?;
        asked.messages.push(message.clone());
        Ok(message)
    }

    /// Serves the source as a destination does, until it sends a command that `wanted` takes, which is
    /// returned and not served: no READY has been sent after it.
    ///
    /// # Errors
    /// [`Stop`] if the source does otherwise.
    pub fn serve_until(
        &mut self,
        asked: &mut Asked,
        mut wanted: impl FnMut(&Message) -> bool,
    ) -> Result<Message, Stop> {
        loop {
            let message = self.take_command(asked)?;
            if wanted(&message) {
                return Ok(message);
            }
            self.serve(asked, &message)?;
        }
    }

    /// Accepts the source and serves it until it sends a command of this kind, which is not served.
    ///
    /// # Errors
    /// [`Stop`] if the source does otherwise.
    pub fn reach_command(&mut self, kind: Kind) -> Result<(Asked, Message), Stop> {
        let mut asked = self.reach_accepted()?;
        let message = self.serve_until(&mut asked, |message| message.kind() == kind)?;
        Ok((asked, message))
    }

    /// Does what a command asks for, and replies. Does not send the READY after it.
    ///
    /// # Errors
    /// [`Stop`] if it cannot be done.
    pub fn serve(&mut self, asked: &mut Asked, message: &Message) -> Result<(), Stop> {
        match message.kind() {
            Kind::QemuFile => asked.stream.extend_from_slice(&message.payload),
            Kind::RamBlocksRequest => {
                self.place_blocks(asked)?;
                self.answer_blocks();
            }
            Kind::RegisterRequest => {
                let results = self.results_for(asked, message)?;
                self.send_commands(Kind::RegisterResult, &results);
            }
            Kind::UnregisterRequest => {
                self.send_bytes(Message::encode(
                    Kind::UnregisterFinished,
                    message.header.repeat,
                    &[],
                ));
            }
            Kind::RegisterFinished => asked.rounds += 1,
            Kind::Compress => {}
            kind => return Err(breach("CTL-32", format!("{kind} is no command of a source"))),
        }
        Ok(())
    }

    /// Makes the RAM blocks that the stream names. With all RAM pinned their keys are given out.
    ///
    /// # Errors
    /// [`Stop`] if the stream has no list of them.
    pub fn place_blocks(&mut self, asked: &mut Asked) -> Result<(), Stop> {
        self.place_blocks_in(asked, |play, length| {
            play.make_region(length, Access::RemoteWrite, false)
        })
    }

    /// The same in memory that `make` has ready for a block of a length.
    ///
    /// # Errors
    /// [`Stop`] if the stream has no list of them.
    pub fn place_blocks_in(
        &mut self,
        asked: &mut Asked,
        mut make: impl FnMut(&mut Self, u64) -> Result<Region, Stop>,
    ) -> Result<(), Stop> {
        let Some(list) = find_ram_block_list(&asked.stream) else {
            return Err(breach("STR-2", "the stream does not end with the list and a hook word"));
        };
        let mut offset = 0;
        for named in &list {
            let region = make(self, named.length)?;
            asked.regions.push(region);
            self.blocks.push(RamBlock {
                remote_address: region.address,
                offset,
                length: named.length,
                rkey: if asked.pin_all { region.rkey } else { 0 },
            });
            offset += named.length.next_multiple_of(CHUNK);
        }
        Ok(())
    }

    /// Says where the RAM blocks lie.
    pub fn answer_blocks(&mut self) {
        let blocks: Vec<_> = self.blocks.iter().copied().map(Command::RamBlock).collect();
        self.send_commands(Kind::RamBlocksResult, &blocks);
    }

    /// Says that the RAM blocks are these, whatever memory was made for them. What is asked for from
    /// here on is taken to be in them.
    pub fn answer_blocks_as(&mut self, blocks: Vec<RamBlock>) {
        self.blocks = blocks;
        self.answer_blocks();
    }

    /// The results of a REGISTER_REQUEST, after a check that it asks for what exists.
    ///
    /// # Errors
    /// [`Stop`] if it does not.
    pub fn results_for(&mut self, asked: &Asked, message: &Message) -> Result<Vec<Command>, Stop> {
        let mut results = Vec::new();
        for command in message.commands() {
            let Command::RegisterRequest(request) = command else { continue };
            let index = usize::try_from(request.block).unwrap_or(usize::MAX);
            let Some((block, region)) = self.blocks.get(index).zip(asked.regions.get(index)) else {
                let says = format!("it asks for RAM block {}, which does not exist", request.block);
                return Err(breach("WRITE-1", says));
            };
            let inside = request.address.checked_sub(block.offset);
            let inside = inside.filter(|offset| *offset < block.length);
            let room = inside.map(|offset| (block.length - 1) / CHUNK - offset / CHUNK);
            if room.is_none_or(|room| request.chunks > room) {
                let says = format!("it asks for what is not in RAM block {}", request.block);
                self.find(Column::Safety, "WRITE-1", says);
            }
            let result = RegisterResult { rkey: region.rkey, host_address: region.address };
            results.push(Command::RegisterResult(result));
        }
        Ok(results)
    }

    /// Serves the source to its end: until it disconnects after the end of the stream.
    ///
    /// # Errors
    /// [`Stop`] if it does otherwise.
    pub fn serve_to_the_end(&mut self, asked: &mut Asked) -> Result<(), Stop> {
        while let Some(message) = self.take_command_unless_ended(asked)? {
            self.serve(asked, &message)?;
        }
        Ok(())
    }

    /// Sends READY, and takes the command that it allows, or `None` if the source disconnects.
    ///
    /// # Errors
    /// [`Stop`] if it does neither.
    pub fn take_command_unless_ended(
        &mut self,
        asked: &mut Asked,
    ) -> Result<Option<Message>, Stop> {
        self.ready();
        let seen = self.wait_for("a command, or the end", |seen| match seen {
            Observation::Received { message } => Some(Some(message.0.clone())),
            Observation::Disconnected => Some(None),
            _ => None,
        })?;
        let message = seen.map(|bytes| Message::decode(&bytes)).transpose()?;
        asked.messages.extend(message.clone());
        Ok(message)
    }
}
