//! Carrying out operations on the queue pair and on memory, and reporting their answers.

use rdma_migration_protocol::address::{BlockIndex, BlockOffset, HostAddress};
use rdma_migration_protocol::limits::CONTROL_BUFFER_BYTES;
use rdma_migration_protocol::transport::{
    Access, FailedOperation, ReceiveBuffer, RegionId, TransportError, WriteRam,
};

use crate::completion_queue::WorkCompletion;
use crate::control_buffers::{ControlBuffers, Registered};
use crate::endpoint::Endpoint;
use crate::error::{Errno, VerbsError};
use crate::link::{Link, NO_CONNECTION};
use crate::memory_region::MemoryRegion;
use crate::memory_worker::{Answer, Job};
use crate::outstanding::SendRequest;
use crate::preflight::LockingLimit;
use crate::queue_pair::{Answered, QueuePair, Refused, Write};
use crate::ram_range::RamRange;
use crate::report::Report;
use crate::transport::{VerbsTransport, failed_call};

/// Scans and fills of at most so many bytes are done at once: handing them to a thread costs more.
const INLINE_BYTES_MAX: usize = 64 * 1024;

/// Bytes of one request at the most, whatever the device allows: the limit of InfiniBand is 2^31.
const REQUEST_BYTES_MAX: u32 = 1 << 30;

impl VerbsTransport {
    pub(crate) fn post_receive(&mut self, buffer: ReceiveBuffer) {
        if matches!(self.link, Link::Draining { .. } | Link::Closed) {
            self.fail(FailedOperation::Receive { buffer }, NO_CONNECTION);
            return;
        }
        let Some(queue_pair) = queue_pair(&mut self.endpoint) else {
            self.waiting_receives.push_back(buffer);
            return;
        };
        let length = u32::try_from(CONTROL_BUFFER_BYTES).unwrap_or(u32::MAX);
        let posted = match self.control.post(buffer) {
            Some(place) => queue_pair.post_receive(buffer, place, length),
            None => Err(failed_call("posting of a posted receive buffer", libc::EINVAL)),
        };
        if let Err(error) = posted {
            // It is answered when the queue pair is destroyed, behind those that were posted before.
            self.waiting_receives.push_back(buffer);
            self.lose_connection(error);
        }
    }

    pub(crate) fn send(&mut self, length: usize) {
        let Some(queue_pair) = queue_pair(&mut self.endpoint) else {
            self.fail(FailedOperation::Send, NO_CONNECTION);
            return;
        };
        let (Ok(length), true) = (u32::try_from(length), length <= CONTROL_BUFFER_BYTES) else {
            self.fail(FailedOperation::Send, TransportError::LocalLength);
            return;
        };
        if !queue_pair.has_room(1) {
            self.fail(FailedOperation::Send, TransportError::QueueFull);
            return;
        }
        let Some((slot, place)) = self.control.take_send_buffer() else {
            self.fail(FailedOperation::Send, TransportError::QueueFull);
            return;
        };
        if let Err(refused) = queue_pair.post_message(slot, place, length) {
            self.fail_post(refused);
        }
    }

    pub(crate) fn write_ram(&mut self, write: &WriteRam) {
        let Some(range) = self.blocks.range(write.block, write.offset, write.length) else {
            self.fail(FailedOperation::WriteRam, TransportError::LocalLength);
            return;
        };
        let region = self.regions.get(&write.region).filter(|region| region.contains(range));
        let Some(lkey) = region.map(MemoryRegion::lkey) else {
            self.fail(FailedOperation::WriteRam, TransportError::LocalProtection);
            return;
        };
        let limit = self.endpoint.as_ref().map_or(0, |endpoint| endpoint.limits.request_bytes);
        let Some(queue_pair) = queue_pair(&mut self.endpoint) else {
            self.fail(FailedOperation::WriteRam, NO_CONNECTION);
            return;
        };
        let piece_bytes = limit.clamp(1, REQUEST_BYTES_MAX);
        let Some(mut requests) = requests(write, range, lkey, piece_bytes) else {
            self.fail(FailedOperation::WriteRam, TransportError::RemoteAccess);
            return;
        };
        let count = write.length.div_ceil(u64::from(piece_bytes));
        if !usize::try_from(count).is_ok_and(|count| queue_pair.has_room(count)) {
            self.fail(FailedOperation::WriteRam, TransportError::QueueFull);
            return;
        }
        if let Err(refused) = requests.try_for_each(|request| queue_pair.post_write(&request)) {
            self.fail_post(refused);
        }
    }

