#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The experiment's pure parts: which runs are made, statistics, figures' data, tables."""

import json
import pathlib
import sys
import tempfile
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[3] / "lab"))

import experiment_figures as figures  # noqa: E402
import experiment_plan as plan  # noqa: E402
import experiment_probe as probe  # noqa: E402
import experiment_results as results  # noqa: E402
import experiment_text as text  # noqa: E402
import report  # noqa: E402


def responses(*all_ms):
    """Requests numbered from 1 with these response times"""
    return [{"number": i + 1, "ms": ms, "sent": float(i), "answered": None, "ap": "AP-1"}
            for i, ms in enumerate(all_ms)]


def made_run(name, migration_s=None, mean=10.0, traced=2.0, rows=None, form=None, **more):
    """A finished run as results.load() gives it"""
    migrated = migration_s is not None
    moves = [{"migration_s": migration_s, "at": {"cut": 100.0, "switch": 100.0 + traced},
              "bytes": {"memory": 10, "layer": 20, "image": 0, "log": 1}, "bytes_after_cut": 11,
              "raw_bytes": {"memory": 30, "layer": 20, "image": 0},
              "stages_ms": [{"name": "prepare", "ms": 400.0}, {"name": "switch", "ms": 600.0}],
              }] if migrated else []
    made = {"migration_s": migration_s, "freeze_ms": 80.0, "migrations": moves, "requests": 200,
            "state_equal": True, "good": migrated,
            "lost": 0, "duplicated": 0, "reordered": 0, "wrong": 0, "replayed": 3, **more}
    run = {"configuration": plan.configuration(name, form or plan.FULL), "finished": True,
           "begun": "2026-01-02T03:04:05Z", "commit": "abc"}
    rows = rows or responses(mean)
    return {"path": pathlib.Path(name, "01"), "number": 1, "run": run, "report": made, "rows": rows,
            "numbers": results.numbers(run, made, rows)}


def four_sets(runs=3, **changed):
    """Runs of all sets that reach everything, but for what is changed in one"""
    speed = {"C-paper": (120.0, 200.0), "C-baton": (30.0, 60.0), "P-paper": (12.0, 30.0),
             "P-baton": (4.0, 20.0)}
    found = {name: [made_run(name, migration_s, mean) for _ in range(runs)]
             for name, (migration_s, mean) in speed.items()}
    return {**found, **changed}


class Order(unittest.TestCase):
    def test_rounds(self):
        """Number n + 1 of any set comes after number n of all"""
        made = plan.order(plan.SETS, 5)
        self.assertEqual(len(set(made)), 20)
        self.assertEqual([number for _, number in made], sorted(n for _, n in made))

    def test_no_set_always_first(self):
        firsts = [made for made in plan.order(plan.SETS, 4)][::4]
        self.assertEqual({name for name, _ in firsts}, set(plan.SETS))


