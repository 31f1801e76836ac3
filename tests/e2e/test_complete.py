# SPDX-License-Identifier: Apache-2.0
"""C-Migr: the destination lacks the container's image, or some of its layers"""

import json
import subprocess

import bed

IMAGE = "baton/offload:small"


class CompleteTest(bed.BedTest):
    EDGES = 2
    IMAGE_ON = ("pc1",)
    # a stalled transfer ends sooner, so that a test of it does not take a minute
    LIMITS = {"ap": {"grace_ms": 500}, "es": {"stall_ms": 4000, "arrival_ms": 16000}}

    def setUp(self):
        super().setUp()
        self.remove_images("pc2")

    def remove_images(self, host):
        """Containers of tests before are gone, so nothing uses them"""
        for image in self.images(host):
            self.lab.docker(host, "rmi", "-f", image)

    def images(self, host):
        return sorted(set(self.lab.docker(host, "images", "-aq", "--no-trunc").split()))

    def image(self, host, name=IMAGE):
        found, = json.loads(self.lab.docker(host, "image", "inspect", name))
        return {key: found[key] for key in ("Id", "RepoTags", "RootFS", "Config", "Architecture")}

    def wait_moved(self, session, node, count=1):
        """The container has arrived there, and is gone where it was"""
        self.wait_event("MIGRATION DONE", node, session, count=count, seconds=60)
        self.wait_event("SWITCH COMPLETE", session=session,
                        count=len(self.events.find("MIGRATION DONE", session=session)))

    def fields(self, kind, session):
        """Details of the only event of this kind"""
        event, = self.events.find(kind, session=session)
        return {key: int(value) for key, value in
                (word.split("=") for word in event["detail"].split()) if value.isdigit()}


