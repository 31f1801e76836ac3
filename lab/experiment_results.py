# SPDX-License-Identifier: Apache-2.0
"""experiment_results - from the folders of runs to the numbers that tables and figures show

Pure but for load(); tests/unit/lab/test_experiment.py tests it.
"""

import pathlib
import statistics

import experiment_plan as plan
import report

# Section IV of the paper: means of 5 runs.
PAPER = {
    "C": {"migration_s": 124.90, "response_ms": 202.9, "lost": 0, "interruptions": 0},
    "P": {"migration_s": 6.91, "response_ms": 28.9, "lost": 0, "interruptions": 0},
}
# What befell requests.
COUNTS = ("interruptions", "lost", "duplicated", "reordered", "wrong")
WANTED_RUNS, FEWEST_RUNS = 5, 3


# --- one run --------------------------------------------------------------------------------------


def interruptions(rows, limit_ms):
    """Service interruptions: how many, and the longest response in milliseconds.

    One interruption is a row of requests, one after the other, each of which was not answered
    before the next was due (@limit_ms after it was sent), or never.
    """
    count, before = 0, False
    for row in rows:
        late = row["ms"] is None or row["ms"] > limit_ms
        count += late and not before
        before = late
    return count, max((row["ms"] for row in rows if row["ms"] is not None), default=None)


def cpu_of(resources, wanted):
    """CPU seconds of the parts for which wanted(name) is true; None if they are not known"""
    known = [use["cpu_s"] for name, use in (resources or {}).get("parts", {}).items()
             if wanted(name) and use["cpu_s"] is not None]
    return round(sum(known), 2) if known else None


def peak_of(resources, wanted):
    """The highest peak of memory among some parts, in bytes"""
    known = [use["peak_bytes"] for name, use in (resources or {}).get("parts", {}).items()
             if wanted(name) and use["peak_bytes"]]
    return max(known, default=None)


def is_engine(name):
    """Whether a part is a Docker engine"""
    return name.startswith("Docker engine")


def is_edge(name):
    """Whether a part is an edge server"""
    return name.startswith("EdgeServer-")


def counted(run, rows):
    """The requests that means over the run are of: not those that some sets send in addition"""
    return [row for row in rows if row["number"] <= run["configuration"]["requests"]]


def numbers(run, made, rows):
    """All numbers of one run that tables show. @made: its report.json; @rows: its requests"""
    move = (made.get("migrations") or [{}])[0]
    at, sent = move.get("at", {}), move.get("bytes") or made.get("bytes") or {}
    count, longest = interruptions(rows, run["configuration"]["interval_ms"])
    phases = made.get("response_ms") or {}
    whole = report.response_times(counted(run, rows))
    link = run.get("link", {}).get("measured", {})
    wan = (run.get("resources") or {}).get("wan", {})
    traced = at["switch"] - at["cut"] if at.get("switch") and at.get("cut") else None
    return {
        "migration_s": made.get("migration_s"),
        "freeze_ms": made.get("freeze_ms"),
        "traced_s": traced,
        "response_ms": whole["mean"],
        "response_before_ms": (phases.get("before") or {}).get("mean"),
        "response_during_ms": (phases.get("during") or {}).get("mean"),
        "response_after_ms": (phases.get("after") or {}).get("mean"),
        "longest_ms": longest,
        "interruptions": count if rows else None,
        "stopped_s": made.get("stopped_s"),  # of peers: from the stop until it answered again
        **{key: made.get(key) for key in ("lost", "duplicated", "reordered", "wrong", "replayed")},
        "sent_mb": sum(sent.values()) / 1e6 if sent else None,
        "after_cut_mb": move["bytes_after_cut"] / 1e6 if "bytes_after_cut" in move else None,
        "wan_mb": sum(both["sent"] for both in wan.values()) / 1e6 if wan else None,
        "rtt_ms": (link.get("rtt_ms") or {}).get("median"),
        "rate_mb_s": link.get("rate_mb_s"),
        "edge_cpu_s": cpu_of(run.get("resources"), is_edge),
        "engine_cpu_s": cpu_of(run.get("resources"), is_engine),
        "edge_peak_mb": in_mb(peak_of(run.get("resources"), is_edge)),
        "engine_peak_mb": in_mb(peak_of(run.get("resources"), is_engine)),
        "clock_us": max((abs(us) for us in made.get("clock_offset_us", {}).values()), default=None),
    }


