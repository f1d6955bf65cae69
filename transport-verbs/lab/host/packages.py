"""Debian packages: those that must be installed, and those that are only unpacked in the cache.

The unpacked ones come from the mirror that the host's apt already uses, through index files and
settings of the lab's own: the host's apt configuration and its index files stay as they are.
"""

import os
import shutil
import subprocess

from host.cache import CACHE
from host.errors import CannotRun

REQUIRED = (
    "busybox-static",
    "cpio",
    "ibverbs-providers",
    "ibverbs-utils",
    "iproute2",
    "kmod",
    "libclang-dev",
    "libibverbs-dev",
    "librdmacm-dev",
    "perftest",
    "pkg-config",
    "qemu-system-x86",
    "rdma-core",
    "rdmacm-utils",
    "tcpdump",
    "tshark",
)
INSTALL = ["apt-get", "install", "--yes", "--no-install-recommends", *REQUIRED]
RELEASE = "bookworm"
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
DOWNLOAD_WITHIN = 300


def require_installed():
    """Raises `CannotRun` with the one line to type if a required package is missing."""
    missing = [package for package in REQUIRED if not is_installed(package)]
    if missing:
        raise CannotRun(f"missing packages: {' '.join(missing)}\ninstall: {' '.join(INSTALL)}")


def is_installed(package):
    query = ["dpkg-query", "--show", "--showformat=${db:Status-Abbrev}", package]
    answer = subprocess.run(query, capture_output=True, text=True, check=False)
    return answer.stdout.startswith("ii")


def install():
    """Installs the required packages on the host."""
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (["apt-get", "update"], [*INSTALL, "--option=DPkg::Lock::Timeout=300"]):
        if subprocess.run(command, env=environment, check=False).returncode != 0:
            raise CannotRun(f"{' '.join(command)} failed")


class Archive:
    """One suite of the host's Debian mirror, seen through index files of the lab's own."""

    def __init__(self, suite):
        self.suite = suite
        self._folder = CACHE / "apt" / suite
        self._is_updated = False

    def dependencies(self, package):
        """Returns the names of the packages that a package depends on."""
        self._update()
        lines = self._apt("apt-cache", "depends", "--important", package).splitlines()
        marker = "Depends: "
        return [line.split(marker)[1].strip() for line in lines if marker in line]

    def unpack(self, packages, target):
        """Downloads packages and unpacks them into a folder."""
        self._update()
        downloads = target / "downloads"
        downloads.mkdir()
        self._apt("apt-get", "download", *packages, folder=downloads)
        for package in sorted(downloads.iterdir()):
            run(["dpkg-deb", "--extract", str(package), str(target)])
        shutil.rmtree(downloads)

    def _update(self):
        if self._is_updated:
            return
        for name in ("lists/partial", "cache/archives/partial"):
            (self._folder / name).mkdir(parents=True, exist_ok=True)
        (self._folder / "status").touch()
        sources = f"deb [signed-by={KEYRING}] {mirror()} {self.suite} main\n"
        (self._folder / "sources.list").write_text(sources)
        self._apt("apt-get", "update")
        self._is_updated = True

    def _apt(self, program, *arguments, folder=None):
        settings = {
            "Dir::State::lists": self._folder / "lists",
            "Dir::State::status": self._folder / "status",
            "Dir::Cache": self._folder / "cache",
            "Dir::Etc::sourcelist": self._folder / "sources.list",
            "Dir::Etc::sourceparts": "-",
            "APT::Sandbox::User": "",
            "APT::Get::Download-Only": "true",
            "Acquire::Retries": "3",
        }
        options = [f"--option={name}={value}" for name, value in settings.items()]
        return run([program, *options, *arguments], folder=folder)


def mirror():
    """The address from which the host's apt gets Debian itself."""
    listing = run(["apt-get", "indextargets", "--format", "$(CODENAME) $(REPO_URI)",
                   "Created-By: Packages"])
    for line in listing.splitlines():
        codename, address = line.split(" ", 1)
        if codename == RELEASE:
            return address
    raise CannotRun(f"apt on this host has no source for Debian {RELEASE}")


def run(command, folder=None):
    """Runs a program that is part of making the lab, and returns what it printed."""
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True,
                              stdin=subprocess.DEVNULL, timeout=DOWNLOAD_WITHIN, check=False)
    except subprocess.TimeoutExpired as error:
        raise CannotRun(f"{command[0]}: not within {DOWNLOAD_WITHIN} s") from error
    except FileNotFoundError as error:
        raise CannotRun(f"{command[0]} is not installed") from error
    if done.returncode != 0:
        raise CannotRun(f"{' '.join(map(str, command))} failed: {done.stderr.strip()}")
    return done.stdout
