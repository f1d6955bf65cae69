"""Choosing scenarios, running them, and what is said of each."""

import json
import tempfile
import time
import unittest
from pathlib import Path
from unittest import mock

import scenarios
from host import combination, runner
from host.errors import LabError, Skipped
from host.laboratory import Wishes
from host.scenario import Scenario, selected


def fail(_lab):
    raise LabError("the link is down")


def skip(_lab):
    raise Skipped("no package")


def hang(lab):
    lab.step("wait for nothing")
    try:
        time.sleep(30)
    except Exception:  # A handler of a scenario must not swallow the end of its time.
        time.sleep(30)


def stumble(_lab):
    raise IndexError("a fault of the lab")


class RunnerTest(unittest.TestCase):
    def run_body(self, body, within=5):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.logs = Path(folder.name)
        with mock.patch.object(runner, "LOGS", self.logs), mock.patch("traceback.print_exc"):
            return runner.run_one(Scenario("name", "", within, body), Wishes(), lambda line: None)

    def test_a_scenario_that_returns_has_passed_and_its_findings_are_told(self):
        result = self.run_body(lambda lab: lab.note("2 found"))
        self.assertEqual((result.verdict, result.says), ("PASS", "2 found"))
        self.assertEqual(json.loads((self.logs / "name/result.json").read_text())["verdict"],
                         "PASS")

    def test_a_failure_is_told_with_the_step_and_the_reason(self):
        result = self.run_body(fail)
        self.assertEqual((result.verdict, result.says), ("FAIL", "start: the link is down"))

    def test_a_claim_that_does_not_hold_is_a_failure(self):
        result = self.run_body(lambda lab: lab.check(False, "both are equal"))
        self.assertEqual((result.verdict, result.says), ("FAIL", "start: not so: both are equal"))

    def test_a_scenario_that_cannot_run_is_skipped(self):
        result = self.run_body(skip)
        self.assertEqual((result.verdict, result.says), ("SKIP", "no package"))

    def test_a_scenario_that_hangs_is_ended(self):
        result = self.run_body(hang, within=0.2)
        self.assertEqual(result.verdict, "FAIL")
        self.assertEqual(result.says, "wait for nothing: the scenario's 0.2 s are over")

    def test_a_fault_of_the_lab_is_a_failure_and_not_the_end_of_the_run(self):
        result = self.run_body(stumble)
        self.assertEqual(result.verdict, "FAIL")
        self.assertIn("fault in the lab: IndexError", result.says)


class SelectionTest(unittest.TestCase):
    def test_a_name_selects_itself_and_what_is_below_it(self):
        names = ("capture/7.2", "capture/10.0", "capture-all")
        found = selected([Scenario(name, "", 1, fail) for name in names], "capture")
        self.assertEqual([scenario.name for scenario in found], ["capture/7.2", "capture/10.0"])

    def test_no_two_scenarios_have_one_name(self):
        names = [scenario.name for scenario in scenarios.ALL]
        self.assertEqual(len(names), len(set(names)))


class CombinationTest(unittest.TestCase):
    def test_there_are_eight_of_one_version(self):
        names = {peers.name for peers in combination.of_one_version()}
        self.assertEqual(len(names), 8)
        self.assertIn("10.0/q35/pin-all", names)

    def test_across_versions_the_machine_type_is_one_that_both_have(self):
        types = {peers.machine_type for peers in combination.across_versions("q35", False)}
        self.assertEqual(types, {"pc-q35-7.2"})


if __name__ == "__main__":
    unittest.main()
