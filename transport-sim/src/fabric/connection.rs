//! How the connection is made and ended.

use core::time::Duration;

use rdma_migration_protocol::limits::PRIVATE_DATA_BYTES;
use rdma_migration_protocol::transport::{Operation, TransportError};

use super::{Event, Fabric, Report};
use crate::fault::{Effect, Site};
use crate::queue_pair::State;
use crate::side::Side;
use crate::violation::Breach;

/// Private data of a connect request as an InfiniBand or RoCE destination sees it, in bytes.
pub(crate) const REQUEST_AREA_BYTES: usize = 56;

/// Private data of a reply as an InfiniBand or RoCE source sees it, in bytes.
pub(crate) const REPLY_AREA_BYTES: usize = 196;

/// Where a side is on its way to a connection and out of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ConnectionState {
    /// A source before `Connect`.
    Idle,
    /// A destination before a request.
    Listening,
    /// A source that looks for the destination.
    Resolving,
    /// A source that has asked.
    Requesting,
    /// A destination that was asked.
    Requested,
    /// A destination that has accepted.
    Accepting,
    /// Both know of each other.
    Connected,
    /// The attempt has failed or the connection is lost; the side has not disconnected yet.
    Lost,
    /// The side has disconnected.
    Closed,
}

impl ConnectionState {
    pub(crate) const fn first(side: Side) -> Self {
        match side {
            Side::Source => Self::Idle,
            Side::Destination => Self::Listening,
        }
    }
}

/// A message of connection management.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Management {
    Request([u8; PRIVATE_DATA_BYTES]),
    Reply([u8; PRIVATE_DATA_BYTES]),
    ReadyToUse,
    /// Refused by the program (true) or because nobody listens.
    Reject {
        by_consumer: bool,
    },
    DisconnectRequest,
    DisconnectReply,
}

/// What the search for the destination found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Resolution {
    Found { private_data: [u8; PRIVATE_DATA_BYTES], effect: Option<Effect> },
    Failed(TransportError),
}

impl Fabric {
    pub(crate) fn connect(&mut self, side: Side, private_data: [u8; PRIVATE_DATA_BYTES]) {
        if self.endpoints.of(side).connection != ConnectionState::Idle {
            let operation = Operation::Connect { private_data };
            return self.breach(side, Breach::ConnectionState(operation));
        }
        self.endpoints.of_mut(side).connection = ConnectionState::Resolving;
        let outcome = match self.striker.pass(Site::ConnectRequest) {
            Some(Effect::Unreachable) => Resolution::Failed(TransportError::Unreachable),
            Some(Effect::Fail(error)) => Resolution::Failed(error),
            effect => Resolution::Found { private_data, effect },
        };
        let delay = Duration::from_nanos(self.config.cost.connection.value);
        self.agenda.add_after(delay, Event::Resolved { outcome });
    }

    pub(super) fn resolved(&mut self, outcome: Resolution) {
        if self.endpoints.source.connection != ConnectionState::Resolving {
            return;
        }
        let (mut private_data, effect) = match outcome {
            Resolution::Found { private_data, effect } => (private_data, effect),
            Resolution::Failed(error) => return self.attempt_failed(Side::Source, error),
        };
        self.endpoints.source.connection = ConnectionState::Requesting;
        match effect {
            Some(Effect::Unanswered) => return,
            Some(Effect::VersionZero) => clear_version(&mut private_data),
            Some(Effect::Refused) => self.config.listening = false,
            _ => {}
        }
        self.send_management(Side::Source, Management::Request(private_data), 0);
    }

    pub(crate) fn accept(&mut self, side: Side, mut private_data: [u8; PRIVATE_DATA_BYTES]) {
        if self.is_lost_already(side) {
            return;
        }
        if self.endpoints.of(side).connection != ConnectionState::Requested {
            let operation = Operation::Accept { private_data };
            return self.breach(side, Breach::ConnectionState(operation));
        }
        let endpoint = self.endpoints.of_mut(side);
        endpoint.connection = ConnectionState::Accepting;
        endpoint.queue_pair.connect();
        match self.striker.pass(Site::ConnectReply) {
            Some(Effect::Unanswered) => return,
            Some(Effect::Fail(error)) => return self.attempt_failed(side, error),
            Some(Effect::VersionZero) => clear_version(&mut private_data),
            _ => {}
        }
        self.send_management(side, Management::Reply(private_data), 0);
    }

