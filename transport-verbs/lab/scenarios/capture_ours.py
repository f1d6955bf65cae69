"""Our own two commands between two machines: what we say of a migration is what was on the wire."""

import collections
import json
import subprocess
from functools import partial

from host.combination import Combination
from host.errors import LabError
from host.guests import running_guest, waiting_guest
from host.link import add_wire
from host.recorder import Ours
from host.scenario import Scenario
from scenarios.capture import start_sniffer, stop_sniffer
from scenarios.qemu_to_qemu import finish

ENDS_WITHIN = 90
INSPECT_WITHIN = 120


def capture_ours(peers, lab):
    """A real QEMU migrates into a recording, which is then played back into another on its host.

    The first migration registers as it goes, the second pins all RAM. The capture is taken at
    QEMU's host and judged on this one.
    """
    qemu_host, our_host = lab.machines_on_a_wire()
    qemu_address = add_wire(qemu_host, 0)
    our_address = add_wire(our_host, 1)
    receiver = Ours(lab, our_host, our_address)
    sender = Ours(lab, our_host, qemu_address, receiver.program)
    sniffer = start_sniffer(lab, qemu_host)
    recording, received = record(lab, qemu_host, receiver, peers)
    sent = play(lab, qemu_host, sender, recording, peers)
    connections = inspect(lab, receiver.program, stop_sniffer(lab, qemu_host, sniffer))
    lab.check(len(connections) == 2, f"two connections were captured, not {len(connections)}")
    lab.step("compare with our own reports")
    agree(lab, connections[0], received, "destination")
    agree(lab, connections[1], sent, "source")


def record(lab, qemu_host, receiver, peers):
    lab.step("QEMU to ours")
    source = running_guest(qemu_host, lab.qemu(peers.source), peers.machine_type)
    recording = receiver.receive("first")
    source.migrate(receiver.uri)
    finish(source)
    source.wait_for_run_state("postmigrate", 20)
    report = recording.finish(ENDS_WITHIN)
    source.quit()
    return recording, report


def play(lab, qemu_host, sender, recording, peers):
    lab.step("ours to QEMU")
    destination = waiting_guest(qemu_host, lab.qemu(peers.destination), peers.machine_type,
                                sender.uri, pin_all=True)
    report = sender.send(recording.folder, "first", "--pin-all", within=ENDS_WITHIN)
    destination.wait_for_migration("completed", 30)
    destination.quit()
    return report


def inspect(lab, program, file):
    """What `inspect` finds in the capture: the events of each connection, in order."""
    lab.step("inspect the capture")
    done = subprocess.run([program, "inspect", "--format", "json", file], capture_output=True,
                          text=True, timeout=INSPECT_WITHIN, stdin=subprocess.DEVNULL, check=False)
    (lab.folder / "inspect.jsonl").write_text(done.stdout)
    if done.returncode not in (0, 1):
        raise LabError(f"inspect could not read the capture: {done.stderr.strip()}")
    connections = collections.defaultdict(list)
    for event in map(json.loads, done.stdout.splitlines()):
        connections[event["connection"]].append(event)
    return [connections[number] for number in sorted(connections)]


def agree(lab, events, report, our_role):
    """Our report has the same numbers as the capture, which shows no deviation of ours."""
    kinds = collections.defaultdict(list)
    for event in events:
        kinds[event["event"]].append(event)
    messages = kinds["message"]
    commands = [command for message in messages if message["kind"] == "COMPRESS"
                for command in message["commands"]]
    seen = {
        "control_messages": dict(collections.Counter(message["kind"] for message in messages)),
        "stream_bytes": sum(message["length"] for message in messages
                            if message["kind"] == "QEMU_FILE"),
        "bytes_zero": sum(command["length"] for command in commands),
    }
    writes = len(kinds["write"])
    written = sum(event["length"] for event in kinds["write"])
    if our_role == "source":
        seen |= {"writes": writes, "bytes_written": written}
    expected = {"READY", "QEMU_FILE", "RAM_BLOCKS_REQUEST", "RAM_BLOCKS_RESULT",
                "REGISTER_FINISHED"}
    if not report["pin_all"]:
        expected |= {"REGISTER_REQUEST", "REGISTER_RESULT", "COMPRESS"}
    lab.check(set(seen["control_messages"]) == expected, f"a whole migration was captured: {seen}")
    lab.check(writes > 0, "RAM was written")
    for name, value in seen.items():
        lab.check(report[name] == value,
                  f"{name} is {value} in the capture, and {report[name]} in ours")
    theirs = {"source": "destination", "destination": "source"}[our_role]
    ours = [event for event in kinds["deviation"] if event["from"] != theirs]
    lab.check(not ours, f"no deviation of ours: {ours[:3]}")
    retransmitted = len(kinds["retransmission"])
    lab.note(f"ours as {our_role}: {len(messages)} messages, {writes} writes of {written} bytes, "
             f"{retransmitted} retransmitted, {len(kinds['deviation'])} deviations")


PEERS = (
    Combination("7.2", "7.2", "pc", pin_all=False),
    Combination("10.0", "10.0", "q35", pin_all=False),
)
SCENARIOS = tuple(
    Scenario(f"capture-ours/{peers.source}/{peers.machine}",
             "two machines; inspect on the capture agrees with our own reports", 400,
             partial(capture_ours, peers))
    for peers in PEERS
)
