#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""report - what a run says: numbers, a table, a picture

usage: lab/report.py DIR

DIR holds the raw files of one run (lab/demo leaves them in out/demo):

  events.jsonl     event log of all nodes, as LogRepo got it
  responses.csv    a line a request: when sent, when answered, by which access point
  requests.txt     what was sent, a line a request; answers.txt: what came back
  mud.json         the device's own verdict on the answers
  run.json         how the run was made: link, versions, what went wrong outside the programs

and gets report.json, report.txt, response_time.svg and response_time.png. Nothing else is read, so
a report can be made again, elsewhere and later. Exit status 1 if the run was not good: if anything
was lost, duplicated, reordered or wrong, if the state differs, or if nothing was migrated.
"""

import csv
import json
import math
import os
import pathlib
import subprocess
import sys
import textwrap

import figures

HERE = pathlib.Path(__file__).resolve().parent
SERVICE = HERE.parent / "service" / "offload.py"
BAR_WIDTH = 28
# Number of a bar's eighths to the character that shows them.
EIGHTHS = " ▏▎▍▌▋▊▉█"


class ReportError(Exception):
    """There is nothing to report on; the text is for a person."""


# --- reading --------------------------------------------------------------------------------------


def fields(event):
    """The key=value pairs of an event's detail"""
    return dict(word.split("=", 1) for word in event.get("detail", "").split() if "=" in word)


def number(event, key):
    """A number of an event's detail, 0 if it is not there"""
    value = fields(event).get(key, "0") if event else "0"
    return int(value) if value.lstrip("-").isdigit() else 0


def read_events(path):
    """Events in order of LogRepo's time, which each gets as "t" in seconds.

    A node's times are corrected by its last measured CLOCK OFFSET, or its first one for what came
    before that.
    """
    events = []
    if path.exists():
        for line in path.read_text(encoding="utf-8").splitlines():
            try:
                events.append(json.loads(line))
            except json.JSONDecodeError:
                pass  # a line cut short by the end of the run
    offset = {}
    for event in events:
        if event["kind"] == "CLOCK OFFSET":
            offset.setdefault(event["node"], number(event, "offset_us"))
    for event in events:
        if event["kind"] == "CLOCK OFFSET":
            offset[event["node"]] = number(event, "offset_us")
        event["t"] = (event["time_us"] + offset.get(event["node"], 0)) / 1e6
    return sorted(events, key=lambda event: event["t"]), offset


def read_rows(path, offset_us):
    """Requests: number, sent and answered in LogRepo's seconds, response in ms, access point"""
    rows = []
    if not path.exists():
        return rows
    with open(path, newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            answered = row["answered_us"]
            rows.append({
                "number": int(row["number"]),
                "sent": (int(row["sent_us"]) + offset_us) / 1e6,
                "answered": (int(answered) + offset_us) / 1e6 if answered else None,
                "ms": float(row["response_ms"]) if row["response_ms"] else None,
                "ap": row["ap"],
            })
    return rows


def read_json(path):
    """The object in a file, empty if there is none"""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, json.JSONDecodeError):
        return {}


# --- one migration --------------------------------------------------------------------------------


class Search:
    """Looks for events of one session within a time"""

    def __init__(self, events, session, begin, end):
        self.events = [e for e in events if e.get("session") == session and begin <= e["t"] <= end]

    def last(self, kind, node=None):
        """The last event of this kind: what came before it belongs to an attempt that failed"""
        found = [e for e in self.events if e["kind"] == kind and node in (None, e["node"])]
        return found[-1] if found else None

    def first(self, kind, node=None):
        """The first event of this kind"""
        found = [e for e in self.events if e["kind"] == kind and node in (None, e["node"])]
        return found[0] if found else None


def stage_list(begin, end, marks):
    """Stages from their ends, in order; what is missing gets no time; all add up to the whole"""
    stages = []
    at = begin
    for name, what, until in marks:
        until = at if until is None else min(max(until, at), end)
        stages.append({"name": name, "ms": round((until - at) * 1000, 3), "what": what})
        at = until
    stages[-1]["ms"] = round(stages[-1]["ms"] + (end - at) * 1000, 3)
    return stages


