#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The table of docs/platforms.md that tests/vm/record keeps: what it had, and what it gets"""

import pathlib
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[3]
RECORD = ROOT / "tests/vm/record"
PAGE = ROOT / "docs/platforms.md"
CELLS = ["Debian 13", "6.12", "2", "systemd", "Docker 26", "overlay2", "1.1", "4.2", "two", "make test-vm"]


class Record(unittest.TestCase):
    """On a copy of the page"""

    def setUp(self):
        self.dir = tempfile.TemporaryDirectory()
        self.addCleanup(self.dir.cleanup)
        self.page = pathlib.Path(self.dir.name, "page.md")
        self.page.write_text(PAGE.read_text(encoding="utf-8"), encoding="utf-8")

    def record(self, *args, status=0):
        done = subprocess.run([RECORD, "--page", self.page, *args], text=True, stderr=subprocess.PIPE, check=False)
        self.assertEqual(done.returncode, status, done.stderr)
        return done.stderr

    def lines(self):
        return self.page.read_text(encoding="utf-8").splitlines()

    def test_added_and_replaced(self):
        before = self.lines()
        self.record("bad | worse\nworst", *CELLS)
        self.record("good", *CELLS[:4], "Docker 29", *CELLS[5:])
        added = [line for line in self.lines() if line not in before]
        self.assertEqual(len(added), 2)
        self.assertTrue(added[0].endswith("| bad / worse worst |"), added[0])
        self.record("good", *CELLS)
        again = [line for line in self.lines() if line not in before]
        self.assertEqual(len(again), 2)
        self.assertNotIn("bad", "".join(again))
        self.assertEqual([line for line in self.lines() if line not in again], before)

    def test_refused(self):
        self.assertIn("9 cells, not 10", self.record("good", *CELLS[:9], status=1))
        text = self.page.read_text(encoding="utf-8")
        self.page.write_text(text.replace("<!-- end -->", "", 1), encoding="utf-8")
        self.assertIn("no lines", self.record("good", *CELLS, status=1))


if __name__ == "__main__":
    sys.exit(0 if unittest.main(exit=False).result.wasSuccessful() else 1)
