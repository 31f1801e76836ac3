# SPDX-License-Identifier: Apache-2.0
"""bench_protection - what protection costs a service, and how soon it is back with its memory"""

import re
import signal
import statistics
import subprocess

import report
from baton_lab import GATEWAY, LabError

PROTECT_MS = 2000
KILLS = 3
MEMORY_MB = 4096
USER = "10.80.0.11"
FILL = ("for i = 1, tonumber(ARGV[1]) do redis.call('set', 'fill' .. i, "
        "string.rep(tostring(math.random()), 60000):sub(1, 1048576)) end return ARGV[1]")


def redis(lab, *words):
    """What Redis answers"""
    done = lab.exec("user1", "redis-cli", "-h", GATEWAY, "-p", lab.example_port("redis"), *words, text=True,
                    stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    return done.communicate(timeout=120)[0].strip()


def protect(lab, setting):
    """Have the edge servers read a catalogue in which Redis has this setting"""
    for i in range(1, lab.edges + 1):
        conf = lab.conf(f"EdgeServer-{i}")
        text = re.sub(r'codec = "resp".*', f'codec = "resp"   {setting}', conf.read_text())
        text = re.sub(r"memory_mb = \d+", f"memory_mb = {MEMORY_MB}", text)
        before = lab.log_of(f"EdgeServer-{i}").count("configuration read again")
        conf.write_text(text)
        lab.tell(f"EdgeServer-{i}", signal.SIGHUP)
        lab.wait_for(lambda n=before, e=i: lab.log_of(f"EdgeServer-{e}").count("configuration read again") > n, 20,
                     "the catalogue to be read")


def found(lab, kind, before):
    """Events of a kind since then"""
    return [e for e in lab.events()[before:] if e["kind"] == kind]


def spread(values):
    """Median and range"""
    values = list(values)
    return {"median": round(statistics.median(values), 3), "min": round(min(values), 3),
            "max": round(max(values), 3), "n": len(values)}


def killed(lab):
    """Kill the container: milliseconds from its end until it has executed the log, and requests executed again"""
    before = len(lab.events())
    redis(lab, "set", "last", "1")
    host, container = next((host, name) for host in ("pc1", "pc2") for name in lab.containers(host))
    lab.docker(host, "kill", container)
    lab.wait_for(lambda: found(lab, "CONTAINER RECOVERED", before), 120, "the container to be back")
    event = found(lab, "CONTAINER RECOVERED", before)[-1]
    after, cut = re.match(r"after (\d+) ms, from the cut at (\d+)", event["detail"]).groups()
    lab.wait_for(lambda: redis(lab, "get", "last") == "1", 30, "the last value that was set")
    return int(after), event["number"] - int(cut)


def one_size(lab, megabytes, load):
    """A Redis of this size, without and with protection"""
    protect(lab, "")
    for ap in ("AP-1", "AP-2"):  # wherever the user is: the next container has the limits of now
        lab.baton("disassociate", USER, "--ap", ap, check=False)
    lab.wait_for(lambda: redis(lab, "ping") == "PONG", 60, "a new container")
    if redis(lab, "eval", FILL, "0", str(megabytes)) != str(megabytes):
        raise LabError(f"Redis does not take {megabytes} MB")
    rest = load()
    before = len(lab.events())
    protect(lab, f'protect = "memory"   protect_ms = {PROTECT_MS}')
    redis(lab, "set", "first", "1")
    lab.wait_for(lambda: found(lab, "CUT KEPT", before), 120, "the first cut to be kept")
    guarded = load()
    cuts = found(lab, "CUT", before)
    kills = [killed(lab) for _ in range(KILLS)]
    redis(lab, "flushall")
    return {
        "mb": megabytes,
        "rest_ms": rest["ms"], "protected_ms": guarded["ms"],
        "freeze_ms": spread(report.number(e, "freeze_us") / 1000 for e in cuts),
        "cut_ms": spread(report.number(e, "total_us") / 1000 for e in cuts),
        "cut_mb": spread((report.number(e, "memory_bytes") + report.number(e, "layer_bytes")) / 1e6 for e in cuts),
        "back_ms": spread(ms for ms, _ in kills),
        "replayed": spread(n for _, n in kills),
    }


def table(result):
    """The numbers, for a person"""
    lines = [f"Protection of Redis, a cut every {PROTECT_MS} ms while there are requests",
             f"  {'':28}" + "".join(f"{size['mb']:>9} MB" for size in result)]

    def row(name, value):
        lines.append(f"  {name:28}" + "".join(f"{value(size):12.1f}" for size in result))
    row("freeze, median ms", lambda s: s["freeze_ms"]["median"])
    row("freeze, most", lambda s: s["freeze_ms"]["max"])
    row("whole cut, median ms", lambda s: s["cut_ms"]["median"])
    row("on disk, MB", lambda s: s["cut_mb"]["median"])
    row("answers p99, unprotected ms", lambda s: s["rest_ms"]["p99"])
    row("answers p99, protected ms", lambda s: s["protected_ms"]["p99"])
    row("longest, protected ms", lambda s: s["protected_ms"]["max"])
    row("killed: back after, ms", lambda s: s["back_ms"]["median"])
    row("  requests executed again", lambda s: s["replayed"]["median"])
    return lines
