#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""redis_load - requests to Redis at a fixed rate, whatever becomes of the answers, and how long they take

    redis_load.py HOST PORT [--rate 1000] [--connections 4] [--seconds 10]

Each connection counts a number of its own with INCR, so that every answer is known before: the next
number, on that connection. Requests are due at fixed times; time is counted from when one was due. A
connection that ends is made again, and counts on from what the service says. Ends when its standard input
does, or after --seconds; prints one line of JSON.
"""

import argparse
import asyncio
import json
import sys
import time


class Connection:
    """One connection, and what it counts"""

    def __init__(self, args, index):
        self.args, self.key = args, f"count{index}".encode()
        self.count = None  # the service's, once it is known
        self.due = []      # times of requests without an answer
        self.taken = []    # (when it was due, seconds)
        self.broken = self.lost = 0
        self.wrong = []
        self.writer = None

    async def connect(self):
        """Begin (again) with what the service says"""
        reader, writer = await asyncio.open_connection(self.args.host, self.args.port)
        writer.write(b"*2\r\n$3\r\nGET\r\n$%d\r\n%s\r\n" % (len(self.key), self.key))
        head = await reader.readuntil(b"\r\n")
        now = 0 if head == b"$-1\r\n" else int((await reader.readuntil(b"\r\n")).strip())
        if self.count is not None and not self.count <= now <= self.count + self.lost:
            self.wrong.append(f"{now} after {self.count} and {self.lost} unanswered")
        self.count, self.lost = now, 0
        self.writer = writer
        return reader

    async def read(self, reader):
        while True:
            line = await reader.readuntil(b"\r\n")
            due = self.due.pop(0)
            self.taken.append((due, time.monotonic() - due))
            self.count += 1
            if line != b":%d\r\n" % self.count:
                self.wrong.append(f"{line!r} for {self.count}")
                self.count = int(line[1:])

    async def stay(self):
        """Read answers for ever, on one connection after the other"""
        while True:
            try:
                await self.read(await self.connect())
            except (OSError, asyncio.IncompleteReadError):
                self.writer = None
                self.broken += 1
                self.lost += len(self.due)
                self.due = []
                await asyncio.sleep(0.05)

    def ask(self, due):
        """One request; none while there is no connection"""
        if not self.writer or self.writer.is_closing():
            return
        self.due.append(due)
        self.writer.write(b"*2\r\n$4\r\nINCR\r\n$%d\r\n%s\r\n" % (len(self.key), self.key))


async def run(args):
    """All connections, in turn"""
    connections = [Connection(args, i) for i in range(args.connections)]
    readers = [asyncio.create_task(c.stay()) for c in connections]
    while not all(c.writer for c in connections):
        await asyncio.sleep(0.01)
    stop = asyncio.get_running_loop().create_future()
    if not args.seconds:
        asyncio.get_running_loop().add_reader(
            sys.stdin, lambda: stop.done() or sys.stdin.read(1) or stop.set_result(None))
    begin, sent = time.monotonic(), 0
    while not stop.done() and not 0 < args.seconds <= time.monotonic() - begin:
        while begin + sent / args.rate <= time.monotonic():
            connections[sent % len(connections)].ask(begin + sent / args.rate)
            sent += 1
        await asyncio.sleep(0.001)
    until = time.monotonic() + 5
    while any(c.due for c in connections) and time.monotonic() < until:
        await asyncio.sleep(0.01)
    for reader in readers:
        reader.cancel()
    return begin, sent, connections


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("host")
    parser.add_argument("port", type=int)
    parser.add_argument("--rate", type=float, default=1000)
    parser.add_argument("--connections", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=0)
    begin, sent, connections = asyncio.run(run(parser.parse_args()))
    taken = sorted(s * 1000 for c in connections for _, s in c.taken)
    slowest = max(((s, due) for c in connections for due, s in c.taken), default=(0, begin))
    print(json.dumps({
        "due": sent, "answered": len(taken), "unanswered": sum(len(c.due) for c in connections),
        "broken": sum(c.broken for c in connections),
        "wrong": [w for c in connections for w in c.wrong],
        "ms": {"p50": taken[len(taken) // 2], "p99": taken[len(taken) * 99 // 100],
               "max": taken[-1]} if taken else {},
        "slowest_at_s": round(slowest[1] - begin, 3)}))


if __name__ == "__main__":
    main()
