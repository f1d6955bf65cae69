//! The way to a connection: names, addresses, routes, requests and answers.

use std::collections::VecDeque;
use std::fmt;
use std::mem;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time;

use rdma_migration_protocol::limits::PRIVATE_DATA_BYTES;
use rdma_migration_protocol::transport::TransportError;

use crate::connection_id::{ConnectionId, Parameters};
use crate::connection_manager::{Event, EventKind, PrivateData, Subject};
use crate::control_buffers::ControlBuffers;
use crate::endpoint::{DeviceLimits, Endpoint};
use crate::error::VerbsError;
use crate::look_up::{LookUp, literal};
use crate::report::Report;
use crate::transport::{VerbsTransport, failed_call};

/// RDMA READs that QEMU's source says it may have under way, and its destination that it can serve.
/// Nothing reads in this protocol; the numbers are what every peer has seen so far.
const READS: u8 = 2;

/// Why the connection manager of InfiniBand and RoCE rejects a request where nobody listens.
const REASON_NOBODY_LISTENS: i32 = 8;

/// What a source connects to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Target {
    pub(crate) host: String,
    pub(crate) port: u16,
}

/// How far a connection has got.
pub(crate) enum Link {
    /// A source that has not been told to connect.
    Idle,
    /// The target's name is being looked up.
    LookingUp { look_up: LookUp, offer: Offer },
    /// The device and the route are being found; further addresses can be tried.
    Resolving { offer: Offer, further: VecDeque<SocketAddr> },
    /// The destination has been asked.
    Connecting,
    /// A destination that no source has asked yet.
    Listening,
    /// A source has asked and is to be answered.
    Requested,
    /// A source has been accepted, and has not confirmed yet.
    Accepting,
    /// Messages can be exchanged.
    Connected,
    /// There is no connection, and there will be none; the machine has been told.
    Broken,
    /// The queue pair flushes what was posted.
    Draining { until: time::Instant },
    /// The queue pair is destroyed.
    Closed,
}

/// The private data to connect with.
type Offer = [u8; PRIVATE_DATA_BYTES];

impl fmt::Debug for Link {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Idle => "Idle",
            Self::LookingUp { .. } => "LookingUp",
            Self::Resolving { .. } => "Resolving",
            Self::Connecting => "Connecting",
            Self::Listening => "Listening",
            Self::Requested => "Requested",
            Self::Accepting => "Accepting",
            Self::Connected => "Connected",
            Self::Broken => "Broken",
            Self::Draining { .. } => "Draining",
            Self::Closed => "Closed",
        })
    }
}

impl VerbsTransport {
    pub(crate) fn connect(&mut self, offer: Offer) {
        let (Link::Idle, Some(target)) = (&self.link, self.target.clone()) else {
            self.fail_connection(failed_call("connect of what is no idle source", libc::EINVAL));
            return;
        };
        if let Some(address) = literal(&target.host, target.port) {
            self.resolve(offer, VecDeque::from([address]));
            return;
        }
        match LookUp::start(&target.host, target.port, Some(self.waker())) {
            Ok(look_up) => self.link = Link::LookingUp { look_up, offer },
            Err(error) => self.fail_connection(error),
        }
    }

    pub(crate) fn take_look_up(&mut self) {
        let Link::LookingUp { look_up, offer } = &self.link else { return };
        let (offer, found) = (*offer, look_up.poll());
        match found {
            None => {}
            Some(Ok(addresses)) => self.resolve(offer, addresses.into()),
            Some(Err(error)) => self.fail_connection(error),
        }
    }

    /// Begins with the next address that a device can be asked for.
    fn resolve(&mut self, offer: Offer, mut further: VecDeque<SocketAddr>) {
        while let Some(address) = further.pop_front() {
            match self.resolve_address(&address) {
                Ok(id) => {
                    tracing::debug!(peer = %address, "resolving");
                    self.id = Some(Arc::new(id));
                    self.link = Link::Resolving { offer, further };
                    return;
                }
                Err(error) if further.is_empty() => {
                    self.fail_connection(error);
                    return;
                }
                Err(error) => tracing::debug!(%error, "trying the next address"),
            }
        }
    }

    fn resolve_address(&self, peer: &SocketAddr) -> Result<ConnectionId, VerbsError> {
        let from = match &self.config.device {
            Some(device) => Some(crate::device::address_towards(device, peer)?),
            None => None,
        };
        let id = ConnectionId::new(&self.channel)?;
        id.resolve_address(from.as_ref(), peer, self.config.resolve_timeout)?;
        Ok(id)
    }

