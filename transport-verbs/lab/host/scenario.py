"""A scenario: its name, what it shows, how long it may take; and how names select scenarios."""

from collections.abc import Callable
from dataclasses import dataclass

from host.laboratory import Laboratory


@dataclass(frozen=True)
class Scenario:
    """`body` raises `LabError` if what the scenario shows is not so, `Skipped` if it cannot run."""

    name: str
    shows: str
    within: float
    body: Callable[[Laboratory], None]
    fast: bool = False
    # Too long for `--all`: it has to be named.
    apart: bool = False


def selected(scenarios, pattern):
    """The scenarios of that name or below it: `capture` selects `capture/7.2/pc/dynamic` too."""
    below = pattern.rstrip("/") + "/"
    return [scenario for scenario in scenarios if (scenario.name + "/").startswith(below)]
