"""The two guests of a migration: one that runs and has something in its RAM, and one that waits."""

from host.guest_memory import patchwork
from host.guest_program import MIB, option_rom
from host.hypervisor import Hypervisor

# The firmware works in low memory and, with 64 MiB of RAM, just below 48 MiB; the guest's program
# writes from 12 to 16 MiB. Nothing touches what is put here.
PATCHWORK_AT = 16 * MIB
PATCHWORK_CHUNKS = 20
SEED = 72
PATCHWORK_FILE = "/run/lab/patchwork"
ROM_FILE = "/run/lab/guest.rom"
START_WITHIN = 30


def running_guest(machine, installation, machine_type, name="source",
                  patchwork_chunks=PATCHWORK_CHUNKS, arguments=(), **options):
    """Starts a guest that writes to its RAM and has a patchwork in it. It runs on return.

    `arguments` come at the end of the command line. `options`, here and below: see `Hypervisor`.
    """
    (machine.folder / "patchwork").write_bytes(patchwork(SEED, patchwork_chunks))
    loader = f"loader,file={PATCHWORK_FILE},addr={PATCHWORK_AT:#x},force-raw=on"
    guest = Hypervisor(machine, name, installation, machine_type,
                       [*rom_arguments(machine), "-device", loader, *arguments], **options)
    guest.wait_for_ticks(1, START_WITHIN)
    return guest


def waiting_guest(machine, installation, machine_type, uri, pin_all, name="destination",
                  **options):
    """Starts an empty guest that listens for a migration, and stays paused after it."""
    guest = Hypervisor(machine, name, installation, machine_type,
                       [*rom_arguments(machine), "-S", "-incoming", "defer"], **options)
    guest.allow_pin_all(pin_all)
    guest.command("migrate-incoming", {"uri": uri})
    return guest


def rom_arguments(machine):
    """Both sides need the ROM: it is a RAM block of its own."""
    (machine.folder / "guest.rom").write_bytes(option_rom())
    return ["-option-rom", ROM_FILE]
