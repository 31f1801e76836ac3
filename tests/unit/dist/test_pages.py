#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Manual pages and completions against the programs' --help: nothing is missing, nothing invented."""

import os
import re
import shutil
import subprocess
import sys
import unittest

DIST, *PROGRAMS = sys.argv[1:]
BY_NAME = {os.path.basename(p): p for p in PROGRAMS}
SECTION = {"baton": 1, "baton-mud": 1}


def run(*command, **more):
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=30, **more).stdout


def commands():
    """name -> its --help, for each command of baton"""
    text = run(BY_NAME["baton"], "--help")
    names = re.findall(r"^  ([a-z]+) +\S", text.split("Commands", 1)[1].split("\n\n")[0], re.M)
    return {name: run(BY_NAME["baton"], name, "--help") for name in names}


def usage(text):
    return next(line for line in text.splitlines() if line.startswith("Usage: "))


def options(text):
    return set(re.findall(r"--[a-z][a-z-]*", text))


@unittest.skipUnless(shutil.which("groff"), "groff is not installed")
class Pages(unittest.TestCase):
    def page(self, file):
        p = subprocess.run(["groff", "-mdoc", "-Tascii", "-P-cbou", "-ww", "-b", os.path.join(DIST, file)],
                           capture_output=True, text=True, check=True, timeout=30)
        self.assertEqual(p.stderr, "", file)
        return p.stdout

    def test_options(self):
        for name, program in BY_NAME.items():
            if name == "baton":
                continue
            page = self.page(f"{name}.{SECTION.get(name, 8)}")
            said = re.findall(r"^ {5,7}(--[a-z-]+)", page, re.M)
            has = re.findall(r"^  (--[a-z-]+)", run(program, "--help"), re.M)
            self.assertGreater(len(has), 3)
            self.assertEqual(said, has, name)

    def test_commands(self):
        page = self.page("baton.1").split("COMMANDS", 1)[1].split("ENVIRONMENT", 1)[0]
        said = re.findall(r"^   ([a-z]+)$", page, re.M)
        has = commands()
        self.assertEqual(said, list(has))
        for name, text in has.items():
            self.assertLessEqual(options(usage(text)), options(page) | {"--config"}, name)

    def test_settings(self):
        page = self.page("baton.conf.5")
        for name, program in BY_NAME.items():
            own = page.split(f"SETTINGS OF {name.upper()}\n", 1)[1].split("\n\n\n")[0]
            own = re.split(r"^[A-Z]", own, maxsplit=1, flags=re.M)[0]
            has = re.findall(r"^  [* ] ([a-z_]+) ", run(program, "--help").split("Limits, ")[0], re.M)
            self.assertIn("pki", has)
            said = re.findall(r"^ {5,7}([a-z_]+)(?= \(|  |$)", own, re.M)
            self.assertEqual(said[:len(has)], has, name)
        limits = run(BY_NAME["baton-es"], "--help").split("Limits, ")[1]
        for limit, value in re.findall(r"^  ([a-z_]+) +(\d+)", limits, re.M):
            self.assertRegex(page, rf"(?m)^ {{5,7}}{limit} = {value}\b")

    def test_runtime(self):
        self.assertIn("baton-runtime", self.page("baton-runtime.8"))


class Completions(unittest.TestCase):
    """What is offered at an empty word, and what --help has"""

    def expected(self):
        has = commands()
        words = {(): {"--config", "--help", *has}}
        for name, text in has.items():
            line = usage(text)
            bare = re.findall(r"(?<![\w-])[a-z]+(?![\w-])", re.sub(r"--[a-z-]+", "", line.split(f" {name}", 1)[1]))
            words[(name,)] = options(line) - {"--config"} | {"--help", *bare}
        self.assertIn("issue", words[("pki",)])
        return words

    @unittest.skipUnless(shutil.which("bash"), "bash is not installed")
    def test_bash(self):
        script = ('source "$1"; shift; COMP_WORDS=(baton "$@" ""); COMP_CWORD=$#; ((COMP_CWORD++)); '
                  '_baton; printf "%s\\n" "${COMPREPLY[@]}"')
        for words, wanted in self.expected().items():
            out = run("bash", "-c", script, "-", os.path.join(DIST, "baton"), *words)
            self.assertEqual(set(out.split()), wanted, words)
        out = run("bash", "-c", script, "-", os.path.join(DIST, "baton"), "--config", "x.conf", "pki")
        self.assertIn("issue", out.split())
        out = run("bash", "-c", script, "-", os.path.join(DIST, "baton"), "--config", cwd=DIST)
        self.assertIn("baton.fish", out.split())

    @unittest.skipUnless(shutil.which("fish"), "fish is not installed")
    def test_fish(self):
        for words, wanted in self.expected().items():
            offered = set()
            for start in "", "--":
                line = " ".join(["baton", *words, start])
                out = run("fish", "--no-config", "-c", f"source {DIST}/baton.fish; complete -C '{line}'")
                offered |= {row.split("\t")[0] for row in out.splitlines()}
            self.assertEqual(offered, wanted, words)

    @unittest.skipUnless(shutil.which("zsh"), "zsh is not installed")
    def test_zsh(self):
        run("zsh", "-n", os.path.join(DIST, "_baton"))
        with open(os.path.join(DIST, "_baton"), encoding="utf-8") as f:
            text = f.read()
        for words, wanted in self.expected().items():
            own = text.split(f"\t\t{words[0]})\n", 1)[1].split(";;")[0] if words else text
            for word in wanted:
                self.assertRegex(own, rf"(?<![a-z-]){word}(?![a-z-])", words)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
