# SPDX-License-Identifier: Apache-2.0
"""A private registry may have the image: who sends it is predicted, and can be forced"""

import json
import re

import bed
from test_complete import CompleteTest

IMAGE = "registry:5000/baton/offload:small"


class RegistryTest(CompleteTest):
    IMAGE_ON = ("pc1",)
    REGISTRY = (20, 40)
    LIMITS = {"ap": {"grace_ms": 500}, "es": {"stall_ms": 6000, "arrival_ms": 16000}}

    def setUp(self):
        super().setUp()
        self.remove_images("pc2")

    def start_user(self, requests=400):
        user = self.user("--requests", requests, "--interval-ms", 50, "--move", "20:AP-2")
        return user, user.session()

    def way(self, session):
        """What was chosen, and why"""
        event = self.wait_event("IMAGE WAY", "EdgeServer-2", session)
        return dict(word.split("=", 1) for word in event["detail"].split() if "=" in word)

    def assert_arrived(self, user, session):
        self.wait_moved(session, "EdgeServer-2")
        self.assertTrue(user.running(), "the user was gone before the container had moved")
        self.assert_good(user)
        self.assertEqual(self.image("pc2", IMAGE)["Id"], self.image("pc1", IMAGE)["Id"])
        self.assert_nothing_left()


class Automatic(RegistryTest):

    def test_registry_is_quicker(self):
        """The registry's link is four times as fast: the image is pulled, the source sends none"""
        user, session = self.start_user()
        way = self.way(session)
        self.assertEqual(way["from"], "registry", way)
        self.assertLess(int(way["registry_us"]), int(way["source_us"]))
        # the link was measured: 10 MB/s, half of them lost to TCP's beginning at worst
        self.assertTrue(3000000 < int(way["link_rate"]) < 12000000, way)
        self.assertGreater(int(way["registry_rate"]), 8000000)
        self.assert_arrived(user, session)
        self.assertEqual(self.events.find("IMAGE", session=session), [])
        loaded, = self.events.find("IMAGE LOADED", session=session)
        fields = dict(word.split("=") for word in loaded["detail"].split())
        self.assertEqual(fields["from"], "registry")
        self.assertGreater(int(fields["predicted_us"]), 0)
        self.assertGreater(int(fields["load_us"]), 0)

    def test_source_is_quicker(self):
        """The registry's link is slow: the source sends the image"""
        self.lab.lab("link", "registry", "pc2", 20, 0.5, 0)
        self.addCleanup(self.lab.lab, "link", "registry", "pc2", 20, 40, 0)
        # what was measured before counts for an hour: a daemon that has just started knows nothing
        self.crash("EdgeServer-2")
        self.lab.start("EdgeServer-2")
        user, session = self.start_user(600)
        way = self.way(session)
        self.assertEqual(way["from"], "source", way)
        self.assertLess(int(way["registry_rate"]), 700000)
        self.assert_arrived(user, session)
        self.assertEqual(len(self.events.find("IMAGE", session=session)), 1)

    def test_unreachable(self):
        """R10: no registry, no matter: the source sends the image, and the log says why"""
        self.lab.lab("link", "registry", "pc2", "down")
        self.addCleanup(self.lab.lab, "link", "registry", "pc2", "up")
        user, session = self.start_user(700)
        way = self.wait_event("IMAGE WAY", "EdgeServer-2", session)
        self.assertRegex(way["detail"], "from=source reason=registry registry:5000: ")
        self.assert_arrived(user, session)

    def test_other_contents(self):
        """Bad input: what the registry serves is not what its digest says: the source sends it"""
        named, = (d for d in json.loads(self.lab.docker("pc1", "image", "inspect", IMAGE))[0]
                  ["RepoDigests"] if d.startswith("registry:5000/"))
        digest = named.split("sha256:")[1]
        path, = (self.lab.dir / "registry").glob(f"**/blobs/sha256/{digest[:2]}/{digest}/data")
        before = path.read_bytes()
        self.addCleanup(path.write_bytes, before)
        path.write_bytes(re.sub(rb'("size": )(\d+)', rb"\1\2 ", before, count=1))
        self.assertNotEqual(path.read_bytes(), before)
        user, session = self.start_user(700)
        self.wait_moved(session, "EdgeServer-2")
        ways = self.events.find("IMAGE WAY", session=session)
        self.assertIn("from=source", ways[-1]["detail"])
        self.assertTrue(self.events.find("IMAGE", session=session))
        self.assert_arrived(user, session)


class Partial(RegistryTest):
    METHOD = "partial"

    def test_pulled(self):
        """method = partial: the image comes from the registry"""
        user, session = self.start_user()
        self.assertEqual(self.way(session)["from"], "registry")
        self.assert_arrived(user, session)
        self.assertEqual(self.events.find("IMAGE", session=session), [])

    def test_registry_gone(self):
        """R10: it cannot be pulled, and may not be sent: one clear line, the user stays served"""
        self.lab.lab("link", "registry", "pc2", "down")
        self.addCleanup(self.lab.lab, "link", "registry", "pc2", "up")
        user, session = self.start_user(700)
        failed = self.wait_event("MIGRATION FAILED", "EdgeServer-1", session, seconds=60)
        self.assertRegex(failed["detail"], "docker pull registry:5000/baton/offload: ")
        self.assert_good(user)
        for kind in ("IMAGE", "T1"):
            self.assertEqual(self.events.find(kind, session=session), [])
        self.assertEqual(self.images("pc2"), [])
        self.assert_nothing_left()


class Nowhere(CompleteTest):
    METHOD = "partial"

    def test_no_registry(self):
        """The image is nowhere else, and may not be sent: told in one line, with the remedy"""
        user = self.user("--requests", 120, "--interval-ms", 50, "--move", "20:AP-2")
        session = user.session()
        failed = self.wait_event("MIGRATION FAILED", "EdgeServer-1", session)
        self.assertIn("image baton/offload:small is neither here nor in a registry of ours",
                      failed["detail"])
        self.assert_good(user)
        self.assertEqual(self.images("pc2"), [])
        self.assert_nothing_left()


del CompleteTest  # or its own tests would be found here, too
