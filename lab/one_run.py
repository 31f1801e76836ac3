# SPDX-License-Identifier: Apache-2.0
"""one_run - one run of the device on a lab: up, follow it, save the raw files, down

What is shown meanwhile is the business of whoever runs it: lab/demo shows all, lab/experiment a
line.
"""

import contextlib
import json
import os
import pathlib
import shutil
import signal
import subprocess
import time

import baton_lab
from story import Story, Tail

RAW_FILES = ("responses.csv", "requests.txt", "answers.txt", "mud.json")
MADE_FILES = ("events.jsonl", "run.json", "report.json", "report.txt", "response_time.svg",
              "response_time.png")
SETTLE_S = 5
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
LOG_LINES = 12


class Stopped(BaseException):
    """A signal asked for the end."""


class Failed(Exception):
    """There is no run to report on; the text is for a person."""


def printed(*command):
    """First line of what a command prints, or nothing"""
    try:
        done = subprocess.run(command, check=False, text=True, stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL, cwd=baton_lab.ROOT)
    except OSError:
        return ""
    return done.stdout.splitlines()[0].strip() if done.stdout.strip() else ""


def commit():
    """The commit of the tree, and whether it has been changed since"""
    name = printed("git", "rev-parse", "--short=12", "HEAD")
    if name and printed("git", "status", "--porcelain", "--untracked-files=no"):
        name += " with changes"
    return name


def versions(lab):
    """What the run was made with"""
    prefix = pathlib.Path(os.environ.get("BATON_PREFIX", "/opt/baton"))
    criu = next((p for p in (prefix / "sbin/criu", prefix / "bin/criu") if p.exists()), "criu")
    engine = lab.docker("pc1", "version", "--format", "{{.Server.Version}}", check=False)
    return {
        "kernel": os.uname().release,
        "docker": engine.strip(),
        "criu": printed(criu, "--version").removeprefix("Version: "),
        "runc": printed("runc", "--version").removeprefix("runc version "),
        "baton": commit(),
    }


def check_machine(lab):
    """Say what is missing before anything is touched"""
    missing = [tool for tool in ("docker", "dockerd", "runc", "ip", "gnuplot")
               if not shutil.which(tool)]
    if missing:
        raise Failed(f"{', '.join(missing)}: not installed; run make setup")
    for program in ("baton-es", "baton-ap", "baton-mud", "baton-logrepo", "baton",
                    "baton-runtime"):
        lab._tool(program)
    if not (lab.build / "lab" / "link_emulator").exists():
        raise Failed(f"the link emulator is not built in {lab.build}: run make build")


def prepare_out(out):
    """Make the directory for the files; what an earlier run left there must not pass for ours"""
    out.mkdir(parents=True, exist_ok=True)
    for name in RAW_FILES + MADE_FILES:
        (out / name).unlink(missing_ok=True)
    if (out / "logs").is_dir():
        for path in (out / "logs").glob("*.log"):
            path.unlink()
    (out / "logs").mkdir(exist_ok=True)


def on_signal(_number, _frame):
    """Ctrl-C, kill, closed terminal: stop, and take down; once is enough"""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    raise Stopped


def catch_signals():
    """From here on a signal raises Stopped"""
    for number in SIGNALS:
        signal.signal(number, on_signal)


def ignore_signals():
    """From here on signals are ignored, by what is started, too"""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)


