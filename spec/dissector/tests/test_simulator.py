"""Traces of the simulator."""

import json
import os
import subprocess

from dialogue import NAMES
from tshark import CLAIMED_BY_OTHERS, Folder, kinds, lines, rows


class Simulator(Folder):
    def test_the_simulator_counts_the_same(self):
        command = os.environ["RDMA_MIGRATION"]
        for mode in [], ["--pin-all"]:
            trace = self.folder / "trace.pcapng"
            arguments = ["--guest-memory", "32MiB", *mode, "--trace", trace, "--format", "json"]
            migrate = [command, "migrate", *arguments]
            report = json.loads(subprocess.run(migrate, capture_output=True, check=True).stdout)
            names = {
                name.upper().replace("-", "_"): count
                for name, count in report["control_messages"].items()
            }
            found = {NAMES[kind]: count for kind, count in kinds(trace).items()}
            self.assertGreater(sum(found.values()), 20)
            self.assertEqual(found, names)
            self.assertEqual(len(lines(trace, "qemu_rdma.write.block")), report["writes"])
            lengths = rows(trace, "qemu_rdma.write.length", "qemu_rdma.write.length")
            self.assertEqual(sum(int(length) for [[length]] in lengths), report["bytes_written"])
            self.assertEqual(lines(trace, CLAIMED_BY_OTHERS), [])
            self.assertEqual(lines(trace, "qemu_rdma and _ws.expert.severity >= 0x600000"), [])
