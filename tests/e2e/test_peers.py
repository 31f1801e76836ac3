# SPDX-License-Identifier: Apache-2.0
"""The ways of moving a container that Baton is compared with: each does what its record says."""

import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import unittest

import bed
import peers

SHORT = {"requests": 120, "interval_ms": 100, "move": 20}


def missing():
    """Why peers cannot be run here, or None"""
    for need in ("podman", "sshd", "scp"):
        if not shutil.which(need, path=f"{os.environ['PATH']}:/usr/sbin"):
            return f"{need} is not installed: run tools/setup.sh --experiment"
    return bed.missing()


@unittest.skipIf(missing(), missing())
class Peers(unittest.TestCase):
    def setUp(self):
        self.out = pathlib.Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.out)
        self.before = self.podman_files()
        self.addCleanup(self.nothing_left)

    @staticmethod
    def podman_files():
        """What Podman writes outside of its own directories, unless prevented"""
        return sorted(str(path) for top in ("/var/lib/containers", "/var/cache/containers",
                                            "/etc/cni") for path in pathlib.Path(top).rglob("*"))

    def nothing_left(self):
        left = subprocess.run([bed.ROOT / "lab" / "lab", "leftovers"], text=True, check=False,
                              env={**os.environ, "BATON_LAB": peers.LAB_NAME},
                              stdout=subprocess.PIPE)
        self.assertEqual(left.stdout, "")
        self.assertEqual(self.podman_files(), self.before)

    def run_peer(self, kind, **how):
        record = peers.run_peer(kind, self.out / "run", **{**SHORT, **how})
        self.assertEqual(json.loads((self.out / "run" / "run.json").read_text()), record)
        return record

    def moved(self, record, state):
        """What holds for each way that stops the container, moves it, and starts it"""
        self.assertTrue(record["possible"], record["reason"])
        self.assertEqual(record["state"], state)
        self.assertEqual(record["answered"] + record["lost"], record["requests"])
        self.assertGreater(record["lost"], 0)
        self.assertEqual(record["duplicated"] + record["reordered"], 0)
        self.assertLessEqual(record["stopped_s"], record["migration_s"])
        self.assertLessEqual(sum(s["seconds"] for s in record["stages"]),
                             record["migration_s"] + 0.1)

    def test_cold_keeps_files_and_restarts_the_process(self):
        self.moved(self.run_peer("cold"), "restarted")

    def test_cold_takes_the_image_along(self):
        record = self.run_peer("cold", complete=True, requests=260)
        self.moved(record, "restarted")
        self.assertGreater(record["sent_bytes"], 60e6)

    def test_podman_continues(self):
        self.moved(self.run_peer("podman"), "continued")

    def test_podman_serves_over_the_relay_while_the_image_goes(self):
        record = self.run_peer("podman", complete=True, requests=320)
        self.moved(record, "continued")
        rows = peers.read_rows(self.out / "run" / "responses.csv")
        far = [row for row in rows if row["ap"] == "AP-2" and row["status"] == "ok"
               and int(row["answered_us"]) / 1e6 < record["answering_at"] - record["stopped_s"]]
        self.assertGreater(len(far), 50)
        self.assertGreater(min(float(row["response_ms"]) for row in far), peers.RTT_MS)

    def test_precopy_says_whether_the_kernel_can(self):
        criu = pathlib.Path(os.environ.get("BATON_PREFIX", "/opt/baton")) / "bin" / "criu"
        can = subprocess.run([criu, "check", "--feature", "mem_dirty_track"], check=False,
                             stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0
        record = self.run_peer("precopy")
        self.assertEqual(record["possible"], can)
        if not can:
            self.assertIn("mem_dirty_track", record["reason"])

    def test_a_way_that_fails_is_a_record_with_the_reason(self):
        prefix = os.environ.get("BATON_PREFIX")
        os.environ["BATON_PREFIX"] = str(self.out)  # there is no CRIU here
        try:
            record = self.run_peer("podman")
        finally:
            os.environ.pop("BATON_PREFIX")
            if prefix:
                os.environ["BATON_PREFIX"] = prefix
        self.assertFalse(record["possible"])
        self.assertIn("CRIU", record["reason"])