class Redo(unittest.TestCase):
    def setUp(self):
        self.wanted = plan.configuration("P-baton", plan.FULL)
        self.run = {"finished": True, "configuration": dict(self.wanted), "code": "c1",
                    "commit": "abc"}

    def why(self, run, keep_old=False, code="c1"):
        return plan.why_redo(run, self.wanted, code, keep_old)

    def test_kept(self):
        self.assertIsNone(self.why(self.run))

    def test_not_made(self):
        self.assertEqual(self.why(None), "not made yet")

    def test_broken_off(self):
        """Also with --keep-old: half a run is none"""
        self.run["finished"] = False
        self.assertEqual(self.why(self.run), "broken off")
        self.assertEqual(self.why(self.run, keep_old=True), "broken off")

    def test_bad_is_kept(self):
        """To repeat runs until they are good would be to choose results"""
        self.run["problems"] = ["1 request lost"]
        self.assertIsNone(self.why(self.run))

    def test_other_configuration(self):
        self.run["configuration"]["requests"] = 10
        self.assertEqual(self.why(self.run), "made with another configuration")
        self.assertIsNone(self.why(self.run, keep_old=True))

    def test_other_code(self):
        self.assertEqual(self.why(self.run, code="c2"), "made by other code (commit abc)")
        self.assertIsNone(self.why(self.run, keep_old=True, code="c2"))

    def test_reading(self):
        """A run.json cut short is none"""
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder)
            self.assertIsNone(plan.read_run(path))
            for words in ('{"finished": tr', "[]"):
                (path / "run.json").write_text(words, encoding="utf-8")
                self.assertIsNone(plan.read_run(path))
            (path / "run.json").write_text(json.dumps(self.run), encoding="utf-8")
            self.assertEqual(plan.read_run(path), self.run)

    def test_code(self):
        """Any change of what takes part in a run changes the digest, and nothing else does"""
        with tempfile.TemporaryDirectory() as folder:
            root = pathlib.Path(folder)
            for name in ("src/a.c", "lab/lab", "lab/experiment_text.py", "service/offload.py"):
                (root / name).parent.mkdir(exist_ok=True)
                (root / name).write_text("1", encoding="utf-8")
            before = plan.code_digest(root)
            (root / "lab/experiment_text.py").write_text("2", encoding="utf-8")
            self.assertEqual(plan.code_digest(root), before)
            (root / "src/a.c").write_text("2", encoding="utf-8")
            changed = plan.code_digest(root)
            self.assertNotEqual(changed, before)
            (root / "src/a.c").rename(root / "src/b.c")
            self.assertNotIn(plan.code_digest(root), (before, changed))

    def test_names(self):
        """What is said to have no part in a run exists: a new name would silently count"""
        for name in plan.NOT_OF_A_RUN:
            self.assertTrue((plan.ROOT / name).is_file(), name)


class Left(unittest.TestCase):
    def test_nothing_known(self):
        self.assertEqual(plan.left_s(["C-paper"], [], plan.QUICK),
                         70 + 40 + plan.OVERHEAD_S["small"])

    def test_known(self):
        """A set takes what it took, another what was guessed, as far as guesses were right"""
        long, short = (plan.guess_s(plan.configuration(name, plan.QUICK))
                       for name in ("C-paper", "P-baton"))
        finished = [("C-paper", long * 2), ("C-paper", long * 2)]
        self.assertAlmostEqual(plan.left_s(["C-paper", "P-baton"], finished, plan.QUICK),
                               long * 2 + short * 2)

    def test_words(self):
        self.assertEqual([plan.duration(s) for s in (5, 89, 91, 3540, 3600, 5000)],
                         ["5 s", "89 s", "2 min", "59 min", "1 h 00 min", "1 h 23 min"])


