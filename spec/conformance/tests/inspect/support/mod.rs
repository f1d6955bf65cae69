//! Captures built by hand, packet by packet, and reports read back.

use std::net::IpAddr;

use etherparse::{PacketBuilder, PacketBuilderStep, UdpHeader, VlanId};
use rdma_migration_conformance::codec::{Capabilities, Command, Header, Kind, RamBlock};
use rdma_migration_conformance::inspect::{Format, Options, Outcome, inspect};
use serde_json::Value;

pub(crate) mod file;

pub(crate) const MIB: u64 = 1 << 20;
/// Where the first RAM block of a test lies at the destination.
pub(crate) const BASE: u64 = 0x7f00_0000_0000;

/// An end of a connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Side {
    Source,
    Destination,
}

pub(crate) use Side::{Destination, Source};

/// One captured packet.
#[derive(Clone, Debug)]
pub(crate) struct Packet {
    pub(crate) time_us: u64,
    pub(crate) frame: Vec<u8>,
    /// Bytes that were sent, of which `frame` may hold fewer.
    pub(crate) original_length: usize,
}

/// The packets of a capture in the making.
#[derive(Clone, Debug, Default)]
pub(crate) struct Trace {
    pub(crate) packets: Vec<Packet>,
}

/// A connection that writes its packets into a trace.
#[derive(Clone, Debug)]
pub(crate) struct Link {
    pub(crate) source: IpAddr,
    pub(crate) destination: IpAddr,
    pub(crate) vlans: Vec<u16>,
    pub(crate) port: u16,
    pub(crate) mtu: usize,
    pub(crate) source_queue_pair: u32,
    pub(crate) destination_queue_pair: u32,
    /// The next packet sequence number of each side.
    pub(crate) source_sequence: u32,
    pub(crate) destination_sequence: u32,
    pub(crate) communication_id: u32,
}

impl Default for Link {
    fn default() -> Self {
        Self {
            source: "10.1.0.1".parse().unwrap(),
            destination: "10.1.0.2".parse().unwrap(),
            vlans: Vec::new(),
            port: 4444,
            mtu: 4096,
            source_queue_pair: 0x11,
            destination_queue_pair: 0x12,
            source_sequence: 0xff_fffe,
            destination_sequence: 0x10,
            communication_id: 0x100,
        }
    }
}

impl Trace {
    /// Appends a UDP datagram between the ends of a link, of which `cut` bytes are not captured.
    fn datagram(&mut self, link: &Link, from: Side, payload: &[u8], cut: usize) {
        let (source, destination) = match from {
            Source => (link.source, link.destination),
            Destination => (link.destination, link.source),
        };
        let ethernet = PacketBuilder::ethernet2([2; 6], [4; 6]);
        let mut frame = Vec::new();
        let write = |udp: PacketBuilderStep<UdpHeader>, frame: &mut Vec<u8>| {
            udp.write(frame, payload).unwrap();
        };
        let vlan = |id: u16| VlanId::try_new(id).unwrap();
        match (link.vlans.as_slice(), source, destination) {
            ([], IpAddr::V4(a), IpAddr::V4(b)) => {
                write(ethernet.ipv4(a.octets(), b.octets(), 64).udp(50_000, 4791), &mut frame);
            }
            ([], IpAddr::V6(a), IpAddr::V6(b)) => {
                write(ethernet.ipv6(a.octets(), b.octets(), 64).udp(50_000, 4791), &mut frame);
            }
            ([id], IpAddr::V4(a), IpAddr::V4(b)) => {
                let tagged = ethernet.single_vlan(vlan(*id));
                write(tagged.ipv4(a.octets(), b.octets(), 64).udp(50_000, 4791), &mut frame);
            }
            ([outer, inner], IpAddr::V6(a), IpAddr::V6(b)) => {
                let tagged = ethernet.double_vlan(vlan(*outer), vlan(*inner));
                write(tagged.ipv6(a.octets(), b.octets(), 64).udp(50_000, 4791), &mut frame);
            }
            other => panic!("no such frame: {other:?}"),
        }
        let original_length = frame.len();
        frame.truncate(original_length - cut);
        let time_us = 1_700_000_000_000_000 + 10 * u64::try_from(self.packets.len()).unwrap();
        self.packets.push(Packet { time_us, frame, original_length });
    }
}

