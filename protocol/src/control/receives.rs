//! Which receive buffers are posted, and in which order they will be filled.

use crate::error::Misuse;
use crate::limits::RECEIVE_BUFFERS;
use crate::transport::ReceiveBuffer;

/// Where a control buffer is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Place {
    /// Free to be posted.
    Free,
    /// On the receive queue.
    Posted,
    /// Filled, and its contents are in use.
    Held,
}

/// The control buffers of one side.
///
/// All that are not in use are always posted: enough for what the peer may send next and for an
/// ERROR besides.
//= spec/text/03-control-channel.md#receives
//# [CTL-28] Either side MUST keep a receive posted for ERROR, besides those for the messages that
//# its peer may send next.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Receives {
    places: [Place; RECEIVE_BUFFERS],
    /// The posted buffers, the next one to be filled first.
    order: [Option<ReceiveBuffer>; RECEIVE_BUFFERS],
}

impl Receives {
    pub(crate) const fn new() -> Self {
        Self { places: [Place::Free; RECEIVE_BUFFERS], order: [None; RECEIVE_BUFFERS] }
    }

    /// The next buffer to post, now on the queue.
    pub(crate) fn post(&mut self) -> Option<ReceiveBuffer> {
        let numbered = (0..).map(ReceiveBuffer).zip(&mut self.places);
        let (buffer, place) = numbered.into_iter().find(|(_, place)| **place == Place::Free)?;
        *place = Place::Posted;
        let slot = self.order.iter_mut().find(|slot| slot.is_none())?;
        *slot = Some(buffer);
        Some(buffer)
    }

    /// Whether a buffer waits to be posted.
    pub(crate) fn can_post(&self) -> bool {
        self.places.contains(&Place::Free)
    }

    /// A receive was answered; the buffer's contents are held until [`Self::release`].
    pub(crate) fn completed(&mut self, buffer: ReceiveBuffer) -> Result<(), Misuse> {
        let [first, ..] = self.order;
        if first != Some(buffer) {
            return Err(Misuse::UnexpectedCompletion);
        }
        self.order.rotate_left(1);
        if let Some(last) = self.order.last_mut() {
            *last = None;
        }
        self.set(buffer, Place::Held);
        Ok(())
    }

    /// The contents of a held buffer are used up.
    pub(crate) fn release(&mut self, buffer: ReceiveBuffer) {
        self.set(buffer, Place::Free);
    }

    fn set(&mut self, buffer: ReceiveBuffer, to: Place) {
        if let Some(place) = self.places.get_mut(usize::from(buffer.0)) {
            *place = to;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn receives_complete_in_the_order_in_which_they_were_posted() {
        let mut receives = Receives::new();
        let posted: [_; RECEIVE_BUFFERS] = core::array::from_fn(|_| receives.post().unwrap());
        assert_eq!(receives.post(), None);
        assert_eq!(receives.completed(posted[1]), Err(Misuse::UnexpectedCompletion));
        assert_eq!(receives.completed(posted[0]), Ok(()));
        assert_eq!(receives.completed(posted[0]), Err(Misuse::UnexpectedCompletion));
        assert_eq!(receives.completed(posted[1]), Ok(()));
        assert_eq!(receives.completed(posted[2]), Ok(()));
        assert_eq!(receives.completed(posted[2]), Err(Misuse::UnexpectedCompletion));
    }

    #[test]
    fn a_held_buffer_is_posted_again_only_when_released() {
        let mut receives = Receives::new();
        while receives.post().is_some() {}
        let first = ReceiveBuffer(0);
        receives.completed(first).unwrap();
        assert!(!receives.can_post());
        receives.release(first);
        assert!(receives.can_post());
        assert_eq!(receives.post(), Some(first));
    }
}
