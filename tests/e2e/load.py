#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""An ordinary client that puts a service under load, and checks every answer

    load.py KIND HOST PORT [--connections N] [--rounds-per-second N] [--batch N] [--word-bytes N]

KIND: redis, python-http, sqlite-http, udp, tcp, nginx. Each connection appends words of its own to a list of
its own in the service, a batch at a time, and reconnects when its connection ends. It then knows that
what was answered has happened, and that of the rest a beginning may have; it reads the list to learn
which, and goes on from there. So nothing may be lost, doubled or reordered, whenever connections end.
(nginx has no state: there every body, range and header is compared with the file.)

Commands on standard input: "report" prints a line of JSON, in it the longest round since the last report
(lately_ms), on the connections that there are now; "stop" reads everything once more, compares and reports. Exit status 1 if anything was wrong; the report
says what.

It knows nothing of Baton, and needs Python's standard library only. An end of a connection that nobody
announces (a user who moved) is found by TCP keep-alive probes, as any client with idle connections should.
"""

import argparse
import hashlib
import http.client
import json
import pathlib
import socket
import struct
import sys
import threading
import time

PATIENCE_S = 30  # an answer that takes longer is wrong
CONNECT_S = 2
NGINX_FILES = pathlib.Path(__file__).resolve().parent.parent.parent / "examples/nginx"


class Wrong(Exception):
    """The service did what it must not"""


class Ended(Exception):
    """The connection has ended; what was not answered may or may not have happened"""


def connect(host, port):
    """A connection that notices within some seconds when the other side knows nothing of it"""
    try:
        sock = socket.create_connection((host, port), timeout=CONNECT_S)
    except OSError as e:
        raise Ended(f"connect: {e}") from e
    sock.settimeout(PATIENCE_S)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 10000)
    return sock


def brief(word):
    """A word, for people"""
    return word if len(word) < 60 else f"{word[:60]}... ({len(word)})"


class Ledger:
    """What one connection's list holds, as far as its client can know"""

    def __init__(self):
        self.sure = []
        self.open = []  # sent, not answered

    def sent(self, words):
        self.open += words

    def answered(self, position):
        """The oldest word that was not answered is; it lies at this position, from 1"""
        self.sure.append(self.open.pop(0))
        if position != len(self.sure):
            raise Wrong(f"'{brief(self.sure[-1])}' is answered with position {position}, "
                        f"not {len(self.sure)}")

    def settle(self, tail):
        """The list from len(self.sure) on, in the service, after a connection ended"""
        if tail != self.open[:len(tail)]:
            raise Wrong(f"after {len(self.sure)} words there are {[*map(brief, tail[:5])]}..., "
                        f"of those sent {[*map(brief, self.open[:5])]}...")
        self.sure += tail
        self.open = []

    def compare(self, everything):
        """The whole list, in the end"""
        for number, (ours, theirs) in enumerate(zip(self.sure, everything), 1):
            if ours != theirs:
                raise Wrong(f"word {number} is '{brief(theirs)}', not '{brief(ours)}'")
        if len(everything) != len(self.sure):
            raise Wrong(f"{len(everything)} words, not {len(self.sure)}")


# --- protocols -----------------------------------------------------------------------------------
# Each has: append(words), which yields a position for each word as answers come; read(first), all words
# of the list from that position on; check(), what else must be right. All raise Ended or OSError at the
# end of the connection.


