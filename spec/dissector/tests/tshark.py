"""The dissector, asked through tshark."""

import collections
import pathlib
import re
import subprocess
import tempfile
import unittest

import packets

HERE = pathlib.Path(__file__).resolve().parent
SCRIPT = HERE.parent / "qemu_rdma.lua"

# Its own name is not there to filter by where its dissection has failed.
RPC_OVER_RDMA = 'frame.protocols contains "rpcordma"'
CLAIMED_BY_OTHERS = f"{RPC_OVER_RDMA} or _ws.malformed"


def tshark(capture, *options):
    """What tshark prints. That it fails, or prints a Lua error anywhere, is an error here."""
    command = ["tshark", "-X", f"lua_script:{SCRIPT}", "-r", str(capture), *options]
    result = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    complaints = [
        line
        for line in (result.stdout + result.stderr).splitlines()
        if re.search("lua.*error", line, re.I)
    ]
    if result.returncode or complaints:
        raise AssertionError(
            f"{command}: {result.returncode}\n{sorted(set(complaints))}\n{result.stderr[-2000:]}"
        )
    return result.stdout


def lines(capture, display_filter, *options):
    return tshark(capture, "-Y", display_filter, *options).splitlines()


def rows(capture, display_filter, *fields, options=()):
    """The fields of the frames that the filter finds, each a list of its values."""
    arguments = [argument for field in fields for argument in ("-e", field)]
    found = lines(
        capture,
        display_filter,
        *options,
        "-T",
        "fields",
        "-E",
        "occurrence=a",
        "-E",
        "aggregator=,",
        *arguments,
    )
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
