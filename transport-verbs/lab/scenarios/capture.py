"""A real migration between two machines, with every packet of it captured."""

import collections
import re
import signal
import subprocess
import time
from functools import partial

from host.combination import Combination
from host.deadline import poll_until
from host.errors import LabError
from host.link import add_wire
from host.machine import SCRATCH
from host.scenario import Scenario
from scenarios.qemu_to_qemu import migrate, start_pair

ROCE_PORT = 4791
# Reliable connections: SEND and WRITE, each in its four forms, then ACKNOWLEDGE; and management.
SEND = {0x00, 0x01, 0x02, 0x04}
WRITE = {0x06, 0x07, 0x08, 0x0A}
ACKNOWLEDGE = {0x11}
MANAGEMENT = {0x64}
CONNECTION = ["ConnectRequest", "ConnectReply", "ReadyToUse", "DisconnectRequest"]
# What tshark 4.0 takes RDMA payloads for when their bytes look like it. Guest memory, which is
# random in places, sometimes does, and is then called malformed.
GUESSES = ("eth_over_ib", "fc_infiniband", "iser_infiniband", "lnet_ib", "mellanox_eoib",
           "nvme_rdma", "rpcrdma_infiniband", "sdp_infiniband", "smb_direct_infiniband",
           "smcr_infiniband")
DECODE_WITHIN = 120
CAPTURED_WITHIN = 20
BLOCK_KEPT_FOR = 2


def capture(peers, lab):
    """The capture is taken at the source, as the ones in the project's test data were."""
    source_host, destination_host = lab.machines_on_a_wire()
    add_wire(source_host, 0)
    address = add_wire(destination_host, 1)
    sniffer = start_sniffer(lab, source_host)
    source, destination = start_pair(lab, source_host, destination_host, address, peers)
    migrate(lab, source, destination, address, peers)
    compare_digests(lab, source_host, source, destination_host, destination)
    lab.step("quit")
    source.quit()
    destination.quit()
    decode(lab, stop_sniffer(lab, source_host, sniffer))


def start_sniffer(lab, machine):
    lab.step("start the capture")
    sniffer = machine.start("tcpdump", "tcpdump", "-i", "eth0", "-w", f"{SCRATCH}/migration.pcap",
                            "-U", "--relinquish-privileges=root", "--buffer-size=131072",
                            "udp", "port", ROCE_PORT)
    sniffer.wait_for_text("listening on")
    return sniffer


def stop_sniffer(lab, machine, sniffer):
    """Ends the capture, checks that it is whole, and returns the file among the logs."""
    lab.step("end the capture")
    wait_until_all_is_captured(sniffer)
    sniffer.signal(signal.SIGINT)
    lab.check(sniffer.wait(30) == 0, "tcpdump ended well")
    lab.check("\n0 packets dropped by kernel" in sniffer.said(),
              f"no packet is missing in the capture: {sniffer.said()}")
    machine.run("cp", f"{SCRATCH}/migration.pcap", "/run/lab/migration.pcap", within=120)
    return machine.folder / "migration.pcap"


def wait_until_all_is_captured(sniffer):
    """The kernel hands packets over in blocks; those that wait at the end would be lost.

    The counts of packets received and captured need not agree: a packet that comes while the filter
    is being set counts as received. So this waits until both have been the same for longer than
    the kernel keeps a block that is not full.
    """
    seen, since = None, time.monotonic()

    def nothing_waits():
        nonlocal seen, since
        sniffer.signal(signal.SIGUSR1)
        counts = re.findall(r"(\d+) packets captured\D+(\d+) packets received", sniffer.said())[-1:]
        if counts != seen:
            seen, since = counts, time.monotonic()
        return counts and time.monotonic() - since > BLOCK_KEPT_FOR

    poll_until("the capture to have all packets", CAPTURED_WITHIN, nothing_waits)


def compare_digests(lab, source_host, source, destination_host, destination):
    lab.step("compare digests")
    digests = [[host.run("sha256sum", file, within=60).output.split()[0]
                for file in side.save_memory()]
               for host, side in ((source_host, source), (destination_host, destination))]
    lab.check(digests[0] == digests[1], f"the RAM of both sides is equal: {digests}")


def decode(lab, file):
    """Has tshark read the capture: it must know every packet, and see a whole connection."""
    lab.step("decode with tshark")
    malformed = tshark(file, "-Y", "_ws.malformed")
    lab.check(not malformed, f"no packet is malformed: {malformed[:3]}")
    opcodes = collections.Counter(
        int(opcode, 0) for opcode in tshark(file, "-T", "fields", "-e", "infiniband.bth.opcode"))
    counts = {name: sum(opcodes[opcode] for opcode in kind)
              for name, kind in (("SEND", SEND), ("WRITE", WRITE), ("ACKNOWLEDGE", ACKNOWLEDGE),
                                 ("management", MANAGEMENT))}
    lab.check(all(counts.values()), f"every kind of packet was seen: {counts}")
    lab.check(sum(counts.values()) == opcodes.total(), f"no other kind was seen: {opcodes}")
    steps = [line.split()[-1] for line in tshark(file, "-Y", "infiniband.mad")]
    in_order = list(dict.fromkeys(steps))[:4]
    lab.check(in_order == CONNECTION, f"it was connected and disconnected in order: {steps}")
    lab.note(", ".join(f"{count} {name}" for name, count in counts.items()))


def tshark(file, *arguments):
    """Returns the lines that tshark prints when it does not guess what a payload is."""
    no_guesses = [argument for guess in GUESSES for argument in ("--disable-heuristic", guess)]
    command = ["tshark", *no_guesses, "-n", "-r", str(file), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=DECODE_WITHIN,
                          stdin=subprocess.DEVNULL, check=False)
    if done.returncode != 0:
        raise LabError(f"tshark failed: {done.stderr.strip()}")
    return done.stdout.splitlines()


PEERS = (
    Combination("7.2", "7.2", "pc", pin_all=False),
    Combination("10.0", "10.0", "q35", pin_all=True),
)
SCENARIOS = tuple(
    Scenario(f"capture/{peers.name}", "two machines; tcpdump and tshark see the whole migration",
             300, partial(capture, peers))
    for peers in PEERS
)
