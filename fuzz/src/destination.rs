//! The destination under a script.

use rdma_migration_protocol::connection::{Closed, GuestOwner, NewerVersion, PinAllPolicy};
use rdma_migration_protocol::destination::{
    Destination, DestinationConfig, DestinationEvent, Windows,
};
use rdma_migration_protocol::wire::Kind;

use crate::guest::{MIB, placed};
use crate::machine::{Subject, run};
use crate::made_up::MadeUp;
use crate::script::Script;

/// Drives a destination by a script: the first byte is the manner, the second the configuration.
///
/// # Panics
///
/// If the destination breaks its half of the contract, allocates more than its bound, or does not
/// end.
pub fn drive(bytes: &[u8]) {
    let mut script = Script::new(bytes);
    let manner = script.byte();
    let choices = script.byte();
    let config = DestinationConfig {
        pin_all: match choices & 3 {
            0 | 3 => PinAllPolicy::Accept,
            1 => PinAllPolicy::Refuse,
            _ => PinAllPolicy::Decline,
        },
        newer_version: match choices & 4 {
            0 => NewerVersion::AnswerWithOurs,
            _ => NewerVersion::Refuse,
        },
        windows: match choices & 8 {
            0 => Windows::Anywhere,
            _ => Windows::Announced,
        },
        pinned_bytes_max: [None, Some(MIB), Some(2 * MIB), Some(4 * MIB)]
            [usize::from(choices >> 4 & 3)],
        ..DestinationConfig::default()
    };
    let pinned_bytes_max = config.pinned_bytes_max;
    run(Destination::new(config), manner, pinned_bytes_max, &mut script);
}

impl Subject for Destination {
    const SENDS_COMMANDS: bool = false;

    fn holds_stream(&self) -> bool {
        self.held_stream().is_some()
    }

    fn call(&mut self, script: &mut Script<'_>) -> bool {
        match script.byte() {
            0x00..=0x3f => {
                let held = self.held_stream().map_or(0, |held| held.range.len());
                self.take_stream(held).is_err()
            }
            0x40..=0x5f => self.take_stream(script.byte().into()).is_err(),
            0x60..=0x7f => self.open_window().is_err(),
            0x80..=0xbf => self.place_blocks(&placed()).is_err(),
            0xc0..=0xcf => {
                let mut blocks = placed();
                blocks[usize::from(script.byte()) % 3].length = crate::guest::edge(script) % 0x1001;
                self.place_blocks(&blocks[..usize::from(script.byte()) % 3]).is_err()
            }
            0xd0..=0xf7 => self.finish().is_err(),
            0xf8..=0xff => self.abort().is_err(),
        }
    }

    fn give_up(&mut self) {
        // Refused once the migration closes: then it ends by itself.
        let _refused = self.abort();
    }

    fn guest_owner(&self) -> GuestOwner {
        self.guest_owner()
    }

    fn closed(event: &DestinationEvent) -> Option<&Closed> {
        if let DestinationEvent::Closed(closed) = event { Some(closed) } else { None }
    }

    fn due(
        made_up: &mut MadeUp,
        _reply: Option<Kind>,
        _honest: bool,
        script: &mut Script<'_>,
    ) -> Vec<u8> {
        made_up.command(script).to_vec()
    }
}