def paper_marks(prepared, t1, t2, t3, t4, complete):
    """Stages up to T4 in the order of the paper's Table 1: memory goes before files are recorded"""
    return [("prepare", "versions and space checked", prepared),
            ("checkpoint", "T1: memory, by the engine itself", t1["t"]),
            ("send memory", "T2", t2["t"]),
            ("record files", "T3: not of the same instant as the memory", t3["t"]),
            ("send image" if complete else "send layer", "T4", t4["t"] if t4 else None)]


def migration(events, done, earliest):
    """Everything about the migration that the event @done ended; None if its start is not known"""
    source, dest = fields(done).get("from"), done["node"]
    # Access point and edge server may log the same instant in either order.
    near = Search(events, done["session"], earliest, done["t"] + 0.05)
    t8 = near.last("T8")
    handoff = near.last("REASSOCIATION REQUEST", t8["node"] if t8 else None)
    since = Search(events, done["session"], handoff["t"] if handoff else earliest, done["t"] + 0.05)
    starts = [e for e in since.events
              if e["kind"] == "MIGRATION START" and e["node"] == source
              and fields(e).get("to") == dest and e["t"] <= done["t"]]
    if not starts:
        return None
    start, again = starts[0], starts[-1]
    this = Search(events, done["session"], again["t"], done["t"] + 0.05)
    prepared, t1 = this.last("PREPARED", source), this.last("T1", source)
    ahead = [e for e in this.events if e["kind"] == "LAYER AHEAD" and e["node"] == source]
    image, loaded = this.last("IMAGE", source), this.last("IMAGE LOADED", dest)
    images = [e for e in since.events if e["kind"] == "IMAGE" and e["node"] == source
              and e["t"] >= start["t"]]
    t2, t4, t5 = this.last("T2", source), this.last("T4", source), this.last("T5", dest)
    ready, t7, fenced = this.last("READY", dest), this.last("T7"), this.last("FENCED", source)
    later = Search(events, done["session"], done["t"], math.inf)
    retired = later.first("RETIRED", source)
    freeze = number(t1, "freeze_us") / 1e6
    restore = number(t5, "restore_us") / 1e6

    def at(event, less=0.0):
        return event["t"] - less if event else None

    cut = t1["number"] if t1 else 0
    fence = fenced["number"] if fenced else t8["number"] if t8 else cut
    t3 = this.last("T3", source)
    # The paper's C-Migr sends an image of the whole container where others send its layer.
    committed = t4 if t4 and fields(t4).get("kind") == "image" else None
    if t2 and t3 and t3["t"] > t2["t"]:
        captured = paper_marks(at(prepared), t1, t2, t3, t4, committed)
    else:
        captured = [
            ("prepare", "files copied aside" if loaded else
             "new container created, files copied aside", at(prepared)),
            ("drain", "CRIU made ready, requests held", at(t1, freeze)),
            ("freeze", "T1 T3: memory and files, at one instant", at(t1)),
            ("send memory", "T2", at(t2)),
            ("send layer", "T4: files changed since" if ahead else "T4", at(t4)),
        ]
    marks = [
        *captured,
        ("arrive", "until the last byte has come over the WAN", at(t5, restore)),
        ("restore", "T5", at(t5)),
        ("replay", "T7: copies executed, answers compared", at(this.last("FENCE"))),
        ("fence", "old one executes no more: a WAN round trip", at(t8)),
        ("switch", "T8: the new container has authority", done["t"]),
    ]
    held = this.last("HELD", source)
    memory_ahead = this.last("MEMORY AHEAD", source)
    if held:
        marks[-3:] = [("switch", "T8: the new container has authority, what was held goes on",
                       done["t"])]
    if memory_ahead:
        marks.insert(1, ("memory ahead", "a first checkpoint, while the service runs",
                         at(memory_ahead)))
        ahead = [*ahead, memory_ahead]
    if image:
        marks[1:1] = [("send image", "layers missing there, while the service runs", at(image)),
                      ("load image", "and new container created", at(loaded))]
    elif loaded:
        marks.insert(1, ("pull image", "from a registry, while the service runs", at(loaded)))
    if ahead:
        marks.insert(1, ("send ahead", "files, while the service runs", at(ahead[0])))
    if len(starts) > 1:
        marks.insert(0, ("retries", f"{len(starts) - 1} attempts that failed", again["t"]))
    layer = None if committed else t4
    images += [committed] if committed else []
    early = sum(number(e, "sent_bytes") for e in ahead if e is not memory_ahead)
    after = number(t2, "sent_bytes") + number(t4, "sent_bytes")
    sent = {"memory": number(t2, "sent_bytes") + number(memory_ahead, "sent_bytes"),
            "layer": early + number(layer, "sent_bytes"),
            "image": sum(number(e, "sent_bytes") for e in images)}
    moved = (at(t5, restore) or done["t"]) - (at(t1) or done["t"])
    if ahead and prepared:
        moved += ahead[-1]["t"] - prepared["t"]
    if image and prepared:
        moved += image["t"] - (ahead[-1] if ahead else prepared)["t"]
    return {
        # What the destination lacked says which of the paper's methods it was.
        "method": "C-Migr" if images else "P-Migr",
        "from": source,
        "to": dest,
        "session": done["session"],
        "attempts": len(starts),
        "migration_s": round(done["t"] - start["t"], 6),
        "trigger_ms": round((start["t"] - handoff["t"]) * 1000, 3) if handoff else None,
        "freeze_ms": number(t1, "freeze_us") / 1000,
        # sync = "hold": no request was executed between the cut and the switch
        "held_ms": round(((at(t8) or done["t"]) - t1["t"]) * 1000 + freeze * 1000, 3)
                   if held and t1 else None,
        "stages_ms": stage_list(start["t"], done["t"], marks),
        "bytes": {**sent, "log": number(t2, "log_bytes") + number(t4, "log_bytes")},
        "bytes_after_cut": after,
        "raw_bytes": {"memory": number(t2, "raw_bytes"), "layer": number(layer, "raw_bytes"),
                      "image": sum(number(e, "raw_bytes") for e in images)},
        "image_layers": {"sent": number(image, "layers_sent"),
                         "there": number(image, "layers_here")},
        "sent_mb_per_s": round(sum(sent.values()) / moved / 1e6, 2) if moved > 0 else None,
        "cut": cut,
        "fence": fence,
        "replayed": max(0, fence - cut) if t7 else 0,
        "retired_after_s": round(retired["t"] - done["t"], 3) if retired else None,
        # Instants in LogRepo's seconds, for the picture and to sort requests by.
        "at": {
            "handoff": at(handoff) or start["t"], "start": start["t"],
            "freeze": at(t1, freeze), "cut": at(t1),
            "ready": at(ready), "switch": at(t8) or done["t"], "done": done["t"],
        },
    }