class NoImage(CompleteTest):

    def test_image_goes_first(self):
        """R1, R3: the image goes before the cut, once; from then on there and back are P-Migr"""
        user = self.user("--requests", 720, "--interval-ms", 50, "--move", "20:AP-2",
                         "--move", "330:AP-1", "--move", "510:AP-2")
        session = user.session()
        self.wait_moved(session, "EdgeServer-2")
        self.assertEqual(self.image("pc2"), self.image("pc1"))
        self.wait_moved(session, "EdgeServer-1")
        self.wait_moved(session, "EdgeServer-2", 2)
        self.assertTrue(user.running(), "the user was gone before the container had moved")
        self.assert_good(user)
        self.assert_order(session, "PREPARED", "LAYER AHEAD", ("IMAGE", "EdgeServer-1"),
                          ("IMAGE LOADED", "EdgeServer-2"), "T1", "T5",
                          "MIGRATION DONE")
        sent = self.fields("IMAGE", session)
        self.assertEqual((sent["layers_sent"], sent["layers_here"]), (2, 0))
        self.assertEqual(self.events.find("MIGRATION FAILED", session=session), [])
        self.assertEqual(len(self.images("pc2")), 1)
        self.assert_nothing_left()

    def cut_wan(self, session):
        """Cut the WAN when some of the image is there, until the migration has failed"""
        self.wait(self.arrived_bytes, "the image to begin to arrive")
        self.lab.link("down")
        self.wait_event("MIGRATION FAILED", "EdgeServer-1", session)
        self.wait(lambda: not self.lab.containers("pc2") and not self.lab.staged("pc2"),
                  "the copy at pc2 to be removed")
        self.assertEqual(self.events.find("IMAGE", session=session), [])

    def arrivals(self):
        return list((self.lab.dir / "pc2" / "images").glob("arrival-*"))

    def arrived_bytes(self):
        """Bytes of layers that are at pc2 and not in its engine"""
        return sum(path.stat().st_size for folder in self.arrivals()
                   for path in folder.glob("layer-*"))

    def test_wan_cut(self):
        """R8, R10: the WAN is cut while the image is on its way: the next attempt goes on there"""
        user = self.user("--requests", 620, "--interval-ms", 50, "--move", "20:AP-2")
        session = user.session()
        self.wait_event("PREPARED", "EdgeServer-1", session)
        self.cut_wan(session)
        here = self.arrived_bytes()
        self.assertGreater(here, 0)
        self.lab.link("up")
        self.wait_moved(session, "EdgeServer-2")
        self.assertTrue(user.running(), "the user was gone before the container had moved")
        self.assert_good(user)
        self.assertEqual(self.image("pc2"), self.image("pc1"))
        sent = self.fields("IMAGE", session)
        self.assertEqual((sent["layers_here"], sent["bytes_here"]), (0, here))
        self.assertEqual(len(self.events.find("T1", session=session)), 1)
        self.assertEqual(self.arrivals(), [])
        self.assertEqual(len(self.images("pc2")), 1)
        self.assert_nothing_left()

    def test_user_comes_back(self):
        """R8, R10: the user is back before the image is there; what came of it goes in the end"""
        user = self.user("--requests", 200, "--interval-ms", 50, "--move", "20:AP-2",
                         "--move", "60:AP-1")
        session = user.session()
        before = self.lab.containers("pc1")
        self.wait_event("PREPARED", "EdgeServer-1", session)
        self.wait_event("MIGRATION FAILED", "EdgeServer-1", session)
        self.wait(lambda: not self.lab.containers("pc2") and not self.lab.staged("pc2"),
                  "the copy at pc2 to be removed")
        self.assertEqual(self.lab.containers("pc1"), before)
        self.assert_good(user)
        for kind in ("IMAGE LOADED", "T1", "MIGRATION DONE"):
            self.assertEqual(self.events.find(kind, session=session), [])
        self.wait(lambda: not self.arrivals(), "what came of the image to be removed", 40)
        self.assertEqual(self.images("pc2"), [])
        self.assertEqual(list((self.lab.dir / "pc1" / "images").glob("*")), [])
        self.assert_nothing_left()

    def test_destination_killed(self):
        """R8, R10: baton-es dies while the image comes: what came is used, what waited is removed"""
        user = self.user("--requests", 620, "--interval-ms", 50, "--move", "20:AP-2")
        session = user.session()
        self.wait_event("LAYER AHEAD", "EdgeServer-1", session)
        self.wait(self.arrived_bytes, "the image to begin to arrive")
        waiting = self.waiting()
        self.assertEqual(len(waiting), 1)
        self.crash("EdgeServer-2")
        self.lab.start("EdgeServer-2")
        self.wait(lambda: not waiting[0].exists(), "the layer of the dead program to be removed")
        self.wait_moved(session, "EdgeServer-2")
        self.assertTrue(user.running(), "the user was gone before the container had moved")
        self.assert_good(user)
        sent = self.fields("IMAGE", session)
        self.assertGreater(sent["layers_here"] + sent["bytes_here"], 0)
        self.assertEqual(self.waiting() + self.arrivals(), [])
        self.assertEqual(self.image("pc2"), self.image("pc1"))
        self.assert_nothing_left()

    def waiting(self):
        """Layers of containers that wait for their image at pc2"""
        return list((self.lab.dir / "pc2" / "data").glob("baton-ahead-*"))

    def test_corrupted_on_disk(self):
        """R10: what lies on disk is verified, too: a layer that rotted is told, and comes anew"""
        user = self.user("--requests", 900, "--interval-ms", 50, "--move", "20:AP-2")
        session = user.session()
        self.wait_event("PREPARED", "EdgeServer-1", session)
        self.cut_wan(session)
        layer, = (path for folder in self.arrivals() for path in folder.glob("layer-*"))
        with open(layer, "r+b") as file:
            byte = file.read(1)
            file.seek(0)
            file.write(bytes([byte[0] ^ 1]))
        self.lab.link("up")
        self.wait(lambda: [e for e in self.events.find("MIGRATION FAILED", session=session)
                           if "arrived corrupted" in e["detail"]], "the fault to be found", 60)
        self.wait_moved(session, "EdgeServer-2")
        self.assertTrue(user.running(), "the user was gone before the container had moved")
        self.assert_good(user)
        self.assertEqual(self.image("pc2"), self.image("pc1"))
        self.assert_nothing_left()


