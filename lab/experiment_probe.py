# SPDX-License-Identifier: Apache-2.0
"""experiment_probe - what a run was made on and with: the link as measured, the use of resources"""

import json
import os
import pathlib
import re
import statistics
import subprocess
import sys

import baton_lab

PORT = 7900
PINGS = 10
# The first second from idle is TCP finding the rate; it is not counted.
WARM_UP_S, TRANSFER_S = 1.5, 3.0
PROBE_S = 30  # a probe that takes longer has failed
TICKS = os.sysconf("SC_CLK_TCK")
ENGINE = ("dockerd", "containerd", "containerd-shim", "tini")

# Runs on pc2: sends every datagram back, takes one connection in, says how fast bytes came.
FAR_END = """
import json, socket, sys, threading, time
host, port, warm_up, limit = sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), float(sys.argv[4])
threading.Timer(limit, lambda: __import__("os")._exit(3)).start()
echo = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
echo.bind((host, port))
def serve():
    while True:
        data, peer = echo.recvfrom(2048)
        echo.sendto(data, peer)
threading.Thread(target=serve, daemon=True).start()
listener = socket.create_server((host, port))
print("ready", flush=True)
connection, _ = listener.accept()
begin = time.monotonic()
count, first, last = 0, None, None
while True:
    data = connection.recv(262144)
    now = time.monotonic()
    if not data:
        break
    if now - begin < warm_up:
        continue
    if first is None:
        first = now
    else:
        count += len(data)
        last = now
rate = count / (last - first) / 1e6 if last and last > first else None
print(json.dumps({"rate_mb_s": rate, "bytes": count}), flush=True)
__import__("os")._exit(0)
"""

# Runs on pc1: round trips of small datagrams, then as many bytes as go in a time.
NEAR_END = """
import json, socket, sys, time
host, port, pings, seconds = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])
probe = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
probe.settimeout(2)
times = []
for n in range(pings):
    sent = time.perf_counter()
    probe.sendto(str(n).encode(), (host, port))
    try:
        while probe.recv(64) != str(n).encode():
            pass
        times.append((time.perf_counter() - sent) * 1000)
    except TimeoutError:
        pass
connection = socket.create_connection((host, port))
block, end = bytes(262144), time.monotonic() + seconds
while time.monotonic() < end:
    connection.sendall(block)
connection.close()
print(json.dumps(times))
"""


def measure_link(lab):
    """Round trip time and rate of TCP payload from pc1 to pc2 through the WAN, as they are"""
    there = baton_lab.address("pc2")
    run = [baton_lab.HERE / "lab", "exec"]
    with subprocess.Popen([*run, "pc2", sys.executable, "-c", FAR_END, there, str(PORT),
                           str(WARM_UP_S), str(PROBE_S)], env=lab.env, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE) as far:
        try:
            if far.stdout.readline().strip() != "ready":
                raise baton_lab.LabError(f"link probe on pc2: {far.stderr.read()}")
            near = subprocess.run([*run, "pc1", sys.executable, "-c", NEAR_END, there, str(PORT),
                                   str(PINGS), str(WARM_UP_S + TRANSFER_S)], env=lab.env, text=True,
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False,
                                  timeout=PROBE_S)
            if near.returncode:
                raise baton_lab.LabError(f"link probe on pc1: {near.stderr}")
            line = far.stdout.readline()
        except subprocess.TimeoutExpired:
            raise baton_lab.LabError(f"link probe: no end within {PROBE_S} s") from None
        finally:
            far.kill()
    times = json.loads(near.stdout)
    if not line or not times:
        raise baton_lab.LabError("link probe: nothing came through the WAN")
    rate = json.loads(line)["rate_mb_s"]
    return {"rtt_ms": {"median": round(statistics.median(times), 2), "min": round(min(times), 2),
                       "max": round(max(times), 2), "lost": PINGS - len(times), "n": PINGS},
            "rate_mb_s": round(rate, 2) if rate else None}


def machine():
    """The machine, in few words"""
    cpu = re.search(r"^model name\s*: (.*)$", text_of("/proc/cpuinfo"), re.M)
    memory = re.search(r"^MemTotal:\s+(\d+)", text_of("/proc/meminfo"), re.M)
    name = re.search(r'^PRETTY_NAME="?([^"\n]*)', text_of("/etc/os-release"), re.M)
    return {"cpu": " ".join(cpu.group(1).split()) if cpu else os.uname().machine,
            "processors": len(os.sched_getaffinity(0)),
            "memory_gib": round(int(memory.group(1)) / 2**20, 1) if memory else None,
            "system": name.group(1) if name else ""}


