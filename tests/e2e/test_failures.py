# SPDX-License-Identifier: Apache-2.0
"""Whatever fails while a container moves, its user is served, and the move is made up for later"""

import json
import signal
import time

import bed

# Spoils the memory image of the container that is arriving, as soon as its files are there. The
# file is small and complete when it appears, and is none of those that are judged before CRIU reads them.
SPOIL = """
n=0
until [ -s "$(ls -d /run/baton/staged/*/images/mm-1.img 2>/dev/null)" ]; do
    n=$((n + 1)); [ $n -lt 500 ] || exit 1; sleep 0.01
done
echo spoilt >"$(ls -d /run/baton/staged/*/images/mm-1.img)"
"""

# Lets every stopped process of its container go on.
CONTINUE = """
import glob, os, signal
for path in glob.glob("/proc/[0-9]*/stat"):
    if open(path).read().rsplit(")", 1)[1].split()[0] == "T":
        os.kill(int(path.split("/")[2]), signal.SIGCONT)
"""


class FailureTest(bed.BedTest):
    EDGES = 2
    RTT_MS = 100  # half the usual, so that two attempts do not take a minute
    RATE_MB_S = 20
    LIMITS = {"ap": {"grace_ms": 500}}

    def staged_containers(self, host):
        """Ids of the containers whose checkpoints lie there"""
        return {path.split("/")[4] for path in self.lab.staged(host)
                if path.startswith("/run/baton/staged/")}

    def ids(self, host):
        return set(self.lab.docker(host, "ps", "-aq", "--no-trunc").split())

    def assert_moved_after_all(self, user, session):
        """A later attempt succeeds, by itself; then nothing is left"""
        self.wait_event("MIGRATION DONE", "EdgeServer-2", session, seconds=40)
        self.wait_event("RETIRED", "EdgeServer-1", session)
        self.assertTrue(user.running(), "the user was gone before the container had moved")
        self.assert_good(user)
        self.assert_nothing_left()

    def one_reason(self, name, session, text="MIGRATION FAILED"):
        """The reason of the first failure, which is one line in the log of a daemon"""
        lines = [line for line in self.lines(name, text) if session in line]
        self.assertEqual(len(lines), 1, self.said(name))
        return lines[0].split(text, 1)[1]


class Destination(FailureTest):

    def test_edge_server_killed(self):
        """R10: ES-y dies while the container is on its way, and is started again"""
        user = self.user("--requests", 280, "--interval-ms", 50, "--move", "20:AP-2")
        session = user.session()
        self.wait_event("T1", "EdgeServer-1", session)
        staged = self.wait(lambda: self.staged_containers("pc2"), "files at pc2")
        self.crash("EdgeServer-2")
        self.wait_event("MIGRATION FAILED", "EdgeServer-1", session)
        self.one_reason("EdgeServer-1", session)
        self.assertTrue(staged <= self.ids("pc2"), "the crash should have left a container")
        self.lab.start("EdgeServer-2")
        # before the next attempt can have come far, all of the first one is gone
        self.wait(lambda: not staged & (self.staged_containers("pc2") | self.ids("pc2")),
                  "what the crash has left to be removed", 10)
        self.assert_moved_after_all(user, session)

    def test_restore_fails(self):
        """R10: CRIU cannot read what arrived; the second time it can"""
        user = self.user("--requests", 280, "--interval-ms", 50, "--move", "20:AP-2")
        session = user.session()
        self.wait_event("T1", "EdgeServer-1", session)
        self.lab.lab("exec-engine", "pc2", "sh", "-c", SPOIL)
        self.wait_event("MIGRATION FAILED", "EdgeServer-1", session)
        self.assertIn("CRIU", self.one_reason("EdgeServer-1", session))
        self.wait_event("ARRIVAL FAILED", "EdgeServer-2", session)
        self.assertIn("CRIU", self.one_reason("EdgeServer-2", session, "ARRIVAL FAILED"))
        self.assert_moved_after_all(user, session)

    def test_container_refused(self):
        """CRIU cannot dump it: refused in one line before anything is done, service goes on"""
        user = self.user("--requests", 280, "--interval-ms", 50, "--move", "40:AP-2")
        session = user.session()
        container, = self.lab.containers("pc1")
        # a process that watches files of the container layer, until it is told to end
        self.lab.docker("pc1", "exec", "-d", container, "python3", "-c",
                        "import ctypes, time; c = ctypes.CDLL(None); fd = c.inotify_init();"
                        "c.inotify_add_watch(fd, b'/data', 2); time.sleep(3600)")
        self.wait_event("MIGRATION FAILED", "EdgeServer-1", session)
        reason = self.lines("EdgeServer-1", "MIGRATION FAILED")[0]
        self.assertIn("cannot be moved", reason)
        self.assertIn("watches files", reason)
        self.assertEqual(self.lab.containers("pc2"), [])
        self.assertEqual(self.events.find("T1", session=session), [])
        self.lab.docker("pc1", "exec", container, "python3", "-c",
                        "import os, signal\nfor p in os.listdir('/proc'):\n"
                        "    if p.isdigit() and int(p) not in (1, os.getpid()):\n"
                        "        os.kill(int(p), signal.SIGKILL)")
        self.assert_moved_after_all(user, session)


