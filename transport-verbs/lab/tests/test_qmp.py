"""The QMP client against a scripted QEMU."""

import json
import socket
import tempfile
import threading
import unittest
from pathlib import Path

from guest import qmp

GREETING = {"QMP": {"version": {"qemu": {"major": 7, "minor": 2, "micro": 22}}}}


class ScriptedQemu:
    """Sends the greeting, then answers each command with the next messages of the script."""

    def __init__(self, folder, *script):
        self.path = str(Path(folder) / "qmp")
        self.commands = []
        self._script = [[{"return": {}}], *script]
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(self.path)
        self._listener.listen()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self):
        connection, _ = self._listener.accept()
        with connection, connection.makefile("rw", encoding="utf-8") as stream:
            self._say(stream, GREETING)
            for answers in self._script:
                command = stream.readline()
                if not command:
                    return
                self.commands.append(json.loads(command))
                for answer in answers:
                    self._say(stream, answer)

    @staticmethod
    def _say(stream, message):
        stream.write(json.dumps(message) + "\r\n")
        stream.flush()

    def end(self):
        self._thread.join(timeout=10)
        self._listener.close()


class QmpTest(unittest.TestCase):
    def connect(self, *script):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.qemu = ScriptedQemu(folder.name, *script)
        self.addCleanup(self.qemu.end)
        connection = qmp.Connection(self.qemu.path, 5, lambda: True)
        self.addCleanup(connection.close)
        return connection

    def test_a_connection_negotiates_and_knows_the_version(self):
        connection = self.connect()
        self.assertEqual(connection.version, "7.2.22")
        self.qemu.end()
        self.assertEqual(self.qemu.commands[0]["execute"], "qmp_capabilities")

    def test_an_event_before_the_answer_is_kept(self):
        connection = self.connect([{"event": "STOP"}, {"return": {"status": "paused"}}])
        self.assertEqual(connection.command("query-status", {}, 5), {"status": "paused"})
        self.assertEqual(connection.take_event("STOP", 5), {"event": "STOP"})
        self.assertEqual(connection.events, [])

    def test_an_error_of_qemu_is_told_in_its_words(self):
        connection = self.connect([{"error": {"class": "GenericError", "desc": "no such thing"}}])
        with self.assertRaisesRegex(qmp.QmpError, "cont: no such thing"):
            connection.command("cont", {}, 5)

    def test_silence_ends_at_the_deadline(self):
        connection = self.connect([], [])
        with self.assertRaisesRegex(qmp.QmpError, "no answer to cont in time"):
            connection.command("cont", {}, 0.1)
        connection.close()

    def test_a_qemu_that_goes_away_is_noticed(self):
        connection = self.connect([])
        with self.assertRaisesRegex(qmp.QmpError, "QEMU closed the connection during quit"):
            connection.command("quit", {}, 5)

    def test_a_qemu_that_ended_is_not_waited_for(self):
        with self.assertRaisesRegex(qmp.QmpError, "QEMU ended early"):
            qmp.Connection("/nonexistent/qmp", 60, lambda: False)


if __name__ == "__main__":
    unittest.main()
