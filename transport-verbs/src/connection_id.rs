//! One end of a connection as librdmacm has it, and the calls on it.

use std::ffi::CStr;
use std::net::SocketAddr;
use std::ptr::{self, NonNull};
use std::sync::Arc;
use std::time::Duration;

use rdma_migration_protocol::limits::PRIVATE_DATA_BYTES;
use rdma_sys::{
    ibv_context, ibv_get_device_name, rdma_accept, rdma_bind_addr, rdma_cm_id, rdma_conn_param,
    rdma_connect, rdma_create_id, rdma_destroy_id, rdma_disconnect, rdma_listen, rdma_port_space,
    rdma_reject, rdma_resolve_addr, rdma_resolve_route, rdma_set_option,
};

use crate::connection_manager::EventChannel;
use crate::error::{Errno, VerbsError};
use crate::socket_address::{RawAddress, read_address};

/// `RDMA_OPTION_ID` and `RDMA_OPTION_ID_REUSEADDR` of librdmacm, which bindgen does not see.
const OPTION_LEVEL_ID: i32 = 0;
const OPTION_REUSE_ADDRESS: i32 = 1;

/// Requests that may wait to be answered.
const LISTEN_BACKLOG: i32 = 5;

/// What a side says about itself when it connects or accepts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Parameters {
    pub(crate) private_data: [u8; PRIVATE_DATA_BYTES],
    /// RDMA READs and atomics of the peer that may be under way here.
    pub(crate) responder_resources: u8,
    /// RDMA READs and atomics of ours that may be under way there.
    pub(crate) initiator_depth: u8,
    pub(crate) retry_count: u8,
    pub(crate) rnr_retry_count: u8,
}

/// An identifier of the connection manager: a listener, or one end of a connection.
pub(crate) struct ConnectionId {
    raw: NonNull<rdma_cm_id>,
    /// Keeps the channel open that the identifier's events come by.
    _channel: Arc<EventChannel>,
}

// SAFETY: librdmacm may be called from any thread; the pointer is no thread's own.
unsafe impl Send for ConnectionId {}
// SAFETY: through a shared reference only fields are read that librdmacm no longer changes once the
// transport shares the identifier, and calls are made that librdmacm serialises itself.
unsafe impl Sync for ConnectionId {}

impl ConnectionId {
    pub(crate) fn new(channel: &Arc<EventChannel>) -> Result<Self, VerbsError> {
        let mut raw = ptr::null_mut();
        let ports = rdma_port_space::RDMA_PS_TCP;
        // SAFETY: the channel is open, `raw` is a valid place for the answer, no context is given.
        let result = unsafe { rdma_create_id(channel.raw(), &raw mut raw, ptr::null_mut(), ports) };
        if result != 0 {
            return Err(VerbsError::last("rdma_create_id", None));
        }
        let raw = NonNull::new(raw).ok_or_else(|| VerbsError::last("rdma_create_id", None))?;
        Ok(Self { raw, _channel: Arc::clone(channel) })
    }

    /// Takes over the identifier that a connection request has made.
    ///
    /// # Safety
    ///
    /// `raw` comes from an event of `channel` and is nobody else's.
    pub(crate) unsafe fn from_request(
        raw: NonNull<rdma_cm_id>,
        channel: &Arc<EventChannel>,
    ) -> Self {
        Self { raw, _channel: Arc::clone(channel) }
    }

    pub(crate) const fn raw(&self) -> NonNull<rdma_cm_id> {
        self.raw
    }

    /// The device, once an address is resolved or a request has come.
    pub(crate) fn device(&self) -> Result<NonNull<ibv_context>, VerbsError> {
        // SAFETY: the identifier is alive.
        let device = NonNull::new(unsafe { (*self.raw.as_ptr()).verbs });
        let (call, errno) = ("device of the connection", Errno(libc::ENODEV));
        device.ok_or(VerbsError::Call { call, peer: self.peer(), errno })
    }

    /// The name of the device; empty where there is none yet.
    pub(crate) fn device_name(&self) -> String {
        let Ok(context) = self.device() else { return String::new() };
        // SAFETY: the context is open as long as the identifier lives.
        let device = unsafe { (*context.as_ptr()).device };
        // SAFETY: an open context has a valid device.
        let name = unsafe { ibv_get_device_name(device) };
        if name.is_null() {
            return String::new();
        }
        // SAFETY: the name is a string of C that lives as long as its device.
        unsafe { CStr::from_ptr(name) }.to_string_lossy().into_owned()
    }

    /// The number of the device's port; 0 where there is no device yet.
    pub(crate) fn port_number(&self) -> u8 {
        // SAFETY: the identifier is alive.
        unsafe { (*self.raw.as_ptr()).port_num }
    }

    /// The address of this end.
    pub(crate) fn local(&self) -> Option<SocketAddr> {
        // SAFETY: the identifier is alive; only the address of the field is taken.
        let address = unsafe { &raw const (*self.raw.as_ptr()).route.addr.src_addr_union };
        // SAFETY: the field has room for every address and is zero where there is none.
        unsafe { read_address(address.cast()) }
    }

    /// The address of the other end.
    pub(crate) fn peer(&self) -> Option<SocketAddr> {
        // SAFETY: the identifier is alive; only the address of the field is taken.
        let address = unsafe { &raw const (*self.raw.as_ptr()).route.addr.dst_addr_union };
        // SAFETY: the field has room for every address and is zero where there is none.
        unsafe { read_address(address.cast()) }
    }

