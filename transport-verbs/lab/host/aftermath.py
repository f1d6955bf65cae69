"""What our commands leave behind when something has gone wrong: a reason, and nothing else."""

import json
import re

from host.deadline import poll_until
from host.errors import LabError
from host.recorder import last_lines, report

GONE_WITHIN = 10
RESOURCES = ("qp", "mr", "cq", "pd", "cm_id")


def reason(process):
    """Why it did not complete, with the cause in brackets where there is one."""
    lines = process.said().splitlines()
    if any(line.startswith("{") for line in lines):
        said = report(process)
        return said["failure"] + (f" ({said['cause']})" if said["cause"] else "")
    errors = [line for line in lines if line.startswith("error: ")]
    if not errors:
        raise LabError(f"{process.name} gave no reason: {last_lines(process)}")
    return errors[-1].removeprefix("error: ")


def wait_until_nothing_is_held(machine, process):
    """Waits until the kernel knows of no RDMA resource of the process."""
    poll_until(f"{process.name} holds no RDMA resource", GONE_WITHIN,
               lambda: not held(machine, process))


def held(machine, process):
    """The lines of `rdma resource` that name the process."""
    own = re.compile(rf"\bpid {process.process}\b")
    listed = [machine.run("rdma", "resource", "show", kind).output for kind in RESOURCES]
    return [line for kind in listed for line in kind.splitlines() if own.search(line)]


def is_complete(machine, folder):
    """What a recording says of itself. One that is marked as unfinished is not complete, nor is one
    that is not there, because there was nothing to record."""
    listed = machine.run("ls", folder, check=False)
    names = listed.output.split()
    if "manifest.json" in names:
        return json.loads(machine.read_file(f"{folder}/manifest.json"))["complete"]
    if listed.code == 0 and "UNFINISHED" not in names:
        raise LabError(f"{folder} is neither complete nor marked as unfinished: {names}")
    return False
