# SPDX-License-Identifier: Apache-2.0
"""What a service has acknowledged stays, whatever ends its container (R15)

An ordinary user counts in a Redis that writes each command to an append-only file on a volume. Its container is
killed, restarted by somebody, its engine ends, its host loses its power: the count goes on where it was.
"""

import re
import signal
import subprocess

import bed
from baton_lab import GATEWAY, Lab, LabError


class Restarts(bed.BedTest):
    EDGES = 2
    RTT_MS = 20

    @classmethod
    def bring_up(cls):
        cls.lab = Lab(bed.LAB_NAME, cls.EDGES, rtt_ms=cls.RTT_MS, examples=["redis"], limits=cls.LIMITS)
        bed.BedTest.up = cls.lab
        cls.lab.__enter__()
        cls.lab.users(1)
        cls.clean = True

    def setUp(self):
        super().setUp()
        self.lab.move_user("user1", "AP-1")
        self.counted = 0
        self.doubtful = 0

    def redis(self, *words, patience=60):
        """What Redis answers, or its error, to one command on a connection of its own"""
        done = self.lab.exec("user1", "redis-cli", "-h", GATEWAY, "-p", self.lab.example_port("redis"), *words,
                             text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        try:
            return done.communicate(timeout=patience)[0].strip()
        except subprocess.TimeoutExpired:
            done.kill()
            done.communicate()
            if patience < 60:
                return ""
            self.fail(f"no answer to {words} within {patience} s")

    def count(self):
        """Count once. An acknowledged count is one more than the one before, but for those whose outcome is in doubt"""
        said = self.redis("incr", "n")
        if not re.fullmatch(r"(\(integer\) )?\d+", said):
            self.doubtful += "in doubt" in said
            return said
        n = int(said.split()[-1])
        self.assertGreater(n, self.counted, "an acknowledged count is lost")
        self.assertLessEqual(n, self.counted + 1 + self.doubtful, "something was counted twice")
        self.counted, self.doubtful = n, 0
        return n

    def begin(self):
        """Some counts; the container of a new session is there"""
        self.wait(lambda: re.fullmatch(r"(\(integer\) )?\d+", self.redis("del", "n")), "the service")
        # the session of the test before may still be on its way here
        self.wait(lambda: not self.lab.containers("pc2"), "the container to be at its user's", 60)
        for _ in range(20):
            self.count()
        self.assertEqual(self.counted, 20)
        container, = self.lab.containers("pc1")
        return container

    def counts_again(self, seconds=30):
        """Until it counts; whoever asks meanwhile is told, with an error that clients try again after"""
        def answered():
            said = self.count()
            if not isinstance(said, int):
                self.assertRegex(said, "^LOADING |in doubt")
            return isinstance(said, int)
        self.wait(answered, "the next count", seconds)
        self.assertEqual(self.events.find("CONTAINER CREATED"), [])
        self.assertEqual(self.events.find("SESSION LOST"), [])

    def restarted(self):
        event = self.wait_event("CONTAINER RESTARTED", "EdgeServer-1")
        self.assertIn("in memory are lost", event["detail"])
        return event

    def stays(self, container):
        """The container of the session is the one that it was"""
        self.assertEqual(self.lab.containers("pc1"), [container])

    def test_killed(self):
        """A crash; the container that was is started again, at once"""
        container = self.begin()
        self.events = bed.Events(self.lab)
        self.lab.docker("pc1", "kill", container)
        self.counts_again()
        self.restarted()
        self.stays(container)

    def test_restarted_by_somebody(self):
        container = self.begin()
        self.events = bed.Events(self.lab)
        self.lab.docker("pc1", "restart", "-t", "0", container)
        self.counts_again()
        self.restarted()

    def test_power_off(self):
        """The engine with all its containers and the edge server end at once, and start again"""
        container = self.begin()
        self.events = bed.Events(self.lab)
        self.lab.lab("engine-down", "pc1")
        self.lab.lab("engine-up", "pc1")
        self.lab.start("EdgeServer-1")
        self.counts_again()
        self.restarted()
        self.stays(container)

    def test_engine_ends(self):
        """dockerd ends, in order or not, and takes its containers along, as it does without live-restore"""
        container = self.begin()
        for how in ("TERM", "KILL"):
            with self.subTest(how):
                self.events = bed.Events(self.lab)
                self.lab.lab("engine-restart", "pc1", how)
                self.counts_again()
                self.restarted()
                self.stays(container)

    def test_may_not_start(self):
        """restart = "no": users are told, the data stay, and an operator decides"""
        conf = self.lab.conf("EdgeServer-1")
        before = conf.read_text()
        self.addCleanup(self.lab.tell, "EdgeServer-1", signal.SIGHUP)
        self.addCleanup(conf.write_text, before)
        container = self.begin()
        session = container.split("-")[1]
        conf.write_text(before.replace('codec = "resp"', 'codec = "resp"   restart = "no"'))
        self.lab.tell("EdgeServer-1", signal.SIGHUP)
        self.wait(lambda: self.lines("EdgeServer-1", "configuration read again"), "the catalogue to be read")
        self.lab.docker("pc1", "kill", container)
        self.wait_event("CONTAINER DIED", "EdgeServer-1", session)
        self.wait(lambda: self.lines("AP-1", "service redis is away: the container ended"), "users to be told")
        self.assertRegex(self.redis("ping"), "^LOADING .*the container ended with status 137")
        self.assertRegex(self.lab.baton("sessions", "--kept"), f"{session[:8]} .* EdgeServer-1 +ended .* status 137")
        self.assertEqual(self.events.find("CONTAINER RESTARTED"), [])
        self.assertRegex(self.lab.baton("session", "restore", session), "starts again when its user is there")
        self.counts_again()
        self.restarted()

    def test_moves_afterwards(self):
        """A session whose container was started again follows its user as ever"""
        container = self.begin()
        self.events = bed.Events(self.lab)
        self.lab.docker("pc1", "kill", container)
        self.counts_again()
        self.lab.move_user("user1", "AP-2")
        self.counts_again()
        self.wait_event("SWITCH COMPLETE", "AP-2", seconds=60)
        self.counts_again()
        self.wait(lambda: not self.lab.containers("pc1"), "the old container to be removed")

    def test_discarded(self):
        """An operator ends a session; then its user begins anew"""
        container = self.begin()
        session = container.split("-")[1]
        self.assertRegex(self.lab.baton("session", "discard", session), "its data are removed")
        removed = self.wait_event("DATA REMOVED", "EdgeServer-1", session)
        self.assertRegex(removed["detail"], r"mud=user-.* service=redis: discarded by operator \S+ \(bytes=[1-9]\d+\)")
        self.assertEqual(len(self.lines("EdgeServer-1", "DATA REMOVED")), 1)
        self.wait(lambda: container not in self.lab.containers("pc1"), "the container to be removed")
        self.wait(lambda: self.redis("ping") == "PONG", "a new session")

    def test_removed_by_somebody(self):
        """The data are gone by a person's word: that is said, and the user begins anew"""
        container = self.begin()
        self.lab.docker("pc1", "rm", "-f", container)
        self.wait_event("CONTAINER NOT RESTARTED", "EdgeServer-1")
        self.wait_event("SESSION LOST", "AP-1")
        self.wait(lambda: self.redis("ping") == "PONG", "a new session")

    def refused(self, why):
        """The user is told why it is not served; a request that was accepted before that was known waits"""
        said = []

        def refused():
            said.append(self.redis("ping", patience=3))
            return re.match(f"LOADING .*{why}", said[-1])
        try:
            self.wait(refused, f"refused: {why}", 40)
        except LabError:
            self.fail(f"not refused with \"{why}\", but: {said}")

    def end_edge_server(self):
        """It ends at once. Return: the journal of the one session"""
        self.lab.kill("EdgeServer-1", signal.SIGKILL)
        journal, = (self.lab.dir / "pc1").glob("**/*.session")
        return journal

    def test_edge_server_lost_its_journal(self):
        """The container of a session that nobody knows is kept, and its user does not begin anew in silence"""
        container = self.begin()
        session = container.split("-")[1]
        self.end_edge_server().unlink()
        self.lab.start("EdgeServer-1")
        self.assertRegex(self.said("EdgeServer-1"), "no journal speaks of its session; it is kept")
        self.assertIn(container, self.lab.containers("pc1"))
        self.refused("EdgeServer-1 has lost its record of the session")
        self.assertRegex(self.lab.baton("sessions", "--kept"), f"{session[:8]} .* EdgeServer-1 +unclaimed .* lost its")
        self.assertEqual(self.lab.containers("pc1"), [container])
        self.assertRegex(self.lab.baton("session", "discard", session[:8], "--node", "EdgeServer-1"), "has ended")
        self.wait(lambda: container not in self.lab.containers("pc1"), "the container to be removed")
        self.assertRegex(self.wait_event("DATA REMOVED", "EdgeServer-1", session)["detail"],
                         r"service=redis: discarded by operator \S+ \(bytes=[1-9]\d+\)")
        self.wait(lambda: self.redis("ping") == "PONG", "a new session")

    def test_journal_is_put_back(self):
        """A journal was lost, or is damaged; the operator puts a good one back, and the session goes on"""
        container = self.begin()
        session = container.split("-")[1]
        journal = self.end_edge_server()
        good = journal.read_bytes()
        journal.write_bytes(good[:20])
        self.lab.start("EdgeServer-1")
        self.refused("the record of the session at EdgeServer-1 is damaged")
        with self.assertRaisesRegex(LabError, "no whole record"):
            self.lab.baton("session", "restore", session)
        journal.write_bytes(good)
        self.lab.baton("session", "restore", session)
        self.events = bed.Events(self.lab)
        self.counts_again()
        self.assertEqual(self.lab.containers("pc1"), [container])
        self.assertNotIn(session[:8], self.lab.baton("sessions", "--kept"))

    def test_journal_cannot_be_read(self):
        """It can be read a little later: nobody has to do anything"""
        container = self.begin()
        journal = self.end_edge_server()
        aside = journal.with_name("aside")
        journal.rename(aside)
        journal.symlink_to(journal)     # to open it fails, and not for want of a file
        self.lab.start("EdgeServer-1")
        self.refused("EdgeServer-1 cannot read its record of the session now, and tries again")
        aside.rename(journal)
        self.events = bed.Events(self.lab)
        self.counts_again()
        self.assertEqual(self.lab.containers("pc1"), [container])
