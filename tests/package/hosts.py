# SPDX-License-Identifier: Apache-2.0
"""hosts - two hosts with Baton's packages, a network between them, and a user

    host1, host2   machines: tests/package/machine (namespaces) or tests/vm/machine (virtual machines), which have the
                   same commands; in the network namespaces PREFIX-host1, PREFIX-host2
    user           the network namespace PREFIX-user, with two switches that all links lead to:
                   "air", the users' side, where both hosts have 10.80.0.1 and the user hears one of them at a time;
                   "wide", where the hosts are 192.0.2.1 and 192.0.2.2
"""

import glob
import pathlib
import re
import shutil
import subprocess
import time
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
HOSTS = ("host1", "host2")
OPERATOR = "BATON_CONFIG=/etc/baton/baton.conf"


def sh(*command, check=True, timeout=1800, **more):
    """Run a command. Return: what it prints, errors with it"""
    more.setdefault("stdin", subprocess.DEVNULL)
    p = subprocess.run([str(c) for c in command], text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                       check=False, timeout=timeout, **more)
    if check and p.returncode:
        raise AssertionError(f"{' '.join(map(str, command))}: {p.returncode}\n{p.stdout[-4000:]}")
    return p.stdout


def wait_for(condition, what, seconds=60):
    """Poll for what nothing announces"""
    end = time.monotonic() + seconds
    while not (value := condition()):
        if time.monotonic() > end:
            raise AssertionError(f"waited {seconds} s for {what}")
        time.sleep(0.1)
    return value


class Hosts:
    """Two machines and a user"""

    def __init__(self, work, machine, prefix, suite="trixie", debs=None):
        self.work = work
        self.machine = machine
        self.prefix = prefix
        self.suite = suite
        self.debs = debs  # a directory with packages; None: made in a bare root file system
        self.names = [f"{prefix}-{host}" for host in HOSTS]

    def on(self, host, command, **more):
        """Run a shell command on a host, as root in its home"""
        return sh(self.machine, "run", self.work / host, "bash", "-c", command, **more)

    def user(self, *command, **more):
        """Run a command in the user's network"""
        return sh("ip", "netns", "exec", f"{self.prefix}-user", *command, **more)

    def prepare(self, name, command):
        """Run a shell command in a root file system before it is booted, with the network of this machine"""
        return sh(self.machine, "prepare", self.work / name, "sh", "-c", command)

    def build(self):
        """Make the packages in a bare root file system. Return: their directory"""
        root = self.work / "build"
        sh(ROOT / "tests/package/machine", "base", root, self.suite)
        tree = root / "root/baton"
        tree.mkdir(parents=True)
        files = sh("git", "-C", ROOT, "ls-files", "-z", "--cached", "--others", "--exclude-standard")
        for name in filter(None, files.split("\0")):
            if (ROOT / name).is_file():
                (tree / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, tree / name)
        self.prepare("build", "apt-get -qq update && apt-get -qq -y --no-install-recommends install make && "
                              "cd baton && make deb")
        return tree / "build-deb"

    def root(self, image, name, command):
        """The first host's root file system: packages and an image in its home, @command run there"""
        debs = self.debs or self.build()
        first = self.work / HOSTS[0]
        sh(self.machine, "base", first, self.suite)
        for deb in glob.glob(f"{debs}/baton*.deb"):
            if "dbgsym" not in deb:
                shutil.copy(deb, first / "root")
        shutil.copy(image, first / "root" / name)
        # git, Python and the like, which Docker recommends, are not what is tested
        (first / "etc/apt/apt.conf.d/recommends").write_text('APT::Install-Recommends "false";\n')
        self.prepare(HOSTS[0], f"apt-get -qq update && {command}")

    def boot(self):
        """The second host is like the first; both start, and are joined"""
        if not (self.work / HOSTS[1]).exists():
            sh("cp", "-a", "--reflink=auto", self.work / HOSTS[0], self.work / HOSTS[1])
        starts = [subprocess.Popen([self.machine, "boot", self.work / host, name], text=True, stdin=subprocess.DEVNULL,
                                   stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
                  for host, name in zip(HOSTS, self.names)]
        said = [start.communicate()[0] for start in starts]
        if any(start.returncode for start in starts):
            raise AssertionError("".join(said))
        self.connect()

    def connect(self):
        """The user's namespace and all links, at the machines that are up"""
        sh("ip", "netns", "add", f"{self.prefix}-user")
        there = ("ip", "-n", f"{self.prefix}-user", "link")
        for switch in ("air", "wide"):
            sh(*there, "add", "name", switch, "type", "bridge")
            sh(*there, "set", switch, "up")
        for i, (host, name) in enumerate(zip(HOSTS, self.names), 1):
            for device, switch, port, at in (("wan", "wide", f"wan{i}", f"192.0.2.{i}/24"),
                                             ("users", "air", f"ap{i}", "10.80.0.1/24")):
                sh("ip", "-n", name, "link", "add", device, "type", "veth", "peer", "name", port,
                   "netns", f"{self.prefix}-user")
                sh(*there, "set", port, "master", switch)
                sh(*there, "set", port, "up")
                sh(self.machine, "plug", self.work / host, device, at)
        for switch, at in (("air", "10.80.0.11/24"), ("wide", "192.0.2.11/24")):
            sh("ip", "-n", f"{self.prefix}-user", "addr", "add", at, "dev", switch)
        self.hear(1)

    def hear(self, i):
        """The user is in reach of access point @i, and of no other"""
        sh("ip", "-n", f"{self.prefix}-user", "link", "set", f"ap{3 - i}", "down")
        sh("ip", "-n", f"{self.prefix}-user", "link", "set", f"ap{i}", "up")

    def restart(self, host):
        """Off, and on again"""
        sh(self.machine, "off", self.work / host)
        sh("ip", "netns", "del", f"{self.prefix}-user")
        sh(self.machine, "boot", self.work / host, self.names[HOSTS.index(host)])
        # the kernel takes its time to remove them together with that namespace
        for other in self.names:
            for device in ("wan", "users"):
                sh("ip", "-n", other, "link", "del", device, check=False)
        self.connect()

    def off(self):
        """Both hosts and the user's network go"""
        for host in HOSTS:
            sh(self.machine, "off", self.work / host, check=False)
        sh("ip", "netns", "del", f"{self.prefix}-user", check=False)

    def serving(self, host, seconds=60):
        """Wait until a host's daemons run"""
        return wait_for(lambda: self.on(host, "systemctl is-active baton-es baton-ap", check=False).split() ==
                        ["active"] * 2, f"{host} to serve", seconds)


def commands_of(page):
    """(heading, where, command) for each "host1# ..." of a page"""
    heading, found = "", []
    for line in page.read_text(encoding="utf-8").splitlines():
        if line.startswith("## "):
            heading = line[3:]
        m = re.fullmatch(r"(host\d#|user\$) (.+)", line)
        if m:
            found.append((heading, m[1][:-1], m[2]))
    return found


class Result(unittest.TextTestResult):
    """One line for each"""

    def addSuccess(self, test):
        super().addSuccess(test)
        print(f"pass {test.id().split('.')[-1]}", flush=True)

    def addFailure(self, test, err):
        super().addFailure(test, err)
        print(f"FAIL {test.id().split('.')[-1]}", flush=True)

    addError = addFailure