def in_mb(count):
    """Bytes in MB, if they are known"""
    return count / 1e6 if count is not None else None


def is_migrated(one):
    """Whether a run's migration came to its end"""
    return one["numbers"]["migration_s"] is not None


def load_run(path):
    """One finished run; None if it is none"""
    run = plan.read_run(path)
    if not run or not run.get("finished"):
        return None
    made = report.read_json(path / "report.json")
    rows = report.read_rows(path / "responses.csv", made.get("clock_offset_us", {}).get("USER", 0))
    return {"path": path, "number": int(path.name), "run": run, "report": made,
            "rows": counted(run, rows), "numbers": numbers(run, made, rows)}


def load(out):
    """All finished runs: {set: [run, ...]} with run, report, rows, numbers and path of each"""
    found = {}
    for name in [*plan.SETS, *plan.PEERS]:
        for path in sorted((pathlib.Path(out) / name).glob("[0-9][0-9]")):
            one = load_run(path)
            if one:
                found.setdefault(name, []).append(one)
    return found


# --- many runs ------------------------------------------------------------------------------------


def spread(values):
    """Median, range, mean and number of what is known; None if nothing is"""
    known = [value for value in values if value is not None]
    if not known:
        return None
    return {"median": statistics.median(known), "min": min(known), "max": max(known),
            "mean": statistics.fmean(known), "n": len(known)}


def summary(runs):
    """Spread of each number over the runs of a set.

    Times and bytes are of runs with a migration: another has nothing to compare. What befell
    requests counts in all runs.
    """
    if not runs:
        return {}
    return {key: spread(one["numbers"][key] for one in runs if is_migrated(one) or key in COUNTS)
            for key in runs[0]["numbers"]}


def per_request(runs):
    """For each request number, over the runs: least, mean and most response in ms, unanswered"""
    collected = {}
    for one in runs:
        for row in one["rows"]:
            collected.setdefault(row["number"], []).append(row["ms"])
    points = []
    for number, all_ms in sorted(collected.items()):
        known = [ms for ms in all_ms if ms is not None]
        points.append({"number": number, "unanswered": len(all_ms) - len(known),
                       "min": min(known, default=None), "max": max(known, default=None),
                       "mean": statistics.fmean(known) if known else None})
    return points


def merged(lists):
    """All names of some lists once, each behind the name that it follows where it is first met"""
    names = []
    for some in sorted(lists, key=len, reverse=True):
        for i, name in enumerate(some):
            if name not in names:
                names.insert(names.index(some[i - 1]) + 1 if i else 0, name)
    return names


def stage_means(runs):
    """Mean milliseconds of each stage over the runs, in order; their sum is the mean of the whole.

    Means, as medians of parts do not add up. A stage that some runs did without counts 0 there.
    """
    lists = [one["report"]["migrations"][0]["stages_ms"] for one in runs
             if one["report"].get("migrations")]
    return [(name, sum(stage["ms"] for stages in lists for stage in stages
                       if stage["name"] == name) / len(lists))
            for name in merged([[stage["name"] for stage in stages] for stages in lists])]


def byte_means(runs):
    """Mean bytes of each kind over the runs: {kind: (raw, sent)}"""
    moves = [one["report"]["migrations"][0] for one in runs if one["report"].get("migrations")]
    if not moves:
        return {}
    kinds = list(dict.fromkeys(kind for move in moves for kind in move["bytes"]))
    # Only the log goes as it is.
    raw = [{**move["bytes"], **move["raw_bytes"]} for move in moves]
    return {kind: (statistics.fmean(one.get(kind, 0) for one in raw),
                   statistics.fmean(move["bytes"].get(kind, 0) for move in moves))
            for kind in kinds}


def ratio(above, below):
    """Quotient of two medians, None if either is not known"""
    if not above or not below or not below["median"]:
        return None
    return above["median"] / below["median"]


# --- what is to be reached ------------------------------------------------------------------------


def clean(one):
    """Whether nothing was lost, duplicated, reordered or wrong in a run, and the state is equal"""
    made = one["report"]
    return bool(made.get("state_equal")) and bool(made.get("good")) and not any(
        made.get(key) for key in ("lost", "duplicated", "reordered", "wrong"))


