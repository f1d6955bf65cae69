//! One real machine, and a peer that a test plays by hand, message by message.
//!
//! The peer's adapter is a real one of the fabric: it always has receives posted, and what the test
//! sends crosses the link like anything else. Nothing costs time here; deadlines come when the test
//! says so.
//!
//! ```
//! use rdma_migration_protocol::wire::Kind;
//! use rdma_migration_transport_sim::Scripted;
//!
//! let mut peer = Scripted::established();
//! peer.source.write_stream(b"the setup of the guest").unwrap();
//! peer.source.exchange_blocks(&[0x1000]).unwrap();
//! peer.expect_no_send();
//! peer.reply(Kind::Ready);
//! peer.expect_send(Kind::QemuFile);
//! peer.reply(Kind::Ready);
//! peer.expect_send(Kind::RamBlocksRequest);
//! ```

use core::fmt;
use std::collections::VecDeque;

use rdma_migration_protocol::address::{BlockIndex, BlockOffset, HostAddress, Rkey};
use rdma_migration_protocol::deadline::TimeoutReason;
use rdma_migration_protocol::destination::{Destination, DestinationConfig, DestinationEvent};
use rdma_migration_protocol::limits::{CONTROL_BUFFER_BYTES, PRIVATE_DATA_BYTES, RECEIVE_BUFFERS};
use rdma_migration_protocol::source::{Source, SourceConfig, SourceEvent};
use rdma_migration_protocol::transport::{
    Access, Completion, ConnectionEvent, Input, Machine, Operation, Owner, ReceiveBuffer, RegionId,
    Transport, WriteRam, turn,
};
use rdma_migration_protocol::wire::{Capabilities, Flags, Header, Kind, Message};

use crate::cost::CostPreset;
use crate::fabric::{Fabric, FabricConfig};
use crate::memory::Backing;
use crate::port::Port;
use crate::side::Side;

/// A source against a destination that the test plays.
#[derive(Debug)]
pub struct Scripted {
    /// The machine under test.
    pub source: Source,
    stage: Stage<SourceEvent>,
}

/// A destination against a source that the test plays.
#[derive(Debug)]
pub struct ScriptedSource {
    /// The machine under test.
    pub destination: Destination,
    stage: Stage<DestinationEvent>,
}

impl Scripted {
    /// A source of the default configuration, connected without pinning.
    #[must_use]
    pub fn established() -> Self {
        Self::established_with(SourceConfig::default(), Flags::NONE)
    }

    /// A source that is connected to a destination that granted `flags`.
    #[must_use]
    pub fn established_with(config: SourceConfig, flags: Flags) -> Self {
        let mut scripted = Self::connecting(config);
        scripted.accept(flags);
        scripted
    }

    /// A source whose request the destination has not answered.
    ///
    /// # Panics
    ///
    /// If the configuration is refused.
    #[must_use]
    pub fn connecting(config: SourceConfig) -> Self {
        let source = Source::new(config).expect("a valid configuration");
        let mut scripted = Self { source, stage: Stage::new(Side::Source) };
        scripted.source.connect().expect("the first call");
        scripted.settle();
        scripted
    }

    /// The destination accepts and grants `flags`.
    pub fn accept(&mut self, flags: Flags) {
        let private_data = capabilities(flags);
        self.stage.issue(Operation::Accept { private_data });
        self.settle();
    }

    /// The destination refuses the connection.
    pub fn reject(&mut self) {
        self.stage.issue(Operation::Reject);
        self.settle();
    }

    /// The destination registers a RAM block of its own and grants it. What the source writes with
    /// the key can be read by [`Self::peer_memory`].
    ///
    /// # Panics
    ///
    /// If the grant is not given.
    pub fn grant(&mut self, length: u64) -> (BlockIndex, HostAddress, Rkey) {
        let (block, rkey) = self.stage.register(length, Access::RemoteWrite);
        let address = self.stage.fabric.port(Side::Destination).host_address(block);
        self.settle();
        (block, address.expect("the block was added"), rkey)
    }
}

impl ScriptedSource {
    /// A destination of the default configuration, connected without pinning. It has said READY.
    #[must_use]
    pub fn established() -> Self {
        let mut scripted = Self::established_with(DestinationConfig::default(), Flags::NONE);
        scripted.expect_send(Kind::Ready);
        scripted
    }

    /// A destination that is connected to a source that asked for `flags`.
    #[must_use]
    pub fn established_with(config: DestinationConfig, flags: Flags) -> Self {
        let mut scripted = Self::listening(config);
        scripted.request(capabilities(flags));
        scripted
    }

    /// A destination that no source has asked yet.
    #[must_use]
    pub fn listening(config: DestinationConfig) -> Self {
        let destination = Destination::new(config);
        let mut scripted = Self { destination, stage: Stage::new(Side::Destination) };
        scripted.settle();
        scripted
    }

