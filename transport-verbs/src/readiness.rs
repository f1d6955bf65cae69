//! One file descriptor that becomes readable when there is something to do.
//!
//! It is an epoll instance over the connection manager's events, the completion channel, a wake-up
//! by other threads and a timer. It can itself be watched by any event loop.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Wakes the thread that waits for a transport, from any thread.
#[derive(Clone, Debug)]
pub struct Waker {
    shared: Arc<WakeUp>,
}

#[derive(Debug)]
struct WakeUp {
    event: OwnedFd,
    /// Set after the event was written, so that a cleared flag with a written event never lasts.
    raised: AtomicBool,
}

impl Waker {
    /// Makes the transport's file descriptor readable and ends a wait that is under way.
    pub fn wake(&self) {
        // A counter that is full is as readable as it can be: nothing is lost.
        let _full = write_number(&self.shared.event, 1);
        self.shared.raised.store(true, Ordering::Release);
    }
}

/// The sources of events of one transport.
#[derive(Debug)]
pub(crate) struct Readiness {
    epoll: OwnedFd,
    timer: OwnedFd,
    waker: Waker,
}

impl Readiness {
    pub(crate) fn new() -> io::Result<Self> {
        // SAFETY: the call takes no pointers.
        let epoll = unsafe { owned(libc::epoll_create1(libc::EPOLL_CLOEXEC)) }?;
        // SAFETY: as above.
        let event = unsafe { owned(libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK)) }?;
        let flags = libc::TFD_CLOEXEC | libc::TFD_NONBLOCK;
        // SAFETY: as above.
        let timer = unsafe { owned(libc::timerfd_create(libc::CLOCK_MONOTONIC, flags)) }?;
        let shared = Arc::new(WakeUp { event, raised: AtomicBool::new(false) });
        let readiness = Self { epoll, timer, waker: Waker { shared } };
        readiness.watch(readiness.waker.shared.event.as_fd())?;
        readiness.watch(readiness.timer.as_fd())?;
        Ok(readiness)
    }

    /// Watches a further descriptor, until it is closed.
    pub(crate) fn watch(&self, descriptor: BorrowedFd<'_>) -> io::Result<()> {
        let events = u32::try_from(libc::EPOLLIN).unwrap_or_default();
        let mut event = libc::epoll_event { events, u64: 0 };
        let (epoll, watched) = (self.epoll.as_raw_fd(), descriptor.as_raw_fd());
        // SAFETY: both descriptors are open, and `event` is only read.
        let result =
            unsafe { libc::epoll_ctl(epoll, libc::EPOLL_CTL_ADD, watched, &raw mut event) };
        check(result).map(|_| ())
    }

    pub(crate) fn waker(&self) -> Waker {
        self.waker.clone()
    }

    /// Whether somebody has called [`Waker::wake`] since [`Self::clear_wake`].
    pub(crate) fn is_woken(&self) -> bool {
        self.waker.shared.raised.load(Ordering::Acquire)
    }

    pub(crate) fn clear_wake(&self) {
        if self.waker.shared.raised.swap(false, Ordering::AcqRel) {
            let _empty = read_number(&self.waker.shared.event);
        }
    }

    /// Has the descriptor become readable after this time; `None` takes that back.
    pub(crate) fn set_timer(&self, after: Option<Duration>) -> io::Result<()> {
        // Zero would disarm the timer.
        let after = after.map(|time| time.max(Duration::from_nanos(1)));
        let setting = libc::itimerspec {
            it_interval: time_of(Duration::ZERO),
            it_value: time_of(after.unwrap_or_default()),
        };
        let timer = self.timer.as_raw_fd();
        // SAFETY: the descriptor is open, `setting` is only read, and no old setting is asked for.
        let result =
            unsafe { libc::timerfd_settime(timer, 0, &raw const setting, std::ptr::null_mut()) };
        check(result).map(|_| ())
    }

    /// Sleeps until the descriptor is readable or the time is over.
    pub(crate) fn sleep(&self, limit: Option<Duration>) {
        sleep_on(self.epoll.as_fd(), limit);
    }
}

impl AsFd for Readiness {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }
}

