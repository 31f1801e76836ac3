#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Readings of sensors, by datagrams; each is answered by one

    put SENSOR READING   kept in memory;                               "READING POSITION"
    get SENSOR N         readings from the N-th on, 50 at most;        "READING READING ..."
"""

import socket

PAGE = 50
readings = {}


def answer(words):
    """The answer to one datagram"""
    if len(words) != 3 or words[0] not in ("put", "get"):
        return "error: put SENSOR READING, or get SENSOR N"
    command, sensor, word = words
    kept = readings.setdefault(sensor, [])
    if command == "put":
        kept.append(word)
        return f"{word} {len(kept)}"
    if not word.isdigit():
        return "error: N is a number"
    return " ".join(kept[int(word):int(word) + PAGE])


def main():
    """Serve for ever"""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("", 5000))
    while True:
        data, peer = sock.recvfrom(65536)
        sock.sendto(answer(data.decode(errors="replace").split()).encode(), peer)


if __name__ == "__main__":
    main()
