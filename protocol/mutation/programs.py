"""The package's test programs, each in a process of its own with bounds on what it may use."""
import json, os, pathlib, resource, shutil, signal, subprocess, sys

import common
from common import PACKAGE, STATE, say

CPU_SECONDS_LEAST = 3
CPU_FACTOR = 6
WALL_SECONDS = 900
MEMORY_BYTES = 6 << 30
REGRESSIONS = "proptest-regressions"
COMMITTED_REGRESSIONS = STATE / REGRESSIONS


class Program:
    """A test program: its name, its file, the folder that it runs in, and the CPU time it needs."""
    def __init__(self, name, path, folder, cpu_seconds=60):
        self.name, self.path, self.folder, self.cpu_seconds = name, path, folder, cpu_seconds

    def run(self, mutant):
        """("passed", "failed" or "timeout", CPU seconds). The bound is on CPU time, so that a busy
        machine changes no verdict; the bound on real time is for a process that sleeps."""
        limit = max(CPU_SECONDS_LEAST, int(CPU_FACTOR * self.cpu_seconds) + 1)

        def bounds():
            resource.setrlimit(resource.RLIMIT_CPU, (limit, limit))
            resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        environment = os.environ | {"ACTIVE_MUTANT": str(mutant), "PROPTEST_MAX_SHRINK_ITERS": "0",
                                    "PROPTEST_RNG_SEED": "1"}
        child = subprocess.Popen([self.path, "--quiet"], cwd=self.folder, env=environment,
                                 preexec_fn=bounds, start_new_session=True, stdin=subprocess.DEVNULL,
                                 stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        signal.signal(signal.SIGALRM, on_alarm)
        signal.alarm(WALL_SECONDS)
        asleep = False
        try:
            _, status, usage = os.wait4(child.pid, 0)
        except TimeoutError:
            asleep = True
        except BaseException:
            os.killpg(child.pid, signal.SIGKILL)
            raise
        finally:
            signal.alarm(0)
        if asleep:
            os.killpg(child.pid, signal.SIGKILL)
            _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode != 0:
            self.forget_failures()
        spent = usage.ru_utime + usage.ru_stime
        if asleep or (child.returncode < 0 and spent >= limit - 0.5):
            return "timeout", spent
        return ("passed" if child.returncode == 0 else "failed"), spent


    def forget_failures(self):
        """proptest keeps the cases that a mutant failed, and all that come after would start with
        them. Those that are committed stay."""
        kept = pathlib.Path(self.folder, REGRESSIONS)
        shutil.rmtree(kept, ignore_errors=True)
        if COMMITTED_REGRESSIONS.exists():
            shutil.copytree(COMMITTED_REGRESSIONS, kept)


def on_alarm(*_):
    raise TimeoutError


def all_of(cargo):
    """Builds the test programs once and measures them with no mutant active; the cheapest first."""
    kept = STATE / "programs.json"
    if not kept.exists():
        output = cargo("test", "--no-run", "--package", PACKAGE, "--message-format", "json").stdout
        measured = []
        for line in output.splitlines():
            message = json.loads(line)
            if not message.get("executable") or not message["profile"]["test"]:
                continue
            folder = str(pathlib.Path(message["manifest_path"]).parent)
            name = message["target"]["name"].removeprefix("rdma_migration_")
            verdict, spent = Program(name, message["executable"], folder).run(0)
            say(f"{name}: {verdict}, {spent:.2f} s of CPU, no mutant active")
            if verdict != "passed":
                sys.exit("the tests must pass while no mutant is active")
            measured.append([name, message["executable"], folder, spent])
        measured.sort(key=lambda each: each[3])
        common.write(kept, json.dumps(measured))
    return [Program(*each) for each in json.loads(kept.read_text())]
