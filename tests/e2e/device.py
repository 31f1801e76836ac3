# SPDX-License-Identifier: Apache-2.0
"""A mobile user device that a test leads by hand: the program tests/e2e/device"""

import queue
import subprocess
import threading

from baton_lab import ROOT

OK, PROTOCOL_ERROR = 0, 8  # enum wire_status


class Device:
    """tests/e2e/device, and what it says"""

    def __init__(self, test, service):
        self.test = test
        lab = test.lab
        self.log_path = lab.dir / "logs" / f"device-{service}.log"
        with open(self.log_path, "w", encoding="utf-8") as log:
            self.process = subprocess.Popen(
                [ROOT / "lab/lab", "exec", "laptop", lab.build / "tests/e2e/device", "--config",
                 lab.conf("USER"), "--service", service], env=lab.env, text=True,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log)
        self.lines = queue.Queue()
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self):
        for line in self.process.stdout:
            self.lines.put(line.split())
        self.lines.put(None)

    def log(self):
        return self.log_path.read_text(errors="replace")

    def running(self):
        return self.process.poll() is None

    def tell(self, *words):
        self.process.stdin.write(" ".join(words) + "\n")
        self.process.stdin.flush()

    def hear(self, kind):
        """The next line of this kind, which must be the next answer, too"""
        while True:
            line = self.lines.get(timeout=60)
            if line is None or line[0] == "lost":
                self.test.fail(f"the device said {line}\n{self.log()}")
            if line[0] == kind:
                return line[1:]

    def ask(self, payload):
        self.tell("request", payload.hex())

    def answer(self):
        """(number, status, bytes) of the next answer"""
        number, status, *text = self.hear("answer")
        return int(number), int(status), bytes.fromhex(text[0]) if text else b""

    def end(self):
        self.process.stdin.close()
        self.process.wait(timeout=30)
        self.reader.join(timeout=10)
        self.process.stdout.close()
