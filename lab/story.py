# SPDX-License-Identifier: Apache-2.0
"""story - what happens in a run, told in plain words from the event log as it grows"""

import contextlib
import json
import os
import re

import report


class Story:
    """Follows the event log; knows what goes on now, and the counters"""

    def __init__(self):
        self.sent = self.answered = 0
        self.last_ms = None
        self.phase = "the device looks for an access point"
        self.first = None  # time of the first request
        self.started = None  # time of the migration's start
        self.sent_at = {}

    def take(self, event):
        """Take one event in. Return: (words, whether it is bad news), None if it is no news"""
        kind, node = event["kind"], event["node"]
        if kind in ("SVCQ", "SVCR"):
            if node == "USER":
                self._count(event)
            return None
        if kind in TELL:
            told = TELL[kind](self, event, node, report.fields(event))
            if told is None:
                return None
            words, self.phase = told
            return words, False
        if kind in QUIET:
            return None
        return f"{node}: {kind.lower()}: {event.get('detail', '')}".rstrip(": "), kind in BAD

    def _count(self, event):
        if event["kind"] == "SVCQ":
            self.sent += 1
            self.first = self.first or event["time_us"]
            self.sent_at[event["number"]] = event["time_us"]
        else:
            self.answered += 1
            since = self.sent_at.pop(event["number"], None)
            if since:
                self.last_ms = (event["time_us"] - since) / 1000

    def seconds(self, event):
        """When an event happened, in seconds since the first request"""
        return max(0.0, (event["time_us"] - self.first) / 1e6) if self.first else 0.0


# Known, and no news: others of the same instant tell it.
QUIET = ("CLOCK OFFSET", "ASSOCIATION REQUEST", "REASSOCIATION RESPONSE", "MOVE NOTIFY",
         "MOVE RESPONSE", "MIGRATION ANNOUNCED", "READY", "T3", "SWITCH COMPLETE",
         "MOVE", "FENCE")
# All else that is not known is shown as it is; these in red.
BAD = ("MIGRATION FAILED", "ARRIVAL FAILED", "CONTAINER FAILED", "CONTAINER DIED", "SESSION LOST",
       "DIVERGED", "EVENTS DROPPED", "REASSOCIATION REFUSED", "MOVE REFUSED", "OUT OF MEMORY")


def megabytes(event, key):
    """A number of bytes of an event's detail, for a person"""
    return report.size(report.number(event, key))


def tell_associated(_story, _event, node, f):
    """The device is with its first access point"""
    return (f"associated with {f['ap']}", f"with {f['ap']}") if node == "USER" else None


def tell_created(_story, _event, node, _f):
    """CT-x is made"""
    return f"{node} has created the user's container", f"served by {node}"


def tell_handoff(_story, _event, node, f):
    """The device has moved"""
    if node == "USER":
        return None
    return f"handoff: reassociation at {node}, coming from {f['old_ap']}", "handoff"


def tell_start(story, event, node, f):
    """A migration starts"""
    story.started = event["time_us"]
    return (f"migration {node} -> {f['to']} starts by itself; {node} goes on serving",
            f"preparing {f['to']}")


def tell_prepared(_story, event, _node, _f):
    """CT-y is created, not started, or its image is wanted"""
    return (f"prepared: {megabytes(event, 'layer_bytes')} of files copied aside",
            "sending what the cut need not wait for")


def tell_way(_story, event, node, f):
    """From where a missing image comes, and why"""
    if "reason" in f:
        why = event["detail"].split("reason=", 1)[1]
        return f"{node} takes the image from the {f['from']}: {why}", "sending the image"
    took = {way: report.number(event, f"{way}_us") / 1e6 for way in ("source", "registry")}
    return (f"{node} takes the image from the {f['from']}: predicted {took['source']:.1f} s from the "
            f"source, {took['registry']:.1f} s from the registry", "fetching the image")


def tell_image(_story, event, _node, f):
    """What was missing of the image is on its way"""
    return (f"image sent, {f['layers_sent']} layers that were missing, "
            f"{megabytes(event, 'sent_bytes')} on the wire", "loading the image")


def tell_loaded(_story, _event, node, _f):
    """CT-y is created, not started"""
    return f"{node} has the image and has created the new container", "about to cut"


