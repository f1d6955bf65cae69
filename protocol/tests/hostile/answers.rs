//! What answers which operation.

use rdma_migration_protocol::address::Rkey;
use rdma_migration_protocol::transport::{Completion, FailedOperation, Operation, TransportError};

/// The answer to an operation that went well. `which`: one scan in four finds zero.
pub(crate) fn well(operation: Operation, which: usize) -> Option<Completion<'static>> {
    match operation {
        Operation::Send { .. } => Some(Completion::Sent),
        Operation::WriteRam(write) => write.signaled.then_some(Completion::RamWritten),
        Operation::ScanRam { block, offset, .. } => {
            Some(Completion::RamScanned { block, offset, zero: which.is_multiple_of(4) })
        }
        Operation::ZeroRam { block, offset, .. } => Some(Completion::RamZeroed { block, offset }),
        Operation::RegisterMemory { region, .. } => {
            Some(Completion::MemoryRegistered { region, rkey: Rkey::new(5) })
        }
        Operation::DeregisterMemory { region } => Some(Completion::MemoryDeregistered { region }),
        Operation::Disconnect => Some(Completion::Disconnected),
        Operation::Connect { .. }
        | Operation::Accept { .. }
        | Operation::Reject
        | Operation::PostReceive { .. } => None,
    }
}

/// The answer to an operation that failed.
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
