//! Messages that a script makes up: of any kind, with any contents, and whole or damaged.

use rdma_migration_protocol::address::{BlockIndex, HostAddress, RamAddress, Rkey};
use rdma_migration_protocol::limits::COMMANDS_MAX;
use rdma_migration_protocol::wire::{
    Compress, Entries, Message, RamBlock, RegisterRequest, RegisterResult, UnregisterRequest,
};

use crate::guest::{HOST, LENGTHS, RAM, block, edge, place};
use crate::script::Script;

/// Makes up messages, at most one of them as long as a message can be.
#[derive(Debug, Default)]
pub(crate) struct MadeUp {
    bytes: Vec<u8>,
    long_one_made: bool,
}

impl MadeUp {
    /// Any message.
    pub(crate) fn any(&mut self, script: &mut Script<'_>) -> &[u8] {
        let kind = script.byte() % 13;
        self.of_kind(kind, script)
    }

    /// A message that a source may send.
    pub(crate) fn command(&mut self, script: &mut Script<'_>) -> &[u8] {
        let kind = script.pick(&[7, 6, 10, 3, 4, 9, 7, 10]);
        self.of_kind(kind, script)
    }

    /// The bytes of this message.
    pub(crate) fn message(&mut self, message: &Message<'_>) -> &[u8] {
        self.bytes.resize(message.encoded_len(), 0);
        message.encode(&mut self.bytes).expect("a message that can be encoded");
        &self.bytes
    }

    /// A message of this kind, by its number on the wire; 12 is none.
    pub(crate) fn of_kind(&mut self, kind: u8, script: &mut Script<'_>) -> &[u8] {
        match kind {
            0 => self.message(&Message::None),
            1 => self.message(&Message::Error),
            2 => self.message(&Message::Ready),
            3 => {
                let length = usize::from(script.byte()) % 40 + 1;
                self.message(&Message::QemuFile(&[7; 40][..length]))
            }
            4 => self.message(&Message::RamBlocksRequest),
            5 => {
                let blocks = ram_blocks(script);
                self.message(&Message::RamBlocksResult(Entries::new(&blocks)))
            }
            6 => {
                let runs = self.several(script, compress);
                self.message(&Message::Compress(Entries::new(&runs)))
            }
            7 => {
                let requests = self.several(script, request);
                self.message(&Message::RegisterRequest(Entries::new(&requests)))
            }
            8 => {
                let results = self.several(script, result);
                let repeat = u32::try_from(results.len()).expect("a small number");
                self.message(&Message::RegisterResult { repeat, results: Entries::new(&results) })
            }
            9 => self.message(&Message::RegisterFinished),
            10 => {
                let requests = self.several(script, unregistration);
                self.message(&Message::UnregisterRequest(Entries::new(&requests)))
            }
            11 => self.message(&Message::UnregisterFinished { repeat: script.u32() }),
            _ => {
                self.bytes.clear();
                self.bytes.extend_from_slice(script.short());
                &self.bytes
            }
        };
        self.damage(script);
        &self.bytes
    }

    fn several<T: Copy>(
        &mut self,
        script: &mut Script<'_>,
        one: impl Fn(&mut Script<'_>) -> T,
    ) -> Vec<T> {
        let count = match script.byte() {
            0x00..=0xbf => 1,
            few @ 0xc0..=0xfd => usize::from(few % 4) + 1,
            0xfe => 16,
            0xff if !std::mem::replace(&mut self.long_one_made, true) => COMMANDS_MAX,
            0xff => 2,
        };
        let few: Vec<T> = (0..count.min(4)).map(|_| one(script)).collect();
        few.iter().copied().cycle().take(count).collect()
    }

    /// Mostly leaves the message as it is.
    fn damage(&mut self, script: &mut Script<'_>) {
        match script.byte() {
            0x00..=0xdf => {}
            0xe0..=0xe7 => {
                let length = usize::from(script.u16()) % (self.bytes.len() + 1);
                self.bytes.truncate(length);
            }
            0xe8..=0xef => {
                let at = usize::from(script.byte()) % self.bytes.len().clamp(1, 64);
                let by = script.byte();
                if let Some(byte) = self.bytes.get_mut(at) {
                    *byte ^= by;
                }
            }
            0xf0..=0xf7 => self.bytes.push(script.byte()),
            0xf8..=0xff => {
                if let Some(repeat) = self.bytes.get_mut(8..12) {
                    repeat.copy_from_slice(&u32::from(script.u16()).to_be_bytes());
                }
            }
        }
    }
}

/// The descriptors of a destination that is honest, but for what the script says.
pub(crate) fn ram_blocks(script: &mut Script<'_>) -> Vec<RamBlock> {
    let mut blocks = honest_ram_blocks(7).to_vec();
    match script.byte() {
        0x00..=0x7f => {}
        0x80..=0x9f => blocks.truncate(usize::from(script.byte()) % 3),
        0xa0..=0xbf => blocks.extend_from_within(..),
        flaw @ 0xc0..=0xff => {
            let block = &mut blocks[usize::from(flaw) % 3];
            match flaw / 16 % 4 {
                0 => block.length = edge(script),
                1 => block.remote_address = HostAddress::new(edge(script).wrapping_neg()),
                2 => block.offset = RamAddress::new(edge(script).wrapping_neg()),
                _ => block.rkey = Rkey::new(script.byte().into()),
            }
        }
    }
    blocks
}

/// The descriptors of an honest destination.
pub(crate) fn honest_ram_blocks(rkey: u32) -> [RamBlock; 3] {
    std::array::from_fn(|index| RamBlock {
        remote_address: HostAddress::new(HOST[index]),
        offset: RamAddress::new(RAM[index]),
        length: LENGTHS[index],
        rkey: Rkey::new(rkey),
    })
}

fn compress(script: &mut Script<'_>) -> Compress {
    let (block, offset) = place(script);
    let value = u32::from(script.byte()).saturating_sub(0xf0);
    Compress { value, block, offset, length: edge(script) }
}

fn request(script: &mut Script<'_>) -> RegisterRequest {
    let (block, address) = place(script);
    let chunks = match script.byte() {
        few @ 0x00..=0xef => u64::from(few) % 4,
        0xf0..=0xff => edge(script),
    };
    RegisterRequest { address, block, chunks }
}

fn result(script: &mut Script<'_>) -> RegisterResult {
    let host_address = match script.byte() {
        good @ 0x00..=0xbf => HOST[usize::from(good) % 3],
        0xc0..=0xff => edge(script).wrapping_neg(),
    };
    RegisterResult {
        rkey: Rkey::new(u32::from(script.byte().wrapping_add(1))),
        host_address: HostAddress::new(host_address),
    }
}

fn unregistration(script: &mut Script<'_>) -> UnregisterRequest {
    let block = BlockIndex::new(block(script).get());
    let chunk = match script.byte() {
        few @ 0x00..=0xef => u64::from(few) % 4,
        0xf0..=0xff => edge(script),
    };
    UnregisterRequest { chunk, block }
}
