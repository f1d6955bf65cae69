//! The reliable connected queue pair: posting requests, and telling what an answer is about.

use std::mem;
use std::ptr::{self, NonNull};
use std::sync::Arc;

use rdma_migration_protocol::address::{HostAddress, Rkey};
use rdma_migration_protocol::transport::ReceiveBuffer;
use rdma_sys::{
    ibv_modify_qp, ibv_post_recv, ibv_post_send, ibv_qp, ibv_qp_attr, ibv_qp_attr_mask, ibv_qp_cap,
    ibv_qp_init_attr, ibv_qp_state, ibv_qp_type, ibv_recv_wr, ibv_send_flags, ibv_send_wr, ibv_sge,
    ibv_wr_opcode, rdma_create_qp, rdma_destroy_qp, rdma_t, wr_t,
};

use crate::completion_queue::CompletionQueue;
use crate::config::RECEIVE_QUEUE_DEPTH;
use crate::connection_id::ConnectionId;
use crate::control_buffers::Registered;
use crate::error::{Errno, VerbsError};
use crate::memory_region::ProtectionDomain;
use crate::outstanding::{Outstanding, SendRequest};

// rdma-sys writes structures with unions by hand: they have to be as long as those of rdma-core.
const _: () = assert!(size_of::<ibv_send_wr>() == 128);
const _: () = assert!(size_of::<ibv_recv_wr>() == 32);

/// Bit of a request's number that says which queue it is on.
const RECEIVE: u64 = 1 << 63;

/// An RDMA WRITE, or a part of one, as the adapter takes it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Write {
    pub(crate) local: Registered,
    pub(crate) length: u32,
    pub(crate) remote_address: HostAddress,
    pub(crate) rkey: Rkey,
    pub(crate) signaled: bool,
}

/// What an answer is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Answered {
    Send(SendRequest),
    Receive(ReceiveBuffer),
}

/// A post that the adapter refused, wholly or from some request on.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) error: VerbsError,
    /// What was not posted, the first first.
    pub(crate) requests: Vec<SendRequest>,
}

/// A queue pair, until it is dropped.
pub(crate) struct QueuePair {
    id: Arc<ConnectionId>,
    outstanding: Outstanding,
    chain: Chain,
    /// Requests that fit on the send queue.
    send_depth: usize,
    _domain: Arc<ProtectionDomain>,
}

impl QueuePair {
    /// Creates the queue pair of a connection. Both queues outlive it.
    pub(crate) fn new(
        id: &Arc<ConnectionId>,
        domain: &Arc<ProtectionDomain>,
        sends: &CompletionQueue,
        receives: &CompletionQueue,
        send_depth: u32,
    ) -> Result<Self, VerbsError> {
        let mut attributes = ibv_qp_init_attr {
            qp_context: ptr::null_mut(),
            send_cq: sends.raw().as_ptr(),
            recv_cq: receives.raw().as_ptr(),
            srq: ptr::null_mut(),
            cap: ibv_qp_cap {
                max_send_wr: send_depth,
                max_recv_wr: RECEIVE_QUEUE_DEPTH,
                max_send_sge: 1,
                max_recv_sge: 1,
                max_inline_data: 0,
            },
            qp_type: ibv_qp_type::IBV_QPT_RC,
            sq_sig_all: 0,
        };
        let (raw, domain_raw) = (id.raw().as_ptr(), domain.raw().as_ptr());
        // SAFETY: identifier, domain and queues are alive, and of one device: all were made from it.
        let result = unsafe { rdma_create_qp(raw, domain_raw, &raw mut attributes) };
        if result != 0 {
            return Err(VerbsError::last("rdma_create_qp", id.peer()));
        }
        let send_depth = usize::try_from(send_depth).unwrap_or(usize::MAX);
        let (id, _domain) = (Arc::clone(id), Arc::clone(domain));
        let (outstanding, chain) = (Outstanding::default(), Chain::default());
        Ok(Self { id, outstanding, chain, send_depth, _domain })
    }

    pub(crate) const fn outstanding(&self) -> &Outstanding {
        &self.outstanding
    }

