# SPDX-License-Identifier: Apache-2.0
"""Stopping and starting again; what an operator sees"""

import json
import signal
import subprocess
import time

import bed

STOP_S = 5


class Stop(bed.BedTest):
    EDGES = 2
    RATE_MB_S = 20

    def stop(self, name):
        began = time.monotonic()
        status = self.lab.kill(name, signal.SIGTERM)
        self.assertEqual(status, 0, f"{name}:\n{self.said(name)}")
        self.assertLess(time.monotonic() - began, STOP_S, name)

    def test_all_stopped_and_started(self):
        """Each ends with status 0; containers run on, are adopted, and the user notices a pause"""
        user = self.user("--requests", 150, "--interval-ms", 50)
        session = user.session()
        containers = self.lab.containers("pc1")
        self.wait_event("SVCR", "USER", session, count=20)
        for name in ("AP-1", "EdgeServer-1", "AP-2", "EdgeServer-2", "LogRepo"):
            self.stop(name)
        running = self.lab.docker("pc1", "ps", "--format", "{{.Names}}").split()
        self.assertEqual(running, containers)
        for name in self.names():
            self.lab.start(name)
        self.assertIn("1 sessions from before", self.said("EdgeServer-1"))
        self.assert_good(user)
        self.assertEqual(self.events.find("IN DOUBT", session=session), [])
        self.assert_nothing_left()

    def test_stopped_while_migrating(self):
        """A stop in the middle of sending leaves no file, no container and nothing frozen (R10)"""
        user = self.user("--requests", 360, "--interval-ms", 50, "--move", "10:AP-2")
        session = user.session()
        before = self.lab.containers("pc1")
        self.wait_event("T1", "EdgeServer-1", session)
        self.stop("EdgeServer-2")
        self.assertEqual(self.lab.staged("pc2"), [])
        self.assertEqual(self.lab.containers("pc2"), [])
        self.lab.start("EdgeServer-2")
        self.wait_event("T1", "EdgeServer-1", session, count=2)
        self.stop("EdgeServer-1")
        self.assertEqual(self.lab.staged("pc1"), [])
        self.assertEqual(self.lab.containers("pc1"), before)
        self.assertEqual(self.frozen(), [])
        self.lab.start("EdgeServer-1")
        self.wait_event("MIGRATION DONE", "EdgeServer-2", session, seconds=40)
        self.assertTrue(user.running())
        self.assert_good(user)
        self.assert_nothing_left()


