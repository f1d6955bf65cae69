//! One connection: what both ends have sent so far.

use std::net::IpAddr;

use super::assembly::{Assembled, MessageAssembly, WriteAssembly};
use super::connection_manager::Action;
use super::event::{Event, Happening, Retransmitted};
use super::infiniband::{Answer, Operation, Packet};
use super::sequence::{Sequence, Step, distance};
use super::{End, Ends, Stamp};

/// A connection and its two directions.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) addresses: Ends<IpAddr>,
    pub(super) queue_pairs: Ends<Option<u32>>,
    /// The actions of connection management that each end has taken.
    taken: Vec<(End, Taken)>,
    directions: Ends<Direction>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Taken {
    Request,
    Reply,
    Ready,
    Reject,
    Disconnect,
    DisconnectReply,
}

/// What one end sends.
#[derive(Debug)]
struct Direction {
    sequence: Sequence<Request>,
    message: MessageAssembly,
    write: WriteAssembly,
    last_write: Option<u32>,
    last_message: Option<u32>,
    acknowledged: Option<u32>,
}

#[derive(Clone, Debug)]
struct Request {
    stamp: Stamp,
    sequence_number: u32,
    operation: Operation,
    payload: Vec<u8>,
    payload_bytes: usize,
}

impl Default for Direction {
    fn default() -> Self {
        Self {
            sequence: Sequence::new(None),
            message: MessageAssembly::default(),
            write: WriteAssembly::default(),
            last_write: None,
            last_message: None,
            acknowledged: None,
        }
    }
}

impl Taken {
    fn of(action: &Action) -> Self {
        match action {
            Action::ConnectRequest { .. } => Self::Request,
            Action::ConnectReply(_) => Self::Reply,
            Action::ReadyToUse => Self::Ready,
            Action::ConnectReject(_) => Self::Reject,
            Action::DisconnectRequest => Self::Disconnect,
            Action::DisconnectReply => Self::DisconnectReply,
        }
    }
}

impl Connection {
    pub(super) fn new(addresses: Ends<IpAddr>) -> Self {
        Self {
            addresses,
            queue_pairs: Ends::default(),
            taken: Vec::new(),
            directions: Ends::default(),
        }
    }

    /// Whether the packets that made the connection are in the capture.
    pub(super) fn is_managed(&self) -> bool {
        !self.taken.is_empty()
    }

    pub(super) fn has_ended(&self) -> bool {
        self.taken.iter().any(|(_, taken)| matches!(taken, Taken::Disconnect | Taken::Reject))
    }

    /// Notes an action of connection management, and says whether it is the first of its kind.
    pub(super) fn manage(&mut self, from: End, action: &Action) -> bool {
        let taken = (from, Taken::of(action));
        let first = !self.taken.contains(&taken);
        if first {
            self.taken.push(taken);
        }
        first
    }

    /// The first packet sequence number of this end is known.
    pub(super) fn begin_sequence(&mut self, end: End, first: u32) {
        self.directions.of_mut(end).sequence = Sequence::new(Some(first));
    }

    /// The number of the last request of this end.
    pub(super) fn last_request(&self, end: End) -> Option<u32> {
        self.directions.of(end).sequence.last()
    }

    /// Takes the next packet of this end.
    pub(super) fn take(
        &mut self,
        stamp: Stamp,
        index: usize,
        from: End,
        packet: &Packet<'_>,
    ) -> Vec<Happening> {
        let mut happenings = Vec::new();
        if let Operation::Answer(answer) = packet.operation {
            if let Some(answer) = answer {
                let number = packet.sequence_number;
                self.answered(stamp, index, from, (answer, number), &mut happenings);
                if !matches!(answer, Answer::Acknowledged | Answer::OutOfSequence) {
                    let event = Event::Refused(answer);
                    happenings.push(Happening { stamp, connection: index, from, event });
                }
            }
            return happenings;
        }
        // What a WRITE carries is of no interest, and large.
        let payload = match packet.operation {
            Operation::Send(_) => packet.payload.to_vec(),
            _ => Vec::new(),
        };
        let request = Request {
            stamp,
            sequence_number: packet.sequence_number,
            operation: packet.operation,
            payload,
            payload_bytes: packet.payload_bytes,
        };
        let direction = self.directions.of_mut(from);
        let bytes = request.payload.len();
        let steps = direction.sequence.take(request.sequence_number, bytes, request);
        self.take_steps(stamp, index, from, steps, &mut happenings);
        happenings
    }