    pub(crate) fn take_events(&mut self) {
        while self.reports.is_empty() {
            match self.channel.next() {
                Ok(Some(event)) => self.take_subject(event),
                Ok(None) => return,
                Err(error) => {
                    if !matches!(self.link, Link::Broken | Link::Closed) {
                        self.lose_connection(error);
                    }
                    return;
                }
            }
        }
    }

    fn take_subject(&mut self, event: Event) {
        let Event { subject, status, private_data } = event;
        let (id, what) = match subject {
            Subject::Request(id) => return self.take_request(id, private_data),
            Subject::Known { id, what } => (id, what),
        };
        let own = self.id.as_deref().map(ConnectionId::raw) == Some(id);
        let listener = self.listener.as_ref().map(ConnectionId::raw) == Some(id);
        tracing::debug!(event = what.name(), status, own, listener, "connection manager");
        if own {
            self.take_event(what, status, private_data);
        } else if listener && matches!(what, EventKind::DeviceRemoved) {
            self.take_broken(what, status);
        }
    }

    fn take_event(&mut self, what: EventKind, status: i32, private_data: PrivateData) {
        if matches!(what, EventKind::Disconnected) {
            self.peer_is_gone = true;
        }
        match (&self.link, what) {
            (Link::Resolving { .. }, EventKind::AddressResolved) => {
                if let Err(error) = self.resolve_route() {
                    self.resolve_next(error);
                }
            }
            (Link::Resolving { offer, .. }, EventKind::RouteResolved) => {
                let offer = *offer;
                match self.request(offer) {
                    Ok(()) => self.link = Link::Connecting,
                    Err(error) => self.fail_connection(error),
                }
            }
            (Link::Resolving { .. }, EventKind::AddressError | EventKind::RouteError) => {
                self.resolve_next(self.event_error(what, status));
            }
            (Link::Connecting | Link::Accepting, EventKind::Established) => {
                let active = matches!(self.link, Link::Connecting);
                self.private_data = if active { private_data } else { PrivateData::NONE };
                self.was_established = true;
                self.link = Link::Connected;
                self.reports.push_back(Report::Established);
            }
            (Link::Connecting, EventKind::Rejected) if status != REASON_NOBODY_LISTENS => {
                self.record(self.event_error(what, status));
                self.link = Link::Broken;
                self.reports.push_back(Report::Rejected);
            }
            (_, EventKind::Established | EventKind::Other) => {}
            (_, what) => self.take_broken(what, status),
        }
    }

    /// An event that ends whatever the link is.
    fn take_broken(&mut self, what: EventKind, status: i32) {
        let error = self.event_error(what, status);
        match (&self.link, what) {
            (Link::Broken | Link::Draining { .. } | Link::Closed, _) => {}
            // The peer ends the connection: that is no failure of this side.
            (Link::Connected, EventKind::Disconnected) => self.report_loss(),
            (Link::Connected, _) => self.lose_connection(error),
            _ => self.fail_connection(error),
        }
    }

    fn event_error(&self, what: EventKind, status: i32) -> VerbsError {
        VerbsError::Connection { event: what.name(), peer: self.peer_address(), status }
    }

    /// This address cannot be used: tries the next.
    fn resolve_next(&mut self, error: VerbsError) {
        let Link::Resolving { offer, further } = &mut self.link else { return };
        if further.is_empty() {
            self.fail_connection(error);
            return;
        }
        tracing::debug!(%error, "trying the next address");
        let (offer, further) = (*offer, mem::take(further));
        self.id = None;
        self.resolve(offer, further);
    }

    fn resolve_route(&mut self) -> Result<(), VerbsError> {
        let id = self.own_id()?;
        self.check_device(&id)?;
        id.resolve_route(self.config.resolve_timeout)
    }

    /// Asks the destination to connect. Everything has to be ready before: its first message may come
    /// as soon as this leaves.
    fn request(&mut self, offer: Offer) -> Result<(), VerbsError> {
        let id = self.own_id()?;
        let limits = self.open_endpoint(&id)?;
        id.connect(&Parameters {
            private_data: offer,
            responder_resources: 0,
            initiator_depth: READS.min(limits.initiator_depth),
            retry_count: self.config.retry_count,
            rnr_retry_count: self.config.rnr_retry_count,
        })
    }

