# SPDX-License-Identifier: Apache-2.0
"""Users' side of the lab: a cable that moves, and a real hostapd that tells us of it

No Baton program runs here but the reader of station events.
"""

import queue
import subprocess
import threading

import bed
from baton_lab import NOBODY, Lab, LabError, user_mac

LISTENER = """
import socket
s = socket.create_server(("10.80.0.1", 7))
print("listens", flush=True)
c, _ = s.accept()
c.sendall(c.recv(100))
c.recv(100)
"""
CLIENT = """
import socket
c = socket.create_connection(("10.80.0.1", 7), timeout=20)
c.sendall(b"hello")
print(c.recv(100).decode(), flush=True)
input()
c.sendall(b"hello")  # at the new access point
try:
    c.recv(100)
except ConnectionResetError:
    print("reset", flush=True)
"""


class Lines:
    """A program whose lines are waited for"""

    def __init__(self, test, host, *command):
        self.test = test
        self.process = test.lab.exec(host, *command, text=True, stdin=subprocess.PIPE,
                                     stdout=subprocess.PIPE)
        self.lines = queue.Queue()
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()
        test.addCleanup(self.end)

    def _read(self):
        for line in self.process.stdout:
            self.lines.put(line.strip())

    def hear(self, expected, seconds=30):
        """The next line must be this one"""
        try:
            line = self.lines.get(timeout=seconds)
        except queue.Empty:
            self.test.fail(f"waited {seconds} s for '{expected}'")
        self.test.assertEqual(line, expected)

    def hear_beginning(self, expected, seconds=30):
        line = self.lines.get(timeout=seconds)
        self.test.assertTrue(line.startswith(expected), line)
        return line

    def tell(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def end(self):
        self.process.kill()
        self.process.wait()
        self.reader.join()
        self.process.stdin.close()
        self.process.stdout.close()


class Stations(bed.BedTest):
    """A lab without Baton's daemons"""

    EDGES = 2

    @classmethod
    def bring_up(cls):
        cls.lab = Lab(bed.LAB_NAME, cls.EDGES)
        bed.BedTest.up = cls.lab
        cls.lab.up()
        cls.clean = True

    def watch(self, host, *privileges):
        """What baton-ap would hear; without any privilege but a group's"""
        tool = self.lab.build / "tests/e2e/station-watch"
        return Lines(self, host, "setpriv", "--inh-caps=-all", "--bounding-set=-all", *privileges,
                     tool, self.lab.hostapd_socket(host))

    def test_cable(self):
        """A connection through the old access point ends at the new one; users do not hear each other"""
        self.lab.users(2)
        server = Lines(self, "pc1", "python3", "-c", LISTENER)
        server.hear("listens")
        client = Lines(self, "user1", "python3", "-c", CLIENT)
        client.hear("hello")
        self.lab.move_user("user1", "AP-2")
        client.tell("")
        client.hear("reset")
        self.assertIn("user1    10.80.0.11    at AP-2", self.lab.lab("status"))
        for where in ("AP-1", "away"):
            self.lab.move_user("user1", where)
        for wrong in (("user1", "AP-3"), ("user3", "AP-1"), ("pc1", "AP-1"), ("user1", "there")):
            with self.assertRaises(LabError):
                self.lab.move_user(*wrong)

    def test_hostapd(self):
        """Each station is told right, also after hostapd was away; others than its group are kept off"""
        group = NOBODY if self.reachable() else 0
        user = [f"--reuid={group}", f"--regid={group}", "--clear-groups"]
        self.lab.users(2)
        one, two = user_mac("user1"), user_mac("user2")
        for host in ("pc1", "pc2"):
            self.lab.stations("hostapd", host, group)
        at = {host: self.watch(host, *user) for host in ("pc1", "pc2")}
        for watch in at.values():
            watch.hear("up")
        for k in (1, 2):
            self.lab.move_user(f"user{k}", "AP-1")
            self.lab.stations("supplicant", f"user{k}")
            at["pc1"].hear(f"connected {user_mac(f'user{k}')}")

        self.lab.move_user("user1", "AP-2")
        at["pc2"].hear(f"connected {one}")
        at["pc1"].tell(one)  # AP-2 has told AP-1 of the move
        at["pc1"].hear(f"disconnected {one}")
        self.lab.move_user("user1", "AP-1")
        at["pc1"].hear(f"connected {one}")
        self.lab.stations("logoff", "user2")
        at["pc1"].hear(f"disconnected {two}")

        late = self.watch("pc1", *user)
        late.hear(f"listed {one}")  # it may have gone without a word
        late.hear("up")
        self.lab.stations("stop", "pc1", "KILL")
        self.lab.stations("hostapd", "pc1", group)
        at["pc1"].hear_beginning("down ")
        at["pc1"].hear(f"disconnected {one}")  # a new hostapd knows nobody
        at["pc1"].hear("up")

        if group:
            other = [f"--reuid={group - 1}", f"--regid={group - 1}", "--clear-groups"]
            self.assertIn("Permission denied",
                          self.watch("pc1", *other).hear_beginning("down "))

    def reachable(self):
        """Whether another user can run what is built here"""
        tool = self.lab.build / "tests/e2e/station-watch"
        return subprocess.run(["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}",
                               "--clear-groups", "test", "-x", tool], check=False).returncode == 0

