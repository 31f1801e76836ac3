#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Talks in the room of examples/tcp without end, and checks all it hears: talker.py HOST PORT NAME

Says its words one after the other, a few ahead of what it has heard, and connects again when its
connection ends, as the protocol has it: with the number it has heard up to. Words that were on their
way then may have been heard by the service or not, but never twice and never out of order; so each
connection says how far it is, and goes on with what is missing. Commands on standard input: "report"
and "stop"; each is answered with a line of JSON.
"""

import json
import select
import socket
import struct
import sys
import time

AHEAD = 8  # words said and not heard yet
PAUSE_S = 0.01


def message(text):
    data = text.encode()
    return struct.pack("!H", len(data)) + data


class Talker:
    """What was heard, over all connections"""

    def __init__(self, host, port, name):
        self.place, self.name = (host, port), name
        self.sock = None
        self.bytes = b""
        self.number = 0  # of the last thing heard
        self.heard = []  # own words, in the order in which the service has them
        self.next_word = 0
        self.connections = 0
        self.wrong = []
        self.slowest_s = 0.0
        self.last = time.monotonic()

    def connect(self):
        self.sock = socket.create_connection(self.place, timeout=5)
        # a network that is gone says nothing: whoever wants to know has to ask
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 1000)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 1)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 1)
        self.sock.setblocking(False)
        self.bytes = b""
        self.connections += 1
        # an empty word tells how far the service is: all said before has been said or is lost
        self.sock.sendall(message(f"{self.name} {self.number}") + message(f"mark{self.connections}"))
        self.marked = False

    def lost(self):
        self.sock.close()
        self.sock = None

    def hear(self, text):
        number, name, word = text.split(" ", 2)
        if int(number) != self.number + 1:
            self.wrong.append(f"number {number} after {self.number}")
        self.number = int(number)
        if name != self.name:
            return
        if word.startswith("mark"):
            if word == f"mark{self.connections}":
                self.marked = True
                self.next_word = len(self.heard)  # what is not there by now is lost: say it again
            return
        if int(word) != len(self.heard):
            self.wrong.append(f"word {word} where {len(self.heard)} should be")
        self.heard.append(int(word))
        now = time.monotonic()
        self.slowest_s, self.last = max(self.slowest_s, now - self.last), now

    def read(self):
        data = self.sock.recv(65536)
        if not data:
            raise ConnectionError("end")
        self.bytes += data
        while len(self.bytes) >= 2:
            (size,) = struct.unpack("!H", self.bytes[:2])
            if len(self.bytes) < 2 + size:
                return
            text, self.bytes = self.bytes[2:2 + size].decode(), self.bytes[2 + size:]
            self.hear(text)

    def step(self):
        """A little of everything"""
        try:
            if not self.sock:
                self.connect()
            while self.marked and self.next_word < len(self.heard) + AHEAD:
                self.sock.sendall(message(str(self.next_word)))
                self.next_word += 1
            if select.select([self.sock], [], [], PAUSE_S)[0]:
                self.read()
        except (OSError, ConnectionError):
            if self.sock:
                self.lost()
            time.sleep(PAUSE_S)


def main():
    _, host, port, name = sys.argv
    talker = Talker(host, int(port), name)
    while True:
        talker.step()
        if not select.select([sys.stdin], [], [], 0)[0]:
            continue
        command = sys.stdin.readline().strip()
        print(json.dumps({"answered": [len(talker.heard)], "wrong": talker.wrong,
                          "connections": talker.connections,
                          "slowest_ms": round(talker.slowest_s * 1000)}), flush=True)
        if command != "report":
            return


if __name__ == "__main__":
    main()