impl Link {
    fn queue_pair_of(&self, side: Side) -> u32 {
        match side {
            Source => self.source_queue_pair,
            Destination => self.destination_queue_pair,
        }
    }

    fn sequence(&mut self, from: Side) -> &mut u32 {
        match from {
            Source => &mut self.source_sequence,
            Destination => &mut self.destination_sequence,
        }
    }

    fn base_header(&self, opcode: u8, from: Side, sequence: u32, pad: usize) -> Vec<u8> {
        let to = match from {
            Source => Destination,
            Destination => Source,
        };
        let mut packet = vec![opcode, u8::try_from(pad).unwrap() << 4, 0xff, 0xff];
        packet.extend_from_slice(&self.queue_pair_of(to).to_be_bytes());
        packet.extend_from_slice(&(sequence & 0xff_ffff).to_be_bytes());
        packet
    }

    /// A packet of a reliable connection, with pad bytes and checksum.
    pub(crate) fn packet(
        &mut self,
        trace: &mut Trace,
        from: Side,
        opcode: u8,
        headers: &[u8],
        payload: &[u8],
    ) {
        let sequence = *self.sequence(from);
        *self.sequence(from) = (sequence + 1) & 0xff_ffff;
        self.packet_numbered(trace, from, sequence, opcode, headers, payload, 0);
    }

    #[allow(clippy::too_many_arguments, reason = "one packet has as many parts")]
    pub(crate) fn packet_numbered(
        &self,
        trace: &mut Trace,
        from: Side,
        sequence: u32,
        opcode: u8,
        headers: &[u8],
        payload: &[u8],
        cut: usize,
    ) {
        let pad = payload.len().next_multiple_of(4) - payload.len();
        let mut packet = self.base_header(opcode, from, sequence, pad);
        packet.extend_from_slice(headers);
        packet.extend_from_slice(payload);
        packet.resize(packet.len() + pad + 4, 0);
        trace.datagram(self, from, &packet, cut);
    }

    /// An answer of `from` to the last packet that its peer has sent.
    pub(crate) fn answer(&mut self, trace: &mut Trace, from: Side, syndrome: u8) {
        let peer = match from {
            Source => Destination,
            Destination => Source,
        };
        let last = self.sequence(peer).wrapping_sub(1);
        self.packet_numbered(trace, from, last, 0x11, &[syndrome, 0, 0, 0], &[], 0);
    }

    /// A message in as many packets as it takes, acknowledged.
    pub(crate) fn send_bytes(&mut self, trace: &mut Trace, from: Side, message: &[u8]) {
        let pieces: Vec<_> = message.chunks(self.mtu).collect();
        let last = pieces.len() - 1;
        for (index, piece) in pieces.into_iter().enumerate() {
            let opcode = match (index, last) {
                (_, 0) => 0x04,
                (0, _) => 0x00,
                (index, last) if index == last => 0x02,
                _ => 0x01,
            };
            self.packet(trace, from, opcode, &[], piece);
        }
        let peer = if from == Source { Destination } else { Source };
        self.answer(trace, peer, 0x1f);
    }

    /// A control message with this payload.
    pub(crate) fn send_payload(
        &mut self,
        trace: &mut Trace,
        from: Side,
        kind: Kind,
        payload: &[u8],
    ) {
        self.send_bytes(trace, from, &message(kind, 1, payload));
    }

    /// A control message with these commands, or none.
    pub(crate) fn send(&mut self, trace: &mut Trace, from: Side, kind: Kind, commands: &[Command]) {
        let mut payload = Vec::new();
        commands.iter().for_each(|command| command.encode(&mut payload));
        let repeat = u32::try_from(commands.len().max(1)).unwrap();
        self.send_bytes(trace, from, &message(kind, repeat, &payload));
    }

    /// READY of the destination, then a command of the source.
    pub(crate) fn command(&mut self, trace: &mut Trace, kind: Kind, commands: &[Command]) {
        self.send(trace, Destination, Kind::Ready, &[]);
        self.send(trace, Source, kind, commands);
    }

    /// READY of the destination, then bytes of the stream.
    pub(crate) fn stream(&mut self, trace: &mut Trace, bytes: &[u8]) {
        self.send(trace, Destination, Kind::Ready, &[]);
        self.send_payload(trace, Source, Kind::QemuFile, bytes);
    }

