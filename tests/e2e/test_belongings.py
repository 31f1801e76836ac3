# SPDX-License-Identifier: Apache-2.0
"""What the catalogue can ask for moves with a user's container; the catalogue changes while it runs"""

import json
import signal
import subprocess

import bed
from baton_lab import Lab, ROOT
from test_codecs import OK, Device

PORT = 9090
UNKNOWN = 'service "{}" is not in the catalogue'
SHARED = "/run/baton-shared"


class BelongingsLab(Lab):
    """A lab whose edge servers have a catalogue"""

    def catalogue(self, i):
        path = self.dir / f"pc{i}" / "services.d"
        path.mkdir(parents=True, exist_ok=True)
        return path

    def offer(self, i, name, more=""):
        """Write a service's file: one that has one of everything"""
        program = json.dumps((ROOT / "tests/e2e/belongings.py").read_text())
        (self.catalogue(i) / f"{name}.conf").write_text(
            f'service "{name}" {{\n'
            f'    image = "{self.image}"  port = 7000  codec = "frame"  compare = "none"\n'
            f'    command = {{ "python3", "-c", {program} }}\n'
            '    volumes = { "data:/volume", "more:/more" }\n'
            '    tmpfs = { "/tmpfs:size=16m,mode=0711" }\n'
            f'    binds = {{ "{SHARED}/maps:/maps:ro" }}\n'
            f'    publish = {{ "{PORT}:7000" }}\n'
            f'    memory_mb = 300  cpu_millis = 900  pids = 77  {more}\n}}\n')

    def _es_conf(self, i):
        self.offer(i, "belongings")
        self.offer(i, "held", 'sync = "hold"')
        subprocess.run([ROOT / "lab/lab", "exec-engine", f"pc{i}", "sh", "-c",
                        f"mkdir -p {SHARED}/maps && echo pc{i} >{SHARED}/maps/where"],
                       env=self.env, check=True)
        return (super()._es_conf(i) + f'catalogue = "{self.catalogue(i)}"\n'
                + f'shared = {{ "{SHARED}" }}\n')