    pub(crate) fn reject(&mut self, side: Side) {
        if self.is_lost_already(side) {
            return;
        }
        if self.endpoints.of(side).connection != ConnectionState::Requested {
            return self.breach(side, Breach::ConnectionState(Operation::Reject));
        }
        self.endpoints.of_mut(side).connection = ConnectionState::Lost;
        self.send_management(side, Management::Reject { by_consumer: true }, 0);
    }

    /// Whether the attempt to connect has failed and the side does not know: then its answer comes too
    /// late, and what it is told next says so.
    fn is_lost_already(&self, side: Side) -> bool {
        let endpoint = self.endpoints.of(side);
        let told = |report: &Report| matches!(report, Report::ConnectionFailed(_));
        endpoint.connection == ConnectionState::Lost && endpoint.inbox.iter().any(told)
    }

    pub(crate) fn disconnect(&mut self, side: Side) {
        let endpoint = self.endpoints.of_mut(side);
        let farewell = match endpoint.connection {
            ConnectionState::Closed => {
                return self.breach(side, Breach::AfterDisconnect(Operation::Disconnect));
            }
            ConnectionState::Connected => Some(Management::DisconnectRequest),
            ConnectionState::Requesting
            | ConnectionState::Requested
            | ConnectionState::Accepting => Some(Management::Reject { by_consumer: true }),
            ConnectionState::Idle
            | ConnectionState::Listening
            | ConnectionState::Resolving
            | ConnectionState::Lost => None,
        };
        endpoint.connection = ConnectionState::Closed;
        endpoint.unsignaled_left = endpoint.queue_pair.unsignaled_left();
        self.enter_error(side, TransportError::Flushed);
        self.cancel_registrations(side);
        if let Some(message) = farewell {
            self.send_management(side, message, 0);
        }
        let delay = Duration::from_nanos(self.config.cost.queue_pair_destruction.value);
        self.agenda.add_after(delay, Event::Destroyed { side });
    }

    pub(super) fn destroyed(&mut self, side: Side) {
        self.endpoints.of_mut(side).queue_pair.state = State::Destroyed;
        self.report_local(side, Report::Disconnected);
    }

    /// The connection breaks and both sides learn it.
    pub(super) fn drop_connection(&mut self) {
        for side in Side::BOTH {
            self.lose_connection(side);
        }
    }

    fn lose_connection(&mut self, side: Side) {
        let endpoint = self.endpoints.of_mut(side);
        match endpoint.connection {
            ConnectionState::Connected | ConnectionState::Accepting => {
                // As after a disconnect request: the queue pair stays until the side disconnects.
                endpoint.connection = ConnectionState::Lost;
                self.report(side, Report::ConnectionLost);
            }
            ConnectionState::Requesting | ConnectionState::Requested => {
                self.attempt_failed(side, TransportError::Unreachable);
            }
            ConnectionState::Idle
            | ConnectionState::Listening
            | ConnectionState::Resolving
            | ConnectionState::Lost
            | ConnectionState::Closed => {}
        }
    }

    fn attempt_failed(&mut self, side: Side, error: TransportError) {
        self.endpoints.of_mut(side).connection = ConnectionState::Lost;
        self.report(side, Report::ConnectionFailed(error));
    }