/// Sleeps until the descriptor is readable, the time is over, or a signal has come.
pub(crate) fn sleep_on(descriptor: BorrowedFd<'_>, limit: Option<Duration>) {
    let mut watched = libc::pollfd { fd: descriptor.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    let limit = limit.map(time_of);
    let limit = limit.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
    // SAFETY: one valid `pollfd`, a time that is null or valid, and no signal mask.
    unsafe { libc::ppoll(&raw mut watched, 1, limit, std::ptr::null()) };
}

/// Has calls on this descriptor fail with EAGAIN instead of blocking.
pub(crate) fn set_nonblocking(descriptor: BorrowedFd<'_>) -> io::Result<()> {
    let raw = descriptor.as_raw_fd();
    // SAFETY: the descriptor is open and the call takes no pointers.
    let flags = check(unsafe { libc::fcntl(raw, libc::F_GETFL) })?;
    // SAFETY: as above.
    check(unsafe { libc::fcntl(raw, libc::F_SETFL, flags | libc::O_NONBLOCK) }).map(|_| ())
}

/// Takes over a descriptor that a call has just returned.
///
/// # Safety
///
/// `descriptor` is negative or newly opened and nobody else's.
unsafe fn owned(descriptor: i32) -> io::Result<OwnedFd> {
    let descriptor = check(descriptor)?;
    // SAFETY: it is not negative, so the caller says that it is newly opened and nobody else's.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

fn check(result: i32) -> io::Result<i32> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

fn write_number(descriptor: &OwnedFd, number: u64) -> bool {
    let bytes = number.to_ne_bytes();
    // SAFETY: the pointer is to as many bytes as are to be written.
    let written =
        unsafe { libc::write(descriptor.as_raw_fd(), bytes.as_ptr().cast(), bytes.len()) };
    usize::try_from(written).is_ok_and(|written| written == bytes.len())
}

fn read_number(descriptor: &OwnedFd) -> Option<u64> {
    let mut bytes = [0_u8; 8];
    // SAFETY: the pointer is to as many bytes as may be read.
    let read =
        unsafe { libc::read(descriptor.as_raw_fd(), bytes.as_mut_ptr().cast(), bytes.len()) };
    usize::try_from(read).ok().filter(|read| *read == bytes.len())?;
    Some(u64::from_ne_bytes(bytes))
}

fn time_of(duration: Duration) -> libc::timespec {
    libc::timespec {
        tv_sec: libc::time_t::try_from(duration.as_secs()).unwrap_or(libc::time_t::MAX),
        tv_nsec: libc::c_long::from(duration.subsec_nanos()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;
    use std::time::Instant;

    const LONG: Duration = Duration::from_secs(20);
    const SHORT: Duration = Duration::from_millis(30);

    fn slept(readiness: &Readiness, limit: Duration) -> Duration {
        let begin = Instant::now();
        readiness.sleep(Some(limit));
        begin.elapsed()
    }

    #[test]
    fn a_sleep_ends_at_its_limit() {
        let readiness = Readiness::new().unwrap();
        assert!(slept(&readiness, SHORT) >= SHORT);
    }

    #[test]
    fn another_thread_ends_a_sleep_and_a_cleared_wake_up_is_gone() {
        let readiness = Readiness::new().unwrap();
        let waker = readiness.waker();
        let thread = thread::spawn(move || {
            thread::sleep(SHORT);
            waker.wake();
        });
        assert!(slept(&readiness, LONG) < LONG);
        thread.join().unwrap();
        assert!(readiness.is_woken());
        readiness.clear_wake();
        assert!(!readiness.is_woken());
        assert!(slept(&readiness, SHORT) >= SHORT);
    }

    #[test]
    fn the_timer_ends_a_sleep_unless_it_was_taken_back() {
        let readiness = Readiness::new().unwrap();
        readiness.set_timer(Some(SHORT)).unwrap();
        assert!(slept(&readiness, LONG) < LONG);
        readiness.set_timer(None).unwrap();
        assert!(slept(&readiness, SHORT) >= SHORT);
    }

    #[test]
    fn a_timer_of_no_time_fires_at_once() {
        let readiness = Readiness::new().unwrap();
        readiness.set_timer(Some(Duration::ZERO)).unwrap();
        assert!(slept(&readiness, LONG) < LONG);
    }
}
