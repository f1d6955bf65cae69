//! Bounded waits: what a side waits for, how long at the most, and when each wait ends.

use core::fmt;
use core::time::Duration;

use crate::time::Instant;

/// What a side was waiting for when its deadline came. The order is that of reports: where several
/// waits end at once, the first is named.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum TimeoutReason {
    /// The connection to be made.
    Connection,
    /// READY from the destination.
    Ready,
    /// The reply to a command.
    Reply,
    /// The next command of the source.
    Command,
    /// The completion of a send.
    Send,
    /// The completion of RDMA WRITEs.
    Write,
    /// The registration or deregistration of memory on this side.
    Registration,
    /// The scanning or zeroing of memory on this side.
    Memory,
    /// The destination to disconnect after the last message of the stream. Not an error.
    Farewell,
    /// The ERROR message to leave before the connection is closed. Not an error of its own.
    ErrorSent,
    /// The queue pair to be destroyed, with everything on it answered.
    Disconnection,
}

impl TimeoutReason {
    /// How many reasons there are.
    pub const COUNT: usize = 11;

    /// All of them, in order.
    pub const ALL: [Self; Self::COUNT] = [
        Self::Connection,
        Self::Ready,
        Self::Reply,
        Self::Command,
        Self::Send,
        Self::Write,
        Self::Registration,
        Self::Memory,
        Self::Farewell,
        Self::ErrorSent,
        Self::Disconnection,
    ];

    /// Its bit in a set of them.
    const fn bit(self) -> u16 {
        match self {
            Self::Connection => 1,
            Self::Ready => 1 << 1,
            Self::Reply => 1 << 2,
            Self::Command => 1 << 3,
            Self::Send => 1 << 4,
            Self::Write => 1 << 5,
            Self::Registration => 1 << 6,
            Self::Memory => 1 << 7,
            Self::Farewell => 1 << 8,
            Self::ErrorSent => 1 << 9,
            Self::Disconnection => 1 << 10,
        }
    }
}

impl fmt::Display for TimeoutReason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Connection => "the connection was not made",
            Self::Ready => "the destination sent no READY",
            Self::Reply => "the destination sent no reply",
            Self::Command => "the source sent no command",
            Self::Send => "a send was not acknowledged",
            Self::Write => "RDMA WRITEs were not acknowledged",
            Self::Registration => "memory was not registered or released",
            Self::Memory => "memory was not scanned or zeroed",
            Self::Farewell => "the destination did not disconnect",
            Self::ErrorSent => "ERROR did not leave",
            Self::Disconnection => "the queue pair was not destroyed",
        })
    }
}

/// How long a side waits, at the most, for each thing that others have to do.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Timeouts {
    /// For the connection, from `connect` or `accept` on. Default 30 s.
    pub connection: Duration,
    /// For READY and for replies. Pinning a large guest whole takes minutes: see
    /// [`Self::for_guest`]. Default 60 s.
    pub response: Duration,
    /// For the next command of the source. Default 300 s: between rounds a source may be slow.
    pub command: Duration,
    /// For the acknowledgement of sends and writes. Default 30 s.
    pub acknowledgement: Duration,
    /// For registration, scanning and zeroing on this side, each piece. Default 60 s.
    pub memory: Duration,
    /// After the last message: for the destination to disconnect before the source does. Default 2 s.
    pub farewell: Duration,
    /// In closing: for ERROR to leave, and for the queue pair to be destroyed. Default 5 s.
    pub closing: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connection: Duration::from_secs(30),
            response: Duration::from_secs(60),
            command: Duration::from_secs(300),
            acknowledgement: Duration::from_secs(30),
            memory: Duration::from_secs(60),
            farewell: Duration::from_secs(2),
            closing: Duration::from_secs(5),
        }
    }
}

impl Timeouts {
    /// Room for pinning all RAM of a guest at 1 ms a MiB, five times the slowest published rate.
    const PINNING_PER_MIB: Duration = Duration::from_millis(1);

    /// The defaults, with the waits that grow with guest size extended for `guest_bytes` of RAM.
    #[must_use]
    pub fn for_guest(guest_bytes: u64) -> Self {
        let mebibytes = u32::try_from(guest_bytes >> 20).unwrap_or(u32::MAX);
        let pinning = Self::PINNING_PER_MIB.saturating_mul(mebibytes);
        let defaults = Self::default();
        Self {
            response: defaults.response.saturating_add(pinning),
            command: defaults.command.saturating_add(pinning),
            memory: defaults.memory.saturating_add(pinning),
            ..defaults
        }
    }

    pub(crate) const fn of(&self, reason: TimeoutReason) -> Duration {
        match reason {
            TimeoutReason::Connection => self.connection,
            TimeoutReason::Ready | TimeoutReason::Reply => self.response,
            TimeoutReason::Command => self.command,
            TimeoutReason::Send | TimeoutReason::Write => self.acknowledgement,
            TimeoutReason::Registration | TimeoutReason::Memory => self.memory,
            TimeoutReason::Farewell => self.farewell,
            TimeoutReason::ErrorSent | TimeoutReason::Disconnection => self.closing,
        }
    }
}

/// The waits of a side that are under way.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub(crate) struct Waits(u16);

