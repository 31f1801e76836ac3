# SPDX-License-Identifier: Apache-2.0
"""Some cells of the fault matrix (docs/faults.md); tests/faults/run has all of them (R1, R10, R15)"""

import sys

import bed

sys.path.insert(0, str(bed.ROOT / "tests" / "faults"))

import cell as cells  # noqa: E402
import faults  # noqa: E402


class Matrix(bed.BedTest):
    EDGES = 2

    @classmethod
    def bring_up(cls):
        cls.lab = cells.FaultLab(bed.LAB_NAME)
        bed.BedTest.up = cls.lab
        cls.lab.__enter__()
        cls.clean = True

    def good(self, name):
        """A stage that was missed is tried again"""
        fault, stage = name.split("@")
        for _ in range(cells.TRIES):
            row = cells.Cell(self.lab, faults.catalogue()[fault], stage, seed=1).run()
            if not row["verdict"].startswith("MISSED"):
                break
        self.assertEqual(row["verdict"], "good", row)

    def test_source_killed_while_it_sends(self):
        self.good("es-source-kill@transfer")

    def test_destination_ends_while_authority_moves(self):
        """The journal of a replica that executes copies is no damaged file"""
        self.good("es-destination-term@switch")

    def test_access_point_killed_before_it_has_written(self):
        """The one that the user came from keeps its copy until then"""
        self.good("ap-new-kill@prepare")

    def test_access_point_killed_in_a_cut(self):
        """A refused offer is not the end of the arrival that it came too early for"""
        self.good("ap-new-kill@cut")

    def test_container_crashes(self):
        self.good("container-source-crash@rest")

    def test_link_cut_while_authority_moves(self):
        self.good("wan-1s@switch")
