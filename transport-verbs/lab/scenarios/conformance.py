"""The conformance suite judges real QEMU, in either role, and finds what was found before."""

import json
import sys
from functools import partial

from host.cache import LAB
from host.guest_memory import patchwork
from host.guest_program import MIB
from host.hypervisor import Hypervisor
from host.link import add_loopback
from host.qemu import VERSIONS
from host.recorder import Ours
from host.scenario import Scenario
from scenarios.qemu_to_qemu import finish

ROLES = ("destination", "source")
HOOKS_PORT = 5555
# Shorter than that an emulated QEMU may need for an answer; longer, and silence takes all the time.
PATIENCE = 4
WITHIN = 2400
# A small guest, so that a whole migration has few messages, with every kind of chunk in its RAM.
MEMORY_MIB = 16
PATCHWORK_AT = 8 * MIB
PATCHWORK_CHUNKS = 4
PATCHWORK_FILE = "/run/lab/patchwork"


def conformance(version, role, lab):
    machine = lab.machine()
    ours = Ours(lab, machine, add_loopback(machine))
    installation = lab.qemu(version)
    (machine.folder / "patchwork").write_bytes(patchwork(7, PATCHWORK_CHUNKS))
    peer = [*peer_arguments(role, ours.uri)]
    if role == "destination":
        peer += ["--guest", record(lab, machine, ours, installation)]
    keep_peers(lab, machine, installation, role, ours.uri)
    lab.step("judge")
    name = f"qemu-{version}"
    program = machine.start(
        "conformance", ours.program, "conformance", "run", "--peer", "verbs", "--name", name, *peer,
        "--profile", "full", "--dangerous", "--timeout", PATIENCE, "--format", "json",
        "--write-expected", "/run/lab/found.toml", *sys.argv[2:0], "--filter", *__import__("os").environ.get("FILTER","*").split(),
    )
    code = program.wait(WITHIN)
    lab.note(f"exit code {code}")


def peer_arguments(role, uri):
    """How the suite reaches its peer: the hooks are in `guest/`."""
    hook = LAB / "guest" / "qemu_peer_hook"
    yield from ("--connect", uri) if role == "destination" else ("--listen", uri)
    for word in ("start", "trigger", "alive"):
        yield from (f"--{word}", f"{hook} {HOOKS_PORT} {word}")


def record(lab, machine, ours, installation):
    """Records the guest that destinations under test are given: the same that they can load."""
    lab.step("record the guest")
    source = Hypervisor(machine, "source", installation, "pc", guest_arguments(),
                        memory_mib=MEMORY_MIB)
    recording = ours.receive("guest", "--looking", "0")
    source.migrate(ours.uri)
    finish(source)
    recording.finish(60)
    source.quit()
    return recording.folder


def keep_peers(lab, machine, installation, role, uri):
    lab.step("start the peers")
    incoming = ["-S", "-incoming", "defer"] if role == "destination" else []
    command = [*installation.command_line(), "-accel", "tcg", "-machine", "pc", "-m", MEMORY_MIB,
               "-nodefaults", "-no-user-config", "-net", "none", "-display", "none",
               *guest_arguments(), *incoming]
    configuration = {"port": HOOKS_PORT, "role": role, "uri": uri,
                     "command": [str(word) for word in command]}
    (machine.folder / "peers.json").write_text(json.dumps(configuration))
    keeper = machine.start("peers", sys.executable, LAB / "guest" / "qemu_peer.py",
                           "/run/lab/peers.json")
    keeper.wait_for_text("at hand")


def guest_arguments():
    return ["-device", f"loader,file={PATCHWORK_FILE},addr={PATCHWORK_AT:#x},force-raw=on"]


SCENARIOS = tuple(
    Scenario(f"conformance/{version}/{role}", "the suite finds of real QEMU what is expected",
             WITHIN + 200, partial(conformance, version, role), apart=True)
    for version in VERSIONS for role in ROLES
)
