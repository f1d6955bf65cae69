//! What may go wrong: the bounds of an exploration besides the guest.

/// The faults that may happen, each at any point and, if nothing else is said, any number of times.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Faults {
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
        cut: false,
        abort: false,
        deadline: Deadline::Farewell,
        memory: false,
        deregistrations: 0,
    };

    /// Everything, in any combination.
    pub(crate) const ALL: Self = Self {
        cut: true,
        abort: true,
        deadline: Deadline::Open,
        memory: true,
        deregistrations: 1,
    };
}
