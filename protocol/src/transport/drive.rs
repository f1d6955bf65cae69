//! The one run loop: a machine, a transport, and the owner of the guest between them.

use super::{Completion, ConnectionEvent, Operation, ReceiveBuffer};
use crate::deadline::TimeoutReason;
use crate::time::Instant;

/// One side of a migration, as the loop sees it.
pub trait Machine {
    /// What the machine tells its owner.
    type Event;

    /// Takes what happened to the connection.
    fn handle_connection(&mut self, event: ConnectionEvent<'_>, now: Instant);

    /// Takes the answer to an operation.
    fn handle_completion(&mut self, completion: Completion<'_>, now: Instant);

    /// Takes the passing of time. Does nothing before the deadline of [`Self::poll_timeout`].
    fn handle_timeout(&mut self, now: Instant);

    /// The next order to the transport. A message to send is encoded into `send_buffer`, a
    /// registered control buffer of the transport.
    fn poll_operation(&mut self, send_buffer: &mut [u8], now: Instant) -> Option<Operation>;

    /// The next fact for the owner.
    fn poll_event(&mut self) -> Option<Self::Event>;

    /// When [`Self::handle_timeout`] wants to be called at the latest, and for which wait.
    fn poll_timeout(&self) -> Option<(Instant, TimeoutReason)>;

    /// Whether the machine has reached its end: it orders nothing and awaits nothing any more.
    fn is_closed(&self) -> bool;
}

/// Something that carries out operations: the verbs model without its syntax.
pub trait Transport {
    /// The present instant of the clock that this transport lives by.
    fn now(&self) -> Instant;

    /// A free registered buffer of [`CONTROL_BUFFER_BYTES`](crate::limits::CONTROL_BUFFER_BYTES)
    /// for the next message. Taken by the `Send` that follows.
    fn send_buffer(&mut self) -> &mut [u8];

    /// Carries out an operation. What goes wrong comes back as [`Completion::Failed`] or
    /// [`ConnectionEvent::Failed`].
    fn issue(&mut self, operation: Operation);

    /// The next input for the machine, without waiting.
    fn poll(&mut self) -> Option<Input<'_>>;

    /// The bytes of a control buffer whose receive has completed and which is not posted again.
    fn receive_buffer(&self, buffer: ReceiveBuffer) -> &[u8];
}

impl<T: Transport + ?Sized> Transport for &mut T {
    fn now(&self) -> Instant {
        (**self).now()
    }

    fn send_buffer(&mut self) -> &mut [u8] {
        (**self).send_buffer()
    }

    fn issue(&mut self, operation: Operation) {
        (**self).issue(operation);
    }

    fn poll(&mut self) -> Option<Input<'_>> {
        (**self).poll()
    }

    fn receive_buffer(&self, buffer: ReceiveBuffer) -> &[u8] {
        (**self).receive_buffer(buffer)
    }
}

/// A transport whose peer lives elsewhere, so that it can be waited for.
pub trait BlockingTransport: Transport {
    /// Blocks until [`Transport::poll`] would return an input, the owner asked to be woken, or
    /// `until` has come.
    fn wait(&mut self, until: Option<Instant>);
}

/// What a transport hands to its machine.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Input<'a> {
    /// For [`Machine::handle_connection`].
    Connection(ConnectionEvent<'a>),
    /// For [`Machine::handle_completion`].
    Completion(Completion<'a>),
}

/// The owner of the guest: the hypervisor, or what stands in for it.
pub trait Owner<M, T> {
    /// Called after each batch of inputs. Polls the machine's events until there are none, and calls
    /// the machine with what it wants done next.
    fn attend(&mut self, machine: &mut M, transport: &mut T);
}

impl<M, T, F: FnMut(&mut M, &mut T)> Owner<M, T> for F {
    fn attend(&mut self, machine: &mut M, transport: &mut T) {
        self(machine, transport);
    }
}

/// Does everything that can be done without waiting: issues operations, lets the owner attend,
/// takes inputs, fires deadlines that have come.
pub fn turn<M, T, O>(machine: &mut M, transport: &mut T, owner: &mut O)
where
    M: Machine,
    T: Transport,
    O: Owner<M, T>,
{
    loop {
        let before = issue_all(machine, transport);
        owner.attend(machine, transport);
        let after = issue_all(machine, transport);
        let moved = take_input(machine, transport) || take_timeout(machine, transport);
        if !(before || after || moved) {
            return;
        }
    }
}

/// Runs a machine to its end, waiting in between.
pub fn drive<M, T, O>(machine: &mut M, transport: &mut T, owner: &mut O)
where
    M: Machine,
    T: BlockingTransport,
    O: Owner<M, T>,
{
    loop {
        turn(machine, transport, owner);
        if machine.is_closed() {
            return;
        }
        transport.wait(machine.poll_timeout().map(|(deadline, _)| deadline));
    }
}

fn issue_all<M: Machine, T: Transport>(machine: &mut M, transport: &mut T) -> bool {
    let mut issued = false;
    let now = transport.now();
    while let Some(operation) = machine.poll_operation(transport.send_buffer(), now) {
        transport.issue(operation);
        issued = true;
    }
    issued
}

fn take_input<M: Machine, T: Transport>(machine: &mut M, transport: &mut T) -> bool {
    let now = transport.now();
    match transport.poll() {
        Some(Input::Connection(event)) => machine.handle_connection(event, now),
        Some(Input::Completion(completion)) => machine.handle_completion(completion, now),
        None => return false,
    }
    true
}

fn take_timeout<M: Machine, T: Transport>(machine: &mut M, transport: &mut T) -> bool {
    let now = transport.now();
    match machine.poll_timeout() {
        Some((deadline, _)) if deadline <= now => {
            machine.handle_timeout(now);
            true
        }
        _ => false,
    }
}