class Statistics(unittest.TestCase):
    def test_spread(self):
        self.assertEqual(results.spread([3, None, 1, 2]),
                         {"median": 2, "min": 1, "max": 3, "mean": 2.0, "n": 3})
        self.assertIsNone(results.spread([None]))

    def test_interruptions(self):
        """Late requests in a row are one interruption; the limit itself is not late"""
        rows = responses(1, 1001, 5000, 3, 1000, None, 2, 1200)
        self.assertEqual(results.interruptions(rows, 1000), (3, 5000))
        self.assertEqual(results.interruptions([], 1000), (0, None))

    def test_per_request(self):
        runs = [{"rows": responses(1, None)}, {"rows": responses(3, 5, 7)}]
        self.assertEqual(results.per_request(runs), [
            {"number": 1, "unanswered": 0, "min": 1, "max": 3, "mean": 2.0},
            {"number": 2, "unanswered": 1, "min": 5, "max": 5, "mean": 5.0},
            {"number": 3, "unanswered": 0, "min": 7, "max": 7, "mean": 7.0}])

    def test_only_migrations_have_times(self):
        """A run without a migration tells nothing of its times, but its lost requests count"""
        runs = [made_run("C-paper", 100.0, 50.0), made_run("C-paper", None, 5.0, lost=7)]
        sums = results.summary(runs)
        self.assertEqual((sums["migration_s"]["n"], sums["response_ms"]["n"]), (1, 1))
        self.assertEqual((sums["lost"]["n"], sums["lost"]["max"]), (2, 7))

    def test_extra_requests(self):
        """What a set sends beyond the paper's run is in no mean, but what befalls it counts"""
        form = {**plan.FULL, "requests": 2}
        one = made_run("C-paper", 100.0, rows=responses(10.0, 20.0, 3000.0), form=form)
        self.assertEqual(plan.requests_sent(one["run"]["configuration"]), 42)
        self.assertEqual(one["numbers"]["response_ms"], 15.0)
        self.assertEqual((one["numbers"]["interruptions"], one["numbers"]["longest_ms"]),
                         (1, 3000.0))

    def test_stages_add_up(self):
        """Also where runs differ in their stages"""
        def one(*stages):
            return {"report": {"migrations": [{"stages_ms": [
                {"name": name, "ms": ms} for name, ms in stages]}]}}
        means = results.stage_means([one(("prepare", 10), ("switch", 30)),
                                     one(("retries", 20), ("prepare", 10), ("drain", 4),
                                         ("switch", 10))])
        self.assertEqual(means, [("retries", 10), ("prepare", 10), ("drain", 2), ("switch", 20)])
        self.assertEqual(results.stage_means([{"report": {}}]), [])

    def test_ratio(self):
        self.assertEqual(results.ratio({"median": 6}, {"median": 2}), 3)
        self.assertIsNone(results.ratio(None, {"median": 2}))
        self.assertIsNone(results.ratio({"median": 6}, {"median": 0}))

    def test_resources(self):
        stat = "7 (a) b) S 1 " + " ".join(["0"] * 9) + " 100 200 300 400 20 0"
        self.assertAlmostEqual(probe.cpu_s(stat), 1000 / probe.TICKS)
        self.assertEqual(probe.peak_bytes("VmPeak:\t9 kB\nVmHWM:\t   12 kB\n"), 12288)
        begin = {"parts": {"A": {"cpu_s": 1.0, "peak_bytes": 5}},
                 "wan": {"pc1": {"sent": 10, "received": 1}}}
        end = {"parts": {"A": {"cpu_s": 3.5, "peak_bytes": 9},
                         "B": {"cpu_s": None, "peak_bytes": None}},
               "wan": {"pc1": {"sent": 110, "received": 2}}}
        self.assertEqual(probe.use_between(begin, end), {
            "parts": {"A": {"cpu_s": 2.5, "peak_bytes": 9},
                      "B": {"cpu_s": None, "peak_bytes": None}},
            "wan": {"pc1": {"sent": 100, "received": 1}}})


class Groups(unittest.TestCase):
    def use(self, files):
        with tempfile.TemporaryDirectory() as place:
            for path, text in files.items():
                path = pathlib.Path(place, path)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text, encoding="ascii")
            return probe.group_use(pathlib.Path(place), "lab-pc1")

    def test_version_1(self):
        self.assertEqual(self.use({"cpuacct/lab-pc1/cpuacct.usage": "1500000000\n",
                                     "memory/lab-pc1/memory.max_usage_in_bytes": "4096\n"}),
                         {"cpu_s": 1.5, "peak_bytes": 4096})

    def test_version_2(self):
        stat = "usage_usec 2500000\nuser_usec 2000000\nsystem_usec 500000\n"
        self.assertEqual(self.use({"cgroup.controllers": "cpu memory\n", "lab-pc1/cpu.stat": stat,
                                     "lab-pc1/memory.peak": "8192\n"}),
                         {"cpu_s": 2.5, "peak_bytes": 8192})

    def test_not_said(self):
        nothing = {"cpu_s": None, "peak_bytes": None}
        self.assertEqual(self.use({}), nothing)
        self.assertEqual(self.use({"cgroup.controllers": ""}), nothing)

    def test_names(self):
        self.assertEqual(probe.group_of("my-lab", "pc1", None), "my-lab-pc1")
        self.assertEqual(probe.group_of("my-lab", "pc1", "1"), "baton_lab_my_lab_pc1.slice")


