"""The tests of transport-verbs, built on the host and run in a machine that has an RDMA link.

They find the address of the link in `RDMA_MIGRATION_LAB_ADDRESS`; without it there is no link and
those that need one have to be ignored.
"""

import re

from host import cargo
from host.link import add_loopback
from host.scenario import Scenario

PACKAGE = "rdma-migration-transport-verbs"
ADDRESS_VARIABLE = "RDMA_MIGRATION_LAB_ADDRESS"
PROGRAM_WITHIN = 240


def verbs_tests(lab):
    lab.step("build the tests")
    programs = cargo.test_programs(PACKAGE, lab.folder / "cargo.log")
    machine = lab.machine()
    address = add_loopback(machine)
    passed = sum(run_tests(lab, machine, name, program, address)
                 for name, program in sorted(programs.items()))
    lab.check(passed > 0, "at least one test ran")
    lab.note(f"{passed} tests passed")


def run_tests(lab, machine, name, program, address):
    """Runs one test program, one test at a time, and returns how many tests passed."""
    lab.step(f"run {name}")
    finished = machine.run(program, "--test-threads=1", within=PROGRAM_WITHIN, check=False,
                           environment={ADDRESS_VARIABLE: address})
    (lab.folder / f"{name}.log").write_text(finished.output + finished.errors)
    result = re.search(r"^test result: (\w+)\. (\d+) passed; .*$", finished.output, re.MULTILINE)
    lab.check(finished.code == 0 and result and result[1] == "ok",
              f"{name}: {result[0] if result else finished.summary()}")
    return int(result[2])


SCENARIOS = (
    Scenario("verbs-tests", "the tests of transport-verbs pass on a real verbs device", 2000,
             verbs_tests, fast=True),
)
