"""Real sources that ask for what this version does not have: refused in that word, and unharmed."""

from contextlib import suppress
from functools import partial

from host.errors import LabError
from host.guests import running_guest
from host.link import add_loopback
from host.recorder import Ours, report
from host.scenario import Scenario

ENDS_WITHIN = 60
FAILED_WITHIN = 30
TICKS_AFTERWARDS = 5

# Version, capability of the source, and the word that the refusal has to have.
ASKED = (
    ("7.2", "x-ignore-shared", "x-ignore-shared"),
    ("7.2", "postcopy-ram", "postcopy"),
    ("10.0", "return-path", "return path"),
)


def unsupported(version, capability, word, lab):
    machine = lab.machine()
    ours = Ours(lab, machine, add_loopback(machine))
    lab.step(f"migrate with {capability}")
    source = running_guest(machine, lab.qemu(version), f"pc-i440fx-{version}")
    source.command("migrate-set-capabilities",
                   {"capabilities": [{"capability": capability, "state": True}]})
    recording = ours.receive("refused")
    # A source that cannot have its second connection fails before it answers.
    with suppress(LabError):
        source.migrate(ours.uri)
    code = recording.process.wait(ENDS_WITHIN)
    ended = report(recording.process)
    reason = ", ".join(filter(None, (ended["failure"], ended["cause"])))
    lab.check(code == 1, f"receive ended with {code}: {reason}")
    lab.check(word in reason, f"the refusal says {word!r}: {reason}")
    lab.note(reason)
    lab.step("the source goes on")
    source.wait_for_migration("failed", FAILED_WITHIN)
    source.wait_for_run_state("running", 20)
    source.wait_for_ticks(TICKS_AFTERWARDS, 30)
    lab.step("the recording says so")
    finished = machine.run(ours.program, "send", recording.folder, ours.uri, within=20, check=False)
    lab.check(finished.code == 2 and "incomplete: " in finished.errors and word in finished.errors,
              f"send refuses it: {finished.summary()}")
    source.quit()


SCENARIOS = tuple(
    Scenario(f"unsupported/{version}/{capability}", f"{capability} is refused in that word", 240,
             partial(unsupported, version, capability, word))
    for version, capability, word in ASKED
)
