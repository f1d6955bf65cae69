//! The connection manager: what happens to connections, as events of one channel.

use std::fmt;
use std::os::fd::BorrowedFd;
use std::ptr::{self, NonNull};
use std::sync::Arc;

use rdma_sys::{
    rdma_ack_cm_event, rdma_cm_event, rdma_cm_event_type, rdma_cm_id, rdma_conn_param,
    rdma_create_event_channel, rdma_destroy_event_channel, rdma_event_channel, rdma_get_cm_event,
};

use crate::connection_id::ConnectionId;
use crate::error::{Errno, VerbsError};
use crate::readiness::set_nonblocking;

// rdma-sys writes structures with unions by hand: they have to be as long as those of rdma-core.
const _: () = assert!(size_of::<rdma_cm_event>() == 80);
const _: () = assert!(size_of::<rdma_cm_id>() == 416);

/// Private data as the connection manager delivers it: padded with zeroes, and longer than what the
/// peer has given.
#[derive(Clone, Copy)]
pub(crate) struct PrivateData {
    bytes: [u8; Self::BYTES_MAX],
    length: u8,
}

impl PrivateData {
    const BYTES_MAX: usize = 255;

    pub(crate) const NONE: Self = Self { bytes: [0; Self::BYTES_MAX], length: 0 };

    pub(crate) fn bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.length)).unwrap_or_default()
    }

    /// # Safety
    ///
    /// `parameters` are those of an event that is not acknowledged yet.
    unsafe fn copy(parameters: &rdma_conn_param) -> Self {
        let mut copy = Self::NONE;
        if !parameters.private_data.is_null() {
            copy.length = parameters.private_data_len;
            let (from, to) = (parameters.private_data.cast(), copy.bytes.as_mut_ptr());
            // SAFETY: the event says how many bytes there are, which is at most 255; the caller
            // vouches for the event.
            unsafe { ptr::copy_nonoverlapping(from, to, usize::from(copy.length)) };
        }
        copy
    }
}

impl fmt::Debug for PrivateData {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.bytes().fmt(formatter)
    }
}

/// What has happened to a connection.
pub(crate) struct Event {
    pub(crate) subject: Subject,
    /// An error number, negative, or a reason of the InfiniBand connection manager; 0 for none.
    pub(crate) status: i32,
    /// What the peer has sent along; nothing with most events.
    pub(crate) private_data: PrivateData,
}

/// What an event is about.
pub(crate) enum Subject {
    /// Somebody asks a listener to connect, by this identifier of its own.
    Request(ConnectionId),
    /// Something happened to an identifier of ours.
    Known { id: NonNull<rdma_cm_id>, what: EventKind },
}

/// What has happened to an identifier.
#[derive(Clone, Copy, Debug)]
pub(crate) enum EventKind {
    AddressResolved,
    AddressError,
    RouteResolved,
    RouteError,
    Established,
    ConnectError,
    Unreachable,
    Rejected,
    Disconnected,
    DeviceRemoved,
    /// The end of TIMEWAIT, a changed address, multicast: nothing that concerns a migration.
    Other,
}

impl EventKind {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::AddressResolved => "ADDR_RESOLVED",
            Self::AddressError => "ADDR_ERROR",
            Self::RouteResolved => "ROUTE_RESOLVED",
            Self::RouteError => "ROUTE_ERROR",
            Self::Established => "ESTABLISHED",
            Self::ConnectError => "CONNECT_ERROR",
            Self::Unreachable => "UNREACHABLE",
            Self::Rejected => "REJECTED",
            Self::Disconnected => "DISCONNECTED",
            Self::DeviceRemoved => "DEVICE_REMOVAL",
            Self::Other => "an event of no concern",
        }
    }

    fn of(number: rdma_cm_event_type::Type) -> Self {
        match number {
            rdma_cm_event_type::RDMA_CM_EVENT_ADDR_RESOLVED => Self::AddressResolved,
            rdma_cm_event_type::RDMA_CM_EVENT_ADDR_ERROR => Self::AddressError,
            rdma_cm_event_type::RDMA_CM_EVENT_ROUTE_RESOLVED => Self::RouteResolved,
            rdma_cm_event_type::RDMA_CM_EVENT_ROUTE_ERROR => Self::RouteError,
            rdma_cm_event_type::RDMA_CM_EVENT_ESTABLISHED => Self::Established,
            rdma_cm_event_type::RDMA_CM_EVENT_CONNECT_ERROR => Self::ConnectError,
            rdma_cm_event_type::RDMA_CM_EVENT_UNREACHABLE => Self::Unreachable,
            rdma_cm_event_type::RDMA_CM_EVENT_REJECTED => Self::Rejected,
            rdma_cm_event_type::RDMA_CM_EVENT_DISCONNECTED => Self::Disconnected,
            rdma_cm_event_type::RDMA_CM_EVENT_DEVICE_REMOVAL => Self::DeviceRemoved,
            _ => Self::Other,
        }
    }
}

