# SPDX-License-Identifier: Apache-2.0
"""A stateful service in a few lines for each codec: codec_service.py CODEC (or "moody")

It knows nothing of Baton. Each answer tells how many requests were executed, and a hash chain over
all of them, which one that is lost, doubled or reordered would change. test_codecs.py puts the text
into the catalogue as `command`, and executes the same requests itself to know the answers.
"""

import hashlib
import http.server
import os
import socket
import socketserver
import sys

PORT = 7000


class State:
    """What must move"""

    def __init__(self):
        self.count = 0
        self.chain = b""

    def execute(self, request):
        """One request; return what is answered"""
        self.count += 1
        self.chain = hashlib.sha256(self.chain + request).digest()
        return f"{self.count} {self.chain.hex()}".encode()


def resp_answer(state, words):
    """A nested array and a status, to have something to count"""
    text = state.execute(b" ".join(words))
    return b"*2\r\n*2\r\n:%d\r\n$-1\r\n$%d\r\n%s\r\n" % (state.count, len(text), text)


def resp_command(file):
    """The next command of a connection, or None at its end"""
    line = file.readline()
    if not line:
        return None
    words = []
    for _ in range(int(line[1:])):
        size = int(file.readline()[1:])
        words.append(file.read(size))
        file.read(2)
    return words


def main(codec, state):
    """Serve for ever"""

    class Line(socketserver.StreamRequestHandler):
        def handle(self):
            for line in self.rfile:
                self.wfile.write(state.execute(line) + b"\n")

    class Moody(socketserver.StreamRequestHandler):
        """No copy of it will ever answer alike"""

        def handle(self):
            for line in self.rfile:
                self.wfile.write(state.execute(line) + b" " + os.urandom(8).hex().encode() + b"\n")

    class Resp(socketserver.StreamRequestHandler):
        def handle(self):
            while words := resp_command(self.rfile):
                self.wfile.write(resp_answer(state, words))

    class Http(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            text = state.execute(body)
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            self.wfile.write(b"%x\r\n%s\r\n0\r\n\r\n" % (len(text), text))

        def log_message(self, *_):
            pass

    if codec == "udp":
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.bind(("", PORT))
        while True:
            data, peer = sock.recvfrom(65536)
            sock.sendto(state.execute(data), peer)
    handler = {"line": Line, "moody": Moody, "resp": Resp, "http": Http}[codec]
    socketserver.ThreadingTCPServer.allow_reuse_address = True
    socketserver.ThreadingTCPServer.daemon_threads = True
    socketserver.ThreadingTCPServer(("", PORT), handler).serve_forever()


if __name__ == "__main__":
    main(sys.argv[1], State())
