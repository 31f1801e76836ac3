# SPDX-License-Identifier: Apache-2.0
"""One cell of the matrix: a fault in a stage of a move, under the load of a client that checks everything

Two hosts, one user. What must hold afterwards, whatever the fault:

    lost      every request that was acknowledged is in the service. A container whose processes have ended has
              lost what only its memory held, and that must have been said (CONTAINER RESTARTED)
    doubled   none was executed twice
    empty     the user has not got another container
    service   is back, and the container where its user is
    left      nothing: containers, volumes, checkpoints, mounts, processes, control groups
"""

import collections
import json
import os
import pathlib
import random
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path[:0] = [str(ROOT / "lab"), str(ROOT / "tests" / "e2e")]

import bed  # noqa: E402
from baton_lab import EXAMPLES, GATEWAY, Lab, LabError  # noqa: E402
from faults import Missing  # noqa: E402
from stages import BROKEN, STAGES, Events, missed  # noqa: E402

BACK_S = 40  # until which service must be back after a fault was mended
MOVED_S = 60  # and the container where its user is
LEFT_S = 20
WARM = 10  # answers on each connection before anything happens
AGAIN = 3  # answers on each connection that show that there is service
TRIES = 4  # for a stage that was missed
DEVICE_REQUESTS = 800
PROTECTED_PORT = 8001
PROTECT_MS = 1000


class FaultLab(Lab):
    """Two hosts with what the cells need; it can be looked at from outside"""

    def __init__(self, name, build=None, services=("redis", "python-http")):
        super().__init__(name, 2, build=build, rtt_ms=100, rate_mb_s=20, examples=services,
                         limits={"ap": {"grace_ms": 1000}})

        self.before = {}  # what stands before a program's command

    def __enter__(self):
        super().__enter__()
        self.users(1)
        return self

    def _command(self, name):
        how, host, *command = super()._command(name)
        return [how, host, *self.before.get(name, []), *command]

    def _es_conf(self, i):
        conf = super()._es_conf(i)
        plain = (EXAMPLES / "python-http" / "python-http.conf").read_text()
        return conf.replace(plain, plain + plain.replace('"python-http" {', '"protected" {\n    protect = "memory"\n'
                                                         f'    protect_ms = {PROTECT_MS}'))

    def _listeners(self):
        return super()._listeners() + (f'listener "protected" {{ listen = "{GATEWAY}:{PROTECTED_PORT}"  '
                                       'service = "protected"  codec = "http" }\n')

    def load_service(self, hosts=None):
        """Images, to all hosts or to some"""
        every, self.image_on = self.image_on, hosts or self.image_on
        try:
            super().load_service()
        finally:
            self.image_on = every

    def found(self):
        """What there is on the hosts, as a multiset of lines"""
        lines = collections.Counter()
        for host in self.hosts():
            init = int(self.lab("engine-pid", host))
            mounts = pathlib.Path(f"/proc/{init}/mounts").read_text().splitlines()
            lines.update(f"{host}: mount {m.split()[1]}" for m in mounts)
            lines.update(f"{host}: volume {v}" for v in self.docker(host, "volume", "ls", "-q").split())
            lines.update(f"{host}: process {p}" for p in processes(os.readlink(f"/proc/{init}/ns/mnt")))
            lines.update(f"{host}: control group {g}" for g in groups(f"{self.name}-{host}"))
        lines.update(bed.left(self))
        return lines


def processes(mount_ns):
    """Names of what runs beside an engine, but for threads of Go programs' helpers that come and go"""
    for entry in pathlib.Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            if os.readlink(entry / "ns/mnt") == mount_ns:
                yield (entry / "comm").read_text().strip()
        except OSError:
            continue


def groups(name):
    """Control groups of containers"""
    for pattern in (f"*/{name}/*", f"{name}/*"):
        for path in pathlib.Path("/sys/fs/cgroup").glob(pattern):
            if path.is_dir():
                yield str(path)


class Bad(Exception):
    """A rule does not hold; the text says which and how"""