    /// An RDMA WRITE of the source whose payload is not captured, acknowledged.
    pub(crate) fn write(&mut self, trace: &mut Trace, address: u64, rkey: u32, length: u32) {
        self.write_unacknowledged(trace, address, rkey, length);
        self.answer(trace, Destination, 0x1f);
    }

    pub(crate) fn write_unacknowledged(
        &mut self,
        trace: &mut Trace,
        address: u64,
        rkey: u32,
        length: u32,
    ) {
        let mut range = address.to_be_bytes().to_vec();
        range.extend_from_slice(&rkey.to_be_bytes());
        range.extend_from_slice(&length.to_be_bytes());
        let payload = vec![0xaa; usize::try_from(length).unwrap()];
        let pieces: Vec<_> = payload.chunks(self.mtu).collect();
        let last = pieces.len() - 1;
        for (index, piece) in pieces.into_iter().enumerate() {
            let opcode = match (index, last) {
                (_, 0) => 0x0a,
                (0, _) => 0x06,
                (index, last) if index == last => 0x08,
                _ => 0x07,
            };
            let headers = if index == 0 { range.as_slice() } else { &[] };
            let sequence = *self.sequence(Source);
            *self.sequence(Source) = (sequence + 1) & 0xff_ffff;
            let cut = piece.len().next_multiple_of(4) + 4;
            self.packet_numbered(trace, Source, sequence, opcode, headers, piece, cut);
        }
    }

    fn management(&self, trace: &mut Trace, from: Side, attribute: u16, data: &[u8]) {
        let mut packet = vec![0x64, 0, 0xff, 0xff, 0, 0, 0, 1, 0, 0, 0, 0];
        packet.extend_from_slice(&[0x80, 1, 0, 0, 0, 0, 0, 1]);
        packet.extend_from_slice(&[1, 7, 2, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9]);
        packet.extend_from_slice(&attribute.to_be_bytes());
        packet.extend_from_slice(&[0; 6]);
        packet.extend_from_slice(data);
        packet.resize(12 + 8 + 256, 0);
        packet.extend_from_slice(&[0; 4]);
        trace.datagram(self, from, &packet, 0);
    }

    fn identified(&self, from: Side) -> Vec<u8> {
        let (source, destination) = (self.communication_id, self.communication_id + 1);
        let (local, remote) =
            if from == Source { (source, destination) } else { (destination, source) };
        let mut data = vec![0; 232];
        data[0..4].copy_from_slice(&local.to_be_bytes());
        data[4..8].copy_from_slice(&remote.to_be_bytes());
        data
    }

    pub(crate) fn connect_request(&self, trace: &mut Trace, private_data: &[u8]) {
        let mut data = self.identified(Source);
        data[4..8].fill(0);
        data[12] = 1;
        data[13] = 6;
        data[14..16].copy_from_slice(&self.port.to_be_bytes());
        data[32..35].copy_from_slice(&self.source_queue_pair.to_be_bytes()[1..]);
        // What the other side shall begin with.
        data[44..47].copy_from_slice(&self.destination_sequence.to_be_bytes()[1..]);
        data[140 + 1] = 0x40;
        data[176..176 + private_data.len()].copy_from_slice(private_data);
        self.management(trace, Source, 0x10, &data);
    }

    pub(crate) fn connect_reply(&self, trace: &mut Trace, private_data: &[u8]) {
        let mut data = self.identified(Destination);
        data[12..15].copy_from_slice(&self.destination_queue_pair.to_be_bytes()[1..]);
        data[20..23].copy_from_slice(&self.source_sequence.to_be_bytes()[1..]);
        data[36..36 + private_data.len()].copy_from_slice(private_data);
        self.management(trace, Destination, 0x13, &data);
    }

    pub(crate) fn ready_to_use(&self, trace: &mut Trace) {
        self.management(trace, Source, 0x14, &self.identified(Source));
    }

    pub(crate) fn reject(&self, trace: &mut Trace, reason: u16) {
        let mut data = self.identified(Destination);
        data[0..4].fill(0);
        data[10..12].copy_from_slice(&reason.to_be_bytes());
        self.management(trace, Destination, 0x12, &data);
    }

