#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""belongings - a service that has one of everything, and can tell whether it still has it

What a container may own besides plain memory and files: child processes, threads, pipes with bytes
in them, Unix sockets with a file and without, open files that are deleted, timers, locks, shared
mappings, hard links, holes, attributes, FIFOs. Two threads append lines as fast as they can, one on a
volume (/volume), one in the container layer (/layer), and remember count and hash; a third one counts
in a file that it has mapped.

    belongings.py [PORT]

Requests and answers are JSON in codec "frame":
    {"op": "check"}            all of it: {"agree": bool, "wrong": {...}, "lines": [...], "starts": [...]};
                               "starts" tells how often it was started on this volume, in this layer
    {"op": "connect", "to": "IP", "port": N}      open a connection and keep it: {"agree": true}
    {"op": "talk"}             use it: {"answer": "what came back"} or {"error": "..."}
"""

import ctypes
import fcntl
import hashlib
import json
import mmap
import os
import select
import shutil
import signal
import socket
import socketserver
import struct
import sys
import threading
import time

VOLUME = "/volume"
LAYER = "/layer"
MEMORY = "/tmpfs"
WRITER_MAX = 64 << 20  # a writer pauses for good when its file has this size
ANSWER_S = 20  # a part that does not answer for so long is broken


class Writer(threading.Thread):
    """Appends lines as fast as it can and keeps their count and hash in memory."""

    def __init__(self, path):
        super().__init__(daemon=True)
        self.path = path
        self.fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o640)
        self.lock = threading.Lock()
        self.lines = self.size = 0
        self.hash = hashlib.sha256()

    def run(self):
        while self.size < WRITER_MAX:
            with self.lock:
                line = b"%d\n" % (self.lines + 1)
                os.write(self.fd, line)
                self.hash.update(line)
                self.lines += 1
                self.size += len(line)

    def check(self):
        with self.lock, open(self.path, "rb") as file:
            same = hashlib.sha256(file.read()).digest() == self.hash.digest()
            return None if same else "file and memory disagree"


class Counter(threading.Thread):
    """Counts in a mapped file of the volume, as fast as it can; the file has no other writer."""

    def __init__(self, path):
        super().__init__(daemon=True)
        self.path = path
        with open(path, "w+b") as file:
            file.truncate(mmap.PAGESIZE)
            self.map = mmap.mmap(file.fileno(), mmap.PAGESIZE)
        self.lock = threading.Lock()
        self.count = 0

    def run(self):
        while True:
            with self.lock:
                self.count += 1
                struct.pack_into("<Q", self.map, 0, self.count)

    def check(self):
        with self.lock, open(self.path, "rb") as file:
            if struct.unpack_from("<Q", self.map)[0] != self.count:
                return "the mapping and memory disagree"
            if struct.unpack("<Q", file.read(8))[0] != self.count:
                return "the file is not what is mapped"
        return None


class Children:
    """A child and its child. They count what they are asked, in memory all three share."""

    def __init__(self):
        self.asked = 0
        self.shared = mmap.mmap(-1, mmap.PAGESIZE)
        self.to_child, self.from_child = self.pair(self.middle)

    @staticmethod
    def pair(body):
        """Fork a process that runs body(read_fd, write_fd). Return our ends of two pipes."""
        down, up = os.pipe(), os.pipe()
        if os.fork() == 0:
            os.close(down[1])
            os.close(up[0])
            signal.setitimer(signal.ITIMER_REAL, 0)
            body(down[0], up[1])
            os._exit(0)
        os.close(down[0])
        os.close(up[1])
        return down[1], up[0]

    def middle(self, read, write):
        os.setsid()
        to_child, from_child = self.pair(self.last)
        while os.read(read, 1):
            os.write(to_child, b"?")
            os.write(write, os.read(from_child, 8))

    def last(self, read, write):
        count = 0
        while os.read(read, 1):
            count += 1
            struct.pack_into("<Q", self.shared, 0, count)
            os.write(write, struct.pack("<Q", count))

    def check(self):
        self.asked += 1
        os.write(self.to_child, b"?")
        if not select.select([self.from_child], [], [], ANSWER_S)[0]:
            return "the children do not answer"
        told = struct.unpack("<Q", os.read(self.from_child, 8))[0]
        seen = struct.unpack_from("<Q", self.shared)[0]
        return None if told == seen == self.asked else f"{told} and {seen}, not {self.asked}"


class Workers:
    """Threads that wait on a condition, each with a number of its own."""

    def __init__(self, count=8):
        self.ready = threading.Condition()
        self.round, self.answers, self.count = 0, [], count
        for number in range(count):
            threading.Thread(target=self.work, args=(number,), daemon=True).start()

    def work(self, number):
        done = 0
        with self.ready:
            while True:
                self.ready.wait_for(lambda: self.round > done)
                done += 1
                self.answers.append((number, done))
                self.ready.notify_all()

    def check(self):
        with self.ready:
            self.round += 1
            self.answers = []
            self.ready.notify_all()
            if not self.ready.wait_for(lambda: len(self.answers) == self.count, ANSWER_S):
                return f"only {len(self.answers)} of {self.count} threads answer"
            want = [(number, self.round) for number in range(self.count)]
            return None if sorted(self.answers) == want else f"threads say {self.answers}"


class PipeWithBytes:
    """A pipe, a FIFO of the volume and a pair of sockets, each with bytes that nobody has read."""

    def __init__(self):
        path = VOLUME + "/fifo"
        os.mkfifo(path)
        both = os.open(path, os.O_RDWR)
        left, right = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        read, write = os.pipe()
        self.kept = [left, right]
        self.ends = [(read, write), (both, both), (right.fileno(), left.fileno())]
        self.round = 0
        self.put()

    def put(self):
        for _, write in self.ends:
            os.write(write, b"unread %d" % self.round)

    def check(self):
        for read, _ in self.ends:
            if not select.select([read], [], [], 0)[0]:
                return "the bytes are gone"
            got = os.read(read, 100)
            if got != b"unread %d" % self.round:
                return f"it has {got!r}"
        self.round += 1
        self.put()
        return None


class Deleted:
    """Open files that have no name any more, and one that has lost the name it was opened by."""

    def __init__(self):
        self.files = [self.make(f"{where}/deleted") for where in (VOLUME, LAYER, MEMORY)]
        for file in self.files:
            os.unlink(file.name)
        self.linked = self.make(VOLUME + "/first-name")
        os.link(self.linked.name, VOLUME + "/second-name")
        os.unlink(self.linked.name)
        self.files.append(self.linked)

    @staticmethod
    def make(path):
        file = open(path, "w+b", buffering=0)  # pylint: disable=consider-using-with
        file.write(b"nobody can see this\n" * 1000)
        file.seek(20)
        return file

    def check(self):
        for file in self.files:
            here = file.tell()
            if here != 20 or file.read(20) != b"nobody can see this\n":
                return f"{file.name} at {here} has something else"
            file.seek(0, os.SEEK_END)
            if file.tell() != 20000:
                return f"{file.name} has {file.tell()} bytes"
            file.seek(20)
        if os.fstat(self.linked.fileno()).st_ino != os.stat(VOLUME + "/second-name").st_ino:
            return "the open file is not that with the second name"
        return None


class Listener:
    """A Unix socket with a file on the volume, that can be connected to again and again."""

    def __init__(self):
        self.path = VOLUME + "/socket"
        self.server = socketserver.ThreadingUnixStreamServer(self.path, self.Echo)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.old = self.connect()

    class Echo(socketserver.BaseRequestHandler):
        def handle(self):
            while data := self.request.recv(100):
                self.request.sendall(data)

    def connect(self):
        new = socket.socket(socket.AF_UNIX)
        new.settimeout(ANSWER_S)
        new.connect(self.path)
        return new

    def check(self):
        with self.connect() as new:
            for name, end in (("old", self.old), ("new", new)):
                end.sendall(b"hello")
                if end.recv(100) != b"hello":
                    return f"the {name} connection does not answer"
        return None


class Timers:
    """An interval timer with its signal, and a timerfd."""

    def __init__(self):
        libc = ctypes.CDLL(None, use_errno=True)
        self.fd = libc.timerfd_create(1, 0)
        # Once, and set again when it was read: CRIU loses one with an interval that has gone off
        # and was not read (docs/containers.md).
        self.set = lambda: libc.timerfd_settime(
            self.fd, 0, (ctypes.c_long * 4)(0, 0, 0, 50_000_000), None)
        self.set()
        # The interpreter itself writes a byte there. A handler would nest where it takes longer than the interval.
        self.rang, told = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(told, warn_on_full_buffer=False)
        signal.signal(signal.SIGALRM, lambda *_: None)
        signal.setitimer(signal.ITIMER_REAL, 0.05, 0.05)

    def check(self):
        while select.select([self.rang], [], [], 0)[0]:
            os.read(self.rang, 4096)
        if not select.select([self.rang], [], [], ANSWER_S)[0]:
            return "the interval timer does not go off"
        if not select.select([self.fd], [], [], ANSWER_S)[0]:
            return "the timerfd does not go off"
        os.read(self.fd, 8)
        self.set()
        return None


class Files:
    """What a file may be, on the volume, in the layer and on the tmpfs; and a lock."""

    def __init__(self):
        for where in (VOLUME, LAYER, MEMORY):
            os.mkdir(f"{where}/files", 0o2751)
            os.chmod(f"{where}/files", 0o2751)
            with open(f"{where}/files/a", "wb") as file:
                file.truncate(64 << 20)  # no more than a hole
                file.seek(1 << 20)
                file.write(b"x")
            os.chown(f"{where}/files/a", 1234, 4321)
            os.chmod(f"{where}/files/a", 0o4710)
            os.link(f"{where}/files/a", f"{where}/files/b")
            os.symlink("nowhere", f"{where}/files/link")
            os.setxattr(f"{where}/files/a", "user.colour", b"red", 0)
            os.utime(f"{where}/files/a", (1, 1.5))
        self.lock = os.open(VOLUME + "/lock", os.O_RDWR | os.O_CREAT)
        fcntl.flock(self.lock, fcntl.LOCK_EX)

    def check(self):
        for where in (VOLUME, LAYER, MEMORY):
            first, second = os.stat(f"{where}/files/a"), os.stat(f"{where}/files/b")
            got = (first.st_mode, first.st_uid, first.st_gid, first.st_size, first.st_nlink,
                   first.st_mtime, os.stat(f"{where}/files").st_mode)
            if got != (0o104710, 1234, 4321, 64 << 20, 2, 1.5, 0o042751):
                return f"{where}/files/a is {got}"
            if first.st_ino != second.st_ino:
                return f"{where}/files/b is another file"
            if first.st_blocks * 512 > 4 << 20:
                return f"{where}/files/a takes {first.st_blocks} blocks"
            if os.getxattr(f"{where}/files/a", "user.colour") != b"red":
                return f"{where}/files/a has another attribute"
            if os.readlink(f"{where}/files/link") != "nowhere":
                return f"{where}/files/link leads elsewhere"
        other = os.open(VOLUME + "/lock", os.O_RDWR)
        try:
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return "the lock is lost"
        except BlockingIOError:
            return None
        finally:
            os.close(other)


class Belongings:
    """All of them, and what requests do."""

    def __init__(self):
        self.starts = [self.begin(where) for where in (VOLUME, LAYER)]
        self.begin(MEMORY)
        # The children first: threads and fork do not go together.
        self.parts = {"children": Children(), "timers": Timers(), "files": Files(),
                      "pipes": PipeWithBytes(), "deleted": Deleted(), "listener": Listener(),
                      "threads": Workers()}
        self.writers = [Writer(VOLUME + "/writer.log"), Writer(LAYER + "/writer.log")]
        for number, writer in enumerate(self.writers):
            self.parts[f"writer {number}"] = writer
        self.parts["counter"] = Counter(VOLUME + "/counter")
        for part in self.parts.values():
            if isinstance(part, (Writer, Counter)):
                part.start()
        self.outside = None

    @staticmethod
    def begin(where):
        """Empty a directory, but for the number of starts that it has seen. Return that."""
        os.makedirs(where, exist_ok=True)
        starts = 1
        for name in os.listdir(where):
            path = os.path.join(where, name)
            if name == "starts":
                with open(path, encoding="ascii") as file:
                    starts += int(file.read())
            elif os.path.isdir(path):
                shutil.rmtree(path)
            else:
                os.unlink(path)
        with open(where + "/starts", "w", encoding="ascii") as file:
            file.write(str(starts))
        return starts

    def check(self):
        wrong = {}
        for name, part in self.parts.items():
            try:
                said = part.check()
            except OSError as problem:
                said = str(problem)
            if said:
                wrong[name] = said
        return {"agree": not wrong, "wrong": wrong, "starts": self.starts,
                "lines": [writer.lines for writer in self.writers]}

    def connect(self, request):
        self.outside = socket.create_connection((request["to"], request["port"]), ANSWER_S)
        return {"agree": True}

    def talk(self):
        try:
            self.outside.sendall(b"are you there?\n")
            return {"answer": self.outside.recv(100).decode()}
        except OSError as problem:
            return {"error": type(problem).__name__}

    def execute(self, request):
        if request.get("op") == "connect":
            return self.connect(request)
        return self.talk() if request.get("op") == "talk" else self.check()


class Service(socketserver.BaseRequestHandler):
    """Codec "frame": a length of four bytes, then the message"""

    belongings = None
    one_at_a_time = threading.Lock()

    def handle(self):
        stream = self.request.makefile("rb")
        while head := stream.read(4):
            payload = stream.read(struct.unpack(">I", head)[0])
            with self.one_at_a_time:
                answer = json.dumps(self.belongings.execute(json.loads(payload))).encode()
            self.request.sendall(struct.pack(">I", len(answer)) + answer)


def main():
    sys.setswitchinterval(0.001)
    Service.belongings = Belongings()
    socketserver.ThreadingTCPServer.allow_reuse_address = True
    socketserver.ThreadingTCPServer.daemon_threads = True
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 7000
    server = socketserver.ThreadingTCPServer(("", port), Service)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    while True:  # signals are the main thread's
        time.sleep(3600)


if __name__ == "__main__":
    main()
