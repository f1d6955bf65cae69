"""Messages made here, good and malformed ones, and arbitrary bytes."""

import random
import re
import struct

import packets
from packets import (
    DESTINATION,
    SEND_FIRST,
    SEND_LAST,
    SEND_MIDDLE,
    SEND_ONLY,
    SOURCE,
    WRITE_ONLY,
    message,
    whole,
)
from dialogue import (
    BLOCKS,
    BLOCKS_REQUEST,
    BLOCKS_RESULT,
    COMPRESS,
    Dialogue,
    ERROR,
    QEMU_FILE,
    READY,
    REGISTER,
    REGISTER_FINISHED,
    REGISTER_REQUEST,
    REGISTER_RESULT,
    RESULT,
    RUN,
    UNREGISTER_FINISHED,
    UNREGISTER_REQUEST,
    VERSION_1,
)
from tshark import Folder, SCRIPT, kinds, lines, rows, tshark

# What is sent, by whom, and the one piece of expert information that it shall give.
MALFORMED = [
    ("header", SOURCE, b"\0\0\0\0\0\0\0\2\0\0"),
    ("header", SOURCE, b""),
    ("length", SOURCE, message(QEMU_FILE, b"abcd", length=5)),
    ("length", SOURCE, message(REGISTER_REQUEST, REGISTER[:20], length=24)),
    ("too_long", SOURCE, message(QEMU_FILE, bytes(4), length=524273)),
    ("type", SOURCE, message(12)),
    ("type", SOURCE, message(0x01000000, bytes(100))),
    ("repeat", SOURCE, message(REGISTER_REQUEST, repeat=0)),
    ("repeat", SOURCE, message(COMPRESS, RUN * 20, repeat=5000)),
    ("repeat", DESTINATION, message(REGISTER_RESULT, RESULT, repeat=0)),
    ("payload", DESTINATION, message(READY, bytes(4))),
    ("payload", SOURCE, message(QEMU_FILE)),
    ("payload", DESTINATION, message(BLOCKS_RESULT, BLOCKS + bytes(8))),
    ("payload", SOURCE, message(REGISTER_REQUEST, REGISTER, repeat=2)),
    ("payload", SOURCE, message(UNREGISTER_REQUEST, REGISTER + bytes(1))),
    ("payload", DESTINATION, message(REGISTER_RESULT, RESULT * 2, repeat=3)),
    ("unsaid", DESTINATION, message(READY, repeat=3)),
    ("none", SOURCE, message(0)),
    ("padding", DESTINATION, message(READY, padding=1)),
    ("padding", SOURCE, message(REGISTER_REQUEST, REGISTER[:12] + b"\x7f\x56\0\0" + REGISTER[16:])),
    ("padding", DESTINATION, message(REGISTER_RESULT, RESULT[:4] + b"\0\0\0\1" + RESULT[8:])),
    ("key", DESTINATION, message(REGISTER_RESULT, bytes(4) + RESULT[4:])),
    ("value", SOURCE, message(COMPRESS, b"\0\0\0\1" + RUN[4:])),
    ("place", SOURCE, message(COMPRESS, RUN[:16] + bytes(8))),
    ("place", SOURCE, message(COMPRESS, RUN[:4] + b"\0\0\0\1" + RUN[8:])),
    ("place", SOURCE, message(COMPRESS, RUN[:16] + struct.pack(">Q", 0x300001))),
    ("place", SOURCE, message(REGISTER_REQUEST, struct.pack(">QIIQ", 0xFFFFF, 0, 0, 0))),
    ("place", SOURCE, message(REGISTER_REQUEST, struct.pack(">QIIQ", 0x400000, 0, 0, 0))),
    ("place", SOURCE, message(REGISTER_REQUEST, struct.pack(">QIIQ", 0x1FFFFF, 0, 0, 3))),
    ("place", SOURCE, message(REGISTER_REQUEST, struct.pack(">QIIQ", 0x200000, 0, 0, 2))),
]

