//! Requirements without a mutant.

/// A requirement whose breach no peer can observe, or that is no duty.
#[derive(Clone, Copy, Debug)]
pub struct Unobservable {
    /// The requirement.
    pub requirement: &'static str,
    /// Why it has no mutant.
    pub reason: &'static str,
}

const fn none(requirement: &'static str, reason: &'static str) -> Unobservable {
    Unobservable { requirement, reason }
}

/// All of them, in the order of the chapters.
pub const UNOBSERVABLE: &[Unobservable] = &[
    none(
        "CON-2",
        "A connection manager hands over an area of fixed length, filled up with zeroes: no peer can \
         give fewer than 8 bytes.",
    ),
    none(
        "STR-4",
        "A peer cannot see whether the owner has taken the bytes: a READY at once and one that was \
         waited for are the same to it.",
    ),
    none(
        "LIM-6",
        "A list that begins further back is longer than the longest one, so that it is rejected by \
         STR-26 wherever it was looked for.",
    ),
];
