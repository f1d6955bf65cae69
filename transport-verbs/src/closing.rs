//! The end of a connection: what was posted is flushed and answered, then the queue pair goes.

use std::time::{Duration, Instant};

use rdma_migration_protocol::transport::FailedOperation;

use crate::link::{Link, NO_CONNECTION};
use crate::outstanding::SendRequest;
use crate::readiness::sleep_on;
use crate::report::Report;
use crate::transport::VerbsTransport;

/// How long an adapter may take to flush what is posted. What it has not flushed by then is answered
/// when the queue pair is destroyed: from then on the adapter cannot touch it either.
const FLUSH_LIMIT: Duration = Duration::from_millis(500);

/// How long a transport that is dropped waits for the peer to confirm the end of the connection. If
/// the identifier went earlier, a lost message about the end would not be repeated, and the peer would
/// wait for us until its own deadline.
const CONFIRMATION_LIMIT: Duration = Duration::from_millis(250);

impl VerbsTransport {
    pub(crate) fn disconnect(&mut self) {
        if matches!(self.link, Link::Draining { .. } | Link::Closed) {
            return;
        }
        if let Some(workers) = &self.workers {
            workers.cancel();
        }
        if self.was_established
            && let Some(id) = &self.id
            && let Err(error) = id.disconnect()
        {
            // The connection may have gone already.
            tracing::debug!(%error, "disconnect");
        }
        let queue_pair = self.endpoint.as_ref().and_then(|endpoint| endpoint.queue_pair.as_ref());
        if let Some(queue_pair) = queue_pair
            && let Err(error) = queue_pair.fail()
        {
            tracing::debug!(%error, "the queue pair is not flushed, only destroyed");
        }
        self.link = Link::Draining { until: Instant::now() + FLUSH_LIMIT };
        if let Err(error) = self.readiness.set_timer(Some(FLUSH_LIMIT)) {
            tracing::warn!(%error, "timerfd_settime");
        }
        self.take_completions();
        self.advance_drain();
    }

    pub(crate) fn advance_drain(&mut self) {
        let Link::Draining { until } = &self.link else { return };
        let queue_pair = self.endpoint.as_ref().and_then(|endpoint| endpoint.queue_pair.as_ref());
        let flushed = queue_pair.is_none_or(|queue_pair| queue_pair.outstanding().is_empty());
        if flushed || Instant::now() >= *until {
            self.destroy_queue_pair();
            self.reports.push_back(Report::Disconnected);
            self.link = Link::Closed;
        }
    }

    /// Destroys the queue pair and answers what it has not.
    fn destroy_queue_pair(&mut self) {
        let taken = self.endpoint.as_mut().and_then(|endpoint| endpoint.queue_pair.take());
        if let Some(queue_pair) = taken {
            let mut outstanding = queue_pair.destroy();
            while let Some(buffer) = outstanding.abandon_receive() {
                self.control.received(buffer, None);
                self.fail(FailedOperation::Receive { buffer }, NO_CONNECTION);
            }
            while let Some(request) = outstanding.abandon_send() {
                let operation = match request {
                    SendRequest::Message { slot } => {
                        self.control.sent(slot);
                        FailedOperation::Send
                    }
                    SendRequest::Write { .. } => FailedOperation::WriteRam,
                };
                self.fail(operation, NO_CONNECTION);
            }
        }
        while let Some(buffer) = self.waiting_receives.pop_front() {
            self.control.received(buffer, None);
            self.fail(FailedOperation::Receive { buffer }, NO_CONNECTION);
        }
        if let Err(error) = self.readiness.set_timer(None) {
            tracing::warn!(%error, "timerfd_settime");
        }
        if !self.was_established {
            // Nothing was registered but the control buffers. With its identifier gone, an attempt
            // that is still under way ends on the other side too.
            self.close_endpoint();
        }
    }

    /// Gives back what a connection needs of its device, and the connection itself.
    pub(crate) fn close_endpoint(&mut self) {
        self.control.deregister();
        self.endpoint = None;
        self.id = None;
    }

    /// Waits for the peer to confirm the end, if this side has begun it.
    fn await_confirmation(&mut self) {
        let deadline = Instant::now() + CONFIRMATION_LIMIT;
        self.reports.clear();
        while self.was_established && !self.peer_is_gone {
            let Some(left) = deadline.checked_duration_since(Instant::now()) else { return };
            if left.is_zero() {
                return;
            }
            sleep_on(self.channel.descriptor(), Some(left));
            self.take_events();
            self.reports.clear();
        }
    }
}

impl Drop for VerbsTransport {
    fn drop(&mut self) {
        self.disconnect();
        self.destroy_queue_pair();
        self.link = Link::Closed;
        // Waits for the threads: afterwards nothing of this transport touches guest RAM.
        self.workers = None;
        self.regions.clear();
        self.await_confirmation();
        self.close_endpoint();
    }
}