class Belongings(bed.BedTest):
    EDGES = 2
    RATE_MB_S = 20

    @classmethod
    def bring_up(cls):
        cls.lab = BelongingsLab(bed.LAB_NAME, cls.EDGES, rtt_ms=cls.RTT_MS,
                                rate_mb_s=cls.RATE_MB_S)
        bed.BedTest.up = cls.lab
        cls.lab.__enter__()
        cls.clean = True

    def device(self, service="belongings"):
        device = Device(self, service)
        self.addCleanup(device.process.kill)
        device.tell("move", "AP-1")
        device.hear("associated")
        return device

    def docker(self, host, *args):
        return self.lab.lab("docker", host, *args)

    def volumes(self, host):
        return self.docker(host, "volume", "ls", "-q").split()

    def container(self, host):
        return self.wait(lambda: self.docker(host, "ps", "-q").split(), "a container")[0]

    def check(self, device):
        device.ask(b'{"op":"check"}')
        _, status, text = device.answer()
        self.assertEqual(status, OK, text)
        self.assertEqual(json.loads(text)["wrong"], {})
        self.assertEqual(json.loads(text)["starts"], [1, 1])

    def ask_published(self, host):
        """The published port of a host leads to the service, beside Baton"""
        program = ("import socket,struct,sys\n"
                   f"s = socket.create_connection(('127.0.0.1', {PORT}), 20)\n"
                   "m = b'{\"op\":\"check\"}'\n"
                   "s.sendall(struct.pack('>I', len(m)) + m)\n"
                   "f = s.makefile('rb')\n"
                   "print(f.read(struct.unpack('>I', f.read(4))[0]).decode())")
        said = self.lab.lab("exec-engine", host, "python3", "-c", program)
        self.assertTrue(json.loads(said)["agree"], said)

    def limits(self, host):
        text = self.docker(host, "inspect", "-f", "{{.HostConfig.Memory}} {{.HostConfig.NanoCpus}} "
                           "{{.HostConfig.PidsLimit}}", self.container(host))
        return [int(n) for n in text.split()]

    def test_all_of_it_moves(self):
        """R1, R2: volumes, tmpfs, a shared directory, limits and a published port"""
        self.there_and_back("belongings")

    def test_all_of_it_moves_held(self):
        """The same while requests are held (R6)"""
        self.there_and_back("held")

    def there_and_back(self, service):
        device = self.device(service)
        self.check(device)
        self.assertEqual(len(self.volumes("pc1")), 2)
        for number, (there, here, host, old) in enumerate(
                (("AP-2", "EdgeServer-2", "pc2", "pc1"), ("AP-1", "EdgeServer-1", "pc1", "pc2"))):
            device.tell("move", there)
            while not self.events.find("MIGRATION DONE", here):
                self.check(device)
            self.wait_event("SWITCH COMPLETE", there)
            self.check(device)
            self.ask_published(host)
            self.assertEqual(self.limits(host), [300 << 20, 900_000_000, 77])
            where = self.docker(host, "exec", self.container(host), "cat", "/maps/where")
            self.assertEqual(where.strip(), host)
            self.wait(lambda o=old: not self.volumes(o), f"volumes of {old} to go")
            self.assertEqual(len(self.volumes(host)), 2, f"hop {number}")
        self.assertEqual(self.events.find("MIGRATION FAILED"), [])
        device.end()
        self.assert_nothing_left()
        for host in ("pc1", "pc2"):
            self.wait(lambda h=host: not self.volumes(h), f"volumes of {host} to go")

    def reload(self, expected):
        """Have EdgeServer-1 read its catalogue again; wait for what it says"""
        before = len(self.lines("EdgeServer-1", expected))
        self.lab.tell("EdgeServer-1", signal.SIGHUP)
        self.wait(lambda: len(self.lines("EdgeServer-1", expected)) > before, expected)
        return self.lines("EdgeServer-1", expected)[-1]

    def refused(self, service):
        """No new session of a service can begin"""
        device = Device(self, service)
        self.addCleanup(device.process.kill)
        device.tell("move", "AP-1")
        line = device.lines.get(timeout=60)
        self.assertEqual(line[0], "lost", line)
        self.assertIn(UNKNOWN.format(service), " ".join(line))

    def test_catalogue_changes(self):
        """Services come and go while others' sessions go on; a bad file changes nothing"""
        self.refused("new")
        device = self.device()
        self.check(device)
        files = self.lab.catalogue(1)
        self.lab.offer(1, "new")
        bad = files / "bad.conf"
        bad.write_text('service "bad" {\n    image = "x"\n    port = 70000\n}\n')
        said = self.reload("the configuration stays as it was")
        self.assertIn(f"{bad}:3: port = 70000: want 1 to 65535", said)
        check = subprocess.run([self.lab.build / "src/es/baton-es", "--check-config", "--config",
                                self.lab.conf("EdgeServer-1")], text=True, check=False,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.assertEqual(check.returncode, 2)
        self.assertIn(f"{bad}:3: port = 70000: want 1 to 65535", check.stderr)
        self.refused("new")
        bad.unlink()
        (files / "belongings.conf").unlink()
        # The port that both publish is free once the first one has moved.
        self.reload("configuration read again: 3 services are offered")
        self.check(device)
        self.refused("belongings")
        device.tell("move", "AP-2")
        while not self.events.find("MIGRATION DONE", "EdgeServer-2"):
            self.check(device)
        self.wait_event("SWITCH COMPLETE", "AP-2")
        self.check(device)
        self.wait(lambda: not self.docker("pc1", "ps", "-q").split(), "CT-x to go")
        device.end()
        another = self.device("new")
        self.check(another)
        another.end()
        (files / "new.conf").unlink()
        self.lab.offer(1, "belongings")
        self.reload("configuration read again: 3 services are offered")
        self.assert_nothing_left()
