# SPDX-License-Identifier: Apache-2.0
"""A client that does not keep to the protocol; runs on a host of the lab

    hostile.py ADDRESS PORT WHAT [CA CERT KEY NAME ROLE]

With a certificate it speaks TLS 1.3 as whoever owns that; without it sends bytes as they are. It ends
with status 0 when the other side has closed the connection, and 1 if that does not come.
"""

import socket
import ssl
import struct
import sys

VERSION = 1
KIND_CONTROL = 1


def field(number, value):
    """One field of a protobuf message: a number or bytes"""
    if isinstance(value, int):
        return bytes([number << 3, value])
    return bytes([number << 3 | 2, len(value)]) + value


def frame(kind, content):
    return struct.pack(">IB", len(content) + 1, kind) + content


def hello(name, role):
    body = field(1, VERSION) + field(2, VERSION) + field(3, role) + field(4, name.encode())
    return frame(KIND_CONTROL, field(1, 1) + field(10, body))


def bytes_of(what, name, role):
    return {
        "text": b"GET / HTTP/1.1\r\nHost: baton\r\n\r\n",
        "noise": bytes(range(255, 0, -1)),
        "oversized": hello(name, role) + struct.pack(">IB", 0xffffff00, KIND_CONTROL) + b"x" * 4096,
        "chunk": hello(name, role) + frame(4, b"\0" * 100),
        "malformed": hello(name, role) + frame(KIND_CONTROL, b"\xff" * 50),
        "no-hello": frame(KIND_CONTROL, field(1, 14)),
        "other-name": hello("EdgeServer-9", role),
    }[what]


def main(address, port, what, ca=None, cert=None, key=None, name="x", role="0"):
    with socket.create_connection((address, int(port)), timeout=10) as plain:
        peer = plain
        try:
            if ca:
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
                context.minimum_version = ssl.TLSVersion.TLSv1_3
                context.check_hostname = False
                context.load_verify_locations(ca)
                context.load_cert_chain(cert, key)
                peer = context.wrap_socket(plain)
            peer.sendall(bytes_of(what, name, int(role)))
            while peer.recv(4096):
                pass
        except TimeoutError:
            return 1
        except OSError:
            pass  # it broke off: as good as closing
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
