# SPDX-License-Identifier: Apache-2.0
"""Requests and answers of many megabytes, while their services move (enum wire_segment)

The clients of load.py append words of 3 MB, so that each request goes in parts and each reading of the
list, too; they end up before the cut, after it, and across the switch.
"""

import hashlib
import json
import os
import subprocess

import bed
from baton_lab import GATEWAY
from test_clients import ClientsBed

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


class LongMessages(ClientsBed):
    RATE_MB_S = 40

    def long_words(self, example):
        """Put an example under load"""
        return self.start("user1", bed.HERE / "load.py", example, GATEWAY,
                          self.lab.example_port(example), "--connections", 1,
                          "--rounds-per-second", 0.5, "--batch", 1, "--word-bytes", WORD_BYTES)

    def segments_replayed(self):
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

    @bed.long
    def test_hops(self):
        """R1, R2, R12: no word is lost, doubled or mixed up, to and fro"""
        clients = [self.long_words(example) for example in EXAMPLES]
        for client in clients:
            self.more_answers(client, 1)
        for hop in range(1, HOPS + 1):
            there = f"AP-{hop % 2 + 1}"
            self.lab.move_user("user1", there)
            self.wait_event("SWITCH COMPLETE", there, count=len(clients) * ((hop + 1) // 2),
                            seconds=90)
            for client in clients:
                self.more_answers(client, 1)
        self.assertGreater(self.segments_replayed(), 0)
        self.assertEqual(self.events.find("DIVERGED"), [])
        self.end(*clients)
        self.assert_nothing_left()

    def test_across_the_switch(self):
        """R3, R4: CT-x gets the beginning of one value only, CT-y all of it"""
        client = self.start("user1", "-c", BIG, GATEWAY, self.lab.example_port("redis"), 45_000_000)
        self.assertEqual(self.tell(client, "connect"), "here")
        self.lab.move_user("user1", "AP-2")
        self.assertEqual(self.tell(client, "connect"), "here")
        self.wait_event("T1", seconds=60)
        self.assertEqual(self.tell(client, "set"), "same")
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
