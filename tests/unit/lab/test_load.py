#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The checking client of the end-to-end tests finds what it is there to find

It is run against a datagram service over loopback, a sound one and ones with a fault each, and its
book-keeping is tried by itself.
"""

import json
import pathlib
import socket
import subprocess
import sys
import threading
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[3]
sys.dont_write_bytecode = True
sys.path.insert(0, str(ROOT / "tests/e2e"))
sys.path.insert(0, str(ROOT / "examples/udp"))

import load  # noqa: E402
import readings  # noqa: E402

FAULT_AT = 5


class Service(threading.Thread):
    """examples/udp with a fault: fault(list, word) is called instead of the FAULT_AT-th "put\""""

    def __init__(self, fault):
        super().__init__(daemon=True)
        self.fault = fault
        self.count = 0
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.bind(("127.0.0.1", 0))
        self.enough = threading.Event()

    def run(self):
        readings.readings.clear()
        while True:
            data, peer = self.sock.recvfrom(65536)
            words = data.decode().split()
            if words[0] == "end":
                return
            self.count += words[0] == "put"
            if words[0] == "put" and self.count == FAULT_AT and self.fault:
                kept = readings.readings[words[1]]
                self.fault(kept, words[2])
                answer = f"{words[2]} {FAULT_AT}"
            else:
                answer = readings.answer(words)
            self.sock.sendto(answer.encode(), peer)
            if self.count > 2 * FAULT_AT:
                self.enough.set()

    def end(self):
        self.sock.sendto(b"end", self.sock.getsockname())
        self.join()
        self.sock.close()


def lose(_kept, _word):
    """Answer, but do nothing"""


def double(kept, word):
    kept += [word, word]


def reorder(kept, word):
    kept.insert(0, word)


def change(kept, _word):
    kept.append("other")


class Faults(unittest.TestCase):
    def report(self, fault):
        """What the client says of a service"""
        service = Service(fault)
        service.start()
        with subprocess.Popen(
                [sys.executable, ROOT / "tests/e2e/load.py", "udp", "127.0.0.1",
                 str(service.sock.getsockname()[1]), "--connections", "1", "--batch", "3",
                 "--rounds-per-second", "1000"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                text=True) as client:
            # a client that has found something sends no more
            while not service.enough.wait(0.05):
                client.stdin.write("report\n")
                client.stdin.flush()
                if json.loads(client.stdout.readline())["wrong"]:
                    break
            said, _ = client.communicate("stop\n", timeout=60)
        service.end()
        report = json.loads(said.splitlines()[-1])
        self.assertEqual(client.returncode, 1 if report["wrong"] else 0)
        return report

    def test_sound(self):
        report = self.report(None)
        self.assertEqual(report["wrong"], [])
        self.assertGreater(report["sure"], 2 * FAULT_AT)

    def test_faults(self):
        for fault in (lose, double, reorder, change):
            with self.subTest(fault.__name__):
                self.assertTrue(self.report(fault)["wrong"])


class Ledger(unittest.TestCase):
    """What was not answered may have happened from the beginning up to some point"""

    def setUp(self):
        self.ledger = load.Ledger()
        self.ledger.sent(["a", "b", "c", "d"])
        self.ledger.answered(1)

    def test_any_beginning_happened(self):
        for happened in range(4):
            self.setUp()
            self.ledger.settle(["b", "c", "d"][:happened])
            self.assertEqual(self.ledger.sure, ["a", "b", "c", "d"][:1 + happened])
            self.ledger.compare(self.ledger.sure)

    def test_nothing_else_happened(self):
        for tail in (["c"], ["b", "d"], ["b", "b"], ["b", "c", "d", "d"], ["a"], ["x"]):
            self.setUp()
            with self.assertRaises(load.Wrong, msg=str(tail)):
                self.ledger.settle(tail)

    def test_position(self):
        for position in (1, 3):
            self.setUp()
            with self.assertRaises(load.Wrong):
                self.ledger.answered(position)

    def test_compare(self):
        self.ledger.settle(["b"])
        for everything in (["a"], ["a", "b", "b"], ["b", "a"], []):
            with self.assertRaises(load.Wrong):
                self.ledger.compare(everything)


if __name__ == "__main__":
    unittest.main()
