"""The baseline: two real QEMU processes migrate over RDMA, and nothing of ours takes part."""

from functools import partial

from host import combination
from host.errors import Expired
from host.guests import PATCHWORK_AT, PATCHWORK_CHUNKS, PATCHWORK_FILE, running_guest, waiting_guest
from host.guest_program import MIB
from host.link import add_loopback
from host.scenario import Scenario

PORT = 4444
TICKS_AFTERWARDS = 5
ROUNDS_WITHIN = 10
GENEROUS_DOWNTIME_MS = 2000


def qemu_to_qemu(peers, lab):
    machine = lab.machine()
    address = add_loopback(machine)
    source, destination = start_pair(lab, machine, machine, address, peers)
    migrate(lab, source, destination, address, peers)
    compare_memory(lab, machine, source, destination)
    resume(lab, source, destination)
    lab.step("quit")
    source.quit()
    destination.quit()


def start_pair(lab, source_host, destination_host, address, peers):
    """Starts a guest that runs, and an empty one that waits for it and will stay paused."""
    lab.step("start both QEMU")
    source = running_guest(source_host, lab.qemu(peers.source), peers.machine_type)
    source.allow_pin_all(peers.pin_all)
    destination = waiting_guest(destination_host, lab.qemu(peers.destination),
                                peers.machine_type, f"rdma:{address}:{PORT}", peers.pin_all)
    return source, destination


def migrate(lab, source, destination, address, peers):
    """Migrates, and checks what both sides say of themselves at the end."""
    lab.step(f"migrate {source.version} to {destination.version}, {peers.machine_type}")
    source.migrate(f"rdma:{address}:{PORT}")
    finish(source)
    source.wait_for_run_state("postmigrate", 20)
    destination.wait_for_migration("completed", 20)
    destination.wait_for_run_state("paused", 20)
    agreed = f"qemu_rdma_connect_pin_all_outcome {int(peers.pin_all)}\n"
    lab.check(agreed in source.program.said(), "both sides agreed on the pin mode that was asked")
    # Asked for only now, because 7.2 computes them after it has called itself completed.
    figures = source.command("query-migrate")
    lab.note(f"migration {figures['total-time'] / 1000:.1f} s, "
             f"downtime {figures['downtime']} ms, "
             f"{figures['ram']['dirty-sync-count']} dirty syncs")


def finish(source):
    """On a busy machine the guest may write faster than the link carries; then it must pause."""
    try:
        source.wait_for_migration("completed", ROUNDS_WITHIN)
    except Expired:
        source.allow_downtime(GENEROUS_DOWNTIME_MS)
        source.wait_for_migration("completed", 100)


def compare_memory(lab, machine, source, destination):
    """The proof: byte for byte the same RAM, and in it the patchwork that was put there."""
    lab.step("compare memory")
    compared = 0
    for ours, theirs in zip(source.save_memory(), destination.save_memory(), strict=True):
        machine.run("cmp", ours, theirs, within=60)
        compared += int(machine.run("stat", "--format=%s", ours).output)
    expected = sum(map(len, source.plain_memory()))
    lab.check(compared == expected, f"{expected} bytes were compared, not {compared}")
    upper = destination.save_memory()[1]
    machine.run("cmp", f"--ignore-initial=0:{PATCHWORK_AT - MIB}",
                f"--bytes={PATCHWORK_CHUNKS * MIB}", PATCHWORK_FILE, upper, within=60)
    lab.note(f"{compared >> 10} KiB equal")


def resume(lab, source, destination):
    """The guest goes on where it stopped, at the destination and nowhere else."""
    lab.step("resume")
    lab.check(destination.ticks() == source.ticks(), "the guest stopped at the same tick")
    stopped_at = source.ticks()
    destination.command("cont")
    destination.wait_for_run_state("running", 20)
    destination.wait_for_ticks(TICKS_AFTERWARDS, 30)
    lab.check(source.ticks() == stopped_at, "the guest does not run at the source")


PEERS = (
    *combination.of_one_version(machines=("pc",)),
    *combination.across_versions("q35", pin_all=False),
)
SCENARIOS = tuple(
    Scenario(f"qemu-to-qemu/{peers.name}", "two real QEMU migrate; their RAM is equal", 240,
             partial(qemu_to_qemu, peers))
    for peers in PEERS
)