def tell_ahead(_story, event, _node, _f):
    """Most of the layer is over there"""
    return (f"files sent ahead of the cut, {megabytes(event, 'sent_bytes')} on the wire",
            "about to cut")


def tell_t1(_story, event, _node, _f):
    """The cut"""
    frozen = report.number(event, "freeze_us") / 1000
    return (f"T1 T3 cut taken after request {event['number']}, frozen {frozen:.0f} ms: memory "
            f"{megabytes(event, 'memory_bytes')}", "sending memory")


def tell_t2(_story, event, _node, _f):
    """Memory is sent"""
    return f"T2 memory sent, {megabytes(event, 'sent_bytes')} on the wire", "sending files"


def tell_t4(_story, event, _node, _f):
    """The container layer is sent"""
    return f"T4 changed files sent, {megabytes(event, 'sent_bytes')} on the wire", "restoring"


def tell_t5(_story, event, node, _f):
    """CT-y stands"""
    took = report.number(event, "restore_us") / 1000
    return f"T5 restored at {node} in {took:.0f} ms", "restored"


def tell_t6(_story, event, node, _f):
    """Copies are kept"""
    source = re.search(r"copies, (\S+) to", event.get("detail", ""))
    to = source.group(1) if source else "the old edge server"
    return f"T6 {node} forwards requests to {to} and keeps a copy of each", "preparing"


def tell_t7(_story, event, node, _f):
    """Replay"""
    return f"T7 {node}: {event.get('detail', 'replaying')}, answers compared", "replaying"


def tell_fenced(_story, event, node, _f):
    """CT-x executes no more"""
    return f"{node} is fenced after request {event['number']}: it executes no more", "switching"


def tell_t8(_story, event, _node, _f):
    """The switch"""
    where = event.get("detail", "").split(",")[0]
    return f"T8 {where}", "served by " + where.split(" ")[-1]


def tell_done(story, event, node, _f):
    """The migration is over"""
    took = f" after {(event['time_us'] - story.started) / 1e6:.2f} s" if story.started else ""
    return f"migration done{took}: {node} serves", f"served by {node}"


def tell_retired(story, _event, node, _f):
    """CT-x is stopped"""
    return f"{node} has stopped the old container and freed what it had", story.phase


def tell_left(_story, _event, node, _f):
    """The end"""
    return ("the user has left", "ending") if node == "USER" else None


TELL = {
    "ASSOCIATION RESPONSE": tell_associated, "CONTAINER CREATED": tell_created,
    "REASSOCIATION REQUEST": tell_handoff, "MIGRATION START": tell_start,
    "PREPARED": tell_prepared, "IMAGE WAY": tell_way, "IMAGE": tell_image, "IMAGE LOADED": tell_loaded,
    "LAYER AHEAD": tell_ahead,
    "T1": tell_t1, "T2": tell_t2, "T4": tell_t4, "T5": tell_t5,
    "T6": tell_t6, "T7": tell_t7, "FENCED": tell_fenced, "T8": tell_t8,
    "MIGRATION DONE": tell_done, "RETIRED": tell_retired, "DISASSOCIATION": tell_left,
}


class Tail:
    """Reads the event log as it grows"""

    def __init__(self, folder):
        self.folder = folder
        self.read = 0
        self.rest = b""

    def files(self):
        """Files of the log, oldest first: a full one is renamed to <name>.<number>"""
        return sorted(self.folder.glob("events.jsonl.*")) + [self.folder / "events.jsonl"]

    def whole(self):
        """All of the log so far"""
        return b"".join(path.read_bytes() for path in self.files() if path.exists())

    def new(self):
        """Events that have come since the last call"""
        skip, block = self.read, b""
        for path in self.files():
            with contextlib.suppress(FileNotFoundError), open(path, "rb") as file:
                length = os.fstat(file.fileno()).st_size
                if skip < length:
                    file.seek(skip)
                    part = file.read()
                    block += part
                    self.read += len(part)
                skip = max(0, skip - length)
        *lines, self.rest = (self.rest + block).split(b"\n")
        for line in lines:
            with contextlib.suppress(json.JSONDecodeError):
                yield json.loads(line)
