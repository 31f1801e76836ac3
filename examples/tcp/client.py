#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Talk in the room: client.py HOST NAME; lines of standard input are said, what is heard is printed

Reconnects when its connection ends, and then hears what it has missed.
"""

import socket
import struct
import sys
import threading
import time

PORT = 6000


def message(text):
    data = text.encode()
    return struct.pack("!H", len(data)) + data


def speak(room):
    """Say each line of standard input, on whatever connection there is"""
    for line in sys.stdin:
        room["sock"].sendall(message(line.strip()))
    room["done"] = True
    room["sock"].shutdown(socket.SHUT_WR)


def listen(room, host, name):
    """Print what is heard, from where the last connection left off"""
    with socket.create_connection((host, PORT)) as sock, sock.makefile("rb") as file:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 1)
        sock.sendall(message(f"{name} {room['heard']}"))
        if not room["sock"]:
            room["sock"] = sock
            threading.Thread(target=speak, args=(room,), daemon=True).start()
        room["sock"] = sock
        while len(head := file.read(2)) == 2:
            text = file.read(struct.unpack("!H", head)[0]).decode()
            room["heard"] = int(text.split(" ", 1)[0])
            print(text, flush=True)


def main():
    _, host, name = sys.argv
    room = {"heard": 0, "sock": None, "done": False}
    while not room["done"]:
        try:
            listen(room, host, name)
        except OSError as e:
            print(f"reconnecting: {e}", file=sys.stderr)
            time.sleep(0.2)


if __name__ == "__main__":
    main()