    /// The source asks for a connection.
    pub fn request(&mut self, private_data: [u8; PRIVATE_DATA_BYTES]) {
        self.stage.issue(Operation::Connect { private_data });
        self.settle();
    }

    /// The stream bytes that the destination holds.
    #[must_use]
    pub fn held_stream(&mut self) -> Vec<u8> {
        let Some(held) = self.destination.held_stream().cloned() else { return Vec::new() };
        let port = self.stage.fabric.port(Side::Destination);
        port.receive_buffer(held.buffer).get(held.range).unwrap_or_default().to_vec()
    }

    /// The source writes `bytes` to an address of the destination.
    ///
    /// # Panics
    ///
    /// If `bytes` is empty.
    pub fn write(&mut self, remote_address: HostAddress, rkey: Rkey, bytes: &[u8]) {
        let length = crate::memory::to_u64(bytes.len());
        let region = self.stage.next_region;
        let (block, _) = self.stage.register(length, Access::LocalRead);
        self.stage.fabric.port(Side::Source).memory_mut(block).copy_from_slice(bytes);
        let offset = BlockOffset::new(0);
        let signaled = true;
        let write = WriteRam { region, block, offset, length, remote_address, rkey, signaled };
        self.stage.issue(Operation::WriteRam(write));
        self.settle();
    }
}

/// What both plays have in common.
macro_rules! play {
    ($play:ident, $machine:ident, $event:ident) => {
        impl $play {
            /// Lets everything happen that happens without waiting for a deadline.
            pub fn settle(&mut self) {
                self.stage.settle(&mut self.$machine);
            }

            /// The next message that the machine has sent, which has to be of this kind. Returns it
            /// whole, header included.
            ///
            /// # Panics
            ///
            /// If there is none, or one of another kind.
            #[track_caller]
            pub fn expect_send(&mut self, kind: Kind) -> Vec<u8> {
                self.settle();
                self.stage.expect_send(kind)
            }

            /// The machine has sent nothing more.
            ///
            /// # Panics
            ///
            /// If it has.
            #[track_caller]
            pub fn expect_no_send(&mut self) {
                self.settle();
                self.stage.expect_no_send();
            }

            /// The machine has told its owner this next.
            ///
            /// # Panics
            ///
            /// If it has told something else, or nothing.
            #[track_caller]
            pub fn expect_event(&mut self, event: &$event) {
                self.settle();
                assert_eq!(self.stage.events.pop_front().as_ref(), Some(event));
            }

            /// What the machine has told its owner and nobody has asked for yet.
            pub fn events(&mut self) -> Vec<$event> {
                self.settle();
                self.stage.events.drain(..).collect()
            }

            /// Sends a message that has no payload.
            pub fn reply(&mut self, kind: Kind) {
                let header = Header { payload_bytes: 0, kind, repeat: 1 };
                self.send_bytes(&header.to_bytes());
            }

            /// Sends a message.
            ///
            /// # Panics
            ///
            /// If it cannot be encoded.
            pub fn send(&mut self, message: &Message<'_>) {
                let mut buffer = vec![0; CONTROL_BUFFER_BYTES];
                let length = message.encode(&mut buffer).expect("a message that can be encoded");
                self.send_bytes(buffer.get(..length).unwrap_or_default());
            }

            /// Sends any bytes, from 1 to the size of a control buffer.
            ///
            /// # Panics
            ///
            /// If there are none, or too many.
            pub fn send_bytes(&mut self, bytes: &[u8]) {
                self.stage.send(bytes);
                self.settle();
            }

            /// The played side disconnects.
            pub fn disconnect(&mut self) {
                self.stage.issue(Operation::Disconnect);
                self.settle();
            }

            /// Time passes to the next deadline of the machine, which is returned.
            ///
            /// # Panics
            ///
            /// If it waits for nothing.
            #[track_caller]
            pub fn expire(&mut self) -> TimeoutReason {
                self.settle();
                let next = self.$machine.poll_timeout();
                let (deadline, reason) = next.expect("the machine waits for something");
                self.stage.expire(deadline);
                self.settle();
                reason
            }

            /// Gives the machine's side a RAM block.
            pub fn add_block(&mut self, backing: Backing) -> BlockIndex {
                let side = self.stage.side;
                self.stage.fabric.port(side).add_block(backing)
            }

            /// The machine's side of the fabric.
            pub const fn port(&mut self) -> Port<'_> {
                self.stage.fabric.port(self.stage.side)
            }

            /// The RAM of the played side.
            pub fn peer_memory(&mut self, block: BlockIndex) -> Vec<u8> {
                self.stage.fabric.port(self.stage.side.peer()).memory(block).to_vec()
            }

            /// What the machine, or the play, did against the rules.
            #[must_use]
            pub fn violations(&self) -> Vec<String> {
                self.stage.fabric.violations().iter().map(ToString::to_string).collect()
            }

            /// Whether the played side has been told that the connection is over.
            #[must_use]
            pub const fn is_disconnected(&self) -> bool {
                self.stage.disconnected
            }
        }
    };
}