class Goals(unittest.TestCase):
    def reached(self, found):
        return [goal["reached"] for goal in results.goals(found)]

    def test_all(self):
        self.assertEqual(self.reached(four_sets()), [True] * 7)

    def test_nothing_measured(self):
        self.assertEqual(self.reached({}), [None] * 6 + [False])

    def test_one_bad_run(self):
        """One run of ours with a flaw is enough, one of the paper's way is not"""
        bad = [made_run("P-baton", 4.0, 20.0) for _ in range(2)]
        bad.append(made_run("P-baton", 4.0, 20.0, state_equal=False, good=False))
        self.assertEqual(self.reached(four_sets(**{"P-baton": bad}))[0], False)
        theirs = [made_run("P-paper", 12.0, 30.0, duplicated=4, state_equal=False)] * 3
        self.assertEqual(self.reached(four_sets(**{"P-paper": theirs})), [True] * 7)

    def test_no_migration_is_not_clean(self):
        bad = [made_run("C-baton", 30.0, 60.0)] * 2 + [made_run("C-baton", None, 1.0)]
        self.assertEqual(self.reached(four_sets(**{"C-baton": bad}))[0], False)

    def test_each_ratio(self):
        for i, name, run in (
                (1, "P-baton", made_run("P-baton", 4.9, 20.0)),
                (2, "C-baton", made_run("C-baton", 34.4, 60.0)),
                (3, "C-baton", made_run("C-baton", 30.0, 60.0, traced=2.41)),
                (4, "C-baton", made_run("C-baton", 30.0, 201.0)),
                (5, "P-baton", made_run("P-baton", 4.0, 31.0))):
            want = [True] * 7
            want[i] = False
            self.assertEqual(self.reached(four_sets(**{name: [run] * 3})), want, name)

    def test_runs(self):
        """Too few runs, and runs of the short form, do not do"""
        self.assertFalse(self.reached(four_sets(runs=2))[6])
        short = [made_run("P-baton", 4.0, 20.0, form=plan.QUICK)] * 3
        self.assertFalse(self.reached(four_sets(**{"P-baton": short}))[6])


def event(t, node, kind, number=None, detail=""):
    """An event as report.read_events() gives it"""
    return {"t": t, "node": node, "kind": kind, "number": number, "detail": detail,
            "session": "s", **({} if number is not None else {"number": 0})}


class Stages(unittest.TestCase):
    def test_order(self):
        """What only some lists have stands where it stands there"""
        self.assertEqual(results.merged([["a", "c"], ["a", "b", "c"], ["a", "x", "c"]]),
                         ["a", "x", "b", "c"])
        self.assertEqual(results.merged([]), [])

    def test_colours(self):
        """No two stages of one picture have the same colour"""
        self.assertEqual(len(set(figures.STAGE_COLOURS)), len(figures.STAGE_COLOURS))
        paper = [stage[0] for stage in report.paper_marks(0, {"t": 1}, {"t": 2}, {"t": 3}, None, 1)]
        ours = ["retries", "prepare", "send image", "load image", "send ahead", "drain", "freeze",
                "send memory", "send layer", "arrive", "restore", "replay", "fence", "switch"]
        self.assertLessEqual(len({*paper, *ours}), len(figures.STAGE_COLOURS))


