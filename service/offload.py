#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The offloaded service: a stateful application whose every answer tells its whole history.

Serves requests over TCP (codec "frame": 4-byte big-endian length, then that many bytes), one at a
time in order of arrival, from any number of connections. It exists to be migrated, so it keeps
the four kinds of state that a migration can damage, and lets a checker see each of them:

  memory    RECORD_BYTES of records (text: compresses well) and BLOB_BYTES of pseudo-random blobs
            (do not compress); each request rewrites one record and one piece of blob. With the
            interpreter the process has about 32 MB, of which a checkpoint holds 29 MB.
  chain     SHA-256 over all executed requests: chain = H(chain || request). A lost, doubled or
            reordered request changes every later answer.
  log       LOG_NAME, opened once, one line a request: count, sequence number, chain.
  files     FILE_COUNT files of 1 MB, half text and half pseudo-random, written at first start.

Nothing depends on time, addresses or random numbers: the same requests give the same answers
anywhere. "--reference" and class Offload execute requests without network or migration and so
give the answers that a migrated service must have given.

A request is a JSON object:
  {"seq": N, "work": "..."}       compute; "work" is optional text that goes into the result
  {"seq": N, "op": "verify"}      also re-read the log and the files from disk, and digest memory
  {"seq": N, "op": "writer"}      also compare the writer's memory and disk (BATON_WRITER=1 only)
The answer is a JSON object:
  {"seq", "executed", "chain", "result", "memory", "log_lines"}
  "verify" adds {"log_agrees", "disk_lines", "memory_digest", "files_digest"}; "writer" adds
  {"writer": {"memory_lines", "memory_hash", "disk_lines", "agree"}}.
What is no such request is answered with {"error": "..."} and executes nothing.

BATON_WRITER=1 starts a thread that appends lines to WRITER_NAME as fast as it can and keeps count
and hash of them in memory. Memory and disk agree if both were captured at one instant, and only
then; how many lines there are depends on time, so this is for the test of the cut alone.
BATON_WRITER_PAUSE_MS=N has it pause between two lines, and leaves processor and disk to others.

