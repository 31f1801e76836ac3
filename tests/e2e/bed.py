# SPDX-License-Identifier: Apache-2.0
"""What the end-to-end tests have in common: the test bed, the user, what must hold after each test.

A test class has one lab, with daemons of its own, and its tests share it; each test has sessions of its
own, and looks only at events that came after it began. Hosts and engines stay for the next class, if
nothing is left on them (lab/renew.py). A test that failed takes the lab down, so that the next one finds
a clean bed. Nothing sleeps: tests wait for events and for what can be seen from outside.
"""

import json
import os
import pathlib
import signal
import subprocess
import sys
import time
import unittest

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path.insert(0, str(ROOT / "lab"))

from baton_lab import Lab, LabError, SERVICE  # noqa: E402, F401 (for the tests)

LAB_NAME = os.environ.get("BATON_LAB", "e2e")
BURN_S = 0.1  # of a processor, to measure the machine's pace
SLOWEST = 5  # at what pace tests are no longer given more time
STAGES = ("T1", "T2", "T3", "T4", "T5", "T6", "T7", "T8")


def missing():
    """Why the end-to-end tests cannot run here, or None"""
    if os.geteuid() != 0:
        return "needs root: network namespaces, Docker, CRIU"
    for program in ("dockerd", "docker", "tini", "jq", "ip", "runc"):
        if not any(os.access(f"{folder}/{program}", os.X_OK)
                   for folder in os.environ["PATH"].split(":")):
            return f"{program} is not installed: run tools/setup.sh"
    criu = pathlib.Path(os.environ.get("BATON_PREFIX", "/opt/baton")) / "bin" / "criu"
    if not criu.exists():
        return f"{criu} is not there: run tools/setup.sh"
    check = subprocess.run([criu, "check"], text=True, check=False, stdin=subprocess.DEVNULL,
                           stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if check.returncode:
        return f"criu check: {(check.stdout.strip().splitlines() or ['fails'])[-1]}"
    return None


Lab.take_over = True


def long(test):
    """A test that takes long, and shows little that no other does: for make test-long"""
    test.takes_long = True
    return test


def is_long(test):
    """Whether a test is marked so"""
    return getattr(getattr(test, test._testMethodName), "takes_long", False)


class Events:
    """The events of a lab from now on; the file is read once, however often one looks"""

    def __init__(self, lab):
        self.path = lab.events_dir / "events.jsonl"
        self.offset = self.path.stat().st_size if self.path.exists() else 0
        self.list = []

    def read(self):
        """All events since the beginning of the test, in the order of their arrival"""
        if not self.path.exists():
            return self.list
        with open(self.path, "rb") as file:
            file.seek(self.offset)
            new = file.read()
        whole = new.rfind(b"\n") + 1  # the last line may be being written
        self.offset += whole
        self.list += [json.loads(line) for line in new[:whole].splitlines() if line]
        return self.list

    def find(self, kind, node=None, session=None):
        """Events of this kind, in the order of their time"""
        return sorted((e for e in self.read()
                       if e["kind"] == kind and node in (None, e["node"])
                       and session in (None, e.get("session"))), key=lambda e: e["time_us"])


class User:
    """A run of baton-mud, and what it wrote"""

    def __init__(self, test, *args):
        self.test = test
        self.out = test.lab.dir / "mud" / f"{test.id()}-{len(test.users)}"
        self.requests = int(args[args.index("--requests") + 1])
        self.process = test.lab.mud(*args, out=self.out)
        self.answers = []

    def running(self):
        return self.process.poll() is None

    def session(self):
        """Number of the session; waits for the association"""
        event = self.test.wait_event("ASSOCIATION RESPONSE", node="USER", seconds=20)
        return event["session"]

    def end(self, seconds=90):
        """Wait for the end, return mud.json"""
        try:
            self.process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            self.test.fail(f"baton-mud does not end within {seconds} s\n{self.log()}")
        path = self.out / "mud.json"
        if not path.exists():
            self.test.fail(f"baton-mud ended without a report\n{self.log()}")
        return json.loads(path.read_text())

    def log(self):
        return (self.out / "mud.log").read_text(errors="replace")

    def rows(self):
        """responses.csv, a dictionary for each request"""
        lines = (self.out / "responses.csv").read_text().splitlines()
        keys = lines[0].split(",")
        return [dict(zip(keys, line.split(","))) for line in lines[1:]]

    def response_ms(self, first, last):
        """Sorted response times of the requests first to last"""
        return sorted(float(r["response_ms"]) for r in self.rows()
                      if first <= int(r["number"]) <= last and r["response_ms"])


def clear():
    """Take the lab down that was left for a next class. Return: what remains of it"""
    lab = Lab(LAB_NAME)
    lab.lab("down")
    return lab.lab("leftovers", check=False)


def pace():
    """How many times longer work takes now than on an idle machine of this kind, since others work, too"""
    began, used = time.monotonic(), time.thread_time()
    while time.thread_time() - used < BURN_S:
        pass
    return min(max((time.monotonic() - began) / BURN_S, 1), SLOWEST)


def reference(requests):
    """Answers of a service that was never moved (R1), one for each line of requests"""
    run = subprocess.run([sys.executable, ROOT / "service" / "offload.py", "--reference"],
                         input=b"".join(line + b"\n" for line in requests),
                         stdout=subprocess.PIPE, check=True)
    return run.stdout.splitlines()


def frozen(lab):
    """Cgroups of a lab's containers that are frozen or about to be"""
    found = []
    for base in ("/sys/fs/cgroup/freezer", "/sys/fs/cgroup"):
        for path in pathlib.Path(base).glob(f"{lab.name}-pc*/**/*"):
            if path.name not in ("freezer.state", "cgroup.freeze"):
                continue
            try:
                state = path.read_text().strip()
            except OSError:
                continue  # the container has ended meanwhile
            if state not in ("THAWED", "0"):
                found.append(f"{path}: {state}")
    return found


def left(lab):
    """All that a session without a user must not leave on any edge host (R10)"""
    found = [f"frozen cgroup {c}" for c in frozen(lab)]
    for host in lab.hosts():
        found += [f"{host}: container {name}" for name in lab.containers(host)]
        found += [f"{host}: file {path}" for path in lab.staged(host)]
    return found


def end_users(lab):
    """Ordinary users never say that they have left, so an operator does"""
    addresses = {f"10.80.0.{10 + i}" for i in range(1, lab.user_count + 1)}
    aps = [f"AP-{i}" for i in range(1, lab.edges + 1)] if addresses else []
    for ap in aps:
        listed = json.loads(lab.baton("users", "--node", ap, "--json"))["users"]
        addresses |= {u["address"] for u in listed if u["state"] != "away"}
    for ap in aps:
        for address in addresses:  # most are not known there
            lab.baton("disassociate", address, "--ap", ap, check=False)


class BedTest(unittest.TestCase):
    """A test in a lab that its class shares"""

    EDGES = 3
    LIMITS = {}
    ENV = ()
    RTT_MS = 200
    RATE_MB_S = 10
    PROFILE = "baton"
    METHOD = "auto"
    SYNC = "replay"
    REGISTRY = None  # round-trip time and rate of its links, if there is to be one
    IMAGE_ON = None  # hosts that have the service's image; None: all
    TRUSTED = True  # an image that another edge server brings gets its name
    maxDiff = 2000
    lab = None
    clean = False
    up = None  # the lab that is up, of whatever class: the runner takes it down in the end

    def __init_subclass__(cls, **kwargs):
        """A class made from another one has a lab of its own"""
        super().__init_subclass__(**kwargs)
        cls.lab = None
        cls.clean = False

    @classmethod
    def bring_up(cls):
        cls.lab = Lab(LAB_NAME, cls.EDGES, limits=cls.LIMITS, service_env=list(cls.ENV),
                      rtt_ms=cls.RTT_MS, rate_mb_s=cls.RATE_MB_S, image_on=cls.IMAGE_ON,
                      trusted=cls.TRUSTED, profile=cls.PROFILE, method=cls.METHOD, sync=cls.SYNC,
                      registry=cls.REGISTRY)
        BedTest.up = cls.lab
        cls.lab.__enter__()
        cls.clean = True

    @classmethod
    def tearDownClass(cls):
        if cls.lab:
            cls.lab.leave()
            cls.lab = None

    def run(self, result=None):
        bad = len(result.failures) + len(result.errors)
        super().run(result)
        if len(result.failures) + len(result.errors) > bad and type(self).lab:
            type(self).clean = False
            try:
                type(self).lab.down()
            except LabError as e:
                print(f"=== {self.id()}: {e}", file=sys.stderr)
                type(self).lab.lab("down")

    def setUp(self):
        if not self.clean:
            self.bring_up()
        self.pace = pace()
        self.events = Events(self.lab)
        self.log_at = {name: len(self.lab.log_of(name)) for name in self.names()}
        self.users = []
        self.addCleanup(self.show_if_failed)

    def names(self):
        """All daemons"""
        edges = range(1, self.EDGES + 1)
        return ["LogRepo", *(f"EdgeServer-{i}" for i in edges), *(f"AP-{i}" for i in edges)]

    def show_if_failed(self):
        """What one needs to see why a test failed goes to the standard error of the runner"""
        outcome = self._outcome.result
        if not any(self in (test, getattr(test, "test_case", None))
                   for test, _ in outcome.failures + outcome.errors):
            return
        print(f"=== {self.id()}: events but SVCQ and SVCR", file=sys.stderr)
        for e in sorted(self.events.read(), key=lambda e: e["time_us"]):
            if not e["kind"].startswith("SVC"):
                print(e["time"][11:26], e["node"], e["kind"], e.get("number", ""),
                      e.get("detail", ""), file=sys.stderr)
        for name in self.names():
            if text := self.said(name):
                print(f"--- {name}\n{text}", file=sys.stderr, end="")
        for user in self.users:
            user.process.kill()
            print(f"--- USER\n{user.log()}", file=sys.stderr)

    # --- doing ---------------------------------------------------------------------------------

    def user(self, *args):
        """Start a user; it asks the service to verify its state in the last request

        Its requests and moves come at the machine's pace: it is there while its container moves, also where that
        takes longer than usual.
        """
        args = list(args)
        if "--interval-ms" in args:
            at = args.index("--interval-ms") + 1
            args[at] = round(int(args[at]) * self.pace)
        user = User(self, *args, "--verify")
        self.users.append(user)
        return user

    def wait(self, condition, what, seconds=30):
        return self.lab.wait_for(condition, seconds * self.pace, what)

    def wait_event(self, kind, node=None, session=None, count=1, seconds=30):
        """Wait for the count-th event of this kind since the test began"""
        def seen():
            found = self.events.find(kind, node, session)
            if len(found) >= count:
                return found[count - 1]
            for user in self.users:
                if not user.running() and not self.events.find(kind, node, session):
                    raise AssertionError(f"the user is gone and there was no {kind}:\n{user.log()}")
            return None
        return self.wait(seen, f"event {kind} {node or ''} {count}", seconds)

    def said(self, name):
        """What a daemon logged since the test began"""
        return self.lab.log_of(name)[self.log_at[name]:]

    def lines(self, name, text):
        return [line for line in self.said(name).splitlines() if text in line]

    def crash(self, name):
        self.lab.kill(name, signal.SIGKILL)

    # --- what must hold --------------------------------------------------------------------------

    def assert_good(self, user, seconds=90):
        """Nothing lost, doubled or reordered, and every answer is the reference's (R1)"""
        report = user.end(seconds * self.pace)
        for key in ("lost", "duplicated", "reordered", "wrong"):
            self.assertEqual(report[key], 0, f"{key}: {report}\n{user.log()}")
        self.assertTrue(report["good"], f"{report}\n{user.log()}")
        self.assertEqual(report["answered"], user.requests)
        self.assertEqual(user.process.returncode, 0)
        self.assert_reference(user)
        return report

    def assert_reference(self, user):
        """The whole stream of answers; the last one digests memory and files, too"""
        requests = (user.out / "requests.txt").read_bytes().splitlines()
        answers = (user.out / "answers.txt").read_bytes().splitlines()
        self.assertEqual(len(requests), user.requests)
        expected = reference(requests)
        for number, (ours, theirs) in enumerate(zip(answers, expected, strict=True), 1):
            self.assertEqual(ours, theirs, f"answer {number} is not the reference's")
        self.assertIn(b'"log_agrees":true', answers[-1])

    def assert_order(self, session, *steps):
        """Events of one session came in this order; a step is a kind, or a kind and a node"""
        last = None
        for step in steps:
            kind, node = step if isinstance(step, tuple) else (step, None)
            found = self.events.find(kind, node, session)
            self.assertTrue(found, f"no event {kind} {node or ''}")
            if last:
                self.assertGreaterEqual(found[0]["time_us"], last["time_us"],
                                        f"{kind} came before {last['kind']}")
            last = found[0]

    def frozen(self):
        return frozen(self.lab)

    def left(self):
        return left(self.lab)

    def end_users(self):
        end_users(self.lab)

    def assert_nothing_left(self, seconds=20):
        """The user has ended the session: everything of it goes, at every host"""
        self.end_users()
        try:
            self.wait(lambda: not self.left(), "nothing to be left", seconds)
        except LabError:
            self.fail("left behind:\n" + "\n".join(self.left()))