/// The channel by which the events of this transport's identifiers come.
pub(crate) struct EventChannel {
    raw: NonNull<rdma_event_channel>,
}

// SAFETY: librdmacm may be called from any thread; the pointer is no thread's own.
unsafe impl Send for EventChannel {}
// SAFETY: as above; calls on one channel from several threads are allowed by librdmacm.
unsafe impl Sync for EventChannel {}

impl EventChannel {
    /// Opens a channel that never blocks.
    pub(crate) fn open() -> Result<Arc<Self>, VerbsError> {
        let call = "rdma_create_event_channel";
        // SAFETY: the call takes nothing.
        let raw = NonNull::new(unsafe { rdma_create_event_channel() });
        let raw = raw.ok_or_else(|| match Errno::last() {
            errno @ Errno(libc::ENODEV | libc::ENOENT | libc::ENOSYS) => {
                VerbsError::NoDevice { call, errno }
            }
            errno => VerbsError::Call { call, peer: None, errno },
        })?;
        let channel = Self { raw };
        set_nonblocking(channel.descriptor()).map_err(|_| VerbsError::last("fcntl", None))?;
        Ok(Arc::new(channel))
    }

    pub(crate) const fn raw(&self) -> *mut rdma_event_channel {
        self.raw.as_ptr()
    }

    pub(crate) fn descriptor(&self) -> BorrowedFd<'_> {
        // SAFETY: the channel is open.
        let descriptor = unsafe { (*self.raw.as_ptr()).fd };
        // SAFETY: the descriptor is open as long as the channel, which `&self` keeps.
        unsafe { BorrowedFd::borrow_raw(descriptor) }
    }

    /// Takes the next event, if there is one.
    pub(crate) fn next(self: &Arc<Self>) -> Result<Option<Event>, VerbsError> {
        let mut raw = ptr::null_mut();
        // SAFETY: the channel is open, and `raw` is a valid place for the answer.
        if unsafe { rdma_get_cm_event(self.raw.as_ptr(), &raw mut raw) } != 0 {
            return match Errno::last() {
                Errno(libc::EAGAIN | libc::EINTR) => Ok(None),
                errno => Err(VerbsError::Call { call: "rdma_get_cm_event", peer: None, errno }),
            };
        }
        let Some(raw) = NonNull::new(raw) else { return Ok(None) };
        // SAFETY: the call has succeeded, so the event is valid until it is acknowledged below, and
        // the reference is not used after that.
        let event = unsafe { raw.as_ref() };
        // SAFETY: it is not acknowledged yet.
        let event = unsafe { self.copy(event) };
        // SAFETY: the event is valid and not acknowledged yet; what it pointed to has been copied. To
        // do so at once keeps the destruction of identifiers from waiting.
        unsafe { rdma_ack_cm_event(raw.as_ptr()) };
        Ok(event)
    }

    /// # Safety
    ///
    /// `event` is not acknowledged yet.
    unsafe fn copy(self: &Arc<Self>, event: &rdma_cm_event) -> Option<Event> {
        let id = NonNull::new(event.id)?;
        // SAFETY: the port space of every identifier here is TCP, so it is this part of the union that
        // was filled; where an event has no parameters it is zero.
        let parameters = unsafe { &event.param.conn };
        // SAFETY: the caller vouches for the event.
        let private_data = unsafe { PrivateData::copy(parameters) };
        let subject = if event.event == rdma_cm_event_type::RDMA_CM_EVENT_CONNECT_REQUEST {
            // SAFETY: a request comes with an identifier of its own, which is the receiver's.
            Subject::Request(unsafe { ConnectionId::from_request(id, self) })
        } else {
            Subject::Known { id, what: EventKind::of(event.event) }
        };
        Some(Event { subject, status: event.status, private_data })
    }
}

impl Drop for EventChannel {
    fn drop(&mut self) {
        // SAFETY: opened in `open`; every identifier holds an `Arc` to the channel, so none is left.
        unsafe { rdma_destroy_event_channel(self.raw.as_ptr()) };
    }
}
