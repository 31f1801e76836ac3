#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The clients that the platform probes need.

    ask.py once tcp|udp HOST PORT       send one message, print the answer
    ask.py udp-stream HOST PORT SECONDS [RATE]
                                        send RATE datagrams a second (1000); print "sent N lost M"
    ask.py tcp-held HOST PORT           keep one connection: a message and answer per input line
    ask.py sink PORT                    take what one connection sends, answer its first byte "p"
                                        with an echo of all that follows
    ask.py rtt HOST PORT                print the least of 5 round trips, in ms
    ask.py rate HOST PORT MB            send this much, print MB/s
"""

import socket
import sys
import time


def connect(kind, host, port):
    """Return a connected socket; waits up to 5 s for a service that is just coming up."""
    end = time.monotonic() + 5
    while True:
        sock = socket.socket(
            socket.AF_INET, socket.SOCK_DGRAM if kind == "udp" else socket.SOCK_STREAM)
        sock.settimeout(5)
        try:
            sock.connect((host, int(port)))
            return sock
        except ConnectionRefusedError:
            sock.close()
            if time.monotonic() > end:
                raise
            time.sleep(0.02)


def once(kind, host, port):
    """One question; a datagram that gets lost while the service comes up is sent again."""
    sock = connect(kind, host, port)
    sock.settimeout(0.5 if kind == "udp" else 5)
    for attempt in range(10):
        try:
            sock.send(b"x\n")
            print(sock.recv(4096).decode(), end="")
            return
        except (TimeoutError, ConnectionRefusedError):
            if kind != "udp" or attempt == 9:
                raise


def udp_stream(host, port, seconds, rate=1000):
    """So many datagrams a second, answers counted."""
    sock = connect("udp", host, port)
    sock.setblocking(False)
    sent = got = 0
    start = time.monotonic()
    while (now := time.monotonic()) < start + float(seconds) + 1.0:
        if sent < (now - start) * float(rate) and now < start + float(seconds):
            sock.send(b"x\n")
            sent += 1
        try:
            while sock.recv(4096):
                got += 1
        except BlockingIOError:
            time.sleep(0.0005)
        if got == sent and now > start + float(seconds):
            break
    print(f"sent {sent} lost {sent - got}")


def tcp_held(host, port):
    """One answer per line of standard input, all over the same connection."""
    sock = connect("tcp", host, port)
    for _ in sys.stdin:
        sock.send(b"x\n")
        print(sock.recv(4096).decode(), end="", flush=True)


def sink(port):
    """Serve rtt and rate."""
    server = socket.create_server(("0.0.0.0", int(port)))
    while True:
        conn, _ = server.accept()
        with conn:
            echo = conn.recv(1) == b"p"
            while block := conn.recv(1 << 18):
                if echo:
                    conn.send(block)


def rtt(host, port):
    """The least of five round trips."""
    sock = connect("tcp", host, port)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.send(b"p")
    times = []
    for _ in range(5):
        start = time.monotonic()
        sock.send(b"x")
        sock.recv(1)
        times.append((time.monotonic() - start) * 1000)
    print(f"{min(times):.2f}")


def rate(host, port, megabytes):
    """Throughput of one connection, from its first byte to the receiver's close."""
    sock = connect("tcp", host, port)
    sock.settimeout(60)
    block = b"d" * 1000000
    start = time.monotonic()
    for _ in range(int(megabytes)):
        sock.sendall(block)
    sock.shutdown(socket.SHUT_WR)
    sock.recv(1)
    print(f"{int(megabytes) / (time.monotonic() - start):.2f}")


def main(argv):
    """Do what the first argument names."""
    commands = {"once": once, "udp-stream": udp_stream, "tcp-held": tcp_held, "sink": sink,
                "rtt": rtt, "rate": rate}
    if len(argv) < 2 or argv[1] not in commands:
        print(__doc__, file=sys.stderr)
        return 2
    commands[argv[1]](*argv[2:])
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
