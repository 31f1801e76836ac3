# SPDX-License-Identifier: Apache-2.0
"""What ordinary users see at a move: with datagrams, by IPv6, in Redis' transactions; and ports that need a privilege"""

import json
import os
import pathlib
import re
import subprocess

import bed
from baton_lab import GATEWAY, GATEWAY6, Lab, address
from test_clients import ClientsBed

HOPS = int(os.environ.get("BATON_HOPS", "6"))
EXAMPLES = ("redis", "udp")
HAS_IPV6 = pathlib.Path("/proc/net/if_inet6").exists()
PATIENCE_S = 5  # for the answer to a datagram

# A sensor: its readings are numbered, and so are the answers. One datagram is under way at a time, unless told
# otherwise. Nothing is repeated: what gets lost ends it. A line on standard input is a step.
SENSOR = r"""
import socket, sys, threading
host, port, name, patience = sys.argv[1], int(sys.argv[2]), sys.argv[3], float(sys.argv[4])
sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
sock.settimeout(patience)
sock.connect((host, port))
sent = heard = 0
def send():
    global sent
    sock.send(f"put {name} r{sent}".encode())
    sent += 1
def hear():
    global heard
    got = sock.recv(65536).decode()
    assert got == f"r{heard} {heard + 1}", f"{got!r} after {heard} answers"
    heard += 1
go, still, over = threading.Event(), threading.Event(), threading.Event()
def steadily():
    global wrong
    while not over.is_set():
        if not go.wait(0.1):
            continue
        still.clear()
        try:
            while go.is_set():
                send()
                hear()
                over.wait(0.02)
        except Exception as e:
            wrong = f"{type(e).__name__}: {e}, {heard} of {sent} answered"
            go.clear()
        still.set()
wrong = None
thread = threading.Thread(target=steadily, daemon=True)
thread.start()
for step in sys.stdin:
    step = step.strip()
    try:
        if step == "go":
            still.clear()
            go.set()
        elif step == "pause":
            go.clear()
            assert still.wait(2 * patience), "no pause"
        elif step == "send":
            send()
        elif step == "hear":
            hear()
        elif step == "more":
            sock.setblocking(False)
            try:
                wrong = f"more came: {sock.recv(65536)!r}"
            except BlockingIOError:
                pass
            sock.settimeout(patience)
    except Exception as e:
        wrong = wrong or f"{type(e).__name__}: {e}"
    print(wrong or heard, flush=True)
over.set()
"""

# Transactions that set a database, on connections that stay while the container moves under them
TRANSACTIONS = r"""
import socket, sys
class Connection:
    def __init__(self):
        self.socket = socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=60)
        self.file = self.socket.makefile("rb")
    def value(self):
        line = self.file.readline()
        assert line.endswith(b"\r\n"), "the connection has ended"
        kind, rest = chr(line[0]), line[1:-2].decode()
        if kind == "$" and rest != "-1":
            return self.file.read(int(rest) + 2)[:-2].decode()
        if kind == "*" and rest != "-1":
            return [self.value() for _ in range(int(rest))]
        return None if rest == "-1" else kind + rest.split()[0] if kind != ":" else int(rest)
    def ask(self, *lines):
        self.socket.sendall(b"".join(line.encode() + b"\r\n" for line in lines))
        return [self.value() for _ in lines]
connections = {}
for step in sys.stdin:
    words = step.split()
    if words[0] == "fill":
        c = Connection()
        for n in range(4):
            assert c.ask(f"SELECT {n}", f"SET where {n}") == ["+OK", "+OK"]
        print("filled")
    elif words[0] == "open":
        executed, refused, discarded, nested = (Connection() for _ in range(4))
        connections = {"executed": executed, "refused": refused, "discarded": discarded,
                       "nested": nested}
        print(executed.ask("SELECT 1", "MULTI", "SELECT 2", "EXEC", "GET where")[3:],
              refused.ask("SELECT 1", "MULTI", "SELECT 2", "NONSENSE", "EXEC", "GET where")[4:],
              discarded.ask("SELECT 1", "MULTI", "SELECT 2", "DISCARD", "GET where")[3:],
              nested.ask("SELECT 1", "MULTI", "SELECT 3", "SELECT 99", "LRANGE none 0 -1", "EXEC",
                         "GET where")[5:])
    elif words[0] == "where":
        print({name: c.ask("GET where")[0] for name, c in connections.items()})
    sys.stdout.flush()
"""


