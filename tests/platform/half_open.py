#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The cases of half-open.sh; each is a line

Three namespaces: a client, and two hosts with the same addresses. The client's cable is pulled out of one
and put into the other.
"""

import ctypes
import errno
import os
import pathlib
import select
import shutil
import socket
import struct
import subprocess
import sys
import threading
import time

NAMES = {name: f"half-open-{os.getpid()}-{name}" for name in ("client", "old", "new")}
PORT = 6379
HOST4, HOST6 = "10.99.0.1", "fd99::1"
BOUND_S = 2
PATIENCE_S = 3  # for what does not come
NOBODY = 65534
CLONE_NEWNET = 0x40000000
SYN_ACK = 0x12
LIBC = ctypes.CDLL(None, use_errno=True)


def run(*args):
    subprocess.run(args, check=True, stdout=subprocess.DEVNULL)


def ip(name, *args):
    run("ip", "-n", NAMES[name], *args)


def inside(name, function):
    """What a function returns that runs in a namespace, in a thread of its own"""
    result = []

    def call():
        fd = os.open(f"/run/netns/{NAMES[name]}", os.O_RDONLY)
        try:
            if LIBC.setns(fd, CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), "setns")
            result.append((function(), None))
        except Exception as e:  # pylint: disable=broad-exception-caught # raised again below
            result.append((None, e))
        finally:
            os.close(fd)

    thread = threading.Thread(target=call)
    thread.start()
    thread.join()
    value, error = result[0]
    if error:
        raise error
    return value


def plug(name):
    """Put the client's cable into a host"""
    subprocess.run(["ip", "-n", NAMES["client"], "link", "del", "eth0"], check=False,
                   stderr=subprocess.DEVNULL)
    ip("client", "link", "add", "eth0", "address", "02:00:00:00:00:11", "type", "veth", "peer",
       "name", "eth0", "netns", NAMES[name], "address", "02:00:00:00:00:01")
    for end, number in (("client", 11), (name, 1)):
        ip(end, "link", "set", "eth0", "up")
        ip(end, "addr", "add", f"10.99.0.{number}/24", "dev", "eth0")
        ip(end, "addr", "add", f"fd99::{number}/64", "dev", "eth0", "nodad")


def listen(family, at):
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((at, PORT))
    listener.listen(8)
    return listener


def unprivileged(function):
    """Run it without any right of root; only this thread loses them"""
    setresuid, setresgid = (117, 119) if os.uname().machine == "x86_64" else (147, 149)
    LIBC.syscall(setresgid, NOBODY, NOBODY, NOBODY)
    LIBC.syscall(setresuid, NOBODY, NOBODY, NOBODY)
    return function()


def challenge(listener, host, client):
    """A connect() from beside the listener. Return: how it ended"""
    beside = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    beside.setblocking(False)
    beside.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    for one in (beside, listener):
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    beside.bind((host, PORT))
    for one in (beside, listener):
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 0)
    began = beside.connect_ex(client)
    assert began == errno.EINPROGRESS, errno.errorcode[began]
    poll = select.poll()
    poll.register(beside, select.POLLOUT)
    poll.poll(PATIENCE_S * 1000)
    code = beside.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    beside.close()
    return errno.errorcode.get(code, "no answer")


def checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total >> 16) + (total & 0xffff)
    return ~(total + (total >> 16)) & 0xffff


def say_syn_ack(host, client):
    """A SYN with ACK of any number, which takes CAP_NET_RAW (IPv4)"""
    head = struct.pack("!HHIIBBHHH", PORT, client[1], 1, 1, 5 << 4, SYN_ACK, 65535, 0, 0)
    pseudo = socket.inet_aton(host) + socket.inet_aton(client[0]) + struct.pack("!HH", 6, len(head))
    segment = head[:16] + struct.pack("!H", checksum(pseudo + head)) + head[18:]
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_TCP) as raw:
        raw.bind((host, 0))
        raw.sendto(segment, (client[0], 0))


def fill(ours):
    ours.setblocking(False)
    try:
        while True:
            ours.send(bytes(65536))
    except BlockingIOError:
        pass


