//! The observer at the source's port.

use core::cmp::Reverse;
use core::fmt;
use core::time::Duration;
use std::collections::{BTreeMap, BinaryHeap};
use std::io::{self, Write};

use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rdma_migration_protocol::time::Instant;
use rdma_migration_protocol::transport::TransportError;

use super::frame::{Frame, Node, Packet, Payload as PacketPayload};
use super::management::{self, Conversation, MANAGEMENT_QUEUE_PAIR};
use super::opcode::Opcode;
use super::pcapng::PcapngWriter;
use crate::fabric::{Management, Refusal};
use crate::memory::to_u64;
use crate::queue_pair::{PATH_MTU_BYTES, Payload, SEQUENCE_MASK, Transmission};
use crate::side::{Side, Sides};

const COMMENT: &str = "rdma-migration simulator; virtual time, seen at the source's port";
/// An acknowledgement that says nothing about posted receives.
pub(super) const SYNDROME_ACKNOWLEDGE: u8 = 0x1f;
/// A receive is missing; try again after 0.64 ms.
const SYNDROME_RECEIVER_NOT_READY: u8 = 0x20 | 12;
const SYNDROME_SEQUENCE: u8 = 0x60;
const SYNDROME_INVALID: u8 = 0x61;
const SYNDROME_ACCESS: u8 = 0x62;
const SYNDROME_OPERATION: u8 = 0x63;

/// What an adapter says to a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Answer {
    Acknowledged,
    /// With the number of the packet that it concerns.
    Refused {
        refusal: Refusal,
        missing: u32,
    },
}

impl Answer {
    const fn syndrome(self) -> u8 {
        match self {
            Self::Acknowledged => SYNDROME_ACKNOWLEDGE,
            Self::Refused { refusal: Refusal::OutOfSequence, .. } => SYNDROME_SEQUENCE,
            Self::Refused { refusal: Refusal::ReceiverNotReady, .. } => SYNDROME_RECEIVER_NOT_READY,
            Self::Refused { refusal: Refusal::Fatal(error), .. } => match error {
                TransportError::RemoteInvalidRequest => SYNDROME_INVALID,
                TransportError::RemoteAccess => SYNDROME_ACCESS,
                _ => SYNDROME_OPERATION,
            },
        }
    }
}

/// Packets at the source's port: all that it sent, and what arrived of what the destination sent.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct WireCounters {
    packets: BTreeMap<Opcode, u64>,
    repeated: u64,
}

impl WireCounters {
    /// Packets of one kind.
    #[must_use]
    pub fn packets(&self, opcode: Opcode) -> u64 {
        self.packets.get(&opcode).copied().unwrap_or_default()
    }

    /// How many of all packets were transmitted again.
    #[must_use]
    pub const fn repeated(&self) -> u64 {
        self.repeated
    }

    fn count(&mut self, opcode: Opcode, packets: u64) {
        *self.packets.entry(opcode).or_default() += packets;
    }
}

/// Counts packets, and writes them down where a trace was asked for.
pub struct Recorder {
    counters: WireCounters,
    nodes: Sides<Node>,
    conversation: Conversation,
    udp_ports: Sides<u16>,
    management_numbers: Sides<u32>,
    trace: Option<Trace>,
}

impl fmt::Debug for Recorder {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Recorder").field("counters", &self.counters).finish_non_exhaustive()
    }
}

/// A trace that is being written, with the frames that wait for earlier ones.
struct Trace {
    writer: PcapngWriter<Box<dyn Write + Send>>,
    waiting: BinaryHeap<Reverse<Waiting>>,
    added: u64,
    failed: Option<io::Error>,
}

#[derive(PartialEq, Eq)]
struct Waiting {
    at: Instant,
    number: u64,
    frame: Frame,
}

