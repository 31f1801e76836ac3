# SPDX-License-Identifier: Apache-2.0
"""Bad input of every sort: one clear line, nothing half-done, and the service of others goes on"""

import json
import pathlib
import re
import subprocess

import bed

HOSTILE = pathlib.Path(__file__).resolve().parent / "hostile.py"
ROLES = {"USER": 1, "AP-2": 2, "EdgeServer-2": 3, "operator": 5}  # enum wire_role
# Who may connect to which port; each of them misbehaves after its HELLO.
PORTS = (("AP-1", 7100, "operator"), ("AP-1", 7101, "USER"), ("EdgeServer-1", 7200, "operator"),
         ("LogRepo", 7300, "USER"))
FACT = r"[\w:/.-]+: (note|image|host|size|time): "  # what `baton check` says beside its verdict
ADDRESS = {"AP-1": "10.77.0.1", "EdgeServer-1": "10.77.0.1", "LogRepo": "10.77.0.101"}

RING = """
import ctypes, os, time
libc = ctypes.CDLL(None, use_errno=True)
ring = libc.syscall(425, 8, ctypes.create_string_buffer(120))  # io_uring_setup
with open("/dev/shm/new", "w") as file:
    print("made" if ring >= 0 else os.strerror(ctypes.get_errno()), file=file)
os.rename("/dev/shm/new", "/dev/shm/ring")
time.sleep(3600)
"""


def may_set_limits():
    """Whether root has CAP_SYS_RESOURCE here, with which CRIU dumps processes of other users"""
    status = pathlib.Path("/proc/self/status").read_text()
    return int(re.search(r"CapEff:\s*(\w+)", status)[1], 16) >> 24 & 1


