# SPDX-License-Identifier: Apache-2.0
"""baton host check: what a host has and lacks, by the programs themselves, on the hosts of a lab"""

import json
import pathlib
import shutil
import subprocess
import tempfile

import bed


class HostCheck(bed.BedTest):
    EDGES = 2

    def check(self, *args, es=(), role="EdgeServer-2"):
        """Run it where an edge server runs; return status, result of each line, and what it said"""
        etc = pathlib.Path(tempfile.mkdtemp(dir=self.lab.dir))
        self.addCleanup(shutil.rmtree, etc)
        for name, node in (("es", role), ("ap", "AP-2")):
            text = self.lab.conf(node).read_text()
            for old, new in es if name == "es" else ():
                self.assertIn(old, text)
                text = text.replace(old, new)
            # Paths are taken from the directory of the file.
            (etc / f"{name}.conf").write_text(text.replace('"pki/', f'"{self.lab.dir}/pki/'))
        run = subprocess.run(
            [bed.ROOT / "lab" / "lab", "exec-engine", "pc2", self.lab._tool("baton"), "host", "check",
             "--json", "--etc", etc, *args],
            env=self.lab.env, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=90,
            check=False)
        if run.returncode == 2:
            return 2, {}, run.stderr
        found = json.loads(run.stdout)
        lines = {(name, line["what"]): line for name, lines in found.items() for line in lines}
        return run.returncode, lines, run.stdout

    def test_good(self):
        """What runs lacks nothing"""
        status, lines, said = self.check()
        self.assertEqual(status, 0, said)
        for what in ("kernel", "control groups", "runc", "criu", "engine", "image store", "runtime",
                     "certificate", "image"):
            self.assertEqual(lines["es", what]["result"], "ok", said)
        self.assertEqual(lines["es", "listen"]["result"], "note", said)  # the lab's own is there
        self.assertEqual(lines["ap", "certificate"]["result"], "ok", said)
        self.assertTrue(all("remedy" in line for line in lines.values() if line["result"] != "ok"))

    def test_lacking(self):
        """What is wrong is named, with what to do; the rest is looked at all the same"""
        status, lines, said = self.check(
            es=(('exec_root =', 'runtime = "other" exec_root ='),
                ('listen = "10.77.0.2:7200"', 'listen = "192.0.2.1:7200"'),
                ("EdgeServer-2.crt", "AP-2.crt"), ("EdgeServer-2.key", "AP-2.key")))
        self.assertEqual(status, 1, said)
        lacking = sorted(what for (_, what), line in lines.items() if line["result"] == "lacks")
        self.assertEqual(lacking, ["certificate", "listen", "runtime"], said)
        self.assertIn("not for EdgeServer-2", lines["es", "certificate"]["found"])
        self.assertIn("ip address", lines["es", "listen"]["remedy"])
        self.assertIn("daemon.json", lines["es", "runtime"]["remedy"])

    def test_no_engine(self):
        status, lines, said = self.check("es", es=(("docker.sock", "nothing.sock"),))
        self.assertEqual(status, 1, said)
        self.assertEqual(lines["es", "engine"]["result"], "lacks", said)
        self.assertEqual(lines["es", "criu"]["result"], "ok", said)

    def test_nothing_configured(self):
        run = subprocess.run([self.lab._tool("baton"), "host", "check", "--etc", "/nonexistent"],
                             text=True, stderr=subprocess.PIPE, check=False)
        self.assertEqual(run.returncode, 2)
        self.assertRegex(run.stderr, r"^baton: host check: there is no es\.conf.*--etc DIR.*\n$")