class Excerpts(unittest.TestCase):
    def test_pieces(self):
        events = [event(0.0, "AP-1", "CLOCK OFFSET"), event(0.1, "USER", "ASSOCIATION REQUEST"),
                  event(1.0, "USER", "SVCQ", 1), event(1.01, "USER", "SVCR", 1),
                  event(2.0, "AP-2", "REASSOCIATION REQUEST"),
                  event(9.0, "EdgeServer-2", "READY", 5)]
        pieces = results.excerpts(events)
        self.assertEqual([letter for letter, _, _ in pieces], ["a", "b", "c"])
        self.assertNotIn("CLOCK OFFSET", [e["kind"] for _, _, piece in pieces for e in piece])
        lines = results.excerpt_lines(pieces[0][2], results.sent_times(events), 0.1)
        self.assertIn("response time 10.0 ms", lines[2])
        self.assertTrue(lines[1].startswith("    0.900  USER          SVCQ"))

    def test_missing(self):
        """A run that did not get that far has fewer pieces"""
        self.assertEqual(results.excerpts([event(0.1, "USER", "SVCQ", 1)]), [])


class Paper(unittest.TestCase):
    """report.py on a migration the paper's way: Table 1's order, one image for C-Migr"""

    def events(self, kind):
        one, two = "EdgeServer-1", "EdgeServer-2"
        return [event(0.0, "AP-2", "REASSOCIATION REQUEST"),
                event(0.1, one, "MIGRATION START", 50, f"to={two} epoch=1"),
                event(0.5, one, "PREPARED", 0, "prepare_us=400000"),
                event(1.5, one, "T1", 52, "freeze_us=900000 memory_bytes=30"),
                event(3.5, one, "T2", 52, "kind=memory sent_bytes=30 raw_bytes=29 log_bytes=2"),
                event(4.0, one, "T3", 52, "layer_bytes=20"),
                event(6.0, one, "T4", 52, f"kind={kind} sent_bytes=21 raw_bytes=20 log_bytes=0"),
                event(8.0, two, "T5", 52, "restore_us=1500000"),
                event(8.2, "AP-2", "T8", 58), event(8.3, two, "MIGRATION DONE", 58, f"from={one}")]

    def test_partial(self):
        move = report.migrations(self.events("layer"))[0]
        self.assertEqual(move["method"], "P-Migr")
        self.assertEqual([stage["name"] for stage in move["stages_ms"]][:5], [
            "prepare", "checkpoint", "send memory", "record files", "send layer"])
        self.assertAlmostEqual(sum(stage["ms"] for stage in move["stages_ms"]), 8200.0)
        self.assertEqual(move["bytes"], {"memory": 30, "layer": 21, "image": 0, "log": 2})

    def test_complete(self):
        move = report.migrations(self.events("image"))[0]
        self.assertEqual(move["method"], "C-Migr")
        self.assertIn("send image", [stage["name"] for stage in move["stages_ms"]])
        self.assertEqual(move["bytes"], {"memory": 30, "layer": 0, "image": 21, "log": 2})
        self.assertEqual(move["raw_bytes"]["image"], 20)

    def test_flaws_are_no_problems(self):
        """A run of the paper's way shows its flaw; with one of ours something is wrong"""
        mud = {"chain_ok": False, "state_ok": True}
        made = {"lost": 0, "duplicated": 4, "reordered": 0, "wrong": 0, "state_equal": False,
                "state": "differs", "answered": 200, "requests": 200, "migrations": [1]}
        made["flaws"] = report.flaws_of(made, mud)
        self.assertEqual(len(made["flaws"]), 3)
        self.assertEqual(report.problems_of(made, {"profile": "paper"}, mud), [])
        self.assertEqual(report.problems_of(made, {"profile": "baton"}, mud), made["flaws"])


