"""A program is stopped in the phase that its output names, and nowhere later."""

import signal
import subprocess
import sys
import time
import unittest

from host.hypervisor import stopping

COUNTER = "import os\nfor number in range(1000): os.write(2, b'at %d\\n' % number)"


class StopAt(unittest.TestCase):
    def start(self, *texts, program=COUNTER):
        command = [*map(str, stopping(texts)), sys.executable, "-c", program]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True,
                                   start_new_session=True)
        self.addCleanup(process.stdout.close)
        return process

    def test_it_stops_after_the_texts_in_their_order_and_goes_on_when_told(self):
        process = self.start("at 7\n", "at 3\n", "at 500\n", program=COUNTER + "\n" + COUNTER)
        lines = []
        while "stop_at: stopped\n" not in lines:
            lines.append(process.stdout.readline())
        self.assertEqual(lines[-2], "at 500\n")
        self.assertEqual(lines.count("at 3\n"), 2)
        time.sleep(0.3)
        subprocess.run(["pkill", "-CONT", "--pgroup", str(process.pid)], check=True)
        self.assertEqual(process.stdout.read().splitlines()[-1], "at 999")
        self.assertEqual(process.wait(10), 0)

    def test_it_is_at_most_one_write_ahead(self):
        process = self.start("at 10\n")
        lines = []
        while "stop_at: stopped\n" not in lines:
            lines.append(process.stdout.readline())
        time.sleep(0.3)
        process.send_signal(signal.SIGKILL)
        subprocess.run(["pkill", "-KILL", "--pgroup", str(process.pid)], check=False)
        self.assertEqual(lines[-2], "at 10\n")
        self.assertIn(process.stdout.read(), ("", "at 11\n"))
        process.wait(10)

    def test_the_exit_code_is_that_of_the_program(self):
        killed = "import os; os.kill(os.getpid(), 9)"
        for program, code in (("raise SystemExit(7)", 7), (killed, 137)):
            process = self.start("never", program=program)
            self.assertEqual(process.wait(10), code)


if __name__ == "__main__":
    unittest.main()
