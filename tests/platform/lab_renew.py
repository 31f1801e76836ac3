#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Renew a lab that was used, and see that what is left beside is found

    lab_renew.py note LAB DIR     before it is used
    lab_renew.py renew LAB DIR    afterwards
"""

import pathlib
import re
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent.parent / "lab"))

import engines  # noqa: E402
import renew  # noqa: E402
from baton_lab import Lab  # noqa: E402

RULE = ("iptables", "FORWARD", "-s", "192.0.2.1", "-j", "DROP")
LEFT = (  # what somebody does on a host, how it is undone, what is said of it
    (("mount", "-t", "tmpfs", "left", "/mnt"), ("umount", "/mnt"), "left mount /mnt$"),
    (("iptables", "-A", *RULE[1:]), ("iptables", "-D", *RULE[1:]), "left packet filter -A FORWARD -s 192.0.2.1"),
    (("ip", "link", "add", "left", "type", "bridge"), ("ip", "link", "del", "left"), "left device left$"),
    (("docker", "network", "create", "left"), ("docker", "network", "rm", "left"), "left .*network left"),
)


class Probed(Lab):
    """The lab of the probe, which has a directory of its own"""

    def __init__(self, name, folder):
        super().__init__(name, 1)
        self.dir = pathlib.Path(folder)
        self.env["BATON_LAB_DIR"] = folder

    def link(self, *args):
        """There is none with one host"""


def main():
    """Return the exit status"""
    lab = Probed(sys.argv[2], sys.argv[3])
    if sys.argv[1] == "note":
        renew.note(lab)
        return 0
    docker = engines.Api(lab.dir / "pc1")
    assert docker.ask("GET", "/containers/json") and docker.ask("GET", "/volumes")["Volumes"]
    docker.close()
    assert list(renew.others(lab)) and renew.netns(lab, "user")
    renew.renew(lab, 200, 10)
    assert not list(renew.others(lab)) and not renew.netns(lab, "user")
    for do, undo, said in LEFT:
        lab.lab("exec-engine", "pc1", *do)
        try:
            renew.renew(lab, 200, 10)
            print(f"nobody sees what this has left: {' '.join(do)}")
            return 1
        except renew.NotRenewed as e:
            if not re.search(said, str(e), re.M):
                print(f"\"{e}\" does not speak of what this has left: {' '.join(do)}")
                return 1
        lab.lab("exec-engine", "pc1", *undo)
    renew.renew(lab, 200, 10)
    return 0


if __name__ == "__main__":
    sys.exit(main())
