# SPDX-License-Identifier: Apache-2.0
"""A protected service comes back with its memory, whatever ends its container (R15)

An ordinary user counts in a Redis whose settings and keys are in its memory. Cuts of its container are kept. When its
container, its engine or its host ends, it goes on as if nothing had happened: no count is lost, none is made twice,
and none is in doubt.
"""

import signal

import bed
import test_restarts


class Protection(test_restarts.Restarts):
    SERVICE = 'codec = "resp"   protect = "memory"   protect_ms = 1000'

    @classmethod
    def bring_up(cls):
        super().bring_up()
        for i in range(cls.EDGES):
            conf = cls.lab.conf(f"EdgeServer-{i + 1}")
            conf.write_text(conf.read_text().replace('codec = "resp"', cls.SERVICE))
            cls.lab.tell(f"EdgeServer-{i + 1}", signal.SIGHUP)

    # of containers without protection
    test_may_not_start = None
    test_removed_by_somebody = None

    def kept(self, since=0):
        """Number of the last request that a cut includes that was kept"""
        cuts = [e["number"] for e in self.events.find("CUT KEPT") if e["number"] > since]
        return cuts[-1] if cuts else 0

    def begin(self):
        """A count, and something that is in memory only; a cut is kept, and more requests follow"""
        self.events = bed.Events(self.lab)
        container = super().begin()
        self.assertEqual(self.redis("config", "set", "maxmemory-samples", "7"), "OK")
        self.wait(lambda: self.kept(20), "a cut to be kept")
        for _ in range(5):
            self.count()
        return container

    def stays(self, container):
        self.assertNotIn(container, self.lab.containers("pc1"))

    def restarted(self):
        event = self.wait_event("CONTAINER RECOVERED", "EdgeServer-1")
        self.assertIn("nothing is lost", event["detail"])
        self.assertEqual(self.events.find("CONTAINER RESTARTED"), [])
        self.assertEqual(self.events.find("IN DOUBT"), [])
        self.assertEqual(self.redis("config", "get", "maxmemory-samples").split()[-1], "7")
        self.wait(lambda: len(self.lab.containers("pc1")) == 1, "the container that ended to be removed")
        return event
