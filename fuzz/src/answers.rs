//! What a transport answers: what fits an operation, and what fits none.

use rdma_migration_protocol::address::{BlockOffset, Rkey};
use rdma_migration_protocol::transport::{
    Completion, FailedOperation, Operation, ReceiveBuffer, RegionId, TransportError,
};

use crate::guest::{block, edge};
use crate::script::Script;

/// Every error that a transport can report.
pub(crate) const ERRORS: [TransportError; 17] = [
    TransportError::LocalLength,
    TransportError::LocalQueuePair,
    TransportError::LocalProtection,
    TransportError::Flushed,
    TransportError::BadResponse,
    TransportError::LocalAccess,
    TransportError::RemoteInvalidRequest,
    TransportError::RemoteAccess,
    TransportError::RemoteOperation,
    TransportError::RetryExceeded,
    TransportError::ReceiverNotReady,
    TransportError::QueueFull,
    TransportError::DeviceFatal,
    TransportError::MemoryLimit,
    TransportError::OutOfMemory,
    TransportError::Cancelled,
    TransportError::Os(5),
];

/// The key of a destination's region.
pub(crate) fn rkey(region: RegionId) -> Rkey {
    Rkey::new(0x100 + region.0)
}

/// The answer to an operation that went well; none where none is due.
pub(crate) fn well(operation: Operation, zero: bool) -> Option<Completion<'static>> {
    match operation {
        Operation::Send { .. } => Some(Completion::Sent),
        Operation::WriteRam(write) => write.signaled.then_some(Completion::RamWritten),
        Operation::ScanRam { block, offset, .. } => {
            Some(Completion::RamScanned { block, offset, zero })
        }
        Operation::ZeroRam { block, offset, .. } => Some(Completion::RamZeroed { block, offset }),
        Operation::RegisterMemory { region, .. } => {
            Some(Completion::MemoryRegistered { region, rkey: rkey(region) })
        }
        Operation::DeregisterMemory { region } => Some(Completion::MemoryDeregistered { region }),
        Operation::Disconnect => Some(Completion::Disconnected),
        Operation::Connect { .. }
        | Operation::Accept { .. }
        | Operation::Reject
        | Operation::PostReceive { .. } => None,
    }
}

/// The answer to an operation that failed; none where it cannot.
pub(crate) fn badly(operation: Operation, error: TransportError) -> Option<Completion<'static>> {
    let operation = match operation {
        Operation::Send { .. } => FailedOperation::Send,
        Operation::WriteRam(_) => FailedOperation::WriteRam,
        Operation::ScanRam { block, offset, .. } => FailedOperation::ScanRam { block, offset },
        Operation::ZeroRam { block, offset, .. } => FailedOperation::ZeroRam { block, offset },
        Operation::RegisterMemory { region, .. } => FailedOperation::RegisterMemory { region },
        Operation::DeregisterMemory { region } => FailedOperation::DeregisterMemory { region },
        Operation::Disconnect
        | Operation::Connect { .. }
        | Operation::Accept { .. }
        | Operation::Reject
        | Operation::PostReceive { .. } => return None,
    };
    Some(Completion::Failed { operation, error })
}

/// Any answer but a received message.
pub(crate) fn any(script: &mut Script<'_>) -> Completion<'static> {
    let which = script.byte();
    let region = RegionId(u32::from(script.byte() % 8));
    let (block, offset) = (block(script), BlockOffset::new(edge(script)));
    let failed = |operation, script: &mut Script<'_>| {
        let error = script.pick(&ERRORS);
        Completion::Failed { operation, error }
    };
    match which % 14 {
        0 => Completion::Sent,
        1 => Completion::RamWritten,
        2 => Completion::Disconnected,
        3 => Completion::RamScanned { block, offset, zero: script.yes() },
        4 => Completion::RamZeroed { block, offset },
        5 => Completion::MemoryRegistered { region, rkey: Rkey::new(script.byte().into()) },
        6 => Completion::MemoryDeregistered { region },
        7 => failed(FailedOperation::Receive { buffer: buffer(script) }, script),
        8 => failed(FailedOperation::Send, script),
        9 => failed(FailedOperation::WriteRam, script),
        10 => failed(FailedOperation::ScanRam { block, offset }, script),
        11 => failed(FailedOperation::ZeroRam { block, offset }, script),
        12 => failed(FailedOperation::RegisterMemory { region }, script),
        _ => failed(FailedOperation::DeregisterMemory { region }, script),
    }
}

/// A receive buffer, or the number of none.
pub(crate) fn buffer(script: &mut Script<'_>) -> ReceiveBuffer {
    ReceiveBuffer(script.byte() % 5)
}