    fn take_request(&mut self, id: ConnectionId, private_data: PrivateData) {
        let listening = matches!(self.link, Link::Listening);
        let refused = if listening { self.check_device(&id).err() } else { None };
        if !listening || refused.is_some() {
            tracing::info!(peer = ?id.peer(), reason = ?refused, "a further source is rejected");
            if let Err(error) = id.reject() {
                tracing::warn!(%error, "reject");
            }
            self.record_second_connection(&id);
            return;
        }
        tracing::debug!(peer = ?id.peer(), device = id.device_name(), "a source asks to connect");
        let id = Arc::new(id);
        self.id = Some(Arc::clone(&id));
        match self.open_endpoint(&id) {
            Ok(_) => {
                self.private_data = private_data;
                self.link = Link::Requested;
                self.reports.push_back(Report::Requested);
            }
            // A request that cannot even be refused is no longer there: its source has given up
            // before this side looked at it, and another may come.
            Err(error) if id.reject().is_err() => {
                tracing::info!(peer = ?id.peer(), %error, "a source has withdrawn its request");
                self.close_endpoint();
            }
            Err(error) => self.fail_connection(error),
        }
    }

    /// Keeps for the owner that the source wanted more than it got. Strangers are not its source.
    fn record_second_connection(&mut self, id: &ConnectionId) {
        if let (Some(source), Some(peer)) = (self.peer_address(), id.peer())
            && source.ip() == peer.ip()
        {
            self.record(VerbsError::SecondConnection { peer });
        }
    }

    pub(crate) fn accept(&mut self, answer: Offer) {
        let accepted = self.own_id().and_then(|id| {
            let limits = self.endpoint.as_ref().map(|endpoint| endpoint.limits);
            id.accept(&Parameters {
                private_data: answer,
                responder_resources: limits.map_or(0, |l| READS.min(l.responder_resources)),
                initiator_depth: 0,
                retry_count: self.config.retry_count,
                rnr_retry_count: self.config.rnr_retry_count,
            })
        });
        match accepted {
            Ok(()) => self.link = Link::Accepting,
            Err(error) => {
                // Nothing tells of a request that is withdrawn before it is answered, but that it can
                // be neither accepted nor refused.
                let withdrawn = self.id.as_ref().is_some_and(|id| id.reject().is_err());
                let peer = self.peer_address().filter(|_| withdrawn);
                let error = peer.map_or(error, |peer| VerbsError::Withdrawn { peer });
                self.fail_connection(error);
            }
        }
    }

    pub(crate) fn reject(&mut self) {
        let rejected = self.own_id().and_then(|id| id.reject());
        if let Err(error) = rejected {
            self.record(error);
        }
        self.link = Link::Broken;
    }

    /// Makes the queue pair and what it needs, and posts the receives that were waiting for it.
    fn open_endpoint(&mut self, id: &Arc<ConnectionId>) -> Result<DeviceLimits, VerbsError> {
        let endpoint = Endpoint::new(id, &self.config)?;
        let registered = self.control.register(&endpoint.domain);
        registered.map_err(|errno| self.registration_error(errno, ControlBuffers::REGION_BYTES))?;
        let watched = self.readiness.watch(endpoint.descriptor());
        watched.map_err(|_| VerbsError::last("epoll_ctl", id.peer()))?;
        let limits = endpoint.limits;
        self.endpoint = Some(endpoint);
        for buffer in mem::take(&mut self.waiting_receives) {
            self.post_receive(buffer);
        }
        Ok(limits)
    }

    fn check_device(&self, id: &ConnectionId) -> Result<(), VerbsError> {
        let found = id.device_name();
        match &self.config.device {
            Some(wanted) if *wanted != found => {
                let (wanted, peer) = (wanted.clone(), id.peer());
                Err(VerbsError::OtherDevice { wanted, found, peer })
            }
            _ => Ok(()),
        }
    }

    fn own_id(&self) -> Result<Arc<ConnectionId>, VerbsError> {
        self.id.clone().ok_or(failed_call("call without a connection", libc::ENOTCONN))
    }

    /// The connection could not be made.
    pub(crate) fn fail_connection(&mut self, error: VerbsError) {
        let reason = error.transport_error();
        self.record(error);
        self.link = Link::Broken;
        self.reports.push_back(Report::ConnectionFailed(reason));
    }

    /// The connection, or the making of it, has come to an end here.
    pub(crate) fn lose_connection(&mut self, error: VerbsError) {
        match self.link {
            Link::Connected => {
                self.record(error);
                self.report_loss();
            }
            Link::Broken | Link::Draining { .. } | Link::Closed => self.record(error),
            _ => self.fail_connection(error),
        }
    }

    fn report_loss(&mut self) {
        self.link = Link::Broken;
        // What completed before the end is told before the end.
        self.take_completions();
        self.reports.push_back(Report::ConnectionLost);
    }
}

/// What a machine is told of a connection that is no longer there.
pub(crate) const NO_CONNECTION: TransportError = TransportError::Flushed;
