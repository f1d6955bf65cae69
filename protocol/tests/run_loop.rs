//! The run loop, with a machine and a transport that do nothing of their own.

use std::collections::VecDeque;
use std::time::Duration;

use rdma_migration_protocol::deadline::TimeoutReason;
use rdma_migration_protocol::time::Instant;
use rdma_migration_protocol::transport::{
    BlockingTransport, Completion, ConnectionEvent, Input, Machine, Operation, ReceiveBuffer,
    Transport, drive, turn,
};

const NOW: Instant = Instant::ORIGIN;

fn later() -> Instant {
    NOW.after(Duration::from_secs(5))
}

/// Gives the orders that it has, and ends with the first answer or at its deadline.
#[derive(Default)]
struct Errand {
    orders: VecDeque<Operation>,
    deadline: Option<Instant>,
    taken: Vec<&'static str>,
    closed: bool,
}

impl Machine for Errand {
    type Event = ();

    fn handle_connection(&mut self, _: ConnectionEvent<'_>, _: Instant) {
        self.taken.push("connection");
    }

    fn handle_completion(&mut self, _: Completion<'_>, _: Instant) {
        self.taken.push("completion");
        self.closed = true;
    }

    fn handle_timeout(&mut self, now: Instant) {
        assert!(self.deadline.take().is_some_and(|deadline| deadline <= now), "an early timeout");
        self.taken.push("timeout");
        self.closed = true;
    }

    fn poll_operation(&mut self, send_buffer: &mut [u8], _: Instant) -> Option<Operation> {
        let order = self.orders.pop_front();
        if let Some(Operation::Send { length }) = order {
            send_buffer[..length].fill(0x5a);
        }
        order
    }

    fn poll_event(&mut self) -> Option<()> {
        None
    }

    fn poll_timeout(&self) -> Option<(Instant, TimeoutReason)> {
        self.deadline.map(|deadline| (deadline, TimeoutReason::Connection))
    }

    fn is_closed(&self) -> bool {
        self.closed
    }
}

/// What is there arrives at once, what is on its way ends a wait; without either, time passes.
#[derive(Default)]
struct Link {
    now: Instant,
    there: VecDeque<Input<'static>>,
    on_its_way: VecDeque<Input<'static>>,
    send_buffer: [u8; 4],
    issued: Vec<Operation>,
    waits: Vec<Option<Instant>>,
}

impl Transport for Link {
    fn now(&self) -> Instant {
        self.now
    }

    fn send_buffer(&mut self) -> &mut [u8] {
        &mut self.send_buffer
    }

    fn issue(&mut self, operation: Operation) {
        self.issued.push(operation);
    }

    fn poll(&mut self) -> Option<Input<'_>> {
        self.there.pop_front()
    }

    fn receive_buffer(&self, buffer: ReceiveBuffer) -> &[u8] {
        &self.send_buffer[..usize::from(buffer.0)]
    }
}

impl BlockingTransport for Link {
    fn wait(&mut self, until: Option<Instant>) {
        self.waits.push(until);
        match self.on_its_way.pop_front() {
            Some(input) => self.there.push_back(input),
            None => self.now = until.expect("a wait that nothing ends"),
        }
    }
}

const ESTABLISHED: Input<'static> =
    Input::Connection(ConnectionEvent::Established { private_data: &[] });
const SENT: Input<'static> = Input::Completion(Completion::Sent);

fn nothing<M, T>(_: &mut M, _: &mut T) {}

#[test]
fn a_machine_is_driven_to_its_deadline() {
    let mut machine = Errand { deadline: Some(later()), ..Errand::default() };
    let mut link = Link::default();
    drive(&mut machine, &mut link, &mut nothing);
    assert_eq!((machine.taken, link.waits), (vec!["timeout"], vec![Some(later())]));
}

#[test]
fn what_arrives_in_time_ends_the_wait() {
    let mut machine = Errand { deadline: Some(later()), ..Errand::default() };
    let mut link = Link { on_its_way: [ESTABLISHED, SENT].into(), ..Link::default() };
    drive(&mut machine, &mut link, &mut nothing);
    assert_eq!(machine.taken, ["connection", "completion"]);
    assert_eq!((link.now, link.waits.len()), (NOW, 2));
}

#[test]
fn a_machine_without_a_deadline_waits_without_one() {
    let mut machine = Errand::default();
    let mut link = Link { on_its_way: [SENT].into(), ..Link::default() };
    drive(&mut machine, &mut link, &mut nothing);
    assert_eq!(link.waits, [None]);
}

#[test]
fn a_machine_that_ends_in_its_turn_is_not_waited_for() {
    let mut machine = Errand { orders: [Operation::Disconnect].into(), ..Errand::default() };
    let mut link = Link { there: [SENT].into(), ..Link::default() };
    drive(&mut machine, &mut link, &mut nothing);
    assert_eq!((link.issued, link.waits), (vec![Operation::Disconnect], vec![]));
}

#[test]
fn a_turn_fires_a_deadline_when_it_has_come_and_not_before() {
    let mut machine = Errand { deadline: Some(later()), ..Errand::default() };
    let mut link =
        Link { now: Instant::from_nanoseconds(later().nanoseconds() - 1), ..Link::default() };
    turn(&mut machine, &mut link, &mut nothing);
    assert_eq!(machine.taken, [""; 0]);
    link.now = later();
    turn(&mut machine, &mut link, &mut nothing);
    assert_eq!(machine.taken, ["timeout"]);
}

#[test]
fn a_turn_issues_what_the_owner_asks_for_and_takes_all_that_is_there() {
    let mut machine =
        Errand { orders: [Operation::Accept { private_data: [0; 8] }].into(), ..Errand::default() };
    let mut link = Link { there: [ESTABLISHED, SENT].into(), ..Link::default() };
    let mut attended = Vec::new();
    turn(&mut machine, &mut link, &mut |machine: &mut Errand, link: &mut Link| {
        attended.push((link.issued.len(), machine.taken.len()));
        if machine.taken.len() == 2 && link.issued.len() == 1 {
            machine.orders.push_back(Operation::Disconnect);
        }
    });
    // What the machine had ordered came first; the last visit finds nothing left to do.
    assert_eq!(attended, [(1, 0), (1, 1), (1, 2), (2, 2)]);
    assert_eq!(link.issued.last(), Some(&Operation::Disconnect));
}

#[test]
fn a_borrowed_transport_is_the_transport() {
    let mut machine =
        Errand { orders: [Operation::Send { length: 3 }].into(), ..Errand::default() };
    let mut link = Link { there: [SENT].into(), now: later(), ..Link::default() };
    let mut borrowed = &mut link;
    turn(&mut machine, &mut borrowed, &mut nothing);
    assert_eq!(Transport::now(&borrowed), later());
    assert_eq!(borrowed.receive_buffer(ReceiveBuffer(4)), [0x5a, 0x5a, 0x5a, 0]);
    assert_eq!(link.issued, [Operation::Send { length: 3 }]);
    assert!(machine.closed, "the answer was taken");
}