    /// Posts the writes that are held back.
    pub(crate) fn post_held(&mut self) {
        let posted = queue_pair(&mut self.endpoint).map(QueuePair::post_held);
        if let Some(Err(refused)) = posted {
            self.fail_post(refused);
        }
    }

    pub(crate) fn scan_ram(&mut self, block: BlockIndex, offset: BlockOffset, length: u64) {
        let Some(range) = self.blocks.range(block, offset, length) else {
            let operation = FailedOperation::ScanRam { block, offset };
            self.fail(operation, TransportError::LocalLength);
            return;
        };
        self.begin(Job::Scan { block, offset, range }, range.length() <= INLINE_BYTES_MAX);
    }

    pub(crate) fn zero_ram(&mut self, block: BlockIndex, offset: BlockOffset, length: u64) {
        let Some(range) = self.blocks.range(block, offset, length) else {
            let operation = FailedOperation::ZeroRam { block, offset };
            self.fail(operation, TransportError::LocalLength);
            return;
        };
        self.begin(Job::Zero { block, offset, range }, range.length() <= INLINE_BYTES_MAX);
    }

    pub(crate) fn register_memory(
        &mut self,
        region: RegionId,
        range: Option<RamRange>,
        access: Access,
    ) {
        let operation = FailedOperation::RegisterMemory { region };
        let Some(range) = range.filter(|_| !self.regions.contains_key(&region)) else {
            self.fail(operation, TransportError::LocalLength);
            return;
        };
        let Some(domain) = self.endpoint.as_ref().map(|endpoint| endpoint.domain.clone()) else {
            self.fail(operation, NO_CONNECTION);
            return;
        };
        self.begin(Job::Register { region, range, access, domain }, false);
    }

    pub(crate) fn deregister_memory(&mut self, region: RegionId) {
        match self.regions.remove(&region) {
            Some(memory) => self.begin(Job::Deregister { region, memory }, false),
            None => {
                let operation = FailedOperation::DeregisterMemory { region };
                self.fail(operation, TransportError::LocalProtection);
            }
        }
    }

    fn begin(&mut self, job: Job, at_once: bool) {
        let Some(workers) = &self.workers else { return };
        if at_once {
            let answer = workers.carry_out(job);
            self.take_answer(answer);
        } else {
            workers.begin(job);
        }
    }

    pub(crate) fn take_answers(&mut self) {
        while let Some(answer) = self.workers.as_ref().and_then(|workers| workers.next_answer()) {
            self.take_answer(answer);
        }
    }

    fn take_answer(&mut self, answer: Answer) {
        const CANCELLED: TransportError = TransportError::Cancelled;
        match answer {
            Answer::Registered { region, range, result } => {
                let operation = FailedOperation::RegisterMemory { region };
                match result {
                    Some(Ok(memory)) => {
                        let rkey = memory.rkey();
                        self.regions.insert(region, memory);
                        self.reports.push_back(Report::MemoryRegistered { region, rkey });
                    }
                    Some(Err(errno)) => {
                        let bytes = u64::try_from(range.length()).unwrap_or(u64::MAX);
                        let error = self.registration_error(errno, bytes);
                        let reason = error.transport_error();
                        self.record(error);
                        self.fail(operation, reason);
                    }
                    None => self.fail(operation, CANCELLED),
                }
            }
            Answer::Deregistered { region, result: Ok(()) } => {
                self.reports.push_back(Report::MemoryDeregistered { region });
            }
            Answer::Deregistered { region, result: Err((memory, errno)) } => {
                // The machine may order it once more.
                self.regions.insert(region, memory);
                let operation = FailedOperation::DeregisterMemory { region };
                self.record(VerbsError::Call {
                    call: "ibv_dereg_mr",
                    peer: self.peer_address(),
                    errno,
                });
                self.fail(operation, errno.transport_error());
            }
            Answer::Scanned { block, offset, zero: Some(zero) } => {
                self.reports.push_back(Report::RamScanned { block, offset, zero });
            }
            Answer::Scanned { block, offset, zero: None } => {
                self.fail(FailedOperation::ScanRam { block, offset }, CANCELLED);
            }
            Answer::Zeroed { block, offset, done: Some(()) } => {
                self.reports.push_back(Report::RamZeroed { block, offset });
            }
            Answer::Zeroed { block, offset, done: None } => {
                self.fail(FailedOperation::ZeroRam { block, offset }, CANCELLED);
            }
        }
    }

