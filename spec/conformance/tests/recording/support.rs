//! A small guest, its stream, and migrations of it on the simulator.

use std::cell::Cell;
use std::ops::ControlFlow;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use rdma_migration_conformance::guest_memory::GuestMemory;
use rdma_migration_conformance::receive::{Recorder, Wishes};
use rdma_migration_conformance::recording::{Limits, Recording, Round, Run, Writer};
use rdma_migration_conformance::send::{Player, Progress};
use rdma_migration_protocol::address::BlockIndex;
use rdma_migration_protocol::connection::{Negotiated, PinAllOffer};
use rdma_migration_protocol::destination::{Destination, DestinationConfig};
use rdma_migration_protocol::ram::ChunkSize;
use rdma_migration_protocol::source::{Source, SourceConfig};
use rdma_migration_protocol::time::Instant;
use rdma_migration_protocol::transport::{Owner, Transport};
use rdma_migration_transport_sim::{Backing, Fabric, FabricConfig, Pair, Side, Sides};
use tempfile::TempDir;

pub(crate) const MIB: usize = 1 << 20;
pub(crate) const PAGE: u64 = 4096;
pub(crate) const DESCRIPTION: &[u8] =
    br#"{"page_size": 4096, "devices": [{"name": "timer", "instance_id": 0}]}"#;
pub(crate) const BOTH_MODES: [PinAllOffer; 2] = [PinAllOffer::Never, PinAllOffer::Required];

/// Stream bytes under construction.
#[derive(Clone, Default)]
pub(crate) struct Bytes(pub(crate) Vec<u8>);

impl Bytes {
    pub(crate) fn put(mut self, bytes: impl AsRef<[u8]>) -> Self {
        self.0.extend_from_slice(bytes.as_ref());
        self
    }

    pub(crate) fn name(self, name: &str) -> Self {
        self.put([u8::try_from(name.len()).unwrap()]).put(name)
    }

    pub(crate) fn word(self, word: u64) -> Self {
        self.put(word.to_be_bytes())
    }
}

/// A guest and the way it migrates.
#[derive(Clone)]
pub(crate) struct Guest {
    pub(crate) blocks: Vec<(&'static str, Vec<u8>)>,
    /// Stream bytes between the magic number and the RAM section.
    pub(crate) head: Vec<u8>,
    /// For each round after the one of the exchange, what it brings and what the guest writes there
    /// before, as block, offset, length, fill.
    pub(crate) rounds: Vec<Vec<(u32, u64, u64, u8)>>,
    /// Stream bytes directly after each round.
    pub(crate) after_round: Vec<u8>,
    /// Stream bytes after the last round.
    pub(crate) tail: Vec<u8>,
}

impl Default for Guest {
    fn default() -> Self {
        let mut main = vec![0; 4 * MIB];
        main[..MIB].fill(7);
        main[MIB + 5] = 1;
        let blocks = vec![
            ("pc.ram", main),
            ("pc.bios", vec![9; 0x3000]),
            ("odd", vec![3; 5000]),
            ("rest", vec![0; 3192]),
        ];
        let everything =
            blocks.iter().zip(0..).map(|((_, bytes), index)| (index, 0, bytes.len() as u64, 255));
        let first = everything.collect();
        let second = vec![(0, 0x5000, 0x2000, 4), (0, 2 * MIB as u64, PAGE, 5), (1, PAGE, PAGE, 0)];
        Self {
            blocks,
            head: configuration("pc-i440fx-7.2"),
            rounds: vec![first, second],
            after_round: 0x10_u64.to_be_bytes().to_vec(),
            tail: tail(Some(DESCRIPTION)),
        }
    }
}

pub(crate) fn configuration(machine: &str) -> Vec<u8> {
    let length = u32::try_from(machine.len()).unwrap().to_be_bytes();
    Bytes::default().put([7]).put(length).put(machine).0
}

pub(crate) fn tail(description: Option<&[u8]>) -> Vec<u8> {
    let device = Bytes::default()
        .put([0x7e, 0, 0, 0, 2, 4, 0, 0, 0, 7])
        .name("timer")
        .put([0, 0, 0, 0, 0, 0, 0, 2])
        .put([0xab; 50_000])
        .put([0x7e, 0, 0, 0, 7, 0]);
    match description {
        None => device.0,
        Some(text) => {
            let length = u32::try_from(text.len()).unwrap().to_be_bytes();
            device.put([6]).put(length).put(text).0
        }
    }
}

impl Guest {
    pub(crate) fn lengths(&self) -> Vec<u64> {
        self.blocks.iter().map(|(_, bytes)| bytes.len() as u64).collect()
    }

