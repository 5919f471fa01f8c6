"""The demo model over mock devices (tests/support/mock_module.cpp): the same text wherever layers are.

Environment: MICA_TEST_PROGRAM, MICA_DEMO_MODEL, MICA_TEST_MODULES (folders of the mock's module and
of the others). Exit code 77 (skipped) without the first two.
"""
import json
import os
import re
import subprocess
import sys
import tempfile
import unittest

PROGRAM = os.environ.get("MICA_TEST_PROGRAM", "")
MODEL = os.environ.get("MICA_DEMO_MODEL", "")
MODULES = os.environ.get("MICA_TEST_MODULES", "")
if not PROGRAM or not MODEL:
    print("MICA_TEST_PROGRAM or MICA_DEMO_MODEL is not set")
    sys.exit(77)
OK, RUNTIME, USAGE, DOES_NOT_FIT, UNSUPPORTED = 0, 1, 2, 4, 5
PROMPT = "The first man on the moon was"
LONG_PROMPT = "Tides rise and fall because the moon and the sun pull at the sea. " * 90
STEPS = 10


def mica(*args, devices="", text=None):
    environment = dict(os.environ, MICA_MODULE_DIR=MODULES)
    environment.pop("MICA_MOCK_DEVICES", None)
    if devices:
        environment["MICA_MOCK_DEVICES"] = devices
    return subprocess.run([PROGRAM, *map(str, args)], capture_output=True, timeout=300, text=True,
                          env=environment, input=text)


def generate(*args, devices="", prompt=PROMPT, tokens=16):
    done = mica("generate", MODEL, "--temp", 0, "-n", tokens, "-c", 2048, "--json", "-p", prompt,
                *args, devices=devices)
    assert done.returncode == OK, done.stderr
    return json.loads(done.stdout)["tokens"]


def plan(*args, devices=""):
    return json.loads(mica("plan", MODEL, "-c", 2048, "--json", "--default-rates", *args,
                           devices=devices).stdout)


class Offload(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.folder.cleanup)
        cls.expected = generate("--device", "cpu")

    def run_capped(self, cap, *args, prompt=PROMPT, tokens=16, options=""):
        """The tokens, and the greatest use of the device's memory."""
        report = os.path.join(self.folder.name, "report")
        if os.path.exists(report):
            os.remove(report)
        found = generate("--device", "mock" if "--gpu-layers" not in args else "auto",
                         "--gpu-memory", cap, *args, devices=f"2G:report={report}{options}",
                         prompt=prompt, tokens=tokens)
        with open(report, encoding="utf-8") as file:
            peaks = [int(n) for n in re.findall(r"peak (\d+) of", file.read())]
        return found, max(peaks)

    def test_caps_from_nothing_to_the_whole_model_give_the_same_text(self):
        # From what one layer and the head need, which less than is an error, to everything.
        least = plan("--gpu-layers", 1, devices="2G")["devices"][1]["used_bytes"]
        most = plan(devices="2G")["devices"][1]["used_bytes"]
        peaks = []
        for step in range(STEPS + 1):
            cap = least + (most - least) * step // STEPS
            found, peak = self.run_capped(cap)
            self.assertEqual(found, self.expected, f"step {step}")
            self.assertLessEqual(peak, cap, f"step {step}")
            peaks.append(peak)
        self.assertGreater(peaks[-1], 2 * peaks[0])
        self.assertEqual(peaks[-1], most, "what was planned for all layers, to the byte")

    def test_what_is_planned_is_what_is_used(self):
        for layers in (1, 7, 29):
            planned = plan("--gpu-layers", layers, devices="2G")
            _, peak = self.run_capped("2G", "--gpu-layers", layers)
            self.assertEqual(peak, planned["devices"][1]["used_bytes"])

    def test_without_room_for_a_layer_the_host_has_all(self):
        done = mica("generate", MODEL, "--temp", 0, "-n", 16, "-c", 2048, "--json", "-p", PROMPT,
                    "--gpu-memory", "1M", devices="2G")
        self.assertEqual(done.returncode, OK, done.stderr)
        self.assertEqual(json.loads(done.stdout)["tokens"], self.expected)
        self.assertIn("all layers on the host", done.stderr)

    def test_long_prompts_give_the_same_text(self):
        expected = generate("--device", "cpu", prompt=LONG_PROMPT, tokens=6)
        for layers in (4, 20):
            found, _ = self.run_capped("2G", "--gpu-layers", layers, prompt=LONG_PROMPT, tokens=6,
                                       options=":delay=50:seed=3")
            self.assertEqual(found, expected)

    def test_two_devices_share_the_layers(self):
        two = generate("--device", "mock", "--gpu-memory", "80M", devices="2G,2G")
        self.assertEqual(two, self.expected)

    def test_a_device_that_is_not_there_is_a_sentence(self):
        for args, code, said in (
                (("--device", "mock"), UNSUPPORTED, "MICA_MOCK_DEVICES"),
                (("--device", "nosuch"), UNSUPPORTED, "expected the module mica-nosuch.so"),
                (("--gpu-layers", 3), UNSUPPORTED, "expected a device on this machine, found none")):
            done = mica("generate", MODEL, "-p", PROMPT, "-n", 1, *args)
            self.assertEqual(done.returncode, code, done.stderr)
            self.assertIn(said, done.stderr)
            self.assertEqual(done.stderr.count("\n"), 1, done.stderr)

    def test_a_pin_that_does_not_fit_says_what_is_missing(self):
        done = mica("generate", MODEL, "-p", PROMPT, "-n", 1, "--gpu-layers", 30, "--gpu-memory",
                    "40M", devices="2G")
        self.assertEqual(done.returncode, DOES_NOT_FIT, done.stderr)
        self.assertIn("missing", done.stderr)

    def test_a_device_lost_in_mid_answer_leaves_the_text_so_far(self):
        done = mica("generate", MODEL, "--temp", 0, "-n", 200, "-c", 2048, "-p", PROMPT,
                    devices="2G:lost=3000")
        self.assertEqual(done.returncode, RUNTIME)
        self.assertIn("device lost", done.stderr)
        self.assertIn("Neil Armstrong", done.stdout)

    def test_a_chat_tells_of_a_device_lost(self):
        done = mica("chat", MODEL, "--temp", 0, "-n", 40, "-c", 2048, "-p", "Name a colour.",
                    devices="2G:lost=900")
        self.assertEqual(done.returncode, RUNTIME)
        self.assertIn("device lost", done.stderr)


if __name__ == "__main__":
    unittest.main()