class Redis:
    """INCR and LPUSH, pipelined: a counter and a list that must agree"""

    def __init__(self, host, port, name):
        self.sock = connect(host, port)
        self.file = self.sock.makefile("rb")
        self.name = name

    def close(self):
        self.sock.close()

    def send(self, *commands):
        out = bytearray()
        for words in commands:
            out += b"*%d\r\n" % len(words)
            for word in words:
                data = str(word).encode()
                out += b"$%d\r\n%s\r\n" % (len(data), data)
        self.sock.sendall(out)

    def line(self):
        line = self.file.readline()
        if not line.endswith(b"\r\n"):
            raise Ended("end of connection")
        return line[:-2]

    def value(self):
        """One RESP2 value"""
        line = self.line()
        kind, rest = line[:1], line[1:]
        if kind == b":":
            return int(rest)
        if kind == b"+":
            return rest.decode()
        if kind == b"$":
            if int(rest) < 0:
                return None
            data = self.file.read(int(rest) + 2)
            if len(data) != int(rest) + 2:
                raise Ended("end of connection")
            return data[:-2].decode()
        if kind == b"*":
            return [self.value() for _ in range(int(rest))]
        raise Wrong(f"Redis says {line!r}")

    def append(self, words):
        commands = []
        for word in words:
            commands += [("LPUSH", f"list:{self.name}", word), ("INCR", f"count:{self.name}")]
        self.send(*commands)
        for _ in words:
            length, count = self.value(), self.value()
            if length != count:
                # The connection may have ended between the two: then read() has mended it.
                raise Wrong(f"list of {length}, counted {count}")
            yield length

    def read(self, first):
        words = []
        while True:
            begin = first + len(words)
            self.send(("LRANGE", f"list:{self.name}", -begin - 500, -begin - 1))
            page = self.value()
            words += reversed(page)
            if len(page) < 500:
                return words

    def mend(self, length):
        """A connection that ended between LPUSH and INCR has left the count one behind, not more"""
        self.send(("GET", f"count:{self.name}"))
        count = int(self.value() or 0)
        if not length - 1 <= count <= length:
            raise Wrong(f"list of {length}, counted {count}")
        if count < length:
            self.send(("INCR", f"count:{self.name}"))
            if self.value() != length:
                raise Wrong("INCR went astray")

    def check(self, length):
        self.send(("GET", f"count:{self.name}"))
        count = int(self.value() or 0)
        if count != length:
            raise Wrong(f"list of {length}, counted {count}")


class Http:
    """Requests one after the other on a connection that is kept"""

    def __init__(self, host, port, name):
        self.client = http.client.HTTPConnection(host, port)
        self.client.sock = connect(host, port)
        self.client.auto_open = False
        self.name = name

    def close(self):
        self.client.close()

    def request(self, method, path, body=None, headers=None):
        """(status, headers, body); any trouble with the connection is its end"""
        try:
            self.client.request(method, path, body, headers or {})
            response = self.client.getresponse()
            data = response.read()
        except (http.client.HTTPException, OSError) as e:
            raise Ended(f"{method} {path}: {e}") from e
        if response.will_close:
            self.client.close()
        return response.status, response.headers, data

    def json(self, method, path, expected, body=None):
        status, _, data = self.request(method, path, body)
        if status == 404 and expected == 200:
            return None
        if status != expected:
            raise Wrong(f"{method} {path}: {status} {data[:200]!r}")
        return json.loads(data)

    def mend(self, length):
        """Nothing can be half done"""


class PythonHttp(Http):
    """Baskets in memory"""

    def append(self, words):
        for word in words:
            yield self.json("POST", f"/baskets/{self.name}", 201, word)["position"]

    def read(self, first):
        words = []
        while True:
            page = self.json("GET", f"/baskets/{self.name}?from={first + len(words)}", 200)
            words += page["items"] if page else []
            if not page or len(page["items"]) < 500:
                return words

    def check(self, length):
        """The list is all"""


class SqliteHttp(Http):
    """Transfers from this connection's account to a common one; nothing gets lost on the way"""

    def __init__(self, host, port, name):
        super().__init__(host, port, name)
        self.last = 0

    def append(self, words):
        for word in words:
            number = self.json("POST", "/transfers", 201, json.dumps(
                {"note": word, "from": self.name, "to": "all", "amount": 1}))["id"]
            if number <= self.last:
                raise Wrong(f"transfer {number} after {self.last}")
            self.last = number
            yield None

    def read(self, first):
        words, after = [], 0
        while True:
            page = self.json("GET", f"/transfers?after={after}", 200)
            words += [row[1] for row in page if row[2] == self.name]
            if len(page) < 500:
                return words[first:]
            after = page[-1][0]

    def check(self, length):
        balances = self.json("GET", "/balances", 200)
        if sum(balances.values()) != 0 or balances.get(self.name, 0) != -length:
            raise Wrong(f"balances {balances}, of {length} transfers")


class Udp:
    """Datagrams: one that is not answered is an end like that of a connection"""

    ANSWER_S = 2

    def __init__(self, host, port, name):
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.connect((host, port))
        self.name = name

    def close(self):
        self.sock.close()

    def ask(self, text):
        self.sock.settimeout(self.ANSWER_S)
        try:
            self.sock.send(text.encode())
            return self.sock.recv(65536).decode()
        except OSError as e:
            raise Ended(f"{text}: {e}") from e

    def append(self, words):
        for word in words:
            answer = self.ask(f"put {self.name} {word}").split()
            if len(answer) != 2 or answer[0] != word:
                raise Wrong(f"'{word}' is answered with {answer}")
            yield int(answer[1])

    def read(self, first):
        words = []
        while True:
            page = self.ask(f"get {self.name} {first + len(words)}").split()
            words += page
            if len(page) < 50:
                return words

    def mend(self, length):
        """Nothing can be half done"""

    def check(self, length):
        """The list is all"""