    /// Whether so many further requests fit on the send queue.
    pub(crate) fn has_room(&self, requests: usize) -> bool {
        self.outstanding.sends().saturating_add(requests) <= self.send_depth
    }

    /// Posts a receive into a buffer of `length` bytes.
    pub(crate) fn post_receive(
        &mut self,
        buffer: ReceiveBuffer,
        place: Registered,
        length: u32,
    ) -> Result<(), VerbsError> {
        let mut element = ibv_sge { addr: place.address, length, lkey: place.lkey };
        let mut request = ibv_recv_wr {
            wr_id: self.outstanding.next_receive() | RECEIVE,
            next: ptr::null_mut(),
            sg_list: &raw mut element,
            num_sge: 1,
        };
        let mut refused = ptr::null_mut();
        let queue_pair = self.raw();
        // SAFETY: the queue pair is alive; the request and its element are only read, before the call
        // returns. The adapter writes only into memory that is registered under the key.
        let result = unsafe { ibv_post_recv(queue_pair, &raw mut request, &raw mut refused) };
        self.check("ibv_post_recv", result)?;
        self.outstanding.posted_receive(buffer);
        Ok(())
    }

    /// Posts the message of `length` bytes in a send buffer, behind what is held back.
    pub(crate) fn post_message(
        &mut self,
        slot: usize,
        place: Registered,
        length: u32,
    ) -> Result<(), Refused> {
        let element = ibv_sge { addr: place.address, length, lkey: place.lkey };
        let number = self.outstanding.next_send();
        self.chain.add(number, element, ibv_wr_opcode::IBV_WR_SEND, None, true);
        self.outstanding.posted_send(SendRequest::Message { slot });
        self.post_held()
    }

    /// Posts a write. One that is not signaled is held back until one that is follows, or a message,
    /// or [`Self::post_held`]: what is posted together costs the adapter one call.
    pub(crate) fn post_write(&mut self, write: &Write) -> Result<(), Refused> {
        let Registered { address: addr, lkey } = write.local;
        let element = ibv_sge { addr, length: write.length, lkey };
        let remote = rdma_t { remote_addr: write.remote_address.get(), rkey: write.rkey.get() };
        let opcode = ibv_wr_opcode::IBV_WR_RDMA_WRITE;
        let number = self.outstanding.next_send();
        self.chain.add(number, element, opcode, Some(remote), write.signaled);
        self.outstanding.posted_send(SendRequest::Write { signaled: write.signaled });
        if write.signaled { self.post_held() } else { Ok(()) }
    }

    /// Posts what is held back.
    pub(crate) fn post_held(&mut self) -> Result<(), Refused> {
        let Some(first) = self.chain.link() else { return Ok(()) };
        let mut refused = ptr::null_mut();
        // SAFETY: the queue pair is alive; the requests and their elements, which `link` has joined, are
        // only read, before the call returns. The adapter reads only memory that is registered under
        // the key.
        let result = unsafe { ibv_post_send(self.raw(), first.as_ptr(), &raw mut refused) };
        let posted = self.check("ibv_post_send", result);
        let not_posted = if posted.is_ok() { 0 } else { self.chain.from(refused) };
        self.chain.clear();
        posted.map_err(|error| Refused { error, requests: self.outstanding.withdraw(not_posted) })
    }

    /// What the answer to the request of this number is about; `None` if it answers no request.
    pub(crate) fn answered(&mut self, request: u64) -> Option<Answered> {
        if request & RECEIVE != 0 {
            let buffer = self.outstanding.answered_receive(request & !RECEIVE)?;
            Some(Answered::Receive(buffer))
        } else {
            self.outstanding.answered_send(request).map(Answered::Send)
        }
    }

    /// Moves the queue pair into its error state, which flushes every posted request.
    pub(crate) fn fail(&self) -> Result<(), VerbsError> {
        // SAFETY: all zeroes is a valid structure of attributes, of which only the state is used.
        let mut attributes: ibv_qp_attr = unsafe { mem::zeroed() };
        attributes.qp_state = ibv_qp_state::IBV_QPS_ERR;
        let which = i32::try_from(ibv_qp_attr_mask::IBV_QP_STATE.0).unwrap_or_default();
        // SAFETY: the queue pair is alive, and the attributes are only read.
        let result = unsafe { ibv_modify_qp(self.raw(), &raw mut attributes, which) };
        self.check("ibv_modify_qp", result)
    }

