# SPDX-License-Identifier: Apache-2.0
"""A running system changes: hosts join, configurations and authorities change, and no user notices"""

import shutil
import signal
import subprocess

import bed
from baton_lab import address

READ = "configuration read again"
CERTIFICATES = "certificates, authorities and lists of revoked ones read again"


class Changes(bed.BedTest):
    """Tests that change configurations, and put them back"""

    RATE_MB_S = 20
    RTT_MS = 50

    def setUp(self):
        super().setUp()
        texts = {name: self.lab.conf(name).read_text() for name in self.names()}
        self.addCleanup(self.put_back, texts)

    def put_back(self, texts):
        """What the next test finds: the lab's own configurations, read by all"""
        if not self.lab:
            return
        for name, text in texts.items():
            if self.lab.conf(name).read_text() != text:
                self.lab.conf(name).write_text(text)
                self.reload(name)

    def reload(self, name, expected=READ):
        """Have a program read its configuration again; return what it says of it"""
        before = len(self.lines(name, expected))
        self.lab.tell(name, signal.SIGHUP)
        self.wait(lambda: len(self.lines(name, expected)) > before, f"{name}: {expected}")
        return self.lines(name, expected)[-1]

    def connected(self, name, *peers):
        """Wait until an access point has its links"""
        for peer in peers:
            self.wait(lambda peer=peer: f"connected to edge server {peer}" in self.lab.log_of(name),
                      f"link of {name} to {peer}")

    def without(self, name, *peers):
        """Take peers out of a configuration; return it as it was"""
        text = self.lab.conf(name).read_text()
        self.lab.conf(name).write_text("".join(
            line + "\n" for line in text.splitlines()
            if not any(line.startswith(f'peer "{peer}"') for peer in peers)))
        return text


class Joining(Changes):
    EDGES = 3

    def test_host_joins(self):
        """Host 3 is added while a user is served, and the user goes there before all know of it"""
        others = ("AP-2", "EdgeServer-1", "AP-1", "EdgeServer-2")
        for name in ("AP-3", "EdgeServer-3"):
            self.lab.kill(name, signal.SIGTERM)
        texts = {name: self.without(name, "AP-3", "EdgeServer-3") for name in others}
        for name in others:
            self.reload(name)
        user = self.user("--requests", 700, "--interval-ms", 50, "--move", "150:AP-3")
        session = user.session()
        self.wait_event("SVCR", "USER", session, count=20)
        for name in ("EdgeServer-3", "AP-3"):
            self.lab.start(name)
        # it has arrived, and its edge server knows no other one to go to
        self.wait(lambda: self.lines("AP-3", "EdgeServer-3 is not in our configuration"),
                  "the first attempt to fail")
        for name in others:
            self.lab.conf(name).write_text(texts[name])
            self.reload(name)
        self.wait_event("MIGRATION DONE", "EdgeServer-3", session, seconds=60)
        self.wait_event("SWITCH COMPLETE", "AP-3", session)
        self.assert_good(user)
        self.assertEqual(self.events.find("SESSION LOST", session=session), [])
        self.assert_nothing_left()

    def test_host_leaves(self):
        """Containers leave an edge server that is taken out of the configuration; its link ends then"""
        user = self.user("--requests", 500, "--interval-ms", 50)
        session = user.session()
        self.wait_event("SVCR", "USER", session, count=20)
        self.lab.baton("migrate", "USER", "--to", "EdgeServer-2")
        self.wait_event("SWITCH COMPLETE", "AP-1", session)
        self.without("AP-1", "EdgeServer-2", "AP-2")
        self.reload("AP-1")
        self.assertEqual(len(self.lines("AP-1", "EdgeServer-2 is not in the configuration any more: "
                                        "1 sessions leave it")), 1)
        self.wait_event("SWITCH COMPLETE", "AP-1", session, count=2)
        self.wait(lambda: self.lines("AP-1", "link to edge server EdgeServer-2 is closed"),
                  "the link to end")
        self.assert_good(user)
        self.assert_nothing_left()


