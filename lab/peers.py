# SPDX-License-Identifier: Apache-2.0
"""Other ways of moving a container, run on the same lab, by the same device: Baton's peers.

    cold      docker stop, commit, save, copy, load, run: files move, the process starts anew
    podman    podman container checkpoint --export, copy, restore --import: stop and copy
    precopy   the same with a memory dump sent ahead (CRIU pre-dump), where the kernel can do that

Each is what an operator does by hand: nothing keeps requests or hands them over. The device speaks
straight to a published port (baton-mud --direct), at pc1 before the handoff and at pc2 after it.
There a relay forwards over the WAN to pc1 until the old container stops; then the port is closed
until the new container has it. Files travel through scp.

run_peer() makes one run and writes, beside the device's files (responses.csv, mud.json ...):
    run.json       what was run, with which versions, sizes, stage times and counts
    events.jsonl   the event log: the device's side only, peers write none
"""

import contextlib
import csv
import json
import os
import pathlib
import platform
import shutil
import subprocess
import sys
import time

from baton_lab import HERE, Lab, LabError, address

PORT = 7000
NAME = "service"
LAB_NAME = "peer"
RTT_MS = 200
RATE_MB_S = 10
START_SECONDS = 60  # for a container to answer
RUN_SLACK_SECONDS = 900  # for the device to end after its last request is due


class PeerError(LabError):
    """A run did not come about; the text is for a person."""


class MoveError(PeerError):
    """The container could not be moved this way; the text goes into the record."""


class Stages:
    """What a move consists of, and how long each part took"""

    def __init__(self):
        self.list = []

    @contextlib.contextmanager
    def stage(self, name, **sizes):
        begin = time.time()
        entry = {"name": name, **sizes}
        yield entry
        entry["seconds"] = round(time.time() - begin, 3)
        self.list.append(entry)

    def size(self, key):
        """Sum of a size over all stages that have it"""
        return sum(entry.get(key, 0) for entry in self.list)


