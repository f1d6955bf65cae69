"""The kernel of the lab's machines: Debian's own, unpacked, with the modules for soft-RoCE."""

import functools
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from host.cache import LAB, folder_made_once
from host.errors import CannotRun
from host.packages import RELEASE, Archive, run

# Adding a soft-RoCE link fails without crc32_generic, and no dependency of rdma_rxe says so.
MODULES = (
    "virtio_pci",
    "virtio_net",
    "virtio_rng",
    "virtio_console",
    "9pnet_virtio",
    "9p",
    "af_packet",
    "veth",
    "crc32_generic",
    "crc32c_generic",
    "rdma_rxe",
    "ib_uverbs",
    "rdma_cm",
    "rdma_ucm",
)
BUSYBOX = Path("/bin/busybox")


@dataclass(frozen=True)
class Kernel:
    version: str
    image: Path
    initramfs: Path


@functools.cache
def prepare():
    """Returns the kernel in the cache, with an initial file system made anew for this run."""
    folder = folder_made_once("kernel", unpack)
    version = next((folder / "lib" / "modules").iterdir()).name
    initramfs = folder / "initramfs"
    build_initramfs(folder, version, initramfs)
    return Kernel(version, folder / "boot" / f"vmlinuz-{version}", initramfs)


def versioned_package(archive):
    """The package that holds the kernel: the other one only depends on the newest of them."""
    for name in archive.dependencies("linux-image-amd64"):
        if re.fullmatch(r"linux-image-\d.*-amd64", name):
            return name
    raise CannotRun(f"no kernel package in {archive.suite}")


def unpack(target):
    archive = Archive(RELEASE)
    package = versioned_package(archive)
    archive.unpack([package], target)
    run(["depmod", "--basedir", str(target), package.removeprefix("linux-image-")])


def build_initramfs(folder, version, path):
    """Packs busybox, the modules in the order in which they load, and `init`."""
    root = folder / "initramfs.root"
    shutil.rmtree(root, ignore_errors=True)
    for name in ("bin", "modules", "proc", "sys", "dev", "host"):
        (root / name).mkdir(parents=True)
    shutil.copy(BUSYBOX, root / "bin" / "busybox")
    shutil.copy(LAB / "guest" / "init", root / "init")
    modules = folder / "lib" / "modules" / version
    order = loading_order(modules, MODULES)
    for module in order:
        shutil.copy(modules / module, root / "modules")
    names = [Path(module).name for module in order]
    (root / "modules" / "order").write_text("".join(f"{name}\n" for name in names))
    # Renamed when whole: a machine that is starting may be reading the one made before.
    unfinished = path.with_suffix(".unfinished")
    pack = f"find . | cpio --quiet --create --format=newc --owner=0:0 --file=../{unfinished.name}"
    run(["sh", "-c", pack], folder=root)
    unfinished.rename(path)
    shutil.rmtree(root)


def loading_order(modules, wanted):
    """Returns the files of the wanted modules and of all they need, the needed ones first."""
    needs = {}
    for line in (modules / "modules.dep").read_text().splitlines():
        module, dependencies = line.split(":")
        needs[module] = dependencies.split()
    file_of = {module_name(file): file for file in needs}
    builtin = {module_name(line) for line in (modules / "modules.builtin").read_text().split()}
    order = []
    for name in wanted:
        if name in builtin:
            continue
        if name not in file_of:
            raise CannotRun(f"the kernel has no module {name}")
        # modules.dep lists the direct and indirect needs, each after those that need it.
        for file in [*reversed(needs[file_of[name]]), file_of[name]]:
            if file not in order:
                order.append(file)
    return order


def module_name(file):
    return Path(file).name.split(".")[0].replace("-", "_")