def migrations(events):
    """All migrations that came to their end"""
    found = []
    earliest = -math.inf
    for done in [e for e in events if e["kind"] == "MIGRATION DONE"]:
        one = migration(events, done, earliest)
        if one:
            found.append(one)
        earliest = done["t"]
    return found


# --- answers --------------------------------------------------------------------------------------


def response_times(rows):
    """Mean, percentiles (nearest rank) and maximum of what was answered"""
    ms = sorted(row["ms"] for row in rows if row["ms"] is not None)
    if not ms:
        return {"requests": len(rows), "mean": None, "p50": None, "p99": None, "max": None}

    def rank(percent):
        return ms[max(0, math.ceil(len(ms) * percent / 100) - 1)]
    return {"requests": len(rows), "mean": round(sum(ms) / len(ms), 3), "p50": rank(50),
            "p99": rank(99), "max": ms[-1]}


def phase_of(row, moves, handoff):
    """Was a request answered before the first handoff, touched by a migration, or neither?"""
    answered = math.inf if row["answered"] is None else row["answered"]
    if answered < (moves[0]["at"]["handoff"] if moves else handoff):
        return "before"
    if not moves:
        return "during"  # of one that did not come to its end
    for move in moves:
        if row["sent"] <= move["at"]["switch"] and answered >= move["at"]["handoff"]:
            return "during"
    return "after"