    /// Begins to listen.
    pub(crate) fn listen(&self, address: &SocketAddr) -> Result<(), VerbsError> {
        let mut reuse: i32 = 1;
        let (level, option, place) = (OPTION_LEVEL_ID, OPTION_REUSE_ADDRESS, &raw mut reuse);
        // SAFETY: the identifier is alive, and the option is an integer that is only read.
        let result = unsafe {
            rdma_set_option(self.raw.as_ptr(), level, option, place.cast(), size_of::<i32>())
        };
        check("rdma_set_option", result, Some(*address))?;
        let mut raw = RawAddress::new(address);
        // SAFETY: the identifier is alive, and the address is a whole one that is only read.
        let result = unsafe { rdma_bind_addr(self.raw.as_ptr(), raw.pointer()) };
        check("rdma_bind_addr", result, Some(*address))?;
        // SAFETY: the identifier is alive.
        let result = unsafe { rdma_listen(self.raw.as_ptr(), LISTEN_BACKLOG) };
        check("rdma_listen", result, Some(*address))
    }

    /// Begins to find out by which device `peer` can be reached.
    pub(crate) fn resolve_address(
        &self,
        from: Option<&SocketAddr>,
        peer: &SocketAddr,
        limit: Duration,
    ) -> Result<(), VerbsError> {
        let mut from = from.map(RawAddress::new);
        let from = from.as_mut().map_or(ptr::null_mut(), RawAddress::pointer);
        let mut to = RawAddress::new(peer);
        let (id, limit) = (self.raw.as_ptr(), milliseconds(limit));
        // SAFETY: the identifier is alive, and the addresses are whole ones that are only read.
        let result = unsafe { rdma_resolve_addr(id, from, to.pointer(), limit) };
        check("rdma_resolve_addr", result, Some(*peer))
    }

    /// Begins to find out how `peer` can be reached by that device.
    pub(crate) fn resolve_route(&self, limit: Duration) -> Result<(), VerbsError> {
        // SAFETY: the identifier is alive.
        let result = unsafe { rdma_resolve_route(self.raw.as_ptr(), milliseconds(limit)) };
        check("rdma_resolve_route", result, self.peer())
    }

    /// Begins to connect. The queue pair is there and its receives are posted.
    pub(crate) fn connect(&self, parameters: &Parameters) -> Result<(), VerbsError> {
        let mut raw = parameters.raw();
        // SAFETY: the identifier is alive, and the parameters and what they point to are only read.
        let result = unsafe { rdma_connect(self.raw.as_ptr(), &raw mut raw) };
        check("rdma_connect", result, self.peer())
    }

    /// Accepts what was requested. The queue pair is there and its receives are posted.
    pub(crate) fn accept(&self, parameters: &Parameters) -> Result<(), VerbsError> {
        let mut raw = parameters.raw();
        // SAFETY: the identifier is alive, and the parameters and what they point to are only read.
        let result = unsafe { rdma_accept(self.raw.as_ptr(), &raw mut raw) };
        check("rdma_accept", result, self.peer())
    }

    /// Refuses what was requested.
    pub(crate) fn reject(&self) -> Result<(), VerbsError> {
        // SAFETY: the identifier is alive, and no private data is given.
        let result = unsafe { rdma_reject(self.raw.as_ptr(), ptr::null(), 0) };
        check("rdma_reject", result, self.peer())
    }

    /// Tells the peer that the connection ends, or agrees that it does.
    pub(crate) fn disconnect(&self) -> Result<(), VerbsError> {
        // SAFETY: the identifier is alive.
        let result = unsafe { rdma_disconnect(self.raw.as_ptr()) };
        check("rdma_disconnect", result, self.peer())
    }
}

impl Drop for ConnectionId {
    fn drop(&mut self) {
        // SAFETY: made by librdmacm and destroyed nowhere else. Its queue pair holds it alive, so that
        // is gone; every event was acknowledged as it was taken, so the call does not wait.
        let result = unsafe { rdma_destroy_id(self.raw.as_ptr()) };
        if result != 0 {
            tracing::error!(error = %Errno::last(), "rdma_destroy_id");
        }
    }
}

impl Parameters {
    fn raw(&self) -> rdma_conn_param {
        rdma_conn_param {
            private_data: self.private_data.as_ptr().cast(),
            private_data_len: PRIVATE_DATA_LENGTH,
            responder_resources: self.responder_resources,
            initiator_depth: self.initiator_depth,
            flow_control: 0,
            retry_count: self.retry_count,
            rnr_retry_count: self.rnr_retry_count,
            // Both are ignored where the identifier has a queue pair.
            srq: 0,
            qp_num: 0,
        }
    }
}

const PRIVATE_DATA_LENGTH: u8 = 8;
const _: () = assert!(PRIVATE_DATA_LENGTH as usize == PRIVATE_DATA_BYTES);

fn check(call: &'static str, result: i32, peer: Option<SocketAddr>) -> Result<(), VerbsError> {
    if result == 0 { Ok(()) } else { Err(VerbsError::last(call, peer)) }
}

fn milliseconds(time: Duration) -> i32 {
    i32::try_from(time.as_millis()).unwrap_or(i32::MAX).max(1)
}