class Reload(Changes):
    EDGES = 2

    def test_mistakes_and_what_cannot_change(self):
        """A mistake changes nothing and is named with its line; a new listen address has to wait"""
        user = self.user("--requests", 200, "--interval-ms", 50)
        session = user.session()
        self.wait_event("SVCR", "USER", session, count=10)
        for name, port in (("AP-1", 7100), ("EdgeServer-1", 7200), ("LogRepo", 7300)):
            good = self.lab.conf(name).read_text()
            lines = good.splitlines()
            self.lab.conf(name).write_text(good + "limits { grace_ms = 1\n dead_ms = 1 }\n")
            said = self.reload(name, "the configuration stays as it was: ")
            self.assertIn(f"{self.lab.conf(name)}:{len(lines) + 2}: dead_ms = 1: want 1000 to", said)
            self.assertEqual(self.lines(name, "takes effect"), [])
            self.lab.conf(name).write_text(good.replace(f":{port}", f":{port + 9}", 1))
            self.reload(name)
            self.assertEqual(len(self.lines(name, "listen changed: takes effect at the next "
                                            "start")), 1)
            self.lab.conf(name).write_text(good)
            self.reload(name)
            self.assertEqual(len(self.lines(name, "takes effect")), 1)
        self.assert_good(user)
        for name in ("AP-1", "EdgeServer-1", "LogRepo"):
            self.assertEqual(self.lines(name, "is down"), [], name)
        self.assert_nothing_left()

    def test_home_edge_server_is_down(self):
        """A new user is served by another edge server; its container comes home when that is back"""
        self.connected("AP-1", "EdgeServer-1", "EdgeServer-2")
        self.crash("EdgeServer-1")
        self.wait(lambda: self.lines("AP-1", "link to edge server EdgeServer-1 is down"), "the link")
        user = self.user("--requests", 400, "--interval-ms", 50)
        session = user.session()
        self.wait_event("CONTAINER CREATED", "EdgeServer-2", session)
        self.wait_event("SVCR", "USER", session, count=20)
        self.assertEqual(self.lines("AP-1", "not moved"), [])
        self.lab.start("EdgeServer-1")
        self.wait_event("MIGRATION DONE", "EdgeServer-1", session)
        self.assert_good(user)
        self.assert_nothing_left()

    def test_no_edge_server(self):
        """A new user hears soon that no edge server is there, and is served when one is"""
        self.connected("AP-1", "EdgeServer-1", "EdgeServer-2")
        for i in (1, 2):
            self.crash(f"EdgeServer-{i}")
        for i in (1, 2):
            self.wait(lambda i=i: self.lines("AP-1", f"link to edge server EdgeServer-{i} is down"),
                      "the links")
        user = self.user("--requests", 50, "--interval-ms", 50)
        event = self.wait_event("NOT YET", "USER", seconds=5)
        self.assertIn("AP-1 has no link to edge server EdgeServer-1", event["detail"])
        for i in (2, 1):
            self.lab.start(f"EdgeServer-{i}")
        self.assert_good(user)
        self.assert_nothing_left()

    def test_unknown_edge_server(self):
        """An access point that does not know where the container is says so, and goes on once it does"""
        text = self.without("AP-2", "EdgeServer-1")
        conf = self.lab.conf("AP-2")
        conf.write_text(conf.read_text().replace('  es = "EdgeServer-1"', ""))
        self.reload("AP-2")
        self.wait(lambda: self.lines("AP-2", "link to edge server EdgeServer-1 is closed"), "the end")
        user = self.user("--requests", 400, "--interval-ms", 50, "--move", "50:AP-2")
        session = user.session()
        why = "EdgeServer-1 may have the session, and is not in the configuration of AP-2"
        self.wait_event("EDGE SERVER UNKNOWN", "AP-2", session)
        self.wait(lambda: [e for e in self.events.find("NOT YET", "USER", session)
                           if why in e["detail"]], "the device to be told", 10)
        self.assertEqual(len(self.lines("AP-2", "error baton-ap AP-2: edge server EdgeServer-1 is "
                                        "not in the configuration")), 1)
        self.assertEqual(self.events.find("FENCE", "AP-2", session), [])
        conf.write_text(text)
        self.reload("AP-2")
        self.wait_event("SWITCH COMPLETE", "AP-2", session)
        self.assert_good(user)
        self.assert_nothing_left()

    def test_two_with_one_name(self):
        """The later one is refused and told who has the name; the first one and its user go on"""
        self.lab.kill("AP-2", signal.SIGTERM)
        user = self.user("--requests", 200, "--interval-ms", 50)
        self.wait_event("SVCR", "USER", user.session(), count=10)
        here = [address(f"pc{i}") for i in (1, 2)]
        twin = self.lab.conf("twin")
        twin.write_text(self.without("AP-1", "AP-2").replace(
            f'listen = "{here[0]}', f'listen = "{here[1]}'))
        command = [bed.ROOT / "lab" / "lab", "exec", "pc2", self.lab._tool("baton-ap"), "--config",
                   twin]
        log = self.lab.dir / "logs" / "twin.log"
        with open(log, "w", encoding="utf-8") as out, \
                subprocess.Popen(command, env=self.lab.env, stdout=out, stderr=out) as process:
            try:
                held = f"the name AP-1 is held by the program at {here[0]}:"
                self.wait(lambda: held in log.read_text(), "the twin to be told")
                self.wait(lambda: self.lines("EdgeServer-1", held), "EdgeServer-1 to say it")
                self.assert_good(user)
                self.assertEqual(len(self.lines("EdgeServer-1", held)), 1)
                self.assertEqual(self.lines("AP-1", "link to edge server"), [])
            finally:
                self.lab.tell("twin", signal.SIGTERM)
                process.wait(timeout=20)
        self.lab.start("AP-2")
        self.assert_nothing_left()

    def test_restart_is_no_twin(self):
        """An access point that is killed has its name back as soon as it starts again"""
        user = self.user("--requests", 200, "--interval-ms", 50)
        session = user.session()
        self.wait_event("SVCR", "USER", session, count=10)
        self.crash("AP-1")
        self.lab.start("AP-1")
        self.wait(lambda: self.lines("AP-1", "connected to edge server EdgeServer-2"), "the links", 5)
        self.assertEqual(self.lines("EdgeServer-1", "is held by"), [])
        self.assert_good(user)
        self.assert_nothing_left()


