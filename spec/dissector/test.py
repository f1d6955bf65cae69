#!/usr/bin/env python3
"""test.py RDMA-MIGRATION

Runs tshark with the dissector on the real captures, on traces of the simulator, and on packets made
here, and compares what it says with the captures' README, with `migrate` and with a reading of its own.
"""

import collections
import json
import pathlib
import random
import re
import struct
import subprocess
import sys
import tempfile
import unittest

import packets
from packets import (DESTINATION, DESTINATION_QUEUE_PAIR, SEND_FIRST, SEND_LAST, SEND_MIDDLE, SEND_ONLY, SOURCE,
                     SOURCE_QUEUE_PAIR, WRITE_ONLY, message, whole)

HERE = pathlib.Path(__file__).resolve().parent
SCRIPT = HERE / "qemu_rdma.lua"
DYNAMIC = HERE.parent / "captures/qemu-7.2-dynamic.pcap"
PIN_ALL = HERE.parent / "captures/qemu-7.2-pin-all.pcap"

ERROR, READY, QEMU_FILE, BLOCKS_REQUEST, BLOCKS_RESULT, COMPRESS = range(1, 7)
REGISTER_REQUEST, REGISTER_RESULT, REGISTER_FINISHED, UNREGISTER_REQUEST, UNREGISTER_FINISHED = range(7, 12)
NAMES = ["NONE", "ERROR", "READY", "QEMU_FILE", "RAM_BLOCKS_REQUEST", "RAM_BLOCKS_RESULT", "COMPRESS", "REGISTER_REQUEST",
         "REGISTER_RESULT", "REGISTER_FINISHED", "UNREGISTER_REQUEST", "UNREGISTER_FINISHED"]

# From spec/captures/README.md.
DYNAMIC_COUNTS = {READY: 245, QEMU_FILE: 107, COMPRESS: 95, REGISTER_FINISHED: 35, REGISTER_REQUEST: 7,
                  REGISTER_RESULT: 7, BLOCKS_REQUEST: 1, BLOCKS_RESULT: 1}
PIN_ALL_COUNTS = {READY: 95, QEMU_FILE: 71, REGISTER_FINISHED: 23, BLOCKS_REQUEST: 1, BLOCKS_RESULT: 1}

# Its own name is not there to filter by where its dissection has failed.
RPC_OVER_RDMA = 'frame.protocols contains "rpcordma"'
CLAIMED_BY_OTHERS = f"{RPC_OVER_RDMA} or _ws.malformed"

VERSION_1 = struct.pack(">II", 1, 0)


def tshark(capture, *options):
    """What tshark prints. That it fails, or prints a Lua error anywhere, is an error here."""
    command = ["tshark", "-X", f"lua_script:{SCRIPT}", "-r", str(capture), *options]
    result = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    complaints = [line for line in (result.stdout + result.stderr).splitlines() if re.search("lua.*error", line, re.I)]
    if result.returncode or complaints:
        raise AssertionError(f"{command}: {result.returncode}\n{sorted(set(complaints))}\n{result.stderr[-2000:]}")
    return result.stdout


def lines(capture, display_filter, *options):
    return tshark(capture, "-Y", display_filter, *options).splitlines()


def rows(capture, display_filter, *fields, options=()):
    """The fields of the frames that the filter finds, each a list of its values."""
    arguments = [argument for field in fields for argument in ("-e", field)]
    found = lines(capture, display_filter, *options, "-T", "fields", "-E", "occurrence=a", "-E", "aggregator=,", *arguments)
    return [[value.split(",") if value else [] for value in line.split("\t")] for line in found]


def kinds(capture, *options):
    found = rows(capture, "qemu_rdma.type", "qemu_rdma.type", options=options)
    return collections.Counter(int(kind) for [[kind]] in found)


def numbers(values):
    return [int(value, 0) for value in values]


