# SPDX-License-Identifier: Apache-2.0
"""A user moves, and the container follows: once, on to a third place, and back"""

import json

import bed

# What of `docker inspect` makes up a container's configuration. All of HostConfig belongs to it.
CONFIG = ("Env", "Cmd", "Entrypoint", "User", "WorkingDir", "Hostname", "Domainname", "StopSignal",
          "StopTimeout", "ExposedPorts", "Volumes", "Tty", "OpenStdin", "Healthcheck", "Image")


class OneMove(bed.BedTest):
    EDGES = 2
    RATE_MB_S = 20
    ENV = ("TZ=Europe/Berlin", "GREETING=two words, \\\"quoted\\\"")

    def configuration(self, host, container):
        found, = json.loads(self.lab.docker(host, "inspect", container))
        config = {key: found["Config"].get(key) for key in CONFIG}
        config["Labels"] = {key: value for key, value in found["Config"]["Labels"].items()
                            if key != "baton.epoch"}  # the one thing that must differ
        # an empty list and none mean the same to Docker, which writes either
        config["HostConfig"] = {key: value or None for key, value in found["HostConfig"].items()}
        return config

    def test_container_follows_by_itself(self):
        """R1, R3, R8: nobody commands anything; CT-x goes only when CT-y has taken over"""
        user = self.user("--requests", 340, "--interval-ms", 50, "--move", "20:AP-2")
        session = user.session()
        before, = self.lab.containers("pc1")
        config = self.configuration("pc1", before)
        self.wait_event("MIGRATION DONE", "EdgeServer-2", session)
        # within the grace time: both are there, and either could serve (R3)
        after, = self.lab.containers("pc2")
        self.assertIn(before, self.lab.docker("pc1", "ps", "--format", "{{.Names}}"))
        self.assertIn(after, self.lab.docker("pc2", "ps", "--format", "{{.Names}}"))
        self.assertEqual(self.configuration("pc2", after), config)
        self.wait_event("SWITCH COMPLETE", "AP-2", session)
        self.wait(lambda: not self.lab.containers("pc1"), "CT-x to be removed")
        self.assertEqual(self.lab.containers("pc2"), [after])
        self.assertTrue(user.running(), "the user was gone before CT-x was")
        report = self.assert_good(user)
        self.assertEqual([move["ap"] for move in report["moves"]], ["AP-1", "AP-2"])
        self.assert_order(session, ("REASSOCIATION REQUEST", "USER"), ("T6", "AP-2"),
                          ("T1", "EdgeServer-1"), ("T2", "EdgeServer-1"), ("T5", "EdgeServer-2"),
                          ("T7", "AP-2"), ("FENCED", "EdgeServer-1"),
                          ("MIGRATION DONE", "EdgeServer-2"), ("T8", "AP-2"),
                          ("RETIRED", "EdgeServer-1"), ("SWITCH COMPLETE", "AP-2"))
        # afterwards the container is near again: no request crosses the WAN
        self.assertLess(user.response_ms(310, 339)[15], 100)
        self.assert_nothing_left()

    def test_there_and_back_again(self):
        """R8: a container that has moved moves like any other; x is used anew"""
        user = self.user("--requests", 310, "--interval-ms", 50, "--move", "10:AP-2",
                         "--move", "180:AP-1")
        session = user.session()
        self.wait_event("MIGRATION DONE", "EdgeServer-2", session)
        self.wait_event("MIGRATION DONE", "EdgeServer-1", session)
        self.assert_good(user)
        for stage in bed.STAGES:
            self.assertEqual(len(self.events.find(stage, session=session)), 2, stage)
        self.assertEqual(self.events.find("MIGRATION FAILED", session=session), [])
        self.assert_nothing_left()


class ManyMoves(bed.BedTest):
    """The second move comes while the memory is on its way: R8"""

    RATE_MB_S = 5  # the cut comes about 4 s after the move, the second move 2 s after that

    def second_move_meets_transfer(self, user, session, third):
        """Waits for the cut and the second move; says when the latter came"""
        self.wait_event("T1", "EdgeServer-1", session)
        self.lab.link(200, 1.5, 0)  # 7 s for the memory: the move is sure to meet it
        self.addCleanup(lambda: self.clean and self.lab.link(200, self.RATE_MB_S, 0))
        moved = self.wait_event("REASSOCIATION REQUEST", third, session)
        self.assertTrue(user.running())
        self.assertEqual(self.events.find("READY", "EdgeServer-2", session), [],
                         "the move came too late to meet the transfer")
        self.lab.link(200, 20, 0)
        return moved

    def test_on_to_a_third_access_point(self):
        """x -> y -> z: what went to y is dropped, the container goes from x to z"""
        user = self.user("--requests", 330, "--interval-ms", 50, "--move", "20:AP-2",
                         "--move", "140:AP-3")
        session = user.session()
        self.second_move_meets_transfer(user, session, "AP-3")
        self.wait_event("MIGRATION DONE", "EdgeServer-3", session)
        # nothing is left at y, while the session lives on
        self.wait(lambda: not self.lab.containers("pc2") and not self.lab.staged("pc2"),
                  "the copy at pc2 to be removed")
        self.wait_event("RETIRED", "EdgeServer-1", session)
        self.wait(lambda: not self.lab.containers("pc1"), "CT-x to be removed")
        self.assertTrue(user.running())
        self.assert_good(user)
        self.assertEqual(self.events.find("MIGRATION DONE", "EdgeServer-2", session), [])
        self.assert_nothing_left()

    def test_back_to_the_first_access_point(self):
        """x -> y -> x: the migration is dropped, CT-x serves on as if nothing had been"""
        user = self.user("--requests", 200, "--interval-ms", 50, "--move", "20:AP-2",
                         "--move", "140:AP-1")
        session = user.session()
        before = self.lab.containers("pc1")
        moved = self.second_move_meets_transfer(user, session, "AP-1")
        self.wait_event("MIGRATION FAILED", "EdgeServer-1", session)
        self.wait(lambda: not self.lab.containers("pc2") and not self.lab.staged("pc2"),
                  "the copy at pc2 to be removed")
        self.assertEqual(self.lab.staged("pc1"), [])
        self.assertEqual(self.lab.containers("pc1"), before)
        self.assertTrue(user.running())
        self.assert_good(user)
        self.assertEqual(self.events.find("MIGRATION DONE", session=session), [])
        self.assertEqual([e for e in self.events.find("MIGRATION START", session=session)
                          if e["time_us"] > moved["time_us"] + 1000000], [])
        self.assertEqual(len(self.lines("EdgeServer-1", "MIGRATION FAILED")), 1)
        self.assert_nothing_left()
