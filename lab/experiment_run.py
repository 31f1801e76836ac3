# SPDX-License-Identifier: Apache-2.0
"""experiment_run - one run of the experiment: measured before, during and after, into one folder"""

import contextlib
import importlib.util
import json
import signal
import time

import baton_lab
import experiment_plan as plan
import experiment_probe as probe
import one_run
import report

# A docker checkpoint of the paper's way stops the service for seconds, never for this long.
DEADLINE_S = 60


def hold_signals():
    """Signals wait until release_signals(), for what is started from here on, too"""
    signal.pthread_sigmask(signal.SIG_BLOCK, one_run.SIGNALS)


def release_signals():
    """Signals that have waited come now"""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, one_run.SIGNALS)


def make_lab(name, wanted):
    """The lab for a configuration; not up yet"""
    return baton_lab.Lab(
        name, 2, rtt_ms=wanted["rtt_ms"], rate_mb_s=wanted["rate_mb_s"], base=wanted["base"],
        profile=wanted["profile"], method=wanted["method"],
        image_on=["pc1"] if wanted["method"] == "complete" else None)


class ExperimentRun(one_run.Run):
    """One run on the lab; @shown(story, spent) is called while it goes on"""

    hold_signals = staticmethod(hold_signals)

    def __init__(self, lab_name, wanted, out, identity, shown):
        super().__init__(make_lab(lab_name, wanted), out, {
            "requests": plan.requests_sent(wanted), "interval_ms": wanted["interval_ms"],
            "moves": [f"{wanted['handoff_at']}:AP-2"], "rtt_ms": wanted["rtt_ms"],
            "rate_mb_s": wanted["rate_mb_s"], "deadline_s": DEADLINE_S})
        self.shown = shown
        self.used = None
        self.failures = []
        self.run = {"configuration": wanted, **identity, "profile": wanted["profile"], **self.run}

    def status(self, spent):
        """Pass on what goes on"""
        self.shown(self.story, spent)

    def tell_failure(self, words, details=""):
        """Keep what has gone wrong, to be told when the lab is down"""
        self.failures.append(f"{words}\n{details}".rstrip())

    def before(self):
        """Measure the link and what is about to move; note what was used up to here"""
        with self.timed("probe"):
            self.run["link"]["measured"] = probe.measure_link(self.lab)
        size = self.lab.docker("pc1", "image", "inspect", "-f", "{{.Size}}",
                               f"baton/offload:{self.run['configuration']['base']}", check=False)
        self.run["image_bytes"] = int(size) if size.strip().isdigit() else None
        self.used = probe.use_now(self.lab)

    def after(self):
        """What was used since"""
        self.run["resources"] = probe.use_between(self.used, probe.use_now(self.lab))


def make_run(lab_name, wanted, out, identity, shown):
    """Make one run on the lab. Return: its failures in words; run.json says if it is finished"""
    one_run.prepare_out(out)
    one = ExperimentRun(lab_name, wanted, out, identity, shown)
    one_run.check_machine(one.lab)
    try:
        played = one.play()
        # A run that was under way and broke off by itself has ended: that is what came of it.
        if played and not one.stopped:
            report.make(out, out, show=False)
            one.run["finished"] = True
            one.write()
    finally:
        if not one.stopped:
            release_signals()
    if one.stopped:
        raise one_run.Stopped
    return one.failures


def has_peers():
    """Whether this tree has lab/peers.py"""
    return importlib.util.find_spec("peers") is not None


def make_peer(lab_name, wanted, out, identity):
    """Have lab/peers.py make one run of another way to move a container.

    Its record becomes report.json. A way that does not work on this machine has a record, too.
    """
    peers = importlib.import_module("peers")
    one_run.prepare_out(out)
    began = time.monotonic()
    made = peers.run_peer(wanted["peer"], out, requests=plan.requests_sent(wanted),
                          interval_ms=wanted["interval_ms"],
                          move=wanted["handoff_at"], base=wanted["base"],
                          complete=wanted["method"] == "complete", lab_name=lab_name)
    (out / "report.json").write_text(json.dumps(made, indent=2) + "\n", encoding="utf-8")
    run = {"configuration": wanted, **identity, "finished": True,
           "versions": made.get("versions", {}),
           "wall_s": {"all": round(time.monotonic() - began, 2)}}
    (out / "run.json").write_text(json.dumps(run, indent=2) + "\n", encoding="utf-8")


def identity():
    """By what and on what runs are made, as far as it can be told without a lab"""
    return {"commit": one_run.commit(), "code": plan.code_digest(), "machine": probe.machine(),
            "begun": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "finished": False}


def wall_s(run):
    """How long a run took, up and down included"""
    with contextlib.suppress(KeyError, TypeError):
        return float(run["wall_s"]["all"])
    return None
