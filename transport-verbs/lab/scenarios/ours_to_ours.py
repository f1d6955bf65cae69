"""Both of our sides, as two processes: a synthetic guest of 1 GiB that goes on writing."""

from functools import partial

from host.link import add_loopback
from host.recorder import Ours, last_lines, report
from host.scenario import Scenario

GUEST = "1GiB"
# Both guests, what the kernel and the file system need, and the digests' buffers.
MACHINE_MEMORY_MIB = 4096
# The link carries about 1 Gb/s, and the emulated processors share it with the guest's own work.
WORKLOAD = ("--dirty-rate", "8MiB", "--max-downtime", "2000")
ENDS_WITHIN = 240


def ours_to_ours(pin_all, lab):
    machine = lab.machine(MACHINE_MEMORY_MIB)
    ours = Ours(lab, machine, add_loopback(machine))
    lab.step("migrate")
    destination = ours.start_arriving()
    source = ours.start_leaving("--guest-memory", GUEST, *WORKLOAD,
                                *(["--pin-all"] if pin_all else []))
    left, arrived = (ended(lab, process) for process in (source, destination))
    lab.step("compare both reports")
    lab.check(left["pin_all"] == arrived["pin_all"] == pin_all, "both agreed on the pin mode")
    lab.check(left["blocks"] == arrived["blocks"] and len(left["blocks"]) == 7,
              "every RAM block is equal")
    lab.check(left["stream_sha256"] == arrived["stream_sha256"], "the streams are equal")
    compare_counts(lab, left, arrived)
    seconds = left["nanoseconds"] / 1e9
    lab.note(f"{left['bytes_written'] >> 20} MiB written in {seconds:.1f} s, "
             f"{left['rounds']} rounds, {left['registrations']} registrations, "
             f"digests of {len(left['blocks'])} blocks equal")


def ended(lab, process):
    """The report of a side that has to end well and give everything back."""
    code = process.wait(ENDS_WITHIN)
    lab.check(code == 0, f"{process.name} ended with {code}: {last_lines(process)}")
    finished = report(process)
    lab.check(finished["regions_left"] == 0, f"{process.name} has nothing registered")
    lab.check(finished["guest_owner"] == "destination", f"{process.name} knows who has the guest")
    return finished


def compare_counts(lab, left, arrived):
    """What one side counts, the other does too; only the last READY may come after the end."""
    lab.check(left["registrations"] == arrived["registrations"], "as many registrations")
    lab.check(left["bytes_zero"] == arrived["bytes_zero"], "as many bytes in zero runs")
    messages = [side["control_messages"] for side in (left, arrived)]
    ready = [counts.pop("READY") for counts in messages]
    lab.check(messages[0] == messages[1], f"the same messages: {messages}")
    lab.check(0 <= ready[1] - ready[0] <= 1, f"as many READY: {ready}")


SCENARIOS = tuple(
    Scenario(f"ours-to-ours/{mode}", "both of our sides move 1 GiB over real verbs", 600,
             partial(ours_to_ours, mode == "pin-all"))
    for mode in ("dynamic", "pin-all")
)
