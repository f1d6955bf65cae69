//! What may go wrong: the bounds of an exploration besides the guest.

use std::fmt;

/// The faults that may happen, each at any point.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Faults {
    /// How many may happen in one run.
    pub(crate) max: u8,
    /// The link breaks: both sides come to see it, in their own time and way.
    pub(crate) cut: bool,
    /// The owner of either side aborts.
    pub(crate) abort: bool,
    /// A deadline fires, although what is awaited may still come.
    pub(crate) deadline: Deadline,
    /// Registration, scanning and zeroing fail.
    pub(crate) memory: bool,
    /// Deregistrations that fail, at most, on each side.
    pub(crate) deregistrations: u8,
}

/// Which deadlines fire.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum Deadline {
    /// None but that of the farewell, which is no fault.
    #[default]
    Farewell,
    /// All but those for the transport of the same side to close: it does close.
    Open,
    /// All of them: the transport may also fail to close, and regions may be left behind.
    All,
}

impl Faults {
    /// None at all.
    pub(crate) const NONE: Self = Self {
        max: 0,
        cut: false,
        abort: false,
        deadline: Deadline::Farewell,
        memory: false,
        deregistrations: 0,
    };

    /// The link breaks, and nothing else.
    pub(crate) const CUTS: Self = Self { max: u8::MAX, cut: true, ..Self::NONE };

    /// Everything, in any combination.
    pub(crate) const ALL: Self = Self {
        max: u8::MAX,
        cut: true,
        abort: true,
        deadline: Deadline::Open,
        memory: true,
        deregistrations: 1,
    };

    /// Whether nothing happens but that the link breaks.
    pub(crate) fn are_only_cuts(self) -> bool {
        let Self { max: _, cut: _, abort, deadline, memory, deregistrations } = self;
        !abort && deadline == Deadline::Farewell && !memory && deregistrations == 0
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = if self.are_only_cuts() { "cut" } else { "fault" };
        match self.max {
            0 => formatter.write_str("no fault")?,
            u8::MAX => write!(formatter, "any number of {what}s")?,
            1 => write!(formatter, "up to 1 {what}")?,
            max => write!(formatter, "up to {max} {what}s")?,
        }
        match self.deadline {
            Deadline::Farewell | Deadline::Open => Ok(()),
            Deadline::All => formatter.write_str(", transports that fail to close among them"),
        }
    }
}
