#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Two small programs that lab/peers.py runs on the lab's hosts.

    peers_host.py relay HERE_ADDRESS THERE_ADDRESS PORT   forward connections until a signal comes
    peers_host.py answers ADDRESS PORT SECONDS            wait for the service; print when it did
"""

import asyncio
import signal
import socket
import struct
import sys
import time

RETRY_S = 0.01


async def pump(reader, writer):
    """Move bytes one way until either end closes"""
    try:
        while block := await reader.read(1 << 16):
            writer.write(block)
            await writer.drain()
    except OSError:
        pass  # the other direction's end is this one's too
    finally:
        writer.close()


async def relay(here, there, port):
    """Forward each connection to here:port as one to there:port"""
    async def forward(reader, writer):
        try:
            onward_reader, onward_writer = await asyncio.open_connection(there, port)
        except OSError:
            writer.close()
            return
        await asyncio.gather(pump(reader, onward_writer), pump(onward_reader, writer))

    server = await asyncio.start_server(forward, here, port)
    end = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, end.set)
    print("serving", flush=True)
    await end.wait()
    server.close()


def ask(address, port, seconds):
    """Ask the service something that it refuses and so does not execute; true if it answers"""
    question = b"are you there?"
    with socket.create_connection((address, port), timeout=seconds) as sock:
        sock.sendall(struct.pack(">I", len(question)) + question)
        return len(sock.recv(4)) > 0


def answers(address, port, seconds):
    """Wait until the service answers; return the exit status"""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if ask(address, port, min(1.0, seconds)):
                print(f"{time.time():.6f}")
                return 0
        except OSError:
            pass  # not yet
        time.sleep(RETRY_S)
    print(f"no answer from {address}:{port} within {seconds:g} s", file=sys.stderr)
    return 1


def main():
    if len(sys.argv) == 5 and sys.argv[1] == "relay":
        asyncio.run(relay(sys.argv[2], sys.argv[3], int(sys.argv[4])))
        return 0
    if len(sys.argv) == 5 and sys.argv[1] == "answers":
        return answers(sys.argv[2], int(sys.argv[3]), float(sys.argv[4]))
    print(__doc__, file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
