//! Two adapters without machines, for operations by hand.
#![allow(dead_code, reason = "each test file uses its part")]

use Side::{Destination, Source};
use rdma_migration_protocol::address::{BlockIndex, BlockOffset, Rkey};
use rdma_migration_protocol::transport::{
    Access, Completion, FailedOperation, Input, Operation, ReceiveBuffer, RegionId, Transport,
    TransportError, WriteRam,
};
use rdma_migration_transport_sim::{
    Backing, Breach, CostPreset, Fabric, FabricConfig, Side, Violation,
};

pub(crate) const PAGE: u64 = 4096;
pub(crate) const BLOCK: BlockIndex = BlockIndex::new(0);
pub(crate) const CAPABILITIES: [u8; 8] = [0, 0, 0, 1, 0, 0, 0, 0];

/// Two adapters without machines.
#[derive(Debug)]
pub(crate) struct Bench(pub(crate) Fabric);

impl Bench {
    pub(crate) fn new(config: FabricConfig) -> Self {
        let mut bench = Self(Fabric::new(config));
        for side in Side::BOTH {
            bench.0.port(side).add_block(Backing::Bytes(vec![7; 1 << 16]));
        }
        bench
    }

    pub(crate) fn connected() -> Self {
        Self::connected_with(free())
    }

    pub(crate) fn connected_with(config: FabricConfig) -> Self {
        let mut bench = Self::new(config);
        bench.issue(Source, Operation::Connect { private_data: CAPABILITIES });
        bench.issue(Destination, Operation::Accept { private_data: CAPABILITIES });
        for side in Side::BOTH {
            bench.inputs(side);
        }
        bench
    }

    /// Issues an operation and lets everything happen that follows.
    pub(crate) fn issue(&mut self, side: Side, operation: Operation) {
        self.0.port(side).issue(operation);
        self.settle();
    }

    pub(crate) fn settle(&mut self) {
        while let Some(next) = self.0.next_event() {
            self.0.advance(next);
        }
    }

    pub(crate) fn inputs(&mut self, side: Side) -> Vec<String> {
        self.0.rouse(side);
        let mut port = self.0.port(side);
        let mut inputs = Vec::new();
        while let Some(input) = port.poll() {
            inputs.push(format!("{input:?}"));
        }
        inputs
    }

    pub(crate) fn failures(&mut self, side: Side) -> Vec<(FailedOperation, TransportError)> {
        self.0.rouse(side);
        let mut port = self.0.port(side);
        let mut failures = Vec::new();
        while let Some(input) = port.poll() {
            if let Input::Completion(Completion::Failed { operation, error }) = input {
                failures.push((operation, error));
            }
        }
        failures
    }

    pub(crate) fn register(&mut self, side: Side, region: u32, access: Access) -> Rkey {
        self.issue(side, registration(region, 0, 2 * PAGE, access));
        self.0.rouse(side);
        let mut port = self.0.port(side);
        while let Some(input) = port.poll() {
            if let Input::Completion(Completion::MemoryRegistered { rkey, .. }) = input {
                return rkey;
            }
        }
        panic!("the registration was not answered");
    }

    /// A good write, with both ends registered as region 1.
    pub(crate) fn write(&mut self) -> WriteRam {
        self.register(Source, 1, Access::LocalRead);
        let rkey = self.register(Destination, 1, Access::RemoteWrite);
        for side in Side::BOTH {
            self.inputs(side);
        }
        let remote_address = self.0.port(Destination).host_address(BLOCK).unwrap();
        let (region, offset) = (RegionId(1), BlockOffset::new(0));
        let (length, signaled) = (PAGE, true);
        WriteRam { region, block: BLOCK, offset, length, remote_address, rkey, signaled }
    }

    #[track_caller]
    pub(crate) fn assert_breaches(&self, side: Side, breaches: impl IntoIterator<Item = Breach>) {
        let expected: Vec<_> =
            breaches.into_iter().map(|breach| Violation { side, breach }).collect();
        assert_eq!(self.0.violations(), expected);
    }
}

pub(crate) fn free() -> FabricConfig {
    FabricConfig { cost: CostPreset::Free.model(), ..FabricConfig::default() }
}

pub(crate) fn registration(region: u32, offset: u64, length: u64, access: Access) -> Operation {
    let (region, offset) = (RegionId(region), BlockOffset::new(offset));
    Operation::RegisterMemory { region, block: BLOCK, offset, length, access }
}

pub(crate) fn receive(buffer: u8) -> Operation {
    Operation::PostReceive { buffer: ReceiveBuffer(buffer) }
}

pub(crate) const SEND: Operation = Operation::Send { length: 16 };
