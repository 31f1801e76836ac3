# SPDX-License-Identifier: Apache-2.0
"""A user moves by what it hears: past three access points, and the container follows"""

import re

import bed

RADIO = "radio { transmit_dbm = 20  exponent = 3  hysteresis_db = 6  dwell_ms = 300 }\n"
# From AP-1, where it waits, past AP-2 to AP-3, with time for a migration at each.
TRACE = "time_s,x_m,y_m\n0,0,5\n1,0,5\n3,100,5\n13,100,5\n15,200,5\n"


class Trace(bed.BedTest):
    RATE_MB_S = 20

    def place_access_points(self):
        """AP-i stands at 100 (i - 1) metres"""
        conf = self.lab.conf("USER")
        text = re.sub(r'(peer "AP-(\d)" \{ role = "ap".*?) \}',
                      lambda m: f"{m[1]}  x = {100 * (int(m[2]) - 1)}  y = 0 }}",
                      conf.read_text())
        self.assertEqual(text.count("  x = "), self.EDGES)
        conf.write_text(text + RADIO)
        self.addCleanup(self.lab._write_conf, "USER", self.lab._mud_conf())

    def test_past_three_access_points(self):
        """R1, R8: two moves, at the places where the model says, and nothing is lost"""
        self.place_access_points()
        trace = self.lab.dir / "way.csv"
        trace.write_text(TRACE)
        user = self.user("--requests", 500, "--interval-ms", 50, "--trace", trace)
        session = user.session()
        self.wait_event("MIGRATION DONE", "EdgeServer-2", session, seconds=40)
        self.wait_event("MIGRATION DONE", "EdgeServer-3", session, seconds=40)
        report = self.assert_good(user)
        self.assertEqual([move["ap"] for move in report["moves"]], ["AP-1", "AP-2", "AP-3"])
        self.assertRegex(report["movement"], r"^trace .*way\.csv, 5 positions$")
        moves = self.events.find("MOVE", "USER", session)
        self.assertEqual(len(moves), 2)
        for move, old, new, begins in ((moves[0], 1, 2, 0), (moves[1], 2, 3, 100)):
            found = re.fullmatch(rf"ap=AP-{new} old_ap=AP-{old} x_m=(\S+) y_m=5\.0 signal_dbm="
                                 rf"AP-{new}:(-\S+),AP-{old}:(-\S+),AP-\d:-\S+", move["detail"])
            self.assertTrue(found, move["detail"])
            # 6 dB at exponent 3 are reached 61.3 m on the way, and it goes on for 15 m meanwhile
            self.assertTrue(76 <= float(found[1]) - begins <= 86, move["detail"])
            self.assertGreaterEqual(float(found[2]) - float(found[3]), 6)
        self.assertEqual(self.events.find("SIGNAL LOST", session=session), [])
        self.assert_nothing_left()

    def test_mistakes_are_told_before_anything_starts(self):
        """File and line of a bad trace; an access point without a place; two ways at once"""
        trace = self.lab.dir / "bad.csv"
        trace.write_text("0,0,0\n1;2;3\n")
        for args, words in ((("--trace", trace), r'peer "AP-1": where does it stand\?'),
                            (("--trace", trace, "--move", "1:AP-2"), "one of them at a time")):
            self.assert_refused(words, *args)
        self.place_access_points()
        self.assert_refused(r'bad\.csv:2: "1;2;3": want time_s,x_m,y_m', "--trace", trace)
        self.assert_refused("No such file|no such file", "--trace", self.lab.dir / "none.csv")
        self.assert_refused("speed of 0 to 1", "--random-waypoint", "10x10", "--speed", "0:1")
        self.assertEqual(self.events.find("ASSOCIATION REQUEST"), [])

    def assert_refused(self, words, *args):
        out = self.lab.dir / "mud" / "refused"
        process = self.lab.mud("--requests", 1, *args, out=out)
        self.assertEqual(process.wait(timeout=20), 2)
        said = (out / "mud.log").read_text()
        self.assertRegex(said, words)
        self.assertEqual(len(said.splitlines()), 1, said)
