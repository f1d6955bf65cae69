//! What the tests on a device share: where the device is, and a side that is driven by hand.
#![allow(dead_code, reason = "each test program uses a part of it")]

pub(crate) mod held;
pub(crate) mod owners;

use std::env;
use std::sync::Arc;
use std::time::Duration;

use rdma_migration_protocol::address::{BlockIndex, BlockOffset, HostAddress, Rkey};
use rdma_migration_protocol::time::Instant;
use rdma_migration_protocol::transport::{
    Access, BlockingTransport, Completion, ConnectionEvent, FailedOperation, Input, Operation,
    ReceiveBuffer, RegionId, Transport, TransportError, WriteRam,
};
use rdma_migration_transport_verbs::{GuestRam, VerbsConfig, VerbsTransport};

pub(crate) const OFFER: [u8; 8] = *b"offered!";
pub(crate) const ANSWER: [u8; 8] = *b"answered";

/// How long anything may take here, on an emulated machine.
pub(crate) const LIMIT: Duration = Duration::from_secs(20);

/// The address of the RDMA device under test.
pub(crate) fn address() -> String {
    env::var("RDMA_MIGRATION_LAB_ADDRESS")
        .expect("RDMA_MIGRATION_LAB_ADDRESS has to be the address of an RDMA device")
}

/// What a machine would be told, without what it borrows.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Seen {
    Requested(Vec<u8>),
    Established(Vec<u8>),
    Rejected,
    ConnectionFailed(TransportError),
    Lost,
    Received(u8, Vec<u8>),
    Sent,
    Written,
    Scanned(bool),
    Zeroed,
    Registered(RegionId, Rkey),
    Deregistered(RegionId),
    Disconnected,
    Failed(FailedOperation, TransportError),
}

/// A transport in the place of whose machine stands a test.
pub(crate) struct Side {
    pub(crate) transport: VerbsTransport,
}

impl Side {
    pub(crate) fn listening(config: VerbsConfig) -> Self {
        let transport = VerbsTransport::listen(&address(), 0, config).unwrap();
        Self { transport }
    }

    /// A source for this destination.
    pub(crate) fn source(&self, config: VerbsConfig) -> Self {
        let address = self.transport.local_address().unwrap();
        let transport =
            VerbsTransport::to(&address.ip().to_string(), address.port(), config).unwrap();
        Self { transport }
    }

    pub(crate) fn issue(&mut self, operation: Operation) {
        self.transport.issue(operation);
    }

    pub(crate) fn post(&mut self, buffer: u8) {
        self.issue(Operation::PostReceive { buffer: ReceiveBuffer(buffer) });
    }

    pub(crate) fn connect(&mut self) {
        self.issue(Operation::Connect { private_data: OFFER });
    }

    pub(crate) fn accept(&mut self) {
        self.issue(Operation::Accept { private_data: ANSWER });
    }

    pub(crate) fn send(&mut self, message: &[u8]) {
        self.transport.send_buffer()[..message.len()].copy_from_slice(message);
        self.issue(Operation::Send { length: message.len() });
    }

    pub(crate) fn attach(&mut self, bytes: usize) -> (Arc<GuestRam>, BlockIndex) {
        let ram = Arc::new(GuestRam::anonymous(bytes).unwrap());
        let block = self.transport.attach_ram(Arc::clone(&ram));
        (ram, block)
    }

    pub(crate) fn register(&mut self, region: u32, block: BlockIndex, access: Access) -> Rkey {
        let region = RegionId(region);
        let (offset, length) = (offset(0), self.transport.block_length(block).unwrap());
        self.issue(Operation::RegisterMemory { region, block, offset, length, access });
        match self.next() {
            Seen::Registered(registered, rkey) if registered == region => rkey,
            other => panic!("registration was answered by {other:?}"),
        }
    }

    pub(crate) fn deregister(&mut self, region: u32) {
        let region = RegionId(region);
        self.issue(Operation::DeregisterMemory { region });
        assert_eq!(self.next(), Seen::Deregistered(region));
    }

    pub(crate) fn host_address(&self, block: BlockIndex) -> HostAddress {
        self.transport.host_address(block).unwrap()
    }

