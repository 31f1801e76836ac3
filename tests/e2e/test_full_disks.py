# SPDX-License-Identifier: Apache-2.0
"""Disks that are full: nothing that was acknowledged is lost, nothing new is taken, all goes on when there is room

The directories are small file systems. Somebody fills them up, and takes whatever room appears (Hog). Ordinary users
count in a Redis meanwhile.
"""

import os
import pathlib
import re
import signal
import subprocess
import threading

import bed
from baton_lab import GATEWAY, Lab


class Hog:
    """Takes all room of a directory, again and again, until it is told to go"""

    def __init__(self, directory):
        self.path = directory / "hog"
        self.stop = threading.Event()
        self.full = threading.Event()
        self.thread = threading.Thread(target=self.eat)

    def __enter__(self):
        self.thread.start()
        assert self.full.wait(30)
        return self

    def __exit__(self, *_):
        self.stop.set()
        self.thread.join()
        self.path.unlink()

    def eat(self):
        with open(self.path, "wb", buffering=0) as file:
            while not self.stop.is_set():
                size = 1 << 16
                while size and not self.stop.is_set():
                    try:
                        while not self.stop.is_set():
                            file.write(bytes(size))
                    except OSError:
                        size //= 2
                self.full.set()
                self.stop.wait(0.02)