def compare_state(out, seed):
    """Have a service that never moves execute the same requests, and compare all answers.

    Return: (equal, words for a person, the verify answer)
    """
    requests, answers = out / "requests.txt", out / "answers.txt"
    if not requests.exists() or not answers.exists():
        return False, "cannot be told: the device left no record", {}
    asked = requests.read_bytes().splitlines()
    got = answers.read_bytes().splitlines()
    with open(requests, "rb") as file:
        made = subprocess.run([sys.executable, SERVICE, "--reference"], stdin=file, check=False,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              env={**os.environ, "BATON_SEED": seed})
    if made.returncode:
        raise ReportError(f"reference execution: {made.stderr.decode(errors='replace')}")
    want = made.stdout.splitlines()
    for i, line in enumerate(want):
        if i >= len(got) or got[i] != line:
            return False, f"differs from answer {i + 1} on", {}
    if not asked or b'"op":"verify"' not in asked[-1]:
        return False, "cannot be told: the last request was no verify", {}
    verified = json.loads(want[-1])
    if len(got) != len(want) or not verified.get("log_agrees"):
        return False, "differs: the service's own check of its files failed", verified
    return True, (f"equal: all {len(want)} answers are byte for byte those of a service that "
                  "never moved"), verified


def own_account(out):
    """What the service that moved says of itself in the end: executed, lines on disk, agreement"""
    answers = out / "answers.txt"
    lines = answers.read_bytes().splitlines() if answers.exists() else []
    try:
        last = json.loads(lines[-1]) if lines else {}
    except json.JSONDecodeError:
        last = {}
    return {key: last[key] for key in ("executed", "disk_lines", "log_agrees") if key in last}


# --- the report -----------------------------------------------------------------------------------


def plural(n, one, many=None):
    """A number with its noun"""
    return f"{n} {one if n == 1 else many or one + 's'}"


def flaws_of(report, mud):
    """What befell requests and state, in words; empty if nothing did"""
    flaws = [f"{plural(report[key], 'request')} {key}"
             for key in ("lost", "duplicated", "reordered", "wrong") if report[key]]
    if mud and not (mud.get("chain_ok") and mud.get("state_ok")):
        flaws.append("the device saw answers that do not continue its history")
    if not report["state_equal"]:
        flaws.append(f"state {report['state']}")
    return flaws


def problems_of(report, run, mud):
    """Why the run was not good, in words; empty if it was.

    Flaws of the paper's way are what a run of it is made to show, not its failure.
    """
    problems = list(run.get("problems", []))
    if not mud:
        problems.append("the device left no record of its answers")
    if run.get("profile") != "paper":
        problems += report["flaws"]
    if mud and report["answered"] < run.get("requests", report["requests"]):
        problems.append(f"only {report['answered']} of {run['requests']} requests were answered")
    if mud.get("session_lost"):
        problems.append(f"the session was lost: {mud['session_lost']}")
    if not report["migrations"]:
        problems.append("no migration took place")
    return problems


def build(out):
    """Read a run's raw files. Return: the report, requests for the picture"""
    run, mud = read_json(out / "run.json"), read_json(out / "mud.json")
    events, offsets = read_events(out / "events.jsonl")
    rows = read_rows(out / "responses.csv", offsets.get("USER", 0))
    if not events and not rows:
        raise ReportError(f"{out} has no events and no responses: not the files of a run")
    link = run.get("link", {})
    moves = migrations(events)
    handoff = next((e["t"] for e in events if e["kind"] == "REASSOCIATION REQUEST"), math.inf)
    for row in rows:
        row["phase"] = phase_of(row, moves, handoff)
    equal, words, verified = compare_state(out, run.get("service_seed", "baton"))
    first = moves[0] if moves else {}
    report = {
        "method": first.get("method"),
        "migration_s": first.get("migration_s"),
        "freeze_ms": first.get("freeze_ms"),
        "bytes": first.get("bytes", {"layer": 0, "memory": 0, "image": 0, "log": 0}),
        "raw_bytes": first.get("raw_bytes", {"layer": 0, "memory": 0, "image": 0}),
        "replayed": first.get("replayed", 0),
        **{key: mud.get(key, 0) for key in ("requests", "answered", "lost", "duplicated",
                                            "reordered", "wrong")},
        "state_equal": equal,
        "state": words,
        "verify": verified,
        "own_account": own_account(out),
        "response_ms": {phase: response_times([r for r in rows if r["phase"] == phase])
                        for phase in ("before", "during", "after")},
        "response_ms_whole_run": response_times(rows),
        "stages_ms": {s["name"]: s["ms"] for s in first.get("stages_ms", [])},
        "migrations": moves,
        "versions": run.get("versions", {}),
        "link": link,
        "interval_ms": run.get("interval_ms"),
        "clock_offset_us": {node: us for node, us in sorted(offsets.items())},
        "events": len(events),
        "events_dropped": sum(e.get("number", 0) for e in events if e["kind"] == "EVENTS DROPPED"),
        "wall_s": run.get("wall_s", {}),
    }
    report["flaws"] = flaws_of(report, mud)
    report["problems"] = problems_of(report, run, mud)
    report["good"] = not report["problems"]
    return report, rows