class Cell:
    """A run of one cell in a lab that is up"""

    def __init__(self, lab, fault, stage, seed):
        self.lab, self.fault, self.stage_name = lab, fault, stage
        self.stage = STAGES[stage]
        self.name = f"{fault.name}@{stage}"
        self.seed = seed
        # how long after the stage's first event: by the seed and the name, so that a cell can be repeated
        self.delay_s = random.Random(f"{seed} {self.name}").uniform(0, 0.02 if stage != "rest" else 0.2)
        self.events = None
        self.client = None
        self.device = None
        self.session = None
        self.blind = False  # events cannot be seen for now
        self.struck_us = None
        self.row = {"cell": self.name, "fault": fault.name, "stage": stage, "seed": seed}
        self.at = "AP-1"

    # --- what a fault may use --------------------------------------------------------------------

    def wait(self, condition, what, seconds=30):
        return self.lab.wait_for(condition, seconds, what)

    # --- the client --------------------------------------------------------------------------------

    def start_client(self):
        if self.fault.load == "device":
            self.device = self.lab.mud("--requests", DEVICE_REQUESTS, "--interval-ms", 25, "--verify",
                                       *(["--move", "40:AP-2"] if self.stage.begins else []),
                                       out=self.lab.dir / "mud")
            self.at = "AP-2" if self.stage.begins else "AP-1"
            return
        kind, port = ("python-http", PROTECTED_PORT) if self.fault.load == "protected" else \
            (self.fault.load, self.lab.example_port(self.fault.load))
        self.client = self.lab.exec("user1", sys.executable, HERE / "client.py", kind, GATEWAY, port, text=True,
                                    stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def ask(self, command="report"):
        if self.device:
            return [{"acknowledged": len(self.events.find("SVCR", "USER", self.session)), "told": []}]
        self.client.stdin.write(command + "\n")
        self.client.stdin.flush()
        line = self.client.stdout.readline()
        if not line:
            raise LabError("the client has ended")
        report = json.loads(line)
        wrong = [r["wrong"] for r in report if r["wrong"]]
        if wrong:
            raise Bad("; ".join(wrong))
        return report

    def end_client(self):
        if self.device:
            self.device.kill()
            self.device.wait()
            self.device = None
        if self.client:
            self.client.kill()
            self.client.communicate()
            self.client = None

    def more(self, what, count=AGAIN, seconds=BACK_S):
        """So many more answers on each connection"""
        before = [r["acknowledged"] for r in self.ask()]
        try:
            self.wait(lambda: all(r["acknowledged"] >= b + count for r, b in
                                  zip(self.ask(), before, strict=True)), what, seconds)
        except LabError as e:
            self.not_anew()
            raise Bad(f"no service {what} within {seconds} s: {[r['told'] for r in self.ask()]}") from e

    # --- the cell ------------------------------------------------------------------------------------

    def run(self):
        """Return: the row"""
        began = time.monotonic()
        try:
            self.whole()
            self.row.setdefault("verdict", "good")
        except Bad as e:
            self.row["verdict"] = f"BAD: {e}"
        except LabError as e:
            self.row["verdict"] = f"BAD: {str(e).strip()}"
        except Missing as e:
            self.row["verdict"] = f"SKIP: {e}"
        finally:
            self.end_client()
        self.row["seconds"] = round(time.monotonic() - began, 1)
        return self.row

    def whole(self):
        self.lab.move_user("user1", "AP-1")
        self.fault.prepare(self)
        try:
            self.logs = {name: len(self.lab.log_of(name)) for name in self.lab.programs}
            before = self.lab.found()
            self.events = Events(self.lab, requests=self.fault.load == "device")
            self.start_client()
            created = self.events.wait("CONTAINER CREATED", seconds=30)
            if not created:
                raise LabError("no container for the user")
            self.session = created["session"]
            self.more("at first", WARM)
            if self.fault.load == "protected" and not self.events.wait("CUT KEPT", session=self.session):
                raise Bad("no cut of the protected container is kept")
            self.fault.arm(self)
            why = self.strike()
            if why:
                self.row["verdict"] = f"MISSED: {why}"
            self.fault.mend(self)
            self.afterwards()
            self.compare()
            self.end_client()
            self.nothing_left(before)
            self.programs_run()
        finally:
            self.end_client()
            self.fault.restore(self)

    def move(self, to):
        self.lab.move_user("user1", to)
        self.at = to

    def strike(self):
        """Let the fault strike in its stage. Return: why it was missed, or None"""
        begun_us = time.time_ns() // 1000
        if self.stage.begins == "move" and self.device:
            begun_us = self.events.wait("MOVE", "USER")["time_us"]
        elif self.stage.begins:
            if not self.device:
                self.move("AP-2")
            begun_us = time.time_ns() // 1000
            if self.stage.begins != "move":
                event = self.events.wait(self.stage.begins, self.stage.node, self.session, seconds=30)
                if not event:
                    raise LabError(f"there was no {self.stage.begins}")
                begun_us = event["time_us"]
        time.sleep(self.delay_s)  # not a wait for something: it decides where in the stage
        self.struck_us = time.time_ns() // 1000
        self.fault.strike(self)
        self.row["into_ms"] = round((self.struck_us - begun_us) / 1000)
        self.row["strike_ms"] = round((time.time_ns() // 1000 - self.struck_us) / 1000)
        return None

    def afterwards(self):
        """Service is back, and the container follows its user; a host that is gone for good has others refuse"""
        if self.fault.for_good:
            self.without_the_host()
            self.fault.restore(self)
        self.more("after the fault")
        if self.blind:
            self.fault.restore(self)
        if self.at == "AP-2":
            self.wait_moved()
            self.more("after the move")
        if why := missed(self.events, self.stage, self.session, self.struck_us):
            self.row["verdict"] = f"MISSED: {why}"

    def without_the_host(self):
        """The user goes where there is an access point. It is served, or told why not; never anew (R15)"""
        dead = f"AP-{self.fault.number}"
        self.row["gone_ms"] = round(time.time_ns() / 1e6 - self.struck_us / 1e3)
        if self.at == dead:
            self.move("AP-1" if dead == "AP-2" else "AP-2")
        then = self.ask()

        def told():
            now = self.ask()
            if all(n["acknowledged"] >= t["acknowledged"] + AGAIN for n, t in zip(now, then, strict=True)):
                return "served on"
            if all(n["refused"] >= t["refused"] + AGAIN for n, t in zip(now, then, strict=True)):
                return f"refused: {now[0]['told'][-1]}"
            return None
        try:
            self.row["without_host"] = self.wait(told, "a word", BACK_S)
        except LabError as e:
            raise Bad(f"without {dead}'s host: neither service nor a refusal within {BACK_S} s: "
                      f"{[r['told'] for r in self.ask()]}") from e

    def wait_moved(self):
        """The container is where its user is"""
        def moved():
            done = self.events.find("MIGRATION DONE", f"EdgeServer-{self.at[3:]}", self.session)
            active = [s for line in self.lab.baton("sessions", "--json", check=False).splitlines()
                      for node in [json.loads(line)] if node["node"] == f"EdgeServer-{self.at[3:]}"
                      for s in node.get("sessions", []) if s["session"] == self.session and s["state"] == "active"]
            return active and (done or self.at == "AP-1")
        try:
            self.wait(moved, "the container to follow", MOVED_S)
        except LabError as e:
            self.not_anew()
            last = [f"{e['node']} {e['kind']} {e.get('detail', '')}" for e in self.events.read()
                    if e["kind"] in BROKEN][-1:]
            raise Bad(f"the container is not where its user is after {MOVED_S} s {last}") from e
        # a user that leaves before that leaves its old container to keep_days, if the edge server is out of reach
        if self.at == "AP-2" and not self.events.wait("SWITCH COMPLETE", session=self.session, seconds=MOVED_S):
            raise Bad(f"the move does not end within {MOVED_S} s")

    # --- what must hold -------------------------------------------------------------------------------

    def not_anew(self):
        """The user has the container that it had at first (R15)"""
        for event in self.events.find("CONTAINER CREATED"):
            if event["session"] != self.session:
                raise Bad(f"the user has begun anew: an empty container at {event['node']}")

    def compare(self):
        """Lists and processes, at the end of the load"""
        self.not_anew()
        if self.device:
            self.compare_device()
            return
        before = self.ask()
        report = self.ask("check")
        row = self.row
        for key in ("sent", "acknowledged", "doubtful", "refused", "lost", "disordered"):
            row[key] = sum(r[key] for r in report)
        row["doubled"] = sum(len(r["doubled"]) for r in report)
        row["silence_ms"] = max(r["silence_ms"] for r in before)
        row["told"] = sorted({t for r in report for t in r["told"]})
        restarts = self.events.find("CONTAINER RESTARTED", session=self.session)
        processes = max(len(r["processes"]) for r in report)
        row["memory"] = "lost, said" if restarts else "kept" if processes < 2 else "lost in silence"
        if not restarts and self.events.find("CONTAINER RECOVERED", session=self.session):
            row["memory"] = "recovered"
        row["attempts"] = len(self.events.find("MIGRATION START", session=self.session))
        bad = []
        if row["doubled"] or row["disordered"]:
            bad.append(f"{row['doubled']} doubled, {row['disordered']} disordered")
        if row["lost"] and not self.may_be_lost(restarts, report):
            bad.append(f"{row['lost']} acknowledged requests lost")
        if row["memory"] == "lost in silence":
            bad.append("the container's processes were started anew, and nothing said so")
        if restarts and not self.fault.loses_memory:
            bad.append("the container was restarted, and needed not to be")
        if self.events.find("SESSION LOST"):
            bad.append("the session is lost")
        if bad:
            raise Bad("; ".join(bad))

    def compare_device(self):
        """A device checks by itself, and its answers must be those of a service that never moved"""
        self.device.wait(timeout=60)
        report = json.loads((self.lab.dir / "mud" / "mud.json").read_text())
        self.row |= {"sent": DEVICE_REQUESTS, "acknowledged": report["answered"], "doubtful": 0, "refused": 0,
                     "lost": report["lost"], "doubled": report["duplicated"], "disordered": report["reordered"],
                     "silence_ms": round(report["response_ms"]["max"]), "memory": "kept", "told": [],
                     "attempts": len(self.events.find("MIGRATION START", session=self.session))}
        if not report["good"]:
            raise Bad(f"the device's report: {report}")
        requests, answers = ((self.lab.dir / "mud" / f"{name}.txt").read_bytes().splitlines()
                             for name in ("requests", "answers"))
        if answers != bed.reference(requests):
            raise Bad("the device's answers are not those of a service that never moved")

    def may_be_lost(self, restarts, report):
        """What only memory held, and was acknowledged before the container ended"""
        return self.fault.load == "python-http" and restarts and all(
            r["lost_until_us"] <= restarts[-1]["time_us"] for r in report)

    def nothing_left(self, before):
        """The user has left: everything of it goes, at every host"""
        bed.end_users(self.lab)
        self.row["left"] = []
        try:
            self.wait(lambda: not self.lab.found() - before, "nothing to be left", LEFT_S)
        except LabError as e:
            self.row["left"] = sorted((self.lab.found() - before).elements())
            if self.row["left"]:
                raise Bad("left behind: " + "; ".join(self.row["left"][:4])) from e

    def programs_run(self):
        """None has ended by itself, or found a bug"""
        for name, at in self.logs.items():
            process = self.lab.programs.get(name)
            if not process or process.poll() is not None:
                raise Bad(f"{name} has ended by itself")
            if "bug:" in self.lab.log_of(name)[at:]:
                raise Bad(f"{name}: {self.lab.log_of(name)[at:].split('bug:')[1].splitlines()[0]}")
