#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""baton against a real baton-logrepo: certificates, status, events, follow, errors."""

import fcntl
import json
import os
import pty
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest

BATON, LOGREPO, SEND = sys.argv[1:4]


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def waiters(fd):
    """How many wait for an flock() on the file"""
    inode = f":{os.fstat(fd).st_ino} "
    with open("/proc/locks", encoding="ascii") as f:
        return sum("-> FLOCK" in line and inode in line for line in f)


class Cli(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.dir = tempfile.mkdtemp(prefix="baton-test-cli-")
        cls.pki = os.path.join(cls.dir, "pki")
        cls.address = f"127.0.0.1:{free_port()}"
        cls.run_ok("pki", "init", "--dir", cls.pki)
        for name, role in ("LogRepo", "logrepo"), ("op", "operator"), ("USER", "mud"):
            cls.run_ok("pki", "issue", name, role, "--dir", cls.pki)
        cls.write("logrepo.conf", f'name = "LogRepo"\nlisten = "{cls.address}"\n'
                  f'events = "events.jsonl"\n' + cls.identity("LogRepo"))
        cls.write("op.conf", 'name = "op"\n' + cls.identity("op") +
                  f'logrepo {{ name = "LogRepo" address = "{cls.address}" }}\n'
                  f'peer "EdgeServer-1" {{ role = "es" address = "127.0.0.1:{free_port()}" }}\n')
        cls.logrepo = subprocess.Popen([LOGREPO, "--config", cls.path("logrepo.conf")],
                                       stderr=subprocess.PIPE, text=True)
        # it says when it is ready; a limit of the machine may be mentioned before
        said = ""
        while "serving at" not in said:
            said = cls.logrepo.stderr.readline()
            if not said:
                cls.logrepo.kill()
                raise AssertionError("baton-logrepo did not start")

    @classmethod
    def tearDownClass(cls):
        cls.logrepo.send_signal(signal.SIGTERM)
        code = cls.logrepo.wait(10)
        rest = cls.logrepo.stderr.read()
        cls.logrepo.stderr.close()
        shutil.rmtree(cls.dir)
        assert code == 0 and "stopping" in rest, (code, rest)

    @classmethod
    def path(cls, name):
        return os.path.join(cls.dir, name)

    @classmethod
    def write(cls, name, text):
        with open(cls.path(name), "w", encoding="utf-8") as f:
            f.write(text)

    @classmethod
    def identity(cls, name):
        return f'pki {{ ca = "pki/ca.crt" cert = "pki/{name}.crt" key = "pki/{name}.key" }}\n'

    @classmethod
    def run_it(cls, *args):
        return subprocess.run([BATON, "--config", cls.path("op.conf"), *args], text=True,
                              capture_output=True, timeout=30, check=False)

    @classmethod
    def run_ok(cls, *args):
        p = cls.run_it(*args)
        assert p.returncode == 0, p.stderr
        return p.stdout

    def fails(self, words, *args):
        p = self.run_it(*args)
        self.assertEqual(p.returncode, 2, p)
        self.assertIn(words, p.stderr)
        self.assertEqual(p.stderr.count("\n"), 1)

    def send(self, count):
        subprocess.run([SEND, self.pki, "USER", self.address, str(count)], check=True, timeout=30)

    def test_events(self):
        self.send(2500)
        lines = self.run_ok("events", "--json", "--kind", "SVCR", "--node", "USER").splitlines()
        events = [json.loads(line) for line in lines]
        self.assertEqual([e["number"] for e in events], list(range(1, 1251)))
        self.assertEqual(events[0]["session"], "0000000000abcdef")
        text = self.run_ok("events", "--session", "abcdef", "--since", "1h")
        self.assertEqual(text.count("\n"), 2500)
        self.assertIn("USER           SVCQ                     7 [0000000000abcdef]", text)
        self.assertEqual(self.run_ok("events", "--since", "@9999999999"), "")
        # the first 8 digits of a number are enough, fewer are a number of their own
        self.assertEqual(self.run_ok("events", "--session", "0000000000ab").count("\n"), 2500)
        self.assertEqual(self.run_ok("events", "--session", "ab"), "")
        self.assertIn("CLOCK OFFSET", self.run_ok("events", "--kind", "CLOCK OFFSET"))
        with open(self.path("events.jsonl"), encoding="utf-8") as f:
            self.assertGreaterEqual(len([json.loads(line) for line in f]), 2500)
        # what comes later is followed
        with subprocess.Popen([BATON, "--config", self.path("op.conf"), "events", "--follow",
                               "--kind", "SVCQ"], stdout=subprocess.PIPE, text=True) as p:
            for _ in range(1250):
                p.stdout.readline()
            self.send(1)
            self.assertIn("SVCQ                     1", p.stdout.readline())
            p.kill()

    def test_status(self):
        p = self.run_it("status")
        self.assertEqual(p.returncode, 1)
        heading, down, up = p.stdout.splitlines()
        self.assertRegex(heading, r"^NODE +ROLE +STATE +SESSIONS +USERS +LINKS +CERTIFICATE +NOTES$")
        self.assertRegex(down, r"^EdgeServer-1 +es +down +- +- +- +- +.*Connection refused$")
        self.assertRegex(up, r"^LogRepo +logrepo +up +- +- +- +36[45] d +-$")
        # columns stand under their headings
        self.assertEqual(heading.index("STATE"), down.index("down"))
        self.assertEqual(heading.index("CERTIFICATE"), up.index("36"))
        self.assertIn('"lost":0', self.run_ok("status", "--node", "LogRepo", "--json"))
        # who reads JSON hears of a node that is down on stderr, and by the exit status
        p = self.run_it("status", "--json")
        self.assertEqual((p.returncode, [json.loads(line)["node"] for line in
                                         p.stdout.splitlines()]), (1, ["LogRepo"]))
        self.assertIn("EdgeServer-1: ", p.stderr)

    def test_watch(self):
        with subprocess.Popen([BATON, "--config", self.path("op.conf"), "status", "--watch",
                               "--node", "LogRepo"], stdout=subprocess.PIPE, text=True) as p:
            lines = [p.stdout.readline() for _ in range(5)]
            p.kill()
        self.assertEqual([line.split()[:1] for line in lines],
                         [["NODE"], ["LogRepo"], [], ["NODE"], ["LogRepo"]])
        # whoever read it went away
        with subprocess.Popen([BATON, "--config", self.path("op.conf"), "status", "--watch",
                               "--json", "--node", "LogRepo"], stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True) as p:
            json.loads(p.stdout.readline())
            p.stdout.close()
            self.assertEqual(p.wait(20), 2)
            self.assertIn("output", p.stderr.read())

    def on_terminal(self, *args, **environment):
        """What a command writes to a terminal"""
        ours, theirs = pty.openpty()
        said = b""
        with subprocess.Popen([BATON, "--config", self.path("op.conf"), *args], stdout=theirs,
                              env={"TERM": "xterm", **environment}) as p:
            os.close(theirs)
            while True:
                try:
                    said += os.read(ours, 4096)
                except OSError:
                    break
            p.wait(20)
        os.close(ours)
        return said.decode()

    def test_colours(self):
        self.assertIn("\033[32mup\033[0m", self.on_terminal("status"))
        self.assertIn("\033[31mdown\033[0m", self.on_terminal("status"))
        for plain in {"NO_COLOR": "1"}, {"TERM": "dumb"}:
            self.assertNotIn("\033", self.on_terminal("status", **plain))
        self.assertNotIn("\033", self.run_it("status").stdout)

    def test_mistakes(self):
        self.fails("which command?")
        self.fails('command "dance" is unknown', "dance")
        self.fails("option", "events", "--what")
        self.fails("want 90s", "events", "--since", "yesterday")
        self.fails('session "xyz" is no number', "events", "--session", "xyz")
        self.fails("knows no node", "status", "--node", "X")
        self.fails("which container, or image?", "check")
        self.fails("which session, device or user?", "migrate")
        self.fails("--to EDGE-SERVER is missing", "migrate", "USER")
        self.fails('knows no edge server "LogRepo"', "migrate", "USER", "--to", "LogRepo")
        self.fails('"a b" is no session', "migrate", "a b", "--to", "EdgeServer-1")
        self.fails("want 0 to 86400 seconds", "drain", "EdgeServer-1", "--timeout", "soon")
        self.fails("which edge server?", "drain")
        self.fails('knows no edge server "AP-1"', "undrain", "AP-1")
        self.fails("Connection refused", "drain", "EdgeServer-1")
        self.fails('no access point has a session, device or user "USER"', "migrate", "USER",
                   "--to", "EdgeServer-1")
        self.fails("--node NAME", "check", "abc")
        self.fails("knows no edge server", "check", "abc", "--node", "LogRepo")
        self.fails("--force replaces it", "pki", "init", "--dir", self.pki)
        self.fails("role: want mud", "pki", "issue", "x", "boss", "--dir", self.pki)
        self.fails("want 1 to 63", "pki", "issue", "../x", "ap", "--dir", self.pki)
        self.fails("baton pki issue AP-9 ROLE", "pki", "renew", "AP-9", "--dir", self.pki)
        self.fails("no certificate was issued to it", "pki", "revoke", "AP-9", "--dir", self.pki)

    def test_renew_and_revoke(self):
        pki = os.path.join(self.dir, "pki-2")
        self.run_ok("pki", "init", "--dir", pki)
        self.run_ok("pki", "issue", "AP-1", "ap", "--dir", pki)
        self.assertIn("role ap", self.run_ok("pki", "renew", "AP-1", "--days", "30", "--dir", pki))
        self.assertIn("2 of AP-1 revoked", self.run_ok("pki", "revoke", "AP-1", "--dir", pki))
        self.assertTrue(os.path.exists(os.path.join(pki, "ca.crl")))
        self.assertEqual(json.loads(self.run_ok("pki", "issue", "AP-2", "ap", "--dir", pki, "--json")),
                         {"done": "issue", "dir": pki, "name": "AP-2", "role": "ap"})
        self.assertEqual(json.loads(self.run_ok("pki", "revoke", "AP-2", "--dir", pki, "--json")),
                         {"done": "revoke", "dir": pki, "name": "AP-2", "revoked": 1})
        p = subprocess.run([BATON, "--config", "/nowhere.conf", "status"], text=True,
                           capture_output=True, timeout=30, check=False)
        self.assertEqual(p.returncode, 2)
        self.assertIn("/nowhere.conf", p.stderr)

    def test_two_at_once(self):
        pki = os.path.join(self.dir, "pki-3")
        names = "AP-1", "AP-2"
        self.run_ok("pki", "init", "--dir", pki)
        for name in names:
            self.run_ok("pki", "issue", name, "ap", "--dir", pki)
        lock = os.open(pki, os.O_RDONLY)
        fcntl.flock(lock, fcntl.LOCK_EX)
        commands = [subprocess.Popen([BATON, "pki", "revoke", name, "--dir", pki],
                                     stdout=subprocess.DEVNULL) for name in names]
        until = time.monotonic() + 20
        while waiters(lock) < len(names):
            self.assertLess(time.monotonic(), until, "the commands do not wait for one another")
        os.close(lock)
        self.assertEqual([c.wait(20) for c in commands], [0, 0])
        for name in names:  # both are in the list
            self.fails("not revoked already", "pki", "revoke", name, "--dir", pki)

    def test_certificates_decide(self):
        # a user device may report events but not ask for them
        with open(self.path("op.conf"), encoding="utf-8") as f:
            self.write("mud.conf", f.read().replace("/op.", "/USER."))
        p = subprocess.run([BATON, "--config", self.path("mud.conf"), "events"], text=True,
                           capture_output=True, timeout=30, check=False)
        self.assertEqual(p.returncode, 2)
        self.assertIn("only an operator may ask", p.stderr)

    def test_help(self):
        self.assertIn("sessions_max", self.run_ok("--help"))
        for command in ("status", "sessions", "events", "check", "pki", "migrate", "drain",
                        "undrain"):
            self.assertIn(f"baton {command} - ", self.run_ok(command, "--help"))
        for option in "--help", "--version":
            subprocess.run([LOGREPO, option], check=True, stdout=subprocess.DEVNULL, timeout=30)
        p = subprocess.run([LOGREPO, "--check-config", "--config", self.path("logrepo.conf")],
                           text=True, capture_output=True, timeout=30, check=True)
        self.assertIn("is valid", p.stdout)
        p = subprocess.run([LOGREPO, "--config", self.path("op.conf")],
                           text=True, capture_output=True, timeout=30, check=False)
        self.assertNotEqual(p.returncode, 0)
        self.assertIn("is no setting of role", p.stderr)
        # a second one on the same file
        p = subprocess.run([LOGREPO, "--config", self.path("logrepo.conf")],
                           text=True, capture_output=True, timeout=30, check=False)
        self.assertEqual(p.returncode, 1)
        self.assertIn("does another baton-logrepo run?", p.stderr)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
