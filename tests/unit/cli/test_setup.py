#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""baton setup: a first host, further ones by a token, and what the hosts then know and can start with"""

import json
import os
import pathlib
import re
import socket
import subprocess
import sys
import tempfile
import unittest

BUILD = pathlib.Path(os.environ["MESON_BUILD_ROOT"])
BATON = BUILD / "src/cli/baton"
# a loopback network that nothing else uses, also not another run: invite listens at a fixed port
NET = f"127.74.{os.getpid() % 250}."


def baton(etc, *args):
    return subprocess.run([BATON, "setup", *args, "--etc", etc], text=True, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60, check=False)


class Invitation:
    """`baton setup invite`, while it waits"""

    def __init__(self, test, etc, name, address, *args):
        self.process = subprocess.Popen(
            [BATON, "setup", "invite", name, address, "--etc", etc, *args], text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        test.addCleanup(self.stop)
        self.said = ""
        for line in self.process.stdout:
            self.said += line
            found = re.search(r"baton setup join (\S+)", line)
            if found:
                self.token = found[1]
            if "Waiting" in line:
                return
        raise AssertionError(self.process.stderr.read())

    def stop(self):
        self.process.kill()
        self.process.communicate()

    def end(self):
        out, err = self.process.communicate(timeout=60)
        return self.process.returncode, out, err


class Setup(unittest.TestCase):
    def setUp(self):
        place = tempfile.TemporaryDirectory()
        self.addCleanup(place.cleanup)
        self.place = pathlib.Path(place.name)
        self.etc = {name: self.place / name for name in "abc"}

    def good(self, run):
        self.assertEqual(run.returncode, 0, run.stderr)
        return run.stdout

    def first(self):
        return self.good(baton(self.etc["a"], "first", "a", NET + "1"))

    def join(self, name, address):
        invitation = Invitation(self, self.etc["a"], name, address)
        said = self.good(baton(self.etc[name], "join", invitation.token))
        status, out, err = invitation.end()
        self.assertEqual(status, 0, err)
        self.assertIn(f"{name} has joined", out)
        return invitation.token, said, out

    def lines(self, host, program):
        """What a program finds of its host, by the configuration that was written"""
        daemon = BUILD / f"src/{program}/baton-{program}"
        run = subprocess.run([daemon, "--config", self.etc[host] / f"{program}.conf", "--check-host",
                              "--json"], text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                             timeout=60, check=False)
        self.assertLess(run.returncode, 2, run.stderr)
        return {line["what"]: line for line in json.loads(run.stdout)}

    def peers(self, host, program):
        text = (self.etc[host] / f"{program}.conf").read_text()
        return re.findall(r'^peer "([^"]*)"', text, re.M)

    def test_three_hosts(self):
        self.first()
        self.join("b", NET + "2")
        _, _, said = self.join("c", NET + "3")
        # The first host says what the one in between needs to know.
        self.assertIn(f"baton setup host c {NET}3", said)
        self.good(baton(self.etc["b"], "host", "c", NET + "3"))
        for host, others in (("a", "bc"), ("b", "ac"), ("c", "ab")):
            self.assertEqual(self.peers(host, "es"), [f"EdgeServer-{o}" for o in others])
            self.assertEqual(sorted(self.peers(host, "ap")),
                             sorted([f"AP-{o}" for o in others] + [f"EdgeServer-{o}" for o in "abc"]))
            for program in ("es", "ap"):
                certificate = self.lines(host, program)["certificate"]
                self.assertEqual(certificate["result"], "ok", certificate)
                self.assertEqual(self.lines(host, program)["listen"]["result"], "ok")
            self.assertEqual((self.etc[host] / "pki/es.key").stat().st_mode & 0o777, 0o600)
        self.assertEqual(len(self.peers("a", "baton")), 6)
        self.assertEqual(self.lines("a", "logrepo")["certificate"]["result"], "ok")
        self.assertIn(f'address = "{NET}1:7300"', (self.etc["c"] / "es.conf").read_text())
        # Keys stay where they were made; the authority stays at the first host.
        keys = [p.read_text() for p in self.etc["a"].rglob("*.key")]
        self.assertEqual(len(keys), len(set(keys)))
        self.assertEqual([p.name for p in (self.etc["a"] / "authority").glob("*.key")], ["ca.key"])
        for host in "bc":
            self.assertFalse((self.etc[host] / "authority").exists())
            self.assertNotIn((self.etc[host] / "pki/es.key").read_text(), keys)

    def test_token_is_good_once(self):
        self.first()
        token, _, _ = self.join("b", NET + "2")
        run = baton(self.etc["c"], "join", token)
        self.assertEqual(run.returncode, 2)
        self.assertIn("baton setup invite", run.stderr)
        self.assertFalse((self.etc["c"] / "es.conf").exists())

    def test_wrong_token(self):
        """Who does not know the secret gets nothing, and the invited host joins afterwards"""
        self.first()
        invitation = Invitation(self, self.etc["a"], "b", NET + "2")
        wrong = invitation.token[:-1] + ("0" if invitation.token[-1] != "0" else "1")
        run = baton(self.etc["c"], "join", wrong)
        self.assertEqual(run.returncode, 2)
        self.assertIn("does not know this token", run.stderr)
        self.assertFalse((self.etc["c"] / "pki").exists())
        self.good(baton(self.etc["b"], "join", invitation.token))
        status, _, err = invitation.end()
        self.assertEqual(status, 0)
        self.assertIn("came to nothing", err)

    def test_joined_and_silent(self):
        """Who got certificates and says nothing more has used the token up, and the operator learns what to do"""
        self.first()
        (self.etc["b"] / "pki/ca.crt/x").mkdir(parents=True)  # nothing can be stored there
        (self.etc["b"] / "pki/ca.crt").rename(self.etc["b"] / "pki/ca.crl")
        (self.etc["a"] / "authority/ca.crl").write_text("a list\n")
        invitation = Invitation(self, self.etc["a"], "b", NET + "2")
        run = baton(self.etc["b"], "join", invitation.token)
        self.assertEqual(run.returncode, 2)
        self.assertIn("ca.crl", run.stderr)
        status, out, err = invitation.end()
        self.assertEqual(status, 2)
        self.assertNotIn("has joined", out)
        self.assertIn("baton pki revoke EdgeServer-b", err)
        self.assertFalse((self.etc["b"] / "pki/es.key").exists())
        run = baton(self.etc["c"], "join", invitation.token)
        self.assertEqual(run.returncode, 2)
        # The host itself is not in the way of another attempt.
        (self.etc["b"] / "pki/ca.crl/x").rmdir()
        (self.etc["b"] / "pki/ca.crl").rmdir()
        (self.etc["a"] / "authority/ca.crl").unlink()
        self.join("b", NET + "2")
        self.assertEqual(self.lines("b", "es")["certificate"]["result"], "ok")

    def test_revocations_come_or_nothing_does(self):
        self.first()
        (self.etc["a"] / "authority/ca.crl").write_text("x" * (512 * 1024 + 1))
        invitation = Invitation(self, self.etc["a"], "b", NET + "2")
        self.assertEqual(baton(self.etc["b"], "join", invitation.token).returncode, 2)
        status, _, err = invitation.end()
        self.assertEqual(status, 2)
        self.assertIn("more than 524288 bytes", err)

    def test_what_an_operator_wrote_stays(self):
        self.first()
        conf = self.etc["a"] / "es.conf"
        conf.write_text(conf.read_text().replace("#shared", "shared") + "# mine\n")
        self.join("b", NET + "2")
        text = conf.read_text()
        self.assertIn("\nshared", text)
        self.assertTrue(text.endswith("# mine\n"))
        # Without the marks nothing is written, and the operator is told.
        conf.write_text(text.replace("# ---", "#"))
        run = baton(self.etc["a"], "host", "c", NET + "3")
        self.assertEqual(run.returncode, 2)
        self.assertIn("add the peers of the new host by hand", run.stderr)
        self.assertEqual(conf.read_text(), text.replace("# ---", "#"))

    def test_nothing_is_replaced(self):
        self.first()
        before = {p: p.read_bytes() for p in self.etc["a"].rglob("*") if p.is_file()}
        for args in (("first", "x", NET + "9"), ("join", "baton1/" + NET + "1:7400/" + 64 * "0")):
            run = baton(self.etc["a"], *args)
            self.assertEqual(run.returncode, 2)
            self.assertIn("belongs to a deployment already", run.stderr)
        self.assertEqual(before, {p: p.read_bytes() for p in before})
        # Keys of a host that was set up by hand stay, too.
        (self.etc["b"] / "pki").mkdir(parents=True)
        (self.etc["b"] / "pki/es.key").write_text("mine")
        run = baton(self.etc["b"], "first", "b", NET + "2")
        self.assertEqual(run.returncode, 2)
        self.assertEqual((self.etc["b"] / "pki/es.key").read_text(), "mine")

    def test_bad_input(self):
        for args, said in (
                (("first", "a b", NET + "1"), "a name has 1 to"),
                (("first", "a" * 60, NET + "1"), "a name has 1 to"),
                (("first", "a", "0.0.0.0"), "is no address"),
                (("first", "a", "host.example"), "is no address"),
                (("first", "a"), "want NAME and ADDRESS"),
                (("first", "a", NET + "1", "x"), "not expected"),
                (("invite", "b", NET + "2"), "baton setup first"),
                (("join", "baton1/nonsense"), "this is no token"),
                (("join", "baton1/" + NET + "1:7400/" + 65 * "0"), "this is no token"),
                (("join",), "want the TOKEN"),
                (("host", "b", NET + "2"), "es.conf"),
                (("first", "a", NET + "1", "--minutes", "0"), "want 1 to"),
                (("other",), 'want "first"')):
            with self.subTest(args):
                run = baton(self.etc["a"], *args)
                self.assertEqual(run.returncode, 2, run.stdout)
                self.assertRegex(run.stderr, r"\Abaton: .*\n\Z")
                self.assertIn(said, run.stderr)
                self.assertFalse((self.etc["a"] / "es.conf").exists())

    def test_same_host_twice(self):
        self.first()
        for name, address in (("a", NET + "2"), ("b", NET + "1")):
            run = baton(self.etc["a"], "invite", name, address)
            self.assertEqual(run.returncode, 2)
            self.assertIn("is there already", run.stderr)

    def test_version_6(self):
        try:
            socket.create_server(("::1", 0), family=socket.AF_INET6).close()
        except OSError as e:
            self.skipTest(f"no IPv6 here: {e}")
        self.good(baton(self.etc["a"], "first", "a", "::1"))
        self.join("b", "2001:db8::2")
        self.assertIn('"[2001:db8::2]:7200"', (self.etc["a"] / "ap.conf").read_text())
        self.assertIn('listen = "[2001:db8::2]:7100"', (self.etc["b"] / "ap.conf").read_text())
        self.assertEqual(self.lines("a", "ap")["certificate"]["result"], "ok")


if __name__ == "__main__":
    sys.exit(unittest.main())
