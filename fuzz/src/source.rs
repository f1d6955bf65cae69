//! The source under a script.

use rdma_migration_protocol::address::{BlockOffset, HostAddress, Rkey};
use rdma_migration_protocol::connection::{Closed, GuestOwner, PinAllOffer};
use rdma_migration_protocol::source::{Source, SourceConfig, SourceEvent};
use rdma_migration_protocol::wire::{Entries, Kind, Message, RegisterResult};

use crate::guest::{HOST, LENGTHS, block, edge};
use crate::machine::{Subject, run};
use crate::made_up::{MadeUp, honest_ram_blocks};
use crate::registering::registering;
use crate::script::Script;

/// Stream bytes that an owner writes at once, at most.
const STREAM_BYTES_MAX: usize = 33_000;
static STREAM: [u8; STREAM_BYTES_MAX] = [7; STREAM_BYTES_MAX];

/// Drives a source by a script: the first byte is the manner, the second the configuration, and where
/// that says so the third as well.
///
/// # Panics
///
/// If the source breaks its half of the contract, allocates more than its bound, or does not end.
pub fn drive(bytes: &[u8]) {
    let mut script = Script::new(bytes);
    let manner = script.byte();
    let choices = script.byte();
    let config = SourceConfig {
        pin_all: match choices & 3 {
            0 | 3 => PinAllOffer::Never,
            1 => PinAllOffer::Preferred,
            _ => PinAllOffer::Required,
        },
        signal_interval: [1, 2, 64, u32::MAX][usize::from(choices >> 2 & 3)],
        writes_in_flight_max: [256, 1, 3, 8][usize::from(choices >> 4 & 3)],
        peer_unregisters: choices & 0x40 == 0,
        ..SourceConfig::default()
    };
    let config = match choices & 0x80 {
        0 => config,
        _ => registering(config, script.byte()),
    };
    let pinned_bytes_max = config.pinned_bytes_max;
    let source = Source::new(config).expect("a valid configuration");
    run(source, manner, pinned_bytes_max, &mut script);
}

impl Subject for Source {
    const SENDS_COMMANDS: bool = true;

    fn holds_stream(&self) -> bool {
        false
    }

    fn call(&mut self, script: &mut Script<'_>) -> bool {
        match script.byte() {
            0x00..=0x0f => self.connect().is_err(),
            0x10..=0x1f => self.exchange_blocks(&LENGTHS).is_err(),
            few @ 0x20..=0x3f => self.write_stream(&STREAM[..usize::from(few - 0x20)]).is_err(),
            0x40..=0x43 => {
                let length = usize::from(script.u16()) % (STREAM_BYTES_MAX + 1);
                self.write_stream(&STREAM[..length]).is_err()
            }
            0x44..=0x4f => self.flush_stream().is_err(),
            0x50..=0x6f => self.finish_round().is_err(),
            whole @ 0x70..=0x7f => {
                let index = u32::from(whole % 3);
                let length = LENGTHS[usize::from(whole % 3)];
                self.write_ram(index_of(index), BlockOffset::new(0), length).is_err()
            }
            0x80..=0xbf => {
                let (block, offset) = (block(script), BlockOffset::new(edge(script)));
                self.write_ram(block, offset, edge(script)).is_err()
            }
            0xc0..=0xdf => {
                let block = block(script);
                self.unregister(block, u64::from(script.byte()) % 4).is_err()
            }
            0xe0..=0xf7 => self.finish().is_err(),
            0xf8..=0xfb => {
                self.exchange_blocks(&LENGTHS[..usize::from(script.byte()) % 4]).is_err()
            }
            0xfc..=0xff => self.abort().is_err(),
        }
    }

    fn give_up(&mut self) {
        // Refused once the guest is handed over or the migration closes: then it ends by itself.
        let _refused = self.abort();
    }

    fn guest_owner(&self) -> GuestOwner {
        self.guest_owner()
    }

    fn closed(event: &SourceEvent) -> Option<&Closed> {
        if let SourceEvent::Closed(closed) = event { Some(closed) } else { None }
    }

    fn due(
        made_up: &mut MadeUp,
        reply: Option<Kind>,
        honest: bool,
        script: &mut Script<'_>,
    ) -> Vec<u8> {
        let bytes = match (reply, honest) {
            (None, _) => made_up.message(&Message::Ready),
            (Some(kind), false) => {
                let number = u8::try_from(kind.number()).expect("a small number");
                made_up.of_kind(number, script)
            }
            (Some(Kind::RamBlocksResult), true) => {
                made_up.message(&Message::RamBlocksResult(Entries::new(&honest_ram_blocks(7))))
            }
            (Some(Kind::RegisterResult), true) => {
                let host_address = HostAddress::new(HOST[0]);
                let results = [RegisterResult { rkey: Rkey::new(9), host_address }];
                let results = Entries::new(&results);
                made_up.message(&Message::RegisterResult { repeat: 1, results })
            }
            (Some(_), true) => made_up.message(&Message::UnregisterFinished { repeat: 1 }),
        };
        bytes.to_vec()
    }
}

fn index_of(index: u32) -> rdma_migration_protocol::address::BlockIndex {
    rdma_migration_protocol::address::BlockIndex::new(index)
}