impl PartialOrd for Waiting {
    fn partial_cmp(&self, other: &Self) -> Option<core::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Waiting {
    fn cmp(&self, other: &Self) -> core::cmp::Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

impl Recorder {
    pub(crate) fn new(first_packets: Sides<u32>, random: &mut ChaCha8Rng) -> Self {
        let node = |side: Side| Node {
            mac: [0x02, 0, 0, 0, 0, last_byte(side)],
            // Addresses that are set aside for documentation.
            ip: [192, 0, 2, last_byte(side)],
            queue_pair: random.random_range(2..=SEQUENCE_MASK),
            communication: random.random(),
            first_packet: *first_packets.of(side),
            identification: random.random(),
        };
        let nodes = Sides::from_fn(node);
        let conversation = Conversation {
            transaction: random.random(),
            flow_label: random.random_range(0..1 << 20),
            service_port: 4444,
            source_port: random.random_range(0xc000..=u16::MAX),
        };
        let udp_ports = Sides::from_fn(|_| random.random_range(0xc000..=u16::MAX));
        Self {
            counters: WireCounters::default(),
            nodes,
            conversation,
            udp_ports,
            management_numbers: Sides::default(),
            trace: None,
        }
    }

    /// What was counted so far.
    #[must_use]
    pub const fn counters(&self) -> &WireCounters {
        &self.counters
    }

    /// From here on also writes every packet to `output`, as pcapng with nanoseconds of virtual
    /// time. Guest memory is left out: packets of RDMA WRITEs keep their headers and their length.
    ///
    /// # Errors
    /// What `output` reports.
    pub fn start(&mut self, output: Box<dyn Write + Send>) -> io::Result<()> {
        let writer = PcapngWriter::new(output, COMMENT)?;
        self.trace = Some(Trace { writer, waiting: BinaryHeap::new(), added: 0, failed: None });
        Ok(())
    }

    /// Writes what is left and ends the trace, if there is one.
    ///
    /// # Errors
    /// The first error that the output reported.
    pub fn finish(&mut self) -> io::Result<()> {
        self.flush(Instant::from_nanoseconds(u64::MAX));
        let Some(trace) = self.trace.take() else { return Ok(()) };
        match trace.failed {
            Some(error) => Err(error),
            None => trace.writer.finish(),
        }
    }

    /// Writes everything up to `settled`, before which nothing will be recorded any more.
    pub(crate) fn flush(&mut self, settled: Instant) {
        let Some(trace) = &mut self.trace else { return };
        while let Some(Reverse(first)) = trace.waiting.peek() {
            if first.at > settled || trace.failed.is_some() {
                return;
            }
            let Some(Reverse(first)) = trace.waiting.pop() else { return };
            trace.failed = trace.writer.packet(first.at, &first.frame).err();
        }
    }

    /// A send or write has left, to arrive `copies` times.
    pub(crate) fn departed(
        &mut self,
        from: Side,
        transmission: &Transmission,
        left_at: Instant,
        one_way: Duration,
        copies: usize,
    ) {
        // The source's port sees what the source sends whatever becomes of it.
        let (copies, delay) = match from {
            Side::Source => (1, Duration::ZERO),
            Side::Destination => (copies, one_way),
        };
        let started_at = transmission.started_at.after(delay);
        for _ in 0..copies {
            self.count_packets(transmission);
            if self.trace.is_some() {
                self.write_packets(from, transmission, started_at, left_at.after(delay));
            }
        }
        if copies > 1 || transmission.request.transmissions > 1 {
            let again = copies - usize::from(transmission.request.transmissions == 1);
            self.counters.repeated += u64::from(transmission.request.packets) * to_u64(again);
        }
    }

    /// An adapter answers a request of its peer; `last_packet` is the number that it answers.
    pub(crate) fn answer(
        &mut self,
        by: Side,
        last_packet: u32,
        message_number: u32,
        answer: Answer,
        seen: Seen,
    ) {
        let Some(at) = seen.at(by) else { return };
        self.counters.count(Opcode::Acknowledge, 1);
        if self.trace.is_none() {
            return;
        }
        let number = match answer {
            Answer::Acknowledged => last_packet,
            Answer::Refused { missing, .. } => missing,
        };
        let [_, m2, m1, m0] = message_number.to_be_bytes();
        let extension = [answer.syndrome(), m2, m1, m0];
        let packet = Packet {
            opcode: Opcode::Acknowledge,
            queue_pair: self.nodes.of(by.peer()).queue_pair,
            number,
            udp_source_port: *self.udp_ports.of(by),
            acknowledge: false,
            extension: &extension,
            payload: PacketPayload::Bytes(&[]),
        };
        self.write(by, &packet, at);
    }

    /// A message of connection management leaves.
    pub(crate) fn management(&mut self, from: Side, message: &Management, seen: Seen) {
        let Some(at) = seen.at(from) else { return };
        self.counters.count(Opcode::Management, 1);
        if self.trace.is_none() {
            return;
        }
        let nodes = &self.nodes;
        let (local, remote) = (nodes.of(from), nodes.of(from.peer()));
        let payload = management::datagram(&message.into(), &self.conversation, local, remote);
        let number = self.management_numbers.of_mut(from);
        let packet = Packet {
            opcode: Opcode::Management,
            queue_pair: MANAGEMENT_QUEUE_PAIR,
            number: *number & SEQUENCE_MASK,
            udp_source_port: *self.udp_ports.of(from),
            // Soft-RoCE sets it on datagrams too.
            acknowledge: true,
            extension: &management::extension(),
            payload: PacketPayload::Bytes(&payload),
        };
        *number = number.wrapping_add(1);
        self.write(from, &packet, at);
    }

    fn count_packets(&mut self, transmission: &Transmission) {
        let packets = u64::from(transmission.request.packets);
        let opcode = opcode_of(&transmission.request.payload);
        if packets == 1 {
            return self.counters.count(opcode(true, true), 1);
        }
        self.counters.count(opcode(true, false), 1);
        self.counters.count(opcode(false, false), packets - 2);
        self.counters.count(opcode(false, true), 1);
    }

    fn write_packets(&mut self, from: Side, sent: &Transmission, start: Instant, end: Instant) {
        let request = &sent.request;
        let total = request.payload.bytes();
        let opcode = opcode_of(&request.payload);
        let mut done = 0;
        for place in 0..request.packets {
            let (first, last) = (place == 0, place + 1 == request.packets);
            let length = (total - done).min(PATH_MTU_BYTES);
            let write_extension;
            let extension: &[u8] = match &request.payload {
                Payload::Write(write) if first => {
                    let address = write.remote_address.get();
                    write_extension = write_header(address, write.rkey.get(), write.length);
                    &write_extension
                }
                Payload::Write(_) | Payload::Message(_) => &[],
            };
            let packet = Packet {
                opcode: opcode(first, last),
                queue_pair: self.nodes.of(from.peer()).queue_pair,
                number: request.first_packet.wrapping_add(place) & SEQUENCE_MASK,
                udp_source_port: *self.udp_ports.of(from),
                acknowledge: last,
                extension,
                payload: piece(&request.payload, done, length),
            };
            done += length;
            let at = between(start, end, done, total);
            self.write(from, &packet, at);
        }
    }

    fn write(&mut self, from: Side, packet: &Packet<'_>, at: Instant) {
        let frame = packet.frame(self.nodes.of(from), self.nodes.of(from.peer()));
        let identification = &mut self.nodes.of_mut(from).identification;
        *identification = identification.wrapping_add(1);
        if let Some(trace) = &mut self.trace {
            trace.waiting.push(Reverse(Waiting { at, number: trace.added, frame }));
            trace.added += 1;
        }
    }
}

/// When something that leaves now is seen at the source's port.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen {
    pub(crate) leaves_at: Instant,
    pub(crate) arrives_at: Instant,
    pub(crate) arrives: bool,
}

impl Seen {
    fn at(self, from: Side) -> Option<Instant> {
        match from {
            Side::Source => Some(self.leaves_at),
            Side::Destination => self.arrives.then_some(self.arrives_at),
        }
    }
}

pub(super) const fn last_byte(side: Side) -> u8 {
    match side {
        Side::Source => 1,
        Side::Destination => 2,
    }
}

fn opcode_of(payload: &Payload) -> fn(bool, bool) -> Opcode {
    match payload {
        Payload::Message(_) => Opcode::send,
        Payload::Write(_) => Opcode::write,
    }
}

/// The extended header of an RDMA WRITE: address, key, length of the whole.
pub(super) fn write_header(remote_address: u64, key: u32, bytes: u64) -> [u8; 16] {
    let mut header = [0; 16];
    let (address, rest) = header.split_at_mut(8);
    let (rkey, length) = rest.split_at_mut(4);
    address.copy_from_slice(&remote_address.to_be_bytes());
    rkey.copy_from_slice(&key.to_be_bytes());
    length.copy_from_slice(&u32::try_from(bytes).unwrap_or(u32::MAX).to_be_bytes());
    header
}

fn piece(payload: &Payload, start: u64, length: u64) -> PacketPayload<'_> {
    match payload {
        Payload::Write(_) => PacketPayload::CutAway(length),
        Payload::Message(bytes) => {
            let start = usize::try_from(start).unwrap_or(usize::MAX);
            let length = usize::try_from(length).unwrap_or(usize::MAX);
            let rest = bytes.get(start..).unwrap_or_default();
            PacketPayload::Bytes(rest.get(..length).unwrap_or(rest))
        }
    }
}

/// The instant at which `done` of `total` bytes have passed.
fn between(start: Instant, end: Instant, done: u64, total: u64) -> Instant {
    let whole = end.since(start).as_nanos();
    let part = (whole * u128::from(done)).checked_div(u128::from(total)).unwrap_or(whole);
    start.after(Duration::from_nanos(u64::try_from(part).unwrap_or(u64::MAX)))
}