# Good ones, after which nothing may be complained of.
GOOD = [
    (DESTINATION, message(READY)),
    (SOURCE, message(ERROR)),
    (SOURCE, message(QEMU_FILE, b"abc", repeat=0)),
    (SOURCE, message(QEMU_FILE, b"abc", repeat=3638950032)),
    (SOURCE, message(BLOCKS_REQUEST)),
    (DESTINATION, message(BLOCKS_RESULT)),
    (DESTINATION, message(BLOCKS_RESULT, BLOCKS)),
    (SOURCE, message(COMPRESS, RUN * 100, repeat=100)),
    (SOURCE, message(REGISTER_REQUEST, REGISTER * 2, repeat=2)),
    (DESTINATION, message(REGISTER_RESULT, RESULT, repeat=2)),
    (DESTINATION, message(REGISTER_RESULT, RESULT * 2, repeat=2)),
    (SOURCE, message(REGISTER_REQUEST, struct.pack(">QIIQ", 0x3FFFFF, 0, 0, 0))),
    (SOURCE, message(REGISTER_REQUEST, struct.pack(">QIIQ", 0x1FFFFF, 0, 0, 2))),
    (SOURCE, message(REGISTER_FINISHED)),
    (SOURCE, message(UNREGISTER_REQUEST, REGISTER)),
    (DESTINATION, message(UNREGISTER_FINISHED, repeat=9)),
]