def text_of(path):
    """A file of the kernel's, empty if it is not there (any more)"""
    try:
        return pathlib.Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


# --- use of resources -----------------------------------------------------------------------------


def cpu_s(stat):
    """Seconds of a process and of the children it has waited for, from the text of its stat"""
    after = stat[stat.rindex(")") + 2:].split()
    return sum(int(n) for n in after[11:15]) / TICKS


def peak_bytes(status):
    """The most memory a process has had, from the text of its status"""
    found = re.search(r"^VmHWM:\s+(\d+) kB", status, re.M)
    return int(found.group(1)) * 1024 if found else 0


def use_of(pids):
    """CPU and memory of some processes as one"""
    cpu = peak = 0
    for pid in pids:
        stat = text_of(f"/proc/{pid}/stat")
        if ")" in stat:
            cpu += cpu_s(stat)
            peak += peak_bytes(text_of(f"/proc/{pid}/status"))
    return {"cpu_s": cpu, "peak_bytes": peak}


def engine_pids(lab, host):
    """Processes of a host's Docker engine; what it runs in containers is not among them"""
    first = lab.lab("engine-pid", host).strip()
    ours = os.readlink(f"/proc/{first}/ns/pid")
    pids = []
    for entry in os.listdir("/proc"):
        try:
            # comm is cut off after 15 characters
            if (entry.isdigit() and os.readlink(f"/proc/{entry}/ns/pid") == ours
                    and text_of(f"/proc/{entry}/comm").strip() in [n[:15] for n in ENGINE]):
                pids.append(int(entry))
        except OSError:
            pass
    return pids


def number_in(path):
    """A number in a file of the kernel's, None if there is none"""
    text = text_of(path).strip()
    return int(text) if text.isdigit() else None


def word_in(path, word):
    """The number after a word at the beginning of a line, None if there is none"""
    found = re.search(rf"^{word} (\d+)$", text_of(path), re.M)
    return int(found.group(1)) if found else None


def group_use(groups, name):
    """What a control group has used, those below it that are gone included; of either version

    Version 1 has a tree for each controller. A kernel before 5.19 does not say the peak with version 2.
    """
    if (groups / "cgroup.controllers").exists():
        cpu_us = word_in(groups / name / "cpu.stat", "usage_usec")
        return {"cpu_s": cpu_us / 1e6 if cpu_us is not None else None,
                "peak_bytes": number_in(groups / name / "memory.peak")}
    cpu = number_in(groups / "cpuacct" / name / "cpuacct.usage")
    return {"cpu_s": cpu / 1e9 if cpu is not None else None,
            "peak_bytes": number_in(groups / "memory" / name / "memory.max_usage_in_bytes")}


def group_of(lab_name, host, systemd):
    """The control group in which lab/lab has the engine of a host put its containers"""
    if systemd:
        return f"baton_lab_{lab_name.replace('-', '_')}_{host}.slice"
    return f"{lab_name}-{host}"


def containers_use(lab, host):
    """What the containers of a host have used, those that are gone included"""
    return group_use(pathlib.Path("/sys/fs/cgroup"),
                     group_of(lab.name, host, os.environ.get("BATON_LAB_SYSTEMD")))


def wan_bytes(lab, host):
    """Bytes a host has sent into and got from its WAN devices"""
    sent = received = 0
    for line in lab.lab("exec", host, "cat", "/proc/net/dev").splitlines():
        name, _, values = line.strip().partition(":")
        if re.fullmatch(r"wan\d", name):
            received += int(values.split()[0])
            sent += int(values.split()[8])
    return {"sent": sent, "received": received}


def use_now(lab):
    """What all parts of a lab have used since they were started"""
    parts = {name: use_of(lab._pids(name)) for name in sorted(lab.programs)}
    for host in lab.hosts():
        parts[f"Docker engine on {host}"] = use_of(engine_pids(lab, host))
        parts[f"containers on {host}"] = containers_use(lab, host)
    return {"parts": parts, "wan": {host: wan_bytes(lab, host) for host in lab.hosts()}}


def use_between(begin, end):
    """What was used from @begin to @end; peaks are those of the whole life of a part"""
    parts = {}
    for name, use in end["parts"].items():
        before = begin["parts"].get(name, {}).get("cpu_s") or 0
        parts[name] = {"cpu_s": None if use["cpu_s"] is None else round(use["cpu_s"] - before, 2),
                       "peak_bytes": use["peak_bytes"]}
    return {"parts": parts,
            "wan": {host: {way: count - begin["wan"][host][way] for way, count in both.items()}
                    for host, both in end["wan"].items()}}
