# SPDX-License-Identifier: Apache-2.0
"""Requests and answers of many megabytes, while their services move (enum wire_part)

The clients of load.py append words of 3 MB, so that each request goes in parts and each reading of the
list, too; they end up before the cut, after it, and across the switch.
"""

import hashlib
import json
import os
import subprocess
import sys

import bed
from baton_lab import GATEWAY, Lab

HOPS = int(os.environ.get("BATON_HOPS", "4"))
EXAMPLES = ("redis", "python-http")
WORD_BYTES = 3_000_000
PART = 1 << 20

# A client that connects whenever it is told so, and then sets one value and reads it again
BIG = r"""
import os, socket, sys
def connect():
    s = socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=120)
    s.settimeout(120)
    return s, s.makefile("rb")
for step in sys.stdin:
    if step == "set\n":
        break
    s, f = connect()
    s.sendall(b"PING\r\n")
    assert f.readline() == b"+PONG\r\n"
    print("here", flush=True)
size = int(sys.argv[3])
value = os.urandom(size)
s.sendall(b"*3\r\n$3\r\nSET\r\n$3\r\nbig\r\n$%d\r\n" % size)
s.sendall(value)
s.sendall(b"\r\n")
assert f.readline() == b"+OK\r\n"
s.sendall(b"GET big\r\n")
assert f.readline() == b"$%d\r\n" % size
assert f.read(size + 2)[:-2] == value
print("same", flush=True)
"""


class LongMessages(bed.BedTest):
    EDGES = 2
    RATE_MB_S = 40
    LIMITS = {"ap": {"user_idle_ms": 8000}}

    @classmethod
    def bring_up(cls):
        cls.lab = Lab(bed.LAB_NAME, cls.EDGES, rtt_ms=cls.RTT_MS, rate_mb_s=cls.RATE_MB_S,
                      examples=EXAMPLES, limits=cls.LIMITS)
        bed.BedTest.up = cls.lab
        cls.lab.__enter__()
        cls.lab.users(1)
        cls.clean = True

    def start(self, example):
        client = self.lab.exec(
            "user1", sys.executable, bed.HERE / "load.py", example, GATEWAY,
            self.lab.example_port(example), "--connections", 1, "--rounds-per-second", 0.5,
            "--batch", 1, "--word-bytes", WORD_BYTES, text=True, stdin=subprocess.PIPE,
            stdout=subprocess.PIPE)
        for clean in (client.stdout.close, client.stdin.close, client.wait, client.kill):
            self.addCleanup(clean)
        return client

    def report(self, client, command="report"):
        client.stdin.write(command + "\n")
        client.stdin.flush()
        line = client.stdout.readline()
        self.assertTrue(line, "the client is gone")
        report = json.loads(line)
        self.assertEqual(report["wrong"], [])
        return report

    def more(self, clients, words=1):
        before = [self.report(c)["answered"][0] for c in clients]
        self.wait(lambda: all(self.report(c)["answered"][0] >= b + words
                              for c, b in zip(clients, before, strict=True)), "more answers", 60)

    def parts_replayed(self):
        """How many parts of requests both containers of a migration have executed"""
        windows = []
        for ready in self.events.find("READY"):  # its number is that of the cut
            ends = [e["time_us"] for e in self.events.find("SWITCH COMPLETE",
                                                           session=ready["session"])
                    if e["time_us"] > ready["time_us"]]
            windows += [(ready["session"], ready["number"], ends[0])] if ends else []
        return sum(e["detail"] == f"len={PART}" and any(
            e["session"] == session and e["number"] > cut and e["time_us"] < end
            for session, cut, end in windows) for e in self.events.find("SVCQ"))

    def test_hops(self):
        """R1, R2, R12: no word is lost, doubled or mixed up, to and fro"""
        self.lab.move_user("user1", "AP-1")
        clients = [self.start(example) for example in EXAMPLES]
        self.more(clients)
        for hop in range(1, HOPS + 1):
            there = f"AP-{hop % 2 + 1}"
            self.lab.move_user("user1", there)
            self.wait_event("SWITCH COMPLETE", there, count=len(clients) * ((hop + 1) // 2),
                            seconds=90)
            self.more(clients)
        self.assertGreater(self.parts_replayed(), 0)
        self.assertEqual(self.events.find("DIVERGED"), [])
        for client in clients:
            self.report(client, "stop")
            self.assertEqual(client.wait(), 0)
        self.assert_nothing_left()

    def test_across_the_switch(self):
        """R3, R4: CT-x gets the beginning of one value only, CT-y all of it"""
        self.lab.move_user("user1", "AP-1")
        client = self.lab.exec("user1", sys.executable, "-c", BIG, GATEWAY,
                               self.lab.example_port("redis"), 45_000_000, text=True,
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        for clean in (client.stdout.close, client.stdin.close, client.wait, client.kill):
            self.addCleanup(clean)

        def tell(step, answer):
            client.stdin.write(step + "\n")
            client.stdin.flush()
            self.assertEqual(client.stdout.readline(), answer + "\n")
        tell("connect", "here")
        self.lab.move_user("user1", "AP-2")
        tell("connect", "here")
        self.wait_event("T1", seconds=60)
        tell("set", "same")
        self.wait_event("SWITCH COMPLETE", "AP-2", seconds=90)
        self.assertEqual(client.wait(), 0)
        fenced = self.events.find("FENCED")[0]["number"]
        parts = [e["number"] for e in self.events.find("SVCQ", "AP-2")
                 if e["detail"] == f"len={PART}"]
        self.assertLess(parts[0], fenced)
        self.assertGreater(parts[-1], fenced)
        self.assertEqual(self.events.find("DIVERGED"), [])
        self.assert_nothing_left()

    def curl(self, *args):
        done = self.lab.exec("user1", "curl", "-s", *args, stdout=subprocess.PIPE)
        out, _ = done.communicate(timeout=120)
        self.assertEqual(done.returncode, 0, args)
        return out

    def test_curl(self):
        """A body up and down again, by a client that nobody wrote for this; and one too long"""
        self.lab.move_user("user1", "AP-1")
        at = f"http://{GATEWAY}:{self.lab.example_port('python-http')}/baskets/long"
        body = self.lab.dir / "body"
        text = hashlib.sha256(b"seed").hexdigest() * (20_000_000 // 64)
        body.write_text(text)
        out = self.curl("--data-binary", f"@{body}", at)
        self.assertEqual(json.loads(out), {"position": 1})
        out = json.loads(self.curl(at))
        self.assertEqual([hashlib.sha256(i.encode()).digest() for i in out["items"]],
                         [hashlib.sha256(text.encode()).digest()])
        out = self.curl("-i", "--data-binary", "@/dev/null", "-H", f"Content-Length: {2 << 30}", at)
        self.assertIn(b"413 Payload Too Large", out)
        self.assert_nothing_left()