def cut(client):
    """Bytes that the old host does not get"""
    ip("old", "link", "set", "eth0", "down")
    client.sendall(b"lost")


class Case:
    """One client"""

    def __init__(self, host, at=None, before=None):
        family = socket.AF_INET6 if ":" in (at or host) else socket.AF_INET
        self.host = host
        plug("old")
        for name in ("old", "new"):
            ip(name, "addr", "replace", f"{HOST4}/32", "dev", "lo")
            ip(name, "addr", "replace", f"{HOST6}/128", "dev", "lo")
        self.old = inside("old", lambda: listen(family, at or host))
        # the kernel compares the users of two sockets that share a port
        self.new = inside("new", lambda: unprivileged(lambda: listen(family, at or host)))
        self.client = inside("client",
                             lambda: socket.create_connection((host, PORT), timeout=PATIENCE_S))
        self.ours, _ = self.old.accept()
        self.client.sendall(b"asked")
        self.ours.recv(10)
        if before:
            before(self.client, self.ours)
        plug("new")

    def end(self, by_syn_ack=False):
        """Return: how the client's connection ended, and after how many seconds"""
        name = self.client.getsockname()
        began = time.monotonic()
        if by_syn_ack:
            inside("new", lambda: say_syn_ack(self.host, name))
        else:
            inside("new", lambda: unprivileged(lambda: challenge(self.new, self.host, name[:2])))
        self.client.settimeout(PATIENCE_S)
        try:
            while self.client.recv(1 << 20):
                pass
            how = "closed"
        except ConnectionResetError:
            how = "reset"
        except TimeoutError:
            how = "waits"
        for one in (self.old, self.new, self.client, self.ours):
            one.close()
        return how, time.monotonic() - began


def expect(what, case, want, **how):
    got, seconds = case.end(**how)
    print(f"{what}: {got}")
    if got != want or (want == "reset" and seconds > BOUND_S):
        sys.exit(f"{what}: {got} after {seconds:.1f} s, expected: {want}")


def timestamps(on):
    run("ip", "netns", "exec", NAMES["client"], "sysctl", "-qw", f"net.ipv4.tcp_timestamps={on}")


def track(name, on):
    """Let a host drop what is neither of a known connection nor allowed"""
    rule = "-m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT".split()
    for words in ((["-A", "INPUT", *rule], ["-P", "INPUT", "DROP"]) if on else
                  (["-P", "INPUT", "ACCEPT"], ["-F", "INPUT"])):
        run("ip", "netns", "exec", NAMES[name], "iptables", *words)


def cases():
    has_ipv6 = pathlib.Path("/proc/net/if_inet6").exists()
    expect("IPv4", Case(HOST4), "reset")
    if has_ipv6:
        expect("IPv6", Case(HOST6), "reset")
        expect("IPv4 at a listener of both", Case(HOST4, at="::"), "reset")
    expect("bytes in flight", Case(HOST4, before=lambda client, ours: cut(client)), "reset")
    expect("full of unread bytes", Case(HOST4, before=lambda client, ours: fill(ours)), "reset")
    expect("half-closed",
           Case(HOST4, before=lambda client, ours: client.shutdown(socket.SHUT_WR)), "reset")
    timestamps(0)
    expect("no timestamps", Case(HOST4), "reset")
    timestamps(1)
    if not shutil.which("iptables"):
        print("connection tracking: not tried, there is no iptables")
        return
    track("new", True)
    expect("connection tracking at the new host", Case(HOST4), "reset")
    track("new", False)
    track("client", True)
    expect("connection tracking at the client", Case(HOST4), "waits")
    expect("connection tracking at the client, SYN with ACK", Case(HOST4), "reset",
           by_syn_ack=True)
    track("client", False)


def main():
    try:
        for name in NAMES.values():
            run("ip", "netns", "add", name)
        for name in NAMES:
            ip(name, "link", "set", "lo", "up")
        cases()
    finally:
        for name in NAMES.values():
            subprocess.run(["ip", "netns", "del", name], check=False, stderr=subprocess.DEVNULL)


main()
