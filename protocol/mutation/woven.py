"""The woven copy: every mutant in one build, and the tests' programs with one of them active."""
import json, os, pathlib, re, resource, shutil, signal, subprocess, sys, time

import common
from common import PACKAGE, REPOSITORY, STATE, say

WORKSPACE = STATE / "woven"
SOURCES = "protocol/src"
# The order is that of cost for one mutant found: the cheap and powerful first.
PROGRAMS = ["protocol", "dialogues", "wire_properties", "setup_properties", "captures", "hostile",
            "migrations"]
CPU_SECONDS_LEAST = 10
WALL_SECONDS = 600
MEMORY_BYTES = 6 << 30


def mutants():
    """The plan: what cargo-mutants lists, numbered, with what became of the weaving."""
    return json.loads((STATE / "plan.json").read_text())


def prepare():
    """Lists the mutants, weaves them until the copy compiles, and writes the plan."""
    if (STATE / "plan.json").exists():
        return
    common.export(WORKSPACE)
    listed = subprocess.run(
        ["cargo", "mutants", "--list", "--json", "--package", PACKAGE, "--dir", WORKSPACE],
        check=True, stdout=subprocess.PIPE).stdout
    plan = json.loads(listed)
    for number, mutant in enumerate(plan, 1):
        mutant["number"] = number
        del mutant["diff"]
    say(f"{len(plan)} mutants")
    weave = common.build_weave()
    pristine = STATE / "pristine"
    shutil.rmtree(pristine, ignore_errors=True)
    shutil.copytree(WORKSPACE / SOURCES, pristine)
    does_not_compile = set()
    while True:
        shutil.rmtree(WORKSPACE / SOURCES)
        shutil.copytree(pristine, WORKSPACE / SOURCES)
        wanted = [m for m in plan if m["number"] not in does_not_compile]
        woven = json.loads(subprocess.run([weave, WORKSPACE], check=True, stdout=subprocess.PIPE,
                                          input=json.dumps({"mutants": wanted}).encode()).stdout)
        add_switch()
        broken = compile_errors(plan, woven)
        say(f"woven: {sum(1 for w in woven if w['lines'])}, do not compile: {len(broken)}")
        if not broken:
            break
        does_not_compile |= broken
    why = {w["number"]: w["left_out"] for w in woven if w["left_out"]}
    why |= dict.fromkeys(does_not_compile, "does not compile when woven")
    for mutant in plan:
        mutant["left_out"] = why.get(mutant["number"])
    common.write(STATE / "plan.json", json.dumps(plan, indent=1))


def add_switch():
    lib = WORKSPACE / SOURCES / "lib.rs"
    text = lib.read_text()
    assert "#![no_std]\n" in text
    text = text.replace("#![no_std]\n", "#![feature(core_intrinsics, const_eval_select)]\n"
                        "#![allow(warnings, internal_features, clippy::all)]\n#![no_std]\n", 1)
    lib.write_text(text + "#[doc(hidden)]\npub mod mutation_switch;\n")
    shutil.copy(common.HERE / "mutation_switch.rs", WORKSPACE / SOURCES)


def compile_errors(plan, woven):
    """The numbers of the mutants in whose own text the compiler finds an error."""
    at = {}
    file_of = {m["number"]: m["file"] for m in plan}
    for each in woven:
        if each["lines"]:
            first, last = each["lines"]
            for line in range(first, last + 1):
                at[file_of[each["number"]], line] = each["number"]
    check = cargo("check", "--package", PACKAGE, "--message-format", "json", check=False)
    broken, elsewhere = set(), []
    for line in check.stdout.splitlines():
        message = json.loads(line)
        if message["reason"] != "compiler-message" or message["message"]["level"] != "error":
            continue
        spans = message["message"]["spans"]
        primary = [s for s in spans if s["is_primary"]] or spans
        numbers = {at.get((s["file_name"], s["line_start"])) for s in primary} - {None}
        broken |= numbers
        if not numbers and spans:
            elsewhere.append(message["message"]["rendered"])
    if check.returncode and not broken:
        sys.exit("the woven copy does not compile, by no single mutant's fault:\n" + "".join(elsewhere))
    return broken


