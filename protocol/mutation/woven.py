"""The first stage: every mutant in one build, and the tests' programs with one of them active."""
import json, os, shutil, subprocess, sys, time

import common, programs
from common import HERE, PACKAGE, PLAN, STATE, say

WORKSPACE = STATE / "woven"
SOURCES = WORKSPACE / "protocol" / "src"


def prepare():
    """Lists the mutants, weaves them until the copy compiles, and writes the plan."""
    if PLAN.exists():
        return
    common.export(WORKSPACE)
    shutil.rmtree(programs.COMMITTED_REGRESSIONS, ignore_errors=True)
    if (WORKSPACE / "protocol" / programs.REGRESSIONS).exists():
        shutil.copytree(WORKSPACE / "protocol" / programs.REGRESSIONS, programs.COMMITTED_REGRESSIONS)
    listed = subprocess.run(
        ["cargo", "mutants", "--list", "--json", "--package", PACKAGE, "--dir", WORKSPACE],
        check=True, stdout=subprocess.PIPE).stdout
    mutants = json.loads(listed)
    for number, mutant in enumerate(mutants, 1):
        mutant["number"] = number
        del mutant["diff"]
    weave = build_weave()
    pristine = STATE / "pristine"
    shutil.rmtree(pristine, ignore_errors=True)
    shutil.copytree(SOURCES, pristine)
    does_not_compile = set()
    while True:
        shutil.rmtree(SOURCES)
        shutil.copytree(pristine, SOURCES)
        wanted = [m for m in mutants if m["number"] not in does_not_compile]
        woven = json.loads(subprocess.run([weave, WORKSPACE], check=True, stdout=subprocess.PIPE,
                                          input=json.dumps({"mutants": wanted}).encode()).stdout)
        add_switch()
        broken = compile_errors(mutants, woven)
        count = sum(1 for each in woven if each["lines"])
        say(f"{len(mutants)} mutants, {count} woven, {len(broken)} of them do not compile")
        if not broken:
            break
        does_not_compile |= broken
    why = {each["number"]: each["left_out"] for each in woven if each["left_out"]}
    why |= dict.fromkeys(does_not_compile, "does not compile when woven")
    for mutant in mutants:
        mutant["left_out"] = why.get(mutant["number"])
    common.write(PLAN, json.dumps(mutants, indent=1))


def build_weave():
    target = STATE / "weave"
    subprocess.run(["cargo", "build", "--quiet", "--locked", "--target-dir", target],
                   cwd=HERE / "weave", check=True)
    return target / "debug" / "weave"


def add_switch():
    lib = SOURCES / "lib.rs"
    text = lib.read_text()
    if text.count("#![no_std]\n") != 1:
        sys.exit("lib.rs is not as this script knows it")
    text = text.replace("#![no_std]\n", "#![feature(core_intrinsics, const_eval_select)]\n"
                        "#![allow(warnings, internal_features, clippy::all)]\n#![no_std]\n")
    lib.write_text(text + "#[doc(hidden)]\npub mod mutation_switch;\n")
    shutil.copy(HERE / "mutation_switch.rs", SOURCES)


def compile_errors(mutants, woven):
    """The numbers of the mutants in whose own text the compiler finds an error."""
    file_of = {mutant["number"]: mutant["file"] for mutant in mutants}
    at = {(file_of[each["number"]], line): each["number"] for each in woven if each["lines"]
          for line in range(each["lines"][0], each["lines"][1] + 1)}
    check = cargo("check", "--package", PACKAGE, "--message-format", "json", check=False)
    broken, elsewhere = set(), []
    for line in check.stdout.splitlines():
        message = json.loads(line)
        if message["reason"] != "compiler-message" or message["message"]["level"] != "error":
            continue
        spans = message["message"]["spans"]
        numbers = {at.get((span["file_name"], span["line_start"])) for span in spans
                   if span["is_primary"]} - {None}
        broken |= numbers
        if spans and not numbers:
            elsewhere.append(message["message"]["rendered"])
    if check.returncode and not broken:
        sys.exit("the woven copy does not compile, by no mutant's fault:\n" + "".join(elsewhere))
    return broken


def cargo(*arguments, check=True):
    # The switch has to work in `const fn`, for which the compiler has something that is not stable.
    environment = os.environ | {"RUSTC_BOOTSTRAP": PACKAGE.replace("-", "_")}
    return subprocess.run(["cargo", *arguments, "--locked", "--target-dir", STATE / "woven-target"],
                          cwd=WORKSPACE, env=environment, check=check, stdout=subprocess.PIPE, text=True)


def test(shard):
    """Tests every woven mutant that has no verdict yet."""
    prepare()
    ready = programs.all_of(cargo)
    done = common.verdicts("woven")
    mutants = [mutant for mutant in common.plan() if not mutant["left_out"]]
    todo = [mutant for mutant in mutants if mutant["name"] not in done and shard(mutant)]
    start = time.monotonic()
    for position, mutant in enumerate(todo, 1):
        verdict = {"name": mutant["name"], "verdict": "missed"}
        for program in ready:
            result, _ = program.run(mutant["number"])
            if result != "passed":
                verdict["verdict"] = "caught" if result == "failed" else "timeout"
                verdict["by"] = program.name
                break
        common.record("woven", verdict)
        if verdict["verdict"] == "missed" or position % 50 == 0:
            minutes = (time.monotonic() - start) / position * (len(todo) - position) / 60
            say(f"{position} of {len(todo)}, about {minutes:.0f} minutes left: "
                f"{verdict['verdict']} {mutant['name']}")
