//! Work on a side's own memory, beside its machine: registration, scans, fills.

use core::time::Duration;

use rdma_migration_protocol::transport::{
    Access, FailedOperation, Operation, RegionId, TransportError,
};

use super::connection::ConnectionState;
use super::{Event, Fabric, Report};
use crate::fault::{Effect, Site};
use crate::memory::{PAGE_BYTES, Run};
use crate::region::Life;
use crate::side::Side;
use crate::violation::Breach;

/// The operating system's number for an invalid argument.
const EINVAL: TransportError = TransportError::Os(22);

/// A registration that is given up ends after the piece of this size that is being pinned.
const PIECE_BYTES: u64 = 16 << 20;

/// Work that has begun.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Work {
    Register(RegionId),
    /// `cost`: what it takes once its turn has come.
    Deregister {
        region: RegionId,
        cost: Duration,
    },
    Scan {
        run: Run,
        zero: bool,
    },
    Zero(Run),
    Fail(FailedOperation, TransportError),
}

/// Who does the work: one thread for each, so that work of one kind waits for its like.
#[derive(Clone, Copy)]
enum Worker {
    Registrar,
    Walker,
}

impl Fabric {
    pub(super) fn register(
        &mut self,
        side: Side,
        id: RegionId,
        run: Run,
        access: Access,
        operation: Operation,
    ) {
        let failed = FailedOperation::RegisterMemory { region: id };
        let endpoint = self.endpoints.of(side);
        if endpoint.connection == ConnectionState::Closed {
            let breach = Breach::AfterDisconnect(operation);
            return self.refuse(side, breach, failed, TransportError::Cancelled);
        }
        if endpoint.regions.get(id).is_some() {
            return self.refuse(side, Breach::RegisteredTwice(id), failed, EINVAL);
        }
        if !endpoint.memory.contains(run) {
            return self.refuse(side, Breach::RegionOutsideBlock(id), failed, EINVAL);
        }
        let effect = self.striker.pass(Site::Registration(side));
        let cost = self.config.cost.registration(side, run.length);
        let pinned = self.endpoints.of(side).regions.bytes().saturating_add(run.length);
        let limit = self.config.locked_memory_max.of(side);
        if limit.is_some_and(|limit| pinned > limit) {
            let work = Work::Fail(failed, TransportError::MemoryLimit);
            return self.begin(side, Worker::Registrar, work, Duration::ZERO);
        }
        match effect {
            Some(Effect::Fail(error)) => {
                let work = Work::Fail(failed, error);
                self.begin(side, Worker::Registrar, work, Duration::ZERO);
            }
            Some(Effect::Slow(extra)) => {
                self.pin(side, id, run, access);
                self.begin(side, Worker::Registrar, Work::Register(id), cost + extra);
            }
            _ => {
                self.pin(side, id, run, access);
                self.begin(side, Worker::Registrar, Work::Register(id), cost);
            }
        }
    }

    fn pin(&mut self, side: Side, id: RegionId, run: Run, access: Access) {
        self.endpoints.of_mut(side).regions.begin(id, run, access, &mut self.random);
    }

    pub(super) fn deregister(&mut self, side: Side, id: RegionId) {
        let failed = FailedOperation::DeregisterMemory { region: id };
        let endpoint = self.endpoints.of(side);
        let Some(region) = endpoint.regions.get(id).copied() else {
            return self.refuse(side, Breach::NotRegistered(id), failed, EINVAL);
        };
        if region.life != Life::Registered {
            return self.refuse(side, Breach::NotRegistered(id), failed, EINVAL);
        }
        if endpoint.queue_pair.writes_from(id) {
            self.breach(side, Breach::WriteInFlight(id));
        }
        let effect = self.striker.pass(Site::Deregistration(side));
        if let Some(Effect::Fail(error)) = effect {
            let work = Work::Fail(failed, error);
            return self.begin(side, Worker::Registrar, work, Duration::ZERO);
        }
        self.endpoints.of_mut(side).regions.set_life(id, Life::Deregistering);
        let cost = self.config.cost.deregistration(region.run.length) + extra(effect);
        let work = Work::Deregister { region: id, cost };
        self.begin(side, Worker::Registrar, work, cost);
    }

