//! The clock of all measurements: CPU time of the thread that measures.
//!
//! On a machine with nothing else to do it is the wall time, because every subject is one thread that
//! never waits. On a busy one it leaves out what others take of the processor, though not what they
//! take of its caches and its memory bus.

use core::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// CPU time that this thread has used since it began.
///
/// # Panics
/// Where the operating system counts backwards.
#[must_use]
pub fn now() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let seconds = u64::try_from(time.tv_sec).expect("CPU time is not negative");
    let nanoseconds = u64::try_from(time.tv_nsec).expect("nanoseconds are not negative");
    Duration::from_secs(seconds) + Duration::from_nanos(nanoseconds)
}

/// CPU time that `work` takes.
pub fn of(work: impl FnOnce()) -> Duration {
    let before = now();
    work();
    now().saturating_sub(before)
}