class Link(FailureTest):

    def test_cut_for_5_s(self):
        """R10: the WAN is cut in the middle of sending; requests wait, none is lost"""
        user = self.user("--requests", 700, "--interval-ms", 50, "--move", "20:AP-2")
        session = user.session()
        self.wait_event("T1", "EdgeServer-1", session)
        self.lab.link("down")
        time.sleep(5)  # not a wait for something: this is how long the link is cut
        self.lab.link("up")
        self.wait_event("MIGRATION DONE", "EdgeServer-2", session, seconds=40)
        self.wait_event("RETIRED", "EdgeServer-1", session)
        self.assertTrue(user.running(), "the user was gone before the container had moved")
        report = self.assert_good(user)
        self.assertGreater(report["response_ms"]["max"], 4000, "the cut was not felt")
        last = user.response_ms(user.requests - 30, user.requests - 1)
        self.assertLess(last[15], 50, "response times do not recover")
        self.assert_nothing_left()


class AccessPoint(FailureTest):
    """R7: the access point is soft state, its truth is with the edge servers"""

    def restarted(self, kind, node):
        """AP-2 dies when an event tells how far the migration is, and is started again"""
        user = self.user("--requests", 280, "--interval-ms", 50, "--move", "20:AP-2")
        session = user.session()
        self.wait_event(kind, node, session)
        self.crash("AP-2")
        self.lab.start("AP-2")
        self.wait_event("REASSOCIATION RESPONSE", "USER", session, count=2)
        self.assert_moved_after_all(user, session)

    def test_killed_while_tracing(self):
        self.restarted("T1", "EdgeServer-1")

    def test_killed_while_replaying(self):
        self.restarted("T7", "AP-2")

    def test_killed_after_the_switch(self):
        self.restarted("MIGRATION DONE", "EdgeServer-2")


