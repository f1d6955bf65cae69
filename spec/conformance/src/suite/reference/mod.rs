//! This project's own source and destination, on the simulator, as peers under test.

mod source_owner;

use core::time::Duration;
use std::panic::{AssertUnwindSafe, catch_unwind};

use rdma_migration_protocol::address::BlockIndex;
use rdma_migration_protocol::connection::{Closed, GuestOwner, PinAllOffer};
use rdma_migration_protocol::destination::{Destination, DestinationConfig};
use rdma_migration_protocol::source::{Source, SourceConfig};
use rdma_migration_protocol::time::Instant;
use rdma_migration_protocol::transport::{Machine, Owner, Transport, turn};
use rdma_migration_transport_sim::{CostPreset, Fabric, FabricConfig, ParseFaultError, Port, Side};
use sha2::{Digest, Sha256};

use super::link::{Host, Live};
use super::{Aftermath, Case, Link, PeerState, Role};
use crate::guest_memory::GuestMemory;
use crate::migrate::guest::GuestBlock;
use crate::receive::{Recorder, Wishes};
use source_owner::SourceOwner;

/// How long a peer may go on after its connection is gone. The longest of its deadlines is shorter.
const ENDS_WITHIN: Duration = Duration::from_secs(900);

/// The RAM of a source under test: several chunks, part of them zero, and blocks of less than one.
const SOURCE_RAM: [(&str, u64); 3] =
    [("pc.ram", 7 << 19), ("vga.vram", 1 << 20), ("pc.bios", 256 << 10)];

/// What stands between a peer and its adapter. [`Plain`] is nothing.
pub trait Seam {
    /// The adapter as the peer sees it.
    type Adapter<'a, 'f>: Transport + GuestMemory
    where
        Self: 'a,
        'f: 'a;

    /// Stands before an adapter.
    fn stand<'a, 'f>(&'a mut self, port: Port<'f>) -> Self::Adapter<'a, 'f>;

    /// When a deadline of the peer comes, if its clock is not that of the fabric. `None`: never.
    fn alarm(&self, deadline: Instant) -> Option<Instant> {
        Some(deadline)
    }
}

/// Nothing: the peer has its adapter for itself.
#[derive(Clone, Copy, Debug, Default)]
pub struct Plain;

impl Seam for Plain {
    type Adapter<'a, 'f>
        = Port<'f>
    where
        'f: 'a;

    fn stand<'f>(&mut self, port: Port<'f>) -> Port<'f> {
        port
    }
}

/// A link to a new peer for a case.
///
/// # Errors
/// [`ParseFaultError`] if the case names a fault that does not exist.
pub fn link<'s, S: Seam + 's>(
    case: &Case,
    seed: u64,
    seam: S,
) -> Result<Box<dyn Link + 's>, ParseFaultError> {
    let faults =
        case.peer.faults.iter().map(|fault| fault.parse()).collect::<Result<Vec<_>, _>>()?;
    let fabric = Fabric::new(FabricConfig {
        seed,
        cost: CostPreset::default().model(),
        faults: faults.into_iter().collect(),
        ..FabricConfig::default()
    });
    Ok(match case.role {
        Role::Source => Box::new(Live::new(source(case, seed, fabric, seam))),
        Role::Destination => Box::new(Live::new(destination(fabric, seam))),
    })
}

fn source<S: Seam>(
    case: &Case,
    seed: u64,
    mut fabric: Fabric,
    seam: S,
) -> ReferenceHost<Source, SourceOwner, S> {
    let blocks = SOURCE_RAM.map(|(name, length)| GuestBlock::new(name, length, 128)).to_vec();
    let memory = &mut fabric.port(Side::Source);
    let owner = SourceOwner::new(blocks, memory, seed, case.peer.unregisters);
    let machine = Source::new(SourceConfig {
        pin_all: if case.peer.pin_all { PinAllOffer::Preferred } else { PinAllOffer::Never },
        peer_unregisters: case.peer.unregisters,
        ..SourceConfig::default()
    });
    let machine = machine.expect("the configuration is valid");
    ReferenceHost::new(fabric, Side::Source, machine, owner, seam)
}

fn destination<S: Seam>(fabric: Fabric, seam: S) -> ReferenceHost<Destination, Recorder<()>, S> {
    let wishes = Wishes { looking_percent: 0, ..Wishes::default() };
    let owner = Recorder::new(wishes, Default::default(), ());
    let machine = Destination::new(DestinationConfig::default());
    ReferenceHost::new(fabric, Side::Destination, machine, owner, seam)
}

/// How a peer sees its end.
trait Ends {
    fn closed(&self) -> Option<&Closed>;
}

impl Ends for SourceOwner {
    fn closed(&self) -> Option<&Closed> {
        Self::closed(self)
    }
}

impl Ends for Recorder<()> {
    fn closed(&self) -> Option<&Closed> {
        Self::closed(self)
    }
}