    /// The next input; fails the test if none comes.
    pub(crate) fn next(&mut self) -> Seen {
        self.next_within(LIMIT).unwrap_or_else(|| panic!("nothing came to {:?}", self.transport))
    }

    /// The next input, if one comes in time.
    pub(crate) fn next_within(&mut self, limit: Duration) -> Option<Seen> {
        let deadline = self.transport.now().after(limit);
        loop {
            if let Some(input) = self.transport.poll() {
                return Some(seen(input));
            }
            if self.transport.now() >= deadline {
                return None;
            }
            self.transport.wait(Some(deadline));
        }
    }

    /// Nothing comes for a while.
    pub(crate) fn expect_nothing(&mut self) {
        assert_eq!(self.next_within(Duration::from_millis(300)), None);
    }

    /// Everything up to and with `Disconnected`.
    pub(crate) fn disconnect(&mut self) -> Vec<Seen> {
        self.issue(Operation::Disconnect);
        let mut all = Vec::new();
        while all.last() != Some(&Seen::Disconnected) {
            all.push(self.next());
        }
        all
    }

    pub(crate) fn now(&self) -> Instant {
        self.transport.now()
    }
}

pub(crate) const fn offset(bytes: u64) -> BlockOffset {
    BlockOffset::new(bytes)
}

/// A write of the beginning of a block to the beginning of the peer's.
pub(crate) fn write(block: BlockIndex, length: u64, remote: HostAddress, rkey: Rkey) -> WriteRam {
    WriteRam {
        region: RegionId(0),
        block,
        offset: offset(0),
        length,
        remote_address: remote,
        rkey,
        signaled: true,
    }
}

/// A source and a destination that are connected; each has posted `receives` receives.
pub(crate) fn connected(receives: u8) -> (Side, Side) {
    connected_with(VerbsConfig::default(), VerbsConfig::default(), receives)
}

pub(crate) fn connected_with(
    source: VerbsConfig,
    destination: VerbsConfig,
    receives: u8,
) -> (Side, Side) {
    let mut destination = Side::listening(destination);
    let mut source = destination.source(source);
    (0..receives).for_each(|buffer| source.post(buffer));
    source.connect();
    requested(&mut source, &mut destination);
    (0..receives).for_each(|buffer| destination.post(buffer));
    destination.accept();
    assert!(matches!(source.next(), Seen::Established(_)));
    assert_eq!(destination.next(), Seen::Established(Vec::new()));
    (source, destination)
}

/// Lets a source resolve its way until its request has arrived, and returns the private data.
pub(crate) fn requested(source: &mut Side, destination: &mut Side) -> Vec<u8> {
    let deadline = source.now().after(LIMIT);
    while source.now() < deadline {
        assert_eq!(source.next_within(Duration::from_millis(5)), None);
        match destination.next_within(Duration::from_millis(5)) {
            Some(Seen::Requested(private_data)) => return private_data,
            None => {}
            other => panic!("the destination saw {other:?}"),
        }
    }
    panic!("no request arrived: {:?}", source.transport);
}

fn seen(input: Input<'_>) -> Seen {
    match input {
        Input::Connection(event) => match event {
            ConnectionEvent::Requested { private_data } => Seen::Requested(private_data.to_vec()),
            ConnectionEvent::Established { private_data } => {
                Seen::Established(private_data.to_vec())
            }
            ConnectionEvent::Rejected => Seen::Rejected,
            ConnectionEvent::Failed { error } => Seen::ConnectionFailed(error),
            ConnectionEvent::Disconnected => Seen::Lost,
        },
        Input::Completion(completion) => match completion {
            Completion::Received { buffer, bytes } => Seen::Received(buffer.0, bytes.to_vec()),
            Completion::Sent => Seen::Sent,
            Completion::RamWritten => Seen::Written,
            Completion::RamScanned { zero, .. } => Seen::Scanned(zero),
            Completion::RamZeroed { .. } => Seen::Zeroed,
            Completion::MemoryRegistered { region, rkey } => Seen::Registered(region, rkey),
            Completion::MemoryDeregistered { region } => Seen::Deregistered(region),
            Completion::Disconnected => Seen::Disconnected,
            Completion::Failed { operation, error } => Seen::Failed(operation, error),
        },
    }
}