    pub(crate) fn disconnect(&self, trace: &mut Trace, from: Side) {
        self.management(trace, from, 0x15, &self.identified(from));
        let peer = if from == Source { Destination } else { Source };
        self.management(trace, peer, 0x16, &self.identified(peer));
    }

    /// The three packets that make a connection.
    pub(crate) fn connect(
        &self,
        trace: &mut Trace,
        requested: Capabilities,
        granted: Capabilities,
    ) {
        self.connect_request(trace, &requested.encode());
        self.connect_reply(trace, &granted.encode());
        self.ready_to_use(trace);
    }

    /// A connection, the stream up to its first hook, and the exchange of one RAM block of 16 MiB.
    pub(crate) fn set_up(&mut self, trace: &mut Trace, rkey: u32) {
        let flags = u32::from(rkey != 0);
        let capabilities = Capabilities { version: 1, flags };
        self.connect(trace, capabilities, capabilities);
        self.stream(trace, &stream_set_up(&[("pc.ram", 16 * MIB)]));
        self.command(trace, Kind::RamBlocksRequest, &[]);
        self.send(trace, Destination, Kind::RamBlocksResult, &[ram_block(rkey)]);
        self.command(trace, Kind::RegisterFinished, &[]);
    }

    /// The stream up to another hook.
    pub(crate) fn hook(&mut self, trace: &mut Trace) {
        self.stream(trace, &[0, 0, 0, 0, 0, 0, 0, 0x80]);
    }
}

pub(crate) fn ram_block(rkey: u32) -> Command {
    Command::RamBlock(RamBlock { remote_address: BASE, offset: 0x1000, length: 16 * MIB, rkey })
}

pub(crate) fn message(kind: Kind, repeat: u32, payload: &[u8]) -> Vec<u8> {
    let mut message = Vec::new();
    let length = u32::try_from(payload.len()).unwrap();
    Header { length, kind, repeat }.encode(&mut message);
    message.extend_from_slice(payload);
    message
}

/// The beginning of a QEMU migration stream that names these blocks.
pub(crate) fn stream_set_up(blocks: &[(&str, u64)]) -> Vec<u8> {
    let total: u64 = blocks.iter().map(|(_, length)| length).sum();
    let mut stream = b"QEVM\0\0\0\x03\x01\0\0\0\x02\x03ram\0\0\0\0\0\0\0\x04".to_vec();
    stream.extend_from_slice(&(total | 4).to_be_bytes());
    for (name, length) in blocks {
        stream.push(u8::try_from(name.len()).unwrap());
        stream.extend_from_slice(name.as_bytes());
        stream.extend_from_slice(&length.to_be_bytes());
    }
    stream.extend_from_slice(&0x80_u64.to_be_bytes());
    stream
}

/// A report, read back.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) lines: Vec<Value>,
    pub(crate) outcome: Outcome,
}

impl Report {
    /// What JSON says of this capture.
    pub(crate) fn of(capture: &[u8]) -> Self {
        let options = Options { format: Format::Json, ..Options::default() };
        let mut json = Vec::new();
        let outcome = inspect(capture, &options, &mut json).unwrap();
        let lines = String::from_utf8(json).unwrap();
        let lines = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        Self { lines, outcome }
    }

    pub(crate) fn of_trace(trace: &Trace) -> Self {
        Self::of(&file::pcap(trace))
    }

    /// The names of the deviations, in order.
    pub(crate) fn deviations(&self) -> Vec<&str> {
        self.events("deviation").map(|line| line["deviation"].as_str().unwrap()).collect()
    }

    pub(crate) fn events(&self, event: &str) -> impl Iterator<Item = &Value> {
        self.lines.iter().filter(move |line| line["event"] == event)
    }

    /// How many messages of this kind there are.
    pub(crate) fn count(&self, kind: &str) -> usize {
        self.events("message").filter(|line| line["kind"] == kind).count()
    }

    /// Direction and kind of every message.
    pub(crate) fn dialogue(&self) -> Vec<String> {
        let text = |line: &Value, key| line[key].as_str().unwrap_or("?").to_owned();
        self.events("message").map(|line| text(line, "from") + " " + &text(line, "kind")).collect()
    }
}

/// What the text says of this capture.
pub(crate) fn text_of(capture: &[u8]) -> String {
    let mut text = Vec::new();
    inspect(capture, &Options::default(), &mut text).unwrap();
    String::from_utf8(text).unwrap()
}
