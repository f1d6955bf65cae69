"""Control messages, and connections that carry them."""

import struct

import packets
from packets import DESTINATION, DESTINATION_QUEUE_PAIR, SEND_ONLY, SOURCE, SOURCE_QUEUE_PAIR

ERROR, READY, QEMU_FILE, BLOCKS_REQUEST, BLOCKS_RESULT, COMPRESS = range(1, 7)
REGISTER_REQUEST, REGISTER_RESULT, REGISTER_FINISHED, UNREGISTER_REQUEST, UNREGISTER_FINISHED = (
    range(7, 12)
)
NAMES = [
    "NONE",
    "ERROR",
    "READY",
    "QEMU_FILE",
    "RAM_BLOCKS_REQUEST",
    "RAM_BLOCKS_RESULT",
    "COMPRESS",
    "REGISTER_REQUEST",
    "REGISTER_RESULT",
    "REGISTER_FINISHED",
    "UNREGISTER_REQUEST",
    "UNREGISTER_FINISHED",
]

VERSION_1 = struct.pack(">II", 1, 0)


class Dialogue:
    """Frames of one connection, in RoCEv2."""

    def __init__(
        self,
        request=VERSION_1,
        reply=VERSION_1,
        identity=1,
        queue_pairs=(SOURCE_QUEUE_PAIR, DESTINATION_QUEUE_PAIR),
    ):
        self.queue_pairs, self.sent = queue_pairs, {SOURCE: 0xFFFFF0, DESTINATION: 5}
        self.frames = []
        if request is not None:
            self.add(SOURCE, packets.connect_request(request, identity, queue_pairs[0]))
        if reply is not None:
            self.add(DESTINATION, packets.connect_reply(reply, identity, queue_pairs[1]))

    def add(self, sender, packet):
        receiver = DESTINATION if sender == SOURCE else SOURCE
        self.frames.append(packets.roce_v2(sender, receiver, packet))

    def send(self, sender, payload, opcode=SEND_ONLY, sequence_number=None, extension=b""):
        if sequence_number is None:
            sequence_number, self.sent[sender] = self.sent[sender], self.sent[sender] + 1
        queue_pair = self.queue_pairs[1 if sender == SOURCE else 0]
        self.add(sender, packets.transport(opcode, queue_pair, sequence_number, payload, extension))


BLOCKS = struct.pack(">QQQII", 0x7F0000000000, 0x100000, 0x300000, 0, 0)
REGISTER = struct.pack(">QIIQ", 0x100000, 0, 0, 0)
RUN = struct.pack(">IIQQ", 0, 0, 0x100000, 4096)
RESULT = struct.pack(">IIQ", 7, 0, 0x7F0000000000)