class Authority(Changes):
    """Another authority takes over, without a day on which all programs have to change"""

    EDGES = 2

    def everybody(self, step):
        """All programs read their files again after a step"""
        for name in self.names():
            with self.subTest(step=step, name=name):
                self.reload(name, CERTIFICATES)
        self.lab.tell("USER", signal.SIGHUP)

    def test_exchanged(self):
        pki, next_pki = self.lab.pki, self.lab.dir / "pki2"
        user = self.user("--requests", 700, "--interval-ms", 50, "--move", "250:AP-2")
        session = user.session()
        self.wait_event("SVCR", "USER", session, count=10)
        self.lab._baton("pki", "init", "--dir", next_pki)
        both = (pki / "ca.crt").read_text() + (next_pki / "ca.crt").read_text()
        (pki / "ca.crt").write_text(both)
        self.everybody("both are trusted")
        # one after the other, in any order; each meets programs with either kind of certificate
        for name in (*self.names(), "USER", "operator"):
            role = {"L": "logrepo", "E": "es", "A": "ap", "U": "mud", "o": "operator"}[name[0]]
            self.lab._baton("pki", "issue", name, role, "--dir", next_pki)
            for kind in ("crt", "key"):
                shutil.copy(next_pki / f"{name}.{kind}", pki)
            self.lab.own_keys()
            if name == "USER":
                self.lab.tell("USER", signal.SIGHUP)
            elif name != "operator":
                self.reload(name, CERTIFICATES)
            self.lab.baton("status")
        # a list of either authority counts while both are trusted
        self.lab._baton("pki", "issue", "Thief", "operator", "--dir", next_pki)
        self.lab._baton("pki", "revoke", "Thief", "--dir", next_pki)
        self.lab._baton("pki", "issue", "Thief", "operator", "--dir", pki, "--force")
        self.lab._baton("pki", "revoke", "Thief", "--dir", pki)
        with open(pki / "ca.crl", "a", encoding="utf-8") as lists:
            lists.write((next_pki / "ca.crl").read_text())
        (pki / "ca.crl").chmod(0o644)
        self.everybody("both have lists")
        shutil.copy(next_pki / "ca.crt", pki / "ca.crt")
        shutil.copy(next_pki / "ca.crl", pki / "ca.crl")
        for name in ("ca.crt", "ca.crl"):
            (pki / name).chmod(0o644)
        self.everybody("only the new one is trusted")
        self.wait(lambda: "no link" not in self.lab.baton("status"), "all links to come back", 10)
        self.wait_event("MIGRATION DONE", "EdgeServer-2", session)
        self.assert_good(user)
        self.assertEqual(self.events.find("SESSION LOST", session=session), [])
        # only links that were made with an old certificate end, in the last step, and come back
        for name in ("AP-1", "AP-2"):
            for line in self.lines(name, "is down"):
                self.assertIn("not signed by our authority", line)
        self.assert_nothing_left()