class Bed:
    """Two hosts with the service's image, the event log, a way for files; nothing of it is left"""

    def __init__(self, base, complete, lab_name):
        self.lab = Lab(lab_name, 2, base=base, rtt_ms=RTT_MS, rate_mb_s=RATE_MB_S)
        self.complete = complete
        self.processes = []

    def __enter__(self):
        for need in ("sshd", "ssh-keygen", "scp"):
            if not shutil.which(need, path=f"{os.environ['PATH']}:/usr/sbin"):
                raise PeerError(f"{need} is not installed: run tools/setup.sh --experiment")
        try:
            self.lab.up()
            self.work = self.lab.dir / "peer"
            for host in ("pc1", "pc2"):
                (self.work / host).mkdir(parents=True)
            self.lab.start("LogRepo")
            self._ssh_up()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for process in self.processes:
            process.terminate()
            process.wait()
        self.lab.down()

    def run(self, host, *command, stdin=None, name=None):
        """Run a command on a host, inside its engine's namespaces; return what it printed

        @name is what an error calls it, by default the command's first words.
        """
        done = subprocess.run([HERE / "lab", "exec-engine", host, *map(str, command)],
                              env=self.lab.env, stdin=stdin or subprocess.DEVNULL, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
        if done.returncode:
            said = (done.stderr.strip() or done.stdout.strip()).splitlines()
            raise PeerError(f"{name or ' '.join(map(str, command[:4]))} on {host}: "
                            f"{said[-1] if said else f'status {done.returncode}'}")
        return done.stdout

    def start(self, what, ready, *command):
        """Start a program of ours and wait for the text it says when it serves"""
        log = self.work / f"{what}.log"
        with open(log, "w", encoding="utf-8") as out:
            process = subprocess.Popen([HERE / "lab", *map(str, command)], env=self.lab.env,
                                       stdin=subprocess.DEVNULL, stdout=out, stderr=out)
        self.processes.append(process)

        def serves():
            text = log.read_text(errors="replace")
            if ready not in text and process.poll() is not None:
                raise PeerError(f"{what} ended: {text.strip()}")
            return ready in text
        self.lab.wait_for(serves, 20, f"{what} to serve")
        return process

    def end(self, process):
        process.terminate()
        process.wait()
        self.processes.remove(process)

    def relay(self):
        """Forward from pc2's port to pc1's"""
        return self.start("relay", "serving", "exec", "pc2", sys.executable, HERE / "peers_host.py",
                          "relay", address("pc2"), address("pc1"), PORT)

    def answered_at(self, host):
        """Time at which the service on a host first answers, asked on that host"""
        return float(self.lab.lab("exec", host, sys.executable, HERE / "peers_host.py", "answers",
                                  address(host), PORT, START_SECONDS))

    def _ssh_up(self):
        """An SSH server on pc2 with keys of its own"""
        keys = self.lab.dir / "ssh"
        keys.mkdir()
        for name in ("host", "user"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", keys / name],
                           check=True)
        (keys / "known").write_text("pc2 " + (keys / "host.pub").read_text())
        (keys / "sshd_config").write_text(
            f"ListenAddress {address('pc2')}:22\nHostKey {keys}/host\nPidFile none\nUsePAM no\n"
            f"AuthorizedKeysFile {keys}/user.pub\nStrictModes no\nPasswordAuthentication no\n"
            "PermitRootLogin prohibit-password\nSubsystem sftp internal-sftp\n")
        self.run("pc2", "mkdir", "-p", "/run/sshd")
        self.start("sshd", "Server listening", "exec-engine", "pc2", "/usr/sbin/sshd", "-D", "-e",
                   "-f", keys / "sshd_config")
        self.scp = ["scp", "-q", "-F", "none", "-o", f"UserKnownHostsFile={keys}/known",
                    "-o", f"IdentityFile={keys}/user", "-o", "IdentitiesOnly=yes",
                    "-o", "BatchMode=yes"]

    def copy(self, stages, name, what="copy"):
        """Send a file of pc1's over the WAN to pc2"""
        path = self.work / "pc1" / name
        with stages.stage(what, sent_bytes=path.stat().st_size):
            self.run("pc1", *self.scp, path, f"root@pc2:{self.work}/pc2/")


class Cold:
    """The container's files go; what was in memory is lost"""

    def __init__(self, bed):
        self.bed = bed
        self.image = bed.lab.image

    def obstacle(self):
        """Why this cannot be run here, or None"""
        return None

    def begin(self):
        """Have the service run on pc1"""
        lab = self.bed.lab
        lab.image_on = ["pc1"] if self.bed.complete else ["pc1", "pc2"]
        lab.load_service()
        lab.docker("pc1", "run", "-d", "--name", NAME, "-p", f"{PORT}:{PORT}", self.image)

    def move(self, stages, relay):
        with stages.stage("stop"):
            self.bed.lab.docker("pc1", "stop", NAME)
            self.bed.end(relay)
        if self.bed.complete:
            self._move_image(stages)
        else:
            self._move_layer(stages)

    def _move_image(self, stages):
        docker, work = self.bed.lab.docker, self.bed.work
        with stages.stage("commit"):
            docker("pc1", "commit", NAME, "baton/moved")
        with stages.stage("save"):
            docker("pc1", "save", "-o", work / "pc1" / "image.tar", "baton/moved")
        self.bed.copy(stages, "image.tar")
        with stages.stage("load"):
            docker("pc2", "load", "-q", "-i", work / "pc2" / "image.tar")
        with stages.stage("run"):
            docker("pc2", "run", "-d", "--name", NAME, "-p", f"{PORT}:{PORT}", "baton/moved")

    def _move_layer(self, stages):
        """What `docker diff` and `docker cp` do: the image is there, only the files changed go"""
        docker, work = self.bed.lab.docker, self.bed.work
        with stages.stage("save"):
            upper = docker("pc1", "inspect", "-f", "{{.GraphDriver.Data.UpperDir}}", NAME).strip()
            gone = self.bed.run("pc1", "find", upper, "-type", "c")
            if gone:  # docker cp cannot delete
                raise PeerError(f"the service has deleted files of its image: {gone.split()[0]}")
            self.bed.run("pc1", "tar", "-C", upper, "-cf", work / "pc1" / "layer.tar", ".")
        self.bed.copy(stages, "layer.tar")
        with stages.stage("load"):
            docker("pc2", "create", "--name", NAME, "-p", f"{PORT}:{PORT}", self.image)
            with open(work / "pc2" / "layer.tar", "rb") as tar:
                subprocess.run([HERE / "lab", "docker", "pc2", "cp", "-", f"{NAME}:/"], stdin=tar,
                               env=self.bed.lab.env, check=True, stdout=subprocess.DEVNULL)
        with stages.stage("run"):
            docker("pc2", "start", NAME)


class Podman:
    """Checkpoint, copy, restore; the service stands still from the first to the last"""

    def __init__(self, bed):
        self.bed = bed
        self.image = "localhost/" + bed.lab.image

    def podman(self, host, *args, stdin=None):
        """Podman with storage, state and networks of this run only"""
        own = self.bed.work / host
        return self.bed.run(
            host, "podman", "--root", own / "root", "--runroot", "/run/podman", "--tmpdir",
            "/run/libpod", "--network-config-dir", own / "net", "--cgroup-manager", "cgroupfs",
            "--events-backend", "file", "--storage-driver", "overlay", "--runtime", "runc",
            *args, stdin=stdin, name=f"podman {' '.join(map(str, args[:2]))}")

    def obstacle(self):
        if not shutil.which("podman"):
            return "podman is not installed: run tools/setup.sh --experiment"
        return None

    def begin(self):
        lab, bed = self.bed.lab, self.bed
        for host in ("pc1", "pc2"):
            # Podman writes caches there whatever it is told; they go with the engine's namespace.
            for path in ("/var/lib", "/var/cache"):
                if bed.work.is_relative_to(path):
                    raise PeerError(f"the lab is below {path}: set BATON_BUILD to elsewhere")
                bed.run(host, "mount", "-t", "tmpfs", "tmpfs", path)
        tar = lab.build_service()
        for host in ["pc1"] if bed.complete else ["pc1", "pc2"]:
            with open(tar, "rb") as image:
                self.podman(host, "load", "-q", stdin=image)
        # The cgroup is one that the lab removes; conmon needs none.
        self.podman("pc1", "run", "-d", "--name", NAME, "--network", "host", "--log-driver",
                    "k8s-file", "--cgroups", "no-conmon", "--cgroup-parent",
                    f"/{lab.name}-pc1/podman", self.image)

    def move(self, stages, relay):
        if self.bed.complete:
            self._move_image(stages)
        self._stop_relay(stages, relay)
        with stages.stage("checkpoint"):
            self._checkpoint("checkpoint.tar.zst")
        self.bed.copy(stages, "checkpoint.tar.zst")
        with stages.stage("restore"):
            self._restore("--import", self.bed.work / "pc2" / "checkpoint.tar.zst")

    def _move_image(self, stages):
        """The image does not change: it goes while the service runs"""
        work = self.bed.work
        with stages.stage("image save"):
            self.podman("pc1", "save", "-q", "-o", work / "pc1" / "image.tar", self.image)
        self.bed.copy(stages, "image.tar", "image copy")
        with stages.stage("image load"):
            self.podman("pc2", "load", "-q", "-i", work / "pc2" / "image.tar")

    def _stop_relay(self, stages, relay):
        """CRIU refuses to dump an open connection that nobody can take over"""
        query = ["ss", "-Hnt"]
        for state in ("syn-recv", "established", "close-wait"):
            query += ["state", state]
        with stages.stage("relay down"):
            self.bed.end(relay)
            self.bed.lab.wait_for(lambda: not self.bed.run("pc1", *query, f"sport = :{PORT}"),
                                  20, "the service's connections to close")

    def _checkpoint(self, name, *more):
        self.podman("pc1", "container", "checkpoint", *more, "--export",
                    self.bed.work / "pc1" / name, NAME)

    def _restore(self, *how):
        self.podman("pc2", "container", "restore", *how)


class PreCopy(Podman):
    """Podman with a first dump of memory sent while the service runs"""

    def obstacle(self):
        # Asked anew in each run: it depends on the kernel.
        try:
            self.bed.run("pc1", "criu", "check", "--feature", "mem_dirty_track")
        except PeerError as error:
            return f"{error} (the kernel does not track changed memory: soft-dirty)"
        return super().obstacle()

    def move(self, stages, relay):
        if self.bed.complete:
            self._move_image(stages)
        with stages.stage("pre-dump"):
            self._checkpoint("ahead.tar.zst", "--pre-checkpoint")
        self.bed.copy(stages, "ahead.tar.zst", "copy ahead")
        self._stop_relay(stages, relay)
        with stages.stage("checkpoint"):
            self._checkpoint("checkpoint.tar.zst", "--with-previous")
        self.bed.copy(stages, "checkpoint.tar.zst")
        with stages.stage("restore"):
            there = self.bed.work / "pc2"
            self._restore("--import-previous", there / "ahead.tar.zst",
                          "--import", there / "checkpoint.tar.zst")


WAYS = {"cold": Cold, "podman": Podman, "precopy": PreCopy}


def versions(bed):
    """What took part"""
    def first_line(*command):
        try:
            done = subprocess.run(command, text=True, stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT, check=False, env={
                                      **os.environ, "PATH": f"{prefix}/bin:{os.environ['PATH']}"})
        except FileNotFoundError:
            return None  # not installed
        return done.stdout.strip().splitlines()[0] if done.stdout.strip() else None
    prefix = os.environ.get("BATON_PREFIX", "/opt/baton")
    return {"kernel": platform.release(),
            "docker": bed.lab.docker("pc1", "version", "-f", "{{.Server.Version}}").strip(),
            "podman": first_line("podman", "--version"), "runc": first_line("runc", "--version"),
            "criu": first_line("criu", "--version"), "ssh": first_line("ssh", "-V")}


def state_of(mud, rows):
    """What the answers say of the state: continued, restarted, other, or unknown without answers"""
    if mud["restarted"]:
        return "restarted"
    if mud["wrong"] or not mud["chain_ok"]:
        return "other"
    return "continued" if any(row["ap"] == "AP-2" and row["answered_us"] for row in rows) \
        else "unknown"


def read_rows(path):
    """responses.csv as dictionaries"""
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def one_run(bed, way, out, requests, interval_ms, move):
    """Start the service and the device, move the container when the device moves; what happened"""
    lab = bed.lab
    way.begin()
    bed.answered_at("pc1")
    relay = bed.relay()
    mud = lab.mud("--requests", requests, "--interval-ms", interval_ms, "--move", f"{move}:AP-2",
                  "--direct", f"{address('pc1')}:{PORT}", "--direct", f"{address('pc2')}:{PORT}",
                  "--deadline-s", RUN_SLACK_SECONDS, "--verify", out=out)
    bed.processes.append(mud)
    run_seconds = requests * interval_ms / 1000
    lab.wait_for(lambda: any(e["kind"] == "MOVE" for e in lab.events()) or mud.poll() is not None,
                 run_seconds + 60, "the device to move")
    stages = Stages()
    start = time.time()
    try:
        way.move(stages, relay)
        answering = bed.answered_at("pc2")
    except LabError as error:
        raise MoveError(str(error)) from error
    mud.wait(timeout=run_seconds + RUN_SLACK_SECONDS)
    shutil.copy(lab.events_dir / "events.jsonl", out / "events.jsonl")
    return start, answering, stages


def result(out, start, answering, stages):
    """The numbers of a run that took place"""
    mud = json.loads((out / "mud.json").read_text(encoding="utf-8"))
    rows = read_rows(out / "responses.csv")
    moved = mud["moves"][-1]["moved_us"] / 1e6
    state = state_of(mud, rows)
    sent = stages.size("sent_bytes")
    # From here on the old container answered nothing
    halted = start + sum(s["seconds"] for s in stages.list[:next(
        i for i, s in enumerate(stages.list) if s["name"] in ("stop", "relay down"))])
    return {
        "moved_at": moved, "start_at": start, "answering_at": answering,
        "migration_s": round(answering - start, 3), "stopped_s": round(answering - halted, 3),
        "stages": stages.list, "sent_bytes": sent, "bytes": {"files": sent},
        **{key: mud[key] for key in ("requests", "answered", "lost", "duplicated", "reordered",
                                     "wrong", "restarted", "response_ms")},
        "state": state, "state_equal": state == "continued" and mud["lost"] == 0,
    }


def run_peer(kind, out, *, requests=200, interval_ms=1000, move=50, base="small", complete=False,
             lab_name=LAB_NAME):
    """One run of a peer; write its record into @out and return it

    A way that does not work on this machine is a record too, with "possible" false and the reason.
    Raises LabError if the lab does not come about.
    """
    if kind not in WAYS:
        raise PeerError(f"there is no peer '{kind}' (known: {', '.join(WAYS)})")
    if not 0 < move < requests:
        raise PeerError(f"the move, after request {move}, is not within {requests} requests")
    out = pathlib.Path(out).resolve()
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    record = {"kind": kind, "base": base, "image": "complete" if complete else "partial",
              "possible": True, "reason": None, "channel": "scp (SSH)",
              "link": {"rtt_ms": RTT_MS, "rate_mb_s": RATE_MB_S},
              "interval_ms": interval_ms, "move_after": move}
    with Bed(base, complete, lab_name) as bed:
        record["versions"] = versions(bed)
        way = WAYS[kind](bed)
        record["reason"] = way.obstacle()
        record["possible"] = record["reason"] is None
        try:
            if record["possible"]:
                record.update(result(out, *one_run(bed, way, out, requests, interval_ms, move)))
        except MoveError as error:
            record.update(possible=False, reason=str(error))
    (out / "run.json").write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    return record