class Source(FailureTest):

    def rest_is_reference(self, user):
        """All but the doubtful request are answered, in order, each executed once (R1)"""
        report = user.end()
        doubtful = [row for row in user.rows() if row["status"] != "ok"]
        self.assertLessEqual(len(doubtful), 1, doubtful)
        self.assertEqual(report["answered"] + len(doubtful), user.requests)
        for key in ("duplicated", "reordered", "wrong"):
            self.assertEqual(report[key], 0, report)
        requests = (user.out / "requests.txt").read_bytes().splitlines()
        answers = (user.out / "answers.txt").read_bytes().splitlines()
        streams = [requests]
        for row in doubtful:  # it was executed, or it was not; but nothing in between
            number = int(row["number"])
            del answers[number - 1]
            streams.append(requests[:number - 1] + requests[number:])
            streams[0] = requests
        matches = []
        for stream in streams:
            expected = bed.reference(stream)
            if len(expected) > len(answers):
                del expected[int(doubtful[0]["number"]) - 1]
            matches.append(expected == answers)
        self.assertIn(True, matches, "the answers are not those of any one history")
        return doubtful

    def test_edge_server_killed_while_serving(self):
        """The container survives and is adopted; nothing is executed twice"""
        user = self.user("--requests", 120, "--interval-ms", 50)
        session = user.session()
        container = self.lab.containers("pc1")
        self.wait_event("SVCR", "USER", session, count=40)
        self.crash("EdgeServer-1")
        self.lab.start("EdgeServer-1")
        # others may be remembered, too: that they have moved away
        self.assertRegex(self.said("EdgeServer-1"), " [1-9][0-9]* sessions from before")
        self.rest_is_reference(user)
        self.assertEqual(self.events.find("CONTAINER CREATED", session=session)[1:], [])
        self.assertEqual(len(container), 1)
        self.assert_nothing_left()

    def test_request_in_doubt(self):
        """R1: what the container had when its edge server died is answered IN DOUBT, not repeated"""
        user = self.user("--requests", 120, "--interval-ms", 50)
        session = user.session()
        container, = self.lab.containers("pc1")
        self.wait_event("SVCR", "USER", session, count=20)
        self.lab.docker("pc1", "pause", container)
        count = len(self.events.find("SVCQ", "USER", session))
        self.wait_event("SVCQ", "USER", session, count=count + 5)  # so one is in the container
        self.crash("EdgeServer-1")
        self.lab.docker("pc1", "unpause", container)
        self.lab.start("EdgeServer-1")
        doubtful = self.rest_is_reference(user)
        self.assertEqual([row["status"] for row in doubtful], ["outcome in doubt"])
        self.assertEqual(len(self.events.find("IN DOUBT", "EdgeServer-1", session)), 1)
        self.assert_nothing_left()

    def test_container_restarted_meanwhile(self):
        """R15: a container that somebody restarted has an empty memory: that is said, and its session goes on"""
        user = self.user("--requests", 120, "--interval-ms", 50)
        session = user.session()
        container, = self.lab.containers("pc1")
        self.wait_event("SVCR", "USER", session, count=20)
        self.crash("EdgeServer-1")
        self.lab.docker("pc1", "restart", "-t", "0", container)
        self.lab.start("EdgeServer-1")
        self.wait_event("CONTAINER RESTARTED", "EdgeServer-1", session)
        self.assertRegex(self.said("EdgeServer-1"),
                         f"session {session}: container [0-9a-f]* was restarted at .* is lost")
        report = user.end()
        for key in ("duplicated", "reordered"):
            self.assertEqual(report[key], 0, report)
        self.assertEqual(report["answered"], user.requests, report)  # but its memory begins anew, as its checker notes
        self.assertEqual(len(self.events.find("CONTAINER CREATED", session=session)[1:]), 0)
        self.assert_nothing_left()

    def test_task_stopped(self):
        """R17: CRIU hangs on a stopped task: said before anything is frozen, moved when it goes on"""
        user = self.user("--requests", 400, "--interval-ms", 50, "--move", "20:AP-2")
        session = user.session()
        container, = self.lab.containers("pc1")
        self.lab.docker("pc1", "exec", "-d", container, "python3", "-c",
                        "import os, signal; os.kill(os.getpid(), signal.SIGSTOP)")
        failed = self.wait_event("MIGRATION FAILED", "EdgeServer-1", session)
        self.assertIn("is stopped (continue it (SIGCONT), or end it)", failed["detail"])
        self.assertEqual(self.frozen(), [])
        self.assertEqual(self.events.find("T1", "EdgeServer-1", session), [])
        self.lab.docker("pc1", "exec", container, "python3", "-c", CONTINUE)
        self.wait_event("MIGRATION DONE", "EdgeServer-2", session, seconds=60)
        self.assertTrue(user.running(), "the user was gone before the container had moved")
        self.assert_good(user)
        self.assert_nothing_left()

    def test_edge_server_killed_while_sending(self):
        """R10: ES-x dies after the cut: CT-x is adopted, nothing is frozen, the move is tried again"""
        user = self.user("--requests", 280, "--interval-ms", 50, "--move", "20:AP-2")
        session = user.session()
        self.wait_event("T1", "EdgeServer-1", session)
        self.crash("EdgeServer-1")
        self.lab.start("EdgeServer-1")
        self.assertEqual(self.frozen(), [])
        self.wait_event("MIGRATION DONE", "EdgeServer-2", session, seconds=40)
        self.wait_event("RETIRED", "EdgeServer-1", session)
        self.assertTrue(user.running())
        self.rest_is_reference(user)
        self.assert_nothing_left()


