"""A virtual machine of the lab, and what a scenario can do in it.

It runs Debian's kernel under QEMU's own emulation (no KVM is needed) with the host's file system
read-only as its root. Its folder among the logs is writable in it, as /run/lab.
"""

import ctypes
import os
import shlex
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from host.cache import LAB
from host.channel import Channel
from host.deadline import poll_until
from host.errors import Expired, LabError

BOOT_WITHIN = 120
END_WITHIN = 10
PROCESSORS = 2
SCRATCH = "/run/scratch"
PR_SET_PDEATHSIG = 1
LIBC = ctypes.CDLL(None)


@dataclass(frozen=True)
class Wire:
    """One end of the network between two machines, and the last byte of its hardware address."""

    end: socket.socket
    number: int


class Machine:
    """A machine from its start on. It ends with `end`, or at the latest with the driver."""

    def __init__(self, name, kernel, folder, memory_mib, keep=False, wire=None):
        """Starts the machine, which then boots.

        `keep`: files made in /run/scratch stay in `folder`. `wire` makes the machine one of two
        that share a network.
        """
        self.name = name
        self.folder = folder
        self.memory_peak_mib = 0
        folder.mkdir(parents=True)
        write_start_script(folder / "start", keep)
        ours, theirs = socket.socketpair()
        handed_over = [theirs.fileno()] + ([wire.end.fileno()] if wire else [])
        started = time.monotonic()
        with open(folder / "emulator.log", "wb") as log:
            self._process = subprocess.Popen(
                command_line(kernel, folder, memory_mib, theirs.fileno(), wire),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                pass_fds=handed_over,
                start_new_session=True,
                preexec_fn=end_with_the_driver,
            )
        theirs.close()
        self._channel = Channel(ours, name)
        self._started = started

    def wait_for_boot(self):
        """Waits until the machine can be used and returns the seconds since its start."""
        try:
            self._channel.hello(BOOT_WITHIN)
        except LabError as error:
            raise LabError(f"{error}; {self._last_words()}") from error
        return time.monotonic() - self._started

    def run(self, *argv, within=30, check=True, environment=None):
        """Runs a program to its end and returns `Finished`. Fails if it fails, unless told."""
        argv = [str(argument) for argument in argv]
        what = shlex.join(argv)
        request = {"argv": argv, "environment": environment or {}, "within": within}
        answer = self.request("run", request, what, within)
        finished = Finished(argv, **answer)
        if finished.code is None:
            raise Expired(f"{self.name}: {what}", within)
        if check and finished.code != 0:
            raise LabError(f"{self.name}: {what} failed: {finished.summary()}")
        return finished

    def start(self, name, *argv, environment=None):
        """Starts a program beside the scenario. Its output goes to `NAME.log`."""
        argv = [str(argument) for argument in argv]
        log = f"{name}.log"
        request = {"argv": argv, "environment": environment or {}, "log": log}
        process = self.request("start", request, f"start {name}")
        return Program(self, name, process, self.folder / log)

    def write_file(self, path, content):
        """Writes a file in the machine, where it is writable: /sys, /proc, /run."""
        self.request("write_file", {"path": path, "content": content}, f"write {path}")

    def read_file(self, path):
        return self.request("read_file", {"path": path}, f"read {path}")

    def request(self, do, arguments, what, within=10):
        """Has the agent do one of its operations; see `guest/agent.py`."""
        try:
            return self._channel.request(do, arguments, what, within)
        except LabError as error:
            if not self._has_ended(within=1):
                raise
            raise LabError(f"{error}; {self._last_words()}") from error

    def end(self):
        """Ends the machine: asks an agent that listens, so that logs are flushed, or kills it."""
        if self._process.poll() is not None:
            return
        self.memory_peak_mib = peak_memory_mib(self._process.pid)
        try:
            if not self._channel.is_waiting:
                self._channel.request("end", {}, "end", 0)
                self._has_ended(END_WITHIN)
        except LabError:
            pass  # It ends all the same, by the next line.
        finally:
            self.kill()

    def _has_ended(self, within):
        try:
            self._process.wait(timeout=within)
        except subprocess.TimeoutExpired:
            return False
        return True

    def kill(self):
        """Ends the machine at once, as a power failure does."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    def _last_words(self):
        for log in ("emulator.log", "console.log"):
            path = self.folder / log
            lines = path.read_text(errors="replace").split("\n") if path.exists() else []
            words = [line.strip() for line in lines if line.strip()]
            if words:
                return f"{log} ends: {' | '.join(words[-3:])}"
        return "it said nothing"


class Finished:
    """How a program ended: its exit code, None if it was killed at its deadline, and its output."""

    def __init__(self, argv, code, output, errors):
        self.argv = argv
        self.code = code
        self.output = output
        self.errors = errors

    def summary(self):
        said = (self.errors or self.output).strip().splitlines()
        return f"exit code {self.code}: {' | '.join(said[-3:])}"


class Program:
    """A program that runs in a machine beside the scenario."""

    def __init__(self, machine, name, process, log):
        self._machine = machine
        self.process = process
        self.name = name
        self.log = log

    def wait(self, within):
        """Waits for the end and returns the exit code, negative for a signal."""
        code = self.exit_code(within)
        if code is None:
            raise Expired(f"{self._machine.name}: the end of {self.name}", within)
        return code

    def exit_code(self, within=0):
        """Returns the exit code, or None if the program still runs after `within` seconds."""
        request = {"process": self.process, "within": within}
        return self._machine.request("wait", request, f"wait for {self.name}", within)

    def signal(self, number):
        request = {"process": self.process, "number": number}
        self._machine.request("signal", request, f"signal {self.name}")

    def kill(self):
        self.signal(signal.SIGKILL)

    def wait_for_text(self, text, within=20):
        """Waits until the program has printed a text."""
        poll_until(f"{self._machine.name}: {self.name} printed {text!r}", within,
                   lambda: text in self.said())

    def said(self):
        return self.log.read_text(errors="replace")


def command_line(kernel, folder, memory_mib, agent, wire=None):
    """Only what the machine needs is in it: no default devices, no user configuration."""
    command = [
        "qemu-system-x86_64", "-accel", "tcg,thread=multi",
        "-smp", str(PROCESSORS), "-m", str(memory_mib),
        "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-nic", "none",
        "-serial", f"file:{quoted(folder)}/console.log",
        "-kernel", str(kernel.image), "-initrd", str(kernel.initramfs),
        "-append", "console=ttyS0 panic=-1 quiet",
        "-device", "virtio-rng-pci",
        "-virtfs", "local,path=/,mount_tag=host,security_model=none,multidevs=remap,readonly=on",
        "-virtfs", f"local,path={quoted(folder)},mount_tag=job,security_model=none",
        "-device", "virtio-serial-pci",
        "-chardev", f"socket,id=agent,fd={agent}",
        "-device", "virtserialport,chardev=agent,name=lab.agent",
    ]
    if wire is not None:
        command += ["-netdev", f"socket,id=wire,fd={wire.end.fileno()}",
                    "-device", f"virtio-net-pci,netdev=wire,mac=52:54:00:00:00:{wire.number:02x}"]
    return command


def quoted(path):
    """QEMU's option syntax doubles a comma that belongs to a value."""
    return str(path).replace(",", ",,")


def write_start_script(path, keep):
    """What `init` runs once the host's files are in place."""
    environment = {"PATH": os.environ["PATH"] + ":/usr/sbin:/sbin", "HOME": "/root",
                   "TMPDIR": SCRATCH, "LC_ALL": "C.UTF-8", "PYTHONDONTWRITEBYTECODE": "1"}
    lines = [f"export {name}={shlex.quote(value)}" for name, value in environment.items()]
    interpreter = Path(sys.executable).resolve()
    agent = LAB / "guest" / "agent.py"
    if keep:
        lines += ["mkdir /run/lab/scratch", f"mount --bind /run/lab/scratch {SCRATCH}"]
    lines += [f"cd {SCRATCH}", f"exec {shlex.quote(str(interpreter))} {shlex.quote(str(agent))}"]
    path.write_text("".join(f"{line}\n" for line in lines))


def end_with_the_driver():
    """Has the kernel end the machine when the driver dies, even by SIGKILL."""
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def peak_memory_mib(process):
    for line in Path(f"/proc/{process}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) // 1024
    return 0
