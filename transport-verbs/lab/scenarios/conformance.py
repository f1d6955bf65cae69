"""The conformance suite judges real QEMU, in either role, and finds what was found before."""

import json
import sys
from functools import partial

from host.cache import LAB, REPOSITORY
from host.errors import LabError
from host.guest_memory import patchwork
from host.guest_program import MIB
from host.hypervisor import Hypervisor
from host.link import add_loopback
from host.qemu import VERSIONS
from host.recorder import Ours, last_lines
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
EVIDENCE = "/run/lab/evidence"
GUEST = "/run/lab/guest"


def conformance(version, role, lab):
    machine = lab.machine()
    ours = Ours(lab, machine, add_loopback(machine))
    installation = lab.qemu(version)
    (machine.folder / "patchwork").write_bytes(patchwork(7, PATCHWORK_CHUNKS))
    resume(lab, machine)
    if role == "destination" and not (machine.folder / "guest").is_dir():
        record(lab, machine, ours, installation)
    keep_peers(lab, machine, installation, role, ours.uri)
    judge(lab, machine, ours, f"qemu-{version}", peer_arguments(ours.uri, role))
    verify(lab, machine, ours)


def resume(lab, machine):
    """What an interrupted run has found stands, and with it the guest that it moved."""
    for name in ("guest", "evidence"):
        earlier = lab.folder / "earlier" / machine.folder.name / name
        if earlier.is_dir():
            earlier.rename(machine.folder / name)


def judge(lab, machine, ours, name, peer):
    """Runs all cases, and compares with the results that are expected."""
    lab.step("judge")
    expected = REPOSITORY / "spec" / "conformance" / "expected" / f"{name}.toml"
    compare = ["--expected", expected] if expected.exists() else []
    choice = ["--filter", *lab.wishes.cases] if lab.wishes.cases else []
    program = machine.start(
        "conformance", ours.program, "conformance", "run", "--peer", "verbs", "--name", name, *peer,
        "--profile", "full", "--dangerous", "--timeout", PATIENCE, *compare, *choice,
        "--evidence", EVIDENCE, "--resume", "--json", "/run/lab/report.json",
        "--html", "/run/lab/report.html", "--write-expected", "/run/lab/found.toml",
    )
    code = program.wait(WITHIN)
    if not (machine.folder / "report.json").exists():
        raise LabError(f"no report; exit code {code}: {last_lines(program)}")
    report = json.loads((machine.folder / "report.json").read_text())
    outcomes = report["outcomes"].items()
    counts = ", ".join(f"{count} {outcome}" for outcome, count in outcomes if count)
    lab.note(counts)
    lab.check(code == 0, f"QEMU does what is expected of it (exit code {code}: {counts})")


def verify(lab, machine, ours):
    """Every verdict follows from what was kept of its case."""
    lab.step("verify the evidence")
    machine.run(ours.program, "conformance", "verify", EVIDENCE, within=600)


def peer_arguments(uri, role):
    """How the suite reaches its peer: the hooks are in `guest/`."""
    hook = LAB / "guest" / "qemu_peer_hook"
    yield from ("--connect", uri, "--guest", GUEST) if role == "destination" else ("--listen", uri)
    for word in ("start", "trigger", "alive"):
        yield from (f"--{word}", f"{hook} {HOOKS_PORT} {word}")


def record(lab, machine, ours, installation):
    """Records the guest that destinations under test are given: the same that they can load.

    It has never run. The suite moves hardly any of its RAM, and once firmware has run there is
    device state that does not load without the RAM that it points to.
    """
    lab.step("record the guest")
    source = Hypervisor(machine, "source", installation, "pc", [*guest_arguments(), "-S"],
                        memory_mib=MEMORY_MIB)
    recording = ours.receive("guest", "--looking", "0")
    source.migrate(ours.uri)
    finish(source)
    recording.finish(60)
    source.quit()
    machine.run("cp", "--recursive", "--sparse=always", recording.folder, GUEST)


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