def goal(words, value, reached, shown):
    """One line of the list; reached is None if there is nothing to tell it by"""
    return {"words": words, "shown": shown if value is not None else "not measured",
            "reached": reached if value is not None else None}


def goals(found):
    """The list "to reach", each with the number seen and whether it is reached"""
    sums = {name: summary(found.get(name, [])) for name in plan.SETS}
    ours = found.get("C-baton", []) + found.get("P-baton", [])
    good = sum(clean(one) for one in ours)
    both = found.get("C-baton") and found.get("P-baton")
    lines = [goal("nothing lost, duplicated or reordered, state equal, in every run of our way",
                  good if both else None, good == len(ours), f"{good} of {len(ours)} runs")]
    for letter, least in (("P", 2.5), ("C", 3.5)):
        value = ratio(sums[f"{letter}-paper"].get("migration_s"),
                      sums[f"{letter}-baton"].get("migration_s"))
        lines.append(goal(f"{letter}-Migr: migration time, paper's way / ours, at least {least}",
                          value, value is not None and value >= least, f"{value or 0:.2f}"))
    value = ratio(sums["C-baton"].get("traced_s"), sums["P-baton"].get("traced_s"))
    lines.append(goal("traced window (cut to switch), our C-Migr / our P-Migr, at most 1.2", value,
                      value is not None and value <= 1.2, f"{value or 0:.2f}"))
    for letter in "CP":
        value = ratio(sums[f"{letter}-baton"].get("response_ms"),
                      sums[f"{letter}-paper"].get("response_ms"))
        lines.append(goal(f"{letter}-Migr: mean response over the run, ours / paper's way, "
                          "at most 1", value, value is not None and value <= 1,
                          f"{value or 0:.2f}"))
    fewest = min(len(found.get(name, [])) for name in plan.SETS)
    full = is_full(found)
    lines.append(goal(f"runs of each set as long as the paper's: at least {FEWEST_RUNS}, "
                      f"{WANTED_RUNS} wanted", fewest, full and fewest >= FEWEST_RUNS,
                      f"{fewest}" + ("" if full else ", but of the short form")))
    return lines


def forms(found):
    """How long runs were and with which container, each form once"""
    return {tuple(one["run"]["configuration"].get(key) for key in plan.FULL)
            for runs in found.values() for one in runs}


def is_full(found):
    """Whether all runs were as long as the paper's and with its container"""
    return forms(found) == {tuple(plan.FULL.values())}


# --- excerpts of the event log --------------------------------------------------------------------

LINES = 14  # of an excerpt, about as many as in the paper's Figure 5
# Not in the paper's figure, and of no use there.
NOT_SHOWN = ("CLOCK OFFSET",)


def excerpts(events):
    """Pieces of a run's event log like the paper's Figure 5: (title, events), start to ready.

    @events: from report.read_events(). A piece whose event is missing is left out.
    """
    told = [event for event in events if event["kind"] not in NOT_SHOWN]

    def around(kind, before, count, last=False):
        places = [i for i, event in enumerate(told) if event["kind"] == kind]
        if not places:
            return []
        begin = max(0, places[-1 if last else 0] - before)
        return told[begin:begin + count]

    pieces = [("a", "the start of the run", around("ASSOCIATION REQUEST", 0, LINES)),
              ("b", "the handoff", around("REASSOCIATION REQUEST", 4, 2 * LINES - 2)),
              ("c", "the new container is ready, and takes over", around("READY", 4, 2 * LINES,
                                                                         last=True))]
    return [piece for piece in pieces if piece[2]]


def sent_times(events):
    """When the USER sent each request: {number: time}"""
    return {event["number"]: event["t"] for event in events
            if event["node"] == "USER" and event["kind"] == "SVCQ"}


def excerpt_lines(events, sent, epoch):
    """An excerpt as text. @sent: from sent_times(); @epoch: time 0"""
    lines = []
    for event in events:
        detail = event.get("detail", "")
        if event["node"] == "USER" and event["kind"] == "SVCR" and event["number"] in sent:
            detail = f"response time {(event['t'] - sent[event['number']]) * 1000:.1f} ms"
        number = str(event["number"]) if event.get("number") else ""
        lines.append(f"{event['t'] - epoch:9.3f}  {event['node']:<13} {event['kind']:<22} "
                     f"{number:>4}  {detail}".rstrip())
    return lines