class MadePackets(Folder):
    def experts(self, frames):
        """By frame number: the names of the expert information."""
        capture = self.capture(whole(frames))
        tshark(capture, "-V")
        known = re.findall(r'^  (\w+) = expert_info\("(\w+)"', SCRIPT.read_text(), re.M)
        names = [name for _, name in known]
        self.assertGreater(len(names), 10)
        found = rows(capture, "frame", *(f"qemu_rdma.expert.{name}" for name in names))
        return [{name for name, values in zip(names, row) if values} for row in found]

    def test_each_malformed_message_is_complained_of(self):
        frames = []
        for number, (_, sender, payload) in enumerate(MALFORMED):
            dialogue = Dialogue(identity=number, queue_pairs=(0x1000 + number, 0x2000 + number))
            dialogue.send(DESTINATION, message(BLOCKS_RESULT, BLOCKS))
            dialogue.send(sender, payload)
            frames += dialogue.frames
        found = self.experts(frames)
        for number, (name, _, payload) in enumerate(MALFORMED):
            with self.subTest(name=name, payload=payload[:60]):
                *before, last = found[4 * number : 4 * number + 4]
                self.assertEqual(before, [set()] * 3)
                self.assertIn(name, last)

    def test_good_messages_are_not_complained_of(self):
        dialogue = Dialogue()
        for sender, payload in GOOD:
            dialogue.send(sender, payload)
        self.assertEqual(self.experts(dialogue.frames), [set()] * (len(GOOD) + 2))
        found = rows(self.capture(whole(dialogue.frames)), "qemu_rdma.type", "qemu_rdma.type")
        self.assertEqual(found, [[[str(payload[7])]] for _, payload in GOOD])

    def test_capabilities_that_do_not_belong_are_complained_of(self):
        for request, reply, expected in [
            ((1, 1), (1, 1), [set(), set()]),
            ((1, 0xFFFFFFFE), (1, 0), [{"flags"}, set()]),
            ((1, 1), (1, 0), [set(), {"flags"}]),
            ((1, 0), (1, 1), [set(), {"flags"}]),
            ((2, 1), (1, 1), [{"version"}, set()]),
            ((1, 0), (99, 0), [set(), {"version"}]),
        ]:
            dialogue = Dialogue(struct.pack(">II", *request), struct.pack(">II", *reply))
            self.assertEqual(self.experts(dialogue.frames), expected, (request, reply))

    def test_a_connection_is_known_from_its_making(self):
        # By their content nobody would take these for control messages.
        dialogue = Dialogue()
        dialogue.send(DESTINATION, message(77, bytes(8), length=9))
        dialogue.send(SOURCE, message(77, bytes(8), length=9))
        capture = self.capture(whole(dialogue.frames))
        found = rows(capture, "qemu_rdma.type", "qemu_rdma.type", "qemu_rdma.from")
        self.assertEqual(found, [[["77"], ["destination"]], [["77"], ["source"]]])

    def test_a_write_is_resolved_to_block_and_chunk(self):
        dialogue = Dialogue()
        dialogue.send(DESTINATION, message(BLOCKS_RESULT, BLOCKS))
        dialogue.send(
            SOURCE, bytes(16), WRITE_ONLY, extension=struct.pack(">QII", 0x7F0000200000, 7, 16)
        )
        dialogue.send(
            SOURCE, bytes(16), WRITE_ONLY, extension=struct.pack(">QII", 0x7F00002FFFF8, 7, 16)
        )
        *_, inside, outside = self.experts(dialogue.frames)
        self.assertEqual((inside, outside), (set(), {"place"}))
        found = rows(
            self.capture(whole(dialogue.frames)),
            "qemu_rdma.write.length",
            "qemu_rdma.write.block",
            "qemu_rdma.chunk",
        )
        self.assertEqual(found, [[["0"], ["2"]], [[], []]])

    def test_pieces_in_any_order_and_sent_again_are_one_message(self):
        data = message(QEMU_FILE, bytes(range(250)))
        cut = [
            (SEND_FIRST, data[:100], 0xFFFFFF),
            (SEND_MIDDLE, data[100:200], 0x1000000),
            (SEND_LAST, data[200:], 0x1000001),
        ]
        for order, again in (
            ([0, 1, 2], 0),
            ([0, 1, 1, 2, 2, 0], 3),
            ([0, 2, 1, 2], 1),
            ([2, 1, 0], 0),
            ([0, 0, 1, 0, 1, 2], 3),
        ):
            dialogue = Dialogue()
            dialogue.send(DESTINATION, message(READY))
            for number in order:
                opcode, payload, sequence_number = cut[number]
                dialogue.send(SOURCE, payload, opcode, sequence_number)
            dialogue.send(SOURCE, message(ERROR), sequence_number=0x1000002)
            made = self.capture(whole(dialogue.frames))
            self.assertEqual(kinds(made), {READY: 1, QEMU_FILE: 1, ERROR: 1}, order)
            [[[stream]]] = rows(made, "qemu_rdma.type == 3", "qemu_rdma.stream")
            self.assertEqual(bytes.fromhex(stream.replace(":", "")), data[16:])
            self.assertEqual(len(lines(made, "qemu_rdma.retransmission")), again)

    def test_a_message_without_its_beginning_is_not_made_up(self):
        dialogue = Dialogue()
        dialogue.send(SOURCE, message(QEMU_FILE, bytes(300))[100:200], SEND_MIDDLE)
        dialogue.send(SOURCE, message(QEMU_FILE, bytes(300))[200:], SEND_LAST)
        self.assertEqual(self.experts(dialogue.frames)[2:], [set(), {"incomplete"}])
        self.assertEqual(kinds(self.capture(whole(dialogue.frames))), {})

    def test_arbitrary_bytes_raise_nothing(self):
        chance, decoded = random.Random(7), 0
        for _ in range(10):
            dialogue = Dialogue(
                *chance.choice(
                    [(VERSION_1, VERSION_1), (VERSION_1, None), (None, VERSION_1), (None, None)]
                )
            )
            dialogue.send(DESTINATION, message(BLOCKS_RESULT, BLOCKS))
            for _ in range(150):
                payload = chance.randbytes(chance.choice([0, 3, 8, 24, 25, 48, 100]))
                length = chance.choice([None, None, 0, 24, 2**32 - 1])
                payload = message(
                    chance.randrange(13), payload, chance.choice([0, 1, 2, 4097]), length=length
                )
                if chance.random() < 0.2:
                    payload = chance.randbytes(chance.randrange(40))
                opcode = chance.choice([SEND_ONLY] * 8 + list(range(0, 24)))
                extension = chance.randbytes(16) if opcode in (6, 10) else b""
                dialogue.send(
                    chance.choice([SOURCE, DESTINATION]), payload, opcode, extension=extension
                )
            frames = [
                (
                    frame[: chance.choice([len(frame), len(frame), chance.randrange(len(frame))])],
                    len(frame),
                )
                for frame in dialogue.frames
            ]
            capture = self.capture(frames)
            tshark(capture, "-V")
            tshark(capture, "-V", "-2")
            decoded += len(lines(capture, "qemu_rdma.type"))
        self.assertGreater(decoded, 150)

    def test_private_data_of_any_length_raise_nothing(self):
        chance = random.Random(8)
        frames = []
        for _ in range(200):
            for connect in packets.connect_request, packets.connect_reply:
                data = chance.choice([VERSION_1, b"\0\0\0\1", b"", chance.randbytes(9)])
                packet = connect(data, chance.randrange(4), chance.randrange(4) + 16)
                frames.append(packets.roce_v2(*chance.sample([SOURCE, DESTINATION], 2), packet))
        cut = [(frame[: chance.randrange(80, len(frame) + 1)], len(frame)) for frame in frames]
        for made in whole(frames), cut:
            tshark(self.capture(made), "-V")
