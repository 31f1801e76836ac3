# SPDX-License-Identifier: Apache-2.0
"""experiment_text - the results as a page, and as a few lines for a terminal

All numbers come from the folders of the runs, by way of experiment_results.
"""

import pathlib

import experiment_figures as figures
import experiment_plan as plan
import experiment_results as results
import report

FIGURES = {"C": ("figure6", "Figure 6: C-Migr, response time of each request"),
           "P": ("figure7", "Figure 7: P-Migr, response time of each request")}
NOTHING = "-"


# --- numbers as words -----------------------------------------------------------------------------


def figure(value, unit=""):
    """A number with three or four digits that count"""
    if value is None:
        return NOTHING
    size = abs(value)
    digits = 0 if size >= 1000 or value == int(value) else 1 if size >= 10 else 2
    return f"{value:.{digits}f}{unit}"


def median(values, unit=""):
    """A median with its range; without a range if there is only one value"""
    if values is None:
        return NOTHING
    if values["n"] == 1 or values["min"] == values["max"]:
        return figure(values["median"], unit)
    return (f"{figure(values['median'])} ({figure(values['min'])} to {figure(values['max'])})"
            + unit)


def times(value):
    """A ratio"""
    return NOTHING if value is None else f"{value:.2f}"


def table(head, rows):
    """A table in Markdown"""
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return lines + ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows] + [""]


def of_runs(count, runs):
    """How many of how many"""
    return f"{count} of {len(runs)}"


def one_line(one):
    """What came of a run, in a line"""
    made, numbers = one["report"], one["numbers"]
    if not made.get("possible", True):
        return f"not possible: {made.get('reason')}"
    if numbers["migration_s"] is None:
        return "no migration; " + "; ".join(made.get("problems") or ["no reason given"])
    words = [f"migration {numbers['migration_s']:.2f} s",
             f"mean response {figure(numbers['response_ms'])} ms", f"{numbers['lost'] or 0} lost"]
    state = [f"state {made['state']}"] if "possible" in made else ["state equal"]
    return ", ".join(words + (made.get("problems") or made.get("flaws") or state))


# --- parts of the page ----------------------------------------------------------------------------


def head_lines(found):
    """What this page is, and from what runs"""
    runs = [one for made in found.values() for one in made]
    days = sorted({one["run"].get("begun", "")[:10] for one in runs})
    commits = sorted({one["run"].get("commit") or "unknown" for one in runs})
    form = runs[0]["run"]["configuration"]
    lines = ["# Results", "",
             "Written by `lab/experiment --report --docs` from the runs' folders; not by hand.",
             "What is measured and how: [experiment.md](experiment.md).", ""]
    if not results.is_full(found):
        lines += ["**Not the paper's experiment but a short form of it**: "
                  f"{form['requests']} requests, one each {form['interval_ms']} ms, handoff after "
                  f"request {form['handoff_at']}, base image `{form['base']}`. Ratios of C-Migr "
                  "depend on the image's size.", ""]
    if len(results.forms(found)) > 1:
        lines += ["**Runs of different forms are mixed here**, so the numbers below mean "
                  "little: remove the folders of one form.", ""]
    counts = ", ".join(f"{len(found.get(name, []))} {name}" for name in [*plan.SETS, *plan.PEERS]
                       if found.get(name))
    lines += [f"Runs: {counts}; {' to '.join(dict.fromkeys([days[0], days[-1]]))}, "
              f"commit {', '.join(commits)}.", "",
              "Medians of the runs, least to most in brackets. *Paper*: means of its 5 runs, on "
              "its own machines; *paper's way here*: `profile = \"paper\"` on this machine; "
              "*ratio*: paper's way here / ours.", ""]
    without = [f"{name} {one['number']:02d} ({one_line(one)})"
               for name in plan.SETS for one in found.get(name, []) if not results.is_migrated(one)]
    if without:
        lines += ["Without a migration, and so not among the times below: "
                  + ", ".join(without) + ".", ""]
    return lines


def main_table(sums):
    """Paper, paper's way here, ours, ratio"""
    rows = []
    for letter in "CP":
        theirs, ours = sums[f"{letter}-paper"], sums[f"{letter}-baton"]
        paper = results.PAPER[letter]

        def row(words, key, unit, with_ratio, letter=letter, theirs=theirs, ours=ours, paper=paper):
            quotient = results.ratio(theirs.get(key), ours.get(key)) if with_ratio else None
            rows.append((f"{letter}-Migr: {words}", figure(paper[key], unit),
                         median(theirs.get(key), unit), median(ours.get(key), unit),
                         times(quotient)))
        row("migration time", "migration_s", " s", True)
        row("mean response over the run", "response_ms", " ms", True)
        row("requests lost", "lost", "", False)
        row("service interruptions", "interruptions", "", False)
    return table(("", "paper", "paper's way here", "ours", "ratio"), rows) + [
        "A *service interruption* is one or more requests in a row that were not answered before "
        "the next one was due.", ""]