Environment: BATON_PORT (7000), BATON_DATA (/data), BATON_SEED ("baton"), BATON_WRITER,
BATON_WRITER_PAUSE_MS (0).
"""

import collections
import hashlib
import json
import os
import selectors
import signal
import socket
import struct
import sys
import threading
import time

RECORD_SIZE = 4096
RECORD_BYTES = 11 << 20
BLOB_BYTES = 8 << 20
FILE_COUNT = 20
FILE_SIZE = 1 << 20
LOG_NAME = "requests.log"
WRITER_NAME = "writer.log"
WRITER_MAX = 256 << 20  # the writer pauses for good when its file has this size
REQUEST_MAX = 1 << 20  # larger ones are refused and their connection is closed
BACKLOG_MAX = 1 << 20  # bytes of answers a client may leave unread before we stop reading it
ROUNDS = 500  # hash rounds that stand for the computation of one request


def sha(*parts):
    """Return the SHA-256 of the parts, one after the other."""
    state = hashlib.sha256()
    for part in parts:
        state.update(part)
    return state.digest()


def noise(seed, size):
    """Return size incompressible bytes that follow from seed."""
    return hashlib.shake_256(seed).digest(size)


def text(seed, size):
    """Return size bytes of compressible text that follow from seed."""
    line = b"".join(b"%s=%08x;" % (name, number) for name, number in zip(
        (b"user", b"cell", b"speed", b"heading", b"state", b"frame", b"level", b"credit"),
        struct.unpack(">8I", sha(seed))))
    return (line * (size // len(line) + 1))[:size]


class BadRequest(Exception):
    """The request makes no sense; its text says why."""


class Writer(threading.Thread):
    """Appends lines; memory and disk must stay the same under the lock."""

    def __init__(self, path, pause_ms):
        super().__init__(daemon=True)
        self.path = path
        self.pause_s = pause_ms / 1000
        self.lock = threading.Lock()
        self.lines = 0
        self.size = 0
        self.hash = hashlib.sha256()
        self.fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_TRUNC, 0o644)

    def run(self):
        while self.size < WRITER_MAX:
            with self.lock:
                line = b"%d\n" % (self.lines + 1)
                os.write(self.fd, line)
                self.hash.update(line)
                self.lines += 1
                self.size += len(line)
            if self.pause_s:
                time.sleep(self.pause_s)

    def verify(self):
        """Compare the lines on disk with those in memory, while the thread stands still."""
        with self.lock:
            disk = hashlib.sha256()
            lines = 0
            with open(self.path, "rb") as file:
                while block := file.read(1 << 20):
                    disk.update(block)
                    lines += block.count(b"\n")
            return {
                "memory_lines": self.lines,
                "memory_hash": self.hash.hexdigest(),
                "disk_lines": lines,
                "agree": lines == self.lines and disk.digest() == self.hash.digest(),
            }


class Offload:
    """The state of the service, and what one request does to it. No network, no clock."""

    def __init__(self, data, seed="baton", writer=False):
        seed = seed.encode()
        self.data = data
        self.executed = 0
        self.chain = sha(seed)
        self.log_hash = hashlib.sha256()  # of every line the log must have
        # Piece by piece: whole copies made on the way would stay in the process as empty heap.
        self.records = bytearray(RECORD_BYTES)
        for at in range(0, RECORD_BYTES, RECORD_SIZE):
            self.records[at:at + RECORD_SIZE] = text(b"record %d %s" % (at, seed), RECORD_SIZE)
        self.blobs = bytearray(BLOB_BYTES)
        for at in range(0, BLOB_BYTES, RECORD_SIZE):
            self.blobs[at:at + RECORD_SIZE] = noise(b"blob %d %s" % (at, seed), RECORD_SIZE)
        os.makedirs(data, exist_ok=True)
        self.write_files(seed)
        # A new process has an empty chain, and its log begins with it.
        self.log = os.fdopen(os.open(
            os.path.join(data, LOG_NAME),
            os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_TRUNC, 0o644), "ab")
        self.writer = None
        if writer:
            self.writer = Writer(os.path.join(data, WRITER_NAME),
                                 int(os.environ.get("BATON_WRITER_PAUSE_MS", "0")))
            self.writer.start()

    def file_path(self, i):
        """Return the path of data file i."""
        return os.path.join(self.data, "files", f"{i:03d}.dat")

    def write_files(self, seed):
        """Write the data files, unless they are there from an earlier start."""
        os.makedirs(os.path.join(self.data, "files"), exist_ok=True)
        for i in range(FILE_COUNT):
            path = self.file_path(i)
            if os.path.exists(path):
                continue
            make = text if i % 2 else noise
            with open(path + ".new", "wb") as file:
                file.write(make(b"file %d %s" % (i, seed), FILE_SIZE))
            os.rename(path + ".new", path)

    def execute(self, payload):
        """Execute one request and return its answer, both as bytes."""
        try:
            request = self.parse(payload)
        except BadRequest as problem:
            return json.dumps({"error": str(problem)}).encode()
        answer = self.step(request, payload)
        if request.get("op") == "verify":
            answer.update(self.verify())
        elif request.get("op") == "writer":
            answer["writer"] = self.writer.verify()
        return json.dumps(answer, separators=(",", ":")).encode()

    def parse(self, payload):
        """Return the request in payload, or raise BadRequest."""
        try:
            request = json.loads(payload)
        except (ValueError, RecursionError):
            raise BadRequest("not JSON") from None
        if not isinstance(request, dict):
            raise BadRequest("not a JSON object")
        seq = request.get("seq")
        if type(seq) is not int or not 0 <= seq < 1 << 64:
            raise BadRequest("seq is missing or no number from 0 to 2^64-1")
        if not isinstance(request.get("work", ""), str):
            raise BadRequest("work is no text")
        if request.get("op") not in (None, "verify", "writer"):
            raise BadRequest("unknown op")
        if request.get("op") == "writer" and not self.writer:
            raise BadRequest("op writer needs BATON_WRITER=1")
        return request

    def step(self, request, payload):
        """Do what every request does: chain, memory, log, computation."""
        self.executed += 1
        self.chain = sha(self.chain, payload)
        touched = self.touch(self.chain)
        line = b"%d %d %s\n" % (self.executed, request["seq"], self.chain.hex().encode())
        self.log.write(line)
        self.log.flush()
        self.log_hash.update(line)
        result = request.get("work", "").encode("utf-8", "surrogatepass")
        for _ in range(ROUNDS):
            result = sha(self.chain, result)
        return {
            "seq": request["seq"],
            "executed": self.executed,
            "chain": self.chain.hex(),
            "result": result.hex()[:16],
            "memory": touched.hex()[:16],
            "log_lines": self.executed,
        }

    def touch(self, key):
        """Rewrite the record and the blob that key picks. Return the digest of old and new."""
        pick, = struct.unpack(">Q", key[:8])
        digest = hashlib.sha256()
        for area, make in ((self.records, text), (self.blobs, noise)):
            at = pick % (len(area) // RECORD_SIZE) * RECORD_SIZE
            digest.update(area[at:at + RECORD_SIZE])
            area[at:at + RECORD_SIZE] = make(key, RECORD_SIZE)
            digest.update(area[at:at + RECORD_SIZE])
        return digest.digest()

    def verify(self):
        """Compare the log on disk with what memory says of it; digest all memory and files."""
        disk = hashlib.sha256()
        lines = 0
        with open(os.path.join(self.data, LOG_NAME), "rb") as log:
            for line in log:
                disk.update(line)
                lines += 1
        files = hashlib.sha256()
        for i in range(FILE_COUNT):
            with open(self.file_path(i), "rb") as file:
                while block := file.read(1 << 16):
                    files.update(block)
        return {
            "log_agrees": lines == self.executed and disk.digest() == self.log_hash.digest(),
            "disk_lines": lines,
            "memory_digest": sha(self.records, self.blobs).hex(),
            "files_digest": files.hexdigest(),
        }


class Connection:
    """One client: bytes in that are no whole request yet, bytes out that it has not taken yet."""

    def __init__(self, sock):
        self.sock = sock
        self.inbox = bytearray()
        self.outbox = bytearray()
        self.closing = False  # close once the outbox is empty

    def frames(self):
        """Yield the whole requests that have arrived."""
        while len(self.inbox) >= 4 and not self.closing:
            size, = struct.unpack_from(">I", self.inbox)
            if size > REQUEST_MAX:
                self.answer(json.dumps({"error": f"larger than {REQUEST_MAX} bytes"}).encode())
                self.closing = True
                return
            if len(self.inbox) < 4 + size:
                return
            payload = bytes(self.inbox[4:4 + size])
            del self.inbox[:4 + size]
            yield payload

    def answer(self, payload):
        """Queue one answer."""
        self.outbox += struct.pack(">I", len(payload)) + payload


class Server:
    """The network side: one thread, one request at a time, in order of arrival."""

    def __init__(self, offload, port):
        self.offload = offload
        self.queue = collections.deque()
        self.selector = selectors.DefaultSelector()
        self.listener = socket.create_server(("", port), backlog=128)
        self.listener.setblocking(False)
        self.selector.register(self.listener, selectors.EVENT_READ)
        self.stopping = False
        # SIGTERM writes to this pipe: it never interrupts a request.
        self.wake, wake_in = os.pipe()
        os.set_blocking(wake_in, False)
        signal.set_wakeup_fd(wake_in)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self.on_signal)
        self.selector.register(self.wake, selectors.EVENT_READ)

    def on_signal(self, *_):
        """Note that it is time to end."""
        self.stopping = True

    def run(self):
        """Serve until SIGTERM or SIGINT."""
        while not self.stopping:
            for key, events in self.selector.select():
                if key.fileobj is self.listener:
                    self.accept()
                elif key.data is not None:
                    self.serve(key.data, events)
            while self.queue:
                conn, payload = self.queue.popleft()
                conn.answer(self.offload.execute(payload))
                self.send(conn)

    def accept(self):
        """Take a new client in."""
        try:
            sock, _ = self.listener.accept()
        except OSError:
            return  # it is gone again, or descriptors have run out: the others go on
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.selector.register(sock, selectors.EVENT_READ, Connection(sock))

    def serve(self, conn, events):
        """Move bytes of one client."""
        if events & selectors.EVENT_WRITE:
            self.send(conn)
        if not events & selectors.EVENT_READ or conn.sock.fileno() < 0:
            return
        try:
            block = conn.sock.recv(1 << 16)
        except BlockingIOError:
            return
        except OSError:
            block = b""
        if not block:
            self.close(conn)
            return
        conn.inbox += block
        self.queue.extend((conn, payload) for payload in conn.frames())
        if conn.closing:
            self.send(conn)

    def send(self, conn):
        """Send what the client takes; wait for it, and read no more from it, if it is slow."""
        if conn.sock.fileno() < 0:
            return  # closed while its request waited; the request was executed all the same
        try:
            while conn.outbox:
                del conn.outbox[:conn.sock.send(conn.outbox)]
        except BlockingIOError:
            pass
        except OSError:
            self.close(conn)
            return
        if conn.closing and not conn.outbox:
            self.close(conn)
            return
        events = selectors.EVENT_WRITE if conn.outbox else 0
        if len(conn.outbox) < BACKLOG_MAX and not conn.closing:
            events |= selectors.EVENT_READ
        self.selector.modify(conn.sock, events, conn)

    def close(self, conn):
        """Forget a client."""
        if conn.sock.fileno() >= 0:
            self.selector.unregister(conn.sock)
            conn.sock.close()


def reference(lines, data, seed):
    """Yield the answer to each request, one a line, as an unmigrated service gives it."""
    offload = Offload(data, seed)
    for line in lines:
        yield offload.execute(line.rstrip(b"\n"))


def main(argv):
    """Serve, or print the reference answers for the requests on standard input."""
    seed = os.environ.get("BATON_SEED", "baton")
    if argv[1:] == ["--reference"]:
        import tempfile
        with tempfile.TemporaryDirectory() as data:
            for answer in reference(sys.stdin.buffer, data, seed):
                sys.stdout.buffer.write(answer + b"\n")
        return 0
    if len(argv) > 1:
        print("usage: offload.py [--reference < requests, one a line]", file=sys.stderr)
        return 2
    port = int(os.environ.get("BATON_PORT", "7000"))
    offload = Offload(os.environ.get("BATON_DATA", "/data"), seed,
                      os.environ.get("BATON_WRITER") == "1")
    server = Server(offload, port)
    print(f"offload: serving on port {port}", flush=True)
    server.run()
    print(f"offload: {offload.executed} requests executed, ending", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
