# SPDX-License-Identifier: Apache-2.0
"""Services that know nothing of Baton, one for each codec, move under load: there and back"""

import base64
import itertools

import bed
from baton_lab import Lab, ROOT
from codec_service import State
from device import OK, PROTOCOL_ERROR, Device

IN_FLIGHT = 4
CODECS = ("line", "resp", "http", "udp")
WRONG = {  # what never reaches a service
    "line": (b"no newline", b"one\ntwo\n"),
    "resp": (b"*1\r\n$4\r\nPI", b"SUBSCRIBE a\r\n"),
    "http": (b"GET / HTTP/1.1\r\n", b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n"),
    "udp": (b"x" * 65508,),
}


class CodecLab(Lab):
    """A lab whose edge servers offer one more service for each codec"""

    def _es_conf(self, i):
        text = base64.b64encode((ROOT / "tests/e2e/codec_service.py").read_bytes()).decode()
        return super()._es_conf(i) + "".join(
            f'service "{name}" {{ image = "{self.image}"  port = 7000  codec = "{codec}"\n'
            f'    command = {{ "python3", "-c", '
            f'"import base64,sys;sys.argv=[\'\',\'{name}\'];exec(base64.b64decode(\'{text}\'))" '
            f'}} }}\n' for name, codec in ((*zip(CODECS, CODECS), ("moody", "line"))))


def framed(codec, n):
    """(request as it goes, what the service hashes) number n"""
    if codec in ("line", "moody"):
        return (line := b"request %d\n" % n), line
    if codec == "udp":
        return (text := b"request %d" % n), text
    if codec == "resp":
        word = b"%d" % n
        return b"*2\r\n$4\r\nPUSH\r\n$%d\r\n%s\r\n" % (len(word), word), b"PUSH " + word
    body = b"request %d" % n
    return b"POST /%d HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s" % (n, len(body),
                                                                            body), body


class Codecs(bed.BedTest):
    EDGES = 2
    RATE_MB_S = 20

    @classmethod
    def bring_up(cls):
        cls.lab = CodecLab(bed.LAB_NAME, cls.EDGES, rtt_ms=cls.RTT_MS, rate_mb_s=cls.RATE_MB_S)
        bed.BedTest.up = cls.lab
        cls.lab.__enter__()
        cls.clean = True

    def assert_answer(self, codec, state, executed, answer):
        """The answer of a service that was never moved"""
        number, status, text = answer
        expected = state.execute(executed)
        self.assertEqual(status, OK, (number, text))
        if codec == "line":
            expected += b"\n"
        if codec == "moody":
            expected += text[-18:]  # a space, what it felt like, and a newline
        if codec == "resp":
            expected = b"*2\r\n*2\r\n:%d\r\n$-1\r\n$%d\r\n%s\r\n" % (state.count, len(expected),
                                                                 expected)
        if codec == "http":
            head, _, text = text.partition(b"\r\n\r\n")
            self.assertTrue(head.startswith(b"HTTP/1.1 200 OK\r\n"), head)
            expected = b"%x\r\n%s\r\n0\r\n\r\n" % (len(expected), expected)
        self.assertEqual(text, expected, f"answer {number}")

    def load(self, device, codec, state, numbers, until):
        """Requests, IN_FLIGHT at a time, until @until() says that it is enough, and 20 more"""
        waiting = []
        left = None
        while left != 0 or waiting:
            while left != 0 and len(waiting) < IN_FLIGHT:
                payload, executed = framed(codec, next(numbers))
                device.ask(payload)
                waiting.append(executed)
                if left is None and until():
                    left = 20
                left = left and left - 1
            self.assert_answer(codec, state, waiting.pop(0), device.answer())

    def there_and_back(self, codec):
        """R1, R8: every answer is that of a service that never moved; nothing wrong gets in"""
        device = Device(self, codec)
        self.users = []  # baton-mud has no part in it
        self.addCleanup(device.process.kill)
        state, numbers = State(), itertools.count(1)
        device.tell("move", "AP-1")
        device.hear("associated")
        self.load(device, codec, state, numbers, lambda: True)
        for wrong in WRONG[codec]:
            device.ask(wrong)
            _, status, reason = device.answer()
            self.assertEqual(status, PROTOCOL_ERROR)
            self.assertIn(b"request refused by codec " + codec.encode(), reason)
        for there, edge in (("AP-2", "EdgeServer-2"), ("AP-1", "EdgeServer-1")):
            device.tell("move", there)
            self.load(device, codec, state, numbers,
                      lambda e=edge: self.events.find("MIGRATION DONE", e))
            self.wait_event("SWITCH COMPLETE", there)
            # a container that is still being removed would refuse the way back
            old = f"pc{3 - int(there[-1])}"
            self.wait(lambda h=old: not self.lab.containers(h), f"the container at {old} to be removed")
        self.assertEqual(self.events.find("MIGRATION FAILED"), [])
        self.load(device, codec, state, numbers, lambda: True)
        device.end()
        self.assert_nothing_left()

    def test_sync_auto(self):
        """R5, R6: answers that no copy could repeat: the first attempt differs, the next one holds"""
        device = Device(self, "moody")
        self.users = []
        self.addCleanup(device.process.kill)
        state, numbers = State(), itertools.count(1)
        device.tell("move", "AP-1")
        device.hear("associated")
        self.load(device, "moody", state, numbers, lambda: True)
        device.tell("move", "AP-2")
        self.load(device, "moody", state, numbers,
                  lambda: self.events.find("MIGRATION DONE", "EdgeServer-2"))
        self.wait_event("SWITCH COMPLETE", "AP-2")
        self.assertEqual(len(self.events.find("DIVERGED", "AP-2")), 1)
        self.assertEqual(len(self.events.find("HELD", "EdgeServer-1")), 1)
        self.load(device, "moody", state, numbers, lambda: True)
        device.end()
        self.assert_nothing_left()

    def test_line(self):
        """Lines"""
        self.there_and_back("line")

    def test_resp(self):
        """Redis' protocol"""
        self.there_and_back("resp")

    def test_http(self):
        """Python's http.server, keep-alive, chunked answers"""
        self.there_and_back("http")

    def test_udp(self):
        """Datagrams"""
        self.there_and_back("udp")