def cargo(*arguments, check=True):
    environment = os.environ | {"RUSTC_BOOTSTRAP": PACKAGE.replace("-", "_")}
    return subprocess.run(["cargo", *arguments, "--target-dir", REPOSITORY / "target"],
                          cwd=WORKSPACE, env=environment, check=check, stdout=subprocess.PIPE, text=True)


class Program:
    """A test program: its name, its file, the folder that it runs in, and the CPU time it needs."""
    def __init__(self, name, path, folder, cpu_seconds=None):
        self.name, self.path, self.folder, self.cpu_seconds = name, path, folder, cpu_seconds

    def run(self, mutant):
        """(verdict, CPU seconds): "passed", "failed" or "timeout"."""
        limit = max(CPU_SECONDS_LEAST, int(10 * (self.cpu_seconds or 60)))

        def limits():
            resource.setrlimit(resource.RLIMIT_CPU, (limit, limit))
            resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        environment = os.environ | {"ACTIVE_MUTANT": str(mutant), "PROPTEST_MAX_SHRINK_ITERS": "0",
                                    "CARGO_MANIFEST_DIR": str(self.folder), "RUST_BACKTRACE": "0"}
        child = subprocess.Popen([self.path, "--quiet"], cwd=self.folder, env=environment,
                                 preexec_fn=limits, start_new_session=True,
                                 stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                 stderr=subprocess.DEVNULL)
        timed_out = False
        signal.signal(signal.SIGALRM, on_alarm)
        signal.alarm(WALL_SECONDS)
        try:
            _, status, usage = os.wait4(child.pid, 0)
        except TimeoutError:
            timed_out = True
            os.killpg(child.pid, signal.SIGKILL)
            _, status, usage = os.wait4(child.pid, 0)
        finally:
            signal.alarm(0)
        child.returncode = os.waitstatus_to_exitcode(status)
        spent = usage.ru_utime + usage.ru_stime
        if timed_out or (child.returncode < 0 and spent >= limit - 1):
            return "timeout", spent
        return ("passed" if child.returncode == 0 else "failed"), spent


def on_alarm(*_):
    raise TimeoutError


def programs():
    """Builds the test programs, and measures them with no mutant active."""
    kept = STATE / "programs.json"
    if not kept.exists():
        built = {}
        output = cargo("test", "--no-run", "--package", PACKAGE, "--message-format", "json").stdout
        for line in output.splitlines():
            message = json.loads(line)
            if message.get("executable") and message["profile"]["test"]:
                folder = pathlib.Path(message["manifest_path"]).parent
                name = message["target"]["name"]
                built["protocol" if "lib" in message["target"]["kind"] else name] = (
                    message["executable"], str(folder))
        unknown = built.keys() ^ set(PROGRAMS)
        if unknown:
            sys.exit(f"test programs that woven.py does not know, or that are gone: {unknown}")
        measured = []
        for name in PROGRAMS:
            verdict, spent = Program(name, *built[name]).run(0)
            say(f"{name}: {verdict}, {spent:.1f} s of CPU, no mutant active")
            if verdict != "passed":
                sys.exit("the tests must pass while no mutant is active")
            measured.append([name, *built[name], spent])
        common.write(kept, json.dumps(measured))
    return [Program(*each) for each in json.loads(kept.read_text())]


def test(shard):
    """Tests every woven mutant that has no verdict yet."""
    prepare()
    ready = programs()
    done = common.verdicts("woven")
    todo = [m for m in mutants() if not m["left_out"] and m["name"] not in done and shard.has(m)]
    start = time.monotonic()
    for position, mutant in enumerate(todo, 1):
        verdict, by = "missed", None
        for program in ready:
            result, _ = program.run(mutant["number"])
            if result != "passed":
                verdict, by = ("caught" if result == "failed" else "timeout"), program.name
                break
        common.record("woven", {"name": mutant["name"], "verdict": verdict, "by": by})
        if verdict == "missed" or position % 50 == 0:
            left = (time.monotonic() - start) / position * (len(todo) - position)
            say(f"{position} of {len(todo)}, {left / 60:.0f} minutes left: {verdict} {mutant['name']}")
