//! What a connection needs of its device: domain, queues, queue pair.

use std::mem;
use std::os::fd::BorrowedFd;
use std::sync::Arc;

use rdma_sys::{___ibv_query_port, ibv_device_attr, ibv_port_attr, ibv_query_device};

use crate::completion_queue::{CompletionChannel, CompletionQueue, WorkCompletion};
use crate::config::{RECEIVE_QUEUE_DEPTH, VerbsConfig};
use crate::connection_id::ConnectionId;
use crate::error::{Errno, VerbsError};
use crate::memory_region::ProtectionDomain;
use crate::queue_pair::QueuePair;

/// What a device allows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct DeviceLimits {
    /// Requests on one queue of a queue pair.
    pub(crate) queue_depth: u32,
    /// Entries of a completion queue.
    pub(crate) completions: u32,
    /// Bytes of one request.
    pub(crate) request_bytes: u32,
    /// RDMA READs and atomics of a peer that may be under way here, a queue pair.
    pub(crate) responder_resources: u8,
    /// RDMA READs and atomics of ours that may be under way, a queue pair.
    pub(crate) initiator_depth: u8,
}

impl DeviceLimits {
    fn of(id: &ConnectionId) -> Result<Self, VerbsError> {
        let device = id.device()?.as_ptr();
        let failed = |call, errno| VerbsError::Call { call, peer: id.peer(), errno: Errno(errno) };
        // SAFETY: all zeroes is a valid structure of numbers.
        let mut attributes: ibv_device_attr = unsafe { mem::zeroed() };
        // SAFETY: the device is open, and `attributes` is a valid place for the answer.
        let result = unsafe { ibv_query_device(device, &raw mut attributes) };
        if result != 0 {
            return Err(failed("ibv_query_device", result));
        }
        // SAFETY: all zeroes is a valid structure of numbers.
        let mut port: ibv_port_attr = unsafe { mem::zeroed() };
        // SAFETY: the device is open, and `port` is a valid place for the answer.
        let result = unsafe { ___ibv_query_port(device, id.port_number(), &raw mut port) };
        if result != 0 {
            return Err(failed("ibv_query_port", result));
        }
        Ok(Self {
            queue_depth: u32::try_from(attributes.max_qp_wr).unwrap_or(0),
            completions: u32::try_from(attributes.max_cqe).unwrap_or(0),
            request_bytes: port.max_msg_sz,
            responder_resources: u8::try_from(attributes.max_qp_rd_atom).unwrap_or(u8::MAX),
            initiator_depth: u8::try_from(attributes.max_qp_init_rd_atom).unwrap_or(u8::MAX),
        })
    }

    /// How long the send queue becomes.
    fn send_depth(&self, wanted: u32, device: String) -> Result<u32, VerbsError> {
        let needed = VerbsConfig::SEND_QUEUE_DEPTH_MIN;
        let limit = self.queue_depth.min(self.completions);
        if limit < needed {
            let what = "requests on a send queue";
            return Err(VerbsError::DeviceLimit { device, what, needed, limit });
        }
        Ok(wanted.clamp(needed, limit))
    }
}

/// The resources of one connection, in the order in which they have to go.
pub(crate) struct Endpoint {
    /// `None` once it is destroyed.
    pub(crate) queue_pair: Option<QueuePair>,
    sends: CompletionQueue,
    receives: CompletionQueue,
    channel: Arc<CompletionChannel>,
    pub(crate) domain: Arc<ProtectionDomain>,
    pub(crate) limits: DeviceLimits,
}

impl Endpoint {
    pub(crate) fn new(id: &Arc<ConnectionId>, config: &VerbsConfig) -> Result<Self, VerbsError> {
        let limits = DeviceLimits::of(id)?;
        let send_depth = limits.send_depth(config.send_queue_depth, id.device_name())?;
        let domain = ProtectionDomain::new(id)?;
        let channel = CompletionChannel::new(id)?;
        let sends = CompletionQueue::new(&channel, send_depth)?;
        let receives = CompletionQueue::new(&channel, RECEIVE_QUEUE_DEPTH)?;
        let queue_pair = Some(QueuePair::new(id, &domain, &sends, &receives, send_depth)?);
        tracing::debug!(device = id.device_name(), ?limits, send_depth, "queue pair created");
        Ok(Self { queue_pair, sends, receives, channel, domain, limits })
    }

    pub(crate) fn descriptor(&self) -> BorrowedFd<'_> {
        self.channel.descriptor()
    }

    /// Takes what has completed on both queues.
    pub(crate) fn drain(
        &mut self,
        mut show: impl FnMut(&mut QueuePair, WorkCompletion),
    ) -> Result<bool, VerbsError> {
        self.take_notifications();
        let Some(queue_pair) = &mut self.queue_pair else { return Ok(false) };
        let sent = self.sends.drain(|completion| show(queue_pair, completion))?;
        let received = self.receives.drain(|completion| show(queue_pair, completion))?;
        Ok(sent || received)
    }

    /// Has the next completion make the descriptor readable.
    pub(crate) fn arm(&mut self) -> Result<(), VerbsError> {
        if self.queue_pair.is_some() {
            self.sends.arm()?;
            self.receives.arm()?;
        }
        Ok(())
    }

    fn take_notifications(&mut self) {
        while self.sends.is_armed() || self.receives.is_armed() {
            let Some(queue) = self.channel.next() else { return };
            self.sends.notified(queue);
            self.receives.notified(queue);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(queue_depth: u32, completions: u32) -> DeviceLimits {
        let request_bytes = 1 << 30;
        let (responder_resources, initiator_depth) = (16, 16);
        DeviceLimits {
            queue_depth,
            completions,
            request_bytes,
            responder_resources,
            initiator_depth,
        }
    }

    #[test]
    fn the_send_queue_is_as_long_as_wanted_where_the_device_allows() {
        assert_eq!(limits(16_384, 65_536).send_depth(512, String::new()), Ok(512));
        assert_eq!(limits(400, 65_536).send_depth(512, String::new()), Ok(400));
        assert_eq!(limits(16_384, 300).send_depth(512, String::new()), Ok(300));
        let needed = VerbsConfig::SEND_QUEUE_DEPTH_MIN;
        assert_eq!(limits(16_384, 65_536).send_depth(1, String::new()), Ok(needed));
    }

    #[test]
    fn a_device_that_cannot_hold_the_writes_in_flight_is_refused() {
        let error = limits(100, 65_536).send_depth(512, "small0".to_owned()).unwrap_err();
        assert!(error.to_string().contains("small0 allows 100"), "{error}");
    }
}
