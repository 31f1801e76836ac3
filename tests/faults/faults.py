# SPDX-License-Identifier: Apache-2.0
"""The faults: what each does to a lab, and how it is mended

A fault has four steps. prepare() comes before there is any user, and changes the bed; arm() finds out what
strike() needs, so that this takes little time; strike() is the fault; mend() makes good what an operator or
systemd would make good, and lets what lasts last. restore() undoes prepare().
"""

import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time

from baton_lab import HERE, LabError

SOURCE, DESTINATION = 1, 2  # numbers of the hosts: the user comes from the first one


class Missing(Exception):
    """The machine lacks what a fault needs; the text says what"""


class NoContainer(LabError):
    """There is none that could be hit"""


def host_pid_of(mount_ns, name):
    """PID of a program by its name, in the mount namespace of an engine"""
    for entry in pathlib.Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            if (entry / "comm").read_text().strip() == name and os.readlink(entry / "ns/mnt") == mount_ns:
                return int(entry.name)
        except OSError:
            continue
    raise LabError(f"{name} does not run")


def kill(pids, how):
    for pid in pids:
        try:
            os.kill(pid, how)
        except ProcessLookupError:
            pass


def gone(pid):
    """Whether a process has ended; one that its parent has not yet looked after has"""
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] in "ZX"
    except OSError:
        return True


def fill(path):
    """Until there is no room any more"""
    with open(path, "wb", buffering=0) as file:
        for size in (1 << 20, 1 << 12):
            try:
                while True:
                    file.write(bytes(size))
            except OSError:
                continue


class Fault:
    """See above. loses_memory: processes of containers end, so what only they had may be lost, if that is said.
    for_good: nothing is mended, and users are refused until the cell is over"""

    loses_memory = False
    for_good = False
    lasts_s = 0
    stages = None  # all
    load = "redis"

    def __init__(self, name):
        self.name = name

    def prepare(self, cell):
        """Nothing by default"""

    def arm(self, cell):
        """Nothing by default"""

    def strike(self, cell):
        raise NotImplementedError

    def mend(self, cell):
        """Nothing by default"""

    def restore(self, cell):
        """Nothing by default"""


class Program(Fault):
    """A daemon gets a signal, and is started again, or goes on after 5 s"""

    def __init__(self, name, node, how):
        super().__init__(name)
        self.node, self.how = node, how
        self.lasts_s = 5 if how == signal.SIGSTOP else 0
        self.pids = []

    def arm(self, cell):
        self.pids = cell.lab._pids(self.node)
        if not self.pids:
            raise LabError(f"{self.node} does not run")

    def strike(self, cell):
        kill(self.pids, self.how)

    def mend(self, cell):
        if self.how == signal.SIGSTOP:
            time.sleep(self.lasts_s)  # not a wait for something: this is how long it hangs
            kill(self.pids, signal.SIGCONT)
            return
        cell.lab.kill(self.node, self.how)
        cell.lab.start(self.node)


class LogRepoGone(Program):
    """The event log repository ends, and comes back when all is over: only then can events be looked at"""

    def __init__(self, name):
        super().__init__(name, "LogRepo", signal.SIGKILL)

    def mend(self, cell):
        cell.lab.kill(self.node, self.how)
        cell.blind = True

    def restore(self, cell):
        if "LogRepo" not in cell.lab.programs:
            cell.lab.start("LogRepo")
        cell.blind = False


