"""Which QEMU, with which machine, in which mode: what the scenarios are repeated for."""

from dataclasses import dataclass
from itertools import product

from host.qemu import VERSIONS

MACHINES = {"pc": "pc-i440fx", "q35": "pc-q35"}


@dataclass(frozen=True)
class Combination:
    """QEMU versions of both sides (equal where only one side is QEMU), machine and pin mode."""

    source: str
    destination: str
    machine: str
    pin_all: bool

    @property
    def name(self):
        """As in `7.2/pc/dynamic` or `7.2-to-10.0/pc/pin-all`."""
        versions = self.source
        if self.source != self.destination:
            versions = f"{self.source}-to-{self.destination}"
        return f"{versions}/{self.machine}/{'pin-all' if self.pin_all else 'dynamic'}"

    @property
    def machine_type(self):
        """The newest machine type that both sides have, by its full name: the short one differs
        between versions."""
        older = min(self.source, self.destination, key=VERSIONS.index)
        return f"{MACHINES[self.machine]}-{older}"


def of_one_version(versions=VERSIONS, machines=tuple(MACHINES), modes=(False, True)):
    """All combinations in which both sides have the same version: eight by default."""
    return [Combination(version, version, machine, pin_all)
            for version, machine, pin_all in product(versions, machines, modes)]


def across_versions(machine, pin_all):
    """Both directions between the two versions."""
    return [Combination(source, destination, machine, pin_all)
            for source, destination in (VERSIONS, VERSIONS[::-1])]