# --- words ----------------------------------------------------------------------------------------


class Style:
    """Terminal attributes, or none"""

    def __init__(self, colour):
        self.colour = colour

    def paint(self, code, text):
        """@text in an ANSI attribute"""
        return f"\033[{code}m{text}\033[0m" if self.colour else text

    def bold(self, text):
        """What a reader should see first"""
        return self.paint("1", text)

    def dim(self, text):
        """What a reader may skip"""
        return self.paint("2", text)

    def good(self, text):
        """As it should be"""
        return self.paint("1;32", text)

    def bad(self, text):
        """Not as it should be"""
        return self.paint("1;31", text)


def wants_colour(stream):
    """A terminal whose user has not asked for none (no-color.org)"""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def bar(value, most):
    """A bar of block characters, an eighth of one at least if there is anything"""
    eighths = round(value / most * BAR_WIDTH * 8) if most else 0
    eighths = max(eighths, 1 if value > 0 else 0)
    return EIGHTHS[8] * (eighths // 8) + (EIGHTHS[eighths % 8] if eighths % 8 else "")


def size(n):
    """Bytes for a person"""
    return f"{n / 1e6:.1f} MB" if n >= 100000 else f"{n / 1000:.1f} kB" if n >= 1000 else f"{n} B"


def millis(value):
    """Milliseconds for a person: three figures or so"""
    if value is None:
        return "-"
    return f"{value:.0f}" if value >= 1000 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def migration_text(one, style):
    """Lines of one migration"""
    most = max(stage["ms"] for stage in one["stages_ms"])
    yield (style.bold(f"Migration {one['from']} -> {one['to']}") + f", {one['method']}: "
           + style.bold(f"{one['migration_s']:.2f} s"))
    if one["trigger_ms"] is not None:
        yield style.dim(f"  begun by itself {millis(one['trigger_ms'])} ms after the reassociation")
    for stage in one["stages_ms"]:
        yield (f"  {stage['name']:<12}{millis(stage['ms']):>8} ms  "
               + style.paint("36", f"{bar(stage['ms'], most):<{BAR_WIDTH}}")
               + "  " + style.dim(stage["what"])).rstrip()
    yield ""
    sent, raw = one["bytes"], one["raw_bytes"]
    total = sum(sent.values())
    yield "  " + style.bold("frozen") + f"           {one['freeze_ms']:.1f} ms"
    if one.get("held_ms"):
        yield "  " + style.bold("requests held") + f"    {one['held_ms']:.0f} ms"
    yield ("  " + style.bold("sent") + f"             memory {size(raw['memory'])} -> "
           f"{size(sent['memory'])}, layer {size(raw['layer'])} -> {size(sent['layer'])}, "
           f"log {size(sent['log'])}")
    if sent["image"]:
        layers = one["image_layers"]
        # The paper's way sends one image of the whole, and counts no layers.
        parts = (f"{plural(layers['sent'], 'layer')}, {layers['there']} were there"
                 if sum(layers.values()) else "of the whole container")
        yield f"                   image {size(raw['image'])} -> {size(sent['image'])}: {parts}"
    yield (f"                   in all {size(total)}"
           + (f" at {one['sent_mb_per_s']} MB/s" if one["sent_mb_per_s"] else "")
           + f", {size(one['bytes_after_cut'])} of it after the cut")
    yield ("  " + style.bold("copies replayed") + f"  {one['replayed']}"
           + (f" (requests {one['cut'] + 1} to {one['fence']})" if one["replayed"] else ""))
    if one["retired_after_s"] is not None:
        yield ("  " + style.bold("old container")
               + f"    stopped {one['retired_after_s']:.1f} s after the switch")
    yield ""


def requests_text(report, style):
    """Lines on requests, response times and state"""
    def count(key):
        paint = style.good if not report[key] else style.bad
        return paint(str(report[key])) + f" {key}"
    yield (style.bold("Requests") + f"   {report['requests']} sent, {report['answered']} answered; "
           + ", ".join(count(key) for key in ("lost", "duplicated", "reordered", "wrong")))
    yield ""
    yield style.bold("Response time, ms") + "       mean      p50      p99      max   requests"
    words = {"before": "before the handoff", "during": "during the migration", "after": "after it"}
    for phase, name in words.items():
        ms = report["response_ms"][phase]
        yield (f"  {name:<20}" + "".join(f"{millis(ms[key]):>9}"
                                         for key in ("mean", "p50", "p99", "max"))
               + f"{ms['requests']:>11}")
    yield ""
    paint = style.good if report["state_equal"] else style.bad
    yield style.bold("State") + "      " + paint(report["state"])
    if report["state_equal"]:
        v = report["verify"]
        yield style.dim(f"           in the end: {v['executed']} executed, {v['disk_lines']} lines "
                        f"on disk, memory {v['memory_digest'][:12]}..., "
                        f"files {v['files_digest'][:12]}...")
    yield ""


def closing(report):
    """One sentence that says what happened"""
    moves = report["migrations"]
    if report["problems"]:
        return "Not good: " + "; ".join(report["problems"]) + "."
    frozen = " and ".join(f"{m['freeze_ms']:.0f} ms" for m in moves)
    way = " -> ".join([moves[0]["from"]] + [m["to"] for m in moves])
    took = " and ".join(f"{m['migration_s']:.2f} s" for m in moves)
    return (f"The user's container followed its user {way} in {took}, stood still for "
            f"{frozen} of it, and none of {report['requests']} requests was lost.")


def text_of(report, out, colour):
    """The report for a person"""
    style = Style(colour)
    lines = [""]
    for one in report["migrations"]:
        lines += migration_text(one, style)
    lines += requests_text(report, style)
    versions, link = report["versions"], report["link"]
    about = [f"{name} {versions[name]}" for name in ("kernel", "docker", "criu", "runc", "baton")
             if versions.get(name)]
    if about:
        lines += [style.dim(line) for line in textwrap.wrap(
            "Made with  " + ", ".join(about), 100, subsequent_indent=" " * 11)]
    if link:
        lines.append(style.dim(f"Link       {link['rtt_ms']} ms round trip, {link['rate_mb_s']} "
                               "MB/s between the edge hosts; a request each "
                               f"{report['interval_ms']} ms"))
    offsets = report["clock_offset_us"].values()
    if offsets:
        lines.append(style.dim(f"Clocks     within {max(map(abs, offsets))} us of LogRepo's, "
                               f"corrected for; {report['events']} events, "
                               f"{report['events_dropped']} dropped"))
    lines.append(style.dim(f"Files      {out}: report.json, report.txt, response_time.png, "
                           "response_time.svg,"))
    lines.append(style.dim("           events.jsonl, responses.csv, requests.txt, answers.txt, "
                           "mud.json, run.json, logs/"))
    lines += ["", style.good(closing(report)) if report["good"] else style.bad(closing(report))]
    return "\n".join(lines) + "\n"


def make(out, shown=None, show=True):
    """Make a run's report and its picture; with @show print it. Return: whether the run was good"""
    out = pathlib.Path(out)
    report, rows = build(out)
    (out / "report.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    (out / "report.txt").write_text(text_of(report, shown or out, False), encoding="utf-8")
    if show:
        sys.stdout.write(text_of(report, shown or out, wants_colour(sys.stdout)))
        sys.stdout.flush()
    try:
        figures.response_time(report, rows, out)
    except figures.FigureError as problem:
        print(f"report: no picture: {problem}", file=sys.stderr)
        return False
    return report["good"]


def main(argv):
    """Command line"""
    if len(argv) != 2 or argv[1].startswith("-"):
        print(__doc__.strip(), file=sys.stderr)
        return 0 if argv[1:] in (["-h"], ["--help"]) else 2
    try:
        return 0 if make(argv[1]) else 1
    except ReportError as problem:
        print(f"report: {problem}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv))