SET_ROWS = (
    ("migration time", "migration_s", " s"), ("processes stood still", "freeze_ms", " ms"),
    ("traced window: cut to switch", "traced_s", " s"), ("copies replayed", "replayed", ""),
    ("response, mean over the run", "response_ms", " ms"),
    ("before the handoff", "response_before_ms", " ms"),
    ("during the migration", "response_during_ms", " ms"),
    ("after it", "response_after_ms", " ms"), ("longest response", "longest_ms", " ms"),
    ("service interruptions", "interruptions", ""),
    ("requests lost", "lost", ""), ("duplicated", "duplicated", ""), ("reordered", "reordered", ""),
    ("answers wrong", "wrong", ""), ("sent by the migration", "sent_mb", " MB"),
    ("of it after the cut", "after_cut_mb", " MB"), ("sent over the WAN, all", "wan_mb", " MB"),
)
USE_ROWS = (
    ("edge servers, CPU time", "edge_cpu_s", " s"),
    ("edge server, peak memory", "edge_peak_mb", " MB"),
    ("Docker engines, CPU time", "engine_cpu_s", " s"),
    ("Docker engine, peak memory", "engine_peak_mb", " MB"),
)
LINK_ROWS = (("RTT measured", "rtt_ms", " ms"), ("rate measured", "rate_mb_s", " MB/s"),
             ("clocks off by at most", "clock_us", " us"))


def rows_of(sums, names, rows):
    """Rows of medians for some sets"""
    return [(words, *(median(sums[name].get(key), unit) for name in names))
            for words, key, unit in rows]


def sets_table(found, sums):
    """The four sets side by side"""
    names = list(plan.SETS)
    rows = [("runs, of them with a migration", *(of_runs(
        sum(results.is_migrated(one) for one in found.get(name, [])), found.get(name, []))
        for name in names))]
    rows += rows_of(sums, names, SET_ROWS)
    rows.append(("state equal in the end", *(of_runs(
        sum(bool(one["report"].get("state_equal")) for one in found.get(name, [])),
        found.get(name, [])) for name in names)))
    rows.append(("executions more than requests", *(median(results.spread(
        extra(one) for one in found.get(name, []))) for name in names)))
    return table(("", *names), rows)


def extra(one):
    """How many more executions the service counts in the end than there were requests"""
    executed = one["report"].get("own_account", {}).get("executed")
    return None if executed is None else executed - one["report"]["requests"]


def goals_lines(found):
    """The checked list"""
    sign = {True: "x", False: " ", None: " "}
    words = {True: "reached", False: "**not reached**", None: "not measured"}
    return table(("", "to reach", "seen", ""),
                 [(f"[{sign[goal['reached']]}]", goal["words"], goal["shown"],
                   words[goal["reached"]]) for goal in results.goals(found)])


