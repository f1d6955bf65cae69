//! Threads for the work on guest RAM that takes long: registration, scans, zeroing.
//!
//! Two of them, so that a scan never waits for a registration. Each takes its jobs in order and
//! answers every one.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, JoinHandle};

use rdma_migration_protocol::address::{BlockIndex, BlockOffset};
use rdma_migration_protocol::transport::{Access, RegionId};

use crate::error::Errno;
use crate::memory_region::{MemoryRegion, ProtectionDomain};
use crate::ram_range::RamRange;
use crate::readiness::Waker;

/// Bytes that are faulted in between two looks at whether a registration is still wanted.
const POPULATE_BYTES: usize = 64 * 1024 * 1024;

/// Something to be done to guest RAM.
pub(crate) enum Job {
    Register { region: RegionId, range: RamRange, access: Access, domain: Arc<ProtectionDomain> },
    Deregister { region: RegionId, memory: MemoryRegion },
    Scan { block: BlockIndex, offset: BlockOffset, range: RamRange },
    Zero { block: BlockIndex, offset: BlockOffset, range: RamRange },
}

/// What came of a job. `None` stands for cancelled.
pub(crate) enum Answer {
    Registered { region: RegionId, range: RamRange, result: Option<Result<MemoryRegion, Errno>> },
    Deregistered { region: RegionId, result: Result<(), (MemoryRegion, Errno)> },
    Scanned { block: BlockIndex, offset: BlockOffset, zero: Option<bool> },
    Zeroed { block: BlockIndex, offset: BlockOffset, done: Option<()> },
}

/// Both threads. They end with this value, which waits for what they are in the middle of.
pub(crate) struct MemoryWorkers {
    registration: Thread,
    contents: Thread,
    answers: Receiver<Answer>,
    cancelled: Arc<AtomicBool>,
}

impl MemoryWorkers {
    pub(crate) fn start(waker: &Waker) -> io::Result<Self> {
        let cancelled = Arc::new(AtomicBool::new(false));
        let (sender, answers) = channel();
        let context = Context { answers: sender, waker: waker.clone(), cancelled };
        Ok(Self {
            registration: Thread::start("rdma-register", context.clone())?,
            contents: Thread::start("rdma-scan", context.clone())?,
            answers,
            cancelled: context.cancelled,
        })
    }

    pub(crate) fn begin(&self, job: Job) {
        match job {
            Job::Register { .. } | Job::Deregister { .. } => self.registration.begin(job),
            Job::Scan { .. } | Job::Zero { .. } => self.contents.begin(job),
        }
    }

    /// Does a job on the thread of the caller.
    pub(crate) fn carry_out(&self, job: Job) -> Answer {
        job.carry_out(&self.cancelled)
    }

    pub(crate) fn next_answer(&self) -> Option<Answer> {
        self.answers.try_recv().ok()
    }

    /// Has everything but deregistration end soon, as cancelled.
    pub(crate) fn cancel(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }
}

impl Drop for MemoryWorkers {
    fn drop(&mut self) {
        self.cancel();
        self.registration.end();
        self.contents.end();
    }
}

struct Thread {
    jobs: Option<Sender<Job>>,
    handle: Option<JoinHandle<()>>,
}

impl Thread {
    fn start(name: &str, context: Context) -> io::Result<Self> {
        let (sender, jobs) = channel();
        let body = move || context.work(&jobs);
        let handle = thread::Builder::new().name(name.to_owned()).spawn(body)?;
        Ok(Self { jobs: Some(sender), handle: Some(handle) })
    }

    fn begin(&self, job: Job) {
        let sent = self.jobs.as_ref().is_some_and(|jobs| jobs.send(job).is_ok());
        if !sent {
            tracing::error!("a memory thread has ended early");
        }
    }

    fn end(&mut self) {
        self.jobs = None;
        if self.handle.take().is_some_and(|handle| handle.join().is_err()) {
            tracing::error!("a memory thread has panicked");
        }
    }
}

#[derive(Clone)]
struct Context {
    answers: Sender<Answer>,
    waker: Waker,
    cancelled: Arc<AtomicBool>,
}

impl Context {
    fn work(&self, jobs: &Receiver<Job>) {
        for job in jobs {
            // A transport that is gone wants no answer; what a registration made is dropped with it.
            let _unwanted = self.answers.send(job.carry_out(&self.cancelled));
            self.waker.wake();
        }
    }
}

