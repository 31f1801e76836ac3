# SPDX-License-Identifier: Apache-2.0
"""A user's container does not reach another user's, before and after both have moved (R16)"""

import json
import re
import subprocess
import sys

import bed
from baton_lab import GATEWAY, Lab, address
from test_clients import ClientsBed

ATTACK = (bed.HERE / "neighbour.py").read_text()
LAST = b"BATON-NEIGHBOUR:last\n"


class Neighbours(ClientsBed):
    """Redis is the neighbour; the other one's container has Python, and Docker's default rights"""

    LIMITS = {"ap": {"user_idle_ms": 30000}}  # nobody says anything during the attack

    @classmethod
    def bring_up(cls):
        cls.lab = Lab(bed.LAB_NAME, cls.EDGES, rtt_ms=cls.RTT_MS, rate_mb_s=cls.RATE_MB_S,
                      examples=("redis", "python-http"), limits=cls.LIMITS)
        bed.BedTest.up = cls.lab
        cls.lab.__enter__()
        cls.lab.users(2)
        cls.clean = True

    def basket(self, user):
        """Put something into a basket of a user's: its container is there then"""
        url = f"http://{GATEWAY}:{self.lab.example_port('python-http')}/baskets/a"
        put = (f"import urllib.request as r; print(r.urlopen(r.Request({url!r}, b'thing'), "
               "timeout=60).read().decode())")
        def ask():
            done = self.lab.exec(user, sys.executable, "-c", put, text=True, stdout=subprocess.PIPE,
                                 stderr=subprocess.DEVNULL)
            out, _ = done.communicate(timeout=90)
            return json.loads(out)["position"] if done.returncode == 0 else None
        return self.wait(ask, "an answer of python-http", 60)

    def container(self, host, service):
        """Name of the one container of a service on a host"""
        names = self.lab.docker(host, "ps", "--filter", f"label=baton.service={service}", "--format",
                                "{{.Names}}").split()
        self.assertEqual(len(names), 1, f"{service} on {host}: {names}")
        return names[0]

    def place(self, host, name):
        """Network, address, MAC and process of a container"""
        inspect = json.loads(self.lab.docker(host, "inspect", name))[0]
        networks = inspect["NetworkSettings"]["Networks"]
        self.assertEqual(len(networks), 1)
        network, place = next(iter(networks.items()))
        return network, place["IPAddress"], place["MacAddress"], inspect["State"]["Pid"]

    def on_engine(self, host, *args, **how):
        return subprocess.Popen([bed.ROOT / "lab" / "lab", "exec-engine", host, *map(str, args)],
                                env=self.lab.env, text=True, stdout=subprocess.PIPE, **how)

    def open_port(self, host, pid):
        """Make a container's port of the bridge as Docker has made it"""
        link = self.lab.lab("exec-engine", host, "nsenter", "-t", pid, "-n", "ip", "-o", "link",
                            "show", "eth0")
        index = re.search(r"eth0@if(\d+):", link)[1]
        name = re.search(rf"^{index}: ([^:@]+)", self.lab.lab("exec-engine", host, "ip", "-o", "link"),
                         re.M)[1]
        for command in (("tc", "qdisc", "del", "dev", name, "clsact"),
                        ("bridge", "link", "set", "dev", name, "isolated", "off", "learning", "on",
                         "flood", "on")):
            self.lab.lab("exec-engine", host, *command)

    def attack(self, host):
        """Run all attacks. Return: the ways that led to the neighbour, and whether the outside was reached"""
        victim = self.container(host, "redis")
        _, ip, mac, pid = self.place(host, victim)
        watch = self.on_engine(host, "nsenter", "-t", pid, "-n", sys.executable,
                               bed.HERE / "neighbour.py", "listen", "eth0")
        for clean in (watch.stdout.close, watch.wait, watch.kill):
            self.addCleanup(clean)
        self.assertEqual(watch.stdout.readline(), "ready\n")
        said = self.lab.docker(host, "exec", self.container(host, "python-http"), "python3", "-c",
                               ATTACK, "attack", "eth0", ip, mac, self.lab.example_port("redis"),
                               address("logrepo"), 7300).splitlines()
        table = self.lab.lab("exec-engine", host, "ip", "neigh", "show", ip)
        # What the host itself sends does arrive, and after all that was sent before; unless it has been lied to.
        self.lab.lab("exec-engine", host, "ip", "neigh", "flush", "to", ip)
        send = ("import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM)"
                f".sendto({LAST!r}, ({ip!r}, 4000))")
        self.assertEqual(self.on_engine(host, sys.executable, "-c", send).wait(), 0)
        out, _ = watch.communicate(timeout=30)
        ways = [line for line in said if line != "outside"] + out.split()
        known = re.search(r"lladdr (\S+)", table)
        self.assertTrue(known, f"the host does not know {ip}: {table}")
        if known[1] != mac:
            ways.append("stolen from the host")
        print(f"ways to the neighbour on {host}: {', '.join(ways) or 'none'}")
        return ways, "outside" in said

    def assert_apart(self, host):
        for service in ("redis", "python-http"):
            self.assertEqual(self.place(host, self.container(host, service))[0], "bridge")
        ways, outside = self.attack(host)
        self.assertEqual(ways, [], "ways that lead to a neighbour")
        self.assertTrue(outside, "a container does not reach the outside any more")

    def test_before_and_after_a_move(self):
        """R13, R16: no way leads to the neighbour, and both services go on"""
        self.assertEqual(self.redis("SET", "colour", "blue"), "OK")
        self.assertEqual(self.basket("user2"), 1)
        self.assert_apart("pc1")
        self.assertEqual(self.redis("GET", "colour"), "blue")
        for user in ("user1", "user2"):
            self.lab.move_user(user, "AP-2")
        self.assertEqual(self.redis("GET", "colour"), "blue")
        self.assertEqual(self.basket("user2"), 2)
        self.wait_event("SWITCH COMPLETE", "AP-2", count=2, seconds=90)
        self.assert_apart("pc2")
        self.assertEqual(self.redis("GET", "colour"), "blue")
        self.assertEqual(self.basket("user2"), 3)
        self.assertEqual(self.events.find("MIGRATION FAILED"), [])
        self.assert_nothing_left(60)

    def test_container_of_an_earlier_version(self):
        """One that runs and is not kept apart is so when baton-es has started"""
        self.assertEqual(self.redis("SET", "colour", "red"), "OK")
        self.assertEqual(self.basket("user2"), 1)
        for service in ("redis", "python-http"):
            self.open_port("pc1", self.place("pc1", self.container("pc1", service))[3])
        ways, _ = self.attack("pc1")
        for way in ("tcp", "udp", "icmp", "ipv6", "raw", "arp", "route"):
            self.assertIn(way, ways)
        self.crash("EdgeServer-1")
        self.lab.start("EdgeServer-1")
        self.assertEqual(self.redis("GET", "colour"), "red")
        self.assert_apart("pc1")
        self.assertEqual(self.redis("GET", "colour"), "red")
        self.assert_nothing_left(60)
