#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""client.py - an ordinary client that numbers its requests, and says what became of each

    client.py KIND HOST PORT [--connections N] [--per-second N]

KIND: redis (a list in an append-only file and in memory), python-http or udp (a list in memory alone). Each
connection has a list of its own and appends the numbers 1, 2, 3, ... to it, one at a time. No number is ever
sent twice, so a number that is there twice was executed twice; one that was acknowledged and is not there was
lost. After an error, a refusal or an end of the connection it connects again and goes on with the next number.

Commands on standard input: "report" prints a line of JSON with what is known so far; "check" reads the lists,
too, and compares; "stop" ends. It knows nothing of Baton, and needs Python's standard library only.
"""

import argparse
import base64
import json
import pathlib
import random
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "e2e"))

import load  # noqa: E402

CHECK_S = 30  # for reading everything in the end
BALLAST = 16, 500_000  # pieces and their bytes, so that what moves takes a moment
WORK = 300_000  # rounds of a loop in each request: some milliseconds, so that replaying takes a moment, too
APPEND = ("local n = 0 for i = 1, tonumber(ARGV[2]) do n = n + i end return redis.call('RPUSH', KEYS[1], ARGV[1])")
KEPT = 5  # refusals and ends of connections that are told, of each connection


class Refused(Exception):
    """The service is away, or the outcome of a request is in doubt; the text is what the client was told"""


def ballast():
    """Text that does not get much smaller by compression"""
    return base64.b64encode(random.randbytes(BALLAST[1] * 3 // 4)).decode()


class Redis(load.Redis):
    """One RPUSH after the other"""

    def value(self):
        """One RESP2 value; an error is an end, as for any client"""
        first = self.file.peek(1)[:1]
        if first == b"-":
            raise Refused(self.line().decode(errors="replace"))
        return super().value()

    def fill(self):
        for n in range(BALLAST[0]):
            self.send(("SET", f"ballast:{n}", ballast()))
            self.value()

    def append(self, number):
        """Return: the length of the list"""
        self.send(("EVAL", APPEND, 1, f"log:{self.name}", number, WORK))
        return self.value()

    def read_all(self):
        self.send(("LRANGE", f"log:{self.name}", 0, -1))
        return [int(n) for n in self.value()]

    def process(self):
        """What names the process that answers: another one has lost what was in memory"""
        self.send(("INFO", "server"))
        return next(line.split(":")[1] for line in self.value().split("\r\n") if line.startswith("run_id:"))


class Basket(load.PythonHttp):
    """One POST after the other"""

    def json(self, method, path, expected, body=None):
        status, _, data = self.request(method, path, body)
        if status in (502, 503):
            raise Refused(f"{status} {data[:200].decode(errors='replace').strip()}")
        if status == 404 and expected == 200:
            return None
        if status != expected:
            raise load.Wrong(f"{method} {path}: {status} {data[:200]!r}")
        return json.loads(data)

    def fill(self):
        for n in range(BALLAST[0]):
            self.json("POST", "/baskets/ballast", 201, ballast())

    def append(self, number):
        """Return: the length of the list"""
        return self.json("POST", f"/baskets/{self.name}", 201, str(number))["position"]

    def read_all(self):
        return [int(n) for n in self.read(0)]

    def process(self):
        """The service has no name for it"""
        return None


class Readings(load.Udp):
    """One datagram after the other; an answer that comes too late is not taken for the next one's"""

    def fill(self):
        """Datagrams are short"""

    def append(self, number):
        """Return: the length of the list"""
        word, position = self.ask(f"put {self.name} {number}").split()
        while word != str(number):
            word, position = self.sock.recv(65536).decode().split()
        return int(position)

    def read_all(self):
        return [int(n) for n in self.read(0)]

    def process(self):
        """The service has no name for it"""
        return None


KINDS = {"redis": Redis, "python-http": Basket, "udp": Readings}


