# SPDX-License-Identifier: Apache-2.0
"""Ordinary clients that move: their sessions follow from access point to access point, their containers, too

The user's cable is pulled out of one access point and put into the other. Nothing tells anybody of it but
the next packet, or the operator (baton associate).
"""

import json
import os
import statistics
import subprocess
import sys

import bed
from baton_lab import GATEWAY, NOBODY, Lab, LabError, user_mac

HOPS = int(os.environ.get("BATON_HOPS", "4"))
EXAMPLES = ("redis", "python-http", "udp")
IDLE = 40  # clients that wait for nothing, beside one that waits for an answer
WAITING_HOPS = int(os.environ.get("BATON_HOPS", "2"))
BOUND_S = 2  # for a client to see the end of its connection
LOAD = {"redis": (4, 20, 5), "python-http": (4, 5, 2), "udp": (4, 10, 2)}

# A client with four connections, each with a state of its own, one of them RESP3; a line on standard input is a step
STATES = r"""
import socket, sys
def connect():
    c = socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=60)
    c.settimeout(60)
    return c, c.makefile("rb")
def ask(c, *lines):
    c[0].sendall(b"".join(l.encode() + b"\r\n" for l in lines))
    out = []
    for _ in lines:
        line = c[1].readline()
        assert line, "the connection has ended"
        if line[:1] == b"*":
            line += b"".join(c[1].readline() for _ in range(int(line[1:])))
        out.append(line.decode().replace("\r\n", " ").strip())
    return out
def values(c, count):
    line = c[1].readline().decode().strip()
    inside = {"%": 2, "*": 1, "~": 1}.get(line[0], 0) * int(line[1:] if line[0] in "%*~" else 0)
    if line[0] in "$=" and line[1:] != "-1":
        line = c[1].read(int(line[1:]) + 2).decode().strip()
    line = " ".join([line] + [values(c, 1) for _ in range(inside)])
    return line if count == 1 else line + " " + values(c, count - 1)
def three_says(c, *lines):
    c[0].sendall(b"".join(l.encode() + b"\r\n" for l in lines))
    return values(c, len(lines))
for step in sys.stdin:
    step = step.strip()
    if step == "open":
        one, two, multi, three = connect(), connect(), connect(), connect()
        hello = three_says(three, "HELLO 3")
        assert hello.startswith("%7 ") and "proto :3" in hello, hello
        assert three_says(three, "HSET h a 1") in (":0", ":1")
        print(ask(one, "SELECT 1", "SET name one"), ask(two, "SELECT 2", "SET name two"),
              ask(multi, "MULTI", "INCR many", "INCR many"))
    elif step == "check":
        assert ask(one, "GET name")[0].startswith("$3"), "one"
        assert one[1].readline() == b"one\r\n"
        assert ask(two, "GET name")[0].startswith("$3"), "two"
        assert two[1].readline() == b"two\r\n"
        assert three_says(three, "HGETALL h", "GET nothing") == "%1 a 1 _", "three"
        print("same")
    elif step == "exec":
        print(ask(multi, "INCR many", "EXEC"))
    sys.stdout.flush()
"""