def middle_run(runs):
    """The run whose migration time is the median, to show as an example"""
    runs = sorted((one for one in runs if results.is_migrated(one)),
                  key=lambda one: one["numbers"]["migration_s"])
    return runs[(len(runs) - 1) // 2] if runs else None


def excerpt_lines(found):
    """Figure 5: pieces of the event logs of one C and one P run of ours"""
    lines = ["## Event log, as in the paper's Figure 5", "",
             "Seconds since the first line, node, event, request number. SVCQ is a request, SVCR "
             "its answer; LogRepo's times, clocks corrected for.", ""]
    for name in ("C-baton", "P-baton"):
        one = middle_run(found.get(name, []))
        if not one:
            continue
        events, _ = report.read_events(one["path"] / "events.jsonl")
        pieces, sent = results.excerpts(events), results.sent_times(events)
        for letter, title, piece in pieces:
            lines += [f"{name}, run {one['number']}: ({letter}) {title}", "", "```"]
            lines += results.excerpt_lines(piece, sent, pieces[0][2][0]["t"])
            lines += ["```", ""]
    return lines


def byte_table(found):
    """What was sent, by kind"""
    rows = []
    for name in plan.SETS:
        for kind, (raw, sent) in results.byte_means(found.get(name, [])).items():
            if raw or sent:
                rows.append((name, kind, report.size(round(raw)), report.size(round(sent))))
    return table(("set", "kind", "as it is", "on the wire"), rows)


def stage_table(found):
    """The means that the stacked bars show"""
    means = {name: dict(results.stage_means(found.get(name, []))) for name in plan.SETS}
    stages = results.merged([list(both) for both in means.values()])
    return table(("stage, mean ms", *plan.SETS),
                 [(stage, *(figure(means[name].get(stage)) for name in plan.SETS))
                  for stage in stages])


def states_of(runs):
    """What became of the state, as often as it did"""
    states = [one["report"].get("state") or "unknown" for one in runs if results.is_migrated(one)]
    return ", ".join(f"{state} ({of_runs(states.count(state), states)})"
                     for state in dict.fromkeys(states)) or NOTHING


def peers_table(found):
    """The ways people move a container today"""
    rows = []
    for name, words in plan.PEERS.items():
        runs = found.get(name, [])
        image = "image sent, too" if words["method"] == "complete" else "image there"
        if not any(map(results.is_migrated, runs)):
            why = one_line(runs[0]) if runs else "not run"
            rows.append((name, image, why, *([NOTHING] * 6)))
            continue
        sums = results.summary(runs)
        rows.append((name, image, median(sums["migration_s"], " s"),
                     median(sums["stopped_s"], " s"), median(sums["lost"]),
                     median(sums["interruptions"]), median(sums["longest_ms"], " ms"),
                     median(sums["response_ms"], " ms"), states_of(runs)))
    return table(("way", "", "migration time", "service away", "lost", "interruptions",
                  "longest response", "mean response", "state"), rows)


def made_with(found):
    """Machines and versions, each that differs once"""
    runs = [one["run"] for made in found.values() for one in made]
    machines = {tuple(sorted(run.get("machine", {}).items())) for run in runs}
    versions = {tuple(run.get("versions", {}).items()) for run in runs if run.get("versions")}
    images = sorted({run["image_bytes"] for run in runs if run.get("image_bytes")})
    lines = []
    for machine in sorted(machines, key=str):
        one = dict(machine)
        lines.append(f"- {one.get('cpu')}, {one.get('processors')} processors, "
                     f"{one.get('memory_gib')} GiB, {one.get('system')}; all hosts are network "
                     "namespaces of this one machine")
    lines += ["- " + ", ".join(f"{name} {value}" for name, value in one)
              for one in sorted(versions, key=str)]
    if images:
        lines.append("- image of the container: " + ", ".join(report.size(n) for n in images))
    return [*lines, ""]


def draw(found, folder):
    """All figures into a folder. Return: what could be drawn"""
    drawn = []
    for letter, (name, title) in FIGURES.items():
        ways = {}
        for way in ("paper", "baton"):
            runs = found.get(f"{letter}-{way}", [])
            if runs:
                ways[way] = (results.per_request(runs), report.plural(len(runs), "run"))
                handoff_at = runs[0]["run"]["configuration"]["handoff_at"]
        if ways:
            figures.response_times(folder, name, title, ways, handoff_at)
            drawn.append(name)
    groups = []
    for letter in "CP":
        bars = [(name, results.stage_means(found[name])) for name in plan.SETS
                if name.startswith(letter) and any(map(results.is_migrated, found.get(name, [])))]
        if bars:
            groups.append((f"{letter}-Migr", bars))
    if groups:
        figures.stages(folder, "stages", groups)
        drawn.append("stages")
    return drawn


def page(found, drawn, folder):
    """The whole page"""
    sums = {name: results.summary(found.get(name, [])) for name in plan.SETS}

    def picture(name, words):
        return ([f"![{words}]({folder}/{name}.png)", "",
                 f"[{name}.svg]({folder}/{name}.svg)", ""] if name in drawn else [])

    lines = head_lines(found) + main_table(sums)
    lines += ["## To reach", ""] + goals_lines(found)
    lines += ["## The four sets", ""] + sets_table(found, sums)
    lines += ["## Figures 6 and 7", "",
              "Band: least to most of the runs, line: mean. Requests are numbered from 1 (the "
              "paper's from 0); responses below 0.5 ms stand at 0.5.", ""]
    for name, title in FIGURES.values():
        lines += picture(name, title)
    lines += ["## Where the time goes", ""] + picture("stages", "mean time of each stage")
    lines += stage_table(found) + ["## What was sent", "", "Means.", ""] + byte_table(found)
    lines += excerpt_lines(found)
    lines += ["## Other ways to move a container", ""] + peers_table(found)
    lines += ["## What it was made on", ""] + made_with(found)
    lines += table(("", *plan.SETS), rows_of(sums, list(plan.SETS), LINK_ROWS + USE_ROWS))
    return "\n".join(lines).rstrip() + "\n"


def write(found, folder):
    """Write results.md and its figures into a folder. Return: the page's path"""
    folder, figures_in = pathlib.Path(folder), "figures"
    (folder / figures_in).mkdir(parents=True, exist_ok=True)
    for kind in ("svg", "png"):
        for name in [*(name for name, _ in FIGURES.values()), "stages"]:
            (folder / figures_in / f"{name}.{kind}").unlink(missing_ok=True)
    drawn = draw(found, folder / figures_in)
    path = folder / "results.md"
    path.write_text(page(found, drawn, figures_in), encoding="utf-8")
    return path


def summary_lines(found):
    """The results for a terminal"""
    sums = {name: results.summary(found.get(name, [])) for name in plan.SETS}
    lines = ["", f"{'':10}{'runs':>5}{'migration, s':>24}{'mean response, ms':>26}{'lost':>8}"
             f"{'state equal':>14}"]
    for name in plan.SETS:
        runs = found.get(name, [])
        equal = sum(bool(one["report"].get("state_equal")) for one in runs)
        lines.append(f"{name:10}{len(runs):5}{median(sums[name].get('migration_s')):>24}"
                     f"{median(sums[name].get('response_ms')):>26}"
                     f"{median(sums[name].get('lost')):>8}{of_runs(equal, runs):>14}")
    lines.append("")
    words = {True: "reached", False: "NOT reached", None: "not measured"}
    lines += [f"{words[goal['reached']]:>12}  {goal['words']}: {goal['shown']}"
              for goal in results.goals(found)]
    return "\n".join(lines)
