# SPDX-License-Identifier: Apache-2.0
"""Clients of a Redis that wait, for an answer or for nothing, and say when and how their connections ended

    waiting.py ADDRESS PORT IDLE

Each line on its standard input is a step, answered by a line of JSON:

    open        connections, so many and one more, which have all been answered once
    ask         one of them asks; nobody sends anything from now on
    arrive      another connection begins, which is the user's first packet at an access point
    ended       as soon as all have ended, or after 25 s: of each, how and when; times are those of
                time.monotonic(), and of time.time() in "at"
"""

import json
import socket
import sys
import threading
import time

PATIENCE_S = 25


class Waiting:
    """A connection on which something may come"""

    def __init__(self, at):
        self.socket = socket.create_connection(at, timeout=PATIENCE_S)
        self.thread = threading.Thread(target=self.wait, daemon=True)
        self.how = "nothing"
        self.when = self.at = 0

    def ask(self, words):
        self.socket.sendall(words)

    def answered(self):
        assert self.socket.recv(100) == b"+PONG\r\n"

    def wait(self):
        try:
            self.how = "answer" if self.socket.recv(100) else "closed"
        except ConnectionResetError:
            self.how = "reset"
        except TimeoutError:
            self.how = "nothing"
        self.when, self.at = time.monotonic(), time.time()


def main():
    """Take the steps"""
    at = (sys.argv[1], int(sys.argv[2]))
    clients = []
    for step in sys.stdin:
        said = {}
        match step.strip():
            case "open":
                for _ in range(int(sys.argv[3]) + 1):
                    clients.append(Waiting(at))
                    clients[-1].ask(b"PING\r\n")
                    clients[-1].answered()
                    clients[-1].thread.start()
            case "ask":
                clients[0].ask(b"INCR asked\r\n")
            case "arrive":
                said = {"when": time.monotonic()}
                threading.Thread(target=socket.create_connection, args=(at,), daemon=True).start()
            case "ended":
                for client in clients:
                    client.thread.join()
                said = [{"how": c.how, "when": c.when, "at": c.at} for c in clients]
        print(json.dumps(said), flush=True)


main()