class BadPeer(bed.BedTest):
    EDGES = 2

    def mud_with(self, name, *replace, requests=1):
        """Run baton-mud with the user's configuration, changed; return status and what it said"""
        text = self.lab.conf("USER").read_text()
        for old, new in replace:
            self.assertIn(old, text)
            text = text.replace(old, new)
        conf = self.lab.dir / f"{name}.conf"
        conf.write_text(text)
        run = subprocess.run(
            [bed.ROOT / "lab" / "lab", "exec", "laptop", self.lab._tool("baton-mud"), "--config",
             conf, "--requests", str(requests), "--deadline-s", "2", "--out", self.lab.dir / name],
            env=self.lab.env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            timeout=30, check=False)
        return run.returncode, run.stdout

    def hostile(self, node, port, what, as_whom=None, pki=None):
        """Misbehave once; return the lines that the daemon logged about it"""
        pki = pki or self.lab.pki
        identity = ([self.lab.pki / "ca.crt", pki / f"{as_whom}.crt", pki / f"{as_whom}.key", as_whom,
                     ROLES[as_whom]] if as_whom else [])
        before = len(self.lab.log_of(node))
        run = subprocess.run(
            [bed.ROOT / "lab" / "lab", "exec", "laptop", "python3", str(HOSTILE), ADDRESS[node],
             str(port), what, *map(str, identity)], env=self.lab.env, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        self.assertEqual(run.returncode, 0, f"{node}:{port} {what}: not closed\n{run.stdout}")

        def about_it():
            return [line for line in self.lab.log_of(node)[before:].splitlines()
                    if "refused" in line or "link ended" in line]
        try:
            self.wait(about_it, "a line in the log", 3)
        except bed.LabError:
            pass
        return about_it()

    def served(self):
        """Another user, who is served all the while"""
        user = self.user("--requests", 40, "--interval-ms", 50)
        user.session()
        return user

    def test_unknown_service(self):
        status, said = self.mud_with("unknown", (f'uses = "{bed.SERVICE}"', 'uses = "nothing"'))
        self.assertEqual(status, 1)
        self.assertRegex(said, 'session is lost: .*service "nothing" is not in the catalogue')
        self.assertEqual(self.lab.containers("pc1"), [])
        self.assert_good(self.served())
        self.assert_nothing_left()

    def test_certificate_of_another_authority(self):
        pki = self.lab.dir / "other-pki"
        self.lab._baton("pki", "init", "--dir", pki)
        self.lab._baton("pki", "issue", "USER", "mud", "--dir", pki)
        user = self.served()
        status, said = self.mud_with("stranger", ("pki/", "other-pki/"))
        self.assertEqual(status, 1, said)
        self.assertTrue(self.lines("AP-1", "refused"), self.said("AP-1"))
        # one that trusts us, while we must not trust it
        self.assertEqual(len(self.hostile("AP-1", 7101, "malformed", "USER", pki)), 1)
        self.assert_good(user)
        self.assert_nothing_left()

    def test_certificate_of_another_role(self):
        user = self.served()
        status, said = self.mud_with("AP-2-as-mud", ('name = "USER"', 'name = "AP-2"'),
                                     ("pki/USER.", "pki/AP-2."))
        self.assertIn(status, (1, 2), said)
        if status == 1:  # it may notice itself, and never connect
            self.assertTrue(self.lines("AP-1", "refused"), self.said("AP-1"))
        # neither may somebody else write a HELLO as who he is not
        self.assertEqual(len(self.hostile("AP-1", 7101, "other-name", "USER")), 1)
        self.assertEqual(len(self.hostile("AP-1", 7101, "no-hello", "AP-2")), 1)
        self.assert_good(user)
        self.assert_nothing_left()

    def test_no_tls(self):
        """Whatever comes without TLS, at each port there is"""
        user = self.served()
        for node, port in (*((node, port) for node, port, _ in PORTS), ("EdgeServer-1", 7201)):
            for what in ("text", "noise"):
                with self.subTest(node=node, port=port, what=what):
                    self.assertEqual(len(self.hostile(node, port, what)), 1)
        self.assert_good(user)
        self.assert_nothing_left()

    def test_bad_frames(self):
        """Frames that break the rules, from a peer whose certificate is good"""
        user = self.served()
        for node, port, as_whom in PORTS:
            for what in ("no-hello", "oversized", "chunk", "malformed"):
                with self.subTest(node=node, port=port, what=what):
                    self.assertEqual(len(self.hostile(node, port, what, as_whom)), 1)
        self.assert_good(user)
        self.assert_nothing_left()


class BadConfiguration(bed.BedTest):
    EDGES = 2

    def test_check_config(self):
        """Each program names file and line of the first mistake, and starts nothing"""
        programs = {"baton-ap": "AP-1", "baton-es": "EdgeServer-1", "baton-logrepo": "LogRepo",
                    "baton-mud": "USER"}
        for program, name in programs.items():
            good = self.lab.conf(name).read_text()
            for bad in ('nmae = "x"', "pki {", 'name = "a b"', 'limits { retry_ms = -1 }',
                        'limits { no_such = 1 }', 'name = '):
                with self.subTest(program=program, bad=bad):
                    conf = self.lab.dir / "bad.conf"
                    conf.write_text(f"{good}{bad}\n")
                    line = good.count("\n") + 1
                    run = self.check(program, conf)
                    self.assertEqual(run.returncode, 2, run.stdout)
                    self.assertEqual(len(run.stdout.splitlines()), 1, run.stdout)
                    # what is not closed is seen at the end of the file
                    self.assertRegex(run.stdout, rf"bad\.conf:({line}|{line + 1}): ")
            run = self.check(program, self.lab.conf(name))
            self.assertEqual(run.returncode, 0, run.stdout)

    def check(self, program, conf):
        return subprocess.run([self.lab._tool(program), "--config", conf, "--check-config"],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              timeout=10, check=False)

    def start_in(self, container, process):
        """Start a process in a container; one that makes a ring says what came of it"""
        options, command = (process[:2], process[2:]) if process[0] == "-u" else ([], process)
        self.lab.docker("pc1", "exec", "-d", *options, container, *command)
        if RING in command:
            made = self.wait(lambda: self.lab.docker("pc1", "exec", container, "cat",
                                                     "/dev/shm/ring", check=False), "a ring")
            if made.strip() != "made":
                self.skipTest(f"io_uring cannot be used in a container here: {made}")

    def test_container_that_cannot_move(self):
        """`baton check` says what stands in the way, and what to do about it"""
        image = "baton/offload:small"
        for name, options, process, words in (
                ("tty", ["-t"], None, "has a terminal.*start it without -t"),
                ("socket", ["-v", "/run/docker.sock:/run/docker.sock"], None, "docker.sock"),
                ("bind", ["-v", "/tmp:/mnt"], None,
                 "mounts /tmp at /mnt, which does not move.*keep the files in a volume"),
                ("io_uring", ["--security-opt", "seccomp=unconfined"],
                 ["python3", "-c", RING], "python3.* uses io_uring.*switch io_uring off"),
                ("other-user", [], ["-u", "1000", "sleep", "3600"],
                 "sleep.* runs as user 1000.*run the service as root in the container"),
                ("good", ["-e", "A=b", "--memory", "128m"], None, None)):
            with self.subTest(container=name):
                self.lab.docker("pc1", "run", "-d", "--runtime", "baton", "--name", name, *options,
                                image)
                self.addCleanup(self.lab.docker, "pc1", "rm", "-f", name, check=False)
                if name == "other-user" and may_set_limits():
                    self.skipTest("root has CAP_SYS_RESOURCE here: other users can be moved")
                if process:
                    self.start_in(name, process)
                said = self.lab.baton("check", name, "--node", "EdgeServer-1", check=False)
                verdict = [line for line in said.splitlines() if not re.match(FACT, line)]
                self.assertEqual(len(verdict), 1, said)
                if words:
                    self.assertRegex(verdict[0], words)
                else:
                    self.assertEqual(verdict[0], "good: can be moved")
        self.assertFalse(re.search("can be moved", self.lab.baton(
            "check", "no-such", "--node", "EdgeServer-1", check=False)))

    def test_check_tells_more(self):
        """Versions, sizes, time, what docker exec has started; of an image, too; and the other host"""
        ask = ("--node", "EdgeServer-1", "--to", "EdgeServer-2", "--rate-mb-s", "10", "--rtt-ms", "200",
               "--json")
        self.lab.docker("pc1", "run", "-d", "--runtime", "baton", "--name", "large", "-v", "/data",
                        "--tmpfs", "/t", "baton/offload:small")
        self.addCleanup(self.lab.docker, "pc1", "rm", "-fv", "large", check=False)
        self.lab.docker("pc1", "exec", "-d", "large", "sleep", "3600")
        self.lab.docker("pc1", "exec", "large", "sh", "-c",
                        "head -c 70M /dev/zero >/t/x; head -c 5M /dev/urandom >/data/x; "
                        "head -c 3M /dev/urandom >/x")
        self.wait(lambda: "sleep" in self.lab.docker("pc1", "top", "large"), "sleep")
        said = json.loads(self.lab.baton("check", "large", *ask))
        self.assertTrue(said["ok"], said)
        self.assertEqual(said["kind"], "container")
        sizes = said["bytes"]
        self.assertGreaterEqual(sizes["tmpfs"], 70 << 20)
        self.assertGreaterEqual(sizes["volumes"], 5 << 20)
        self.assertGreaterEqual(sizes["layer"], 3 << 20)
        self.assertGreater(sizes["image"], 50e6)
        self.assertGreater(sizes["memory"], 1e6)
        notes = " ".join(note["what"] for note in said["notes"])
        self.assertRegex(notes, r"process \d+ \(sleep\) was started by docker exec")
        self.assertRegex(notes, r"its tmpfs mounts, 7\d MB, are packed")
        for key in ("kernel", "criu", "runc", "docker"):
            self.assertRegex(said["host"][key], r"^\d+\.\d+")
        time = said["predicted"]
        self.assertEqual((time["rate"], time["rtt_us"]), (10000000, 200000))
        self.assertGreater(time["total_with_image_us"], time["total_us"] + 1000000)
        self.assertGreater(time["freeze_us"], 300000)
        image = json.loads(self.lab.baton("check", "baton/offload:small", *ask))
        self.assertEqual((image["kind"], image["ok"], image["findings"]), ("image", True, []))
        self.assertEqual(image["bytes"]["image"], sizes["image"])
        self.assertEqual(image["image"], {"user": "root", "stop_signal": "SIGTERM",
                                          "ports": ["7000/tcp"], "volumes": []})
