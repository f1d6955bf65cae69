//! Either machine against a peer, a transport and an owner that do whatever they like.

mod answers;
mod honest;
mod inputs;
mod judge;
mod messages;

use honest::{honest_to_destination, honest_to_source};
use inputs::{Call, Input, input};
use judge::{Judge, Victim};
use messages::{LENGTHS, RAM};
use proptest::collection::vec;
use proptest::prelude::*;
use rdma_migration_protocol::address::{BlockIndex, BlockOffset, HostAddress, RamAddress};
use rdma_migration_protocol::connection::{Closed, GuestOwner, PinAllOffer};
use rdma_migration_protocol::destination::{
    Destination, DestinationConfig, DestinationEvent, PlacedBlock, Windows,
};
use rdma_migration_protocol::source::{Source, SourceConfig, SourceEvent};

impl Victim for Source {
    const SENDS_COMMANDS: bool = true;

    fn holds_stream(&self) -> bool {
        false
    }

    fn call(&mut self, call: &Call) {
        let before = self.clone();
        let refused = match *call {
            Call::Connect => self.connect().is_err(),
            Call::WriteStream(bytes) => self.write_stream(&vec![7; bytes]).is_err(),
            Call::FlushStream => self.flush_stream().is_err(),
            Call::ExchangeBlocks => self.exchange_blocks(&LENGTHS).is_err(),
            Call::WriteRam(block, offset, length) => {
                let (block, offset) = (BlockIndex::new(block), BlockOffset::new(offset));
                self.write_ram(block, offset, length).is_err()
            }
            Call::Unregister(block, chunk) => {
                self.unregister(BlockIndex::new(block), chunk).is_err()
            }
            Call::FinishRound => self.finish_round().is_err(),
            Call::Finish => self.finish().is_err(),
            Call::Abort => self.abort().is_err(),
            Call::TakeStream(_) | Call::OpenWindow | Call::PlaceBlocks => false,
        };
        assert!(!refused || *self == before, "a call that was refused had an effect: {call:?}");
    }

    fn guest_owner(&self) -> GuestOwner {
        self.guest_owner()
    }

    fn closed(event: &SourceEvent) -> Option<&Closed> {
        if let SourceEvent::Closed(closed) = event { Some(closed) } else { None }
    }
}

impl Victim for Destination {
    const SENDS_COMMANDS: bool = false;

    fn holds_stream(&self) -> bool {
        self.held_stream().is_some()
    }

    fn call(&mut self, call: &Call) {
        let before = self.clone();
        let refused = match *call {
            Call::TakeStream(bytes) => self.take_stream(bytes).is_err(),
            Call::OpenWindow => self.open_window().is_err(),
            Call::PlaceBlocks => self.place_blocks(&placed()).is_err(),
            Call::Finish => self.finish().is_err(),
            Call::Abort => self.abort().is_err(),
            Call::Connect
            | Call::WriteStream(_)
            | Call::FlushStream
            | Call::ExchangeBlocks
            | Call::WriteRam(..)
            | Call::Unregister(..)
            | Call::FinishRound => false,
        };
        assert!(!refused || *self == before, "a call that was refused had an effect: {call:?}");
    }

    fn guest_owner(&self) -> GuestOwner {
        self.guest_owner()
    }

    fn closed(event: &DestinationEvent) -> Option<&Closed> {
        if let DestinationEvent::Closed(closed) = event { Some(closed) } else { None }
    }
}

fn placed() -> [PlacedBlock; 3] {
    let place = |index: usize| PlacedBlock {
        host_address: HostAddress::new(0x1000 * u64::try_from(index + 1).unwrap()),
        ram_address: RamAddress::new(RAM[index]),
        length: LENGTHS[index],
    };
    [0, 1, 2].map(place)
}

fn source(pin_all: PinAllOffer) -> Source {
    let config = SourceConfig {
        pin_all,
        signal_interval: 2,
        writes_in_flight_max: 3,
        peer_unregisters: true,
        ..SourceConfig::default()
    };
    Source::new(config).unwrap()
}

fn destination(windows: Windows) -> Destination {
    Destination::new(DestinationConfig { windows, ..DestinationConfig::default() })
}

fn windows() -> impl Strategy<Value = Windows> {
    prop::sample::select(vec![Windows::Anywhere, Windows::Anywhere, Windows::Announced])
}

/// Some of an honest migration, and then anything.
fn torment<M: Victim>(machine: M, honest: &[Input], then: &[Input]) -> Closed {
    let mut judge = Judge::new(machine);
    for input in honest.iter().chain(then) {
        judge.feed(input);
    }
    judge.abandon()
}

#[test]
fn the_honest_migrations_end_well() {
    let closed = Closed { result: Ok(()), guest: GuestOwner::Destination, regions_left: 0 };
    for pinned in [false, true] {
        let source = source(if pinned { PinAllOffer::Required } else { PinAllOffer::Never });
        assert_eq!(torment(source, &honest_to_source(pinned), &[]), closed);
        let destination = destination(Windows::Announced);
        assert_eq!(torment(destination, &honest_to_destination(pinned), &[]), closed);
    }
}

/// So many cases, or as many as `PROPTEST_CASES` says.
fn config(cases: u32) -> ProptestConfig {
    let asked = std::env::var_os("PROPTEST_CASES").map(|_| ProptestConfig::default().cases);
    let file =
        proptest::test_runner::FileFailurePersistence::Direct("proptest-regressions/hostile.txt");
    ProptestConfig {
        cases: asked.unwrap_or(cases),
        failure_persistence: Some(Box::new(file)),
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(config(512))]

    #[test]
    fn a_source_survives_anything(
        pinned in any::<bool>(),
        honest in 0..35_usize,
        then in vec(input(), 0..60),
    ) {
        let offer = if pinned { PinAllOffer::Preferred } else { PinAllOffer::Never };
        let script = honest_to_source(pinned);
        torment(source(offer), &script[..honest.min(script.len())], &then);
    }

    #[test]
    fn a_destination_survives_anything(
        pinned in any::<bool>(),
        windows in windows(),
        honest in 0..27_usize,
        then in vec(input(), 0..60),
    ) {
        let script = honest_to_destination(pinned);
        torment(destination(windows), &script[..honest.min(script.len())], &then);
    }
}
