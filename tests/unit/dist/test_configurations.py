#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Each daemon starts with its example: addresses replaced, certificates by `baton pki`, nothing else."""

import http.server
import os
import re
import shutil
import signal
import socket
import socketserver
import subprocess
import sys
import tempfile
import threading
import unittest

CONF, BATON, *DAEMONS = sys.argv[1:]
NAMES = {"es": "EdgeServer-1", "ap": "AP-1", "logrepo": "LogRepo"}


class Engine(http.server.BaseHTTPRequestHandler):
    """A Docker engine that has no containers"""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        body = b"OK" if self.path.endswith("/_ping") else b"[]" if "/containers/json" in self.path else \
            b'{"ApiVersion": "1.44", "MinAPIVersion": "1.24", "Driver": "overlay2", ' \
            b'"Runtimes": {"baton": {"path": "/usr/sbin/baton-runtime"}}}'
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(body)

    def address_string(self):
        return "unix"

    def log_message(self, *_):
        pass


class EngineServer(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True


class Configurations(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="baton-test-conf-")
        self.addCleanup(shutil.rmtree, self.dir)
        self.baton("init")
        for role, name in NAMES.items():
            self.baton("issue", name, role)
            for kind in "crt", "key":
                os.rename(f"{self.dir}/pki/{name}.{kind}", f"{self.dir}/pki/{role}.{kind}")

    def baton(self, *args):
        subprocess.run([BATON, "pki", *args, "--dir", f"{self.dir}/pki"], check=True, timeout=30,
                       stdout=subprocess.DEVNULL)

    def example(self, name, to=None):
        """Copy an example: with addresses of this host, and with directories that are ours"""
        with open(f"{CONF}/{name}.conf.example", encoding="utf-8") as f:
            text = f.read()
        ports = {}

        def local(m):
            if m[0] not in ports:
                with socket.socket() as s:
                    s.bind(("127.0.0.1", 0))
                    ports[m[0]] = s.getsockname()[1]
            return f"127.0.0.1:{ports[m[0]]}"
        text, count = re.subn(r"192\.0\.2\.\d+:\d+", local, text)
        if name != "service":
            self.assertGreater(count, 0)
        for place in "/var/lib/", "/run/":
            text = text.replace(f'"{place}', f'"{self.dir}{place}')
        path = f"{self.dir}/{to or name}.conf"
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
        return path

    def start(self, role):
        """Start a daemon until it says that it serves; SIGHUP; stop it"""
        os.makedirs(f"{self.dir}/var/lib/baton-{role}", exist_ok=True)
        path = f"{self.dir}/notify"
        program = next(d for d in DAEMONS if d.endswith(f"baton-{role}"))
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
            notify.bind(path)
            notify.settimeout(20)
            p = subprocess.Popen([program, "--config", self.example(role)], stderr=subprocess.PIPE, text=True,
                                 env=dict(os.environ, NOTIFY_SOCKET=path))
            heard = []
            try:
                for sig in signal.SIGHUP, None, signal.SIGTERM, None:
                    heard.append(notify.recv(256).decode().split("\n")[0])
                    if sig:
                        p.send_signal(sig)
            except TimeoutError:
                p.kill()
            said = p.communicate(timeout=20)[1]
            self.assertEqual(heard, ["READY=1", "RELOADING=1", "READY=1", "STOPPING=1"], said)
            self.assertEqual(p.returncode, 0, said)
            self.assertIn("serving", said)
            self.assertNotIn(" error ", said)
            os.unlink(path)
            return said

    def test_logrepo(self):
        self.start("logrepo")
        self.assertTrue(os.path.exists(f"{self.dir}/var/lib/baton-logrepo/events.jsonl"))

    def test_ap(self):
        self.start("ap")

    def test_es(self):
        if os.geteuid() != 0:
            self.skipTest("baton-es needs root")
        os.makedirs(f"{self.dir}/services")
        os.makedirs(f"{self.dir}/run")
        self.example("service", "services/redis")
        with EngineServer(f"{self.dir}/run/docker.sock", Engine) as engine:
            thread = threading.Thread(target=engine.serve_forever)
            thread.start()
            try:
                said = self.start("es")
            finally:
                engine.shutdown()
                thread.join()
        self.assertIn("configuration read again: 1 services", said)

    def test_operator(self):
        for kind in "crt", "key":
            shutil.copy(f"{self.dir}/pki/ap.{kind}", f"{self.dir}/pki/operator.{kind}")
        self.baton("issue", "operator", "operator", "--force")
        p = subprocess.run([BATON, "--config", self.example("baton"), "status"], capture_output=True, text=True,
                           check=False, timeout=60)
        # nobody is there, and the configuration is one
        self.assertEqual(p.returncode, 1, p.stderr)
        for name in "LogRepo", "EdgeServer-2", "AP-1":
            self.assertIn(name, p.stdout)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