class UsersBed(ClientsBed):
    """The same bed, with listeners for both families"""

    @classmethod
    def bring_up(cls):
        cls.lab = Lab(bed.LAB_NAME, cls.EDGES, rtt_ms=cls.RTT_MS, rate_mb_s=cls.RATE_MB_S,
                      examples=EXAMPLES, limits=cls.LIMITS,
                      users_listen="[::]" if HAS_IPV6 else None)
        bed.BedTest.up = cls.lab
        cls.lab.__enter__()
        cls.lab.users(2)
        cls.clean = True

    def sensor(self, name, user="user1", host=GATEWAY):
        return self.start(user, "-c", SENSOR, host, self.lab.example_port("udp"), name, PATIENCE_S)

    def heard(self, sensor, step, at_least=0):
        """Have a sensor do something. Return: how many answers it has got"""
        said = self.tell(sensor, step)
        self.assertRegex(said, r"^[0-9]+$")
        self.assertGreaterEqual(int(said), at_least)
        return int(said)

    def more_heard(self, sensor, count=5):
        until = self.heard(sensor, "look") + count
        self.wait(lambda: self.heard(sensor, "look") >= until, "more answers to datagrams", 60)

    def move(self, to, *sensors):
        """Nothing is in the air while the cable is out: what is would be lost, as anywhere"""
        for sensor in sensors:
            self.heard(sensor, "pause")
        self.lab.move_user("user1", to)
        for sensor in sensors:
            self.heard(sensor, "go")


class Datagrams(UsersBed):
    """What a user of a UDP service notices when it moves"""

    def test_no_datagram_is_lost(self):
        """R1, R8: each datagram that is sent with the cable in is answered once, claim or not"""
        sensors = [self.sensor(f"s{n}") for n in range(3)]
        load = self.load("udp")
        for sensor in sensors:
            self.heard(sensor, "go")
            self.more_heard(sensor)
        self.more_answers(load)
        for hop in range(1, HOPS + 1):
            there = f"AP-{hop % 2 + 1}"
            self.move(there, *sensors)
            if hop % 3:  # else it goes on while the container still follows
                self.wait_event("SWITCH COMPLETE", there, seconds=60,
                                count=1 + len(self.events.find("SWITCH COMPLETE", there)))
            for sensor in sensors:
                self.more_heard(sensor)
        # an attempt may fail, and is repeated: who returns at once may meet the container that is being removed
        self.assertEqual(len(self.events.find("USER TAKEN")), HOPS)
        self.assertEqual(len(self.events.find("CONTAINER CREATED")), 1)
        for sensor in sensors:
            self.heard(sensor, "pause")
            self.heard(sensor, "more")
        self.end(load)
        for sensor in sensors:
            sensor.kill()
        self.assert_nothing_left()

    def test_answers_come_through_the_new_access_point(self):
        """R1: what was on its way is executed once, and answered where the user is now"""
        first, second = self.sensor("first"), self.sensor("second")
        for sensor in (first, second):
            self.heard(sensor, "send")
            self.heard(sensor, "hear", 1)
        container, = self.lab.containers("pc1")
        self.lab.docker("pc1", "kill", "--signal", "STOP", container)
        self.heard(first, "send")
        self.wait(lambda: self.unanswered("AP-1") == 1, "the datagram to wait at the service")
        self.lab.move_user("user1", "AP-2")
        self.heard(second, "send")  # the new access point hears of the user by this one
        self.wait_event("USER TAKEN", "AP-2")
        self.lab.docker("pc1", "kill", "--signal", "CONT", container)
        self.heard(first, "hear", 2)
        self.heard(second, "hear", 2)
        self.wait_event("SWITCH COMPLETE", "AP-2", seconds=60)
        for sensor in (first, second):
            self.heard(sensor, "send")
            self.heard(sensor, "hear", 3)
            self.heard(sensor, "more")
            sensor.kill()
        self.assert_nothing_left()

    def unanswered(self, ap):
        users = json.loads(self.lab.baton("users", "--node", ap, "--json"))["users"]
        return sum(user["unanswered"] for user in users)