play!(Scripted, source, SourceEvent);
play!(ScriptedSource, destination, DestinationEvent);

/// The fabric and the played side.
struct Stage<E> {
    fabric: Fabric,
    /// The machine's side.
    side: Side,
    events: VecDeque<E>,
    /// Messages of the machine that the test has not looked at.
    received: VecDeque<Vec<u8>>,
    /// The played side's next region.
    next_region: RegionId,
    /// The key of the played side's latest registration.
    registered: Option<Rkey>,
    disconnected: bool,
}

impl<E> fmt::Debug for Stage<E> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Stage").field("fabric", &self.fabric).finish_non_exhaustive()
    }
}

impl<E> Stage<E> {
    fn new(side: Side) -> Self {
        let cost = CostPreset::Free.model();
        let mut stage = Self {
            fabric: Fabric::new(FabricConfig { cost, ..FabricConfig::default() }),
            side,
            events: VecDeque::new(),
            received: VecDeque::new(),
            next_region: RegionId(0),
            registered: None,
            disconnected: false,
        };
        let buffers = (0..).map(ReceiveBuffer).take(RECEIVE_BUFFERS);
        for buffer in buffers {
            stage.issue(Operation::PostReceive { buffer });
        }
        stage
    }

    fn issue(&mut self, operation: Operation) {
        self.fabric.port(self.side.peer()).issue(operation);
    }

    fn send(&mut self, bytes: &[u8]) {
        let mut port = self.fabric.port(self.side.peer());
        let room = port.send_buffer().get_mut(..bytes.len());
        room.expect("a message that fits a control buffer").copy_from_slice(bytes);
        port.issue(Operation::Send { length: bytes.len() });
    }

    fn register(&mut self, length: u64, access: Access) -> (BlockIndex, Rkey) {
        let block = self.fabric.port(self.side.peer()).add_block(Backing::zeroed(length));
        let (region, offset) = (self.next_region, BlockOffset::new(0));
        self.next_region = RegionId(region.0 + 1);
        self.issue(Operation::RegisterMemory { region, block, offset, length, access });
        self.fabric.advance(self.fabric.now());
        self.serve();
        (block, self.registered.take().expect("nothing stands in the way of a registration"))
    }

    fn settle<M: Machine<Event = E>>(&mut self, machine: &mut M) {
        loop {
            self.fabric.rouse(self.side);
            let mut port = self.fabric.port(self.side);
            turn(machine, &mut port, &mut Listener(&mut self.events));
            self.serve();
            match self.fabric.next_event() {
                Some(next) => self.fabric.advance(next),
                None => return,
            }
        }
    }

    /// Takes what has come for the played side.
    fn serve(&mut self) {
        self.fabric.rouse(self.side.peer());
        let mut port = self.fabric.port(self.side.peer());
        let mut again = Vec::new();
        while let Some(input) = port.poll() {
            match input {
                Input::Completion(Completion::Received { buffer, bytes }) => {
                    self.received.push_back(bytes.to_vec());
                    again.push(buffer);
                }
                Input::Completion(Completion::MemoryRegistered { rkey, .. }) => {
                    self.registered = Some(rkey);
                }
                Input::Connection(ConnectionEvent::Disconnected) => self.disconnected = true,
                Input::Completion(_) | Input::Connection(_) => {}
            }
        }
        for buffer in again {
            if !self.disconnected {
                self.issue(Operation::PostReceive { buffer });
            }
        }
    }

    fn expire(&mut self, deadline: rdma_migration_protocol::time::Instant) {
        self.fabric.advance(deadline);
    }

    #[track_caller]
    fn expect_send(&mut self, kind: Kind) -> Vec<u8> {
        let Some(message) = self.received.pop_front() else {
            panic!("{kind} was expected, nothing was sent");
        };
        let sent = Header::parse(&message).map(|header| header.kind);
        assert_eq!(sent, Ok(kind));
        message
    }

    #[track_caller]
    fn expect_no_send(&self) {
        let kinds = self.received.iter().map(|message| Header::parse(message));
        let kinds: Vec<_> = kinds.collect();
        assert!(kinds.is_empty(), "nothing was expected, {kinds:?} was sent");
    }
}

/// An owner that only listens; the test makes the calls.
struct Listener<'e, E>(&'e mut VecDeque<E>);

impl<M: Machine, T> Owner<M, T> for Listener<'_, M::Event> {
    fn attend(&mut self, machine: &mut M, _transport: &mut T) {
        self.0.extend(core::iter::from_fn(|| machine.poll_event()));
    }
}

fn capabilities(flags: Flags) -> [u8; PRIVATE_DATA_BYTES] {
    let version = rdma_migration_protocol::wire::PROTOCOL_VERSION;
    Capabilities { version, flags }.to_bytes()
}
