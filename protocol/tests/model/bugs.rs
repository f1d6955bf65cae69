//! Seeded bugs: each property has one that breaks it, so that it is known to be able to fail.
//!
//! They sit at the seam, between a machine and the model's transport, as a faulty machine would look
//! from there. The machines themselves are not touched.

use rdma_migration_protocol::address::{HostAddress, Rkey};
use rdma_migration_protocol::connection::GuestOwner;
use rdma_migration_protocol::deadline::TimeoutReason;
use rdma_migration_protocol::transport::{
    Completion, FailedOperation, Input, Operation, TransportError, WriteRam,
};
use rdma_migration_protocol::wire::{Entries, Message, RegisterResult};
use rdma_migration_transport_sim::Side;

use crate::guest::{CELL_BYTES, Cells};
use crate::link::Arrival;
use crate::memory::Memory;
use crate::world::{Outcome, World};

/// A bug to be found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Bug {
    /// The destination says READY before the reply.
    ReadyBeforeReply,
    /// The destination says READY twice.
    ReadyTwice,
    /// The source does not wait for READY: it takes the connection for one.
    NoWaitForReady,
    /// The destination posts its receives once and never again.
    ReceivesForgotten,
    /// The source writes with the key that a region had before it was unregistered.
    RevokedKey,
    /// The source writes next to where it should.
    WrongPlace,
    /// The source ends the round right behind its first write.
    FinishedEarly,
    /// The source gives a region back right behind a write that reads from it.
    TakenBackTooSoon,
    /// The source's registrations are not given back.
    RegionForgotten,
    /// The source takes the guest back where it cannot know.
    NeverUndecided,
    /// The source is undecided before the last message is posted.
    UndecidedTooSoon,
    /// The source waits for replies as long as it takes.
    NoDeadline,
    /// The destruction of the queue pair is never reported.
    DisconnectNeverAnswered,
    /// A deadline that fires is armed again, and nothing else.
    DeadlineForEver,
    /// A write is acknowledged and did not happen.
    WriteLost,
    /// A scan is reported as failed, with no cause.
    ScanNotDone,
    /// The source takes a cut for a failure, whatever had arrived before.
    FarewellIsFailure,
    /// The destination answers with a key of zero.
    ZeroKey,
    /// The source orders each deregistration twice.
    ReleasedTwice,
    /// The destination panics when it places its RAM blocks.
    Panic,
}

impl Bug {
    /// Carries out an operation as the faulty side would have ordered it.
    pub(crate) fn carry_out(
        self,
        world: &mut World,
        side: Side,
        operation: Operation,
        message: &[u8],
    ) {
        let destination = side == Side::Destination;
        match (self, operation, Message::parse(message)) {
            (Self::ReadyBeforeReply, Operation::Send { .. }, Ok(reply))
                if destination && !matches!(reply, Message::Ready | Message::Error) =>
            {
                world.send(side, &ready(), true);
                world.issue(side, operation, message);
            }
            (Self::ReadyTwice, Operation::Send { .. }, Ok(Message::Ready)) => {
                world.issue(side, operation, message);
                world.send(side, message, true);
            }
            (Self::NoWaitForReady, Operation::Connect { .. }, _) => {
                world.issue(side, operation, message);
                world.pretend_ready();
            }
            (Self::ReceivesForgotten, Operation::PostReceive { .. }, _)
                if destination && world.link.end(side).established => {}
            (Self::RevokedKey, Operation::WriteRam(write), _) => {
                let rkey = write.rkey.get();
                let rkey = Rkey::new(rkey.checked_sub(Memory::GENERATION).unwrap_or(rkey));
                world.write(WriteRam { rkey, ..write });
            }
            (Self::WrongPlace, Operation::WriteRam(write), _) => {
                let remote_address = HostAddress::new(write.remote_address.get() + CELL_BYTES);
                world.write(WriteRam { remote_address, ..write });
            }
            (Self::TakenBackTooSoon, Operation::WriteRam(write), _) => {
                world.issue(side, operation, message);
                let region = write.region;
                world.issue(side, Operation::DeregisterMemory { region }, &[]);
            }
            (Self::RegionForgotten, Operation::DeregisterMemory { .. }, _) if !destination => {
                world.issue(side, operation, message);
                world.forget_to_deregister();
            }
            (Self::FinishedEarly, Operation::WriteRam(_), _) => {
                world.issue(side, operation, message);
                world.send(side, &encode(&Message::RegisterFinished), true);
            }
            (Self::WriteLost, Operation::WriteRam(write), _) => {
                world.issue(side, operation, message);
                world.lose_write(&write);
            }
            (Self::ZeroKey, Operation::Send { .. }, Ok(Message::RegisterResult { .. })) => {
                let result =
                    RegisterResult { rkey: Rkey::new(0), host_address: HostAddress::new(0) };
                let results = Entries::new(core::slice::from_ref(&result));
                let zero = encode(&Message::RegisterResult { repeat: 1, results });
                world.issue(side, operation, &zero);
            }
            (Self::ScanNotDone, Operation::ScanRam { block, offset, .. }, _) => {
                let (operation, error) =
                    (FailedOperation::ScanRam { block, offset }, TransportError::DeviceFatal);
                world.tell(side, Input::Completion(Completion::Failed { operation, error }));
            }
            (Self::ReleasedTwice, Operation::DeregisterMemory { .. }, _) if !destination => {
                world.issue(side, operation, message);
                world.issue(side, operation, message);
            }
            (Self::Panic, Operation::Send { .. }, Ok(Message::RamBlocksResult(_))) => {
                panic!("a seeded panic");
            }
            _ => world.issue(side, operation, message),
        }
    }

