# SPDX-License-Identifier: Apache-2.0
"""Software that knows nothing of Baton moves to and fro under load: the folders of examples/

A user of all of them at once moves ten times (or BATON_HOPS), and so do they. Clients that check every answer
(load.py) are at it all the time, and in the end compare all that a service holds with what it may hold
(R1, R2). BATON_EXAMPLES="redis udp" leaves the others out.
"""

import json
import os
import re
import socket
import subprocess
import sys
import threading

import bed
from baton_lab import EXAMPLES as FOLDER
from baton_lab import GATEWAY, Lab
from device import OK, Device

HOPS = int(os.environ.get("BATON_HOPS", "10"))
EXAMPLES = os.environ.get("BATON_EXAMPLES", "redis nginx python-http sqlite-http udp").split()
LOAD = {  # connections, rounds a second of each, words in a round
    "redis": (4, 20, 5), "nginx": (2, 4, 1), "python-http": (4, 5, 2), "sqlite-http": (4, 5, 2),
    "udp": (4, 10, 2),
}


class Bridge:
    """Connections of an ordinary client, carried by one session of the emulated device

    It stands in for an access point's listener. Where messages end it knows only as far as load.py needs
    it, which sends one request, waits, and puts no body into chunks.
    """

    def __init__(self, device, datagrams):
        self.device = device
        self.datagrams = datagrams
        self.waiting = []  # how to answer the requests that are on their way
        self.lock = threading.Lock()
        kind = socket.SOCK_DGRAM if datagrams else socket.SOCK_STREAM
        self.sock = socket.socket(socket.AF_INET, kind)
        self.sock.bind(("127.0.0.1", 0))
        self.port = self.sock.getsockname()[1]
        self.threads = [threading.Thread(target=t, daemon=True) for t in
                        (self.take_datagrams if datagrams else self.accept, self.answer)]
        for thread in self.threads:
            thread.start()

    def ask(self, data, answer):
        with self.lock:
            self.waiting.append(answer)
            self.device.ask(data)

    def take_datagrams(self):
        while True:
            data, peer = self.sock.recvfrom(65536)
            self.ask(data, lambda text, p=peer: self.sock.sendto(text, p))

    def accept(self):
        self.sock.listen()
        while True:
            connection, _ = self.sock.accept()
            threading.Thread(target=self.take_bytes, args=(connection,), daemon=True).start()

    def take_bytes(self, connection):
        with connection:
            request = b""
            while data := connection.recv(1 << 20):
                request += data
                if self.whole(request):
                    self.ask(request, connection.sendall)
                    request = b""

    def whole(self, request):
        """Whether the body of an HTTP request is there; all else comes in one piece"""
        head, end, body = request.partition(b"\r\n\r\n")
        length = re.search(rb"(?i)\r\ncontent-length: (\d+)", head)
        return not end or not length or len(body) >= int(length[1])

    def answer(self):
        while line := self.device.lines.get():
            kind, *words = line
            if kind != "answer":
                continue
            _, status, *text = words
            with self.lock:
                answer = self.waiting.pop(0)
            if int(status) != OK:
                print(f"status {status}: {bytes.fromhex(text[0])}", file=sys.stderr)
            answer(bytes.fromhex(text[0]))


