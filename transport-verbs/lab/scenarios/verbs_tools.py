"""The lab's own ground: the standard tools of rdma-core work over the soft-RoCE link."""

import re

from host.link import add_loopback, wait_for_rdma_listener, wait_for_tcp_listener
from host.scenario import Scenario

PING_COUNT = 10
RPING_PORT = 7174
WRITE_PORT = 18515


def verbs_tools(lab):
    machine = lab.machine()
    lab.step("add a link")
    address = add_loopback(machine)
    lab.step("ibv_devinfo")
    information = machine.run("ibv_devinfo", "-d", "rxe0").output
    lab.check("PORT_ACTIVE" in information, "the port of rxe0 is active")
    lab.check(re.search(r"active_mtu:\s+4096", information), "the RDMA MTU is 4096")
    ping(lab, machine, address)
    measure_writes(lab, machine, address)


def ping(lab, machine, address):
    """The connection manager, SEND, READ and WRITE, with the data verified at both ends."""
    lab.step("rping")
    server = machine.start("rping-server", "rping", "-s", "-a", address, "-V", "-C", PING_COUNT)
    wait_for_rdma_listener(machine, RPING_PORT)
    machine.run("rping", "-c", "-a", address, "-V", "-v", "-C", PING_COUNT, within=60)
    lab.check(server.wait(20) == 0, "the server of rping ended well")


def measure_writes(lab, machine, address):
    lab.step("ib_write_bw")
    measure = ["ib_write_bw", f"--port={WRITE_PORT}", "--iters=200", "--size=65536",
               "--report_gbits"]
    server = machine.start("ib_write_bw-server", *measure)
    wait_for_tcp_listener(machine, WRITE_PORT)
    finished = machine.run(*measure, address, within=90)
    lab.check(server.wait(20) == 0, "the server of ib_write_bw ended well")
    measured = re.search(r"^ *65536 +200 +\S+ +(\S+)", finished.output, re.MULTILINE)
    lab.check(measured, f"ib_write_bw printed its figure: {finished.output}")
    lab.note(f"ib_write_bw {float(measured[1]):.2f} Gb/s")


SCENARIOS = (
    Scenario("verbs-tools", "rdma link, ibv_devinfo, rping and ib_write_bw work", 180,
             verbs_tools, fast=True),
)
