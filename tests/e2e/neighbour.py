#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A container that tries to reach its neighbour in every way that Docker's default rights allow

    neighbour.py attack INTERFACE ADDRESS MAC PORT OUTSIDE OUTSIDE_PORT
    neighbour.py listen INTERFACE

"attack" runs in the container: ADDRESS, MAC and PORT are the neighbour's. It prints a line for each way in which it
got an answer. Other frames carry a mark and the name of the way; "listen", on the neighbour's side, prints the names
of those that come, until it gets the one called "last".
"""

import fcntl
import re
import socket
import struct
import sys

MARK = b"BATON-NEIGHBOUR:"
ETH_IP, ETH_ARP, ETH_IP6, ETH_OTHER = 0x0800, 0x0806, 0x86dd, 0x88b5
SECONDS = 2  # until a connection counts as refused
EVERYBODY = b"\xff" * 6


def mac(text):
    return bytes.fromhex(text.replace(":", ""))


def checksum(data):
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    total = (total & 0xffff) + (total >> 16)
    return ~((total & 0xffff) + (total >> 16)) & 0xffff


def ether(to, sender, kind, content):
    return to + sender + struct.pack(">H", kind) + content


def ipv4(source, to, protocol, content):
    head = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(content), 1, 0, 64, protocol, 0,
                       socket.inet_aton(source), socket.inet_aton(to))
    return head[:10] + struct.pack(">H", checksum(head)) + head[12:] + content


def udp(name):
    content = MARK + name + b"\n"
    return struct.pack(">HHHH", 4000, 4000, 8 + len(content), 0) + content


def ping(name):
    content = MARK + name + b"\n"
    content += b"\0" * (len(content) % 2)
    head = struct.pack(">BBHHH", 8, 0, 0, 1, 1)
    return head[:2] + struct.pack(">H", checksum(head + content)) + head[4:] + content


def ipv6(name):
    content = MARK + name + b"\n"
    link_local = [b"\xfe\x80" + b"\0" * 13 + bytes([n]) for n in (1, 2)]
    return struct.pack(">IHBB", 6 << 28, len(content), 59, 255) + link_local[0] + link_local[1] + content


def arp(sender_mac, sender_ip, name):
    sender = sender_mac + socket.inet_aton(sender_ip)
    return struct.pack(">HHBBH", 1, ETH_IP, 6, 4, 2) + sender + sender + MARK + name + b"\n"


def interface(wire, name, request):
    """What the kernel says about an interface: MAC 0x8927, address 0x8915"""
    return fcntl.ioctl(wire, request, struct.pack("256s", name.encode()))[18:26]


def gateway():
    """Address and MAC of the gateway, which is asked for something first"""
    with open("/proc/net/route", encoding="ascii") as routes:
        fields = next(r.split() for r in routes if r.split()[1] == "00000000")
    address = socket.inet_ntoa(struct.pack("<I", int(fields[2], 16)))
    reached("", address, 1)
    with open("/proc/net/arp", encoding="ascii") as table:
        found = re.search(rf"^{re.escape(address)} .*?((?:[0-9a-f]{{2}}:){{5}}..)", table.read(), re.M)
    return address, mac(found[1])


def reached(name, address, port):
    """Print a name if a connection is accepted"""
    try:
        with socket.create_connection((address, port), timeout=SECONDS):
            print(name, flush=True)
    except OSError:
        pass


def frames(me, mine, to, there, router):
    """Names and frames; the neighbour must get none of these"""
    return {
        b"ip": ether(to, me, ETH_IP, ipv4(mine, there, 17, udp(b"ip"))),
        b"icmp": ether(to, me, ETH_IP, ipv4(mine, there, 1, ping(b"icmp"))),
        b"broadcast": ether(EVERYBODY, me, ETH_IP, ipv4(mine, "255.255.255.255", 17, udp(b"broadcast"))),
        b"multicast": ether(mac("01:00:5e:00:00:01"), me, ETH_IP, ipv4(mine, "224.0.0.1", 17, udp(b"multicast"))),
        b"ipv6": ether(to, me, ETH_IP6, ipv6(b"ipv6")),
        b"ipv6-all": ether(mac("33:33:00:00:00:01"), me, ETH_IP6, ipv6(b"ipv6-all")),
        b"raw": ether(to, me, ETH_OTHER, MARK + b"raw\n"),
        b"raw-all": ether(EVERYBODY, me, ETH_OTHER, MARK + b"raw-all\n"),
        b"vlan": ether(to, me, 0x8100, b"\0\1" + struct.pack(">H", ETH_OTHER) + MARK + b"vlan\n"),
        b"route": ether(router[1], me, ETH_IP, ipv4(mine, there, 17, udp(b"route"))),
        b"route-ping": ether(router[1], me, ETH_IP, ipv4(mine, there, 1, ping(b"route-ping"))),
        b"arp": ether(EVERYBODY, me, ETH_ARP, arp(me, router[0], b"arp")),
        # to the host: "the neighbour is here"
        b"steal": ether(EVERYBODY, me, ETH_ARP, arp(me, there, b"steal")),
        b"steal-unicast": ether(router[1], me, ETH_ARP, arp(me, there, b"steal-unicast")),
        b"steal-mac": ether(router[1], to, ETH_ARP, arp(to, there, b"steal-mac")),
    }


def attack(name, there, to, port, outside, outside_port):
    wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
    wire.bind((name, 0))
    me = interface(wire, name, 0x8927)[:6]
    mine = socket.inet_ntoa(interface(wire, name, 0x8915)[2:6])
    router = gateway()
    reached("outside", outside, int(outside_port))
    reached("tcp", there, int(port))
    reached("tcp by the gateway", router[0], int(port))
    plain = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    plain.sendto(MARK + b"udp\n", (there, 4000))
    for frame in frames(me, mine, mac(to), there, router).values():
        wire.send(frame)


def listen(name):
    wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
    wire.bind((name, 0))
    print("ready", flush=True)
    while True:
        frame = wire.recv(65536)
        found = re.search(re.escape(MARK) + rb"([a-z0-9-]+)\n", frame)
        if found and found[1] == b"last":
            return
        if found:
            print(found[1].decode(), flush=True)


if __name__ == "__main__":
    {"attack": attack, "listen": listen}[sys.argv[1]](*sys.argv[2:])
