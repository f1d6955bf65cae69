//! A trace of a dialogue that is already known: messages and writes, in the order in which somebody
//! saw them. Nothing is lost, and nothing comes twice.

use core::fmt;
use std::io::{self, Write};

use rdma_migration_protocol::time::Instant;

use super::frame::{Node, Packet, Payload};
use super::management::{self, Conversation, Datagram, MANAGEMENT_QUEUE_PAIR};
use super::opcode::Opcode;
use super::pcapng::PcapngWriter;
use super::recorder::{SYNDROME_ACKNOWLEDGE, last_byte, write_header};
use crate::queue_pair::{PATH_MTU_BYTES, SEQUENCE_MASK};
use crate::side::{Side, Sides};

/// Where the numbers of the packets begin.
const FIRST_PACKET: u32 = 1;

/// Writes a dialogue as the packets of RoCE version 2, with addresses that are always the same: equal
/// dialogues make equal files.
pub struct DialogueTrace<W> {
    writer: PcapngWriter<W>,
    nodes: Sides<Node>,
    conversation: Conversation,
    /// The number of the next packet of each side.
    packets: Sides<u32>,
    /// The number of the next datagram of each side.
    datagrams: Sides<u32>,
    /// Messages and writes that each side has acknowledged.
    acknowledged: Sides<u32>,
}

impl<W> fmt::Debug for DialogueTrace<W> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("DialogueTrace")
            .field("packets", &self.packets)
            .finish_non_exhaustive()
    }
}

impl<W: Write> DialogueTrace<W> {
    /// Starts a file; `comment` stands at its beginning.
    ///
    /// # Errors
    /// What `output` reports.
    pub fn new(output: W, comment: &str) -> io::Result<Self> {
        let node = |side: Side| {
            let last = last_byte(side);
            Node {
                mac: [0x02, 0, 0, 0, 0, last],
                // Addresses that are set aside for documentation.
                ip: [192, 0, 2, last],
                queue_pair: 0x10 + u32::from(last),
                communication: u32::from(last),
                first_packet: FIRST_PACKET,
                identification: 0,
            }
        };
        let conversation =
            Conversation { transaction: 1, flow_label: 1, service_port: 4444, source_port: 0xc000 };
        Ok(Self {
            writer: PcapngWriter::new(output, comment)?,
            nodes: Sides::from_fn(node),
            conversation,
            packets: Sides::from_fn(|_| FIRST_PACKET),
            datagrams: Sides::default(),
            acknowledged: Sides::default(),
        })
    }

    /// The source asks to connect. Of private data that is too long for the datagram the end is cut.
    ///
    /// # Errors
    /// What the output reports.
    pub fn request(&mut self, at: Instant, private_data: &[u8]) -> io::Result<()> {
        self.manage(Side::Source, at, &Datagram::Request(private_data))
    }

    /// The destination accepts.
    ///
    /// # Errors
    /// What the output reports.
    pub fn reply(&mut self, at: Instant, private_data: &[u8]) -> io::Result<()> {
        self.manage(Side::Destination, at, &Datagram::Reply(private_data))
    }

    /// The source confirms that the destination has accepted.
    ///
    /// # Errors
    /// What the output reports.
    pub fn ready_to_use(&mut self, at: Instant) -> io::Result<()> {
        self.manage(Side::Source, at, &Datagram::ReadyToUse)
    }

    /// The program at the destination refuses.
    ///
    /// # Errors
    /// What the output reports.
    pub fn reject(&mut self, at: Instant) -> io::Result<()> {
        self.manage(Side::Destination, at, &Datagram::Reject { by_consumer: true })
    }

    /// A side ends the connection.
    ///
    /// # Errors
    /// What the output reports.
    pub fn disconnect(&mut self, by: Side, at: Instant) -> io::Result<()> {
        self.manage(by, at, &Datagram::DisconnectRequest)
    }

    /// A side agrees that the connection has ended.
    ///
    /// # Errors
    /// What the output reports.
    pub fn disconnected(&mut self, by: Side, at: Instant) -> io::Result<()> {
        self.manage(by, at, &Datagram::DisconnectReply)
    }

    /// A side sends a message. Returns the number of its last packet.
    ///
    /// # Errors
    /// What the output reports.
    pub fn send(&mut self, from: Side, at: Instant, message: &[u8]) -> io::Result<u32> {
        let mtu = usize::try_from(PATH_MTU_BYTES).unwrap_or(usize::MAX);
        let mut pieces = message.chunks(mtu).peekable();
        let mut first = true;
        // A message without a byte is a packet all the same.
        let mut piece = pieces.next().unwrap_or_default();
        loop {
            let last = pieces.peek().is_none();
            let opcode = Opcode::send(first, last);
            let number = self.transmit(from, at, opcode, last, &[], Payload::Bytes(piece))?;
            first = false;
            match pieces.next() {
                Some(next) => piece = next,
                None => return Ok(number),
            }
        }
    }

