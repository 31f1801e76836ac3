# SPDX-License-Identifier: Apache-2.0
"""Software that knows nothing of Baton moves to and fro under load, and so do clients that do not, either

The services are the folders of examples/. An ordinary user of all of them at once moves ten times (or
BATON_HOPS), and so do they. Clients that check every answer (load.py) are at it all the time: their
connections end when the cable is pulled out, they reconnect through the next access point, and in the end
they compare all that a service holds with what it may hold (R1, R2). BATON_EXAMPLES="redis udp" leaves the
others out.
"""

import json
import os
import re
import subprocess
import sys

import bed
from baton_lab import EXAMPLES as FOLDER
from baton_lab import GATEWAY, Lab

HOPS = int(os.environ.get("BATON_HOPS", "10"))
EXAMPLES = os.environ.get("BATON_EXAMPLES", "redis nginx python-http sqlite-http udp tcp").split()
LOAD = {  # connections, rounds a second of each, words in a round
    "redis": (4, 20, 5), "nginx": (2, 4, 1), "python-http": (4, 5, 2), "sqlite-http": (4, 5, 2),
    "udp": (4, 10, 2), "tcp": (2, 10, 2),
}


class Software(bed.BedTest):
    EDGES = 2
    RATE_MB_S = 20
    LIMITS = {"es": {"migrations_max": 11}}  # all at once: one edge server gets 9 of them

    @classmethod
    def bring_up(cls):
        cls.lab = Lab(bed.LAB_NAME, cls.EDGES, rtt_ms=cls.RTT_MS, rate_mb_s=cls.RATE_MB_S,
                      examples=EXAMPLES, limits=cls.LIMITS)
        bed.BedTest.up = cls.lab
        cls.lab.__enter__()
        cls.lab.users(1)
        cls.clean = True

    def report(self, client, command):
        """Tell the client something; return what it reports"""
        client.stdin.write(command + "\n")
        client.stdin.flush()
        line = client.stdout.readline()
        if not line:
            self.fail(f"load.py ended with status {client.wait()}")
        report = json.loads(line)
        self.assertEqual(report["wrong"], [])
        return report

    def more_answers(self, client, rounds=2):
        """Wait until each connection has got so many answers more"""
        before = self.report(client, "report")["answered"]
        self.wait(lambda: all(now >= then + rounds for now, then in
                              zip(self.report(client, "report")["answered"], before, strict=True)),
                  "more answers")

    def start(self, example):
        """Put an example under load by user1; return the client"""
        connections, rounds, batch = LOAD[example]
        client = self.lab.exec(
            "user1", sys.executable, bed.HERE / "load.py", example, GATEWAY,
            self.lab.example_port(example), "--connections", connections, "--rounds-per-second",
            rounds, "--batch", batch, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.addCleanup(client.stdout.close)
        self.addCleanup(client.stdin.close)
        self.addCleanup(client.wait)
        self.addCleanup(client.kill)
        return client

    @bed.long
    def test_hops(self):
        """To and fro, without a fault"""
        self.lab.move_user("user1", "AP-1")
        clients = [self.start(example) for example in EXAMPLES]
        for client in clients:
            self.more_answers(client)
        for hop in range(1, HOPS + 1):
            there = f"AP-{hop % 2 + 1}"
            self.lab.move_user("user1", there)
            self.wait_event("SWITCH COMPLETE", there, count=len(clients) * ((hop + 1) // 2),
                            seconds=60)
            for client in clients:
                self.more_answers(client)
        self.assertEqual(self.events.find("MIGRATION FAILED"), [])
        created = {e["session"]: e["detail"] for e in self.events.find("CONTAINER CREATED")}
        self.assertEqual([(created[e["session"]], e) for e in self.events.find("DIVERGED")], [])
        self.assertEqual(len(created), len(clients))  # nobody began anew
        for example, client in zip(EXAMPLES, clients, strict=True):
            report = self.report(client, "stop")
            self.assertEqual(client.wait(), 0)
            if example != "udp":  # each hop ends every connection
                self.assertGreater(min(report["connections"]), HOPS)
        self.assert_nothing_left()

    def test_commands(self):
        """What the pages of the examples tell people to type does what it should"""
        self.lab.move_user("user1", "AP-1")
        for example in EXAMPLES:
            page = (FOLDER / example / "README.md").read_text()
            commands = re.findall(r"^    (?!docker build)(.*ACCESS-POINT.*)$", page, re.M)
            self.assertTrue(commands, example)
            for command in commands:
                with self.subTest(command):
                    done = self.lab.exec("user1", "bash", "-ec",
                                         command.replace("ACCESS-POINT", GATEWAY),
                                         cwd=FOLDER / example, stdout=subprocess.PIPE,
                                         stderr=subprocess.PIPE, text=True)
                    out, errors = done.communicate(timeout=30)
                    self.assertEqual(done.returncode, 0, errors)
                    self.assertTrue(out)
        self.assert_nothing_left()
