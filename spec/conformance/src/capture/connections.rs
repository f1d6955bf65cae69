//! Packets sorted into connections, and what happens on each.

use std::collections::HashMap;
use std::net::IpAddr;

use super::connection::Connection;
use super::connection_manager::{Action, Management, Offer};
use super::datagram::Datagram;
use super::event::{Event, Happening, Retransmitted};
use super::infiniband::{Operation, Packet};
use super::{End, Ends, Stamp};

/// The most connections that are followed in one capture.
pub const CONNECTIONS_MAX: usize = 256;

/// Every connection of a capture.
#[derive(Debug, Default)]
pub struct Connections {
    connections: Vec<Connection>,
    /// By sender, receiver and the receiver's queue pair.
    flows: HashMap<(IpAddr, IpAddr, u32), (usize, End)>,
    /// By host and the number by which it knows the connection.
    managed: HashMap<(IpAddr, u32), (usize, End)>,
    last: Option<Stamp>,
    not_followed: u64,
    cut_off: u64,
}

impl Connections {
    /// Takes the next datagram of the capture and yields what it makes happen.
    pub fn take(&mut self, stamp: Stamp, datagram: &Datagram<'_>) -> Vec<Happening> {
        self.last = Some(stamp);
        let Ok(packet) = Packet::read(datagram.payload, datagram.length) else {
            self.cut_off += 1;
            return Vec::new();
        };
        match packet.operation {
            Operation::Foreign => Vec::new(),
            Operation::Management => match Management::read(packet.payload) {
                Some(management) => {
                    self.manage(stamp, datagram.source, datagram.destination, management)
                }
                None => Vec::new(),
            },
            _ => {
                let Some((index, from)) = self.flow(datagram, &packet) else {
                    self.not_followed += 1;
                    return Vec::new();
                };
                self.connections
                    .get_mut(index)
                    .map(|connection| connection.take(stamp, index, from, &packet))
                    .unwrap_or_default()
            }
        }
    }

    /// The capture is over: yields what was held back.
    pub fn end(&mut self) -> Vec<Happening> {
        let Some(last) = self.last else { return Vec::new() };
        let mut happenings = Vec::new();
        for (index, connection) in self.connections.iter_mut().enumerate() {
            connection.end(last, index, &mut happenings);
        }
        happenings
    }

    /// The addresses of both ends of a connection.
    #[must_use]
    pub fn addresses(&self, connection: usize) -> Option<Ends<IpAddr>> {
        self.connections.get(connection).map(|connection| connection.addresses)
    }

    /// Whether the packets that made the connection are in the capture.
    #[must_use]
    pub fn is_managed(&self, connection: usize) -> bool {
        self.connections.get(connection).is_some_and(Connection::is_managed)
    }

    /// Packets of connections beyond [`CONNECTIONS_MAX`], which are not followed.
    #[must_use]
    pub fn not_followed(&self) -> u64 {
        self.not_followed
    }

    /// Packets of which not even the base header was captured.
    #[must_use]
    pub fn cut_off(&self) -> u64 {
        self.cut_off
    }

    /// Finds the connection of a packet, or begins one.
    fn flow(&mut self, datagram: &Datagram<'_>, packet: &Packet<'_>) -> Option<(usize, End)> {
        let (source, destination) = (datagram.source, datagram.destination);
        let queue_pair = packet.destination_queue_pair;
        if let Some(known) = self.flows.get(&(source, destination, queue_pair)) {
            return Some(*known);
        }
        let (index, from) = self
            .half_known(source, destination, packet)
            .or_else(|| Some((self.begin(Ends { a: source, b: destination })?, End::A)))?;
        self.learn_queue_pair(index, from.peer(), queue_pair);
        Some((index, from))
    }