class Families(UsersBed):
    """A user by IPv6, and the same machine by IPv4, are two users at one listener"""

    def setUp(self):
        super().setUp()
        shown = self.lab.lab("exec", "user1", "ip", "-6", "addr", "show", "dev", "eth0")
        if "2001:db8::11/" not in shown:
            self.skipTest("this machine has no IPv6")

    def redis6(self, *words):
        """What redis-cli prints; it tries again while its connection fails"""
        def ask():
            done = self.lab.exec("user1", "redis-cli", "-h", GATEWAY6, "-p",
                                 str(self.lab.example_port("redis")), *words, text=True,
                                 stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            out, _ = done.communicate(timeout=60)
            return out.strip() if done.returncode == 0 else None
        return self.wait(ask, "redis-cli", 60)

    def test_both_move(self):
        """R11: each has containers of its own, which follow it by themselves"""
        sensor = self.sensor("six", host=GATEWAY6)
        self.heard(sensor, "go")
        self.more_heard(sensor)
        self.assertEqual(self.redis6("INCR", "visits"), "1")
        self.assertEqual(self.redis6("INCR", "visits"), "2")
        self.assertEqual(self.redis("INCR", "visits"), "1")
        listed = {(u["user"], u["address"], u["service"]) for u in json.loads(
            self.lab.baton("users", "--node", "AP-1", "--json"))["users"]}
        self.assertEqual(listed, {("user-2001-db8--11", "2001:db8::11", "redis"),
                                  ("user-2001-db8--11", "2001:db8::11", "udp"),
                                  ("user-10.80.0.11", "10.80.0.11", "redis")})
        for hop in range(1, 3):
            there = f"AP-{hop % 2 + 1}"
            self.move(there, sensor)
            self.assertEqual(self.redis6("INCR", "visits"), str(hop + 2))
            self.assertEqual(self.redis("INCR", "visits"), str(hop + 1))
            self.wait_event("SWITCH COMPLETE", there, count=3, seconds=60)
            self.more_heard(sensor)
        self.assertEqual(len(self.events.find("CONTAINER CREATED")), 3)
        self.heard(sensor, "pause")
        self.assertIn("is at AP-2", self.lab.baton("associate", "2001:db8::11", "--ap", "AP-2"))
        self.wait_event("SWITCH COMPLETE", "AP-2", count=5, seconds=60)
        sensor.kill()
        self.assert_nothing_left()


    def test_waiting_clients(self):
        """R9: clients that send nothing see at once that their connections are gone, by IPv6, too"""
        client, go_on = self.waiting("AP-1", GATEWAY6)
        self.lab.move_user("user1", "AP-2")
        self.assert_reset(client, "when", json.loads(self.tell(client, "arrive"))["when"])
        go_on()
        self.wait_event("SWITCH COMPLETE", "AP-2", seconds=60)
        self.assertEqual(self.redis6("GET", "asked"), "1")
        client.kill()
        self.assert_nothing_left()


class Transactions(UsersBed):
    """What real Redis remembers for a connection after a transaction"""

    def test_database_set_by_a_transaction(self):
        """SELECT inside of MULTI counts after EXEC, and only then, also in the copy"""
        first = self.start("user1", "-c", TRANSACTIONS, GATEWAY, self.lab.example_port("redis"))
        self.assertEqual(self.tell(first, "fill"), "filled")
        self.lab.move_user("user1", "AP-2")
        second = self.start("user1", "-c", TRANSACTIONS, GATEWAY, self.lab.example_port("redis"))
        said = self.tell(second, "open")
        self.assertEqual(said, "[['+OK'], '2'] ['-EXECABORT', '1'] ['+OK', '1'] "
                               "[['+OK', '-ERR', []], '3']")
        self.assertEqual(self.events.find("SWITCH COMPLETE"), [])
        self.wait_event("SWITCH COMPLETE", "AP-2", seconds=60)
        self.assertEqual(self.tell(second, "where"),
                         "{'executed': '2', 'refused': '1', 'discarded': '1', 'nested': '3'}")
        self.assertEqual(len(self.events.find("CONTAINER CREATED")), 1)
        for client in (first, second):
            client.kill()
        self.assert_nothing_left()


class Ports(UsersBed):
    """An access point has no privilege; where it would need one it says so, and what helps does"""

    LAPTOP = address("laptop")

    def configuration(self):
        """Of an access point on the laptop, which reaches nobody, with a listener at port 80"""
        text = self.lab.conf("AP-1").read_text()
        text = re.sub(r'listener "[^"]*" \{[^}]*\}\n', "", text)
        text = re.sub(r'state_dir = .*\n', "", text)
        text = re.sub(r'address = "[^"]*"', f'address = "{self.LAPTOP}:9"', text)
        text = re.sub(r'(listen = )"[^:"]*:', rf'\g<1>"{self.LAPTOP}:', text)
        text += f'listener "web" {{ listen = "{self.LAPTOP}:80"  service = "web"  codec = "http" }}\n'
        path = self.lab.dir / "AP-at-80.conf"
        path.write_text(text)
        self.addCleanup(path.unlink, missing_ok=True)
        return path

    def start_access_point(self):
        program = self.lab.exec(
            "laptop", *self.lab._unprivileged([self.lab._tool("baton-ap"), "--config",
                                               self.configuration()]),
            text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        for clean in (program.stdout.close, program.wait, program.kill):
            self.addCleanup(clean)
        return program

    def allow_ports_from(self, port):
        self.lab.lab("exec", "laptop", "sh", "-c",
                     f"echo {port} >/proc/sys/net/ipv4/ip_unprivileged_port_start")

    def test_port_below_1024(self):
        """It does not start, and names the thing, the limit and the remedy; with this it starts"""
        out, _ = (program := self.start_access_point()).communicate(timeout=30)
        self.assertNotEqual(program.returncode, 0)
        self.assertIn(f"listener at {self.LAPTOP}:80: a port below 1024 needs CAP_NET_BIND_SERVICE "
                      "(or a lower net.ipv4.ip_unprivileged_port_start)", out)
        self.assertNotIn("serving", out)
        self.addCleanup(self.allow_ports_from, 1024)
        self.allow_ports_from(80)
        program = self.start_access_point()
        for line in program.stdout:
            if " serving " in line:
                return
        self.fail("it does not serve")