class Run:
    """One run. What is shown is said by say(), news(), status(), clear(), which do nothing here."""

    keep = False  # leave the lab up
    hold_signals = staticmethod(ignore_signals)  # before taking down

    def __init__(self, lab, out, settings):
        """@settings: requests, interval_ms, moves, rtt_ms, rate_mb_s, deadline_s (no answer for
        this long: the device gives up; longer than any stage of a migration may take)"""
        self.lab = lab
        self.out = out
        self.settings = settings
        self.story = Story()
        self.mud = None
        self.stopped = False
        self.run = {
            "requests": settings["requests"], "interval_ms": settings["interval_ms"],
            "moves": settings["moves"], "edges": lab.edges, "image_on": lab.image_on,
            "service_seed": "baton",
            "link": {"rtt_ms": settings["rtt_ms"], "rate_mb_s": settings["rate_mb_s"],
                     "loss_percent": 0},
            "wall_s": {}, "problems": [],
        }

    # --- for those who show something -------------------------------------------------------------

    def say(self, words):
        """Something about the lab"""

    def news(self, seconds, words, bad):
        """Something has happened, so many seconds after the first request"""

    def status(self, spent):
        """What goes on now, so many seconds after the device was started; called all the time"""

    def clear(self):
        """What status() has shown is over"""

    def tell_failure(self, words, details=""):
        """Something has gone wrong"""

    def tell_stopped(self):
        """A signal has come"""

    def before(self):
        """All is up, the device is not started yet"""

    def after(self):
        """The device has ended, all is still up"""

    # --- up and down ------------------------------------------------------------------------------

    @contextlib.contextmanager
    def timed(self, what):
        """Note how long something takes"""
        began = time.monotonic()
        try:
            yield
        finally:
            self.run["wall_s"][what] = round(time.monotonic() - began, 2)

    def problem(self, words):
        """Note what makes the run not good"""
        self.run["problems"].append(words)

    def bring_up(self):
        """Hosts, engines, the service's image, programs"""
        if subprocess.run([baton_lab.HERE / "lab", "leftovers"], env=self.lab.env, check=False,
                          stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode:
            self.say(f"removing what an earlier lab '{self.lab.name}' has left")
        self.say(f"{self.lab.edges} edge servers, a device and LogRepo; between the edge servers "
                 f"{self.settings['rtt_ms']} ms round trip and {self.settings['rate_mb_s']} MB/s")
        with self.timed("lab"):
            self.lab.up()
        self.say("loading the service's image (built first if it has never been)"
                 + (f" on {', '.join(self.lab.image_on)} only"
                    if len(self.lab.image_on) < self.lab.edges else ""))
        with self.timed("image"):
            self.lab.load_service()
        self.say("starting LogRepo, access points and edge servers")
        with self.timed("programs"):
            self.lab.start_all()
        self.run["versions"] = versions(self.lab)

    def take_down(self):
        """Remove everything, however the run has gone; may be called again"""
        self.hold_signals()
        if self.mud and self.mud.poll() is None:
            self.mud.kill()
        try:
            self.lab.down()
        except (baton_lab.LabError, OSError) as trouble:
            self.say(f"taking down: {trouble}; again")
            self.lab.lab("down")
        if self.mud:
            self.mud.wait()

    # --- the run itself ---------------------------------------------------------------------------

    def show(self, tail):
        """Tell what has come into the event log"""
        for event in tail.new():
            news = self.story.take(event)
            if news:
                self.news(self.story.seconds(event), *news)

    def dead(self):
        """Programs that have ended, which none should have"""
        return [name for name, process in self.lab.programs.items() if process.poll() is not None]

    def follow(self):
        """Run the device and tell what happens, until it ends or cannot go on"""
        settings = self.settings
        moves = [word for move in settings["moves"] for word in ("--move", move)]
        # Not the out directory itself: Lab.mud() empties the directory it is given.
        self.mud = self.lab.mud("--requests", settings["requests"], "--interval-ms",
                                settings["interval_ms"], *moves, "--verify", "--deadline-s",
                                settings["deadline_s"], out=self.lab.dir / "mud")
        tail = Tail(self.lab.events_dir)
        began = time.monotonic()
        while self.mud.poll() is None:
            self.show(tail)
            self.status(time.monotonic() - began)
            for name in self.dead():
                raise baton_lab.LabError(f"{name} has ended in the middle of the run")
            time.sleep(0.1)
        # The last events are on their way when the device ends.
        end = time.monotonic() + SETTLE_S
        while self.story.phase != "ending" and time.monotonic() < end:
            self.show(tail)
            time.sleep(0.05)
        time.sleep(0.1)
        self.show(tail)
        self.clear()
        if self.mud.returncode not in (0, 1):
            raise baton_lab.LabError(f"baton-mud: status {self.mud.returncode}\n"
                                     f"{self.last_lines(self.lab.dir / 'mud' / 'mud.log')}")
        if self.story.answered < settings["requests"] and self.mud.returncode:
            self.problem(f"the device gave up: no answer for {settings['deadline_s']} s")

    @staticmethod
    def last_lines(path):
        """The end of a log"""
        try:
            lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            return ""
        return "\n".join("    " + line for line in lines[-LOG_LINES:])

    def collect(self):
        """Save the raw files: the lab's directory goes with the lab"""
        if not hasattr(self.lab, "events_dir"):
            return
        if self.mud and self.mud.poll() is None:
            # SIGINT from the terminal has reached it already; its record is worth a moment.
            self.mud.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.mud.wait(5)
        (self.out / "events.jsonl").write_bytes(Tail(self.lab.events_dir).whole())
        for name in RAW_FILES:
            with contextlib.suppress(FileNotFoundError):
                shutil.copyfile(self.lab.dir / "mud" / name, self.out / name)
        logs = [*(self.lab.dir / "logs").glob("*.log"), self.lab.dir / "mud" / "mud.log"]
        for path in logs:
            with contextlib.suppress(FileNotFoundError):
                shutil.copyfile(path, self.out / "logs" / path.name)

    def failure(self, words):
        """Tell what has gone wrong, with the logs of programs that have died"""
        self.tell_failure(words)
        self.problem(words.splitlines()[0])
        for name in self.dead():
            self.tell_failure(f"last lines of {name}'s log:",
                              self.last_lines(self.lab.dir / "logs" / f"{name}.log"))

    def play(self):
        """Up, run, down. Return: false if there is nothing to report on"""
        try:
            self.bring_up()
            self.before()
            with self.timed("run"):
                self.follow()
            self.after()
        except (baton_lab.LabError, OSError) as trouble:
            self.failure(str(trouble))
        except Stopped:
            self.stopped = True
            self.clear()
            self.tell_stopped()
            self.problem("it was stopped before its end")
        finally:
            try:
                self.clear()
                self.collect()
            finally:
                if not (self.keep and self.mud):
                    with self.timed("down"):
                        self.take_down()
        self.run["wall_s"]["all"] = round(sum(self.run["wall_s"].values()), 2)
        self.write()
        return self.story.sent > 0

    def write(self):
        """Write run.json, whole or not at all"""
        new = self.out / "run.json.new"
        new.write_text(json.dumps(self.run, indent=2) + "\n", encoding="utf-8")
        new.replace(self.out / "run.json")
