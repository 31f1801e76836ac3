# SPDX-License-Identifier: Apache-2.0
"""profile = "paper": the baseline moves the container, too, and has the flaw it is known for"""

import json

import bed


class PaperTest(bed.BedTest):
    EDGES = 2
    PROFILE = "paper"
    RTT_MS = 20  # a round trip for each file: the test need not wait for long ones

    def moved(self, *args):
        """Move a user's container while it sends requests; return the user and its session"""
        user = self.user("--requests", 1200, "--interval-ms", 25, "--move", "20:AP-2", *args)
        session = user.session()
        self.wait_event("MIGRATION DONE", "EdgeServer-2", session, seconds=60)
        self.assertTrue(user.running(), "the user was gone before the container had moved")
        return user, session

    def assert_flawed(self, user):
        """All is answered, but the copy has executed some requests twice (no R1, no R2)"""
        report = user.end()
        self.assertEqual(report["answered"], user.requests)
        self.assertEqual(report["lost"], 0)
        self.assertGreater(report["duplicated"], 0, report)
        self.assertFalse(report["good"])
        state = json.loads((user.out / "answers.txt").read_bytes().splitlines()[-1])
        self.assertGreater(state["executed"], user.requests)

    def assert_stages(self, session):
        """Table 1 of the paper, in its order"""
        self.assert_order(session, ("T1", "EdgeServer-1"), ("T2", "EdgeServer-1"),
                          ("T3", "EdgeServer-1"), ("T4", "EdgeServer-1"), ("T5", "EdgeServer-2"),
                          ("MIGRATION DONE", "EdgeServer-2"))
        self.assertEqual(self.events.find("MIGRATION FAILED", session=session), [])


class Partial(PaperTest):

    def test_requests_are_executed_twice(self):
        """What executes between handoff and checkpoint is replayed into memory that has it"""
        user, session = self.moved()
        self.assert_flawed(user)
        self.assert_stages(session)
        self.assert_nothing_left()


class Complete(PaperTest):
    IMAGE_ON = ("pc1",)
    RATE_MB_S = 30  # the saved image has 96 MB

    def test_committed_image_goes(self):
        """C-Migr: the container is committed, saved, sent and loaded, and starts from that"""
        before = self.lab.docker("pc1", "images", "-aq", "--no-trunc").split()
        user, session = self.moved()
        self.assert_flawed(user)
        self.assert_stages(session)
        self.wait(lambda: self.lab.docker("pc1", "images", "-aq", "--no-trunc").split() == before,
                  "the committed image to be removed where it was made")
        self.assert_nothing_left()


class Mixed(bed.BedTest):
    EDGES = 2

    def test_profiles_must_agree(self):
        """R10: an edge server of another profile takes nothing, says why, and the user is served"""
        conf = self.lab.conf("EdgeServer-2")
        conf.write_text(conf.read_text().replace('profile = "baton"', 'profile = "paper"'))
        self.crash("EdgeServer-2")
        self.lab.start("EdgeServer-2")
        user = self.user("--requests", 100, "--interval-ms", 50, "--move", "20:AP-2")
        session = user.session()
        failed = self.wait_event("MIGRATION FAILED", "EdgeServer-1", session)
        self.assertIn('EdgeServer-1 has another profile than ours, "paper"', failed["detail"])
        self.assert_good(user)
        self.assert_nothing_left()