class SmallDisk(CompleteTest):

    def setUp(self):
        super().setUp()
        self.data = self.lab.dir / "pc2" / "data"
        self.restart(lambda: subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=120m", "baton-small", self.data], check=True))
        self.addCleanup(self.restart, lambda: subprocess.run(
            ["umount", "-l", self.data], check=True))

    def restart(self, between):
        """Stop the engine of pc2 and what runs with it, do something, start both again"""
        self.crash("EdgeServer-2")
        self.lab.lab("engine-down", "pc2")
        between()
        self.lab.lab("engine-up", "pc2")
        self.lab.start("EdgeServer-2")

    def test_no_room_for_the_image(self):
        """R9, R10: seen before anything is sent, told in one line; the service goes on"""
        user = self.user("--requests", 120, "--interval-ms", 50, "--move", "20:AP-2")
        session = user.session()
        failed = self.wait_event("MIGRATION FAILED", "EdgeServer-1", session)
        self.assertRegex(failed["detail"], "No space left.*image|image.*No space left")
        self.assert_good(user)
        for kind in ("IMAGE", "T1"):
            self.assertEqual(self.events.find(kind, session=session), [])
        self.assertEqual(self.images("pc2"), [])
        self.assert_nothing_left()


class SharedLayers(CompleteTest):
    """pc1 has an image of three layers, pc2 one of the lower two"""

    IMAGE_ON = None
    EXTRA = 1000000

    def setUp(self):
        super(CompleteTest, self).setUp()
        if len(self.image("pc1")["RootFS"]["Layers"]) == 2:
            made = self.lab.docker("pc1", "create", IMAGE).strip()
            data = self.lab.dir / "extra"
            data.write_bytes(bed.os.urandom(self.EXTRA))
            self.lab.docker("pc1", "cp", str(data), f"{made}:/extra")
            self.lab.docker("pc1", "commit", made, IMAGE)
            self.lab.docker("pc1", "rm", made)

    def move(self):
        user = self.user("--requests", 260, "--interval-ms", 50, "--move", "20:AP-2")
        session = user.session()
        self.wait_moved(session, "EdgeServer-2")
        container, = self.lab.containers("pc2")
        self.assertEqual(self.lab.docker("pc2", "inspect", "-f", "{{.Image}}", container).strip(),
                         self.image("pc1")["Id"])
        self.assert_good(user)
        sent = self.fields("IMAGE", session)
        self.assertEqual((sent["layers_sent"], sent["layers_here"]), (1, 2))
        self.assertGreater(sent["sent_bytes"], self.EXTRA)
        self.assertLess(sent["sent_bytes"], self.EXTRA * 1.1)
        self.assert_nothing_left()

    def test_1_name_taken(self):
        """Only the third layer goes; what another image is called there stays its name"""
        before = self.image("pc2")
        self.assertNotEqual(before["Id"], self.image("pc1")["Id"])
        self.move()
        self.assertEqual(self.image("pc2"), before)
        arrived = self.image("pc2", self.image("pc1")["Id"])
        self.assertEqual(arrived, {**self.image("pc1"), "RepoTags": []})

    def test_2_name_free(self):
        """Only the third layer goes; the name is the source's"""
        if len(self.images("pc2")) > 1:
            self.lab.docker("pc2", "rmi", self.image("pc1")["Id"])
        self.lab.docker("pc2", "tag", IMAGE, "other:name")
        self.lab.docker("pc2", "rmi", IMAGE)
        self.move()
        self.assertEqual(self.image("pc2"), self.image("pc1"))


class UntrustedImages(SharedLayers):
    """The same, but the catalogue of pc2 trusts nobody's names"""

    TRUSTED = False

    def test_2_name_free(self):
        """A peer's image runs here, but no container is made of it under a name of the peer's choice"""
        if len(self.images("pc2")) > 1:
            self.lab.docker("pc2", "rmi", self.image("pc1")["Id"])
        self.lab.docker("pc2", "tag", IMAGE, "other:name")
        self.lab.docker("pc2", "rmi", IMAGE)
        self.move()
        arrived = self.image("pc2", self.image("pc1")["Id"])
        self.assertEqual(arrived, {**self.image("pc1"), "RepoTags": []})