class Engine(Fault):
    """dockerd ends, and is started again, as by systemd"""

    def __init__(self, name, number, how, live):
        super().__init__(name)
        self.host, self.how, self.live = f"pc{number}", how, live
        self.loses_memory = not live
        self.pid = None
        self.again = None

    def set_live(self, cell, live):
        """live-restore, which the engine reads at SIGHUP, too"""
        path = cell.lab.dir / self.host / "daemon.json"
        cell.lab.lab("exec-engine", self.host, "sh", "-c",
                     f"sed -i '/\"live-restore\"/d' {path}; sed -i '1s/{{/{{\\n\"live-restore\": {str(live).lower()},/' "
                     f"{path}; kill -HUP $(cat /run/docker.pid)")
        cell.wait(lambda: str(live).lower() == cell.lab.docker(
            self.host, "info", "-f", "{{.LiveRestoreEnabled}}").strip(), "live-restore to be set")

    def prepare(self, cell):
        if self.live:
            self.set_live(cell, True)

    def arm(self, cell):
        init = int(cell.lab.lab("engine-pid", self.host))
        self.pid = host_pid_of(os.readlink(f"/proc/{init}/ns/mnt"), "dockerd")
        self.again = pathlib.Path(f"/proc/{init}/root/run/engine-again")

    def strike(self, cell):
        self.again.touch()
        kill([self.pid], self.how)

    def mend(self, cell):
        cell.wait(lambda: gone(self.pid), "dockerd to end")
        cell.wait(lambda: cell.lab.docker(self.host, "version", check=False), "the engine to come back")

    def restore(self, cell):
        if self.live:
            self.set_live(cell, False)