    /// Why a registration failed: the kernel says the same number for too little memory and for too
    /// low a limit.
    pub(crate) fn registration_error(&self, errno: Errno, bytes: u64) -> VerbsError {
        let limit = LockingLimit::of_this_process();
        match (errno, limit.check(bytes)) {
            (Errno(libc::ENOMEM | libc::EAGAIN), Err(locked)) => VerbsError::LockedMemory(locked),
            _ => VerbsError::Call { call: "ibv_reg_mr", peer: self.peer_address(), errno },
        }
    }

    pub(crate) fn take_completions(&mut self) {
        let Some(endpoint) = &mut self.endpoint else { return };
        let (control, reports) = (&mut self.control, &mut self.reports);
        let (mut failed, mut unknown) = (None, None);
        let drained = endpoint.drain(|queue_pair, completion| {
            let Some(answered) = queue_pair.answered(completion.request) else {
                unknown = Some(failed_call("completion of no request", libc::EPROTO));
                return;
            };
            let report = report_of(answered, &completion, control);
            if let Some(Report::Failed(operation, error)) = report
                && error != TransportError::Flushed
            {
                failed.get_or_insert((operation, completion));
            }
            reports.extend(report);
        });
        if let Some((operation, completion)) = failed {
            let WorkCompletion { status, vendor_error, .. } = completion;
            let (operation, peer) = (operation.to_string(), self.peer_address());
            self.record(VerbsError::Work { operation, peer, status, vendor_error });
        }
        if let Some(error) = unknown.or(drained.err()) {
            self.lose_connection(error);
        }
    }

    /// Requests could not be posted.
    fn fail_post(&mut self, refused: Refused) {
        let Refused { error, requests } = refused;
        let reason = match error.transport_error() {
            // What the providers say when the queue has no room.
            TransportError::OutOfMemory => TransportError::QueueFull,
            reason => reason,
        };
        self.record(error);
        for request in requests {
            match request {
                SendRequest::Message { slot } => {
                    self.control.sent(slot);
                    self.fail(FailedOperation::Send, reason);
                }
                SendRequest::Write { .. } => self.fail(FailedOperation::WriteRam, reason),
            }
        }
    }

    pub(crate) fn fail(&mut self, operation: FailedOperation, error: TransportError) {
        self.reports.push_back(Report::Failed(operation, error));
    }
}

fn queue_pair(endpoint: &mut Option<Endpoint>) -> Option<&mut QueuePair> {
    endpoint.as_mut()?.queue_pair.as_mut()
}

/// The requests for a write: several, where it is longer than one may be, of which only the last is
/// signaled. `None` where it would pass the end of the peer's memory.
fn requests(
    write: &WriteRam,
    range: RamRange,
    lkey: u32,
    piece_bytes: u32,
) -> Option<impl Iterator<Item = Write>> {
    write.remote_address.checked_add(write.length)?;
    let WriteRam { length, rkey, signaled, .. } = *write;
    let (local, remote) = (range.address(), write.remote_address.get());
    let starts = (0..length).step_by(usize::try_from(piece_bytes).ok()?);
    Some(starts.map(move |start| {
        // At most `piece_bytes`, so it always fits.
        let piece = u32::try_from(length - start).unwrap_or(u32::MAX).min(piece_bytes);
        Write {
            local: Registered { address: local + start, lkey },
            length: piece,
            remote_address: HostAddress::new(remote + start),
            rkey,
            signaled: signaled && start + u64::from(piece) == length,
        }
    }))
}

