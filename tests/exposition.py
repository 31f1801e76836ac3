# SPDX-License-Identifier: Apache-2.0
"""A strict reader of Prometheus' text format, version 0.0.4, for what our programs write."""

import math
import re

NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\[\\n"])*)"')
SAMPLE = re.compile(rf"^({NAME})(?:\{{(.*)\}})? (\S+)$")
SUFFIXES = {"histogram": ("_bucket", "_sum", "_count"), "counter": ("",), "gauge": ("",)}


class Malformed(Exception):
    """What a line has that the format does not allow"""


def labels_of(text, line):
    labels, at = {}, 0
    while at < len(text or ""):
        m = LABEL.match(text, at)
        if not m or m[1] in labels:
            raise Malformed(f"labels: {line}")
        labels[m[1]] = m[2]
        at = m.end()
        if at < len(text):
            if text[at] != ",":
                raise Malformed(f"labels: {line}")
            at += 1
    return labels


def check_histogram(name, samples):
    """Buckets grow, and the last one is the count"""
    series = {}
    for suffix, labels, value in samples:
        key = tuple(sorted((k, v) for k, v in labels.items() if k != "le"))
        series.setdefault(key, []).append((suffix, labels.get("le"), value))
    for key, lines in series.items():
        buckets = [(float(le), value) for suffix, le, value in lines if suffix == "_bucket"]
        count, = (value for suffix, _, value in lines if suffix == "_count")
        if [suffix for suffix, _, _ in lines].count("_sum") != 1:
            raise Malformed(f"{name}{key}: no sum")
        if buckets != sorted(buckets) or [v for _, v in buckets] != sorted(v for _, v in buckets):
            raise Malformed(f"{name}{key}: buckets do not grow")
        if buckets[-1] != (math.inf, count):
            raise Malformed(f"{name}{key}: the last bucket is not the count")


def parse(text):
    """{name: {"type", "help", "samples": [(suffix, labels, value)]}}; Malformed for the least mistake"""
    families, family, seen = {}, None, set()
    if not text.endswith("\n"):
        raise Malformed("the last line has no end")
    lines = text[:-1].split("\n")
    for i, line in enumerate(lines):
        if line.startswith("# HELP "):
            name, _, words = line[7:].partition(" ")
            if name in families or not re.fullmatch(NAME, name) or not words.strip():
                raise Malformed(line)
            family = families[name] = {"help": words, "type": None, "samples": []}
            if i + 1 == len(lines) or not lines[i + 1].startswith(f"# TYPE {name} "):
                raise Malformed(f"no TYPE after {line}")
        elif line.startswith("# TYPE "):
            family["type"] = line.split(" ")[3]
            if family["type"] not in SUFFIXES or family["samples"]:
                raise Malformed(line)
        else:
            m = SAMPLE.match(line)
            if not m or not family:
                raise Malformed(f"no sample: {line}")
            suffix = m[1][len(name):] if m[1].startswith(name) else None
            if suffix not in SUFFIXES[family["type"]]:
                raise Malformed(f"{line} is not of {name}")
            labels = labels_of(m[2], line)
            if (m[1], tuple(sorted(labels.items()))) in seen:
                raise Malformed(f"twice: {line}")
            seen.add((m[1], tuple(sorted(labels.items()))))
            family["samples"].append((suffix, labels, float(m[3])))
    for name, family in families.items():
        if family["type"] == "counter" and not name.endswith("_total"):
            raise Malformed(f"counter {name} does not end in _total")
        if family["type"] == "histogram":
            check_histogram(name, family["samples"])
    return families


def value(families, name, **labels):
    """The value of a sample with exactly these labels"""
    found, = (v for suffix, l, v in families[name]["samples"] if not suffix and l == labels)
    return found