class Tcp:
    """The room: own words come back, among those of others, numbered"""

    def __init__(self, host, port, name):
        self.sock = connect(host, port)
        self.file = self.sock.makefile("rb")
        self.name = name
        self.number = None  # of the last thing heard

    def close(self):
        self.sock.close()

    def say(self, *texts):
        self.sock.sendall(b"".join(struct.pack("!H", len(t)) + t for t in map(str.encode, texts)))

    def hear(self):
        """(who, text) of the next thing said; there must be none missing before it"""
        head = self.file.read(2)
        size = struct.unpack("!H", head)[0] if len(head) == 2 else 0
        data = self.file.read(size)
        if not size or len(data) != size:
            raise Ended("end of connection")
        number, who, text = data.decode().split(" ", 2)
        if self.number is not None and int(number) != self.number + 1:
            raise Wrong(f"heard number {number} after {self.number}")
        self.number = int(number)
        return who, text

    def own(self):
        """The next of our own words"""
        while True:
            who, text = self.hear()
            if who == self.name:
                return text

    def append(self, words):
        self.say(*words)
        for word in words:
            text = self.own()
            if text != word:
                raise Wrong(f"heard '{text}', expected '{word}'")
            yield None

    def read(self, first):
        """Come in anew, hear everything from the beginning, up to a mark of our own"""
        mark = f"mark-{time.monotonic_ns()}"
        self.number = 0
        self.say(f"{self.name} 0", mark)
        words = []
        while (text := self.own()) != mark:
            if not text.startswith("mark-"):
                words.append(text)
        return words[first:]

    def mend(self, length):
        """Nothing can be half done"""

    def check(self, length):
        """The list is all"""


class Nginx(Http):
    """Files, whole and in part"""

    def __init__(self, host, port, name):
        super().__init__(host, port, name)
        self.files = {name: (NGINX_FILES / name).read_bytes() for name in ("index.html", "song.txt")}
        self.n = 0

    def get(self, method, path, headers, status, body):
        got, answer, data = self.request(method, path, None, headers)
        length = answer["Content-Length"]
        if got != status or (body is not None and hashlib.sha256(data).digest() !=
                             hashlib.sha256(body).digest()):
            raise Wrong(f"{method} {path} {headers}: {got}, {len(data)} bytes of {length}")
        return answer

    def append(self, words):
        song = self.files["song.txt"]
        for _ in words:
            self.n += 1
            begin = self.n * 7919 % (len(song) - 100)
            end = begin + self.n % 4096
            self.get("GET", "/song.txt", {}, 200, song)
            part = self.get("GET", "/song.txt", {"Range": f"bytes={begin}-{end}"}, 206,
                            song[begin:end + 1])
            if part["Content-Range"] != f"bytes {begin}-{min(end, len(song) - 1)}/{len(song)}":
                raise Wrong(f"range {begin}-{end}: {part['Content-Range']}")
            self.get("GET", "/index.html", {}, 200, self.files["index.html"])
            head = self.get("HEAD", "/song.txt", {}, 200, b"")
            if head["Content-Length"] != str(len(song)):
                raise Wrong(f"HEAD: {head['Content-Length']} bytes")
            self.get("GET", "/song.txt", {"If-None-Match": head["ETag"]}, 304, b"")
            self.get("GET", "/none", {}, 404, None)
            yield None

    def read(self, first):
        return []

    def check(self, length):
        """Every answer was"""


KINDS = {"redis": Redis, "python-http": PythonHttp, "sqlite-http": SqliteHttp, "udp": Udp, "tcp": Tcp,
         "nginx": Nginx}
STATELESS = ("nginx",)


# --- load ----------------------------------------------------------------------------------------


