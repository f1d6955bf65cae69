"""Packets of RoCEv2, RoCE and InfiniBand, made and taken apart, and pcap files of them."""

import ipaddress
import struct

SEND_FIRST, SEND_MIDDLE, SEND_LAST, SEND_ONLY = 0x00, 0x01, 0x02, 0x04
WRITE_FIRST, WRITE_MIDDLE, WRITE_LAST, WRITE_ONLY = 0x06, 0x07, 0x08, 0x0A
DATAGRAM = 0x64
CONNECT_REQUEST, CONNECT_REPLY = 0x10, 0x13

ETHERNET, ERF = 1, 197
ERF_INFINIBAND = 21
SOURCE, DESTINATION = "10.0.0.1", "10.0.0.2"
SOURCE_QUEUE_PAIR, DESTINATION_QUEUE_PAIR = 0x21, 0x22


def transport(opcode, queue_pair, sequence_number, payload, extension=b""):
    """From the base transport header to the checksum, which is not computed."""
    pad = -len(payload) % 4
    base = struct.pack(
        ">BBHII", opcode, 0x40 | pad << 4, 0xFFFF, queue_pair, 0x80000000 | sequence_number % 2**24
    )
    return base + extension + payload + bytes(pad) + bytes(4)


def roce_v2(sender, receiver, packet, missing=0):
    """In a UDP datagram in IPv4 in Ethernet."""
    udp = struct.pack(">HHHH", 0xC000, 4791, 8 + len(packet) + missing, 0) + packet
    addresses = ipaddress.ip_address(sender).packed + ipaddress.ip_address(receiver).packed
    ip = (
        struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(udp) + missing, 0, 0x4000, 64, 17, 0)
        + addresses
        + udp
    )
    return bytes.fromhex("525400000002525400000001") + b"\x08\x00" + ip


def roce_v2_ipv6(sender, receiver, packet, missing=0):
    """In a UDP datagram in IPv6 in Ethernet."""
    udp = struct.pack(">HHHH", 0xC000, 4791, 8 + len(packet) + missing, 1) + packet
    ip = (
        struct.pack(">IHBB", 0x60000000, len(udp) + missing, 17, 64)
        + gid(sender)
        + gid(receiver)
        + udp
    )
    return bytes.fromhex("525400000002525400000001") + b"\x86\xdd" + ip


def roce_v1(sender, receiver, packet, missing=0):
    """Behind a global route header in Ethernet."""
    global_header = (
        struct.pack(">IHBB", 0x60000000, len(packet) + missing, 0x1B, 64)
        + gid(sender)
        + gid(receiver)
    )
    return bytes.fromhex("525400000002525400000001") + b"\x89\x15" + global_header + packet


def infiniband(sender, receiver, packet, missing=0):
    """Behind a local route header, with the variant checksum, in a record of ERF, in which captures
    of InfiniBand links are kept."""
    words = (8 + len(packet) + missing) // 4
    link = struct.pack(">BBHHH", 0, 2, lid(receiver), words, lid(sender)) + packet + bytes(2)
    return (
        struct.pack(">QBBHHH", 0, ERF_INFINIBAND, 4, 16 + len(link), 0, len(link) + missing) + link
    )


def gid(address):
    return bytes(10) + b"\xfe\xfe" + ipaddress.ip_address(address).packed


def lid(address):
    return ipaddress.ip_address(address).packed[3]


def management(attribute, data):
    """A datagram to the connection manager."""
    header = struct.pack(">BBBBHHQHHI", 1, 7, 2, 3, 0, 0, 1, attribute, 0, 0)
    queue_pairs = struct.pack(">II", 0x80010000, 1)
    return transport(DATAGRAM, 1, 0, header + data.ljust(232, b"\0"), queue_pairs)


def connect_request(private_data, identity=1, queue_pair=SOURCE_QUEUE_PAIR):
    data = bytearray(140)
    struct.pack_into(">I", data, 0, identity)
    data[8:16] = bytes.fromhex("000000000106115c")
    struct.pack_into(">I", data, 32, queue_pair << 8)
    addressing = b"\0\x40\xd5\xbb" + bytes(12) + ipaddress.ip_address(SOURCE).packed
    addressing += bytes(12) + ipaddress.ip_address(DESTINATION).packed
    return management(CONNECT_REQUEST, bytes(data) + addressing + private_data)


def connect_reply(private_data, identity=1, queue_pair=DESTINATION_QUEUE_PAIR):
    data = bytearray(36)
    struct.pack_into(">II", data, 0, identity + 100, identity)
    struct.pack_into(">I", data, 12, queue_pair << 8)
    return management(CONNECT_REPLY, bytes(data) + private_data)


def message(kind, payload=b"", repeat=1, padding=0, length=None):
    return (
        struct.pack(">IIII", len(payload) if length is None else length, kind, repeat, padding)
        + payload
    )


def write_pcap(path, frames, link=ETHERNET, snap=262144):
    with open(path, "wb") as file:
        file.write(struct.pack("<IHHIIII", 0xA1B2C3D4, 2, 4, 0, 0, snap, link))
        for number, (captured, length) in enumerate(frames):
            captured = captured[:snap]
            file.write(struct.pack("<IIII", number, 0, len(captured), length) + captured)


def whole(frames):
    """Frames with their lengths, none of them cut."""
    return [(frame, len(frame)) for frame in frames]


def read_pcap(path):
    """The frames of a little-endian pcap file, each with the length that it was sent with."""
    with open(path, "rb") as file:
        file.read(24)
        while header := file.read(16):
            _, _, captured, length = struct.unpack("<IIII", header)
            yield file.read(captured), length


class Packet:
    """A packet of a RoCEv2 frame over IPv4, read without any of the dissector's code."""

    def __init__(self, frame, length):
        self.sender, self.receiver = (
            str(ipaddress.ip_address(frame[at : at + 4])) for at in (26, 30)
        )
        self.transport, self.missing = frame[42:], length - len(frame)
        self.opcode, flags = self.transport[0], self.transport[1]
        self.queue_pair = int.from_bytes(self.transport[5:8], "big")
        self.sequence_number = int.from_bytes(self.transport[9:12], "big")
        self.payload = self.transport[12 : len(self.transport) - 4 - (flags >> 4 & 3)]


def messages(path):
    """The control messages of a capture of whole SENDs, in order, without retransmissions."""
    seen, pieces = set(), {}
    for frame, length in read_pcap(path):
        packet = Packet(frame, length)
        direction = packet.receiver, packet.queue_pair
        if packet.opcode not in (SEND_FIRST, SEND_MIDDLE, SEND_LAST, SEND_ONLY):
            continue
        if (direction, packet.sequence_number) in seen:
            continue
        seen.add((direction, packet.sequence_number))
        if packet.opcode in (SEND_FIRST, SEND_ONLY):
            pieces[direction] = b""
        pieces[direction] += packet.payload
        if packet.opcode in (SEND_LAST, SEND_ONLY):
            yield pieces.pop(direction)
