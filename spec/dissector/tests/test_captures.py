"""Real captures, as they are and changed."""

import collections
import struct
import subprocess

import packets
from packets import DESTINATION, SOURCE
from dialogue import BLOCKS_RESULT, COMPRESS, QEMU_FILE, REGISTER_REQUEST, REGISTER_RESULT
from tshark import CLAIMED_BY_OTHERS, Folder, RPC_OVER_RDMA, kinds, lines, numbers, rows, tshark
from captures import DYNAMIC, DYNAMIC_COUNTS, PIN_ALL, PIN_ALL_COUNTS


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
        found = rows(
            DYNAMIC, "qemu_rdma.type == 7", *(f"qemu_rdma.register.{field}" for field in fields)
        )
        expected = self.bodies(DYNAMIC, REGISTER_REQUEST, ">QI4xQ")
        self.assertEqual([tuple(int(value, 0) for [value] in row) for row in found], expected)

    def test_other_payloads_are_decoded_as_python_decodes_them(self):
        for kind, layout, fields in [
            (REGISTER_RESULT, ">I4xQ", ["result.rkey", "result.host_address"]),
            (
                COMPRESS,
                ">IIQQ",
                ["compress.value", "compress.block", "compress.offset", "compress.length"],
            ),
        ]:
            found = rows(
                DYNAMIC, f"qemu_rdma.type == {kind}", *(f"qemu_rdma.{field}" for field in fields)
            )
            self.assertEqual(
                [tuple(int(value, 0) for [value] in row) for row in found],
                self.bodies(DYNAMIC, kind, layout),
            )
        for capture in DYNAMIC, PIN_ALL:
            fields = ["remote_address", "offset", "length", "rkey"]
            [row] = rows(
                capture, "qemu_rdma.type == 5", *(f"qemu_rdma.block.{field}" for field in fields)
            )
            [table] = [data[16:] for data in packets.messages(capture) if data[7] == BLOCKS_RESULT]
            expected = list(struct.iter_unpack(">QQQI4x", table))
            self.assertEqual(len(expected), 6)
            self.assertEqual(list(zip(*map(numbers, row))), expected)

    def bodies(self, capture, kind, layout):
        found = [
            struct.unpack(layout, data[16:])
            for data in packets.messages(capture)
            if data[7] == kind
        ]
        self.assertGreater(len(found), 0)
        return found

    def test_the_stream_is_put_together_byte_for_byte(self):
        for capture in DYNAMIC, PIN_ALL:
            expected = [data[16:] for data in packets.messages(capture) if data[7] == QEMU_FILE]
            self.assertTrue(expected[0].startswith(b"QEVM"))
            self.assertEqual(max(map(len, expected)), 32768)
            found = rows(capture, "qemu_rdma.type == 3", "qemu_rdma.stream")
            self.assertEqual(
                [bytes.fromhex(value.replace(":", "")) for [[value]] in found], expected
            )

    def test_pieces_and_messages_name_one_another(self):
        pieces = rows(
            DYNAMIC,
            "qemu_rdma.reassembled_in",
            "frame.number",
            "qemu_rdma.reassembled_in",
            options=["-2"],
        )
        messages = rows(
            DYNAMIC, "qemu_rdma.piece", "frame.number", "qemu_rdma.piece", options=["-2"]
        )
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
            found = rows(
                capture,
                "qemu_rdma.version",
                "qemu_rdma.version",
                "qemu_rdma.flags",
                "qemu_rdma.flags.pin_all",
                "qemu_rdma.from",
            )
            flags = f"0x0000000{pin_all}"
            self.assertEqual(
                found,
                [
                    [["1"], [flags], [pin_all], ["source"]],
                    [["1"], [flags], [pin_all], ["destination"]],
                ],
            )

    def test_the_heuristic_of_rpc_over_rdma_takes_nothing(self):
        for capture in DYNAMIC, PIN_ALL:
            self.assertEqual(lines(capture, CLAIMED_BY_OTHERS), [])
            plain = subprocess.run(
                ["tshark", "-r", str(capture), "-Y", CLAIMED_BY_OTHERS],
                capture_output=True,
                text=True,
                check=True,
            )
            self.assertNotEqual(
                plain.stdout, "", "without the dissector it takes some, or this test shows nothing"
            )

    def test_nothing_in_them_is_malformed(self):
        for capture in DYNAMIC, PIN_ALL:
            complaints = "qemu_rdma and _ws.expert and not qemu_rdma.expert.retransmission"
            self.assertEqual(lines(capture, complaints), [])
            tshark(capture, "-V")

    def test_chunks_are_as_large_as_the_preference_says(self):
        request = "frame.number == 964", "qemu_rdma.chunk"
        self.assertEqual(rows(DYNAMIC, *request), [[["47"]]])
        options = ["-o", "qemu_rdma.chunk_mebibytes:4"]
        self.assertEqual(rows(DYNAMIC, *request, options=options), [[["11"]]])

    def test_chunks_follow_from_the_blocks(self):
        found = rows(
            DYNAMIC,
            "qemu_rdma.write.length",
            "qemu_rdma.write.block",
            "qemu_rdma.chunk",
            "qemu_rdma.write.rkey",
        )
        keys = {(block, chunk): key for [[block], [chunk], [key]] in found}
        requests = rows(
            DYNAMIC, "qemu_rdma.type == 7", "qemu_rdma.register.block", "qemu_rdma.chunk"
        )
        results = rows(
            DYNAMIC, "qemu_rdma.type == 8", "qemu_rdma.result.rkey", "qemu_rdma.result.block"
        )
        granted = {(block, chunk): key for ([block], [chunk]), ([key], _) in zip(requests, results)}
        self.assertEqual(granted, keys)
        self.assertEqual([block for [[block], _] in requests], [block for [_, [block]] in results])


