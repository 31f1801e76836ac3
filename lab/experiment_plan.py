# SPDX-License-Identifier: Apache-2.0
"""experiment_plan - which runs there are to be, in which order, and which are there already

Pure but for code_digest() and read_run(); tests/unit/lab/test_experiment.py tests it.
"""

import hashlib
import json
import pathlib
import statistics

ROOT = pathlib.Path(__file__).resolve().parent.parent

# name: how its runs differ. Names are the paper's: C-Migr moves the image too, P-Migr does not.
# The paper's C-Migr takes about 150 s on the lab, just what a run leaves it: some requests more are
# sent, so that its end is seen. They are not counted in means over the run, nor drawn.
SETS = {
    "C-paper": {"method": "complete", "profile": "paper", "extra_requests": 40},
    "C-baton": {"method": "complete", "profile": "baton"},
    "P-paper": {"method": "partial", "profile": "paper"},
    "P-baton": {"method": "partial", "profile": "baton"},
}
# The ways people move a container today, done by lab/peers.py.
PEERS = {
    "cold": {"peer": "cold", "method": "complete"},
    "podman": {"peer": "podman", "method": "partial"},
    "precopy": {"peer": "precopy", "method": "partial"},
}
# The paper's section IV, and a short form of it that ends in about ten minutes.
FULL = {"requests": 200, "interval_ms": 1000, "handoff_at": 50, "base": "paper"}
QUICK = {"requests": 70, "interval_ms": 1000, "handoff_at": 20, "base": "small"}
LINK = {"rtt_ms": 200, "rate_mb_s": 10}
# What a run takes beside its requests, until one has been measured: lab up, image, probes, down.
OVERHEAD_S = {"paper": 35, "small": 25}
# Files that have no part in a run: they say what runs were like.
NOT_OF_A_RUN = ("lab/bench", "lab/demo", "lab/figures.py", "lab/report.py", "lab/story.py",
                "lab/experiment", "lab/experiment_figures.py",
                "lab/experiment_plan.py", "lab/experiment_results.py", "lab/experiment_text.py")


def configuration(name, form):
    """All that decides what a run of set @name is"""
    return {"set": name, "extra_requests": 0, **{**SETS, **PEERS}[name], **form, **LINK}


def requests_sent(wanted):
    """How many requests a run sends in all"""
    return wanted["requests"] + wanted["extra_requests"]


def order(names, runs):
    """(set, number) of all runs: number 1 of all sets, then number 2 of all ...

    Drift of the machine so hits all sets alike, and an early end leaves a fair table. Each round
    begins with another set, so that none always follows the same one.
    """
    names = list(names)
    return [(names[(i + number) % len(names)], number + 1)
            for number in range(runs) for i in range(len(names))]


def folder(out, name, number):
    """Where a run lies"""
    return out / name / f"{number:02d}"


def read_run(path):
    """The run.json in a run's folder; None if there is none that can be read"""
    try:
        run = json.loads((path / "run.json").read_text(encoding="utf-8"))
        return run if isinstance(run, dict) else None
    except (OSError, json.JSONDecodeError):
        return None


def why_redo(run, wanted, code, keep_old):
    """Why a run has to be made (again), in words; None if the one that is there will do.

    @run: its run.json, None if there is none; @wanted: the configuration; @code: code_digest().
    A run that came to its end is kept whether it was good or not: to repeat runs until they are
    good would be to choose results.
    """
    if run is None:
        return "not made yet"
    if not run.get("finished"):
        return "broken off"
    if keep_old:
        return None
    if run.get("configuration") != wanted:
        return "made with another configuration"
    if run.get("code") != code:
        return f"made by other code (commit {run.get('commit') or 'unknown'})"
    return None


def code_digest(root=ROOT):
    """Digest of everything in the tree that takes part in a run.

    Not the commit: one that only touches documents or figures makes no other runs, and changes
    that are not committed do.
    """
    digest = hashlib.sha256()
    for path in sorted(p for top in ("src", "service", "lab") for p in (root / top).rglob("*")):
        name = path.relative_to(root).as_posix()
        if not path.is_file() or name in NOT_OF_A_RUN or "__pycache__" in name:
            continue
        digest.update(f"{name}\0".encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:16]


def guess_s(wanted):
    """How long a run may take of which nothing is known yet"""
    return requests_sent(wanted) * wanted["interval_ms"] / 1000 + OVERHEAD_S[wanted["base"]]


def left_s(todo, finished, form):
    """How long the runs @todo, a list of sets, will take.

    @finished: (set, seconds) of runs made; a set without any takes as long as was guessed, as far
    as the guess was right for the others.
    """
    known = {}
    for name, seconds in finished:
        known.setdefault(name, []).append(seconds)
    guesses = {name: guess_s(configuration(name, form)) for name in {*todo, *known}}
    right = [seconds / guesses[name] for name, all_s in known.items() for seconds in all_s]
    factor = statistics.median(right) if right else 1.0
    return sum(statistics.median(known[name]) if name in known else guesses[name] * factor
               for name in todo)


def duration(seconds):
    """Seconds for a person"""
    minutes = round(seconds / 60)
    if seconds < 90:
        return f"{round(seconds)} s"
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"