class Worker(threading.Thread):
    """One connection at a time, until told to stop"""

    def __init__(self, args, number, stopping):
        super().__init__(daemon=True)
        self.args = args
        self.list_name = f"c{number}"
        self.stopping = stopping
        self.sent = 0
        self.acknowledged = {}  # number: (when it was, in us since the epoch, the position that it was given)
        self.doubtful = 0
        self.refused = 0
        self.told = []
        self.processes = []
        self.last_answer = None
        self.silence_s = 0.0
        self.wrong = None

    def note(self, text):
        if text not in self.told and len(self.told) < KEPT:
            self.told.append(text)

    def open(self):
        return KINDS[self.args.kind](self.args.host, self.args.port, self.list_name)

    def run(self):
        try:
            while not self.stopping.is_set():
                self.one_connection()
        except Exception as e:  # pylint: disable=broad-except # whatever it is, it is reported
            self.wrong = f"{self.list_name}: {type(e).__name__}: {e}"

    def one_connection(self):
        link = None
        try:
            link = self.open()
            if not self.sent:
                self.first(link)
            while not self.stopping.is_set():
                self.one_request(link)
        except Refused as e:
            self.refused += 1
            self.doubtful += "doubt" in str(e)
            self.note(str(e))
            self.stopping.wait(0.05)
        except (load.Ended, OSError) as e:
            self.note(str(e) or type(e).__name__)
            self.stopping.wait(0.05)  # a service that refuses is not stormed
        finally:
            if link:
                link.close()

    def first(self, link):
        """Before anything is counted"""
        if self.list_name == "c0":
            link.fill()
        self.note_process(link)

    def note_process(self, link):
        process = link.process()
        if process and process not in self.processes:
            self.processes.append(process)

    def one_request(self, link):
        self.sent += 1
        number = self.sent
        position = link.append(number)
        now = time.monotonic()
        if self.last_answer:
            self.silence_s = max(self.silence_s, now - self.last_answer)
        self.last_answer = now
        self.acknowledged[number] = (time.time_ns() // 1000, position)
        self.stopping.wait(1 / self.args.per_second)

    def report(self):
        return {"sent": self.sent, "acknowledged": len(self.acknowledged), "doubtful": self.doubtful,
                "refused": self.refused, "told": self.told, "processes": self.processes,
                "silence_ms": round(1000 * self.silence_s), "wrong": self.wrong,
                "silent_ms": round(1000 * (time.monotonic() - self.last_answer)) if self.last_answer else None}

    def read_all(self):
        """The whole list; a service that is away for a moment is asked again"""
        end = time.monotonic() + CHECK_S
        while True:
            link = None
            try:
                link = self.open()
                self.note_process(link)
                return link.read_all()
            except (Refused, load.Ended, OSError) as e:
                if time.monotonic() > end:
                    raise load.Wrong(f"{self.list_name} cannot be read in the end: {e}") from e
                time.sleep(0.1)
            finally:
                if link:
                    link.close()

    def compare(self):
        """What is wrong with the list: numbers that are lost, that are there twice, that are out of order"""
        found = self.read_all()
        there = set(found)
        lost = sorted(n for n in self.acknowledged if n not in there)
        return {"there": len(found), "doubled": sorted({n for n in there if found.count(n) > 1})
                if len(there) < len(found) else [],
                "disordered": sum(a > b for a, b in zip(found, found[1:])),
                "lost": len(lost), "lost_first": lost[:3],
                # when the last one that is lost was acknowledged: what was in memory is lost up to an instant
                "lost_until_us": max((self.acknowledged[n][0] for n in lost), default=0)}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("host")
    parser.add_argument("port", type=int)
    parser.add_argument("--connections", type=int, default=4)
    parser.add_argument("--per-second", type=float, default=20, help="requests, of each connection")
    args = parser.parse_args()
    stopping = threading.Event()
    workers = [Worker(args, n, stopping) for n in range(args.connections)]
    for worker in workers:
        worker.start()
    for line in sys.stdin:
        command = line.strip()
        if command == "check":
            stopping.set()
            for worker in workers:
                worker.join()
            try:
                print(json.dumps([w.report() | w.compare() for w in workers]), flush=True)
            except load.Wrong as e:
                print(json.dumps([w.report() | {"wrong": str(e)} for w in workers]), flush=True)
        elif command == "stop":
            break
        else:
            print(json.dumps([w.report() for w in workers]), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
