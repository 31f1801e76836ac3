# SPDX-License-Identifier: Apache-2.0
"""sync = "hold": nothing executes between the cut and the restore (R6)"""

import time

import bed


class Hold(bed.BedTest):
    EDGES = 2
    SYNC = "hold"
    RATE_MB_S = 10

    def held_ms(self, session):
        """From the cut to the first answer of the copy"""
        held = self.events.find("HELD", "EdgeServer-1", session)[-1]
        switched = self.events.find("T8", "AP-2", session)[-1]
        return (switched["time_us"] - held["time_us"]) / 1000

    def test_there_and_back(self):
        """R1, R4, R6: delayed, never lost; no copy was executed twice, so none was compared"""
        user = self.user("--requests", 360, "--interval-ms", 50, "--move", "20:AP-2",
                         "--move", "230:AP-1")
        session = user.session()
        self.wait_event("MIGRATION DONE", "EdgeServer-2", session)
        self.wait_event("MIGRATION DONE", "EdgeServer-1", session)
        self.assert_good(user)
        self.assert_order(session, ("T1", "EdgeServer-1"), ("HELD", "EdgeServer-1"),
                          ("READY", "EdgeServer-2"), ("MIGRATION DONE", "EdgeServer-2"),
                          ("T8", "AP-2"), ("RETIRED", "EdgeServer-1"))
        self.assertEqual(self.events.find("FENCED", session=session), [],
                         "CT-x executed requests after a cut that holds")
        self.assertEqual(self.events.find("MIGRATION FAILED", session=session), [])
        print(f"held for {self.held_ms(session):.0f} ms")
        self.assert_nothing_left()

    def test_destination_killed(self):
        """R10: ES-y dies while requests are held: CT-x is thawed and serves, and tries again"""
        user = self.user("--requests", 300, "--interval-ms", 50, "--move", "20:AP-2")
        session = user.session()
        self.wait_event("HELD", "EdgeServer-1", session)
        self.crash("EdgeServer-2")
        self.wait_event("UNFENCED", "EdgeServer-1", session)
        self.lab.start("EdgeServer-2")
        self.wait_event("MIGRATION DONE", "EdgeServer-2", session)
        self.assert_good(user)
        self.assert_nothing_left()

    def test_source_killed(self):
        """R10: the program at CT-x dies while it holds: its container is thawed by its successor"""
        user = self.user("--requests", 300, "--interval-ms", 50, "--move", "20:AP-2")
        session = user.session()
        self.wait_event("HELD", "EdgeServer-1", session)
        self.crash("EdgeServer-1")
        self.lab.start("EdgeServer-1")
        self.wait_event("MIGRATION DONE", "EdgeServer-2", session, seconds=60)
        self.assert_good(user)
        self.assert_nothing_left()

    def test_wan_cut(self):
        """R10: the WAN goes away in the middle of what is held"""
        user = self.user("--requests", 400, "--interval-ms", 50, "--move", "20:AP-2")
        session = user.session()
        self.wait_event("HELD", "EdgeServer-1", session)
        self.lab.link("down")
        time.sleep(3)  # not a wait for something: this is how long the link is cut
        self.lab.link("up")
        self.wait_event("MIGRATION DONE", "EdgeServer-2", session, seconds=90)
        self.assert_good(user)
        self.assert_nothing_left()
