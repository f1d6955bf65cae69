"""What the README promises."""

import re
import subprocess
import unittest

from captures import DYNAMIC
from tshark import HERE, SCRIPT, lines

README = (HERE.parent / "README.md").read_text()


class Readme(unittest.TestCase):
    def test_it_names_every_field_and_no_other(self):
        command = ["tshark", "-G", "fields", "-X", f"lua_script:{SCRIPT}"]
        listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        fields = {line.split("\t")[2] for line in listed.splitlines() if line.startswith("F\t")}
        fields = {field for field in fields if field.startswith("qemu_rdma.")}
        self.assertGreater(len(fields), 40)
        named = set(re.findall(r"`(qemu_rdma\.[a-z_.]+)`", README))
        self.assertEqual(named - {"qemu_rdma.chunk_mebibytes", "qemu_rdma.lua"}, fields)

    def test_its_examples_are_real_output(self):
        console, text = re.findall(
            r"-Y 'qemu_rdma.type == 7'\n(.*?)```.*?```text\n(.*?)```", README, re.S
        )[0]
        self.assertEqual(lines(DYNAMIC, "qemu_rdma.type == 7"), console.splitlines())
        details = "\n".join(lines(DYNAMIC, "qemu_rdma.register.block == 2", "-V"))
        self.assertIn(text.strip(), details)
