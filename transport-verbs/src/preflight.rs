//! What can be checked before a migration: how much memory this process may lock.
//!
//! Registered memory is pinned, and the kernel counts it against `RLIMIT_MEMLOCK` unless the process
//! has `CAP_IPC_LOCK`. A registration that goes over the limit fails in the middle of a migration;
//! it is better to know before.

use std::fmt;
use std::fs;

use rdma_migration_protocol::limits::CONTROL_BUFFER_BYTES;

use crate::control_buffers::BUFFERS;

/// Room for the queues of a queue pair and the completion queues, which some devices have pinned.
const QUEUE_BYTES: u64 = 1024 * 1024;

/// Bit of `CAP_IPC_LOCK` in the capability sets of Linux.
const CAP_IPC_LOCK: u32 = 14;

/// Bytes that a migration locks which registers `guest_bytes` of guest RAM: all of it where all RAM
/// is pinned, at most all of it otherwise.
#[must_use]
pub fn locked_bytes(guest_bytes: u64) -> u64 {
    let control = u64::try_from(BUFFERS * CONTROL_BUFFER_BYTES).unwrap_or(u64::MAX);
    guest_bytes.saturating_add(control).saturating_add(QUEUE_BYTES)
}

/// Checks that this process may lock what a migration needs which registers `guest_bytes` of guest
/// RAM.
///
/// # Errors
///
/// [`LockedMemory`], which says how much is needed and how to raise the limit.
pub fn check_locked_memory(guest_bytes: u64) -> Result<(), LockedMemory> {
    LockingLimit::of_this_process().check(locked_bytes(guest_bytes))
}

/// This process may not lock as much memory as it would have to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LockedMemory {
    /// Bytes that are to be locked.
    pub needed: u64,
    /// Bytes that are locked already.
    pub locked: u64,
    /// Bytes that may be locked: `RLIMIT_MEMLOCK`.
    pub limit: u64,
}

impl std::error::Error for LockedMemory {}

impl fmt::Display for LockedMemory {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let total = self.needed.saturating_add(self.locked);
        let kibibytes = total.div_ceil(1024);
        write!(
            formatter,
            "{} bytes have to be locked, {} are, and RLIMIT_MEMLOCK allows {}; raise it with \
             `ulimit -l {kibibytes}`, with LimitMEMLOCK={total} in a systemd unit or with \
             `* - memlock {kibibytes}` in /etc/security/limits.conf, or give the program \
             CAP_IPC_LOCK (`setcap cap_ipc_lock=ep PROGRAM`)",
            self.needed, self.locked, self.limit
        )
    }
}

/// How much this process has locked and may lock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LockingLimit {
    locked: u64,
    /// `None` where there is no limit.
    limit: Option<u64>,
}

impl LockingLimit {
    pub(crate) fn of_this_process() -> Self {
        // Without /proc nothing is known to be locked or permitted: the limit alone decides.
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let limit = if may_lock_everything(&status) { None } else { resource_limit() };
        Self { locked: pinned_bytes(&status), limit }
    }

    /// Whether `needed` further bytes can be locked.
    pub(crate) fn check(self, needed: u64) -> Result<(), LockedMemory> {
        let Self { locked, limit } = self;
        match limit {
            Some(limit) if locked.saturating_add(needed) > limit => {
                Err(LockedMemory { needed, locked, limit })
            }
            _ => Ok(()),
        }
    }
}

fn resource_limit() -> Option<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is a valid place for the answer.
    let result = unsafe { libc::getrlimit(libc::RLIMIT_MEMLOCK, &raw mut limit) };
    if result != 0 || limit.rlim_cur == libc::RLIM_INFINITY { None } else { Some(limit.rlim_cur) }
}

fn may_lock_everything(status: &str) -> bool {
    let capabilities = field(status, "CapEff:").and_then(|set| u64::from_str_radix(set, 16).ok());
    capabilities.is_some_and(|set| set & (1 << CAP_IPC_LOCK) != 0)
}

fn pinned_bytes(status: &str) -> u64 {
    let kibibytes = field(status, "VmPin:").and_then(|text| text.strip_suffix(" kB"));
    kibibytes.and_then(|text| text.trim().parse::<u64>().ok()).unwrap_or(0).saturating_mul(1024)
}

fn field<'s>(status: &'s str, name: &str) -> Option<&'s str> {
    status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATUS: &str = "Name:\tmigrate\nVmPin:\t    3072 kB\nCapEff:\t000001ffffffbfff\n";

    #[test]
    fn what_is_locked_and_the_capability_are_read_from_the_status_of_the_process() {
        assert_eq!(pinned_bytes(STATUS), 3072 * 1024);
        assert!(!may_lock_everything(STATUS));
        assert!(may_lock_everything("CapEff:\t0000000000004000\n"));
        assert_eq!((pinned_bytes(""), may_lock_everything("")), (0, false));
    }

    #[test]
    fn the_limit_counts_what_is_locked_already() {
        let limit = LockingLimit { locked: 60, limit: Some(100) };
        assert_eq!(limit.check(40), Ok(()));
        let refused = LockedMemory { needed: 41, locked: 60, limit: 100 };
        assert_eq!(limit.check(41), Err(refused));
        assert_eq!(limit.check(u64::MAX), Err(LockedMemory { needed: u64::MAX, ..refused }));
        assert_eq!(LockingLimit { locked: 60, limit: None }.check(u64::MAX), Ok(()));
    }

    #[test]
    fn the_error_says_how_much_is_needed_and_how_to_raise_the_limit() {
        let text = LockedMemory { needed: 4096, locked: 1024, limit: 2048 }.to_string();
        for part in
            ["4096 bytes", "allows 2048", "ulimit -l 5", "LimitMEMLOCK=5120", "CAP_IPC_LOCK"]
        {
            assert!(text.contains(part), "{part} is not in: {text}");
        }
    }

    #[test]
    fn the_control_buffers_are_locked_besides_the_guest() {
        assert_eq!(locked_bytes(0), 6 * 512 * 1024 + QUEUE_BYTES);
        assert_eq!(locked_bytes(1 << 40) - locked_bytes(0), 1 << 40);
    }
}