class ChangedCaptures(Folder):
    """The real captures, with other things around what they carry."""

    def rewritten(self, capture, envelope, link):
        frames = []
        for frame, length in packets.read_pcap(capture):
            packet = packets.Packet(frame, length)
            made = envelope(packet.sender, packet.receiver, packet.transport, packet.missing)
            frames.append((made, len(made) + packet.missing))
        return self.capture(frames, link=link)

    def test_other_links_carry_the_same(self):
        for envelope, link in [
            (packets.infiniband, packets.ERF),
            (packets.roce_v1, packets.ETHERNET),
            (packets.roce_v2_ipv6, packets.ETHERNET),
            (packets.roce_v2, packets.ETHERNET),
        ]:
            with self.subTest(link=envelope.__name__):
                made = self.rewritten(DYNAMIC, envelope, link)
                self.assertEqual(kinds(made), DYNAMIC_COUNTS)
                self.assertEqual(len(lines(made, "qemu_rdma.version")), 2)
                self.assertEqual(len(lines(made, "qemu_rdma.write.block")), 10)
                self.assertEqual(lines(made, CLAIMED_BY_OTHERS), [])
                self.assertEqual(lines(made, "qemu_rdma.type and not qemu_rdma.from"), [])

    def test_a_capture_of_headers_reads_the_same_on_other_links(self):
        # Where the lengths in the outer headers are read wrong, messages seem longer or shorter.
        expected = self.truncated(self.capture(packets.read_pcap(DYNAMIC), snap=74))
        self.assertGreater(len(expected), 0)
        for envelope, link, header_bytes in [
            (packets.infiniband, packets.ERF, 16 + 8),
            (packets.roce_v1, packets.ETHERNET, 14 + 40),
            (packets.roce_v2_ipv6, packets.ETHERNET, 14 + 40 + 8),
        ]:
            made = self.rewritten(DYNAMIC, envelope, link)
            cut = self.folder / "cut.pcap"
            packets.write_pcap(cut, packets.read_pcap(made), link, snap=header_bytes + 32)
            self.assertEqual(self.truncated(cut), expected)

    def truncated(self, capture):
        """Of the messages that were cut: their frames, and what the Info column tells."""
        found = lines(
            capture,
            "qemu_rdma.expert.truncated",
            "-T",
            "fields",
            "-e",
            "frame.number",
            "-e",
            "_ws.col.Info",
        )
        return [line.removesuffix("[Packet size limited during capture]") for line in found]

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
            self.assertGreater(
                len(lines(made, "qemu_rdma.type == 3 and qemu_rdma.expert.truncated")), 0
            )
            self.assertEqual(lines(made, RPC_OVER_RDMA), [])

    def test_a_capture_cut_anywhere_raises_nothing(self):
        frames = list(packets.read_pcap(DYNAMIC))
        frames = (
            frames[:40] + [frame for frame in frames[40:] if frame[1] < 1000][:60] + frames[-40:]
        )
        for snap in [*range(40, 78), *range(78, 130, 7)]:
            tshark(self.capture(frames, snap=snap), "-V")