class AfterTheSwitch(FailureTest):
    LIMITS = {"ap": {"grace_ms": 30000}}

    def test_new_container_dies(self):
        self.container_dies(with_request=False)

    def test_new_container_dies_with_a_request(self):
        """R10: nobody was answered, and CT-y's history is dropped, so CT-x executes it: no doubt"""
        self.container_dies(with_request=True)

    def container_dies(self, with_request):
        """R3, R4: within the grace time CT-x takes over again, and knows all CT-y answered"""
        user = self.user("--requests", 280, "--interval-ms", 50, "--move", "20:AP-2")
        session = user.session()
        self.wait_event("T8", "AP-2", session)
        container, = self.lab.containers("pc2")
        done = len(self.events.find("SVCR", "USER", session))
        self.wait_event("SVCR", "USER", session, count=done + 10)  # CT-y alone has answered these
        if with_request:  # frozen, it takes a request and does not get to answer it
            self.lab.docker("pc2", "pause", container)
            sent = len(self.events.find("SVCQ", "USER", session))
            self.wait_event("SVCQ", "USER", session, count=sent + 5)
        self.lab.docker("pc2", "kill", container)
        self.wait_event("GOING BACK", "AP-2", session)
        self.wait_event("UNFENCED", "EdgeServer-1", session)
        self.assertEqual(len(self.lines("EdgeServer-2", "the container ended")), 1)
        # and a later attempt moves it for good
        self.wait_event("MIGRATION DONE", "EdgeServer-2", session, count=2, seconds=40)
        self.assertTrue(user.running())
        self.assert_good(user)
        self.assert_nothing_left()


class LogRepo(FailureTest):
    """R9: events are a by-product; who cannot get rid of them counts them and goes on"""

    def lost(self):
        status, = [json.loads(line) for line in
                   self.lab.baton("status", "--node", "LogRepo", "--json").splitlines()]
        return status["lost"]

    def test_killed(self):
        """Down for a while, and back: events that waited arrive, none is counted as lost"""
        user = self.user("--requests", 200, "--interval-ms", 20)
        session = user.session()
        self.wait_event("SVCR", "USER", session, count=50)
        self.crash("LogRepo")
        self.wait(lambda: int((user.out / "responses.csv").stat().st_size) > 6000 or
                  not user.running(), "answers without a log repository")
        self.lab.start("LogRepo")
        report = self.assert_good(user)
        self.assertLess(report["response_ms"]["p50"], 50)
        # those on their way when it died may be lost, and then are counted
        self.wait_event("SVCR", "USER", session, count=150)
        self.assert_nothing_left()

    def test_stopped(self):
        """It hangs instead, for longer than events can wait: more are dropped, and counted"""
        before = self.lost()
        for pid in self.lab._pids("LogRepo"):
            self.addCleanup(self.resume, pid)
            self.resume(pid, signal.SIGSTOP)
        report = self.assert_good(self.user("--requests", 60, "--interval-ms", 20))
        self.assertLess(report["response_ms"]["p50"], 50)
        self.assert_good(self.user("--requests", 6000, "--interval-ms", 0))
        self.wait(lambda: self.lines("AP-1", "LogRepo cannot be reached: no sign of life"),
                  "AP-1 to give it up")
        for pid in self.lab._pids("LogRepo"):
            self.resume(pid)
        # AP-1 had two events a request, more than can wait. Each of them came or was counted.
        self.wait(lambda: self.lost() > before and self.told_by_ap() >= 2 * (60 + 6000),
                  "all events or their count")
        self.assert_nothing_left()

    def told_by_ap(self):
        """Events of AP-1 that came, and those of which it says that they did not"""
        return sum(e["number"] if e["kind"] == "EVENTS DROPPED" else 1
                   for e in self.events.read() if e["node"] == "AP-1")

    @staticmethod
    def resume(pid, how=signal.SIGCONT):
        try:
            bed.os.kill(pid, how)
        except ProcessLookupError:
            pass
