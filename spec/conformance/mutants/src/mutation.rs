//! What a mutant is.

use rdma_migration_protocol::transport::{
    Completion, ConnectionEvent, Input, Operation, ReceiveBuffer, TransportError,
};
use rdma_migration_transport_sim::Side;

use crate::desk::Desk;

/// One plausible bug of an implementer.
#[derive(Clone, Copy, Debug)]
pub struct Mutant {
    /// Its name, which is never given to another.
    pub name: &'static str,
    /// The side that has the bug.
    pub side: Side,
    /// The requirement that it breaks.
    pub requirement: &'static str,
    /// What it does, in a sentence.
    pub says: &'static str,
    /// Makes the bug, for one migration.
    pub(crate) make: fn() -> Box<dyn Mutation>,
}

impl Mutant {
    pub(crate) const fn source(
        name: &'static str,
        requirement: &'static str,
        says: &'static str,
        make: fn() -> Box<dyn Mutation>,
    ) -> Self {
        Self { name, side: Side::Source, requirement, says, make }
    }

    pub(crate) const fn destination(
        name: &'static str,
        requirement: &'static str,
        says: &'static str,
        make: fn() -> Box<dyn Mutation>,
    ) -> Self {
        Self { name, side: Side::Destination, requirement, says, make }
    }
}

/// A bug at work: it stands between a machine and its adapter.
///
/// What a mutation does not care for it hands on, as the provided methods do.
pub trait Mutation {
    /// The machine gives an order.
    fn order(&mut self, order: Order, desk: &mut Desk<'_, '_>) {
        desk.issue(order);
    }

    /// Something has come for the machine.
    fn arrival(&mut self, arrival: Arrival, desk: &mut Desk<'_, '_>) {
        desk.deliver(arrival);
    }

    /// Nothing more has come for now. Called again after a time that was asked for by
    /// `Desk::wake_after`.
    fn idle(&mut self, _desk: &mut Desk<'_, '_>) {}
}

/// An order of a machine, with the message that a `Send` is about.
#[derive(Clone, Debug)]
pub struct Order {
    pub(crate) operation: Operation,
    /// Empty but for `Send`.
    pub(crate) message: Vec<u8>,
}

impl Order {
    pub(crate) const fn bare(operation: Operation) -> Self {
        Self { operation, message: Vec::new() }
    }

    pub(crate) fn send(message: Vec<u8>) -> Self {
        Self { operation: Operation::Send { length: message.len() }, message }
    }
}

/// What has come for a machine, with bytes of its own.
#[derive(Clone, Debug)]
pub enum Arrival {
    /// A request to connect, with its private data.
    Requested(Vec<u8>),
    /// The connection, with the private data of the reply.
    Established(Vec<u8>),
    /// The connection was refused.
    Rejected,
    /// The connection could not be made.
    ConnectionFailed(TransportError),
    /// The connection has ended.
    Lost,
    /// A message.
    Message(Vec<u8>),
    /// The answer to an order.
    Answer(Completion<'static>),
}

/// The same, as it comes from the adapter: a message is in the buffer that it was received into.
pub(crate) enum Raw {
    Received(ReceiveBuffer, Vec<u8>),
    Other(Arrival),
}

impl Raw {
    pub(crate) fn of(input: Input<'_>) -> Self {
        Self::Other(match input {
            Input::Connection(event) => match event {
                ConnectionEvent::Requested { private_data } => {
                    Arrival::Requested(private_data.to_vec())
                }
                ConnectionEvent::Established { private_data } => {
                    Arrival::Established(private_data.to_vec())
                }
                ConnectionEvent::Rejected => Arrival::Rejected,
                ConnectionEvent::Failed { error } => Arrival::ConnectionFailed(error),
                ConnectionEvent::Disconnected => Arrival::Lost,
            },
            Input::Completion(completion) => Arrival::Answer(match completion {
                Completion::Received { buffer, bytes } => {
                    return Self::Received(buffer, bytes.to_vec());
                }
                Completion::Sent => Completion::Sent,
                Completion::RamWritten => Completion::RamWritten,
                Completion::RamScanned { block, offset, zero } => {
                    Completion::RamScanned { block, offset, zero }
                }
                Completion::RamZeroed { block, offset } => Completion::RamZeroed { block, offset },
                Completion::MemoryRegistered { region, rkey } => {
                    Completion::MemoryRegistered { region, rkey }
                }
                Completion::MemoryDeregistered { region } => {
                    Completion::MemoryDeregistered { region }
                }
                Completion::Disconnected => Completion::Disconnected,
                Completion::Failed { operation, error } => Completion::Failed { operation, error },
            }),
        })
    }
}

/// A mutation of each message that is sent.
struct Sends<F>(F);

impl<F: FnMut(&mut Vec<u8>)> Mutation for Sends<F> {
    fn order(&mut self, mut order: Order, desk: &mut Desk<'_, '_>) {
        if let Operation::Send { .. } = order.operation {
            (self.0)(&mut order.message);
            order = Order::send(order.message);
        }
        desk.issue(order);
    }
}

/// A mutation of each message that is received.
struct Receives<F>(F);

impl<F: FnMut(&mut Vec<u8>, &Desk<'_, '_>)> Mutation for Receives<F> {
    fn arrival(&mut self, mut arrival: Arrival, desk: &mut Desk<'_, '_>) {
        if let Arrival::Message(message) = &mut arrival {
            (self.0)(message, desk);
        }
        desk.deliver(arrival);
    }
}

/// A mutation of what the machine orders.
struct Orders<F>(F);

impl<F: FnMut(Order, &mut Desk<'_, '_>)> Mutation for Orders<F> {
    fn order(&mut self, order: Order, desk: &mut Desk<'_, '_>) {
        (self.0)(order, desk);
    }
}

/// A mutation of what comes for the machine.
struct Arrivals<F>(F);

impl<F: FnMut(Arrival, &mut Desk<'_, '_>)> Mutation for Arrivals<F> {
    fn arrival(&mut self, arrival: Arrival, desk: &mut Desk<'_, '_>) {
        (self.0)(arrival, desk);
    }
}

pub(crate) fn sends(change: impl FnMut(&mut Vec<u8>) + 'static) -> Box<dyn Mutation> {
    Box::new(Sends(change))
}

pub(crate) fn receives(
    change: impl FnMut(&mut Vec<u8>, &Desk<'_, '_>) + 'static,
) -> Box<dyn Mutation> {
    Box::new(Receives(change))
}

pub(crate) fn orders(change: impl FnMut(Order, &mut Desk<'_, '_>) + 'static) -> Box<dyn Mutation> {
    Box::new(Orders(change))
}

pub(crate) fn arrivals(
    change: impl FnMut(Arrival, &mut Desk<'_, '_>) + 'static,
) -> Box<dyn Mutation> {
    Box::new(Arrivals(change))
}