class Worker(threading.Thread):
    """One connection at a time, until told to stop"""

    def __init__(self, load, number):
        super().__init__(daemon=True)
        self.load = load
        self.name_in_service = f"c{number}"
        self.ledger = Ledger()
        self.sent = self.answered = self.connections = self.uncertain = 0
        self.longest_s = self.lately_s = 0  # of a round, see report()
        self.ends = []
        self.wrong = None

    def run(self):
        try:
            while not self.load.stopping.is_set():
                self.one_connection()
            self.at_end()
        except Wrong as e:
            self.wrong = f"{self.name_in_service}: {e}"
        except Exception as e:  # pylint: disable=broad-except # whatever it is, it is reported
            self.wrong = f"{self.name_in_service}: {type(e).__name__}: {e}"

    def one_connection(self):
        """Connect, find out what has happened, append until the connection ends"""
        link = None
        try:
            link = self.load.open(self.name_in_service)
            if self.connections or self.load.kind == "tcp":
                self.settle(link)
            self.connections += 1
            self.lately_s = 0
            while not self.load.stopping.is_set():
                self.one_round(link)
        except (Ended, OSError) as e:
            self.ends.append(str(e) or type(e).__name__)
            self.load.stopping.wait(0.02)  # a service that refuses is not stormed
        finally:
            if link:
                link.close()

    def settle(self, link):
        """Learn what became of the words that were not answered"""
        if self.load.kind in STATELESS:
            self.ledger.open = []
            return
        self.uncertain += len(self.ledger.open)
        self.ledger.settle(link.read(len(self.ledger.sure)))
        link.mend(len(self.ledger.sure))

    def one_round(self, link):
        began = time.monotonic()
        words = [self.load.word(f"{self.name_in_service}-{self.sent + n}")
                 for n in range(self.load.batch)]
        self.sent += len(words)
        self.ledger.sent(words)
        for position in link.append(words):
            if self.load.kind in STATELESS or position is None:
                position = len(self.ledger.sure) + 1
            self.ledger.answered(position)
            self.answered += 1
        took = time.monotonic() - began
        self.longest_s = max(self.longest_s, took)
        self.lately_s = max(self.lately_s, took)
        self.load.stopping.wait(max(0, self.load.period_s - took))

    def at_end(self):
        """Everything once more, on a connection of its own"""
        end = time.monotonic() + PATIENCE_S
        while True:
            try:
                link = self.load.open(self.name_in_service)
                everything = link.read(0)
                if self.load.kind not in STATELESS:
                    self.ledger.settle(everything[len(self.ledger.sure):])
                    link.mend(len(self.ledger.sure))
                    self.ledger.compare(everything)
                    link.check(len(self.ledger.sure))
                link.close()
                return
            except (Ended, OSError) as e:
                if time.monotonic() > end:
                    raise Wrong(f"cannot be asked in the end: {e}") from e
                time.sleep(0.1)


class Load:
    """All connections"""

    def __init__(self, args):
        self.kind, self.host, self.port = args.kind, args.host, args.port
        self.batch = args.batch
        self.word_bytes = args.word_bytes
        self.period_s = 1 / args.rounds_per_second
        self.stopping = threading.Event()
        self.workers = [Worker(self, n) for n in range(args.connections)]

    def word(self, name):
        """A word as long as it is to be, all of it its own"""
        return (f"{name}-" * (self.word_bytes // len(name) + 1))[:self.word_bytes] or name

    def open(self, name):
        return KINDS[self.kind](self.host, self.port, name)

    def report(self):
        workers = self.workers
        return {"kind": self.kind, "wrong": [w.wrong for w in workers if w.wrong],
                "answered": [w.answered for w in workers],
                "sure": sum(len(w.ledger.sure) for w in workers),
                "uncertain": sum(w.uncertain for w in workers),
                "connections": [w.connections for w in workers],
                "ends": [w.ends[-5:] for w in workers],
                "longest_ms": round(1000 * max(w.longest_s for w in workers), 1),
                "lately_ms": round(1000 * max(w.lately_s for w in workers), 1)}

    def forget_lately(self):
        for worker in self.workers:
            worker.lately_s = 0


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("host")
    parser.add_argument("port", type=int)
    parser.add_argument("--connections", type=int, default=4)
    parser.add_argument("--rounds-per-second", type=float, default=25, help="of each connection")
    parser.add_argument("--batch", type=int, default=5, help="words appended in one round")
    parser.add_argument("--word-bytes", type=int, default=0, help="0: as short as may be")
    load = Load(parser.parse_args())
    for worker in load.workers:
        worker.start()
    for line in sys.stdin:
        if line.strip() == "stop":
            break
        print(json.dumps(load.report()), flush=True)
        load.forget_lately()
    load.stopping.set()
    for worker in load.workers:
        worker.join()
    report = load.report()
    print(json.dumps(report), flush=True)
    return 1 if report["wrong"] else 0


if __name__ == "__main__":
    sys.exit(main())
