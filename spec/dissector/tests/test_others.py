"""Migrations among the traffic of others."""

import struct

import packets
from packets import DESTINATION, SOURCE, message, whole
from dialogue import BLOCKS, BLOCKS_RESULT, Dialogue, QEMU_FILE, READY, REGISTER, REGISTER_REQUEST
from tshark import Folder, RPC_OVER_RDMA, kinds, lines, rows
from captures import DYNAMIC, DYNAMIC_COUNTS


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
        # Whoever has claimed a packet is asked first for the next one: after each packet of RPC
        # over RDMA, its heuristic stands before ours.
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
        made = self.capture(
            whole(one.frames[:3] + two.frames[:3] + one.frames[3:] + two.frames[3:])
        )
        found = rows(
            made, "qemu_rdma.type == 7", "frame.number", "qemu_rdma.expert.place", "qemu_rdma.chunk"
        )
        self.assertEqual(
            [(number, bool(place), chunk) for [number], place, chunk in found],
            [("7", True, []), ("8", False, ["0"])],
        )