    /// A connection between these hosts whose receiving queue pair has not been seen yet. Of
    /// several, the one whose last request this packet answers.
    fn half_known(
        &self,
        source: IpAddr,
        destination: IpAddr,
        packet: &Packet<'_>,
    ) -> Option<(usize, End)> {
        let candidates = || {
            self.connections.iter().enumerate().filter_map(move |(index, connection)| {
                [End::A, End::B].into_iter().find_map(|from| {
                    let fits = *connection.addresses.of(from) == source
                        && *connection.addresses.of(from.peer()) == destination
                        && connection.queue_pairs.of(from.peer()).is_none();
                    fits.then_some((index, from))
                })
            })
        };
        let answers = |(index, from): &(usize, End)| {
            matches!(packet.operation, Operation::Answer(_))
                && self.connections.get(*index).is_some_and(|connection| {
                    connection.last_request(from.peer()) == Some(packet.sequence_number)
                })
        };
        candidates().find(answers).or_else(|| candidates().next())
    }

    fn begin(&mut self, addresses: Ends<IpAddr>) -> Option<usize> {
        let index = self.connections.len();
        if index >= CONNECTIONS_MAX {
            return None;
        }
        self.connections.push(Connection::new(addresses));
        Some(index)
    }

    fn learn_queue_pair(&mut self, index: usize, end: End, queue_pair: u32) {
        let Some(connection) = self.connections.get_mut(index) else { return };
        *connection.queue_pairs.of_mut(end) = Some(queue_pair);
        let sender = *connection.addresses.of(end.peer());
        let receiver = *connection.addresses.of(end);
        self.flows.insert((sender, receiver, queue_pair), (index, end.peer()));
    }

    fn manage(
        &mut self,
        stamp: Stamp,
        source: IpAddr,
        destination: IpAddr,
        management: Management,
    ) -> Vec<Happening> {
        let found = match &management.action {
            Action::ConnectRequest { offer, .. } => {
                self.requested(source, destination, management.local_id, offer.queue_pair)
            }
            Action::ConnectReply(_) => self
                .managed
                .get(&(destination, management.remote_id))
                .map(|(index, end)| (*index, end.peer()))
                .or_else(|| Some((self.begin(Ends { a: destination, b: source })?, End::B))),
            _ => self.managed.get(&(source, management.local_id)).copied().or_else(|| {
                let peer = self.managed.get(&(destination, management.remote_id));
                peer.map(|(index, end)| (*index, end.peer()))
            }),
        };
        let Some((index, from)) = found else {
            self.not_followed += 1;
            return Vec::new();
        };
        let Some(connection) = self.connections.get_mut(index) else { return Vec::new() };
        let happened = |event| vec![Happening { stamp, connection: index, from, event }];
        if !connection.manage(from, &management.action) {
            return happened(Event::Retransmission(Retransmitted::Management));
        }
        if management.local_id != 0 {
            self.managed.insert((source, management.local_id), (index, from));
        }
        if management.remote_id != 0 {
            self.managed.insert((destination, management.remote_id), (index, from.peer()));
        }
        match management.action {
            Action::ConnectRequest { offer, port } => {
                self.accept_offer(index, from, &offer);
                happened(Event::ConnectRequest(offer.private_data, port))
            }
            Action::ConnectReply(offer) => {
                self.accept_offer(index, from, &offer);
                happened(Event::ConnectReply(offer.private_data))
            }
            Action::ReadyToUse => happened(Event::ReadyToUse),
            Action::ConnectReject(reason) => happened(Event::Reject(reason)),
            Action::DisconnectRequest => happened(Event::DisconnectRequest),
            Action::DisconnectReply => happened(Event::DisconnectReply),
        }
    }

    /// The connection of a ConnectRequest: a new one, unless the request only came again.
    fn requested(
        &mut self,
        source: IpAddr,
        destination: IpAddr,
        local_id: u32,
        queue_pair: u32,
    ) -> Option<(usize, End)> {
        let known = self.managed.get(&(source, local_id)).copied();
        let again = known.filter(|(index, end)| {
            self.connections.get(*index).is_some_and(|connection| {
                *connection.queue_pairs.of(*end) == Some(queue_pair) && !connection.has_ended()
            })
        });
        again.or_else(|| Some((self.begin(Ends { a: source, b: destination })?, End::A)))
    }

    fn accept_offer(&mut self, index: usize, from: End, offer: &Offer) {
        self.learn_queue_pair(index, from, offer.queue_pair);
        let Some(connection) = self.connections.get_mut(index) else { return };
        connection.begin_sequence(from.peer(), offer.peer_sequence_number);
    }
}