    /// A side writes RAM of the other; what it writes is left out. Returns the number of the last
    /// packet.
    ///
    /// # Errors
    /// What the output reports.
    pub fn write_ram(
        &mut self,
        from: Side,
        at: Instant,
        remote_address: u64,
        rkey: u32,
        length: u64,
    ) -> io::Result<u32> {
        let header = write_header(remote_address, rkey, length);
        let mut left = length;
        let mut first = true;
        loop {
            let piece = left.min(PATH_MTU_BYTES);
            left -= piece;
            let last = left == 0;
            let opcode = Opcode::write(first, last);
            let extension: &[u8] = if first { &header } else { &[] };
            let number =
                self.transmit(from, at, opcode, last, extension, Payload::CutAway(piece))?;
            first = false;
            if last {
                return Ok(number);
            }
        }
    }

    /// The adapter of a side acknowledges what the other sent, up to a packet.
    ///
    /// # Errors
    /// What the output reports.
    pub fn acknowledge(&mut self, by: Side, at: Instant, number: u32) -> io::Result<()> {
        let count = self.acknowledged.of_mut(by);
        *count = count.wrapping_add(1) & SEQUENCE_MASK;
        let [_, m2, m1, m0] = count.to_be_bytes();
        let extension = [SYNDROME_ACKNOWLEDGE, m2, m1, m0];
        let packet = Packet {
            opcode: Opcode::Acknowledge,
            queue_pair: self.nodes.of(by.peer()).queue_pair,
            number,
            udp_source_port: udp_port(by),
            acknowledge: false,
            extension: &extension,
            payload: Payload::Bytes(&[]),
        };
        self.write(by, at, &packet)
    }

    /// Ends the file.
    ///
    /// # Errors
    /// What the output reports.
    pub fn finish(self) -> io::Result<()> {
        self.writer.finish()
    }

    fn manage(&mut self, from: Side, at: Instant, datagram: &Datagram<'_>) -> io::Result<()> {
        let (local, remote) = (self.nodes.of(from), self.nodes.of(from.peer()));
        let payload = management::datagram(datagram, &self.conversation, local, remote);
        let number = self.datagrams.of_mut(from);
        let packet = Packet {
            opcode: Opcode::Management,
            queue_pair: MANAGEMENT_QUEUE_PAIR,
            number: *number & SEQUENCE_MASK,
            udp_source_port: udp_port(from),
            acknowledge: true,
            extension: &management::extension(),
            payload: Payload::Bytes(&payload),
        };
        *number = number.wrapping_add(1);
        self.write(from, at, &packet)
    }

    fn transmit(
        &mut self,
        from: Side,
        at: Instant,
        opcode: Opcode,
        acknowledge: bool,
        extension: &[u8],
        payload: Payload<'_>,
    ) -> io::Result<u32> {
        let next = self.packets.of_mut(from);
        let number = *next;
        *next = number.wrapping_add(1) & SEQUENCE_MASK;
        let queue_pair = self.nodes.of(from.peer()).queue_pair;
        let udp_source_port = udp_port(from);
        let packet =
            Packet { opcode, queue_pair, number, udp_source_port, acknowledge, extension, payload };
        self.write(from, at, &packet)?;
        Ok(number)
    }

    fn write(&mut self, from: Side, at: Instant, packet: &Packet<'_>) -> io::Result<()> {
        let frame = packet.frame(self.nodes.of(from), self.nodes.of(from.peer()));
        let identification = &mut self.nodes.of_mut(from).identification;
        *identification = identification.wrapping_add(1);
        self.writer.packet(at, &frame)
    }
}

const fn udp_port(side: Side) -> u16 {
    match side {
        Side::Source => 0xc001,
        Side::Destination => 0xc002,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Trace<'f> = DialogueTrace<&'f mut Vec<u8>>;

    fn trace(play: impl FnOnce(&mut Trace<'_>) -> io::Result<u32>) -> (Vec<u8>, u32) {
        let mut file = Vec::new();
        let mut trace = DialogueTrace::new(&mut file, "a test").unwrap();
        let last = play(&mut trace).unwrap();
        trace.finish().unwrap();
        (file, last)
    }

    #[test]
    fn a_message_takes_a_packet_for_each_4096_bytes_begun() {
        for (bytes, packets) in [(0, 1), (1, 1), (4096, 1), (4097, 2), (8192, 2), (8193, 3)] {
            let message = vec![7; bytes];
            let (file, last) = trace(|trace| trace.send(Side::Source, Instant::ORIGIN, &message));
            assert_eq!(last + 1 - FIRST_PACKET, packets, "{bytes} bytes");
            assert!(file.iter().filter(|byte| **byte == 7).count() >= bytes);
        }
    }

    #[test]
    fn a_write_has_its_packets_but_not_its_bytes() {
        let write = |trace: &mut Trace<'_>| {
            trace.write_ram(Side::Destination, Instant::ORIGIN, 0x1000, 9, 1 << 20)
        };
        let (file, last) = trace(write);
        assert_eq!(last + 1 - FIRST_PACKET, 256);
        assert!(file.len() < 256 * 128);
        assert_eq!(trace(write), (file, last));
    }

    #[test]
    fn each_side_counts_its_own_packets() {
        let (_, last) = trace(|trace| {
            trace.request(Instant::ORIGIN, &[0; 8])?;
            trace.send(Side::Source, Instant::ORIGIN, &[1])?;
            trace.send(Side::Source, Instant::ORIGIN, &[2])?;
            trace.send(Side::Destination, Instant::ORIGIN, &[3])
        });
        assert_eq!(last, FIRST_PACKET);
    }
}
