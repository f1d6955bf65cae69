"""The tests of transport-verbs, built on the host and run in a machine that has an RDMA link.

Those that need the link are ignored elsewhere, so they are asked for here. They find its address in
`RDMA_MIGRATION_LAB_ADDRESS`, and in `RDMA_MIGRATION_LAB_OTHER_DEVICE` a second device, to which
that address does not belong.
"""

import re

from host import cargo
from host.errors import LabError
from host.limits import LIMITED
from host.link import add_loopback
from host.scenario import Scenario

PACKAGE = "rdma-migration-transport-verbs"
OTHER_VARIABLE = "RDMA_MIGRATION_LAB_OTHER_DEVICE"
OTHER_DEVICE = "rxe1"
OTHER_ADDRESS = "10.30.0.1/24"
ADDRESS_VARIABLE = "RDMA_MIGRATION_LAB_ADDRESS"
PROGRAM_WITHIN = 240
EXAMPLE_WITHIN = 60

LIMITED_PROGRAM = "memory_limit"


def verbs_tests(lab):
    lab.step("build the tests")
    programs = cargo.test_programs(PACKAGE, lab.folder / "cargo.log", ("vm-memory",))
    example = example_program(lab)
    machine = lab.machine()
    address = add_loopback(machine)
    add_other_device(machine)
    passed = sum(run_tests(lab, machine, name, program, address)
                 for name, program in sorted(programs.items()))
    lab.note(f"{passed} tests passed")
    lab.step("run the example")
    finished = machine.run(example, address, within=EXAMPLE_WITHIN)
    lab.check("arrived as it left" in finished.output, f"the example says: {finished.output}")


def add_other_device(machine):
    """A second RDMA device, on the other end of the pair of interfaces."""
    machine.run("ip", "address", "add", OTHER_ADDRESS, "dev", "veth1")
    machine.run("rdma", "link", "add", OTHER_DEVICE, "type", "rxe", "netdev", "veth1")


def example_program(lab):
    """The example program; cargo builds it beside the tests, but not as one."""
    log = lab.folder / "cargo-example.log"
    for artifact in cargo.build(["build", "--profile=test", "--example=epoll"], PACKAGE, (), log):
        if artifact["target"]["name"] == "epoll":
            return artifact["executable"]
    raise LabError("cargo built no example")


def run_tests(lab, machine, name, program, address):
    """Runs one test program, one test at a time, and returns how many tests passed."""
    lab.step(f"run {name}")
    limited = LIMITED if name == LIMITED_PROGRAM else ()
    finished = machine.run(*limited, program, "--include-ignored", "--test-threads=1",
                           within=PROGRAM_WITHIN, check=False,
                           environment={ADDRESS_VARIABLE: address, OTHER_VARIABLE: OTHER_DEVICE})
    (lab.folder / f"{name}.log").write_text(finished.output + finished.errors)
    result = re.search(r"^test result: (\w+)\. (\d+) passed; .* (\d+) ignored;.*$", finished.output,
                       re.MULTILINE)
    lab.check(finished.code == 0 and result and result[1] == "ok",
              f"{name}: {result[0] if result else finished.summary()}")
    lab.check(int(result[2]) > 0 and result[3] == "0", f"{name} ran every test: {result[0]}")
    return int(result[2])


SCENARIOS = (
    Scenario("verbs-tests", "the tests of transport-verbs pass on a real verbs device", 2000,
             verbs_tests, fast=True),
)
