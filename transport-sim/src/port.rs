//! What one side sees of the fabric: its adapter and its memory.

use rdma_migration_protocol::address::{BlockIndex, HostAddress};
use rdma_migration_protocol::time::Instant;
use rdma_migration_protocol::transport::{
    Completion, ConnectionEvent, Input, Operation, ReceiveBuffer, Statistics, Transport,
};

use crate::fabric::{Endpoint, Fabric, ReceiveSlot, Report, Seen};
use crate::memory::Backing;
use crate::side::Side;
use crate::violation::Breach;

/// One side's adapter and RAM, for as long as it is that side's turn.
#[derive(Debug)]
pub struct Port<'f> {
    fabric: &'f mut Fabric,
    side: Side,
}

impl<'f> Port<'f> {
    pub(crate) const fn new(fabric: &'f mut Fabric, side: Side) -> Self {
        Self { fabric, side }
    }

    /// Which side this is.
    #[must_use]
    pub const fn side(&self) -> Side {
        self.side
    }

    /// Gives the host a further RAM block.
    pub fn add_block(&mut self, backing: Backing) -> BlockIndex {
        let host_address = HostAddress::new(self.fabric.draw_host_address(self.side));
        self.endpoint_mut().memory.add(host_address, backing)
    }

    /// Where the host has the first byte of a block.
    #[must_use]
    pub fn host_address(&self, block: BlockIndex) -> Option<HostAddress> {
        self.endpoint().memory.host_address(block)
    }

    /// What a block is made of and what is in it.
    #[must_use]
    pub fn backing(&self, block: BlockIndex) -> Option<&Backing> {
        self.endpoint().memory.backing(block)
    }

    /// What is in a block, to be changed as the guest would.
    pub fn backing_mut(&mut self, block: BlockIndex) -> Option<&mut Backing> {
        self.endpoint_mut().memory.backing_mut(block)
    }

    /// The bytes of a block; of one that does not exist or has no bytes, none.
    #[must_use]
    pub fn memory(&self, block: BlockIndex) -> &[u8] {
        match self.backing(block) {
            Some(Backing::Bytes(bytes)) => bytes,
            Some(Backing::ZeroMap(_)) | None => &[],
        }
    }

    /// The bytes of a block, to be changed as the guest would; of one that does not exist or has no
    /// bytes, none.
    pub fn memory_mut(&mut self, block: BlockIndex) -> &mut [u8] {
        match self.backing_mut(block) {
            Some(Backing::Bytes(bytes)) => bytes,
            Some(Backing::ZeroMap(_)) | None => &mut [],
        }
    }

    /// Has the owner of this side called again at `instant`, whatever else happens.
    pub fn wake_at(&mut self, instant: Instant) {
        self.fabric.wake_at(self.side, instant);
    }

    /// What this side has cost so far.
    #[must_use]
    pub fn statistics(&self) -> &Statistics {
        &self.endpoint().statistics
    }

    /// Whether the fault of that name, which the owner acts out itself, is due now. True once.
    pub fn fault_due(&mut self, name: &str) -> bool {
        self.fabric.fault_due(name)
    }

    fn endpoint(&self) -> &Endpoint {
        self.fabric.endpoint(self.side)
    }

    fn endpoint_mut(&mut self) -> &mut Endpoint {
        self.fabric.endpoint_mut(self.side)
    }
}

impl Transport for Port<'_> {
    fn now(&self) -> Instant {
        self.fabric.now()
    }

    fn send_buffer(&mut self) -> &mut [u8] {
        &mut self.endpoint_mut().send_buffer
    }

    fn issue(&mut self, operation: Operation) {
        let endpoint = self.fabric.endpoint_mut(self.side);
        endpoint.statistics.operation(&operation, &endpoint.send_buffer);
        self.fabric.issue(self.side, operation);
    }

    fn poll(&mut self) -> Option<Input<'_>> {
        self.fabric.note_misread(self.side);
        let endpoint = self.fabric.endpoint_mut(self.side);
        if !endpoint.awake {
            return None;
        }
        let Some(report) = endpoint.inbox.pop_front() else {
            endpoint.awake = false;
            return None;
        };
        let Endpoint { statistics, receive_slots, private_data, queue_pair, .. } = endpoint;
        queue_pair.slots = queue_pair.slots.saturating_sub(report.slots());
        let input = show(report, receive_slots, private_data);
        if let Input::Completion(completion) = &input {
            statistics.completion(completion);
        }
        Some(input)
    }

    fn receive_buffer(&self, buffer: ReceiveBuffer) -> &[u8] {
        let endpoint = self.endpoint();
        match endpoint.slot(buffer) {
            Some(slot) if slot.seen == Seen::Held => &slot.bytes,
            Some(_) | None => {
                endpoint.misread.set(Some(buffer));
                &[]
            }
        }
    }
}

/// A report in the form that machines take.
fn show<'e>(
    report: Report,
    slots: &'e [ReceiveSlot],
    private_data_shown: &'e mut Vec<u8>,
) -> Input<'e> {
    Input::Completion(match report {
        Report::Requested(area) => {
            *private_data_shown = area;
            let private_data = private_data_shown;
            return Input::Connection(ConnectionEvent::Requested { private_data });
        }
        Report::Established(area) => {
            *private_data_shown = area;
            let private_data = private_data_shown;
            return Input::Connection(ConnectionEvent::Established { private_data });
        }
        Report::Rejected => return Input::Connection(ConnectionEvent::Rejected),
        Report::ConnectionFailed(error) => {
            return Input::Connection(ConnectionEvent::Failed { error });
        }
        Report::ConnectionLost => return Input::Connection(ConnectionEvent::Disconnected),
        Report::Received(buffer) => {
            let slot = slots.get(usize::from(buffer.0));
            Completion::Received { buffer, bytes: slot.map_or(&[], |slot| &slot.bytes) }
        }
        Report::Sent { .. } => Completion::Sent,
        Report::RamWritten { .. } => Completion::RamWritten,
        Report::RamScanned { block, offset, zero } => {
            Completion::RamScanned { block, offset, zero }
        }
        Report::RamZeroed { block, offset } => Completion::RamZeroed { block, offset },
        Report::MemoryRegistered { region, rkey } => Completion::MemoryRegistered { region, rkey },
        Report::MemoryDeregistered { region } => Completion::MemoryDeregistered { region },
        Report::Disconnected => Completion::Disconnected,
        Report::Failed(operation, error) => Completion::Failed { operation, error },
    })
}

impl Fabric {
    pub(crate) fn note_misread(&mut self, side: Side) {
        if let Some(buffer) = self.endpoint(side).misread.take() {
            self.breach(side, Breach::ReceiveBufferNotHeld(buffer));
        }
    }
}