class FullDisks(bed.BedTest):
    EDGES = 2
    RTT_MS = 20

    @classmethod
    def bring_up(cls):
        cls.lab = Lab(bed.LAB_NAME, cls.EDGES, rtt_ms=cls.RTT_MS, examples=["redis"], limits=cls.LIMITS)
        bed.BedTest.up = cls.lab
        cls.lab.__enter__()
        cls.lab.users(2)
        cls.clean = True

    def setUp(self):
        super().setUp()
        for user in ("user1", "user2"):
            self.lab.move_user(user, "AP-1")
        self.end_users()
        self.wait(lambda: not self.lab.containers("pc1") + self.lab.containers("pc2"), "earlier sessions to be gone")
        self.counted = 0
        self.unknown = 0

    def small(self, name, directory, size):
        """A daemon has a small file system at one of its directories, until the test ends; its files stay.

        Return: that directory, as it is seen from here: an edge server has a mount namespace, its engine's
        """
        kind, _, i = name.rpartition("-")
        pid = self.lab.lab("engine-pid", f"pc{i}").strip() if kind == "EdgeServer" else os.getpid()
        here = pathlib.Path(f"/proc/{pid}/root{directory}")

        def mount(*args):
            self.lab.kill(name, signal.SIGKILL)
            owner = here.stat()
            kept = {f.name: f.read_bytes() for f in here.iterdir()
                    if f.is_file() and not f.name.startswith("reserve.")}
            subprocess.run(["nsenter", "-t", str(pid), "-m", "-p", *args], check=True)
            os.chown(here, owner.st_uid, owner.st_gid)
            for f in here.iterdir():
                if f.is_file():
                    f.unlink()
            for file, content in kept.items():
                (here / file).write_bytes(content)
                os.chown(here / file, owner.st_uid, owner.st_gid)
            self.lab.start(name)
        self.addCleanup(mount, "umount", "-l", directory)
        mount("mount", "-t", "tmpfs", "-o", f"size={size}", "baton-small", directory)
        return here

    def redis(self, *words, user="user1", patience=60):
        done = self.lab.exec(user, "redis-cli", "-h", GATEWAY, "-p", self.lab.example_port("redis"), *words,
                             text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        try:
            return done.communicate(timeout=patience)[0].strip()
        except subprocess.TimeoutExpired:
            done.kill()
            done.communicate()
            return ""

    def count(self, patience=60):
        """Count once. Return: the count, or an error, or "" without an answer: then it may still be counted later"""
        said = self.redis("incr", "n", patience=patience)
        if not re.fullmatch(r"(\(integer\) )?\d+", said):
            self.unknown += said == "" or "in doubt" in said
            return said
        n = int(said.split()[-1])
        self.assertGreater(n, self.counted, "an acknowledged count is lost")
        self.assertLessEqual(n, self.counted + 1 + self.unknown, "something was counted twice")
        self.counted, self.unknown = n, 0
        return n

    def begin(self):
        self.wait(lambda: re.fullmatch(r"(\(integer\) )?\d+", self.redis("del", "n")), "the service")
        for _ in range(20):
            self.count()
        self.assertEqual(self.counted, 20)

    def counts_on(self, times):
        for _ in range(times):
            before = self.counted
            said = self.count()
            self.assertIsInstance(said, int, said)
            self.assertEqual(said, before + 1)

    def status(self):
        return self.lab.baton("status")

    def test_edge_server(self):
        """state_dir is full: sessions go on for what is reserved, also after a restart; new ones are refused"""
        state = self.small("EdgeServer-1", self.lab.dir / "pc1" / "sessions", "8m")
        self.begin()
        with Hog(state):
            self.wait(lambda: re.search(r"EdgeServer-1 .*state_dir \S+ is full, 0\.\d MB free", self.status()),
                      "baton status to tell")
            self.counts_on(30)
            self.wait(lambda: re.match("LOADING .*EdgeServer-1 takes nothing new, for its state_dir is full",
                                       self.redis("ping", user="user2", patience=10)), "user2 to be refused", 40)
            self.assertEqual(len(self.lines("EdgeServer-1", " is full: ")), 1)
            self.assertRegex(self.lines("EdgeServer-1", " is full: ")[0],
                             r"error .*state_dir \S+ is full: \S+ MB of 8\.4 MB are free.*: make room")
            self.lab.kill("EdgeServer-1", signal.SIGKILL)
            self.lab.start("EdgeServer-1")
            self.wait(lambda: isinstance(self.count(10), int), "the session to go on while the disk is full")
            self.counts_on(20)
        self.wait(lambda: self.redis("ping", user="user2", patience=10) == "PONG", "user2 to be served", 40)
        self.wait(lambda: "is full" not in self.status(), "baton status to be well again")
        self.assertTrue(self.lines("EdgeServer-1", "there is room again"))
        self.counts_on(20)

    def test_reserve_is_used_up(self):
        """Then requests wait, or are refused; none is lost, none executed twice, and all goes on with room"""
        state = self.small("EdgeServer-1", self.lab.dir / "pc1" / "sessions", "2m")     # an eighth of it is reserved
        self.begin()
        with Hog(state):
            self.redis("set", "x", "y" * 60000)
            for _ in range(8):                      # answers of 60 kB fill the journal
                if "y" not in self.redis("get", "x", patience=4):
                    break
            self.wait(lambda: re.match("LOADING .*cannot write: ", str(self.count(4))), "a refusal", 60)
            self.wait(lambda: re.search("EdgeServer-1 .*1 sessions wait to be written", self.status()),
                      "baton status to tell")
        self.wait(lambda: isinstance(self.count(), int), "the session to go on")
        self.counts_on(20)
        self.wait(lambda: "is full" not in self.status(), "baton status to be well again")

    def test_move_to_a_full_one(self):
        """A move is put off while its destination is full; the user is served"""
        state = self.small("EdgeServer-2", self.lab.dir / "pc2" / "sessions", "8m")
        self.begin()
        with Hog(state):
            self.wait(lambda: re.search("EdgeServer-2 .* is full", self.status()), "baton status to tell")
            self.lab.move_user("user1", "AP-2")
            self.wait(lambda: isinstance(self.count(), int), "the service at the other access point")
            failed = self.wait_event("MIGRATION FAILED", "EdgeServer-1")
            self.assertIn("EdgeServer-2 takes nothing new, for its state_dir is full", failed["detail"])
            self.counts_on(10)
        self.wait_event("SWITCH COMPLETE", "AP-2", seconds=60)
        self.counts_on(10)

    def test_access_point(self):
        """Its state_dir is full: users that it knows go on, others are refused until there is room"""
        state = self.small("AP-1", self.lab.conf("AP-1").parent / "AP-1.state", "1m")
        self.begin()
        with Hog(state):
            self.wait(lambda: re.search("AP-1 .*state_dir .* is full", self.status()), "baton status to tell")
            self.wait(lambda: re.match("LOADING .*AP-1 takes no new users", self.redis("ping", user="user2")),
                      "user2 to be refused")
            self.counts_on(20)
        self.wait(lambda: self.redis("ping", user="user2", patience=10) == "PONG", "user2 to be served")
        self.counts_on(20)
        self.wait(lambda: "is full" not in self.status(), "baton status to be well again")

    def test_event_log(self):
        """Events are lost and counted, which is said once; users notice nothing"""
        self.begin()
        events = self.small("LogRepo", self.lab.events_dir, "8m")
        with Hog(events):
            self.wait(lambda: re.search(r"LogRepo .*events \S+ is full", self.status()), "baton status to tell")
            self.counts_on(20)
            self.assertEqual(len(self.lines("LogRepo", " is full: ")), 1)
        self.wait(lambda: "is full" not in self.status(), "baton status to be well again")
        self.counts_on(5)