class Operator(bed.BedTest):
    EDGES = 2
    RATE_MB_S = 20
    FIGURE_5 = ("SVCQ", "SVCR", "REASSOCIATION REQUEST", "MIGRATION START", "MIGRATION DONE",
                *bed.STAGES)

    def query(self, *args):
        return [json.loads(line) for line in
                self.lab.baton("events", "--json", *args).splitlines()]

    def rows(self, command):
        return {row["node"]: row for row in
                map(json.loads, self.lab.baton(command, "--json").splitlines())}

    def test_status_and_sessions(self):
        user = self.user("--requests", 160, "--interval-ms", 50, "--move", "10:AP-2")
        session = user.session()
        status = self.rows("status")
        self.assertEqual(set(status), set(self.names()))
        self.assertEqual(len(self.lab.baton("status").splitlines()), 1 + len(self.names()))
        here = [s for s in self.rows("sessions")["EdgeServer-1"]["sessions"]
                if s["session"] == session]
        self.assertEqual([(s["mud"], s["service"], s["state"]) for s in here],
                         [("USER", bed.SERVICE, "active")])
        self.wait_event("MIGRATION DONE", "EdgeServer-2", session)
        sessions = self.rows("sessions")
        there = [s for s in sessions["EdgeServer-2"]["sessions"] if s["session"] == session]
        self.assertEqual([(s["state"], s["epoch"]) for s in there], [("active", 2)])
        self.crash("AP-1")  # not the one that serves
        said = self.lab.baton("status", check=False)
        self.assertRegex(said, r"(?m)^AP-1 +ap +down ")
        self.lab.start("AP-1")
        self.assert_good(user)
        self.assert_nothing_left()

    def test_events(self):
        """Figure 5 of the paper: who did what when, and each stage once"""
        command = [bed.ROOT / "lab" / "lab", "exec", "laptop", self.lab._tool("baton"), "--config",
                   self.lab.conf("operator"), "events", "--follow", "--json", "--kind", "T8"]
        since = time.time()
        with subprocess.Popen(command, env=self.lab.env, stdout=subprocess.PIPE,
                              text=True) as follow:
            try:
                user = self.user("--requests", 300, "--interval-ms", 50, "--move", "10:AP-2")
                session = user.session()
                self.wait_event("SWITCH COMPLETE", "AP-2", session)
                line = next(line for line in follow.stdout if session in line)
                self.assertEqual(json.loads(line)["node"], "AP-2")
            finally:  # or whatever fails waits for it
                follow.kill()
        self.assert_good(user)
        self.wait_event("DISASSOCIATION", "EdgeServer-2", session)
        ours = self.query("--session", session)
        self.assertEqual({e["session"] for e in ours}, {session})
        for event in ours:
            self.assertRegex(event["time"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$")
            self.assertEqual(int(event["time"][20:26]), event["time_us"] % 1000000)
            self.assertGreater(event["time_us"], (since - 1) * 1e6)
        kinds = [e["kind"] for e in ours]
        for kind in self.FIGURE_5:
            self.assertIn(kind, kinds)
        for stage in bed.STAGES:
            self.assertEqual(kinds.count(stage), 1, stage)
        for node in ("USER", "AP-1", "AP-2", "EdgeServer-1", "EdgeServer-2"):
            self.assertIn(node, {e["node"] for e in ours})
        sent = [e["number"] for e in ours if (e["node"], e["kind"]) == ("USER", "SVCQ")]
        self.assertEqual(sorted(sent), list(range(1, user.requests + 1)))
        # filters, one by one and together
        t1, = self.query("--session", session, "--kind", "T1")
        self.assertEqual(t1["node"], "EdgeServer-1")
        self.assertEqual({e["node"] for e in self.query("--node", "AP-2")}, {"AP-2"})
        later = self.query("--session", session, "--since", f"@{t1['time_us'] // 1000000 + 1}")
        self.assertLess(len(later), len(ours))
        self.assertTrue(all(e["time_us"] >= t1["time_us"] for e in later))
        self.assertEqual(self.query("--kind", "NO SUCH"), [])
        text = self.lab.baton("events", "--session", session, "--kind", "T1")
        self.assertRegex(text, rf"^{t1['time']} +EdgeServer-1 +T1 ")
        self.assert_nothing_left()


class Revocation(bed.BedTest):
    """An access point whose key was stolen is put out while everything runs"""
    EDGES = 2
    RATE_MB_S = 20

    def links(self, node, kind):
        said = self.lab.baton("status", "--json", check=False)  # AP-2 is refused by us, too
        row, = (row for row in (json.loads(line) for line in said.splitlines() if line[:1] == "{")
                if row["node"] == node)
        return row[kind]

    def test_revoked_access_point(self):
        """Its links end at SIGHUP, it gets no others, and everybody else goes on (R16)"""
        user = self.user("--requests", 200, "--interval-ms", 50)
        self.wait_event("SVCR", "USER", user.session(), count=20)
        self.lab.wait_for(lambda: "AP-2" in self.links("EdgeServer-1", "access_points"), 10,
                          "link of AP-2")
        self.lab._baton("pki", "revoke", "AP-2", "--dir", self.lab.pki)
        (self.lab.pki / "ca.crl").chmod(0o644)
        others = ("AP-1", "EdgeServer-1", "EdgeServer-2", "LogRepo")
        for name in others:
            self.lab.tell(name, signal.SIGHUP)
        for name in others:
            self.lab.wait_for(lambda name=name: "lists of revoked ones read again" in
                              self.said(name), 10, f"{name} to read its files")
        for name in ("EdgeServer-1", "EdgeServer-2"):
            self.lab.wait_for(lambda name=name: "AP-2" not in self.links(name, "access_points"),
                              10, f"{name} to end the link of AP-2")
            self.lab.wait_for(lambda name=name: "the certificate of AP-2 is revoked" in
                              self.said(name), 10, f"{name} to refuse AP-2")
            self.assertNotIn("AP-2", self.links(name, "access_points"))
        self.lab.wait_for(lambda: "our certificate: it is revoked, `baton pki issue AP-2 ap "
                          "--force`" in self.said("AP-2"), 10, "AP-2 to be told why")
        self.assert_good(user)
        # it comes back with another certificate, which it reads at SIGHUP, too
        self.lab._baton("pki", "issue", "AP-2", "ap", "--force", "--dir", self.lab.pki)
        self.lab.own_keys()
        self.lab.tell("AP-2", signal.SIGHUP)
        self.lab.wait_for(lambda: "AP-2" in self.links("EdgeServer-1", "access_points"), 10,
                          "AP-2 to come back")
        self.assert_nothing_left()