class Page(unittest.TestCase):
    def test_numbers(self):
        self.assertEqual([text.figure(v) for v in (None, 0, 3, 0.123, 12.34, 1234.4)],
                         ["-", "0", "3", "0.12", "12.3", "1234"])
        self.assertEqual(text.median({"median": 2.5, "min": 1, "max": 4, "n": 3}, " s"),
                         "2.50 (1 to 4) s")
        self.assertEqual(text.median({"median": 0, "min": 0, "max": 0, "n": 3}), "0")

    def test_main_table(self):
        sums = {name: results.summary(runs) for name, runs in four_sets().items()}
        lines = text.main_table(sums)
        self.assertIn("| C-Migr: migration time | 124.9 s | 120 s | 30 s | 4.00 |", lines)
        self.assertIn("| P-Migr: requests lost | 0 | 0 | 0 | - |", lines)

    def test_tables_are_whole(self):
        """Every row of every table has as many cells as its head, also with sets missing"""
        for found in (four_sets(), {"P-baton": [made_run("P-baton", 4.0)]},
                      {"C-paper": [made_run("C-paper", None)]}):
            cells = 0
            for line in text.page(found, [], "figures").splitlines():
                if not line.startswith("|"):
                    cells = 0
                    continue
                cells = cells or line.count("|")
                self.assertEqual(line.count("|"), cells, line)

    def test_short_form_says_so(self):
        short = {"P-baton": [made_run("P-baton", 4.0, form=plan.QUICK)]}
        self.assertIn("short form", text.page(short, [], "figures"))
        self.assertNotIn("mixed", text.page(short, [], "figures"))
        mixed = four_sets(**short)
        self.assertIn("mixed", text.page(mixed, [], "figures"))
        self.assertNotIn("short form of it", text.page(four_sets(), [], "figures"))

    def test_goals(self):
        page = text.page(four_sets(), [], "figures")
        self.assertEqual(page.count("| [x] |"), 7)
        self.assertIn("not measured", text.page({"P-baton": [made_run("P-baton", 4.0)]}, [], "f"))


class Peers(unittest.TestCase):
    def test_rows(self):
        """A way that moved, one that cannot work here, one that was not run"""
        cold = made_run("cold", 40.0, rows=responses(1.0, None, 3.0), lost=1, possible=True,
                        stopped_s=30.0, state="restarted")
        precopy = made_run("precopy", None, possible=False, reason="no soft-dirty bits")
        rows = text.peers_table({"cold": [cold, cold], "precopy": [precopy]})[2:]
        self.assertEqual(rows[0], "| cold | image sent, too | 40 s | 30 s | 1 | 1 | 3 ms | 2 ms | "
                         "restarted (2 of 2) |")
        self.assertEqual(rows[1], "| podman | image there | not run | - | - | - | - | - | - |")
        self.assertIn("not possible: no soft-dirty bits", rows[2])
        self.assertEqual(text.one_line(cold), "migration 40.00 s, mean response 2 ms, 1 lost, "
                         "state restarted")

    def test_one_line(self):
        self.assertEqual(text.one_line(made_run("P-baton", 4.0, 20.0)),
                         "migration 4.00 s, mean response 20 ms, 0 lost, state equal")
        self.assertIn("it fell", text.one_line(made_run("P-baton", None, problems=["it fell"])))


class Figures(unittest.TestCase):
    def test_points(self):
        points = [{"number": 1, "unanswered": 0, "min": 0.1, "mean": 2.0, "max": 3.0},
                  {"number": 2, "unanswered": 2, "min": None, "mean": None, "max": None}]
        block = figures.band_block("x", points).splitlines()
        # what is below the axis stands on it; a request that was never answered leaves a gap
        self.assertEqual(block[1:3], ["1 0.5000 2.0000 3.0000", ""])
        self.assertIn("2 500", figures.missing_block("m", points, 500))

    def test_top(self):
        self.assertEqual([figures.top_of([[{"max": ms}]]) for ms in (3, 150, 450, 2500)],
                         [500, 500, 1000, 5000])

    def test_bars(self):
        """Each stage begins where the one before ends; what took no time is not drawn"""
        script = figures.stages_script([("C", [("C-baton", [("a", 1000), ("b", 0), ("c", 500)])])])
        self.assertEqual(script.count("set object rectangle"), 2)
        self.assertIn("from first 1.000000, first 0.68 to first 1.500000", script)
        self.assertIn('"1.5 s"', script)


if __name__ == "__main__":
    unittest.main()