class ClientsBed(bed.BedTest):
    """Users, and what the tests do with them"""

    EDGES = 2
    RATE_MB_S = 20
    LIMITS = {}

    @classmethod
    def bring_up(cls):
        cls.lab = Lab(bed.LAB_NAME, cls.EDGES, rtt_ms=cls.RTT_MS, rate_mb_s=cls.RATE_MB_S,
                      examples=EXAMPLES, limits=cls.LIMITS)
        bed.BedTest.up = cls.lab
        cls.lab.__enter__()
        cls.lab.users(2)
        cls.clean = True

    def setUp(self):
        super().setUp()
        for user in ("user1", "user2"):
            self.lab.move_user(user, "AP-1")

    def start(self, user, *args):
        client = self.lab.exec(user, sys.executable, *args, text=True, stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE)
        for clean in (client.stdout.close, client.stdin.close, client.wait, client.kill):
            self.addCleanup(clean)
        return client

    def load(self, example, user="user1"):
        connections, rounds, batch = LOAD[example]
        return self.start(user, bed.HERE / "load.py", example, GATEWAY,
                          self.lab.example_port(example), "--connections", connections,
                          "--rounds-per-second", rounds, "--batch", batch)

    def tell(self, client, line):
        client.stdin.write(line + "\n")
        client.stdin.flush()
        answer = client.stdout.readline()
        self.assertTrue(answer, f"the client has ended at \"{line}\"")
        return answer.strip()

    def report(self, client, command="report"):
        report = json.loads(self.tell(client, command))
        self.assertEqual(report["wrong"], [])
        return report

    def more_answers(self, client, rounds=3):
        before = self.report(client)["answered"]
        self.wait(lambda: all(now >= then + rounds for now, then in
                              zip(self.report(client)["answered"], before, strict=True)),
                  "more answers", 60)

    def waiting(self, ap, gateway=GATEWAY):
        """User 1 at an access point: a client that waits for an answer, and idle ones (waiting.py)

        The service stands still until what is returned beside the client is called.
        """
        client = self.start("user1", bed.HERE / "waiting.py", gateway,
                            self.lab.example_port("redis"), IDLE)
        self.tell(client, "open")
        host = f"pc{ap[-1]}"
        container, = self.lab.containers(host)
        self.lab.docker(host, "kill", "--signal", "STOP", container)
        self.tell(client, "ask")
        self.wait(lambda: self.unanswered(ap) == 1, "the request to wait at the service")
        return client, lambda: self.lab.docker(host, "kill", "--signal", "CONT", container)

    def assert_reset(self, client, clock, arrived):
        """All have seen the end of their connections since. Return: after how many milliseconds"""
        ended = json.loads(self.tell(client, "ended"))
        self.assertEqual([e["how"] for e in ended], (IDLE + 1) * ["reset"])
        took = [e[clock] - arrived for e in ended]
        self.assertLess(max(took), BOUND_S)
        return [1000 * seconds for seconds in took]

    def unanswered(self, ap):
        users = json.loads(self.lab.baton("users", "--node", ap, "--json"))["users"]
        return sum(u["unanswered"] for u in users)

    def end(self, *clients):
        for client in clients:
            self.report(client, "stop")
            self.assertEqual(client.wait(), 0)

    def redis(self, *words, user="user1"):
        """What redis-cli prints; it tries again while its connection fails"""
        def ask():
            done = self.lab.exec(user, "redis-cli", "-h", GATEWAY, "-p",
                                 str(self.lab.example_port("redis")), *words, text=True,
                                 stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            out, _ = done.communicate(timeout=60)
            return out.strip() if done.returncode == 0 else None
        return self.wait(ask, "redis-cli", 60)


class Clients(ClientsBed):
    """Who sends something is a user"""

    @bed.long
    def test_hops(self):
        """R1, R8: each service follows the user to and fro; nothing is lost, doubled or reordered"""
        clients = [self.load(example) for example in EXAMPLES]
        for client in clients:
            self.more_answers(client)
        for hop in range(1, HOPS + 1):
            there = f"AP-{hop % 2 + 1}"
            self.lab.move_user("user1", there)
            self.wait_event("SWITCH COMPLETE", there, count=len(clients) * ((hop + 1) // 2),
                            seconds=60)
            for client in clients:
                self.more_answers(client)
            old = f"pc{2 - hop % 2}"
            self.wait(lambda h=old: not self.lab.containers(h), f"the containers at {old} to be removed")
        self.assertEqual(len(self.events.find("USER TAKEN")), HOPS)
        self.assertEqual(len(self.events.find("CONTAINER CREATED")), len(clients))
        self.assertEqual(self.events.find("MIGRATION FAILED"), [])
        self.end(*clients)
        self.assert_nothing_left()

    def test_states_of_connections(self):
        """SELECT, MULTI and HELLO 3 on connections that stay while the container moves under them"""
        first = self.start("user1", "-c", STATES, GATEWAY, self.lab.example_port("redis"))
        self.tell(first, "open")
        self.lab.move_user("user1", "AP-2")
        second = self.start("user1", "-c", STATES, GATEWAY, self.lab.example_port("redis"))
        self.assertIn("QUEUED", self.tell(second, "open"))
        self.wait_event("SWITCH COMPLETE", "AP-2", seconds=60)
        self.assertEqual(self.tell(second, "check"), "same")
        self.assertIn("*3 :1 :2 :3", self.tell(second, "exec"))
        self.assertEqual(len(self.events.find("CONTAINER CREATED")), 1)
        for client in (first, second):
            client.kill()
        self.assert_nothing_left()

    def test_operator_moves_a_silent_user(self):
        """baton associate: the containers follow before the user has said anything there"""
        self.assertEqual(self.redis("-3", "INCR", "visits"), "1")
        self.assertIn("is at AP-2", self.lab.baton("associate", "10.80.0.11", "--ap", "AP-2"))
        self.wait_event("SWITCH COMPLETE", "AP-2", seconds=60)
        users = json.loads(self.lab.baton("users", "--node", "AP-2", "--json"))["users"]
        self.assertEqual([(u["address"], u["service"]) for u in users], [("10.80.0.11", "redis")])
        self.assertEqual(json.loads(self.lab.baton("users", "--node", "AP-1", "--json"))["users"],
                         [])
        with self.assertRaisesRegex(Exception, "is no address"):
            self.lab.baton("associate", "nobody", "--ap", "AP-2")
        self.lab.move_user("user1", "AP-2")
        self.assertEqual(self.redis("-3", "INCR", "visits"), "2")
        self.assert_nothing_left()

    def test_access_point_restarts(self):
        """R7: killed under load; the clients reconnect, and find their sessions again"""
        clients = [self.load(example) for example in EXAMPLES]
        for client in clients:
            self.more_answers(client)
        for _ in range(2):
            self.crash("AP-1")
            self.lab.start("AP-1")
            for client in clients:
                self.more_answers(client)
        self.assertEqual(len(self.events.find("CONTAINER CREATED")), len(clients))
        self.end(*clients)
        self.assert_nothing_left()

    def test_access_point_restarts_and_the_user_moves(self):
        """R7: what a restarted access point remembers goes on to the next one"""
        self.assertEqual(self.redis("INCR", "visits"), "1")
        self.crash("AP-1")
        self.lab.start("AP-1")
        self.lab.move_user("user1", "AP-2")
        self.assertEqual(self.redis("INCR", "visits"), "2")
        self.wait_event("SWITCH COMPLETE", "AP-2", seconds=60)
        self.assertEqual(self.redis("INCR", "visits"), "3")
        self.assertEqual(len(self.events.find("CONTAINER CREATED")), 1)
        self.assert_nothing_left()

    def test_two_users(self):
        """R11: one user's move is not the other's"""
        one, two = self.load("redis", "user1"), self.load("redis", "user2")
        self.more_answers(one)
        self.more_answers(two)
        self.lab.move_user("user1", "AP-2")
        self.wait_event("SWITCH COMPLETE", "AP-2", seconds=60)
        self.more_answers(one)
        self.more_answers(two)
        self.assertEqual(len(self.events.find("SWITCH COMPLETE")), 1)
        self.end(one, two)
        self.assert_nothing_left()

    def test_waiting_clients(self):
        """R9: clients that send nothing see at once that their connections are gone; to and fro"""
        seen = []
        for hop in range(1, WAITING_HOPS + 1):
            here, there = f"AP-{2 - hop % 2}", f"AP-{hop % 2 + 1}"
            client, go_on = self.waiting(here)
            self.lab.move_user("user1", there)
            arrived = json.loads(self.tell(client, "arrive"))["when"]
            seen += self.assert_reset(client, "when", arrived)
            reset = self.wait_event("CLIENTS RESET", there, count=(hop + 1) // 2)
            self.assertIn(f"connections={IDLE + 1} silent=0", reset["detail"])
            go_on()
            self.wait_event("SWITCH COMPLETE", there, count=(hop + 1) // 2, seconds=60)
            client.kill()
        if "BATON_HOPS" in os.environ:
            print(f"clients reset after {min(seen):.0f} to {max(seen):.0f} ms, median "
                  f"{statistics.median(seen):.0f}, of {len(seen)}", file=sys.stderr)
        self.assertEqual(self.redis("GET", "asked"), str(WAITING_HOPS))
        self.assert_nothing_left()

    def test_waiting_clients_come_back(self):
        """R9, R8: back before the other access point could reach them, they are reset where they began"""
        client, go_on = self.waiting("AP-1")
        self.lab.move_user("user1", "AP-2")
        self.tell(client, "arrive")
        self.lab.move_user("user1", "AP-1")
        arrived = json.loads(self.tell(client, "arrive"))["when"]
        self.assert_reset(client, "when", arrived)
        go_on()
        self.assertEqual(self.redis("GET", "asked"), "1")
        client.kill()
        self.assert_nothing_left()

    def test_waiting_redis_cli(self):
        """R9: a client that has no timeout of its own ends, too"""
        client, go_on = self.waiting("AP-1")
        asking = self.lab.exec("user1", "redis-cli", "-h", GATEWAY, "-p",
                               self.lab.example_port("redis"), "GET", "asked", text=True,
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.addCleanup(asking.kill)
        self.wait(lambda: self.unanswered("AP-1") == 2, "redis-cli's request to wait as well")
        self.lab.move_user("user1", "AP-2")
        self.tell(client, "arrive")
        self.assertIn("Connection reset by peer", asking.communicate(timeout=BOUND_S)[0])
        go_on()
        self.wait_event("SWITCH COMPLETE", "AP-2", seconds=60)
        self.assertEqual(self.redis("GET", "asked"), "1")
        client.kill()
        self.assert_nothing_left()

    def test_curl(self):
        """A client that nobody wrote for this: keep-alive, and a refusal that comes early"""
        port = self.lab.example_port("python-http")
        done = self.lab.exec("user1", "curl", "-s", "-o", "/dev/null", "-o", "/dev/null", "-w",
                             "%{http_code} %{num_connects}\n", f"http://{GATEWAY}:{port}/",
                             f"http://{GATEWAY}:{port}/", text=True, stdout=subprocess.PIPE)
        out, _ = done.communicate(timeout=60)
        self.assertEqual(done.returncode, 0)
        self.assertEqual(len(out.splitlines()), 2)
        done = self.lab.exec("user1", "curl", "-s", "-i", "-T", "-", "-H", "Expect: 100-continue",
                             f"http://{GATEWAY}:{port}/", text=True, stdin=subprocess.PIPE,
                             stdout=subprocess.PIPE)
        out, _ = done.communicate("x" * (2 << 20), timeout=60)
        self.assertIn("501 Unsupported method", out)
        self.assert_nothing_left()


class Away(ClientsBed):
    """Users that are silent, and access points that cannot be asked: nobody gets an empty service (R15)"""

    LIMITS = {"ap": {"user_idle_ms": 3000, "dead_ms": 2000}}

    def redis_once(self, *words):
        """What redis-cli prints; None if its connection failed"""
        done = self.lab.exec("user1", "redis-cli", "-h", GATEWAY, "-p",
                             str(self.lab.example_port("redis")), *words, text=True,
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        out, _ = done.communicate(timeout=60)
        return None if "Could not connect" in out or "Server closed" in out else out.strip()

    def http_status(self):
        done = self.lab.exec("user1", "curl", "-s", "-o", "/dev/null", "-w", "%{http_code}",
                             f"http://{GATEWAY}:{self.lab.example_port('python-http')}/",
                             text=True, stdout=subprocess.PIPE)
        return done.communicate(timeout=60)[0]

    def created(self):
        return len(self.events.find("CONTAINER CREATED"))

    def test_silent_user_finds_its_data(self):
        """Silence ends nothing but connections; an operator ends a session, and that is an event"""
        self.assertEqual(self.redis("INCR", "visits"), "1")
        self.wait_event("USER AWAY", "AP-1")
        self.wait(lambda: json.loads(self.lab.baton("users", "--node", "AP-1", "--json"))["users"]
                  == [], "the user to be in a file only")
        self.assertEqual(self.redis("INCR", "visits"), "2")
        self.wait_event("USER AWAY", "AP-1", count=2)
        self.lab.move_user("user1", "AP-2")
        self.assertEqual(self.redis("INCR", "visits"), "3")
        self.assertEqual(self.created(), 1)
        self.wait_event("USER AWAY", "AP-2")
        self.assert_nothing_left()
        ended = self.events.find("SESSION ENDED")
        self.assertEqual([(e["node"], e["detail"]) for e in ended],
                         [("AP-2", "mud=user-10.80.0.11 service=redis reason=operator operator")])

    def test_moves_while_the_link_is_cut(self):
        """503 and -LOADING with the reason, and after the link is mended its data; nothing is lost"""
        self.assertEqual(self.redis("INCR", "visits"), "1")
        self.lab.link("down")
        self.addCleanup(self.lab.link, "up")
        self.lab.move_user("user1", "AP-2")
        self.assertEqual(self.http_status(), "503")
        self.wait_event("USER REFUSED", "AP-2")
        self.assertIn("LOADING AP-1 cannot be asked", self.redis_once("INCR", "visits") or "")
        self.assertEqual(self.created(), 1)
        self.lab.link("up")
        self.assertEqual(self.wait(
            lambda: next((a for a in [self.redis_once("INCR", "visits")] if a and "LOADING" not in a),
                         None), "an answer", 60), "2")
        self.assertEqual(self.created(), 1)
        self.assert_nothing_left()


class Stations(ClientsBed):
    """Only stations that a real hostapd has authorised are users (its wired driver: no radio needed)

    user_idle_ms is so long here that users leave only because their stations have gone.
    """

    LIMITS = {"ap": {"user_gone_ms": 2000}}

    @classmethod
    def bring_up(cls):
        cls.lab = Lab(bed.LAB_NAME, cls.EDGES, rtt_ms=cls.RTT_MS, rate_mb_s=cls.RATE_MB_S,
                      examples=("redis",), limits=cls.LIMITS, authorised=True)
        bed.BedTest.up = cls.lab
        cls.lab.__enter__()
        cls.lab.users(2)
        for host in ("pc1", "pc2"):
            cls.lab.stations("hostapd", host, NOBODY if cls.lab.as_nobody else 0)
        cls.clean = True

    def stations_at(self, ap):
        return json.loads(self.lab.baton("status", "--node", ap, "--json"))["stations"]

    def users_at(self, ap):
        users = json.loads(self.lab.baton("users", "--node", ap, "--json"))["users"]
        return [(u["address"], u["service"], u["connections"]) for u in users]

    def authorise(self, user):
        """Have its station authorised at AP-1; it logs off, and so leaves, when the test ends"""
        # hostapd removes who has logged off after 5 s, and takes no new attempt before
        self.wait(lambda: not self.lab.stations("tell", "pc1", "list_sta").strip(),
                  "hostapd to remove the station of the test before")
        self.lab.stations("supplicant", user)
        self.addCleanup(self.lab.stations, "stop", user)
        try:
            self.wait(lambda: self.stations_at("AP-1") == 1, f"{user} to be authorised")
        except LabError as e:
            self.fail(f"{e}\n{self.dialogue('pc1', 'hostapd')}\n{self.dialogue(user, 'supplicant')}")

    def dialogue(self, host, program):
        """What it has said"""
        return (self.lab.dir / host / f"{program}.log").read_text(errors="replace")[-4000:]

    def silence(self, user):
        """It sends no IP packet any more; its supplicant speaks below IP. Return: what ends that"""
        for tool in ("iptables", "ip6tables"):
            done = self.lab.exec(user, tool, "-A", "OUTPUT", "-j", "DROP")
            self.assertEqual(done.wait(timeout=30), 0)

        def end():
            for tool in ("iptables", "ip6tables"):
                self.lab.exec(user, tool, "-F", "OUTPUT").wait(timeout=30)
        self.addCleanup(end)
        return end

    def test_silent_user(self):
        """hostapd's event is enough: the container follows a user that says nothing, to and fro"""
        self.authorise("user1")
        self.assertEqual(self.redis("INCR", "visits"), "1")
        end = self.silence("user1")
        for hop, there, before in ((1, "AP-2", "AP-1"), (2, "AP-1", "AP-2")):
            self.lab.move_user("user1", there)
            self.wait_event("SWITCH COMPLETE", there, seconds=60)
            self.assertEqual(self.users_at(there), [("10.80.0.11", "redis", 0)])
            self.assertEqual(self.users_at(before), [])
            self.assertEqual(len(self.events.find("STATION USER", there)), 1)
            self.wait(lambda ap=before: self.stations_at(ap) == 0, f"{before} to drop it")
            self.assertEqual(len(self.events.find("USER TAKEN")), hop)
        end()
        self.assertEqual(self.redis("INCR", "visits"), "2")
        self.assertEqual(len(self.events.find("CONTAINER CREATED")), 1)
        self.lab.stations("logoff", "user1")
        self.assert_nothing_left()

    def test_waiting_clients(self):
        """R9: a silent user's clients see that their connections are gone when its station is here"""
        self.authorise("user1")
        client, go_on = self.waiting("AP-1")
        self.lab.move_user("user1", "AP-2")
        came = self.wait_event("STATION USER", "AP-2", seconds=60)["time_us"] / 1e6
        self.assert_reset(client, "at", came)
        go_on()
        self.wait_event("SWITCH COMPLETE", "AP-2", seconds=60)
        self.assertEqual(self.redis("GET", "asked"), "1")
        client.kill()
        self.lab.stations("logoff", "user1")
        self.assert_nothing_left()

    def test_stations(self):
        """Authorised, it is served; moved, its session follows; logged off, it is not, and has left"""
        refused = self.lab.exec("user1", "redis-cli", "-h", GATEWAY, "-p",
                                str(self.lab.example_port("redis")), "PING", text=True,
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        out, _ = refused.communicate(timeout=30)
        self.assertNotIn("PONG", out)
        self.authorise("user1")
        self.assertEqual(self.redis("INCR", "visits"), "1")
        self.lab.move_user("user1", "AP-2")
        self.wait(lambda: self.stations_at("AP-2") == 1, "user1 to be authorised at AP-2")
        self.assertEqual(self.redis("INCR", "visits"), "2")
        self.wait_event("SWITCH COMPLETE", "AP-2", seconds=60)
        self.wait(lambda: self.stations_at("AP-1") == 0, f"{user_mac('user1')} to be dropped")
        self.lab.stations("logoff", "user1")
        self.wait(lambda: self.stations_at("AP-2") == 0, "user1 to be gone")
        refused = self.lab.exec("user1", "redis-cli", "-h", GATEWAY, "-p",
                                str(self.lab.example_port("redis")), "PING", text=True,
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        out, _ = refused.communicate(timeout=30)
        self.assertNotIn("PONG", out)
        self.assert_nothing_left()
