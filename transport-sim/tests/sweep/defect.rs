//! Machines with a bug each, to see that the sweep finds what it looks for.

use core::time::Duration;

use rdma_migration_protocol::address::{BlockOffset, HostAddress};
use rdma_migration_protocol::connection::GuestOwner;
use rdma_migration_protocol::deadline::TimeoutReason;
use rdma_migration_protocol::time::Instant;
use rdma_migration_protocol::transport::{Completion, Operation, WriteRam};
use rdma_migration_protocol::wire::{Header, Kind};

use crate::watch::Record;

/// What is wrong with a machine.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Defect {
    /// A source reads its RAM from the wrong place of the right chunk.
    WritesFromWrongPlace,
    /// A source changes the first byte of a stream message.
    SpoilsStream,
    /// A source writes a page further than it should.
    WritesTooFar,
    /// A destination lets the guest run as soon as it is asked for anything.
    RunsTheGuestEarly,
    /// A source is undecided from its first operation on.
    UndecidedEarly,
    /// A side waits without a deadline.
    NoDeadline,
    /// A side waits an hour longer than it should.
    LateDeadline,
    /// A side forgets to give its regions back, and believes that it has.
    Leaks,
    /// A side panics at its eleventh operation.
    Panics,
    /// A side allocates this much for each completion.
    Wastes(usize),
}

impl Defect {
    /// What becomes of an operation, or how the machine is made to believe that it was carried out.
    pub(crate) fn spoil(
        self,
        operation: Operation,
        send_buffer: &mut [u8],
        number: u64,
    ) -> Result<Operation, Completion<'static>> {
        match (self, operation) {
            (Self::WritesFromWrongPlace, Operation::WriteRam(write)) => {
                let offset = BlockOffset::new(0);
                Ok(Operation::WriteRam(WriteRam { offset, ..write }))
            }
            (Self::WritesTooFar, Operation::WriteRam(write)) => {
                let remote_address = HostAddress::new(write.remote_address.get() + 4096);
                Ok(Operation::WriteRam(WriteRam { remote_address, ..write }))
            }
            (Self::SpoilsStream, Operation::Send { .. }) => {
                let stream = |header: Header| header.kind == Kind::QemuFile;
                if Header::parse(send_buffer).is_ok_and(stream) {
                    send_buffer[16] ^= 1;
                }
                Ok(operation)
            }
            (Self::Leaks, Operation::DeregisterMemory { region }) => {
                Err(Completion::MemoryDeregistered { region })
            }
            (Self::Panics, _) if number >= 10 => panic!("a seeded defect"),
            _ => Ok(operation),
        }
    }

    pub(crate) fn guest_owner(self, owner: GuestOwner, record: &Record) -> GuestOwner {
        match self {
            Self::RunsTheGuestEarly if record.operations > 3 => GuestOwner::Destination,
            Self::UndecidedEarly if record.operations > 0 => GuestOwner::Undecided,
            _ => owner,
        }
    }

    pub(crate) fn deadline(
        self,
        deadline: Option<(Instant, TimeoutReason)>,
    ) -> Option<(Instant, TimeoutReason)> {
        match self {
            Self::NoDeadline => None,
            Self::LateDeadline => {
                deadline.map(|(at, reason)| (at.after(Duration::from_secs(3600)), reason))
            }
            _ => deadline,
        }
    }

    pub(crate) const fn waste(self) -> usize {
        match self {
            Self::Wastes(bytes) => bytes,
            _ => 0,
        }
    }
}
