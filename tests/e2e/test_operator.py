# SPDX-License-Identifier: Apache-2.0
"""An operator moves containers, drains edge servers, and watches: under load, and no request is lost"""

import re
import signal
import sys

import bed
from baton_lab import LabError

sys.path.insert(0, str(bed.ROOT / "tests"))
import exposition  # noqa: E402

MOVED = r"moved {} from {} to {} in \d+\.\d s, frozen \d+ ms, nothing lost"


class Operator(bed.BedTest):
    EDGES = 2
    RATE_MB_S = 20

    def metrics(self, name):
        return exposition.parse(self.lab.monitor(name))

    def tearDown(self):
        for name in "EdgeServer-1", "EdgeServer-2":
            self.lab.baton("undrain", name)

    def test_migrate(self):
        """By the device's name, and back by the first digits of the session's number"""
        before = self.metrics("AP-1")
        user = self.user("--requests", 1200, "--interval-ms", 40)
        session = user.session()
        self.wait_event("SVCR", "USER", session, count=20)
        said = self.lab.baton("migrate", "USER", "--to", "EdgeServer-2")
        self.assertRegex(said, MOVED.format("", "EdgeServer-1", "EdgeServer-2").replace("  ", " "))
        self.assertIn("1 of 1 session is at EdgeServer-2", said)
        self.assertEqual(len(self.lab.containers("pc2")), 1)
        line, = self.lines("AP-1", " info ")[-1:]
        self.assertRegex(line, MOVED.format("USER", "EdgeServer-1", "EdgeServer-2"))
        # it stays there; who asks again is told that it is there
        self.assertIn("1 of 1", self.lab.baton("migrate", session, "--to", "EdgeServer-2"))
        said = self.lab.baton("migrate", session[:8], "--to", "EdgeServer-1")
        self.assertRegex(said, "moved from EdgeServer-2 to EdgeServer-1")
        self.assertTrue(user.running(), "the moves were under load")
        self.assert_good(user)
        self.assertEqual(self.events.find("MIGRATION FAILED"), [])
        self.assert_nothing_left()
        after = self.metrics("AP-1")
        moved = [exposition.value(m, "baton_moves_total", result="moved") for m in (before, after)]
        self.assertEqual(moved[1] - moved[0], 2)
        self.assertGreaterEqual(exposition.value(after, "baton_requests_total"), 1200)

    def test_edge_server_metrics(self):
        user = self.user("--requests", 600, "--interval-ms", 40)
        self.wait_event("SVCR", "USER", user.session(), count=5)
        self.lab.baton("migrate", "USER", "--to", "EdgeServer-2")
        source, destination = self.metrics("EdgeServer-1"), self.metrics("EdgeServer-2")
        for m, side in (source, "source"), (destination, "destination"):
            self.assertGreaterEqual(exposition.value(m, "baton_migrations_total", side=side,
                                                     result="good", stage=""), 1)
            stages = {labels["stage"] for suffix, labels, v in m["baton_stage_seconds"]["samples"]
                      if suffix == "_count" and labels["side"] == side and v}
            self.assertLessEqual({"prepare", "ahead", "cut", "send", "restore"}, stages)
            # labels are ours: no text of a container, device or peer
            for family in m.values():
                for _, labels, _ in family["samples"]:
                    self.assertTrue(all(re.fullmatch(r"[A-Za-z0-9_+.\- ]*", v)
                                        for v in labels.values()), labels)
        self.assertEqual(exposition.value(destination, "baton_sessions", state="active"), 1)
        self.assertGreater(exposition.value(destination, "baton_requests_executed_total"), 0)
        self.assertEqual(self.lab.monitor("EdgeServer-1", "/healthz"), "ok\n")
        self.assertEqual(self.lab.monitor("AP-1", "/healthz"), "ok\n")
        self.assertGreater(exposition.value(self.metrics("LogRepo"), "baton_events_stored_total"), 0)
        self.assert_good(user)
        self.assert_nothing_left()

    def test_drain(self):
        """Containers leave, new users go elsewhere, also after a restart; undrain brings them back"""
        user = self.user("--requests", 600, "--interval-ms", 40)
        session = user.session()
        self.wait_event("SVCR", "USER", session, count=20)
        said = self.lab.baton("drain", "EdgeServer-1")
        self.assertIn("1 of 1 containers are left", said)
        self.assertIn("EdgeServer-1 is drained, and empty", said)
        self.assertEqual(self.lab.containers("pc1"), [])
        self.assertTrue(user.running(), "it left under load")
        # as before an upgrade: nobody is there, so nobody notices
        self.lab.kill("EdgeServer-1", signal.SIGTERM)
        self.lab.start("EdgeServer-1")
        self.assertIn("drained: access points bring no new ones", self.said("EdgeServer-1"))
        status = self.lab.baton("status")
        self.assertRegex(status, r"(?m)^EdgeServer-1 .* drained: sessions go elsewhere")
        self.assertRegex(status, r"(?m)^AP-1 .* sessions go to EdgeServer-2")
        self.assert_good(user)
        self.assert_nothing_left()
        user = self.user("--requests", 600, "--interval-ms", 40)
        self.wait(lambda: self.events.find("CONTAINER CREATED", "EdgeServer-2") and
                  len(self.events.find("SVCR", "USER")) > 620, "the next user to be served")
        self.lab.baton("undrain", "EdgeServer-1")
        self.wait(lambda: len(self.events.find("T8", "AP-1")) == 2, "its container to come back")
        self.assert_good(user)
        self.assertEqual(len(self.events.find("CONTAINER CREATED", "EdgeServer-1")), 1)
        self.assertEqual(self.events.find("MIGRATION FAILED"), [])
        self.assert_nothing_left()

    def test_nowhere_to_go(self):
        """Users are served on, nothing new begins, and everybody is told why"""
        self.lab.baton("drain", "EdgeServer-2")
        user = self.user("--requests", 300, "--interval-ms", 40)
        self.wait_event("SVCR", "USER", user.session(), count=5)
        with self.assertRaises(LabError):
            self.lab.baton("drain", "EdgeServer-1", "--timeout", 2)
        said = self.lab.baton("drain", "EdgeServer-1", "--timeout", 1, check=False)
        self.assertIn("it knows no other edge server that is not drained", said)
        self.assertRegex(self.lab.baton("status"), r"(?m)^AP-1 .* refuses new sessions")
        with self.assertRaisesRegex(LabError, "baton undrain EdgeServer-2"):
            self.lab.baton("migrate", "USER", "--to", "EdgeServer-2")
        self.assert_good(user)
        self.assert_nothing_left()
        other = self.user("--requests", 5, "--interval-ms", 40)
        self.wait(lambda: any("is drained, and AP-1 knows no other that is not" in e["detail"]
                              for e in self.events.find("NOT YET", "USER")), "the device to be told")
        self.lab.baton("undrain", "EdgeServer-1")
        other.process.kill()
        other.process.wait()

    def test_only_operators(self):
        """No other role may drain: the certificate decides, and a line says who tried"""
        conf = [line for line in self.lab.conf("operator").read_text().splitlines()
                if 'peer "AP-2"' not in line]
        # not AP-2's own: that name has a link already
        self.lab._baton("pki", "issue", "AP-9", "ap", "--dir", self.lab.pki, "--force")
        self.lab.conf("AP-9").write_text("\n".join(conf).replace("/operator.", "/AP-9.")
                                         .replace('name = "operator"', 'name = "AP-9"'))
        done = self.lab.exec("laptop", self.lab._tool("baton"), "--config", self.lab.conf("AP-9"),
                             "drain", "EdgeServer-1", stdout=-1, stderr=-1, text=True)
        _, said = done.communicate(timeout=60)
        self.assertEqual(done.returncode, 2, said)
        self.assertIn("the node closed the connection", said)
        self.wait(lambda: "AP-9 sent INQUIRY, which is not for an edge server: link closed" in
                  self.said("EdgeServer-1"), "a line about it")
        self.assertNotIn("drained", self.said("EdgeServer-1"))
        self.assertNotIn('"drained":true', self.lab.baton("status", "--json"))