    fn send_management(&mut self, from: Side, message: Management, attempt: u64) {
        let arrives = !self.is_cut(from);
        let seen = self.seen(arrives);
        self.recorder.management(from, &message, seen);
        if arrives {
            let event = Event::Management { to: from.peer(), message };
            self.agenda.add_after(self.config.cost.one_way(), event);
        } else if attempt < self.config.cost.management_retries.value {
            let delay = Duration::from_nanos(self.config.cost.management_timeout.value);
            let event = Event::Repeat { from, message, attempt: attempt + 1 };
            self.agenda.add_after(delay, event);
        } else if matches!(message, Management::Request(_)) {
            self.attempt_failed(from, TransportError::Unreachable);
        }
    }

    pub(super) fn repeat_management(&mut self, from: Side, message: Management, attempt: u64) {
        let state = self.endpoints.of(from).connection;
        let given_up = match message {
            Management::Request(_) => state != ConnectionState::Requesting,
            Management::Reply(_) => state != ConnectionState::Accepting,
            Management::ReadyToUse => state != ConnectionState::Connected,
            Management::Reject { .. }
            | Management::DisconnectRequest
            | Management::DisconnectReply => false,
        };
        if !given_up {
            self.send_management(from, message, attempt);
        }
    }

    pub(super) fn management_arrived(&mut self, to: Side, message: Management) {
        let state = self.endpoints.of(to).connection;
        match (message, state) {
            (Management::Request(data), ConnectionState::Listening) if self.config.listening => {
                self.endpoints.of_mut(to).connection = ConnectionState::Requested;
                self.report(to, Report::Requested(padded(&data, REQUEST_AREA_BYTES)));
            }
            (Management::Request(_), _) => {
                self.send_management(to, Management::Reject { by_consumer: false }, 0);
            }
            (Management::Reply(data), ConnectionState::Requesting) => self.replied(to, &data),
            (Management::Reply(_), _) => {
                self.send_management(to, Management::Reject { by_consumer: true }, 0);
            }
            (Management::ReadyToUse, ConnectionState::Accepting) => {
                self.endpoints.of_mut(to).connection = ConnectionState::Connected;
                self.report(to, Report::Established(Vec::new()));
            }
            (Management::Reject { by_consumer: true }, ConnectionState::Requesting) => {
                self.endpoints.of_mut(to).connection = ConnectionState::Lost;
                self.report(to, Report::Rejected);
            }
            (
                Management::Reject { .. },
                ConnectionState::Requesting
                | ConnectionState::Requested
                | ConnectionState::Accepting,
            ) => self.attempt_failed(to, TransportError::Unreachable),
            (
                Management::DisconnectRequest,
                ConnectionState::Connected | ConnectionState::Accepting,
            ) => {
                self.endpoints.of_mut(to).connection = ConnectionState::Lost;
                self.report(to, Report::ConnectionLost);
                self.send_management(to, Management::DisconnectReply, 0);
            }
            (Management::DisconnectRequest, ConnectionState::Lost | ConnectionState::Closed) => {
                self.send_management(to, Management::DisconnectReply, 0);
            }
            // Late or answered already.
            (
                Management::ReadyToUse
                | Management::Reject { .. }
                | Management::DisconnectRequest
                | Management::DisconnectReply,
                _,
            ) => {}
        }
    }

    fn replied(&mut self, side: Side, data: &[u8; PRIVATE_DATA_BYTES]) {
        let endpoint = self.endpoints.of_mut(side);
        endpoint.connection = ConnectionState::Connected;
        endpoint.queue_pair.connect();
        self.report(side, Report::Established(padded(data, REPLY_AREA_BYTES)));
        self.send_management(side, Management::ReadyToUse, 0);
        if self.striker.pass(Site::Established) == Some(Effect::DropConnection) {
            self.drop_connection();
        }
    }
}

/// On InfiniBand and RoCE private data arrives in an area of fixed size, padded with zeroes.
pub(crate) fn padded(data: &[u8; PRIVATE_DATA_BYTES], area_bytes: usize) -> Vec<u8> {
    let mut area = data.to_vec();
    area.resize(area_bytes, 0);
    area
}

fn clear_version(private_data: &mut [u8; PRIVATE_DATA_BYTES]) {
    let (version, _flags) = private_data.split_at_mut(4);
    version.fill(0);
}
