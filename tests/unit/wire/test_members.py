#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""test_members - every member of a message's structure has a row in the table of fields

    test_members.py ROOT

A member without a row is never sent, and the receiver finds 0 there; no compiler sees that. (A row without a
member does not compile.)
"""

import re
import sys
import unittest
from pathlib import Path

ROOT = Path(sys.argv.pop(1))
HEADER = (ROOT / "src/wire/message.h").read_text()
TABLE = (ROOT / "src/wire/fields.c").read_text()


NOT_SENT = {("data", "kept")}  # for the process alone


def members(header):
    """Members of each structure: "user_claim" -> ["user", "claim", ...]; not of messages themselves"""
    found = {}
    header = re.sub(r"/\*.*?\*/", "", header, flags=re.S)
    for name, body in re.findall(r"^struct wire_(\w+) \{\n(.*?)^\};", header, re.S | re.M):
        if name != "message":
            found[name] = re.findall(r"(\w+)(?:\[\w+\])*;", body)
    return found


def rows(table):
    """Members that the table names: {("user_claim", "user"), ...}"""
    return set(re.findall(r"\b(?:MEMBER|COUNT)\((\w+),\s*(\w+)\)", table))


class Members(unittest.TestCase):
    """See above"""

    def test_all_have_rows(self):
        """None is forgotten"""
        have = rows(TABLE)
        for struct, names in members(HEADER).items():
            for name in set(names) - {member for of, member in NOT_SENT if of == struct}:
                with self.subTest(struct=struct, member=name):
                    self.assertIn((struct, name), have)

    def test_structures_are_found(self):
        """The patterns above still fit what they read"""
        found = members(HEADER)
        self.assertEqual(found["user_claim"], ["user", "claim", "silent_ms", "station"])
        self.assertEqual(found["edges"], ["count", "name"])
        self.assertEqual(found["text"], ["status", "bytes", "len"])
        self.assertGreater(len(found), 25)

    def test_missing_row_is_seen(self):
        """A member that is new has none"""
        header = HEADER.replace("uint64_t silent_ms;", "uint64_t silent_ms;\n\tuint64_t heard_ms;")
        new = {(s, m) for s, names in members(header).items() for m in names} - rows(TABLE) - NOT_SENT
        self.assertEqual(new, {("user_claim", "heard_ms")})


if __name__ == "__main__":
    unittest.main()
