"""The QEMU versions under test, unpacked beside each other in the cache."""

import re
from dataclasses import dataclass
from pathlib import Path

from host.cache import folder_made_once
from host.errors import CannotRun
from host.packages import Archive, run

PACKAGES = ("qemu-system-x86", "qemu-system-common", "qemu-system-data", "seabios")
SUITES = {"7.2": "bookworm", "10.0": "bookworm-backports"}
VERSIONS = tuple(SUITES)


@dataclass(frozen=True)
class Installation:
    """One QEMU: its program, the folders of its firmware, and its exact version."""

    version: str
    program: Path
    firmware: tuple
    release: str

    def command_line(self):
        """How its command line begins: found here, not where the package would put it."""
        folders = [argument for folder in self.firmware for argument in ("-L", str(folder))]
        return [str(self.program), *folders]


def prepare(version):
    """Returns the QEMU of that version ("7.2", "10.0"), unpacking it if need be."""
    suite = SUITES[version]
    folder = folder_made_once(f"qemu-{version}", lambda target: unpack(suite, target))
    program = folder / "usr" / "bin" / "qemu-system-x86_64"
    shared = folder / "usr" / "share"
    printed = run([str(program), "--version"])
    release = re.search(r"version (\d+\.\d+\.\d+)", printed)
    if release is None or not release[1].startswith(f"{version}."):
        raise CannotRun(f"{suite} has no QEMU {version}: {printed.splitlines()[0]}")
    return Installation(version, program, (shared / "qemu", shared / "seabios"), release[1])


def unpack(suite, target):
    Archive(suite).unpack(PACKAGES, target)