/// What a completion means for the machine; an unsignaled write that succeeds means nothing.
fn report_of(
    answered: Answered,
    completion: &WorkCompletion,
    control: &mut ControlBuffers,
) -> Option<Report> {
    let success = completion.status.is_success();
    let operation = match answered {
        Answered::Receive(buffer) => {
            let bytes = usize::try_from(completion.bytes).unwrap_or(usize::MAX);
            control.received(buffer, success.then_some(bytes));
            if success {
                return Some(Report::Received(buffer));
            }
            FailedOperation::Receive { buffer }
        }
        Answered::Send(SendRequest::Message { slot }) => {
            control.sent(slot);
            if success {
                return Some(Report::Sent);
            }
            FailedOperation::Send
        }
        Answered::Send(SendRequest::Write { signaled }) => {
            if success {
                return signaled.then_some(Report::RamWritten);
            }
            FailedOperation::WriteRam
        }
    };
    Some(Report::Failed(operation, completion.status.transport_error()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::WorkStatus;
    use crate::guest_ram::{GuestRam, RamBlocks};
    use rdma_migration_protocol::address::Rkey;
    use std::sync::Arc;

    fn completion(status: u32) -> WorkCompletion {
        WorkCompletion { request: 0, status: WorkStatus(status), bytes: 16, vendor_error: 0 }
    }

    #[test]
    fn the_success_of_an_unsignaled_write_is_not_reported_and_its_failure_is() {
        let mut control = ControlBuffers::new().unwrap();
        let write = Answered::Send(SendRequest::Write { signaled: false });
        assert!(report_of(write, &completion(0), &mut control).is_none());
        let report = report_of(write, &completion(5), &mut control);
        let (operation, error) = (FailedOperation::WriteRam, TransportError::Flushed);
        assert!(matches!(report, Some(Report::Failed(o, e)) if (o, e) == (operation, error)));
        let write = Answered::Send(SendRequest::Write { signaled: true });
        let report = report_of(write, &completion(0), &mut control);
        assert!(matches!(report, Some(Report::RamWritten)));
    }

    #[test]
    fn a_received_message_is_as_long_as_its_completion_says() {
        let mut control = ControlBuffers::new().unwrap();
        let buffer = ReceiveBuffer(2);
        let report = report_of(Answered::Receive(buffer), &completion(0), &mut control);
        assert!(matches!(report, Some(Report::Received(ReceiveBuffer(2)))));
        assert_eq!(control.message(buffer).len(), 16);
        let report = report_of(Answered::Receive(buffer), &completion(1), &mut control);
        assert!(matches!(report, Some(Report::Failed(_, TransportError::LocalLength))));
        assert!(control.message(buffer).is_empty());
    }

    #[test]
    fn a_write_longer_than_one_request_becomes_several_and_the_last_is_signaled() {
        let mut blocks = RamBlocks::default();
        let block = blocks.attach_ram(Arc::new(GuestRam::anonymous(8192).unwrap()));
        let (offset, length) = (BlockOffset::new(100), 2500);
        let range = blocks.range(block, offset, length).unwrap();
        let first = blocks.host_address(block).unwrap().get() + 100;
        let remote_address = HostAddress::new(0x7000_0000);
        let (region, rkey, signaled) = (RegionId(0), Rkey::new(7), true);
        let write = WriteRam { region, block, offset, length, remote_address, rkey, signaled };
        let shape = |write: &WriteRam, bytes| {
            let requests = requests(write, range, 9, bytes)?;
            let shape = |request: &Write| {
                assert_eq!((request.rkey, request.local.lkey), (rkey, 9));
                let local = request.local.address - first;
                (local, request.length, request.remote_address.get(), request.signaled)
            };
            Some(requests.map(|request| shape(&request)).collect::<Vec<_>>())
        };
        assert_eq!(shape(&write, 2500), Some(vec![(0, 2500, 0x7000_0000, true)]));
        let three = |last| {
            Some(vec![
                (0, 1000, 0x7000_0000, false),
                (1000, 1000, 0x7000_03e8, false),
                (2000, 500, 0x7000_07d0, last),
            ])
        };
        assert_eq!(shape(&write, 1000), three(true));
        assert_eq!(shape(&WriteRam { signaled: false, ..write }, 1000), three(false));
        let remote_address = HostAddress::new(u64::MAX - 1000);
        assert_eq!(shape(&WriteRam { remote_address, ..write }, 1000), None);
    }
}
