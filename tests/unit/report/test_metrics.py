#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What baton-ap and baton-logrepo show to Prometheus, and the dashboard that is made for it."""

import http.client
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "tests"))
import exposition  # noqa: E402

BATON, LOGREPO, AP = sys.argv[1:4]
MONITORING = ROOT / "examples" / "monitoring"


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def get(port, path):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.request("GET", path)
    response = connection.getresponse()
    body = response.read().decode()
    connection.close()
    return response.status, body


class Metrics(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.dir = pathlib.Path(tempfile.mkdtemp(prefix="baton-test-metrics-"))
        cls.port = {"LogRepo": free_port(), "AP-1": free_port()}
        cls.repository = f"127.0.0.1:{free_port()}"
        pki = cls.dir / "pki"
        subprocess.run([BATON, "pki", "init", "--dir", pki], check=True, capture_output=True)
        for name, role in ("LogRepo", "logrepo"), ("AP-1", "ap"):
            subprocess.run([BATON, "pki", "issue", name, role, "--dir", pki], check=True,
                           capture_output=True)
        cls.programs = {}
        cls.start("LogRepo", LOGREPO, f'listen = "{cls.repository}"\nevents = "events.jsonl"\n')
        cls.start("AP-1", AP, f'listen = "127.0.0.1:{free_port()}"\n'
                  f'station_listen = "127.0.0.1:{free_port()}"\nes = "EdgeServer-1"\n'
                  f'state_dir = "state"\nspool_dir = "{cls.dir}"\n'
                  f'logrepo {{ name = "LogRepo" address = "{cls.repository}" }}\n'
                  f'peer "EdgeServer-1" {{ role = "es" address = "127.0.0.1:{free_port()}" }}\n'
                  f'peer "AP-2" {{ role = "ap" address = "127.0.0.1:{free_port()}" }}\n')

    @classmethod
    def start(cls, name, program, text):
        conf = cls.dir / f"{name}.conf"
        (cls.dir / "state").mkdir(exist_ok=True)
        conf.write_text(f'name = "{name}"\nmonitor_listen = "127.0.0.1:{cls.port[name]}"\n'
                        f'pki {{ ca = "pki/ca.crt" cert = "pki/{name}.crt" key = "pki/{name}.key" }}\n'
                        + text)
        p = cls.programs[name] = subprocess.Popen([program, "--config", conf], text=True,
                                                  stderr=subprocess.PIPE)
        said = ""
        while " serving " not in said:
            said = p.stderr.readline()
            if not said:
                raise AssertionError(f"{name} did not start")

    @classmethod
    def tearDownClass(cls):
        for p in cls.programs.values():
            p.send_signal(signal.SIGTERM)
            assert p.wait(20) == 0
            p.stderr.close()
        shutil.rmtree(cls.dir)

    def metrics(self, name):
        status, text = get(self.port[name], "/metrics")
        self.assertEqual(status, 200)
        return exposition.parse(text)

    def test_access_point(self):
        m = self.metrics("AP-1")
        self.assertEqual(exposition.value(m, "baton_sessions", state="serving"), 0)
        self.assertEqual(exposition.value(m, "baton_moves_total", result="moved"), 0)
        self.assertEqual(exposition.value(m, "baton_peer_up", role="es", peer="EdgeServer-1"), 0)
        self.assertEqual(exposition.value(m, "baton_peer_up", role="ap", peer="AP-2"), 0)
        self.assertGreater(exposition.value(m, "baton_disk_free_bytes", directory="state_dir"), 0)
        days = exposition.value(m, "baton_certificate_remaining_seconds") / 86400
        self.assertIn(days, (364, 365))
        self.assertEqual(get(self.port["AP-1"], "/healthz"),
                         (503, "no edge server can be reached\n"))

    def test_logrepo(self):
        m = self.metrics("LogRepo")
        self.assertGreaterEqual(exposition.value(m, "baton_events_stored_total"), 0)
        self.assertEqual(exposition.value(m, "baton_events_lost_total"), 0)
        self.assertEqual(get(self.port["LogRepo"], "/healthz"), (200, "ok\n"))

    def test_promtool(self):
        promtool = shutil.which("promtool") or os.environ.get("PROMTOOL")
        if not promtool:
            self.skipTest("promtool is not installed (package prometheus)")
        for name, port in self.port.items():
            done = subprocess.run([promtool, "check", "metrics"], input=get(port, "/metrics")[1],
                                  text=True, capture_output=True, check=False)
            self.assertEqual((done.returncode, done.stdout + done.stderr), (0, ""), name)
        done = subprocess.run([promtool, "check", "config", MONITORING / "prometheus.yml"],
                              text=True, capture_output=True, check=False)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)


class Dashboard(unittest.TestCase):
    def test_metrics_exist(self):
        """What the dashboard asks for is what some program writes, with the labels it has"""
        sources = "".join(p.read_text() for p in (ROOT / "src").glob("*/*metrics.c"))
        sources += (ROOT / "src/logrepo/main.c").read_text()
        written = dict(re.findall(r'"(baton_[a-z_]+)",\s+"(counter|gauge|histogram)"', sources))
        self.assertGreater(len(written), 25)
        sources += (ROOT / "src/report/exposition.c").read_text()
        labels = set(re.findall(r'"([a-z]+)"', sources)) | {"le", "instance"}
        dashboard = json.loads((MONITORING / "grafana.json").read_text())
        asked = [t["expr"] for p in dashboard["panels"] for t in p["targets"]]
        self.assertGreater(len(asked), 15)
        for expr in asked:
            names = re.findall(r"baton_[a-z_]+", expr)
            self.assertTrue(names or expr.startswith("up{"), expr)
            for name in names:
                base = re.sub(r"_(bucket|sum|count)$", "", name)
                kind = written.get(name) or written.get(base)
                self.assertIsNotNone(kind, f"{name} in {expr} is nobody's")
                self.assertEqual(kind == "histogram", name != base, expr)
                # only what grows has a rate
                counted = re.search(rf"(rate|increase)\({name}", expr)
                self.assertEqual(bool(counted), kind != "gauge", expr)
            for used in re.findall(r"by \(([a-z, ]+)\)", expr):
                self.assertLessEqual(set(used.split(", ")), labels, expr)
        self.assertEqual(len({p["id"] for p in dashboard["panels"]}), len(dashboard["panels"]))

    def test_all_are_described(self):
        """docs/operate.md names each metric"""
        sources = "".join(p.read_text() for p in (ROOT / "src").glob("*/*metrics.c"))
        sources += (ROOT / "src/logrepo/main.c").read_text()
        text = (ROOT / "docs" / "operate.md").read_text()
        missing = {n for n in re.findall(r'"(baton_[a-z_]+)"', sources) if f"`{n}" not in text}
        self.assertEqual(missing, set())


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
