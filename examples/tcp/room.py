#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A room to talk in, over TCP, with a protocol of its own

Each message is two bytes of length, big-endian, and so many bytes, in either direction. A connection
first says a name, and from then on whatever is to be heard; it hears "N NAME TEXT" of everything said
since it came, its own words included: N counts all that was ever said. With a name like "NAME 17" it
first hears what it has missed since number 17. What was said is kept in memory; who is there, and
under which name, belongs to the connections.
"""

import asyncio
import struct

said = []
writers = set()


async def hear(reader):
    """The next message"""
    (size,) = struct.unpack("!H", await reader.readexactly(2))
    return (await reader.readexactly(size)).decode(errors="replace")


def tell(writer, number):
    """Let a connection hear what was said as number @number"""
    text = f"{number} {said[number - 1]}".encode()
    writer.write(struct.pack("!H", len(text)) + text)


async def serve(reader, writer):
    """One connection, until it ends"""
    try:
        name, _, since = (await hear(reader)).partition(" ")
        for number in range(int(since) + 1 if since else len(said) + 1, len(said) + 1):
            tell(writer, number)
        writers.add(writer)
        while True:
            said.append(f"{name} {await hear(reader)}")
            for other in writers:
                tell(other, len(said))
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError, ValueError):
        pass
    finally:
        writers.discard(writer)
        writer.close()


async def main():
    """Serve for ever"""
    server = await asyncio.start_server(serve, "", 6000)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
