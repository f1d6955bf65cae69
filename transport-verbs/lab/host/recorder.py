"""Our own program in a machine of the lab: `receive`, `send`, `migrate`, a side at a time."""

import json

from host import cargo
from host.errors import LabError
from host.machine import SCRATCH

PORT = 4444
LISTENS_WITHIN = 20
# A debug build would do, but digests and scans of all RAM are slow enough under emulation.
PACKAGE = "rdma-migration-conformance"
FEATURES = ("verbs",)


class Ours:
    """Our program in a machine, and the recordings that it makes there."""

    def __init__(self, lab, machine, address, program=None):
        """Builds the program, unless it is given."""
        self._lab = lab
        self._machine = machine
        self.uri = f"rdma:{address}:{PORT}"
        self.program = program or build(lab)

    def receive(self, name, *options, before=()):
        """Starts to record one migration as the folder NAME, and returns once it listens.

        `before`, here and below, goes before the program on its command line.
        """
        folder = f"{SCRATCH}/{name}"
        process = self._machine.start(f"receive-{name}", *before, self.program, "receive", self.uri,
                                      "--output", folder, "--format", "json",
                                      "--trace", f"/run/lab/receive-{name}.trace", *options)
        process.wait_for_text("listening on", LISTENS_WITHIN)
        return Received(self._lab, self._machine, folder, process)

    def start_sending(self, folder, name, *options, before=()):
        """Starts to play a recording."""
        return self._machine.start(f"send-{name}", *before, self.program, "send", folder, self.uri,
                                   "--format", "json", "--trace", f"/run/lab/send-{name}.trace",
                                   *options)

    def send(self, folder, name, *options, within, before=()):
        """Plays a recording to its end and returns its report."""
        process = self.start_sending(folder, name, *options, before=before)
        code = process.wait(within)
        if code != 0:
            raise LabError(f"send ended with {code}: {last_lines(process)}")
        return report(process)

    def start_arriving(self, *options, before=()):
        """Starts the destination of a synthetic guest, and returns once it listens."""
        process = self._start_migrating("arrive", before, "--listen", self.uri, *options)
        process.wait_for_text("listening on", LISTENS_WITHIN)
        return process

    def start_leaving(self, *options, before=()):
        """Starts the source of a synthetic guest."""
        return self._start_migrating("leave", before, "--connect", self.uri, *options)

    def _start_migrating(self, name, before, *arguments):
        return self._machine.start(name, *before, self.program, "migrate", "--transport", "verbs",
                                   "--format", "json", "--trace", f"/run/lab/{name}.trace",
                                   *arguments)

    def inspect(self, folder):
        """What `inspect` says of a recording, which has to be complete."""
        finished = self._machine.run(self.program, "inspect", "--format", "json", folder,
                                     within=60)
        return json.loads(finished.output)


class Received:
    """A recording that is being made, or has been."""

    def __init__(self, lab, machine, folder, process):
        self._lab = lab
        self._machine = machine
        self.folder = folder
        self.process = process

    def finish(self, within):
        """Waits for its end, which has to be a complete recording, and returns the report."""
        code = self.process.wait(within)
        if code != 0:
            raise LabError(f"receive ended with {code}: {last_lines(self.process)}")
        return report(self.process)

    def main_memory(self):
        """The file with the RAM block that holds the guest's main memory: the longest."""
        manifest = json.loads(self._machine.read_file(f"{self.folder}/manifest.json"))
        return f"{self.folder}/{max(manifest['blocks'], key=lambda block: block['bytes'])['file']}"

    def compare_memory(self, hypervisor):
        """The proof: the recording has, byte for byte, the RAM of a guest that stands still."""
        main = self.main_memory()
        compared = 0
        for addresses, saved in zip(hypervisor.plain_memory(), hypervisor.save_memory(),
                                    strict=True):
            # With so little RAM, physical addresses are offsets in the block.
            self._machine.run("cmp", f"--ignore-initial={addresses.start}:0",
                              f"--bytes={len(addresses)}", main, saved, within=60)
            size = int(self._machine.run("stat", "--format=%s", saved).output)
            self._lab.check(size == len(addresses), f"{saved} has {size} bytes")
            compared += size
        self._lab.note(f"{compared >> 10} KiB equal to {hypervisor.name}")


def build(lab):
    lab.step("build our program")
    return cargo.binary(PACKAGE, "rdma-migration", lab.folder / "cargo.log", FEATURES)


def report(process):
    """The JSON object that the program has printed; other lines are on standard error."""
    lines = process.said().strip().splitlines()
    objects = [line for line in lines if line.startswith("{")]
    if len(objects) != 1:
        raise LabError(f"{process.name} printed {len(objects)} reports: {last_lines(process)}")
    return json.loads(objects[0])


def last_lines(process):
    return " | ".join(process.said().strip().splitlines()[-3:])