impl Waits {
    /// The same waits but for this one, which is under way or is not.
    pub(crate) const fn with(self, reason: TimeoutReason, under_way: bool) -> Self {
        if under_way { Self(self.0 | reason.bit()) } else { Self(self.0 & !reason.bit()) }
    }

    const fn contain(self, reason: TimeoutReason) -> bool {
        self.0 & reason.bit() != 0
    }

    /// Those that are in one of the two and not in the other.
    const fn differing(self, other: Self) -> Self {
        Self(self.0 ^ other.0)
    }

    /// Each of them, with its place in [`TimeoutReason::ALL`].
    fn iter(self) -> impl Iterator<Item = (usize, TimeoutReason)> {
        let mut left = self.0;
        core::iter::from_fn(move || {
            let at = usize::try_from(left.trailing_zeros()).ok()?;
            let reason = *TimeoutReason::ALL.get(at)?;
            left &= !reason.bit();
            Some((at, reason))
        })
    }
}

/// The deadlines of the waits that are under way, one a reason at the most.
///
/// Each machine says after every input and every operation which waits are under way
/// ([`Self::arm`]), so that none can be forgotten or left behind.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub(crate) struct Deadlines {
    at: [Option<Instant>; TimeoutReason::COUNT],
    /// The waits that have a deadline: most calls find that they are the right ones, or all but one.
    armed: Waits,
}

impl Deadlines {
    /// Starts a deadline for each wait that has begun, and drops those of waits that have ended.
    //= spec/text/10-errors.md#bounded-waits
    //# [ERR-1] Every wait for the peer MUST have a deadline.
    pub(crate) fn arm(&mut self, waits: Waits, timeouts: &Timeouts, now: Instant) {
        for (place, reason) in waits.differing(self.armed).iter() {
            if let Some(at) = self.at.get_mut(place) {
                *at = waits.contain(reason).then(|| now.after(timeouts.of(reason)));
            }
        }
        self.armed = waits;
    }

    /// Something that this wait was for has come; what is still due gets the full time again.
    pub(crate) fn progress(&mut self, reason: TimeoutReason) {
        self.armed = self.armed.with(reason, false);
        for (place, _) in Waits::default().with(reason, true).iter() {
            if let Some(at) = self.at.get_mut(place) {
                *at = None;
            }
        }
    }

    /// The earliest deadline.
    pub(crate) fn next(&self) -> Option<(Instant, TimeoutReason)> {
        let pending = self.armed.iter();
        pending.filter_map(|(place, reason)| Some(((*self.at.get(place)?)?, reason))).min()
    }

    /// The wait that has come to its end, if one has.
    pub(crate) fn expired(&self, now: Instant) -> Option<TimeoutReason> {
        self.next().filter(|(deadline, _)| *deadline <= now).map(|(_, reason)| reason)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waits(reasons: &[TimeoutReason]) -> Waits {
        reasons.iter().fold(Waits::default(), |waits, reason| waits.with(*reason, true))
    }

    #[test]
    fn a_wait_keeps_its_first_deadline_until_it_ends_or_progresses() {
        let timeouts = Timeouts::default();
        let mut deadlines = Deadlines::default();
        let start = Instant::ORIGIN;
        deadlines.arm(waits(&[TimeoutReason::Ready]), &timeouts, start);
        let later = start.after(Duration::from_secs(59));
        deadlines.arm(waits(&[TimeoutReason::Ready]), &timeouts, later);
        let due = start.after(timeouts.response);
        assert_eq!(deadlines.next(), Some((due, TimeoutReason::Ready)));
        assert_eq!(deadlines.expired(later), None);
        assert_eq!(deadlines.expired(due), Some(TimeoutReason::Ready));

        deadlines.progress(TimeoutReason::Ready);
        deadlines.arm(waits(&[TimeoutReason::Ready]), &timeouts, later);
        assert_eq!(deadlines.next(), Some((later.after(timeouts.response), TimeoutReason::Ready)));
        deadlines.arm(waits(&[]), &timeouts, later);
        assert_eq!(deadlines.next(), None);
    }

    #[test]
    fn waits_name_their_reasons_in_order_each_with_its_place() {
        let all = waits(&TimeoutReason::ALL);
        assert!(all.iter().eq(TimeoutReason::ALL.into_iter().enumerate()));
        assert_eq!(all.differing(all).iter().next(), None);
    }

    #[test]
    fn the_earliest_of_several_waits_ends_first() {
        let timeouts = Timeouts::default();
        let mut deadlines = Deadlines::default();
        let both = waits(&[TimeoutReason::Reply, TimeoutReason::Send]);
        deadlines.arm(both, &timeouts, Instant::ORIGIN);
        let (at, reason) = deadlines.next().unwrap();
        assert_eq!(
            (at.since(Instant::ORIGIN), reason),
            (timeouts.acknowledgement, TimeoutReason::Send)
        );
    }

    #[test]
    fn a_large_guest_gets_longer_for_what_grows_with_it() {
        let timeouts = Timeouts::for_guest(1 << 40);
        let defaults = Timeouts::default();
        let pinning = Duration::from_millis(1 << 20);
        assert_eq!(timeouts.response, defaults.response + pinning);
        assert_eq!(timeouts.command, defaults.command + pinning);
        assert_eq!(timeouts.memory, defaults.memory + pinning);
        assert_eq!(timeouts.acknowledgement, defaults.acknowledgement);
    }
}