class Software(bed.BedTest):
    EDGES = 2
    RATE_MB_S = 20
    LIMITS = {"es": {"migrations_max": 8},  # all at once
              "ap": {"user_idle_ms": 8000}}

    @classmethod
    def bring_up(cls):
        cls.lab = Lab(bed.LAB_NAME, cls.EDGES, rtt_ms=cls.RTT_MS, rate_mb_s=cls.RATE_MB_S,
                      examples=EXAMPLES, limits=cls.LIMITS)
        bed.BedTest.up = cls.lab
        cls.lab.__enter__()
        cls.lab.users(1)
        cls.clean = True

    def report(self, client, command):
        """Tell the client something; return what it reports"""
        client.stdin.write(command + "\n")
        client.stdin.flush()
        line = client.stdout.readline()
        if not line:
            self.fail(f"load.py ended with status {client.wait()}")
        report = json.loads(line)
        self.assertEqual(report["wrong"], [])
        return report

    def more_answers(self, client, rounds=2):
        """Wait until each connection has got so many answers more"""
        before = self.report(client, "report")["answered"]
        self.wait(lambda: all(now >= then + rounds for now, then in
                              zip(self.report(client, "report")["answered"], before, strict=True)),
                  "more answers")

    def start(self, example):
        """Put an example under load; return (device, client)"""
        device = Device(self, example)
        self.addCleanup(device.process.kill)
        device.tell("move", "AP-1")
        device.hear("associated")
        bridge = Bridge(device, example == "udp")
        connections, rounds, batch = LOAD[example]
        client = subprocess.Popen(
            [sys.executable, bed.HERE / "load.py", example, "127.0.0.1", str(bridge.port),
             "--connections", str(connections), "--rounds-per-second", str(rounds), "--batch",
             str(batch)], text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.addCleanup(client.stdout.close)
        self.addCleanup(client.stdin.close)
        self.addCleanup(client.wait)
        self.addCleanup(client.kill)
        return device, client

    def test_hops(self):
        """To and fro, without a fault"""
        parts = [self.start(example) for example in EXAMPLES]
        for _, client in parts:
            self.more_answers(client)
        for hop in range(1, HOPS + 1):
            there = f"AP-{hop % 2 + 1}"
            for device, _ in parts:
                device.tell("move", there)
            self.wait_event("SWITCH COMPLETE", there, count=len(parts) * ((hop + 1) // 2),
                            seconds=60)
            for _, client in parts:
                self.more_answers(client)
        self.assertEqual(self.events.find("MIGRATION FAILED"), [])
        created = {e["session"]: e["detail"] for e in self.events.find("CONTAINER CREATED")}
        self.assertEqual([(created[e["session"]], e) for e in self.events.find("DIVERGED")], [])
        for device, client in parts:
            self.report(client, "stop")
            self.assertEqual(client.wait(), 0)
            device.end()
        self.assert_nothing_left()

    def test_commands(self):
        """What the pages of the examples tell people to type does what it should"""
        self.lab.move_user("user1", "AP-1")
        for example in EXAMPLES:
            page = (FOLDER / example / "README.md").read_text()
            commands = re.findall(r"^    (?!docker build)(.*ACCESS-POINT.*)$", page, re.M)
            self.assertTrue(commands, example)
            for command in commands:
                with self.subTest(command):
                    done = self.lab.exec("user1", "bash", "-ec",
                                         command.replace("ACCESS-POINT", GATEWAY),
                                         stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
                    out, errors = done.communicate(timeout=30)
                    self.assertEqual(done.returncode, 0, errors)
                    self.assertTrue(out)
        self.assert_nothing_left()

    def test_ordinary_clients(self):
        """Several connections of an ordinary user to each service"""
        self.lab.move_user("user1", "AP-1")
        clients = []
        for example in EXAMPLES:
            connections, rounds, batch = LOAD[example]
            client = self.lab.exec(
                "user1", sys.executable, bed.HERE / "load.py", example, GATEWAY,
                self.lab.example_port(example), "--connections", connections,
                "--rounds-per-second", rounds, "--batch", batch, text=True, stdin=subprocess.PIPE,
                stdout=subprocess.PIPE)
            self.addCleanup(client.stdout.close)
            self.addCleanup(client.stdin.close)
            self.addCleanup(client.wait)
            self.addCleanup(client.kill)
            clients.append(client)
        for client in clients:
            self.more_answers(client, 20)
        for client in clients:
            self.report(client, "stop")
            self.assertEqual(client.wait(), 0)
        self.assert_nothing_left()
