//! Which requests were posted and not answered, in their order: the bookkeeping of a queue pair.

use std::collections::VecDeque;

use rdma_migration_protocol::transport::ReceiveBuffer;

/// A request on the send queue.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum SendRequest {
    /// A message, in this send buffer.
    Message { slot: usize },
    /// An RDMA WRITE, or a part of one.
    Write {
        /// Whether its success is reported.
        signaled: bool,
    },
}

/// The requests of one queue pair that are not answered.
///
/// Each has a number, which is also its place: requests of a queue are answered in the order in
/// which they were posted, and an answer stands for all unsignaled ones before it.
#[derive(Debug, Default)]
pub(crate) struct Outstanding {
    sends: VecDeque<SendRequest>,
    /// The number of the oldest request among `sends`.
    oldest_send: u64,
    receives: VecDeque<ReceiveBuffer>,
    oldest_receive: u64,
}

impl Outstanding {
    pub(crate) fn is_empty(&self) -> bool {
        self.sends.is_empty() && self.receives.is_empty()
    }

    /// Requests that take room on the send queue.
    pub(crate) fn sends(&self) -> usize {
        self.sends.len()
    }

    /// The number for the next request on the send queue.
    pub(crate) fn next_send(&self) -> u64 {
        number_after(self.oldest_send, self.sends.len())
    }

    /// The number for the next receive.
    pub(crate) fn next_receive(&self) -> u64 {
        number_after(self.oldest_receive, self.receives.len())
    }

    pub(crate) fn posted_send(&mut self, request: SendRequest) {
        self.sends.push_back(request);
    }

    pub(crate) fn posted_receive(&mut self, buffer: ReceiveBuffer) {
        self.receives.push_back(buffer);
    }

    /// Takes back the last requests, which the adapter has refused, the first of them first.
    pub(crate) fn withdraw(&mut self, requests: usize) -> Vec<SendRequest> {
        self.sends.split_off(self.sends.len().saturating_sub(requests)).into()
    }

    /// The request that an answer is about; those before it are done. `None` if it is about none.
    pub(crate) fn answered_send(&mut self, number: u64) -> Option<SendRequest> {
        let ahead = usize::try_from(number.checked_sub(self.oldest_send)?).ok()?;
        let request = *self.sends.get(ahead)?;
        self.sends.drain(..=ahead);
        self.oldest_send = number.wrapping_add(1);
        Some(request)
    }

    /// The buffer that an answer is about. `None` if it is not about the oldest receive.
    pub(crate) fn answered_receive(&mut self, number: u64) -> Option<ReceiveBuffer> {
        if number != self.oldest_receive {
            return None;
        }
        let buffer = self.receives.pop_front()?;
        self.oldest_receive = number.wrapping_add(1);
        Some(buffer)
    }

    /// Gives up the oldest request of the send queue.
    pub(crate) fn abandon_send(&mut self) -> Option<SendRequest> {
        let request = self.sends.pop_front()?;
        self.oldest_send = self.oldest_send.wrapping_add(1);
        Some(request)
    }

    /// Gives up the oldest receive.
    pub(crate) fn abandon_receive(&mut self) -> Option<ReceiveBuffer> {
        let buffer = self.receives.pop_front()?;
        self.oldest_receive = self.oldest_receive.wrapping_add(1);
        Some(buffer)
    }
}

fn number_after(oldest: u64, count: usize) -> u64 {
    oldest.wrapping_add(u64::try_from(count).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNSIGNALED: SendRequest = SendRequest::Write { signaled: false };
    const SIGNALED: SendRequest = SendRequest::Write { signaled: true };

    fn posted(requests: &[SendRequest]) -> Outstanding {
        let mut outstanding = Outstanding::default();
        requests.iter().for_each(|request| outstanding.posted_send(*request));
        outstanding
    }

    #[test]
    fn an_answer_stands_for_the_unsignaled_requests_before_it() {
        let message = SendRequest::Message { slot: 2 };
        let mut outstanding = posted(&[UNSIGNALED, UNSIGNALED, SIGNALED, message]);
        assert_eq!(outstanding.next_send(), 4);
        assert_eq!(outstanding.answered_send(2), Some(SIGNALED));
        assert_eq!(outstanding.sends(), 1);
        assert_eq!(outstanding.next_send(), 4);
        assert_eq!(outstanding.answered_send(3), Some(message));
        assert!(outstanding.is_empty());
    }

    #[test]
    fn what_was_refused_leaves_its_numbers_to_what_follows() {
        let mut outstanding = posted(&[SIGNALED, UNSIGNALED, SIGNALED]);
        assert_eq!(outstanding.withdraw(2), [UNSIGNALED, SIGNALED]);
        assert_eq!(outstanding.next_send(), 1);
        assert_eq!(outstanding.answered_send(0), Some(SIGNALED));
        assert_eq!(outstanding.withdraw(1), []);
    }

    #[test]
    fn an_answer_to_no_request_is_found_out() {
        let mut outstanding = posted(&[SIGNALED, SIGNALED]);
        assert_eq!(outstanding.answered_send(2), None);
        assert_eq!(outstanding.answered_send(0), Some(SIGNALED));
        assert_eq!(outstanding.answered_send(0), None);
        assert_eq!(outstanding.answered_send(u64::MAX), None);
        assert_eq!(outstanding.answered_receive(0), None);
    }

    #[test]
    fn receives_are_answered_strictly_in_order() {
        let mut outstanding = Outstanding::default();
        for buffer in 0..3 {
            assert_eq!(outstanding.next_receive(), u64::from(buffer));
            outstanding.posted_receive(ReceiveBuffer(buffer));
        }
        assert_eq!(outstanding.answered_receive(1), None);
        assert_eq!(outstanding.answered_receive(0), Some(ReceiveBuffer(0)));
        outstanding.posted_receive(ReceiveBuffer(0));
        assert_eq!(outstanding.answered_receive(1), Some(ReceiveBuffer(1)));
        assert_eq!(outstanding.abandon_receive(), Some(ReceiveBuffer(2)));
        assert_eq!(outstanding.answered_receive(3), Some(ReceiveBuffer(0)));
    }

    #[test]
    fn what_is_given_up_keeps_the_numbers_right() {
        let mut outstanding = posted(&[UNSIGNALED, SIGNALED]);
        assert_eq!(outstanding.abandon_send(), Some(UNSIGNALED));
        assert_eq!(outstanding.next_send(), 2);
        assert_eq!(outstanding.answered_send(1), Some(SIGNALED));
        assert_eq!(outstanding.abandon_send(), None);
    }
}
