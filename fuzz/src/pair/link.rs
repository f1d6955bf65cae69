//! What the link carries from one side to the other, and how it fails.

use rdma_migration_protocol::address::Rkey;
use rdma_migration_protocol::time::Instant;
use rdma_migration_protocol::transport::{Completion, Machine, TransportError, WriteRam};

use super::host::{QueuePair, Work};
use super::lie::Lie;
use super::seat::{Attend, Seat};

/// One side disconnects; the other one learns of it later.
pub(super) fn leave<M, N, O, P>(from: &mut Seat<M, O>, other: &mut Seat<N, P>, now: Instant)
where
    M: Machine,
    N: Machine,
    O: Attend<M>,
    P: Attend<N>,
{
    let asked = other.host.queue_pair == QueuePair::Young && !other.host.posted.is_empty();
    if other.host.queue_pair == QueuePair::Open || asked {
        other.host.queue_pair = match asked {
            true => QueuePair::Young,
            false => QueuePair::Broken,
        };
        other.host.peer_left = true;
    }
    from.destroy_queue_pair(now);
}

/// A message arrives, if there is a receive for it.
pub(super) fn arrive<M: Machine, O: Attend<M>>(
    to: &mut Seat<M, O>,
    message: &[u8],
    now: Instant,
) -> bool {
    if to.host.queue_pair != QueuePair::Open {
        return false;
    }
    let Some(buffer) = to.host.posted.pop_front() else { return false };
    let slot = usize::from(buffer.0);
    let mut bytes = std::mem::take(&mut to.host.received[slot]);
    bytes.clear();
    bytes.extend_from_slice(message);
    to.complete(Completion::Received { buffer, bytes: &bytes }, now);
    to.host.received[slot] = bytes;
    true
}

/// How the oldest work on a queue pair goes.
pub(super) struct Told {
    pub(super) lie: Lie,
    pub(super) made_up: Vec<u8>,
    pub(super) error: Option<TransportError>,
    /// Whether a peer has lied, so that what follows may be wrong.
    pub(super) lied: bool,
}

impl Told {
    pub(super) fn work<M, N, O, P>(&self, from: &mut Seat<M, O>, to: &mut Seat<N, P>, now: Instant)
    where
        M: Machine,
        N: Machine,
        O: Attend<M>,
        P: Attend<N>,
    {
        let Some(work) = from.host.queued.pop_front() else { return };
        let error = match (from.host.queue_pair, to.host.queue_pair) {
            (QueuePair::Broken, _) => Some(TransportError::Flushed),
            (_, QueuePair::Open) => self.error,
            _ => Some(TransportError::RetryExceeded),
        };
        if let Some(error) = error {
            if let (Work::Send(message), Lie::Failed { arrives: true, .. }) = (&work, self.lie) {
                // Its peer has it, whatever the sender is told.
                arrive(to, message, now);
            }
            return break_off(from, to, &work, error, now);
        }
        match work {
            Work::Send(mut message) => {
                let sent = message.clone();
                let times = self.lie.told(&mut message, &self.made_up);
                for time in 0..times {
                    let arrived = arrive(to, &message, now);
                    if !arrived && time == 0 {
                        assert!(self.lied, "no receive is posted for {sent:?}");
                        let error = TransportError::ReceiverNotReady;
                        return break_off(from, to, &Work::Send(sent), error, now);
                    }
                }
                from.complete(Completion::Sent, now);
            }
            Work::Write(write) => {
                if !self.write(from, to, &write) {
                    let error = TransportError::RemoteAccess;
                    return break_off(from, to, &Work::Write(write), error, now);
                }
                if write.signaled {
                    from.complete(Completion::RamWritten, now);
                }
            }
        }
    }

    /// Whether the peer's adapter takes the write.
    fn write<M, N, O, P>(
        &self,
        from: &mut Seat<M, O>,
        to: &mut Seat<N, P>,
        write: &WriteRam,
    ) -> bool {
        from.host.assert_readable(write);
        assert_ne!(write.rkey, Rkey::new(0));
        let granted = to.host.granted(write.remote_address, write.length, write.rkey);
        assert!(granted.is_some() || self.lied, "{write:?} outside what is granted");
        let Some((block, offset)) = granted else { return false };
        if self.lied && (block, offset) != (write.block, write.offset.get()) {
            // It went where a lie has led it.
            to.host.pages_touched(block, offset, write.length).fill(0xdd);
            return true;
        }
        assert_eq!((block, offset), (write.block, write.offset.get()));
        let pages = from.host.pages_touched(write.block, offset, write.length);
        to.host.pages_touched(block, offset, write.length).copy_from_slice(pages);
        true
    }
}

/// Work fails, and the connection with it.
fn break_off<M, N, O, P>(
    from: &mut Seat<M, O>,
    to: &mut Seat<N, P>,
    work: &Work,
    error: TransportError,
    now: Instant,
) where
    M: Machine,
    N: Machine,
    O: Attend<M>,
    P: Attend<N>,
{
    from.host.queue_pair = QueuePair::Broken;
    if to.host.queue_pair == QueuePair::Open {
        to.host.queue_pair = QueuePair::Broken;
        to.host.peer_left = true;
    }
    from.fail_work(work, error, now);
}
