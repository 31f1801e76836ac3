#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The fault matrix finds what it is there to find

Its client is run against the baskets of examples/python-http over loopback, a sound service and ones with a fault
each. What a cell makes of a client's report and of events is tried by itself, and so is a stage that was missed.
"""

import collections
import http.server
import json
import pathlib
import subprocess
import sys
import threading
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[3]
sys.dont_write_bytecode = True
sys.path[:0] = [str(ROOT / "tests/faults"), str(ROOT / "examples/python-http")]

import basket  # noqa: E402
import cell as cells  # noqa: E402
import faults  # noqa: E402
import stages  # noqa: E402

FAULT_AT = 5


def handler(fault, enough):
    """The service's, but for one request: fault(basket, item) instead of append"""
    class Faulty(basket.Handler):
        def do_POST(self):
            name, _ = self.basket()
            item = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
            kept = basket.baskets.setdefault(name, [])
            if name == "c0" and item == str(FAULT_AT) and fault:
                fault(kept, item)
            else:
                kept.append(item)
            if name == "c0" and int(item) > 2 * FAULT_AT:
                enough.set()
            self.answer(201, {"position": len(kept)})
    return Faulty


def lose(_kept, _item):
    """Answer, but do nothing"""


def double(kept, item):
    kept += [item, item]


def reorder(kept, item):
    kept.insert(0, item)


class Client(unittest.TestCase):
    def checked(self, fault):
        """What the client says of a service"""
        basket.baskets.clear()
        enough = threading.Event()
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler(fault, enough))
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        with subprocess.Popen(
                [sys.executable, ROOT / "tests/faults/client.py", "python-http", "127.0.0.1",
                 str(server.server_address[1]), "--connections", "1", "--per-second", "1000"],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as client:
            self.assertTrue(enough.wait(30))
            client.stdin.write("check\n")
            client.stdin.flush()
            report, = json.loads(client.stdout.readline())
            client.communicate("stop\n", timeout=30)
        server.shutdown()
        thread.join()
        server.server_close()
        self.assertIsNone(report["wrong"])
        return report["lost"], len(report["doubled"]), report["disordered"]

    def test_sound(self):
        self.assertEqual(self.checked(None), (0, 0, 0))

    def test_lost(self):
        self.assertEqual(self.checked(lose), (1, 0, 0))

    def test_doubled(self):
        self.assertEqual(self.checked(double), (0, 1, 0))

    def test_disordered(self):
        self.assertEqual(self.checked(reorder), (0, 0, 1))


class Told:
    """Events of a list"""

    def __init__(self, *events):
        self.list = [{"kind": kind, "session": "s", "node": node, "time_us": at, "detail": ""}
                     for kind, node, at in events]

    def read(self):
        return self.list

    def find(self, kind, node=None, session=None):
        return [e for e in self.list if e["kind"] == kind and node in (None, e["node"])
                and session in (None, e["session"])]


class Verdicts(unittest.TestCase):
    """A cell's rules, each broken once"""

    SOUND = {"sent": 9, "acknowledged": 9, "doubtful": 0, "refused": 0, "told": [], "processes": ["a"],
             "silence_ms": 5, "wrong": None, "there": 9, "doubled": [], "disordered": 0, "lost": 0,
             "lost_first": [], "lost_until_us": 0}

    def judged(self, *events, load="redis", loses_memory=False, **report):
        fault = faults.Container("x", 1)
        fault.load, fault.loses_memory = load, loses_memory
        cell = cells.Cell(None, fault, "rest", 1)
        cell.session = "s"
        cell.events = Told(*events)
        cell.ask = lambda command="report": [self.SOUND | report]
        try:
            cell.compare()
        except cells.Bad as e:
            return str(e)
        return cell.row["memory"]

    def test_sound(self):
        self.assertEqual(self.judged(), "kept")

    def test_lost(self):
        self.assertIn("1 acknowledged requests lost", self.judged(lost=1))

    def test_doubled(self):
        self.assertIn("1 doubled", self.judged(doubled=[4]))

    def test_restarts(self):
        """Said and expected, said and not expected, not said"""
        restarted = ("CONTAINER RESTARTED", "EdgeServer-1", 100)
        two = ["a", "b"]
        self.assertEqual(self.judged(restarted, loses_memory=True, processes=two), "lost, said")
        self.assertIn("needed not to be", self.judged(restarted, processes=two))
        self.assertIn("nothing said so", self.judged(loses_memory=True, processes=two))

    def test_memory(self):
        """Only what was acknowledged before the end may be lost, and only by who has it in memory alone"""
        restarted = ("CONTAINER RESTARTED", "EdgeServer-1", 100)
        lost = {"loses_memory": True, "lost": 3}
        self.assertEqual(self.judged(restarted, load="python-http", lost_until_us=90, **lost), "lost, said")
        self.assertIn("3 acknowledged", self.judged(restarted, load="python-http", lost_until_us=110, **lost))
        self.assertIn("3 acknowledged", self.judged(restarted, lost_until_us=90, **lost))

    def test_begun_anew(self):
        fault = faults.Container("x", 1)
        cell = cells.Cell(None, fault, "rest", 1)
        cell.session = "another"
        cell.events = Told(("CONTAINER CREATED", "EdgeServer-2", 5))
        with self.assertRaisesRegex(cells.Bad, "begun anew: an empty container at EdgeServer-2"):
            cell.not_anew()

    def test_left_behind(self):
        fault = faults.Container("x", 1)
        cell = cells.Cell(None, fault, "rest", 1)
        lab = type("Lab", (), {"user_count": 0, "edges": 0})()
        lab.found = lambda: collections.Counter({"pc1: volume v": 1})
        lab.wait_for = lambda condition, seconds, what: condition() or (_ for _ in ()).throw(cells.LabError(what))
        cell.lab = lab
        with self.assertRaisesRegex(cells.Bad, "left behind: pc1: volume v"):
            cell.nothing_left(collections.Counter())
        cell.nothing_left(collections.Counter({"pc1: volume v": 1}))


class Stages(unittest.TestCase):
    def test_missed(self):
        """A stage that was over counts as missed; that of another session does not matter"""
        stage = stages.STAGES["transfer"]
        events = Told(("T1", "EdgeServer-1", 100), ("T4", "EdgeServer-1", 5000))
        self.assertIsNone(stages.missed(events, stage, "s", 4000))
        self.assertIn("T4 had come 2 ms before", stages.missed(events, stage, "s", 7000))
        self.assertIsNone(stages.missed(events, stage, "another", 7000))

    def test_names(self):
        """Each cell has a name of its own, and a delay that its name and the seed decide"""
        names = [f"{f.name}@{s}" for f in faults.catalogue().values() for s in f.stages or stages.STAGES]
        self.assertEqual(len(names), len(set(names)))
        one = [cells.Cell(None, faults.Container("x", 1), "cut", seed).delay_s for seed in (1, 1, 2)]
        self.assertEqual(one[0], one[1])
        self.assertNotEqual(one[0], one[2])


if __name__ == "__main__":
    unittest.main()
