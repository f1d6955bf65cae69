"""RDMA links in a machine: soft-RoCE on a pair of virtual interfaces, or on the wire."""

import re

from host.deadline import poll_until

LOOPBACK_ADDRESS = "10.10.0.1"
WIRE_ADDRESSES = ("10.20.0.1", "10.20.0.2")
# Room for an RDMA MTU of 4096 bytes and its headers.
WIRE_MTU = 4200
LINK_WITHIN = 20


def add_loopback(machine):
    """Gives one machine a link on which both sides of a migration live, and its address.

    Both use the same address: the driver loops back internally and no packet leaves it.
    """
    machine.run("ip", "link", "add", "veth0", "type", "veth", "peer", "name", "veth1")
    machine.run("ip", "link", "set", "veth1", "up")
    return add_link(machine, "veth0", LOOPBACK_ADDRESS)


def add_wire(machine, number):
    """Gives a machine that shares a wire with another a link on it, and its address (0 or 1)."""
    return add_link(machine, "eth0", WIRE_ADDRESSES[number])


def add_link(machine, interface, address):
    machine.run("ip", "link", "set", interface, "mtu", WIRE_MTU, "up")
    machine.run("ip", "address", "add", f"{address}/24", "dev", interface)
    machine.run("rdma", "link", "add", "rxe0", "type", "rxe", "netdev", interface)
    wait_for_output(machine, "an active RDMA link", "state ACTIVE", "rdma", "link")
    return address


def wait_for_rdma_listener(machine, port):
    """Waits until a program in the machine listens on an RDMA connection manager port."""
    wait_for_output(machine, f"an RDMA listener on port {port}", rf"LISTEN .*:{port}\b",
                    "rdma", "resource", "show", "cm_id")


def wait_for_tcp_listener(machine, port):
    wait_for_output(machine, f"a TCP listener on port {port}", r"LISTEN",
                    "ss", "-H", "-l", "-t", f"sport = :{port}")


def wait_for_output(machine, what, pattern, *argv):
    """Runs a program again and again until its output has a match for the pattern."""
    poll_until(f"{machine.name}: {what}", LINK_WITHIN,
               lambda: re.search(pattern, machine.run(*argv).output))
