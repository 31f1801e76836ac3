# SPDX-License-Identifier: Apache-2.0
"""Baton's programs on the lab's hosts: certificates, configuration files, start, kill, events.

The demo, the end-to-end tests and the benchmarks use this module; lab/lab (shell) makes the hosts,
their network and their Docker engines.

    host     programs                      ports
    pc<i>    baton-es EdgeServer-<i>       7200 access points and operators, 7201 migrations
             baton-ap AP-<i>               7100 access points and operators, 7101 devices
    logrepo  baton-logrepo LogRepo         7300
    registry docker-registry               5000, only if asked for
    user<k>  what a test runs there        only if asked for, see users()
    laptop   baton-mud USER

baton-es runs as root inside its engine's namespaces; baton-ap and baton-logrepo run without any
capability, and as another user where the tree can be read by others.
"""

import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.parse

import engines
import renew

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent
EXAMPLES = ROOT / "examples"
NOBODY = 65534
SLOW = int(os.environ.get("BATON_SLOW", "1"))  # by what waits are longer
SERVICE = "offload"
OURS = "/containers/json?all=1&filters=" + urllib.parse.quote('{"label":["baton.session"]}')  # as Docker is asked
GATEWAY = "10.80.0.1"  # of users, at every access point
GATEWAY6 = "2001:db8::1"  # likewise, if the machine has IPv6


class LabError(Exception):
    """Something of the test bed did not come about; the text is for a person."""


def address(host):
    """Address of a lab host, as the header of lab/lab lays down."""
    fixed = {"logrepo": 101, "laptop": 102, "registry": 103}
    if host.startswith("user"):
        return f"10.80.0.{10 + int(host[4:])}"
    return f"10.77.0.{fixed[host] if host in fixed else int(host[2:])}"


def user_mac(user):
    """MAC address of a user, as lab/lab lays down."""
    return f"02:ba:70:00:01:{int(user[4:]):02x}"


