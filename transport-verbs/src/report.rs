//! What the transport has to tell its machine, kept until it is asked for.

use rdma_migration_protocol::address::{BlockIndex, BlockOffset, Rkey};
use rdma_migration_protocol::transport::{
    Completion, ConnectionEvent, FailedOperation, Input, ReceiveBuffer, RegionId, TransportError,
};

use crate::connection_manager::PrivateData;
use crate::control_buffers::ControlBuffers;

/// An input for the machine, without what it borrows.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Report {
    Requested,
    Established,
    Rejected,
    ConnectionFailed(TransportError),
    ConnectionLost,
    Received(ReceiveBuffer),
    Sent,
    RamWritten,
    RamScanned { block: BlockIndex, offset: BlockOffset, zero: bool },
    RamZeroed { block: BlockIndex, offset: BlockOffset },
    MemoryRegistered { region: RegionId, rkey: Rkey },
    MemoryDeregistered { region: RegionId },
    Disconnected,
    Failed(FailedOperation, TransportError),
}

impl Report {
    /// The report in the form that machines take.
    pub(crate) fn show<'a>(
        self,
        private_data: &'a PrivateData,
        control: &'a ControlBuffers,
    ) -> Input<'a> {
        let private_data = private_data.bytes();
        let completion = match self {
            Self::Requested => {
                return Input::Connection(ConnectionEvent::Requested { private_data });
            }
            Self::Established => {
                return Input::Connection(ConnectionEvent::Established { private_data });
            }
            Self::Rejected => return Input::Connection(ConnectionEvent::Rejected),
            Self::ConnectionFailed(error) => {
                return Input::Connection(ConnectionEvent::Failed { error });
            }
            Self::ConnectionLost => return Input::Connection(ConnectionEvent::Disconnected),
            Self::Received(buffer) => {
                Completion::Received { buffer, bytes: control.message(buffer) }
            }
            Self::Sent => Completion::Sent,
            Self::RamWritten => Completion::RamWritten,
            Self::RamScanned { block, offset, zero } => {
                Completion::RamScanned { block, offset, zero }
            }
            Self::RamZeroed { block, offset } => Completion::RamZeroed { block, offset },
            Self::MemoryRegistered { region, rkey } => {
                Completion::MemoryRegistered { region, rkey }
            }
            Self::MemoryDeregistered { region } => Completion::MemoryDeregistered { region },
            Self::Disconnected => Completion::Disconnected,
            Self::Failed(operation, error) => Completion::Failed { operation, error },
        };
        Input::Completion(completion)
    }
}
