"""What the lab is made of: packages, kernel modules, command lines; and how its files look."""

import tempfile
import unittest
from pathlib import Path

from host import packages
from host.cache import LAB
from host.errors import CannotRun
from host.kernel import Kernel, loading_order
from host.machine import command_line

LINES_MAX = 400
COLUMNS_MAX = 100


class ModulesTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.modules = Path(folder.name)
        (self.modules / "modules.builtin").write_text("kernel/lib/built-in.ko\n")
        (self.modules / "modules.dep").write_text(
            "a/top.ko: b/middle-one.ko c/base.ko\nb/middle-one.ko: c/base.ko\nc/base.ko:\n")

    def test_what_a_module_needs_is_loaded_before_it(self):
        self.assertEqual(loading_order(self.modules, ["top"]),
                         ["c/base.ko", "b/middle-one.ko", "a/top.ko"])

    def test_each_module_is_loaded_once_whatever_its_spelling(self):
        self.assertEqual(loading_order(self.modules, ["middle_one", "base", "middle_one"]),
                         ["c/base.ko", "b/middle-one.ko"])

    def test_what_the_kernel_has_built_in_is_not_loaded(self):
        self.assertEqual(loading_order(self.modules, ["built_in"]), [])

    def test_a_module_that_is_missing_is_named(self):
        with self.assertRaisesRegex(CannotRun, "no module rdma_rxe"):
            loading_order(self.modules, ["rdma_rxe"])


class CommandLineTest(unittest.TestCase):
    def test_the_host_is_shared_read_only_and_only_the_job_folder_is_not(self):
        kernel = Kernel("6.1", Path("/k"), Path("/i"))
        shares = [argument for argument in command_line(kernel, Path("/a,b"), 64, 5)
                  if argument.startswith("local,")]
        self.assertEqual(len(shares), 2)
        self.assertIn("path=/,", shares[0])
        self.assertTrue(shares[0].endswith(",readonly=on"))
        self.assertIn("path=/a,,b,", shares[1])


class FilesTest(unittest.TestCase):
    def test_the_line_to_type_is_the_one_that_the_readme_shows(self):
        self.assertIn(" ".join(packages.INSTALL) + "\n", (LAB / "README.md").read_text())

    def test_files_are_short_enough_to_read(self):
        for path in [LAB / "run", LAB / "guest" / "init", *LAB.rglob("*.py")]:
            lines = path.read_text().splitlines()
            with self.subTest(file=path.name):
                self.assertLessEqual(len(lines), LINES_MAX)
                self.assertLessEqual(max(map(len, lines), default=0), COLUMNS_MAX)


if __name__ == "__main__":
    unittest.main()
