#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Docker's daemon.json: the runtime is added, nothing else changes, and a purge brings back what was there."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import unittest

SCRIPT = sys.argv[1]
OURS = {"path": "/usr/sbin/baton-runtime"}


@unittest.skipUnless(shutil.which("jq"), "jq is not installed")
class Register(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="baton-test-register-")
        self.addCleanup(shutil.rmtree, self.dir)
        self.file = f"{self.dir}/etc/docker/daemon.json"
        self.kept = f"{self.dir}/kept"

    def run_it(self, *args):
        p = subprocess.run(["sh", SCRIPT, *args], capture_output=True, text=True, check=True, timeout=30,
                           env=dict(os.environ, BATON_DAEMON_JSON=self.file, BATON_KEPT=self.kept))
        return p.stderr

    def write(self, text):
        os.makedirs(os.path.dirname(self.file), exist_ok=True)
        with open(self.file, "w", encoding="utf-8") as f:
            f.write(text)

    def read(self):
        with open(self.file, encoding="utf-8") as f:
            return f.read()

    def test_no_file(self):
        self.assertIn("systemctl reload docker", self.run_it())
        self.assertEqual(json.loads(self.read()), {"runtimes": {"baton": OURS}})
        self.run_it("--remove")
        self.assertFalse(os.path.exists(self.file))
        self.assertFalse(os.path.exists(self.kept))

    def test_file_of_an_operator(self):
        mine = '{ "bip": "10.1.0.1/24",\n\t"runtimes": {"kata": {"path": "/k"}} }'
        self.write(mine)
        os.chmod(self.file, 0o640)
        self.run_it()
        self.assertEqual(json.loads(self.read()), {"bip": "10.1.0.1/24",
                                                   "runtimes": {"kata": {"path": "/k"}, "baton": OURS}})
        self.assertEqual(os.stat(self.file).st_mode & 0o777, 0o640)
        self.assertEqual(self.run_it(), "")  # once
        self.run_it("--remove")
        self.assertEqual(self.read(), mine)
        self.assertEqual(os.listdir(os.path.dirname(self.file)), ["daemon.json"])

    def test_changed_since(self):
        self.write("{}")
        self.run_it()
        changed = json.loads(self.read())
        changed["debug"] = True
        self.write(json.dumps(changed))
        self.run_it("--remove")
        self.assertEqual(json.loads(self.read()), {"debug": True})

    def test_registered_by_somebody_else(self):
        mine = '{"runtimes": {"baton": {"path": "/opt/my/baton-runtime"}}}'
        self.write(mine)
        self.assertEqual(self.run_it(), "")
        self.run_it("--remove")
        self.assertEqual(self.read(), mine)

    def test_changed_to_another(self):
        self.run_it()
        mine = '{"runtimes":{"baton":{"path":"/opt/my/baton-runtime"}}}'
        self.write(mine)
        self.run_it("--remove")
        self.assertEqual(json.loads(self.read()), json.loads(mine))

    def test_no_json(self):
        for mine in "{ // a comment\n}", "[]", '"text"':
            self.write(mine)
            self.assertIn("Docker needs this in it", self.run_it())
            self.assertEqual(self.read(), mine)
            self.assertFalse(os.path.exists(self.kept))

    def test_empty_file(self):
        self.write("")
        self.run_it()
        self.assertEqual(json.loads(self.read()), {"runtimes": {"baton": OURS}})
        self.run_it("--remove")
        self.assertEqual(self.read(), "")

    def test_link(self):
        elsewhere = f"{self.dir}/managed.json"
        mine = '{"bip": "10.1.0.1/24"}'
        with open(elsewhere, "w", encoding="utf-8") as f:
            f.write(mine)
        os.makedirs(os.path.dirname(self.file))
        os.symlink(elsewhere, self.file)
        self.run_it()
        self.assertTrue(os.path.islink(self.file))
        self.assertEqual(json.loads(self.read())["runtimes"], {"baton": OURS})
        self.run_it("--remove")
        self.assertTrue(os.path.islink(self.file))
        self.assertEqual(self.read(), mine)

    def test_taken_out_by_an_operator(self):
        self.run_it()
        self.write("{}")
        self.assertIn("not added again", self.run_it())
        self.assertEqual(self.read(), "{}")

    def test_long_number(self):
        """No number changes: jq 1.7 writes it as it was, an older one would round it, so the file stays as it is"""
        mine = '{"max-download-attempts": 12345678901234567890}'
        self.write(mine)
        said = self.run_it()
        if "was added" in said:
            self.assertRegex(self.read(), r'"max-download-attempts": 12345678901234567890\b')
            self.assertEqual(json.loads(self.read())["max-download-attempts"], 12345678901234567890)
            return
        self.assertIn("Docker needs this in it", said)
        self.assertEqual(self.read(), mine)
        self.assertFalse(os.path.exists(self.kept))

    def test_broken_since(self):
        self.run_it()
        self.write("{ broken")
        self.assertIn("by hand", self.run_it("--remove"))
        self.assertEqual(self.read(), "{ broken")


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