    pub(super) fn scan(&mut self, side: Side, run: Run) {
        let failed = FailedOperation::ScanRam { block: run.block, offset: run.offset };
        let memory = &self.endpoints.of(side).memory;
        let scan = if memory.contains(run) { memory.scan(run) } else { None };
        let Some(scan) = scan else {
            return self.refuse(side, Breach::RunOutsideBlock, failed, EINVAL);
        };
        let effect = self.striker.pass(Site::Scan);
        let cost = self.config.cost.scan(pages(run), scan.pages) + extra(effect);
        let work = match effect {
            Some(Effect::Fail(error)) => Work::Fail(failed, error),
            _ => Work::Scan { run, zero: scan.zero },
        };
        self.begin(side, Worker::Walker, work, cost);
    }

    pub(super) fn zero(&mut self, side: Side, run: Run) {
        let failed = FailedOperation::ZeroRam { block: run.block, offset: run.offset };
        if !self.endpoints.of(side).memory.contains(run) {
            return self.refuse(side, Breach::RunOutsideBlock, failed, EINVAL);
        }
        let effect = self.striker.pass(Site::Zero);
        let cost = self.config.cost.zero(run.length) + extra(effect);
        let work = match effect {
            Some(Effect::Fail(error)) => Work::Fail(failed, error),
            _ => Work::Zero(run),
        };
        self.begin(side, Worker::Walker, work, cost);
    }

    fn begin(&mut self, side: Side, worker: Worker, work: Work, cost: Duration) {
        let now = self.now();
        let endpoint = self.endpoints.of_mut(side);
        let free_at = match worker {
            Worker::Registrar => &mut endpoint.registrar_free_at,
            Worker::Walker => &mut endpoint.walker_free_at,
        };
        let done_at = now.max(*free_at).after(cost);
        *free_at = done_at;
        let number = endpoint.next_work;
        endpoint.next_work += 1;
        endpoint.works.insert(number, work);
        self.agenda.add(done_at, Event::LocalDone { side, work: number });
    }

    /// Registrations that still run when the connection closes are given up, and what waited behind
    /// them has its turn sooner.
    pub(super) fn cancel_registrations(&mut self, side: Side) {
        let rest = self.config.cost.registration(side, PIECE_BYTES);
        let endpoint = self.endpoints.of_mut(side);
        let mut cancelled = Vec::new();
        let mut behind = Vec::new();
        for (number, work) in &mut endpoint.works {
            let region = match *work {
                Work::Deregister { cost, .. } if !cancelled.is_empty() => {
                    behind.push((*number, cost));
                    continue;
                }
                Work::Register(region)
                // One that would have failed in its turn waits behind others no longer.
                | Work::Fail(FailedOperation::RegisterMemory { region }, _) => region,
                _ => continue,
            };
            let failed = FailedOperation::RegisterMemory { region };
            *work = Work::Fail(failed, TransportError::Cancelled);
            endpoint.regions.remove(region);
            cancelled.push(*number);
        }
        if cancelled.is_empty() {
            return;
        }
        for work in cancelled {
            self.agenda.add_after(rest, Event::LocalDone { side, work });
        }
        let mut free_after = rest;
        for (work, cost) in behind {
            free_after += cost;
            self.agenda.add_after(free_after, Event::LocalDone { side, work });
        }
        endpoint.registrar_free_at = self.agenda.now().after(free_after);
    }

    pub(super) fn local_done(&mut self, side: Side, work: u64) {
        let endpoint = self.endpoints.of_mut(side);
        // Work that was given up has two ends on the agenda; the first one counts.
        let Some(work) = endpoint.works.remove(&work) else { return };
        let report = match work {
            Work::Register(region) => match endpoint.regions.registered(region) {
                Some(rkey) => Report::MemoryRegistered { region, rkey },
                None => return,
            },
            Work::Deregister { region, .. } => {
                endpoint.regions.remove(region);
                Report::MemoryDeregistered { region }
            }
            Work::Scan { run, zero } => {
                Report::RamScanned { block: run.block, offset: run.offset, zero }
            }
            Work::Zero(run) => match endpoint.memory.zero(run) {
                Some(()) => Report::RamZeroed { block: run.block, offset: run.offset },
                None => return,
            },
            Work::Fail(operation, error) => Report::Failed(operation, error),
        };
        self.report_local(side, report);
    }
}

/// Pages that a run touches.
const fn pages(run: Run) -> u64 {
    let start = run.offset.get();
    start.saturating_add(run.length).div_ceil(PAGE_BYTES).saturating_sub(start / PAGE_BYTES)
}

/// How much longer a fault makes work take.
const fn extra(effect: Option<Effect>) -> Duration {
    match effect {
        Some(Effect::Slow(extra)) => extra,
        _ => Duration::ZERO,
    }
}