    /// The capture is over with this packet: yields what was held back.
    pub(super) fn end(&mut self, stamp: Stamp, index: usize, happenings: &mut Vec<Happening>) {
        for end in [End::A, End::B] {
            let steps = self.directions.of_mut(end).sequence.end();
            self.take_steps(stamp, index, end, steps, happenings);
        }
    }

    /// `from` has answered the request with this number.
    fn answered(
        &mut self,
        stamp: Stamp,
        index: usize,
        from: End,
        (answer, sequence_number): (Answer, u32),
        happenings: &mut Vec<Happening>,
    ) {
        let arrived = match answer {
            Answer::Acknowledged => sequence_number,
            Answer::OutOfSequence
            | Answer::ReceiverNotReady
            | Answer::InvalidRequest
            | Answer::RemoteAccessError
            | Answer::RemoteOperationalError => sequence_number.wrapping_sub(1) & 0xff_ffff,
        };
        let direction = self.directions.of_mut(from.peer());
        let late = answer == Answer::Acknowledged && direction.acknowledges_late(arrived);
        if direction.acknowledged.is_none_or(|before| distance(before, arrived) > 0) {
            direction.acknowledged = Some(arrived);
        }
        let steps = direction.sequence.acknowledge(arrived);
        let writer = from.peer();
        if late {
            let event = Event::LateAcknowledgement;
            happenings.push(Happening { stamp, connection: index, from: writer, event });
        }
        self.take_steps(stamp, index, writer, steps, happenings);
    }

    /// Follows the steps of one direction, which the packet with this stamp has led to.
    fn take_steps(
        &mut self,
        stamp: Stamp,
        index: usize,
        from: End,
        steps: Vec<Step<Request>>,
        happenings: &mut Vec<Happening>,
    ) {
        let direction = self.directions.of_mut(from);
        for step in steps {
            let (stamp, events) = match step {
                Step::InOrder(request) => (request.stamp, direction.take(&request)),
                Step::Again(request) => {
                    (request.stamp, vec![Event::Retransmission(request.retransmitted())])
                }
                Step::Missing(count) => {
                    direction.abandon();
                    (stamp, vec![Event::Missing(count)])
                }
            };
            let happening = |event| Happening { stamp, connection: index, from, event };
            happenings.extend(events.into_iter().map(happening));
        }
    }
}

impl Direction {
    fn take(&mut self, request: &Request) -> Vec<Event> {
        let mut events = Vec::new();
        match request.operation {
            Operation::Send(position) => {
                if position.begins() && self.message.abandon() {
                    events.push(Event::IncompleteMessage);
                }
                match self.message.take(position, &request.payload, request.payload_bytes) {
                    Assembled::Open => {}
                    Assembled::Message(message) => {
                        self.last_message = Some(request.sequence_number);
                        events.push(Event::Message { message });
                    }
                    Assembled::NoBeginning => events.push(Event::IncompleteMessage),
                }
            }
            Operation::Write(position, range) => {
                self.last_write = Some(request.sequence_number);
                if position.begins() {
                    events.push(Event::Write(range));
                }
                let wrong = self.write.take(position, range, request.payload_bytes);
                events.extend(wrong.map(Event::WrongWriteLength));
            }
            Operation::Other(name) => {
                self.sequence.forget();
                events.push(Event::OtherOperation(name));
            }
            Operation::Answer(_) | Operation::Management | Operation::Foreign => {}
        }
        events
    }

    /// Whether everything up to this number includes the last WRITE, for the first time, but not
    /// the message that was sent after it.
    fn acknowledges_late(&self, arrived: u32) -> bool {
        let (Some(write), Some(message)) = (self.last_write, self.last_message) else {
            return false;
        };
        self.acknowledged.is_none_or(|before| distance(before, write) > 0)
            && distance(write, arrived) >= 0
            && distance(arrived, message) > 0
    }

    fn abandon(&mut self) {
        self.message.abandon();
        self.write.abandon();
    }
}

impl Request {
    fn retransmitted(self) -> Retransmitted {
        match self.operation {
            Operation::Send(position) => {
                Retransmitted::Send(position.begins().then_some(self.payload))
            }
            Operation::Write(..) => Retransmitted::Write,
            Operation::Other(_)
            | Operation::Answer(_)
            | Operation::Management
            | Operation::Foreign => Retransmitted::Other,
        }
    }
}
