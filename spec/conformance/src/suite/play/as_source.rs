//! Playing the source, with a destination under test.

use super::{
    Access, Action, Bytes, CHUNK, Kind, Observation, Operation, Play, Region, Stop, breach,
};
use crate::codec::{Capabilities, Command, Compress, RegisterRequest, RegisterResult};

/// Bytes of the stream in one message.
const PIECE: usize = 32768;

/// What a destination answers to a request to connect.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Answer {
    /// It accepts, with these private data.
    Accepted(Vec<u8>),
    /// It refuses.
    Rejected,
    /// It is gone.
    Gone {
        /// How that was noticed.
        error: String,
    },
}

impl Play<'_> {
    /// Asks to connect with these private data, eight bytes or fewer.
    ///
    /// # Errors
    /// [`Stop`] if there is no answer.
    pub fn ask(&mut self, private_data: &[u8]) -> Result<Answer, Stop> {
        self.act(Action::Connect { private_data: Bytes(private_data.to_vec()) });
        self.wait_for_connection("an answer to the request to connect", |seen| match seen {
            Observation::Established { private_data } => {
                Some(Answer::Accepted(private_data.0.clone()))
            }
            Observation::Rejected => Some(Answer::Rejected),
            Observation::ConnectionFailed { error } => Some(Answer::Gone { error: error.clone() }),
            _ => None,
        })
    }

    /// Asks to connect with these private data. The answer's private data, or `None` if refused.
    ///
    /// # Errors
    /// [`Stop`] if there is no answer, or nobody listens.
    pub fn request(&mut self, private_data: [u8; 8]) -> Result<Option<Vec<u8>>, Stop> {
        match self.ask(&private_data)? {
            Answer::Accepted(private_data) => Ok(Some(private_data)),
            Answer::Rejected => Ok(None),
            Answer::Gone { error } => {
                let what = format!("nobody answers the request to connect: {error}");
                Err(Stop::Inconclusive { what })
            }
        }
    }

    /// Connects, and says what was agreed.
    ///
    /// # Errors
    /// [`Stop`] if the destination refuses.
    pub fn connect(&mut self, flags: u32) -> Result<Capabilities, Stop> {
        let offer = Capabilities { version: 1, flags };
        let Some(answer) = self.request(offer.encode())? else {
            return Err(breach("CON-12", "it refuses version 1"));
        };
        Capabilities::decode(&answer).map_err(|_| breach("CON-1", "its answer has no capabilities"))
    }

    /// Takes the READY that the next command needs.
    ///
    /// # Errors
    /// [`Stop`] if something else comes.
    pub fn take_ready(&mut self) -> Result<(), Stop> {
        self.expect(Kind::Ready, "CTL-22").map(drop)
    }

    /// Connects, and takes the first READY.
    ///
    /// # Errors
    /// [`Stop`] if the destination does otherwise.
    pub fn reach_connected(&mut self, flags: u32) -> Result<Capabilities, Stop> {
        let agreed = self.connect(flags)?;
        self.take_ready()?;
        Ok(agreed)
    }

    /// Sends bytes of the stream in messages of at most 32 KiB, and takes the READY after each.
    ///
    /// # Errors
    /// [`Stop`] if the destination does otherwise.
    pub fn stream(&mut self, bytes: &[u8]) -> Result<(), Stop> {
        for piece in bytes.chunks(PIECE) {
            self.send(Kind::QemuFile, piece);
            self.take_ready()?;
        }
        Ok(())
    }

    /// Sends bytes of the stream to a destination that may not like them. Whether it has taken all:
    /// if not, it has ended the migration.
    ///
    /// # Errors
    /// [`Stop`] if it does neither.
    pub fn stream_is_taken(&mut self, bytes: &[u8]) -> Result<bool, Stop> {
        for piece in bytes.chunks(PIECE) {
            self.send(Kind::QemuFile, piece);
            if !self.take_ready_unless_ended()? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Takes the READY after a command, unless the destination ends the migration. Whether it came.
    ///
    /// # Errors
    /// [`Stop`] if the destination does neither.
    pub fn take_ready_unless_ended(&mut self) -> Result<bool, Stop> {
        match self.take_message_unless_ended()?.map(|message| message.kind()) {
            Some(Kind::Ready) => Ok(true),
            None => Ok(false),
            Some(kind) => Err(breach("CTL-22", format!("{kind} instead of {}", Kind::Ready))),
        }
    }

    /// Connects and sends the stream up to the hook word after the list of RAM blocks.
    ///
    /// # Errors
    /// [`Stop`] if the destination does otherwise.
    pub fn reach_set_up(&mut self, flags: u32) -> Result<Capabilities, Stop> {
        let agreed = self.reach_connected(flags)?;
        let set_up = self.guest().set_up.clone();
        self.stream(&set_up)?;
        Ok(agreed)
    }

    /// Asks for the RAM blocks, and takes them and the READY after them.
    ///
    /// # Errors
    /// [`Stop`] if the destination does otherwise.
    pub fn exchange_blocks(&mut self) -> Result<(), Stop> {
        self.send(Kind::RamBlocksRequest, &[]);
        let reply = self.expect(Kind::RamBlocksResult, "BLK-11")?;
        self.blocks = reply.commands().iter().filter_map(ram_block).collect();
        let (got, wanted) = (self.blocks.len(), self.guest().blocks.len());
        if got != wanted || reply.payload.len() != wanted * crate::codec::RamBlock::BYTES {
            return Err(breach(
                "BLK-11",
                format!("{got} RAM blocks for the {wanted} of the stream"),
            ));
        }
        self.take_ready()
    }

    /// Everything up to the exchange of RAM blocks.
    ///
    /// # Errors
    /// [`Stop`] if the destination does otherwise.
    pub fn reach_exchanged(&mut self, flags: u32) -> Result<Capabilities, Stop> {
        let agreed = self.reach_set_up(flags)?;
        self.exchange_blocks()?;
        Ok(agreed)
    }

    /// Everything up to the hook word of the first round with RAM.
    ///
    /// # Errors
    /// [`Stop`] if the destination does otherwise.
    pub fn reach_round(&mut self, flags: u32) -> Result<Capabilities, Stop> {
        let agreed = self.reach_exchanged(flags)?;
        self.finish_round()?;
        let between = self.guest().between_rounds.clone();
        self.stream(&between)?;
        Ok(agreed)
    }

    /// The same with all RAM pinned.
    ///
    /// # Errors
    /// [`Stop`] if the destination does otherwise, or pins nothing.
    pub fn reach_pinned_round(&mut self) -> Result<(), Stop> {
        let agreed = self.reach_round(Capabilities::PIN_ALL)?;
        if agreed.flags & Capabilities::PIN_ALL == 0 {
            return Err(Stop::Unsupported { what: "pin-all".into() });
        }
        Ok(())
    }

    /// Ends a round, and takes the READY after it.
    ///
    /// # Errors
    /// [`Stop`] if the destination does otherwise.
    pub fn finish_round(&mut self) -> Result<(), Stop> {
        self.send(Kind::RegisterFinished, &[]);
        self.take_ready()
    }

    /// The address of a byte of a block in the destination's RAM address space.
    #[must_use]
    pub fn ram_address(&self, block: u32, offset: u64) -> u64 {
        let start = self.destination_block(block).map_or(0, |block| block.offset);
        start.wrapping_add(offset)
    }

    /// A block as the destination has it.
    #[must_use]
    pub fn destination_block(&self, block: u32) -> Option<crate::codec::RamBlock> {
        self.blocks.get(usize::try_from(block).ok()?).copied()
    }

    /// The first RAM block, if it is whole chunks long enough: those from `0` to `chunks - 1` may be
    /// asked for.
    ///
    /// # Errors
    /// [`Stop::Unsupported`] if the guest has no such block.
    pub fn first_block(&self, chunks: u64) -> Result<crate::codec::RamBlock, Stop> {
        let what = || format!("a guest whose first RAM block has {chunks} chunks");
        self.destination_block(0)
            .filter(|block| block.length.div_ceil(CHUNK) >= chunks)
            .ok_or_else(|| Stop::Unsupported { what: what() })
    }

    /// A request to register `further` chunks after the one at `offset` of a block.
    #[must_use]
    pub fn request_for(&self, block: u32, offset: u64, further: u64) -> RegisterRequest {
        RegisterRequest { address: self.ram_address(block, offset), block, chunks: further }
    }

    /// Has chunks registered, and takes the result and the READY after it.
    ///
    /// # Errors
    /// [`Stop`] if the destination does otherwise.
    pub fn register(&mut self, requests: &[RegisterRequest]) -> Result<Vec<RegisterResult>, Stop> {
        let commands: Vec<_> = requests.iter().copied().map(Command::RegisterRequest).collect();
        self.send_commands(Kind::RegisterRequest, &commands);
        let reply = self.expect(Kind::RegisterResult, "REG-16")?;
        let results: Vec<_> = reply.commands().iter().filter_map(register_result).collect();
        let (got, wanted) = (results.len(), requests.len());
        self.check(got == wanted, "REG-16", format!("of {wanted} requests it answers {got}"));
        self.take_ready()?;
        Ok(results)
    }

    /// Sends a zero run, and takes the READY after it.
    ///
    /// # Errors
    /// [`Stop`] if the destination does otherwise.
    pub fn compress(&mut self, block: u32, offset: u64, length: u64) -> Result<(), Stop> {
        let run = Compress { value: 0, block, offset: self.ram_address(block, offset), length };
        self.send_commands(Kind::Compress, &[Command::Compress(run)]);
        self.take_ready()
    }

    /// Memory of the suite's side that is written from.
    ///
    /// # Errors
    /// [`Stop`] if there is none.
    pub fn writable(&mut self, length: u64) -> Result<Region, Stop> {
        self.make_region(length, Access::LocalRead, true)
    }

    /// Posts an RDMA WRITE of `length` bytes from the start of a region.
    pub fn post_write(&mut self, from: &Region, length: u64, remote_address: u64, rkey: u32) {
        let Region { region, block, .. } = *from;
        self.act(Action::Write { region, block, offset: 0, length, remote_address, rkey });
    }

    /// Writes into the destination, and waits for the completion. The error if it failed.
    ///
    /// # Errors
    /// [`Stop`] if there is no completion.
    pub fn write(
        &mut self,
        from: &Region,
        length: u64,
        remote_address: u64,
        rkey: u32,
    ) -> Result<Result<(), String>, Stop> {
        self.post_write(from, length, remote_address, rkey);
        self.written()
    }

    /// Waits for the completion of an RDMA WRITE. The error if it failed.
    ///
    /// # Errors
    /// [`Stop`] if there is no completion.
    pub fn written(&mut self) -> Result<Result<(), String>, Stop> {
        self.wait_for("the completion of an RDMA WRITE", |seen| match seen {
            Observation::Written => Some(Ok(())),
            Observation::Failed { operation: Operation::Write, error } => Some(Err(error.clone())),
            _ => None,
        })
    }

    /// Ends a migration whose round is open, as a source does: this round, the last round, in which
    /// nothing more is written, and the stream.
    ///
    /// # Errors
    /// [`Stop`] if the destination does otherwise.
    pub fn finish_migration(&mut self) -> Result<(), Stop> {
        self.finish_round()?;
        let last = self.guest().before_last_round.clone();
        self.stream(&last)?;
        self.finish_round()?;
        self.finish_stream()
    }

    /// Ends the stream as a source does: the end of the last round has been sent before. Waits for
    /// the destination to disconnect.
    ///
    /// # Errors
    /// [`Stop`] if the destination does otherwise.
    pub fn finish_stream(&mut self) -> Result<(), Stop> {
        let end = self.guest().end.clone();
        let (last, before) = end
            .chunks(PIECE)
            .collect::<Vec<_>>()
            .split_last()
            .map_or((Vec::new(), Vec::new()), |(last, before)| (last.to_vec(), before.concat()));
        self.stream(&before)?;
        self.send(Kind::QemuFile, &last);
        self.wait_for_acknowledgements()
    }
}

fn ram_block(command: &Command) -> Option<crate::codec::RamBlock> {
    match command {
        Command::RamBlock(block) => Some(*block),
        _ => None,
    }
}

fn register_result(command: &Command) -> Option<RegisterResult> {
    match command {
        Command::RegisterResult(result) => Some(*result),
        _ => None,
    }
}