class Folder(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def capture(self, frames, **options):
        path = self.folder / "made.pcap"
        packets.write_pcap(path, frames, **options)
        return path


class RealCaptures(Folder):
    def test_the_kinds_are_as_many_as_the_captures_readme_says(self):
        self.assertEqual(kinds(DYNAMIC), DYNAMIC_COUNTS)
        self.assertEqual(kinds(PIN_ALL), PIN_ALL_COUNTS)

    def test_retransmissions_and_writes_are_counted_apart(self):
        for capture, retransmissions, writes in (DYNAMIC, 4, 10), (PIN_ALL, 1, 93):
            self.assertEqual(len(lines(capture, "qemu_rdma.retransmission")), retransmissions)
            self.assertEqual(len(lines(capture, "qemu_rdma.write.length")), writes)
            self.assertEqual(len(lines(capture, "qemu_rdma.write.block")), writes)

    def test_the_second_pass_finds_the_same(self):
        self.assertEqual(kinds(DYNAMIC, "-2"), DYNAMIC_COUNTS)
        self.assertEqual(kinds(PIN_ALL, "-2"), PIN_ALL_COUNTS)

    def test_the_seven_register_requests_are_found_with_their_fields(self):
        found = lines(DYNAMIC, "qemu_rdma.type == 7")
        self.assertEqual(len(found), 7)
        fields = ["address", "block", "chunks"]
        found = rows(DYNAMIC, "qemu_rdma.type == 7", *(f"qemu_rdma.register.{field}" for field in fields))
        expected = self.bodies(DYNAMIC, REGISTER_REQUEST, ">QI4xQ")
        self.assertEqual([tuple(int(value, 0) for [value] in row) for row in found], expected)

    def test_other_payloads_are_decoded_as_python_decodes_them(self):
        for kind, layout, fields in [
            (REGISTER_RESULT, ">I4xQ", ["result.rkey", "result.host_address"]),
            (COMPRESS, ">IIQQ", ["compress.value", "compress.block", "compress.offset", "compress.length"]),
        ]:
            found = rows(DYNAMIC, f"qemu_rdma.type == {kind}", *(f"qemu_rdma.{field}" for field in fields))
            self.assertEqual([tuple(int(value, 0) for [value] in row) for row in found], self.bodies(DYNAMIC, kind, layout))
        for capture in DYNAMIC, PIN_ALL:
            fields = ["remote_address", "offset", "length", "rkey"]
            [row] = rows(capture, "qemu_rdma.type == 5", *(f"qemu_rdma.block.{field}" for field in fields))
            [table] = [data[16:] for data in packets.messages(capture) if data[7] == BLOCKS_RESULT]
            expected = list(struct.iter_unpack(">QQQI4x", table))
            self.assertEqual(len(expected), 6)
            self.assertEqual(list(zip(*map(numbers, row))), expected)

    def bodies(self, capture, kind, layout):
        found = [struct.unpack(layout, data[16:]) for data in packets.messages(capture) if data[7] == kind]
        self.assertGreater(len(found), 0)
        return found

    def test_the_stream_is_put_together_byte_for_byte(self):
        for capture in DYNAMIC, PIN_ALL:
            expected = [data[16:] for data in packets.messages(capture) if data[7] == QEMU_FILE]
            self.assertTrue(expected[0].startswith(b"QEVM"))
            self.assertEqual(max(map(len, expected)), 32768)
            found = rows(capture, "qemu_rdma.type == 3", "qemu_rdma.stream")
            self.assertEqual([bytes.fromhex(value.replace(":", "")) for [[value]] in found], expected)

    def test_pieces_and_messages_name_one_another(self):
        pieces = rows(DYNAMIC, "qemu_rdma.reassembled_in", "frame.number", "qemu_rdma.reassembled_in", options=["-2"])
        messages = rows(DYNAMIC, "qemu_rdma.piece", "frame.number", "qemu_rdma.piece", options=["-2"])
        self.assertEqual(len(messages), 4)
        by_message = collections.defaultdict(list)
        for [[piece], [message]] in pieces:
            by_message[message].append(piece)
        # The last piece is the frame of the message itself.
        self.assertEqual({frame: listed[:-1] for [[frame], listed] in messages}, by_message)

    def test_the_sides_are_told_apart(self):
        for side, host in ("source", SOURCE), ("destination", DESTINATION):
            frames = rows(DYNAMIC, f'qemu_rdma.type and qemu_rdma.from == "{side}"', "ip.src")
            self.assertEqual({address for [[address]] in frames}, {host})
        self.assertEqual(len(lines(DYNAMIC, "qemu_rdma.type and not qemu_rdma.from")), 0)

    def test_capabilities_are_decoded(self):
        for capture, pin_all in (DYNAMIC, "0"), (PIN_ALL, "1"):
            found = rows(capture, "qemu_rdma.version", "qemu_rdma.version", "qemu_rdma.flags", "qemu_rdma.flags.pin_all",
                         "qemu_rdma.from")
            flags = f"0x0000000{pin_all}"
            self.assertEqual(found, [[["1"], [flags], [pin_all], ["source"]], [["1"], [flags], [pin_all], ["destination"]]])

    def test_the_heuristic_of_rpc_over_rdma_takes_nothing(self):
        for capture in DYNAMIC, PIN_ALL:
            self.assertEqual(lines(capture, CLAIMED_BY_OTHERS), [])
            plain = subprocess.run(["tshark", "-r", str(capture), "-Y", CLAIMED_BY_OTHERS], capture_output=True, text=True, check=True)
            self.assertNotEqual(plain.stdout, "", "without the dissector it takes some, or this test shows nothing")

    def test_nothing_in_them_is_malformed(self):
        for capture in DYNAMIC, PIN_ALL:
            self.assertEqual(lines(capture, "qemu_rdma and _ws.expert.severity >= 0x600000"), [])
            tshark(capture, "-V")

    def test_chunks_follow_from_the_blocks(self):
        found = rows(DYNAMIC, "qemu_rdma.write.length", "qemu_rdma.write.block", "qemu_rdma.chunk", "qemu_rdma.write.rkey")
        keys = {(block, chunk): key for [[block], [chunk], [key]] in found}
        requests = rows(DYNAMIC, "qemu_rdma.type == 7", "qemu_rdma.register.block", "qemu_rdma.chunk")
        results = rows(DYNAMIC, "qemu_rdma.type == 8", "qemu_rdma.result.rkey", "qemu_rdma.result.block")
        granted = {(block, chunk): key for ([block], [chunk]), ([key], _) in zip(requests, results)}
        self.assertEqual(granted, keys)
        self.assertEqual([block for [[block], _] in requests], [block for [_, [block]] in results])


class ChangedCaptures(Folder):
    """The real captures, with other things around what they carry."""

    def rewritten(self, capture, envelope, keep=lambda packet: True, link=packets.ETHERNET):
        frames = []
        for frame, length in packets.read_pcap(capture):
            packet = packets.Packet(frame, length)
            if keep(packet):
                made = envelope(packet.sender, packet.receiver, packet.transport)
                frames.append((made, len(made) + packet.cut))
        return self.capture(frames, link=link)

    def test_other_links_carry_the_same(self):
        # The lengths in the outer headers are those of what was captured: packets that were cut are left out.
        for envelope, link in [(packets.infiniband, packets.ERF), (packets.roce_v1, packets.ETHERNET),
                               (packets.roce_v2_ipv6, packets.ETHERNET), (packets.roce_v2, packets.ETHERNET)]:
            for capture, counts in (DYNAMIC, DYNAMIC_COUNTS), (PIN_ALL, PIN_ALL_COUNTS):
                with self.subTest(link=envelope.__name__, capture=capture.name):
                    made = self.rewritten(capture, envelope, lambda packet: not packet.cut, link)
                    self.assertEqual(kinds(made), counts)
                    self.assertEqual(len(lines(made, "qemu_rdma.version")), 2)
                    self.assertEqual(lines(made, CLAIMED_BY_OTHERS), [])
                    self.assertEqual(lines(made, "qemu_rdma.type and not qemu_rdma.from"), [])

    def test_a_capture_that_begins_after_the_connection_reads_the_same(self):
        for capture, counts in (DYNAMIC, DYNAMIC_COUNTS), (PIN_ALL, PIN_ALL_COUNTS):
            frames = list(packets.read_pcap(capture))[3:]
            made = self.capture(frames)
            self.assertEqual(kinds(made), counts)
            self.assertEqual(lines(made, CLAIMED_BY_OTHERS), [])
            self.assertEqual(lines(made, "qemu_rdma.type and not qemu_rdma.from"), [])
            writes = lines(made, "qemu_rdma.write.block")
            self.assertEqual(len(writes), {DYNAMIC: 10, PIN_ALL: 93}[capture])

    def test_a_capture_of_headers_counts_the_same(self):
        for snap in 74, 90, 200:
            made = self.capture(packets.read_pcap(DYNAMIC), snap=snap)
            self.assertEqual(kinds(made), DYNAMIC_COUNTS)
            self.assertGreater(len(lines(made, "qemu_rdma.type == 3 and qemu_rdma.expert.truncated")), 0)
            self.assertEqual(lines(made, RPC_OVER_RDMA), [])

    def test_a_capture_cut_anywhere_raises_nothing(self):
        frames = list(packets.read_pcap(DYNAMIC))
        frames = frames[:40] + [frame for frame in frames[40:] if frame[1] < 1000][:60] + frames[-40:]
        for snap in [*range(40, 78), *range(78, 130, 7)]:
            tshark(self.capture(frames, snap=snap), "-V")


class Simulator(Folder):
    command = None

    def test_the_simulator_counts_the_same(self):
        if self.command is None:
            self.fail("the command rdma-migration is missing: test.py RDMA-MIGRATION")
        for mode in [], ["--pin-all"]:
            trace = self.folder / "trace.pcapng"
            migrate = [self.command, "migrate", "--guest-memory", "32MiB", *mode, "--trace", trace, "--format", "json"]
            report = json.loads(subprocess.run(migrate, capture_output=True, check=True).stdout)
            names = {name.upper().replace("-", "_"): count for name, count in report["control_messages"].items()}
            found = {NAMES[kind]: count for kind, count in kinds(trace).items()}
            self.assertGreater(sum(found.values()), 20)
            self.assertEqual(found, names)
            self.assertEqual(len(lines(trace, "qemu_rdma.write.block")), report["writes"])
            lengths = rows(trace, "qemu_rdma.write.length", "qemu_rdma.write.length")
            self.assertEqual(sum(int(length) for [[length]] in lengths), report["bytes_written"])
            self.assertEqual(lines(trace, CLAIMED_BY_OTHERS), [])
            self.assertEqual(lines(trace, "qemu_rdma and _ws.expert.severity >= 0x600000"), [])


class Dialogue:
    """Frames of one connection, in RoCEv2."""

    def __init__(self, request=VERSION_1, reply=VERSION_1, identity=1, queue_pairs=(SOURCE_QUEUE_PAIR, DESTINATION_QUEUE_PAIR)):
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

    def test_a_write_is_resolved_to_block_and_chunk(self):
        dialogue = Dialogue()
        dialogue.send(DESTINATION, message(BLOCKS_RESULT, BLOCKS))
        dialogue.send(SOURCE, bytes(16), WRITE_ONLY, extension=struct.pack(">QII", 0x7F0000200000, 7, 16))
        dialogue.send(SOURCE, bytes(16), WRITE_ONLY, extension=struct.pack(">QII", 0x7F00002FFFF8, 7, 16))
        *_, inside, outside = self.experts(dialogue.frames)
        self.assertEqual((inside, outside), (set(), {"place"}))
        found = rows(self.capture(whole(dialogue.frames)), "qemu_rdma.write.length", "qemu_rdma.write.block", "qemu_rdma.chunk")
        self.assertEqual(found, [[["0"], ["2"]], [[], []]])

    def test_pieces_in_any_order_and_sent_again_are_one_message(self):
        data = message(QEMU_FILE, bytes(range(250)))
        cut = [(SEND_FIRST, data[:100], 0xFFFFFF), (SEND_MIDDLE, data[100:200], 0x1000000), (SEND_LAST, data[200:], 0x1000001)]
        for order, again in ([0, 1, 2], 0), ([0, 1, 1, 2, 2, 0], 3), ([0, 2, 1, 2], 1), ([2, 1, 0], 0), ([0, 0, 1, 0, 1, 2], 3):
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
            dialogue = Dialogue(*chance.choice([(VERSION_1, VERSION_1), (VERSION_1, None), (None, VERSION_1), (None, None)]))
            dialogue.send(DESTINATION, message(BLOCKS_RESULT, BLOCKS))
            for _ in range(150):
                payload = chance.randbytes(chance.choice([0, 3, 8, 24, 25, 48, 100]))
                length = chance.choice([None, None, 0, 24, 2**32 - 1])
                payload = message(chance.randrange(13), payload, chance.choice([0, 1, 2, 4097]), length=length)
                if chance.random() < 0.2:
                    payload = chance.randbytes(chance.randrange(40))
                opcode = chance.choice([SEND_ONLY] * 8 + list(range(0, 24)))
                extension = chance.randbytes(16) if opcode in (6, 10) else b""
                dialogue.send(chance.choice([SOURCE, DESTINATION]), payload, opcode, extension=extension)
            frames = [(frame[: chance.choice([len(frame), len(frame), chance.randrange(len(frame))])], len(frame))
                      for frame in dialogue.frames]
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


class OtherTraffic(Folder):
    # RPC over RDMA: an identifier, version 1, credits, RDMA_DONE.
    RPC = struct.pack(">IIIII", 0x12345678, 1, 32, 3, 0)

    def test_traffic_of_others_is_left_to_them(self):
        other = Dialogue(request=b"\xf6\xab\x0e\x18\1\0\0\0", reply=b"")
        other.send(SOURCE, self.RPC)
        other.send(SOURCE, message(READY)[:15] + b"\1")
        other.send(SOURCE, message(77, bytes(8)))
        other.send(SOURCE, message(QEMU_FILE, bytes(8), length=9))
        other.send(SOURCE, message(REGISTER_REQUEST, REGISTER, repeat=2))
        other.send(DESTINATION, message(0))
        made = self.capture(whole(other.frames))
        self.assertEqual(lines(made, "qemu_rdma"), [])
        self.assertEqual(len(lines(made, RPC_OVER_RDMA)), 1)

    def test_a_queue_pair_used_again_by_others_is_theirs(self):
        first, second = Dialogue(), Dialogue(request=b"", reply=b"", identity=2)
        first.send(SOURCE, message(77, bytes(8)))
        second.send(SOURCE, message(77, bytes(8)))
        second.send(DESTINATION, message(77, bytes(8)))
        made = self.capture(whole(first.frames + second.frames))
        self.assertEqual(rows(made, "qemu_rdma.type", "frame.number"), [[["3"]]])

    def test_a_migration_between_packets_of_others_is_found_whole(self):
        # Whoever has claimed a packet is asked first for the next one: after each packet of RPC over RDMA, its
        # heuristic stands before ours.
        rpc = Dialogue(request=None, reply=None, queue_pairs=(0x31, 0x32))
        rpc.send(SOURCE, self.RPC)
        frames = list(packets.read_pcap(DYNAMIC))
        mixed = [frame for pair in zip(frames, whole(rpc.frames) * len(frames)) for frame in pair]
        made = self.capture(mixed)
        self.assertEqual(kinds(made), DYNAMIC_COUNTS)
        self.assertEqual(kinds(made, "-2"), DYNAMIC_COUNTS)
        self.assertGreaterEqual(len(lines(made, RPC_OVER_RDMA)), len(frames))
        claimed = lines(made, f"qemu_rdma and {RPC_OVER_RDMA}")
        self.assertTrue(all("QEMU RDMA" in line for line in claimed))

    def test_two_migrations_at_once_are_kept_apart(self):
        one, two = Dialogue(), Dialogue(identity=2, queue_pairs=(0x31, 0x32))
        one.send(DESTINATION, message(BLOCKS_RESULT, BLOCKS))
        two.send(DESTINATION, message(BLOCKS_RESULT, BLOCKS * 2))
        far = struct.pack(">QIIQ", 0x100000, 1, 0, 0)
        one.send(SOURCE, message(REGISTER_REQUEST, far))
        two.send(SOURCE, message(REGISTER_REQUEST, far))
        made = self.capture(whole(one.frames[:2] + two.frames[:2] + one.frames[2:] + two.frames[2:]))
        found = rows(made, "qemu_rdma.type == 7", "frame.number", "qemu_rdma.expert.place", "qemu_rdma.chunk")
        self.assertEqual([(number, bool(place), chunk) for [number], place, chunk in found],
                         [("6", True, []), ("8", False, ["0"])])


if __name__ == "__main__":
    if len(sys.argv) > 1 and not sys.argv[1].startswith("-") and pathlib.Path(sys.argv[1]).is_file():
        Simulator.command = pathlib.Path(sys.argv.pop(1)).resolve()
    unittest.main()
