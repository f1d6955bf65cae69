//! The RoCEv2 datagram inside an Ethernet frame.

use std::net::IpAddr;

use etherparse::{IpNumber, LaxNetSlice, LaxSlicedPacket, UdpHeaderSlice};

/// The UDP port of RoCEv2.
pub const ROCE_PORT: u16 = 4791;
const UDP_HEADER_BYTES: usize = 8;

/// What UDP carries from one address to another.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Datagram<'a> {
    /// Who sent it.
    pub source: IpAddr,
    /// Who gets it.
    pub destination: IpAddr,
    /// What was captured of it.
    pub payload: &'a [u8],
    /// Bytes that were sent.
    pub length: usize,
}

/// Why a frame gives no datagram.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum NotRead {
    /// It is not RoCEv2.
    OtherTraffic,
    /// It is a piece of a datagram that IP has cut up; RoCEv2 forbids that.
    IpFragment,
}

/// Looks into an Ethernet frame, through VLAN tags, IPv4 or IPv6 with its extension headers.
///
/// # Errors
/// When there is no RoCEv2 datagram in it, or only a piece of one.
pub fn read_datagram(frame: &[u8]) -> Result<Datagram<'_>, NotRead> {
    let packet = LaxSlicedPacket::from_ethernet(frame).map_err(|_| NotRead::OtherTraffic)?;
    let (source, destination, ip) = match packet.net.ok_or(NotRead::OtherTraffic)? {
        LaxNetSlice::Ipv4(ip) => (
            IpAddr::from(ip.header().source_addr()),
            IpAddr::from(ip.header().destination_addr()),
            ip.payload().clone(),
        ),
        LaxNetSlice::Ipv6(ip) => (
            IpAddr::from(ip.header().source_addr()),
            IpAddr::from(ip.header().destination_addr()),
            ip.payload().clone(),
        ),
        LaxNetSlice::Arp(_) => return Err(NotRead::OtherTraffic),
    };
    if ip.ip_number != IpNumber::UDP {
        return Err(NotRead::OtherTraffic);
    }
    if ip.fragmented {
        return Err(NotRead::IpFragment);
    }
    let udp = UdpHeaderSlice::from_slice(ip.payload).map_err(|_| NotRead::OtherTraffic)?;
    if udp.destination_port() != ROCE_PORT {
        return Err(NotRead::OtherTraffic);
    }
    let length = usize::from(udp.length()).saturating_sub(UDP_HEADER_BYTES);
    let captured = ip.payload.get(UDP_HEADER_BYTES..).unwrap_or_default();
    // Short frames are padded; what lies behind the datagram's own length is not part of it.
    let payload = captured.get(..length).unwrap_or(captured);
    Ok(Datagram { source, destination, payload, length })
}

#[cfg(test)]
mod tests {
    use super::*;
    use etherparse::PacketBuilder;

    fn frame(port: u16, payload: &[u8]) -> Vec<u8> {
        let builder = PacketBuilder::ethernet2([2; 6], [4; 6])
            .ipv4([10, 0, 0, 1], [10, 0, 0, 2], 64)
            .udp(50_000, port);
        let mut frame = Vec::new();
        builder.write(&mut frame, payload).unwrap();
        frame
    }

    #[test]
    fn padding_of_a_short_frame_is_not_part_of_the_datagram() {
        let mut frame = frame(ROCE_PORT, b"abc");
        frame.resize(60, 0);
        let datagram = read_datagram(&frame).unwrap();
        assert_eq!((datagram.payload, datagram.length), (&b"abc"[..], 3));
    }

    #[test]
    fn what_ip_carries_behind_the_datagram_is_not_part_of_it() {
        let mut frame = frame(ROCE_PORT, b"abcdef");
        // The length of UDP, low byte.
        frame[14 + 20 + 5] -= 2;
        let datagram = read_datagram(&frame).unwrap();
        assert_eq!((datagram.payload, datagram.length), (&b"abcd"[..], 4));
    }

    #[test]
    fn a_frame_cut_short_keeps_the_length_that_was_sent() {
        let frame = frame(ROCE_PORT, &[7; 100]);
        let datagram = read_datagram(&frame[..frame.len() - 60]).unwrap();
        assert_eq!((datagram.payload.len(), datagram.length), (40, 100));
    }

    #[test]
    fn other_ports_are_other_traffic() {
        assert_eq!(read_datagram(&frame(4790, b"abc")), Err(NotRead::OtherTraffic));
    }

    #[test]
    fn a_fragment_is_named_as_one() {
        let mut frame = frame(ROCE_PORT, b"abc");
        // More fragments follow.
        frame[14 + 6] |= 0x20;
        assert_eq!(read_datagram(&frame), Err(NotRead::IpFragment));
    }
}