impl Job {
    fn carry_out(self, cancelled: &AtomicBool) -> Answer {
        match self {
            Self::Register { region, range, access, domain } => {
                let wanted = populate(range, access, cancelled);
                let result = wanted.then(|| domain.register(range, access));
                Answer::Registered { region, range, result }
            }
            Self::Deregister { region, memory } => {
                Answer::Deregistered { region, result: memory.deregister() }
            }
            Self::Scan { block, offset, range } => {
                Answer::Scanned { block, offset, zero: range.is_zero(cancelled) }
            }
            Self::Zero { block, offset, range } => {
                Answer::Zeroed { block, offset, done: range.zero(cancelled).then_some(()) }
            }
        }
    }
}

/// Faults a long range in, piece by piece, as registration is about to do in one call that cannot be
/// cancelled; that is most of what registration costs. False if it was cancelled.
fn populate(range: RamRange, access: Access, cancelled: &AtomicBool) -> bool {
    let advice = match access {
        // Reading leaves the guest's own record of written pages as it is.
        Access::LocalRead => libc::MADV_POPULATE_READ,
        Access::RemoteWrite => libc::MADV_POPULATE_WRITE,
    };
    if range.length() > POPULATE_BYTES {
        for piece in range.pieces(POPULATE_BYTES) {
            if cancelled.load(Ordering::Relaxed) {
                return false;
            }
            // SAFETY: this advice changes no contents; the range is mapped, as every `RamRange` is. A
            // kernel that does not know it, or a start that is not aligned, leaves it to registration.
            unsafe { libc::madvise(piece.first().as_ptr().cast(), piece.length(), advice) };
        }
    }
    !cancelled.load(Ordering::Relaxed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guest_ram::{GuestRam, RamBlocks};
    use crate::readiness::Readiness;
    use std::time::{Duration, Instant};

    const OFFSET: BlockOffset = BlockOffset::new(0);

    fn block_of(bytes: usize) -> (Arc<GuestRam>, RamBlocks, BlockIndex) {
        let ram = Arc::new(GuestRam::anonymous(bytes).unwrap());
        let mut blocks = RamBlocks::default();
        let block = blocks.attach_ram(Arc::clone(&ram));
        (ram, blocks, block)
    }

    fn next(workers: &MemoryWorkers, readiness: &Readiness) -> Answer {
        let begin = Instant::now();
        loop {
            if let Some(answer) = workers.next_answer() {
                return answer;
            }
            assert!(begin.elapsed() < Duration::from_secs(20), "no answer");
            readiness.sleep(Some(Duration::from_secs(1)));
            readiness.clear_wake();
        }
    }

    #[test]
    fn scans_and_zeroing_are_answered_in_order_and_wake_the_transport() {
        let readiness = Readiness::new().unwrap();
        let workers = MemoryWorkers::start(&readiness.waker()).unwrap();
        let (ram, blocks, block) = block_of(2 << 20);
        assert!(ram.write(1 << 20, b"x"));
        let range = blocks.range(block, OFFSET, 2 << 20).unwrap();
        workers.begin(Job::Scan { block, offset: OFFSET, range });
        workers.begin(Job::Zero { block, offset: OFFSET, range });
        workers.begin(Job::Scan { block, offset: OFFSET, range });
        let first = next(&workers, &readiness);
        assert!(matches!(first, Answer::Scanned { zero: Some(false), .. }));
        assert!(matches!(next(&workers, &readiness), Answer::Zeroed { done: Some(()), .. }));
        let last = next(&workers, &readiness);
        assert!(matches!(last, Answer::Scanned { zero: Some(true), .. }));
    }

    #[test]
    fn work_that_is_cancelled_is_still_answered() {
        let readiness = Readiness::new().unwrap();
        let workers = MemoryWorkers::start(&readiness.waker()).unwrap();
        let (_ram, blocks, block) = block_of(1 << 20);
        let range = blocks.range(block, OFFSET, 1 << 20).unwrap();
        workers.cancel();
        workers.begin(Job::Scan { block, offset: OFFSET, range });
        workers.begin(Job::Zero { block, offset: OFFSET, range });
        assert!(matches!(next(&workers, &readiness), Answer::Scanned { zero: None, .. }));
        assert!(matches!(next(&workers, &readiness), Answer::Zeroed { done: None, .. }));
    }

    #[test]
    fn a_long_range_is_faulted_in_unless_it_was_cancelled() {
        let (_ram, blocks, block) = block_of(POPULATE_BYTES + (1 << 20));
        let length = blocks.length(block).unwrap();
        let range = blocks.range(block, OFFSET, length).unwrap();
        assert!(populate(range, Access::LocalRead, &AtomicBool::new(false)));
        assert!(!populate(range, Access::LocalRead, &AtomicBool::new(true)));
    }
}