/// The fabric with a peer on its other side.
struct ReferenceHost<M, O, S> {
    fabric: Fabric,
    peer: Side,
    machine: M,
    owner: O,
    seam: S,
    /// What the peer said when it panicked.
    crashed: Option<String>,
}

impl<M, O, S> ReferenceHost<M, O, S>
where
    M: Machine + Owned,
    S: Seam,
    O: for<'a, 'f> Owner<M, S::Adapter<'a, 'f>> + Ends,
{
    fn new(fabric: Fabric, peer: Side, machine: M, owner: O, seam: S) -> Self {
        Self { fabric, peer, machine, owner, seam, crashed: None }
    }

    /// When the peer's next deadline comes.
    fn deadline(&self) -> Option<Instant> {
        self.machine.poll_timeout().and_then(|(at, _)| self.seam.alarm(at))
    }

    /// Lets the peer do what it can now.
    fn take_turn(&mut self) {
        let due = self.deadline().is_some_and(|at| at <= self.fabric.now());
        if due {
            self.fabric.rouse(self.peer);
        }
        if self.crashed.is_some() || !self.fabric.is_awake(self.peer) {
            return;
        }
        let Self { fabric, peer, machine, owner, seam, .. } = self;
        let mut adapter = seam.stand(fabric.port(*peer));
        let turned = catch_unwind(AssertUnwindSafe(|| turn(machine, &mut adapter, owner)));
        drop(adapter);
        // From posting the last message on, and not before, a source is undecided.
        if machine.guest_owner() == GuestOwner::Undecided {
            fabric.mark_last_send();
        }
        self.crashed = turned.err().map(|panic| {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            text.unwrap_or_else(|| "it panicked".to_owned())
        });
    }

    /// Lets time pass to the next thing that happens, but not past `until`. False if `until` came.
    fn pass(&mut self, until: Instant) -> bool {
        let deadline = self.deadline().filter(|_| self.crashed.is_none());
        let next = deadline.into_iter().chain(self.fabric.next_event()).min();
        match next.filter(|next| *next <= until) {
            Some(next) => {
                self.fabric.advance(next);
                true
            }
            None => {
                self.fabric.advance(until);
                false
            }
        }
    }

    fn ram(&mut self) -> Vec<String> {
        let port = self.fabric.port(self.peer);
        let blocks =
            (0..).map(BlockIndex::new).take_while(|block| port.host_address(*block).is_some());
        blocks.map(|block| hex::encode(Sha256::digest(port.memory(block)))).collect()
    }
}

impl<M, O, S> Host for ReferenceHost<M, O, S>
where
    M: Machine + Owned,
    S: Seam,
    O: for<'a, 'f> Owner<M, S::Adapter<'a, 'f>> + Ends,
{
    type Adapter<'a>
        = Port<'a>
    where
        Self: 'a;

    fn adapter(&mut self) -> Port<'_> {
        self.fabric.port(self.peer.peer())
    }

    fn now(&self) -> Instant {
        self.fabric.now()
    }

    fn wait(&mut self, until: Instant) {
        let ours = self.peer.peer();
        loop {
            self.take_turn();
            if self.fabric.is_awake(ours) || !self.pass(until) {
                // A play looks when it likes: it has no wake-up to wait for.
                self.fabric.rouse(ours);
                return;
            }
        }
    }

    fn aftermath(&mut self) -> Aftermath {
        let until = self.fabric.now().after(ENDS_WITHIN);
        loop {
            self.take_turn();
            let over = self.machine.is_closed() && self.fabric.next_event().is_none();
            if over || !self.pass(until) {
                break;
            }
        }
        let closed = self.owner.closed().cloned();
        let completed = closed.as_ref().is_some_and(|closed| closed.result.is_ok());
        let state = match self.crashed.take() {
            Some(how) => PeerState::Crashed { how },
            None if self.machine.is_closed() => PeerState::Ended,
            None => PeerState::Waiting,
        };
        let violations = self.fabric.violations().iter();
        let breaches = violations.filter(|violation| violation.side == self.peer);
        Aftermath {
            state,
            guest_owner: Some(self.machine.guest_owner().to_string()),
            completed: Some(completed),
            says: closed.and_then(|closed| closed.result.err()).map(|error| error.to_string()),
            regions_left: Some(self.fabric.regions_left(self.peer)),
            breaches: breaches.map(|violation| violation.breach.to_string()).collect(),
            ram: Some(self.ram()),
        }
    }
}

/// Who owns the guest, as a machine sees it.
trait Owned {
    fn guest_owner(&self) -> GuestOwner;
}

impl Owned for Source {
    fn guest_owner(&self) -> GuestOwner {
        Self::guest_owner(self)
    }
}

impl Owned for Destination {
    fn guest_owner(&self) -> GuestOwner {
        Self::guest_owner(self)
    }
}
