//! The sends that are on their way, oldest first.

use crate::error::Misuse;
use crate::limits::SENDS_OUTSTANDING_MAX;

/// What the completion of a send means to its sender.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum SendPurpose {
    /// Nothing beyond the buffer being free again.
    Ordinary,
    /// The last bytes of the stream have arrived: the guest is the destination's.
    LastOfStream,
    /// The peer has been told that this side failed.
    Error,
}

/// Sends that have been issued and not answered.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Sends {
    outstanding: [Option<SendPurpose>; SENDS_OUTSTANDING_MAX],
}

impl Sends {
    pub(crate) const fn new() -> Self {
        Self { outstanding: [None; SENDS_OUTSTANDING_MAX] }
    }

    /// Whether one more may be issued.
    pub(crate) fn has_room(&self) -> bool {
        self.outstanding.contains(&None)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.outstanding.iter().all(Option::is_none)
    }

    /// A send is issued. The caller has asked [`Self::has_room`].
    pub(crate) fn issued(&mut self, purpose: SendPurpose) {
        if let Some(slot) = self.outstanding.iter_mut().find(|slot| slot.is_none()) {
            *slot = Some(purpose);
        }
    }

    /// The oldest send was answered, well or badly.
    pub(crate) fn answered(&mut self) -> Result<SendPurpose, Misuse> {
        self.outstanding.rotate_left(1);
        self.outstanding.last_mut().and_then(Option::take).ok_or(Misuse::UnexpectedCompletion)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sends_are_answered_oldest_first_and_never_more_often_than_issued() {
        let mut sends = Sends::new();
        assert_eq!(sends.answered(), Err(Misuse::UnexpectedCompletion));
        sends.issued(SendPurpose::LastOfStream);
        sends.issued(SendPurpose::Error);
        assert!(!sends.has_room());
        assert_eq!(sends.answered(), Ok(SendPurpose::LastOfStream));
        assert!(sends.has_room() && !sends.is_empty());
        assert_eq!(sends.answered(), Ok(SendPurpose::Error));
        assert_eq!(sends.answered(), Err(Misuse::UnexpectedCompletion));
    }
}
