"""Runs scenarios one after the other and says of each how it went."""

import json
import signal
import sys
import time
import traceback
from contextlib import contextmanager
from dataclasses import asdict, dataclass

from host.cache import LOGS, emptied_folder, resumed_folder
from host.errors import LabError, Skipped
from host.laboratory import Laboratory


@dataclass(frozen=True)
class Result:
    """What became of a scenario: PASS, FAIL or SKIP, and the reason or the findings."""

    name: str
    verdict: str
    seconds: float
    says: str

    def line(self):
        return f"{self.verdict}  {self.name:<36} {self.seconds:6.1f} s  {self.says}".rstrip()


class OutOfTime(BaseException):
    """The time of a scenario is over. Not an `Exception`, so that no handler swallows it."""


def run_all(scenarios, wishes, narrate):
    """Runs the scenarios in order, prints a line for each, and returns the results."""
    results = []
    for scenario in scenarios:
        result = run_one(scenario, wishes, narrate)
        print(result.line(), flush=True)
        results.append(result)
    return results


def run_one(scenario, wishes, narrate):
    """Runs one scenario in surroundings of its own, which have ended when this returns."""
    folder = (resumed_folder if wishes.resume else emptied_folder)(LOGS / scenario.name)
    started = time.monotonic()
    laboratory = Laboratory(folder, wishes, narrate)
    try:
        verdict, says = attempt(scenario, laboratory)
    finally:
        laboratory.end()
    seconds = round(time.monotonic() - started, 1)
    result = Result(scenario.name, verdict, seconds, says or ", ".join(laboratory.notes))
    (folder / "result.json").write_text(json.dumps(asdict(result), indent=2) + "\n")
    return result


def attempt(scenario, laboratory):
    """Returns the verdict and, unless it is PASS, the reason."""
    try:
        with time_limit(scenario.within):
            scenario.body(laboratory)
        return "PASS", ""
    except Skipped as reason:
        return "SKIP", str(reason)
    except LabError as error:
        return "FAIL", f"{laboratory.step_name}: {error}"
    except OutOfTime:
        return "FAIL", f"{laboratory.step_name}: the scenario's {scenario.within:g} s are over"
    except Exception as error:  # A fault of the lab itself is this scenario's failure, not the end.
        traceback.print_exc(file=sys.stderr)
        return "FAIL", f"{laboratory.step_name}: fault in the lab: {error!r}"


@contextmanager
def time_limit(seconds):
    """Raises `OutOfTime` in the middle of whatever is going on when the time is over."""

    def expire(_number, _frame):
        raise OutOfTime

    previous = signal.signal(signal.SIGALRM, expire)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