class Container(Fault):
    """The main process of the container that serves is killed, or has too much memory"""

    loses_memory = True

    def __init__(self, name, number, oom=False):
        super().__init__(name)
        self.host, self.oom = f"pc{number}", oom
        self.pids = []
        self.id = None
        # one that is not there yet, or not any more, cannot be hit
        self.stages = ["rest", "arrival", "prepare", "pre-copy", "cut", "transfer", "restore", "replay",
                       "switch", "grace"] if number == SOURCE else ["replay", "switch", "grace", "release"]

    def arm(self, cell):
        self.id = None

    def look(self, cell):
        """The processes of the one container there, as the machine sees them"""
        group = f"{cell.lab.name}-{self.host}/*/cgroup.procs"
        for pattern in (f"memory/{group}", group):  # control groups version 1, 2
            for path in pathlib.Path("/sys/fs/cgroup").glob(pattern):
                pids = [int(p) for p in path.read_text().split()]
                if pids:
                    return path.parent.name, pids
        raise NoContainer(f"{self.host} has no container with processes")

    def strike(self, cell):
        self.id, pids = self.look(cell)
        if not self.oom:
            kill(pids[:1], signal.SIGKILL)
            return
        with subprocess.Popen([HERE / "lab", "docker", self.host, "exec", self.id, "redis-cli",
                               "setrange", "large", "500000000", "x"], env=cell.lab.env,
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as fill:
            cell.wait(lambda: gone(pids[0]), "the container to be killed for its memory", 20)
            fill.kill()


class Power(Fault):
    """All processes of a host end at once, its disk stays; and it starts again, or does not"""

    loses_memory = True

    def __init__(self, name, number, for_good=False):
        super().__init__(name)
        self.number, self.host, self.for_good = number, f"pc{number}", for_good
        self.pids = []

    def arm(self, cell):
        self.pids = [int((cell.lab.dir / self.host / "engine.pid").read_text()),
                     *cell.lab._pids(f"EdgeServer-{self.number}"), *cell.lab._pids(f"AP-{self.number}")]

    def strike(self, cell):
        kill(self.pids, signal.SIGKILL)

    def mend(self, cell):
        for node in (f"EdgeServer-{self.number}", f"AP-{self.number}"):
            cell.lab.kill(node, signal.SIGKILL)
        cell.lab.lab("engine-down", self.host)
        if not self.for_good:
            self.back(cell)

    def back(self, cell):
        cell.lab.lab("engine-up", self.host)
        cell.lab.start(f"EdgeServer-{self.number}")
        cell.lab.start(f"AP-{self.number}")

    def restore(self, cell):
        if f"AP-{self.number}" not in cell.lab.programs:
            self.back(cell)


class Cut(Fault):
    """The link between the hosts is cut, in both ways or in one, for so long"""

    def __init__(self, name, seconds, way=None):
        super().__init__(name)
        self.lasts_s, self.way = seconds, way
        self.enter = None

    def arm(self, cell):
        if self.way:
            if not shutil.which("iptables"):
                raise Missing("iptables is not installed")
            number, other = self.way
            self.enter = [cell.lab.build / "lab" / "enter", "--netns", f"/run/netns/{cell.lab.name}-pc{number}",
                          "--", "iptables", "-w"]
            self.rule = ["INPUT", "-i", f"wan{other}", "-j", "DROP"]

    def turn(self, cell, up):
        if self.way:
            subprocess.run([*self.enter, "-D" if up else "-I", *self.rule], check=True)
            return
        conf = cell.lab.dir / "wan-pc1-pc2.conf"
        text = conf.read_text().replace("state up" if not up else "state down", "state up" if up else "state down")
        conf.write_text(text)
        os.kill(int(conf.with_suffix(".pid").read_text()), signal.SIGHUP)

    def strike(self, cell):
        self.turn(cell, False)

    def mend(self, cell):
        time.sleep(self.lasts_s)  # not a wait for something: this is how long it is cut
        self.turn(cell, True)


class Disk(Fault):
    """A directory of an edge server is full for 5 s: it is a file system of its own in these cells"""

    lasts_s = 5

    def __init__(self, name, number, what, size):
        super().__init__(name)
        self.number, self.host, self.what, self.size = number, f"pc{number}", what, size
        self.full = None

    def path(self, cell):
        return {"state": cell.lab.dir / self.host / "sessions", "checkpoints": "/run/baton"}[self.what]

    def prepare(self, cell):
        node, path = f"EdgeServer-{self.number}", self.path(cell)
        cell.lab.kill(node, signal.SIGTERM)
        cell.lab.lab("exec-engine", self.host, "sh", "-ec",
                     f"mkdir -p {path} /run/was; cp -a {path}/. /run/was; "
                     f"mount -t tmpfs -o size={self.size},mode=0700 tmpfs {path}; cp -a /run/was/. {path}; "
                     "rm -rf /run/was")
        cell.lab.start(node)

    def arm(self, cell):
        init = int(cell.lab.lab("engine-pid", self.host))
        self.full = pathlib.Path(f"/proc/{init}/root{self.path(cell)}/full")

    def strike(self, cell):
        fill(self.full)

    def mend(self, cell):
        time.sleep(self.lasts_s)  # not a wait for something: this is how long it is full
        self.full.unlink()

    def restore(self, cell):
        node, path = f"EdgeServer-{self.number}", self.path(cell)
        cell.lab.kill(node, signal.SIGTERM)
        cell.lab.lab("exec-engine", self.host, "sh", "-ec",
                     f"rm -f {path}/full; mkdir -p /run/was; cp -a {path}/. /run/was; umount {path}; "
                     f"find {path} -mindepth 1 -delete; cp -a /run/was/. {path}; rm -rf /run/was")
        cell.lab.start(node)


class EngineDisk(Fault):
    """The engine's directory is full for 5 s: layers and volumes of all containers"""

    lasts_s = 5
    SIZE = "1g"

    def __init__(self, name, number):
        super().__init__(name)
        self.number, self.host = number, f"pc{number}"

    def data(self, cell):
        return cell.lab.dir / self.host / "data"

    def exchange(self, cell, *command):
        """The engine's directory, while the engine is down"""
        cell.lab.kill(f"EdgeServer-{self.number}", signal.SIGTERM)
        cell.lab.lab("engine-down", self.host)
        subprocess.run([*command, self.data(cell)], check=True)
        cell.lab.lab("engine-up", self.host)

    def prepare(self, cell):
        self.exchange(cell, "mount", "-t", "tmpfs", "-o", f"size={self.SIZE}", "tmpfs")
        cell.lab.load_service([self.host])
        cell.lab.start(f"EdgeServer-{self.number}")

    def strike(self, cell):
        fill(self.data(cell) / "full")

    def mend(self, cell):
        time.sleep(self.lasts_s)  # not a wait for something: this is how long it is full
        (self.data(cell) / "full").unlink()

    def restore(self, cell):
        self.exchange(cell, "umount")
        cell.lab.start(f"EdgeServer-{self.number}")


class Clock(Fault):
    """A daemon's clock of real time goes on by 5 minutes, as when the time comes from the network at last"""

    STEP_S = 300

    def __init__(self, name, *nodes):
        super().__init__(name)
        self.nodes = nodes
        self.shift = None

    def prepare(self, cell):
        library, self.shift = cell.lab.dir / "clock_shift.so", cell.lab.dir / "clock-shift"
        compiler = shutil.which("cc")
        if not compiler:
            raise Missing("there is no C compiler for the library that shifts the clock")
        subprocess.run([compiler, "-std=gnu17", "-O2", "-D_GNU_SOURCE", "-shared", "-fPIC", "-o", library,
                        pathlib.Path(__file__).with_name("clock_shift.c"), "-ldl"], check=True)
        self.set(0)
        self.shift.chmod(0o644)
        self.start(cell, ["env", f"LD_PRELOAD={library}", f"BATON_CLOCK_SHIFT={self.shift}"])

    def start(self, cell, before):
        for node in self.nodes:
            cell.lab.before[node] = before
            cell.lab.kill(node, signal.SIGTERM)
            cell.lab.start(node)

    def set(self, seconds):
        with open(self.shift, "r+b" if self.shift.exists() else "wb") as file:
            file.write(seconds.to_bytes(8, sys.byteorder))

    def strike(self, cell):
        self.set(self.STEP_S)

    def restore(self, cell):
        self.start(cell, [])


class Device(Program):
    """The user's own program (baton-mud) hangs for 5 s"""

    load = "device"

    def __init__(self, name):
        super().__init__(name, "USER", signal.SIGSTOP)


def of_memory(fault):
    """The same, of a service that has everything in memory only"""
    fault.name = f"memory-{fault.name}"
    fault.load = "python-http"
    return fault


def of_protected(fault):
    """The same, and that service is protected: nothing may be lost"""
    fault.name = f"protected-{fault.name}"
    fault.load = "protected"
    fault.loses_memory = False
    return fault


def catalogue():
    """All faults, by name"""
    found = []
    for what, node in (("es-source", "EdgeServer-1"), ("es-destination", "EdgeServer-2"), ("ap-old", "AP-1"),
                       ("ap-new", "AP-2"), ("logrepo", "LogRepo")):
        for how in ("TERM", "KILL", "STOP"):
            found.append(Program(f"{what}-{how.lower()}", node, getattr(signal, f"SIG{how}")))
    found.append(LogRepoGone("logrepo-gone"))
    found.append(Device("device-stop"))
    found.append(Clock("clock-source", "EdgeServer-1", "AP-1"))
    found.append(Clock("clock-destination", "EdgeServer-2", "AP-2"))
    for what, number in (("source", SOURCE), ("destination", DESTINATION)):
        for how in ("TERM", "KILL"):
            for live in (False, True):
                found.append(Engine(f"dockerd-{what}-{how.lower()}{'-live' if live else ''}", number,
                                    getattr(signal, f"SIG{how}"), live))
        found.append(Container(f"container-{what}-crash", number))
        found.append(Container(f"container-{what}-oom", number, oom=True))
        found.append(Power(f"host-{what}-power", number))
        found.append(Power(f"host-{what}-gone", number, for_good=True))
        found.append(Disk(f"disk-state-{what}", number, "state", "1m"))
        found.append(Disk(f"disk-checkpoints-{what}", number, "checkpoints", "256m"))
        found.append(EngineDisk(f"disk-engine-{what}", number))
        found.append(of_memory(Container(f"container-{what}-crash", number)))
        found.append(of_memory(Engine(f"dockerd-{what}-kill", number, signal.SIGKILL, False)))
        found.append(of_memory(Power(f"host-{what}-power", number)))
        found.append(of_protected(Program(f"es-{what}-kill", f"EdgeServer-{number}", signal.SIGKILL)))
        found.append(of_protected(Container(f"container-{what}-crash", number)))
        found.append(of_protected(Engine(f"dockerd-{what}-kill", number, signal.SIGKILL, False)))
        found.append(of_protected(Power(f"host-{what}-power", number)))
    for seconds in (1, 5, 60):
        found.append(Cut(f"wan-{seconds}s", seconds))
        found.append(Cut(f"wan-{seconds}s-to-destination", seconds, (DESTINATION, SOURCE)))
        found.append(Cut(f"wan-{seconds}s-to-source", seconds, (SOURCE, DESTINATION)))
    return {fault.name: fault for fault in found}
