"""The second stage: single mutants by cargo-mutants itself, one build each. They are

- those that could not be woven;
- those that the first stage missed: with the tests of the other default members as well;
- a sample of those that it caught, to see that both stages say the same.
"""
import json, os, shutil, signal, subprocess, sys, time

import common
from common import PACKAGE, STATE, say

WORKSPACE = STATE / "alone"
OUTPUT = STATE / "alone-output"
OTHERS = ["rdma-migration-transport-sim", "rdma-migration-conformance"]
# Which packages' tests, which of them, and the seconds after which they count as endless.
STEPS = [([PACKAGE], ["--lib"], 120), ([PACKAGE], [], 600), ([PACKAGE, *OTHERS], [], 1800)]
SAMPLE_ONE_IN = 60
VERDICTS = {"CaughtMutant": "caught", "MissedMutant": "missed", "Timeout": "timeout",
            "Unviable": "unviable"}


def test(shard):
    """Tests every mutant of this stage that has no verdict yet."""
    done = common.verdicts("alone")
    todo = [mutant for mutant in chosen() if mutant["name"] not in done and shard(mutant)]
    if not todo:
        return
    common.export(WORKSPACE)
    start = time.monotonic()
    for position, mutant in enumerate(todo, 1):
        name = mutant["name"]
        # The cheapest first: most are caught by the unit tests, whose build is the shortest.
        for packages, arguments, seconds in STEPS:
            verdict = judge(mutant, packages, arguments, seconds)
            if verdict != "missed":
                break
        common.record("alone", {"name": name, "verdict": verdict})
        minutes = (time.monotonic() - start) / position * (len(todo) - position) / 60
        say(f"{position} of {len(todo)} alone, about {minutes:.0f} minutes left: {verdict} {name}")


def chosen():
    woven = common.verdicts("woven")
    caught = 0
    for mutant in common.plan():
        verdict = woven.get(mutant["name"], {}).get("verdict")
        caught += verdict == "caught"
        in_sample = verdict == "caught" and caught % SAMPLE_ONE_IN == 1
        if mutant["left_out"] or verdict == "missed" or in_sample:
            yield mutant


def judge(mutant, packages, arguments, seconds):
    """What cargo-mutants says of this mutant, with these tests of these packages."""
    name = mutant["name"]
    shutil.rmtree(OUTPUT, ignore_errors=True)
    OUTPUT.mkdir(parents=True)
    tests = [part for package in packages for part in ("--test-package", package)]
    # The tests have passed in the unchanged tree: the first stage looks.
    said = run_to_its_end(
        ["cargo", "mutants", "--in-place", "--baseline", "skip", "--timeout", str(seconds),
         # Its own would take all cores, whatever CARGO_BUILD_JOBS says.
         "--jobserver", "false",
         "--package", PACKAGE, *tests, "--dir", WORKSPACE, "--output", OUTPUT, "--colors", "never",
         # By its place in the list: `--re` does not filter mutants that delete a field.
         "--shard", f"{mutant['number'] - 1}/{len(common.plan())}", "--", *arguments],
        os.environ | {"CARGO_TARGET_DIR": str(STATE / "alone-target"), "CARGO_PROFILE_DEV_DEBUG": "0"})
    outcomes = OUTPUT / "mutants.out" / "outcomes.json"
    found = json.loads(outcomes.read_text())["outcomes"] if outcomes.exists() else []
    if len(found) != 1 or found[0]["scenario"]["Mutant"]["name"] != name:
        sys.exit(f"cargo-mutants did not test {name}:\n{said}")
    return VERDICTS[found[0]["summary"]]


def run_to_its_end(command, environment):
    """What the command says. Where this script is ended, so is all that the command has started."""
    child = subprocess.Popen(command, env=environment, start_new_session=True, text=True,
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        said, _ = child.communicate()
    except BaseException:
        # It runs cargo in a process group of its own, and ends that only where it is asked to stop.
        child.send_signal(signal.SIGINT)
        child.wait()
        raise
    return said
