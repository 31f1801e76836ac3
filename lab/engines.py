# SPDX-License-Identifier: Apache-2.0
"""A lab's Docker engines, looked at without starting a program: tests do so many times a second.

An engine is known by the directory of its host in the lab's.
"""

import http.client
import json
import pathlib
import socket

PROGRAMS = {"unshare", "tini", "bash", "dockerd", "containerd"}  # that make up an engine, by name


class EngineError(Exception):
    """An engine is not there, or refuses something; the text says which and what."""


class Api(http.client.HTTPConnection):
    """Docker's own protocol, on its socket: its command takes longer to start than this to answer."""

    def __init__(self, host_dir):
        super().__init__("localhost", timeout=60)
        self.path = host_dir / "docker.sock"

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self.path))

    def ask(self, method, path):
        """What it answers, from JSON; raises EngineError if it refuses."""
        try:
            self.request(method, path)
            answer = self.getresponse()
            text = answer.read()
        except (OSError, http.client.HTTPException) as e:
            raise EngineError(f"the engine at {self.path} does not answer: {e}") from None
        if answer.status >= 400:
            raise EngineError(f"{method} {path}: {text.decode(errors='replace').strip()}")
        return json.loads(text) if text else None


def children(pid):
    """Processes that a process has started."""
    found = []
    for path in pathlib.Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            found += path.read_text().split()
        except OSError:
            pass
    return [int(pid) for pid in found]


def comm(pid):
    """A process's name, empty if it has ended."""
    try:
        return pathlib.Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


def processes_of(host_dir):
    """Processes that make up an engine, the first one outside of its namespaces."""
    try:
        next_ones = [int((host_dir / "engine.pid").read_text())]
    except (OSError, ValueError):
        raise EngineError(f"{host_dir.name} has no engine") from None
    found = []
    for pid in next_ones:
        if comm(pid) in PROGRAMS:
            found.append(pid)
            next_ones += children(pid)
    if len(found) < len(PROGRAMS):
        raise EngineError(f"the engine of {host_dir.name} is not complete")
    return found


def root_of(host_dir):
    """The files that an engine sees."""
    return pathlib.Path(f"/proc/{processes_of(host_dir)[1]}/root")