    /// The stream, and the rounds in it with their runs.
    fn stream(&self) -> (Vec<u8>, Vec<Round>) {
        let total: u64 = self.lengths().iter().sum();
        let mut stream = Bytes::default()
            .put(b"QEVM\0\0\0\x03")
            .put(&self.head)
            .put([1, 0, 0, 0, 2])
            .name("ram")
            .put([0, 0, 0, 0, 0, 0, 0, 4])
            .word(total | 4);
        for (name, bytes) in &self.blocks {
            stream = stream.name(name).word(bytes.len() as u64);
        }
        let mut rounds = Vec::new();
        stream = stream.word(0x80);
        rounds.push(round(&stream.0, &[]));
        for (number, runs) in self.rounds.iter().enumerate() {
            let last = number + 1 == self.rounds.len();
            stream = stream.put(&self.after_round).put([0x7e, 0, 0, 0, 2]);
            stream = stream.put([if last { 3 } else { 2 }, 0, 0, 0, 2]).word(0x80);
            rounds.push(round(&stream.0, runs));
        }
        (stream.put(&self.after_round).put(&self.tail).0, rounds)
    }
}

fn round(stream: &[u8], touched: &[(u32, u64, u64, u8)]) -> Round {
    let runs = touched.iter().map(|&(block, offset, length, _)| {
        let zero = false;
        Run { block, offset, length, zero }
    });
    Round { stream_bytes: stream.len() as u64, looked_at: true, runs: runs.collect() }
}

/// Tells the live source below which round has begun.
#[derive(Debug)]
struct RoundsBegun(Rc<Cell<usize>>);

impl Progress for RoundsBegun {
    fn connected(&mut self, _negotiated: Negotiated) {}
    fn round(&mut self, number: usize, _ram_bytes: u64) {
        self.0.set(number);
    }
    fn sent(&mut self, _bytes: u64, _now: Instant) {}
}

/// A source whose guest writes what a round brings as the round begins: the machine has been given the
/// round's runs then, and has looked at none of them.
pub(crate) struct LiveSource {
    player: Player<RoundsBegun>,
    rounds: Vec<Vec<(u32, u64, u64, u8)>>,
    begun: Rc<Cell<usize>>,
    written: usize,
}

impl<T: Transport + GuestMemory> Owner<Source, T> for LiveSource {
    fn attend(&mut self, source: &mut Source, transport: &mut T) {
        self.player.attend(source, transport);
        while self.written < self.begun.get() {
            for (block, offset, length, fill) in self.rounds.get(self.written).into_iter().flatten()
            {
                let bytes = vec![*fill; usize::try_from(*length).unwrap()];
                let kept = *fill == 255;
                assert!(kept || transport.write(BlockIndex::new(*block), *offset, &bytes));
            }
            self.written += 1;
        }
    }
}

pub(crate) type Live = Pair<LiveSource, Recorder<()>>;

/// The migration of a guest into a recorder, not yet run.
pub(crate) fn live(guest: &Guest, pin_all: PinAllOffer, wishes: Wishes) -> Live {
    let mut fabric = Fabric::new(FabricConfig::default());
    for (_, bytes) in &guest.blocks {
        fabric.port(Side::Source).add_block(Backing::Bytes(bytes.clone()));
    }
    let (stream, rounds) = guest.stream();
    let begun = Rc::new(Cell::new(0));
    let progress = RoundsBegun(Rc::clone(&begun));
    let never = Arc::new(AtomicBool::new(false));
    let player = Player::of(stream, rounds, guest.lengths(), never, progress);
    let source_owner = LiveSource { player, rounds: guest.rounds.clone(), begun, written: 0 };
    let recorder = Recorder::new(wishes, Arc::new(AtomicBool::new(false)), ());
    Pair::new(fabric, source(pin_all), source_owner, destination(), recorder)
}

pub(crate) fn source(pin_all: PinAllOffer) -> Source {
    Source::new(SourceConfig { pin_all, ..SourceConfig::default() }).unwrap()
}

pub(crate) fn destination() -> Destination {
    Destination::new(DestinationConfig::default())
}

/// The same, run to its end.
pub(crate) fn ended(guest: &Guest, pin_all: PinAllOffer, wishes: Wishes) -> Live {
    let mut pair = live(guest, pin_all, wishes);
    pair.run().unwrap();
    assert_eq!(pair.destination_owner.closed().map(|closed| closed.regions_left), Some(0));
    pair
}

/// Writes what a recorder has.
pub(crate) fn write<S>(pair: &mut Pair<S, Recorder<()>>, folder: &Path) {
    let writer = Writer::create(folder).unwrap();
    let port = pair.fabric.port(Side::Destination);
    pair.destination_owner
        .write(writer, &port, ChunkSize::default(), None, |_| ControlFlow::Continue(()))
        .unwrap();
}

/// A recording of a guest in a folder that goes when it is dropped.
pub(crate) fn recorded(guest: &Guest, pin_all: PinAllOffer, wishes: Wishes) -> (TempDir, Live) {
    let folder = tempfile::tempdir().unwrap();
    let mut pair = ended(guest, pin_all, wishes);
    write(&mut pair, folder.path());
    (folder, pair)
}

/// A complete recording of the usual guest.
pub(crate) fn usual() -> TempDir {
    recorded(&Guest::default(), PinAllOffer::Never, Wishes::default()).0
}

pub(crate) fn open(folder: &Path) -> Recording {
    Recording::open(folder, &Limits::default()).unwrap()
}

/// Plays a recording into a destination that records again.
pub(crate) fn played(
    recording: &Recording,
    pin_all: PinAllOffer,
) -> Pair<Player<()>, Recorder<()>> {
    let mut fabric = Fabric::new(FabricConfig::default());
    recording.load(&mut fabric.port(Side::Source), |_| ControlFlow::Continue(())).unwrap();
    let never = Arc::new(AtomicBool::new(false));
    let player = Player::new(recording, Arc::clone(&never), ());
    let recorder = Recorder::new(Wishes::default(), never, ());
    let mut pair = Pair::new(fabric, source(pin_all), player, destination(), recorder);
    pair.run().unwrap();
    pair
}

pub(crate) fn findings<S, D>(pair: &mut Pair<S, D>) -> Vec<String>
where
    S: for<'f> Owner<Source, rdma_migration_transport_sim::Port<'f>>,
    D: for<'f> Owner<Destination, rdma_migration_transport_sim::Port<'f>>,
{
    pair.findings(Sides { source: true, destination: true })
}

pub(crate) fn memory<S, D>(pair: &mut Pair<S, D>, side: Side, blocks: usize) -> Vec<Vec<u8>> {
    let blocks = 0..u32::try_from(blocks).unwrap();
    blocks.map(|index| pair.fabric.port(side).memory(BlockIndex::new(index)).to_vec()).collect()
}
