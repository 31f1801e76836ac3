# SPDX-License-Identifier: Apache-2.0
"""Opaque TCP: the room of examples/tcp, with people who talk all the time (codec tcp)"""

import json
import os
import subprocess
import sys

import bed
from baton_lab import GATEWAY, Lab

HOPS = int(os.environ.get("BATON_HOPS", "4"))


class Room(bed.BedTest):
    EDGES = 2
    RATE_MB_S = 20

    @classmethod
    def bring_up(cls):
        cls.lab = Lab(bed.LAB_NAME, cls.EDGES, rtt_ms=cls.RTT_MS, rate_mb_s=cls.RATE_MB_S,
                      examples=["tcp"], limits=cls.LIMITS)
        bed.BedTest.up = cls.lab
        cls.lab.__enter__()
        cls.lab.users(1)
        cls.clean = True

    def talker(self, name):
        client = self.lab.exec("user1", sys.executable, bed.HERE / "talker.py", GATEWAY,
                               self.lab.example_port("tcp"), name, text=True,
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        for clean in (client.stdout.close, client.stdin.close, client.wait, client.kill):
            self.addCleanup(clean)
        return client

    def report(self, client, command="report"):
        client.stdin.write(command + "\n")
        client.stdin.flush()
        line = client.stdout.readline()
        self.assertTrue(line, "the talker is gone")
        report = json.loads(line)
        self.assertEqual(report["wrong"], [])
        return report

    def more(self, clients, words=200):
        """Everybody has heard so many more of its words"""
        for client in clients:
            before = self.report(client)["answered"][0]
            self.wait(lambda c=client, b=before: self.report(c)["answered"][0] >= b + words,
                      "more words", 60)

    @bed.long
    def test_hops(self):
        """R1, R4, R6: no word is said twice or lost, to and fro; connections end when it moves"""
        self.lab.move_user("user1", "AP-1")
        clients = [self.talker("ann"), self.talker("bob")]
        self.more(clients)
        self.assertEqual([self.report(c)["connections"] for c in clients], [1, 1])
        for hop in range(1, HOPS + 1):
            there = f"AP-{hop % 2 + 1}"
            self.lab.move_user("user1", there)
            self.wait_event("SWITCH COMPLETE", there, count=(hop + 1) // 2, seconds=60)
            self.more(clients)
        self.assertEqual(self.events.find("MIGRATION FAILED"), [])
        self.assertEqual(len(self.events.find("HELD")), HOPS)
        for client in clients:
            report = self.report(client, "stop")
            self.assertGreaterEqual(report["connections"], 1 + HOPS)
            self.assertEqual(client.wait(), 0)
        self.assert_nothing_left()

    def test_in_place(self):
        """A room nobody moves: as if Baton were not there"""
        self.lab.move_user("user1", "AP-1")
        clients = [self.talker("cid"), self.talker("dan")]
        self.more(clients, 500)
        for client in clients:
            self.assertEqual(self.report(client, "stop")["connections"], 1)
            self.assertEqual(client.wait(), 0)
        self.assert_nothing_left()