class Lab:
    """One lab and the programs on it; a context manager that leaves nothing behind."""

    # Whether a lab of the same name and size that is up is taken over, see renew.py; leave() leaves one so
    take_over = False

    def __init__(self, name, edges=2, build=None, rtt_ms=200, rate_mb_s=10, limits=None,
                 service_env=None, quiet=True, image_on=None, profile="baton", method="auto",
                 sync="replay", base="small", registry=None, examples=(), authorised=False,
                 users_listen=None, trusted=True):
        self.name = name
        # folders of examples/ whose services there are, too; users find them at 10.80.0.1
        self.examples = list(examples)
        # where listeners are, by default at the users' gateway; "[::]": at all addresses
        self.users_listen = users_listen or GATEWAY
        self.authorised = authorised  # only stations of hostapd are users: see stations()
        self.base = base  # what the service's image is built on: see service/build-image.sh
        # round-trip time (ms) and rate (MB/s) of its links if there is to be a registry, True for
        # the usual ones; load_service() puts the image there
        self.registry = registry
        self.image = ("registry:5000/" if registry else "") + f"baton/offload:{base}"
        # whether an image that another edge server brings gets its name
        self.trusted = trusted
        self.edges = edges
        self.user_count = 0
        self.build = pathlib.Path(build or os.environ.get("BATON_BUILD", ROOT / "build")).resolve()
        self.dir = self.build / "lab" / name
        self.programs = {}
        self.limits = {"ap": {}, "es": {}, **(limits or {})}
        self.service_env = service_env or []
        self.quiet = quiet
        # hosts that get the service's image; others have to be sent it (C-Migr)
        self.image_on = image_on or self.hosts()
        self.profile = profile  # of all edge servers: "baton", or "paper" to compare with
        self.method = method  # of the service: "auto", "complete", "partial"
        self.sync = sync  # of the service: "auto", "replay", "hold"
        self.rtt_ms, self.rate_mb_s = rtt_ms, rate_mb_s  # of the links at "up"
        self.renewed = False
        self.env = {**os.environ, "BATON_LAB": name, "BATON_BUILD": str(self.build),
                    "BATON_LAB_RTT_MS": str(rtt_ms), "BATON_LAB_RATE_MB_S": str(rate_mb_s)}
        self.env.pop("BATON_LAB_DIR", None)

    # --- the hosts -----------------------------------------------------------------------------

    def lab(self, *args, check=True, capture=True):
        """Run a command of lab/lab and return what it printed."""
        done = subprocess.run([HERE / "lab", *map(str, args)], env=self.env, text=True,
                              stdout=subprocess.PIPE if capture else None,
                              stderr=subprocess.PIPE if capture else None, check=False)
        if check and done.returncode:
            raise LabError(f"lab {' '.join(map(str, args))}: status {done.returncode}\n"
                           f"{done.stderr or ''}{done.stdout or ''}")
        return done.stdout or ""

    def hosts(self):
        return [f"pc{i + 1}" for i in range(self.edges)]

    def up(self):
        if self.take_over:
            try:
                renew.renew(self, self.rtt_ms, self.rate_mb_s)
                self.renewed = True
            except engines.EngineError as e:
                if renew.netns(self):
                    print(f"=== lab {self.name} is made anew: {e}", file=sys.stderr)
        if not self.renewed:
            self.lab("up", self.edges)
            if self.take_over:
                renew.note(self)
        if self.registry:
            self.lab("registry", "up", *([] if self.registry is True else self.registry))
        self._make_files()
        return self

    def leave(self):
        """End all programs; the next lab of this name takes over what is up."""
        for program in list(self.programs):
            self.kill(program)

    def down(self):
        try:
            self.leave()
        finally:
            self.lab("down")

    def __enter__(self):
        try:
            self.up()
            self.load_service()
            self.start_all()
        except BaseException:
            self.down()
            raise
        return self

    def __exit__(self, *_):
        self.down()

    def link(self, *args):
        self.lab("link", *args)

    def users(self, count):
        """Have ordinary users user1 to user<count>, plugged into AP-1 at first."""
        self.lab("users", count)
        self.user_count = count

    def move_user(self, user, to):
        """Plug a user into another access point ("AP-2"), or pull the cable out ("away")."""
        self.lab("move", user, to)

    def exec(self, host, *args, **how):
        """Start a command on a host; the caller waits for it."""
        return subprocess.Popen([HERE / "lab", "exec", host, *map(str, args)], env=self.env, **how)

    def stations(self, *args):
        """Run a command of lab/stations: 802.1X at access points and users."""
        done = subprocess.run([HERE / "stations", *map(str, args)], env=self.env, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
        if done.returncode:
            raise LabError(f"stations {' '.join(map(str, args))}: {done.stderr}{done.stdout}")
        return done.stdout

    def hostapd_socket(self, host):
        """Path of hostapd's control interface on a host."""
        return self.dir / host / "hostapd" / "users"

    def docker(self, host, *args, check=True):
        return self.lab("docker", host, *args, check=check)

    def build_service(self):
        """Build the service's image if need be; return the path of its tar."""
        made = subprocess.run([ROOT / "service" / "build-image.sh", "--base", self.base],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                              check=False)
        if made.returncode:
            raise LabError(f"service/build-image.sh: {made.stderr}")
        return made.stdout.strip().splitlines()[-1]

    def load_service(self):
        """Load the service's image, and those of the examples, where they are to be (image_on)."""
        images = {self.image: self.build_service(),
                  **{f"baton/{example}": self.build_example(example) for example in self.examples}}
        there = renew.keep_images(self, images) if self.renewed else set()
        for name, tar in images.items():
            self.load_image(tar, name, there)
        if self.registry:
            self.push_service(self.image_on[0])

    def build_example(self, example):
        """Build an example's image if need be; return the path of its tar."""
        made = subprocess.run([HERE / "build-image", EXAMPLES / example, f"baton/{example}"],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                              check=False)
        if made.returncode:
            raise LabError(f"image of {example}: {made.stderr}")
        return made.stdout.strip().splitlines()[-1]

    @staticmethod
    def example_setting(example, name):
        """A setting of an example's catalogue entry."""
        text = (EXAMPLES / example / f"{example}.conf").read_text()
        return re.search(rf'^ *{name} = "?([^"\n]*)"?$', text, re.M)[1]

    def example_port(self, example):
        """Where users find an example: at the port that it has in its container."""
        return int(self.example_setting(example, "port"))

    def _listeners(self):
        return "".join(
            f'listener "{e}" {{ listen = "{self.users_listen}:{self.example_port(e)}"  service = "{e}"  '
            f'codec = "{self.example_setting(e, "codec")}" }}\n' for e in self.examples)

    def load_image(self, tar, name, there=()):
        """Load an image into the engines that are to have images, but where it is @there."""
        loads = [subprocess.Popen([HERE / "lab", "load-image", host, tar, name],
                                  env=self.env, stdout=subprocess.DEVNULL,
                                  stderr=subprocess.PIPE, text=True)
                 for host in self.image_on if (host, name) not in there]
        for load in loads:
            _, errors = load.communicate()
            if load.returncode:
                raise LabError(f"load image {name}: {errors}")

    def push_service(self, host="pc1"):
        """Put the service's image from a host that has it into the registry."""
        self.docker(host, "push", "--quiet", self.image)

    # --- files ---------------------------------------------------------------------------------

    def _tool(self, name):
        for folder in ("es", "ap", "mud", "logrepo", "cli", "runtime"):
            path = self.build / "src" / folder / name
            if path.is_file():
                return path
        raise LabError(f"{name} is not built in {self.build}: run make build")

    def _make_files(self):
        self.pki = self.dir / "pki"
        nodes = [("LogRepo", "logrepo"), ("USER", "mud"), ("operator", "operator")]
        for i in range(1, self.edges + 1):
            nodes += [(f"AP-{i}", "ap"), (f"EdgeServer-{i}", "es")]
        self._baton("pki", "init", "--dir", self.pki)
        for name, role in nodes:
            self._baton("pki", "issue", name, role, "--dir", self.pki)
        self.pki.chmod(0o711)  # keys stay 0600 each for its own user
        (self.pki / "ca.crt").chmod(0o644)
        self.events_dir = self.dir / "events"
        self.events_dir.mkdir()
        # Another user can only run what it can reach: not below a home that is closed to it.
        self.as_nobody = subprocess.run(
            ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "test", "-r",
             str(self.pki / "ca.crt"), "-a", "-x", str(self._tool("baton-ap"))], check=False,
            stderr=subprocess.DEVNULL).returncode == 0
        if self.as_nobody:
            os.chown(self.events_dir, NOBODY, NOBODY)
        self.own_keys()
        (self.dir / "logs").mkdir()
        for i in range(1, self.edges + 1):
            self._write_conf(f"AP-{i}", self._ap_conf(i))
            state = self.dir / f"AP-{i}.state"
            state.mkdir(mode=0o700)
            if self.as_nobody:
                os.chown(state, NOBODY, NOBODY)
            self._write_conf(f"EdgeServer-{i}", self._es_conf(i))
        self._write_conf("LogRepo", self._logrepo_conf())
        self._write_conf("USER", self._mud_conf())
        self._write_conf("operator", self._operator_conf())

    def own_keys(self):
        """Give the keys of programs without privilege to the user they run as."""
        for path in self.pki.iterdir() if self.as_nobody else ():
            if path.stem.startswith("AP-") or path.stem == "LogRepo":
                os.chown(path, NOBODY, NOBODY)

    def _baton(self, *args):
        done = subprocess.run([self._tool("baton"), *map(str, args)], text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
        if done.returncode:
            raise LabError(f"baton {' '.join(map(str, args))}: {done.stderr}")
        return done.stdout

    def _write_conf(self, name, text):
        (self.dir / f"{name}.conf").write_text(text)

    def conf(self, name):
        return self.dir / f"{name}.conf"

    @staticmethod
    def _limits(limits):
        if not limits:
            return ""
        return "limits {\n" + "".join(f"    {k} = {v}\n" for k, v in limits.items()) + "}\n"

    def _identity(self, name):
        return (f'name = "{name}"\n'
                f'pki {{ ca = "pki/ca.crt"  cert = "pki/{name}.crt"  key = "pki/{name}.key" }}\n')

    @staticmethod
    def _logrepo_peer():
        return f'logrepo {{ name = "LogRepo"  address = "{address("logrepo")}:7300" }}\n'

    def _es_peers(self, but=0):
        return "".join(
            f'peer "EdgeServer-{i}" {{ role = "es"  address = "{address(f"pc{i}")}:7200"  '
            f'transfer = "{address(f"pc{i}")}:7201" }}\n'
            for i in range(1, self.edges + 1) if i != but)

    def _ap_peers(self, port, but=0, with_es=True):
        return "".join(
            f'peer "AP-{i}" {{ role = "ap"  address = "{address(f"pc{i}")}:{port}"'
            + (f'  es = "EdgeServer-{i}"' if with_es else "") + " }\n"
            for i in range(1, self.edges + 1) if i != but)

    def _ap_conf(self, i):
        here = address(f"pc{i}")
        return (self._identity(f"AP-{i}") + f'listen = "{here}:7100"\n'
                f'station_listen = "{here}:7101"\nes = "EdgeServer-{i}"\n'
                'request_events = "log"\nmonitor_listen = "127.0.0.1:9710"\n'
                # the paper's way executes some requests twice: then answers cannot agree
                + ('compare = "none"\n' if self.profile == "paper" else "")
                + (f'stations = "hostapd:{self.hostapd_socket(f"pc{i}")}"\n'
                   if self.authorised else "")
                + self._logrepo_peer() + self._es_peers() + self._ap_peers(7100, i)
                + (f'state_dir = "AP-{i}.state"\n' if self.examples else "")
                + self._listeners() + self._limits(self.limits["ap"]))

    def _es_conf(self, i):
        here = address(f"pc{i}")
        env = ", ".join(f'"{e}"' for e in self.service_env)
        return (self._identity(f"EdgeServer-{i}") + f'listen = "{here}:7200"\n'
                f'transfer_listen = "{here}:7201"\nprofile = "{self.profile}"\n'
                'monitor_listen = "127.0.0.1:9720"\n'
                f'state_dir = "{self.dir}/pc{i}/sessions"\ncheckpoint_dir = "/run/baton/work"\n'
                f'image_dir = "{self.dir}/pc{i}/images"\n'
                + ('registries = { "registry:5000" }\n' if self.registry else "") +
                'docker { socket = "/run/docker.sock"  exec_root = "/run/docker" }\n'
                + self._logrepo_peer() + self._es_peers(i)
                + f'service "{SERVICE}" {{\n    image = "{self.image}"\n    port = 7000\n'
                '    codec = "frame"\n    memory_mb = 256\n'
                + (f'    trusted_images = {{ "{self.image.rpartition(":")[0]}" }}\n'
                   if self.trusted else "")
                + f'    sync = "{self.sync}"\n    method = "{self.method}"\n'
                + (f"    env = {{ {env} }}\n" if env else "") + "}\n"
                + "".join((EXAMPLES / e / f"{e}.conf").read_text() for e in self.examples)
                + self._limits(self.limits["es"]))

    def _logrepo_conf(self):
        return (self._identity("LogRepo") + f'listen = "{address("logrepo")}:7300"\n'
                'monitor_listen = "127.0.0.1:9730"\n'
                f'events = "{self.events_dir}/events.jsonl"\n')

    def _mud_conf(self):
        aps = ", ".join(f'"AP-{i}"' for i in range(1, self.edges + 1))
        return (self._identity("USER") + f'ap = {{ {aps} }}\nuses = "{SERVICE}"\n'
                'request_events = "log"\n'
                + self._logrepo_peer() + self._ap_peers(7101, with_es=False))

    def _operator_conf(self):
        return (self._identity("operator") + self._logrepo_peer() + self._es_peers()
                + self._ap_peers(7100))

    # --- programs ------------------------------------------------------------------------------

    def _unprivileged(self, command):
        flags = ["setpriv", "--no-new-privs", "--inh-caps=-all", "--bounding-set=-all"]
        if self.as_nobody:
            flags += [f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
        return [*flags, *command]

    def _command(self, name):
        conf = ["--config", str(self.conf(name))]
        if name == "LogRepo":
            return ["exec", "logrepo",
                    *self._unprivileged([str(self._tool("baton-logrepo")), *conf])]
        kind, i = name.rsplit("-", 1)
        if kind == "AP":
            return ["exec", f"pc{i}", *self._unprivileged([str(self._tool("baton-ap")), *conf])]
        return ["exec-engine", f"pc{i}", str(self._tool("baton-es")), *conf]

    def log_of(self, name):
        path = self.dir / "logs" / f"{name}.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def start(self, name, wait=True):
        """Start a program; with @wait until it says that it serves."""
        log = open(self.dir / "logs" / f"{name}.log", "a", encoding="utf-8")
        seen = self.log_of(name).count(" serving ")
        self.programs[name] = subprocess.Popen(
            [HERE / "lab", *self._command(name)], env=self.env, stdout=log, stderr=log,
            stdin=subprocess.DEVNULL, start_new_session=True)
        log.close()
        if wait:
            self.wait_for(lambda: self.log_of(name).count(" serving ") > seen,
                          20, f"{name} to serve", alive=name)

    def start_all(self):
        names = ["LogRepo"]
        for i in range(1, self.edges + 1):
            names += [f"EdgeServer-{i}", f"AP-{i}"]
        self.start("LogRepo")
        for name in names[1:]:
            self.start(name, wait=False)
        for name in names[1:]:
            self.wait_for(lambda n=name: " serving " in self.log_of(n), 20, f"{name} to serve",
                          alive=name)
        # a session begins at another edge server if its own is not connected yet
        for i in range(1, self.edges + 1):
            self.wait_for(lambda n=i: f"connected to edge server EdgeServer-{n}" in self.log_of(f"AP-{n}"), 20,
                          f"AP-{i} to reach EdgeServer-{i}", alive=f"AP-{i}")

    def wait_for(self, condition, seconds, what, alive=None):
        """Poll a condition that nothing announces; fail when it does not come or @alive dies."""
        seconds *= SLOW
        end = time.monotonic() + seconds
        while True:
            value = condition()
            if value:
                return value
            if alive and self.programs[alive].poll() is not None:
                raise LabError(f"{alive} ended while waiting for {what}:\n{self.log_of(alive)}")
            if time.monotonic() > end:
                logs = self.log_of(alive) if alive else ""
                raise LabError(f"waited {seconds} s for {what}\n{logs}")
            time.sleep(0.02)

    def _pids(self, name):
        """Processes of a program by its configuration file: lab exec stands in front of some."""
        wanted = str(self.conf(name))
        pids = []
        for entry in os.listdir("/proc"):
            if not entry.isdigit():
                continue
            try:
                args = pathlib.Path("/proc", entry, "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            exe = os.path.basename(args[0].decode(errors="replace")) if args[0] else ""
            if exe.startswith("baton-") and wanted.encode() in args:
                pids.append(int(entry))
        return pids

    def tell(self, name, how):
        """Send a signal to a program that runs on."""
        for pid in self._pids(name):
            os.kill(pid, how)

    def kill(self, name, how=signal.SIGKILL):
        """Send a signal to a program and wait until it has ended; return its status."""
        process = self.programs.pop(name, None)
        told = set()
        end = time.monotonic() + 20 * SLOW
        while True:  # one that was only just started may not be there to be found yet
            for pid in set(self._pids(name)) - told:
                told.add(pid)
                try:
                    os.kill(pid, how)
                except ProcessLookupError:
                    pass
            if not process:
                return None
            try:
                return process.wait(timeout=0.05)
            except subprocess.TimeoutExpired:
                if time.monotonic() > end:
                    process.kill()
                    process.wait()
                    raise LabError(
                        f"{name} did not end within 20 s of signal {how}") from None

    def mud(self, *args, out=None):
        """Start the emulated device; the caller waits for it."""
        out = pathlib.Path(out or self.dir / "mud")
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir(parents=True)
        log = open(out / "mud.log", "w", encoding="utf-8")
        process = subprocess.Popen(
            [HERE / "lab", "exec", "laptop", self._tool("baton-mud"), "--config",
             str(self.conf("USER")), "--out", str(out), *map(str, args)],
            env=self.env, stdin=subprocess.DEVNULL,
            stdout=log if self.quiet else None, stderr=log if self.quiet else None)
        log.close()
        return process

    def baton(self, *args, check=True):
        """Run the operator's command on the laptop."""
        done = subprocess.run([HERE / "lab", "exec", "laptop", self._tool("baton"), "--config",
                               str(self.conf("operator")), *map(str, args)], env=self.env,
                              text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              check=False)
        if check and done.returncode:
            raise LabError(f"baton {' '.join(map(str, args))}: {done.stderr}")
        return done.stdout

    def monitor(self, name, path="/metrics"):
        """What a daemon shows to whoever watches it, on its own host."""
        kind, _, i = name.rpartition("-")
        host, port = {"AP": (f"pc{i}", 9710), "EdgeServer": (f"pc{i}", 9720),
                      "": ("logrepo", 9730)}[kind]
        code = ("import sys, urllib.request as u; "
                "sys.stdout.write(u.urlopen(sys.argv[1], timeout=20).read().decode())")
        return self.lab("exec", host, sys.executable, "-c", code,
                        f"http://127.0.0.1:{port}{path}")

    # --- what happened -------------------------------------------------------------------------

    def events(self):
        """All events of the repository so far, in the order in which it got them."""
        events = []
        # PATH.000001 is older than PATH.000002, and all are older than PATH
        for path in [*sorted(self.events_dir.glob("events.jsonl.*")),
                     *self.events_dir.glob("events.jsonl")]:
            for line in path.read_text(encoding="utf-8").splitlines():
                try:
                    events.append(json.loads(line))
                except json.JSONDecodeError:
                    pass  # the line being written
        return events

    def wait_event(self, kind, seconds=30, node=None, count=1, alive=None):
        """Wait until an event of this kind (of this node) has come @count times; return the last."""
        def seen():
            found = [e for e in self.events()
                     if e["kind"] == kind and node in (None, e["node"])]
            return found[count - 1] if len(found) >= count else None
        return self.wait_for(seen, seconds, f"event {kind}", alive=alive)

    def containers(self, host):
        """Names of all of Baton's containers on a host, whatever their state."""
        docker = engines.Api(self.dir / host)
        try:
            return [container["Names"][0].lstrip("/") for container in docker.ask("GET", OURS)]
        except engines.EngineError as e:
            raise LabError(str(e)) from None
        finally:
            docker.close()

    def staged(self, host):
        """Files of checkpoints that lie on a host."""
        try:
            root = engines.root_of(self.dir / host)
        except engines.EngineError:
            return []
        return [os.path.join(folder, name)[len(str(root)):] for top in ("work", "staged")
                for folder, folders, files in os.walk(root / "run/baton" / top) for name in (*folders, *files)]


def require_root():
    if os.geteuid() != 0:
        sys.exit("the lab needs root: network namespaces, Docker, CRIU")
