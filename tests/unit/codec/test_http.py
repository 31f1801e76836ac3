#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""test_codec_http.py - codec http against Python's http.client

    test_codec_http.py CODEC-TOOL

Answers are made by chance (always the same ones) and read by both: sound ones must end at the same
byte; and of damaged ones, whatever the codec takes must end there for http.client, too.
"""

import http.client
import io
import random
import re
import subprocess
import sys
import unittest

TOOL = sys.argv.pop(1)
SOUND = 3000
DAMAGED = 20000
INTERIM = b"HTTP/1.1 100 Continue\r\nX-Interim: 1\r\n\r\n"
OTHER_INTERIM = re.compile(rb"HTTP/1\.. 1(?!00)")  # http.client knows none but 100
BODILESS = re.compile(rb"HTTP/1\.. [23]04")


class Bytes(io.BytesIO):
    """A connection's bytes; where the reader stood is wanted after it has closed it"""

    def close(self):
        pass


class Connection:
    """As much of a socket as http.client looks at"""

    def __init__(self, data):
        self.file = Bytes(data)

    def makefile(self, _mode):
        return self.file


def by_python(method, answer):
    """Where http.client sees the end; None if it is none, or not whole"""
    connection = Connection(answer)
    response = http.client.HTTPResponse(connection, method=method)
    try:
        response.begin()
        response.read()
    except (http.client.HTTPException, ValueError, OSError):
        return None
    return connection.file.tell()


def by_codec(cases):
    """What the codec says of [(method, answer, closed)]: [(result, from, end)]"""
    stream = bytearray()
    for method, answer, closed in cases:
        request = f"{method} / HTTP/1.1\r\nHost: a\r\n\r\n".encode()
        stream += f"http {len(request)} {len(answer)} {closed:d}\n".encode() + request + answer
    out = subprocess.run([TOOL], input=bytes(stream), stdout=subprocess.PIPE, check=True,
                         timeout=60).stdout.decode("latin-1")
    rows = [line.split(" ", 3) for line in out.split("\n")[:-1]]
    assert len(rows) == len(cases)
    return [(row[0], int(row[1]), int(row[2])) for row in rows]


def chunks(rng, body):
    """A body in pieces"""
    out = b""
    while body:
        size = rng.randint(1, len(body))
        extension = rng.choice([b"", b"", b";a=b"])
        out += b"%x%s\r\n%s\r\n" % (size, extension, body[:size])
        body = body[size:]
    return out + b"0\r\n" + rng.choice([b"", b"X-Trailer: 1\r\n"]) + b"\r\n"


def answer_of(rng):
    """(method, interim answers, answer, whether it ends with the connection)"""
    method = rng.choice(["GET", "GET", "POST", "HEAD"])
    status = rng.choice([200, 200, 200, 201, 204, 206, 301, 304, 404, 500])
    body = rng.randbytes(rng.choice([0, 1, 2, 15, 16, 17, 300]))
    bodiless = method == "HEAD" or status in (204, 304)
    headers = [b"Server: x", b"Date: Sun, 22 Nov 2026 16:00:00 GMT"][:rng.randint(0, 2)]
    headers += [b"Connection: " + rng.choice([b"close", b"keep-alive"])][:rng.randint(0, 1)]
    kind = rng.choice(["length", "length", "chunked", "close"])
    if status in (204, 304) and kind == "chunked":
        kind = "length"  # http.client would wait for chunks, which never come after these
    if kind == "length":
        headers.append(rng.choice([b"Content-Length: %d", b"content-length:%d"]) % len(body))
    elif kind == "chunked":
        headers.append(b"Transfer-Encoding: chunked")
        body = chunks(rng, body)
    rng.shuffle(headers)
    version = rng.choice([b"1.1", b"1.1", b"1.0"])
    head = b"HTTP/%s %d Reason\r\n" % (version, status) + b"".join(h + b"\r\n" for h in headers)
    answer = head + b"\r\n" + (b"" if bodiless else body)
    return method, INTERIM * rng.choice([0, 0, 0, 1, 2]), answer, kind == "close" and not bodiless


def damage(rng, answer):
    """Some bytes changed, lost, or twice"""
    out = bytearray(answer)
    for _ in range(rng.randint(1, 3)):
        at = rng.randrange(len(out))
        kind = rng.randrange(4)
        if kind == 0:
            out[at] = rng.choice(b"\r\n :;,0123456789abcdefx\t\0")
        elif kind == 1:
            del out[at:at + rng.randint(1, 4)]
        elif kind == 2:
            out[at:at] = out[at:at + rng.randint(1, 8)]
        else:
            out[at] = rng.randrange(256)
        if not out:
            out = bytearray(b"H")
    return bytes(out)


class AgainstHttpClient(unittest.TestCase):
    """Both readers on the same bytes"""

    def test_sound(self):
        """Sound answers, with what may follow on the connection"""
        rng = random.Random(1)
        made = [answer_of(rng) for _ in range(SOUND)]
        cases = [(m, i + a + (b"" if c else b"HTTP"), c) for m, i, a, c in made]
        for case, (_, interim, answer, _), got in zip(cases, made, by_codec(cases)):
            begin, end = len(interim), len(interim) + len(answer)
            self.assertEqual(got, ("done", begin, end), case)
            self.assertEqual(by_python(case[0], case[1]), end, case)

    def test_cut_short(self):
        """Every beginning of some sound answers: not whole, for both"""
        rng = random.Random(2)
        cases = []
        for _ in range(40):
            method, interim, answer, closed = answer_of(rng)
            if not closed:
                cases += [(method, (interim + answer)[:n], False)
                          for n in range(1, len(interim + answer))]
        for case, got in zip(cases, by_codec(cases)):
            self.assertEqual(got[0], "more", case)

    def test_damaged(self):
        """What the codec takes of damaged answers, http.client takes alike"""
        rng = random.Random(3)
        cases = []
        for _ in range(DAMAGED):
            method, interim, answer, closed = answer_of(rng)
            cases.append((method, damage(rng, interim + answer), closed))
        taken = 0
        for case, (result, begin, end) in zip(cases, by_codec(cases)):
            if result != "done" or OTHER_INTERIM.search(case[1]):
                continue
            if BODILESS.match(case[1][begin:]) and b"chunked" in case[1]:
                continue  # see answer_of()
            taken += 1
            self.assertEqual(by_python(case[0], case[1]), end, (case, begin))
        self.assertGreater(taken, DAMAGED // 10)


if __name__ == "__main__":
    unittest.main()
