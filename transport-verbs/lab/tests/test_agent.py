"""The agent and the driver's end of its line, joined by a socket pair instead of a machine."""

import signal
import socket
import sys
import tempfile
import threading
import time
import unittest
from pathlib import Path

from host.cache import LAB
from host.channel import Channel
from host.errors import Expired, LabError

sys.path.insert(0, str(LAB / "guest"))
import agent  # noqa: E402  (in a machine it runs from its own folder)


class AgentTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        agent.JOB = Path(folder.name)
        ours, theirs = socket.socketpair()
        self.channel = Channel(ours, "host")
        serving = threading.Thread(target=agent.Agent(theirs.fileno()).serve)
        serving.start()
        self.addCleanup(theirs.close)
        self.addCleanup(serving.join, 10)
        self.addCleanup(ours.close)
        self.channel.hello(5)

    def request(self, do, **arguments):
        return self.channel.request(do, arguments, do, 5)

    def run_shell(self, script, within=5):
        return self.request("run", argv=["sh", "-c", script], within=within, environment={})

    def start_shell(self, script):
        return self.request("start", argv=["sh", "-c", script], log="log", environment={})

    def test_a_program_is_run_to_its_end(self):
        answer = self.run_shell("echo out; echo err >&2; exit 3")
        self.assertEqual(answer, {"code": 3, "output": "out\n", "errors": "err\n"})

    def test_a_program_that_outlives_its_deadline_is_killed_with_its_children(self):
        started = time.monotonic()
        answer = self.run_shell("echo begun; sleep 60 & wait", within=0.3)
        self.assertEqual((answer["code"], answer["output"]), (None, "begun\n"))
        self.assertLess(time.monotonic() - started, 5)

    def test_a_started_program_is_waited_for_and_signalled(self):
        process = self.start_shell("echo hello; sleep 60")
        self.assertIsNone(self.request("wait", process=process, within=0.1))
        self.request("signal", process=process, number=signal.SIGKILL)
        self.assertEqual(self.request("wait", process=process, within=5), -signal.SIGKILL)
        self.assertEqual((agent.JOB / "log").read_text(), "hello\n")

    def test_what_still_runs_ends_with_the_agent(self):
        marker = agent.JOB / "ended"
        self.start_shell(f"trap 'touch {marker}; exit' TERM; echo ready;"
                         "while :; do sleep 0.1; done")
        while "ready" not in (agent.JOB / "log").read_text():
            time.sleep(0.05)
        self.request("end")
        self.assertTrue(marker.exists())

    def test_a_request_that_fails_says_why_and_the_agent_lives_on(self):
        with self.assertRaisesRegex(LabError, "host: run: FileNotFoundError"):
            self.request("run", argv=["/nonexistent"], within=5, environment={})
        with self.assertRaisesRegex(LabError, "unknown request dance"):
            self.request("dance")
        self.assertEqual(self.run_shell("exit 0")["code"], 0)


class ChannelTest(unittest.TestCase):
    def setUp(self):
        ours, self.peer = socket.socketpair()
        self.addCleanup(ours.close)
        self.addCleanup(self.peer.close)
        self.channel = Channel(ours, "host")

    def test_a_silent_machine_is_given_up_at_the_deadline_and_named(self):
        with self.assertRaisesRegex(Expired, "host: boot: not within 0.1 s"):
            self.channel.hello(0.1)

    def test_a_machine_that_ends_is_noticed_at_once(self):
        self.peer.close()
        with self.assertRaisesRegex(LabError, "host: boot: the machine ended"):
            self.channel.hello(60)

    def test_the_answer_to_a_request_given_up_is_not_taken_for_the_next(self):
        self.peer.sendall(b'{"id": 7, "result": "late"}\n{"id": 0, "result": "hello"}\n')
        self.assertEqual(self.channel.hello(5), "hello")


if __name__ == "__main__":
    unittest.main()
