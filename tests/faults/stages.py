# SPDX-License-Identifier: Apache-2.0
"""The stages of a move, by the events that begin and end them

A fault strikes in a stage that the event log shows: when its first event has come. Whether it struck in time is
judged afterwards, by the times of the events: a stage that had ended before the fault struck was missed.
"""

import collections
import json
import time

Stage = collections.namedtuple("Stage", "begins node ends what")

# an event and its node begin a stage; any event of the list ends it
STAGES = {
    "rest": Stage(None, None, (), "nobody moves"),
    "arrival": Stage("move", None, ("MIGRATION START",), "the user's cable is in the new access point"),
    "prepare": Stage("MIGRATION START", "EdgeServer-1", ("PREPARED",), "the source looks, the destination agrees"),
    "pre-copy": Stage("PREPARED", "EdgeServer-1", ("LAYER AHEAD",), "files go while the service runs"),
    "cut": Stage("LAYER AHEAD", "EdgeServer-1", ("T1",), "the container is frozen and dumped"),
    "transfer": Stage("T1", "EdgeServer-1", ("T4",), "memory and last files go"),
    "restore": Stage("T4", "EdgeServer-1", ("T5",), "the destination restores"),
    "replay": Stage("T7", "AP-2", ("FENCE",), "the replica executes the copies"),
    "switch": Stage("FENCE", "AP-2", ("T8",), "authority moves"),
    "grace": Stage("T8", "AP-2", ("RETIRED",), "the old container is still there"),
    "release": Stage("RETIRED", "EdgeServer-1", ("SWITCH COMPLETE",), "the old container goes"),
}
MOVES = [name for name in STAGES if name != "rest"]
# an attempt may end otherwise than by its next stage
BROKEN = ("MIGRATION FAILED", "MIGRATION DROPPED", "DIVERGED")


class Events:
    """The events of a lab from now on, in the order of their arrival; those of single requests only if asked for"""

    def __init__(self, lab, requests=False):
        self.requests = requests
        self.path = lab.events_dir / "events.jsonl"
        self.offset = self.path.stat().st_size if self.path.exists() else 0
        self.list = []

    def read(self):
        if not self.path.exists():
            return self.list
        if self.path.stat().st_size < self.offset:  # a new file has begun
            self.offset = 0
        with open(self.path, "rb") as file:
            file.seek(self.offset)
            new = file.read()
        whole = new.rfind(b"\n") + 1  # the last line may be being written
        self.offset += whole
        self.list += [json.loads(line) for line in new[:whole].splitlines()
                      if line and (self.requests or b'"SVC' not in line)]
        return self.list

    def find(self, kind, node=None, session=None):
        return [e for e in self.read() if e["kind"] == kind and node in (None, e["node"])
                and session in (None, e.get("session"))]

    def wait(self, kind, node=None, session=None, seconds=30, alive=lambda: True):
        """The first such event, or None. It is looked for 500 times a second: a stage may be short"""
        end = time.monotonic() + seconds
        seen = 0
        while time.monotonic() < end and alive():
            for event in self.read()[seen:]:
                if event["kind"] == kind and node in (None, event["node"]) and \
                        session in (None, event.get("session")):
                    return event
            seen = len(self.list)
            time.sleep(0.002)
        return None


def missed(events, stage, session, struck_us):
    """Why a fault that struck then did not strike in its stage, or None"""
    if stage.begins is None:
        return None
    for event in events.read():
        if event.get("session") == session and event["kind"] in stage.ends and event["time_us"] < struck_us:
            late = (struck_us - event["time_us"]) / 1000
            return f"{event['kind']} had come {late:.0f} ms before the fault"
    return None