    /// What a faulty source says of the guest.
    pub(crate) fn claim(self, world: &World, owner: GuestOwner) -> GuestOwner {
        match (self, owner) {
            (Self::NeverUndecided, GuestOwner::Undecided) => GuestOwner::Source,
            (Self::UndecidedTooSoon, GuestOwner::Source) if world.source_owner.finishing => {
                GuestOwner::Undecided
            }
            _ => owner,
        }
    }

    /// What a faulty source has a deadline for.
    pub(crate) fn wait(self, wait: Option<TimeoutReason>) -> Option<TimeoutReason> {
        wait.filter(|reason| self != Self::NoDeadline || *reason != TimeoutReason::Reply)
    }

    /// What a faulty source says of its end.
    pub(crate) fn report(self, world: &World, side: Side, outcome: Outcome) -> Outcome {
        let cut = side == Side::Source && world.faults > 0;
        if self == Self::FarewellIsFailure && cut { Outcome::Failure } else { outcome }
    }
}

impl World {
    /// The source takes a READY for received that nobody has sent.
    fn pretend_ready(&mut self) {
        let Some(buffer) = self.link.end(Side::Source).receives.front().copied() else { return };
        let bytes = ready();
        self.link.end_mut(Side::Source).receives.pop_front();
        let completion = Completion::Received { buffer, bytes: &bytes };
        self.tell(Side::Source, Input::Completion(completion));
    }

    /// The deregistration that was just begun will be reported, and the region stays.
    fn forget_to_deregister(&mut self) {
        let kept = self.memory.source.regions.iter().next().map(|(id, region)| (*id, *region));
        if let Some((mut id, region)) = kept {
            id.0 += 1000;
            self.memory.source.regions.insert(id, region);
        }
    }

    /// The write that was just posted leaves the destination's RAM as it was.
    fn lose_write(&mut self, write: &WriteRam) {
        let cells = Cells::of(write.block, write.offset, write.length);
        let before = cells.slice(&self.memory.destination.ram).to_vec();
        if let Some(inbound) = self.link.end_mut(Side::Destination).inbound.back_mut()
            && let Arrival::Write(landing) = &mut inbound.what
        {
            landing.versions = before;
        }
    }
}

fn ready() -> Vec<u8> {
    encode(&Message::Ready)
}

fn encode(message: &Message<'_>) -> Vec<u8> {
    let mut buffer = [0; 64];
    let length = message.encode(&mut buffer).expect("it is short");
    buffer[..length].to_vec()
}
