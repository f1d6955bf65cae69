//! The adapter as a mutant has it.

use core::fmt;

use rdma_migration_protocol::time::Instant;
use rdma_migration_protocol::transport::{
    Completion, ConnectionEvent, Input, Operation, ReceiveBuffer, Transport,
};
use rdma_migration_transport_sim::Port;

use crate::desk::{Desk, State};
use crate::mutation::{Arrival, Mutant, Mutation, Order, Raw};

/// A mutant in one migration.
pub struct Live {
    mutation: Box<dyn Mutation>,
    state: State,
    /// What the machine is shown now.
    shown: Arrival,
}

impl fmt::Debug for Live {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Live").field("state", &self.state).finish_non_exhaustive()
    }
}

impl Live {
    /// The mutant, at the beginning of a migration.
    #[must_use]
    pub fn new(mutant: &Mutant) -> Self {
        Self { mutation: (mutant.make)(), state: State::new(), shown: Arrival::Lost }
    }

    /// Stands before an adapter.
    pub const fn stand<'a, 'f>(&'a mut self, port: Port<'f>) -> Adapter<'a, 'f> {
        Adapter { port, live: self }
    }

    /// The instant at which a deadline of the machine comes, if its clock goes.
    #[must_use]
    pub fn alarm(&self, deadline: Instant) -> Option<Instant> {
        self.state.adapter_time(deadline)
    }
}

/// An adapter with a mutant before it.
#[derive(Debug)]
pub struct Adapter<'a, 'f> {
    port: Port<'f>,
    live: &'a mut Live,
}

impl<'f> Adapter<'_, 'f> {
    /// What is behind the mutant, for the owner of the guest, who has no bug.
    #[must_use]
    pub const fn port(&self) -> &Port<'f> {
        &self.port
    }

    /// The same, to be changed.
    pub const fn port_mut(&mut self) -> &mut Port<'f> {
        &mut self.port
    }

    fn parts(&mut self) -> (&mut dyn Mutation, Desk<'_, 'f>) {
        let Live { mutation, state, .. } = &mut *self.live;
        (mutation.as_mut(), Desk { port: &mut self.port, state })
    }
}

impl Transport for Adapter<'_, '_> {
    fn now(&self) -> Instant {
        self.live.state.machine_time(self.port.now())
    }

    fn send_buffer(&mut self) -> &mut [u8] {
        self.port.send_buffer()
    }

    fn issue(&mut self, operation: Operation) {
        let order = match operation {
            Operation::Send { length } => {
                let message = self.port.send_buffer().get(..length).unwrap_or_default();
                Order::send(message.to_vec())
            }
            _ => Order::bare(operation),
        };
        let (mutation, mut desk) = self.parts();
        mutation.order(order, &mut desk);
    }

    fn poll(&mut self) -> Option<Input<'_>> {
        let (arrival, buffer) = loop {
            let (mutation, mut desk) = self.parts();
            if let Some(next) = desk.take() {
                break next;
            }
            match desk.port.poll().map(Raw::of) {
                Some(raw) => {
                    if let Some(arrival) = desk.arrived(raw) {
                        mutation.arrival(arrival, &mut desk);
                    }
                }
                None => {
                    mutation.idle(&mut desk);
                    break desk.take()?;
                }
            }
        };
        self.live.shown = arrival;
        Some(show(&self.live.shown, buffer))
    }

    fn receive_buffer(&self, buffer: ReceiveBuffer) -> &[u8] {
        self.live.state.held.get(&buffer.0).map(Vec::as_slice).unwrap_or_default()
    }
}

fn show(arrival: &Arrival, buffer: Option<ReceiveBuffer>) -> Input<'_> {
    Input::Connection(match arrival {
        Arrival::Requested(private_data) => ConnectionEvent::Requested { private_data },
        Arrival::Established(private_data) => ConnectionEvent::Established { private_data },
        Arrival::Rejected => ConnectionEvent::Rejected,
        Arrival::ConnectionFailed(error) => ConnectionEvent::Failed { error: *error },
        Arrival::Lost => ConnectionEvent::Disconnected,
        Arrival::Answer(completion) => return Input::Completion(*completion),
        Arrival::Message(bytes) => {
            let buffer = buffer.unwrap_or(ReceiveBuffer(0));
            return Input::Completion(Completion::Received { buffer, bytes });
        }
    })
}