    /// Destroys the queue pair. What it has not answered is returned: the adapter is done with it.
    pub(crate) fn destroy(mut self) -> Outstanding {
        mem::take(&mut self.outstanding)
    }

    fn raw(&self) -> *mut ibv_qp {
        // SAFETY: the identifier is alive; its queue pair was created in `new` and is destroyed in
        // `drop` only.
        unsafe { (*self.id.raw().as_ptr()).qp }
    }

    fn check(&self, call: &'static str, result: i32) -> Result<(), VerbsError> {
        // These calls return the error number; old providers return -1 and leave it in `errno`.
        match result {
            0 => Ok(()),
            number if number > 0 => {
                Err(VerbsError::Call { call, peer: self.id.peer(), errno: Errno(number) })
            }
            _ => Err(VerbsError::last(call, self.id.peer())),
        }
    }
}

/// Requests for the send queue that are posted together, each with its one element. It is filled
/// again and again.
#[derive(Default)]
struct Chain {
    requests: Vec<ibv_send_wr>,
    elements: Vec<ibv_sge>,
}

// SAFETY: its pointers are set by `link` for the call that follows at once, and lead into itself.
unsafe impl Send for Chain {}

impl Chain {
    fn add(
        &mut self,
        number: u64,
        element: ibv_sge,
        opcode: ibv_wr_opcode::Type,
        remote: Option<rdma_t>,
        signaled: bool,
    ) {
        // SAFETY: all zeroes is a valid request: numbers and pointers that are null.
        let mut request: ibv_send_wr = unsafe { mem::zeroed() };
        request.wr_id = number;
        request.num_sge = 1;
        request.opcode = opcode;
        request.send_flags = if signaled { ibv_send_flags::IBV_SEND_SIGNALED.0 } else { 0 };
        if let Some(rdma) = remote {
            request.wr = wr_t { rdma };
        }
        self.requests.push(request);
        self.elements.push(element);
    }

    /// Joins the requests to a list and returns the first, if there is one.
    fn link(&mut self) -> Option<NonNull<ibv_send_wr>> {
        let mut next = ptr::null_mut();
        for (request, element) in self.requests.iter_mut().zip(&mut self.elements).rev() {
            request.sg_list = element;
            request.next = next;
            next = request;
        }
        NonNull::new(next)
    }

    /// How many requests there are from this one on; all, if it is none of them.
    fn from(&self, request: *const ibv_send_wr) -> usize {
        let at = self.requests.iter().position(|each| ptr::eq(each, request));
        self.requests.len() - at.unwrap_or(0)
    }

    fn clear(&mut self) {
        self.requests.clear();
        self.elements.clear();
    }
}

impl Drop for QueuePair {
    fn drop(&mut self) {
        if NonNull::new(self.raw()).is_some() {
            // SAFETY: the identifier is alive and has a queue pair.
            unsafe { rdma_destroy_qp(self.id.raw().as_ptr()) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_joined_in_their_order_and_found_again() {
        let mut chain = Chain::default();
        assert!(chain.link().is_none());
        for number in 0..3 {
            let element = ibv_sge { addr: 100 + number, length: 1, lkey: 0 };
            chain.add(number, element, ibv_wr_opcode::IBV_WR_RDMA_WRITE, None, number == 2);
        }
        let mut next: *const ibv_send_wr = chain.link().unwrap().as_ptr();
        for number in 0..3 {
            assert_eq!(chain.from(next), 3 - usize::try_from(number).unwrap());
            // SAFETY: `link` has joined what the chain still holds.
            let (request, element) = unsafe { (&*next, &*(*next).sg_list) };
            assert_eq!((request.wr_id, element.addr), (number, 100 + number));
            next = request.next;
        }
        assert!(next.is_null());
        assert_eq!(chain.from(ptr::null()), 3);
        chain.clear();
        assert!(chain.link().is_none());
    }
}
