"""`mica plan`: what it says adds up, equals what is really made and used, and its remedies help.

Environment: MICA_TEST_PROGRAM. Exit code 77 (skipped) without it.
"""
import json
import os
import subprocess
import sys
import tempfile
import unittest

PROGRAM = os.environ.get("MICA_TEST_PROGRAM", "")
if not PROGRAM:
    print("MICA_TEST_PROGRAM is not set")
    sys.exit(77)
DATA = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "data")
OK, USAGE, DOES_NOT_FIT, UNSUPPORTED = 0, 2, 4, 5
STEADY = ("--threads", 1, "--isa", "generic", "--default-rates")


def mica(*args, **more):
    environment = dict(os.environ, **more)
    return subprocess.run([PROGRAM, *map(str, args)], capture_output=True, timeout=120, text=True,
                          env=environment)


def plan(*args, code=OK, **more):
    done = mica("plan", *args, *STEADY, "--json", **more)
    assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
    return json.loads(done.stdout)


class Plan(unittest.TestCase):
    def check_sums(self, found):
        for device in found["devices"]:
            self.assertEqual(device["used_bytes"], sum(device["by_kind"].values()))
            if found["fits"] and device["budget_bytes"] is not None:
                self.assertLessEqual(device["used_bytes"], device["budget_bytes"])
        layers = found["layers"]
        self.assertEqual([each["layer"] for each in layers], list(range(found["model"]["layers"])))
        names = [device["name"] for device in found["devices"]]
        places = [names.index(each["device"]) for each in layers]
        self.assertEqual(places, sorted(places), "layers of the host come first")

    def test_sums_and_layers_for_many_sizes_of_an_imaginary_gpu(self):
        before = -1
        for memory in ("1G", "2G", "3G", "4G", "5G", "6G", "8G", "24G"):
            found = plan("--synthetic", "8b", "--gpu-memory", memory)
            self.check_sums(found)
            on_gpu = sum(each["device"] != "host" for each in found["layers"])
            self.assertGreaterEqual(on_gpu, before, memory)
            before = on_gpu
        self.assertEqual(before, 32)

    def test_a_deficit_is_exact_and_what_would_fit_fits(self):
        pins = ("--synthetic", "8b", "--gpu-layers", 32)
        short = plan(*pins, "--gpu-memory", "4G", code=DOES_NOT_FIT)
        self.assertFalse(short["fits"])
        self.assertGreater(short["deficit_bytes"], 0)
        enough = (4 << 30) + short["deficit_bytes"]
        self.check_sums(plan(*pins, "--gpu-memory", enough))
        plan(*pins, "--gpu-memory", enough - 1, code=DOES_NOT_FIT)
        for remedy in short["would_fit"]:
            changed = plan(*pins[:2], "--gpu-memory", "4G", *remedy.split()) \
                if remedy.startswith("--gpu-layers") \
                else plan(*pins, "--gpu-memory", "4G", *remedy.split())
            self.assertTrue(changed["fits"], remedy)

    def test_a_source_is_foretold_as_it_is_converted(self):
        with tempfile.TemporaryDirectory() as folder:
            for quant in ("q4g32", "q8g64", "f16"):
                path = f"{folder}/{quant}.mica"
                done = mica("convert", f"{DATA}/tiny-llama3", path, "--quant", quant)
                self.assertEqual(done.returncode, OK, done.stderr)
                given = ("--gpu-memory", "1G", "--host-memory", "1G")
                foretold = plan(f"{DATA}/tiny-llama3", "--quant", quant, *given)
                made = plan(path, *given)
                self.assertEqual(foretold["devices"], made["devices"])
                self.assertEqual(foretold["layers"], made["layers"])

    def test_a_host_too_small_is_refused_with_the_bytes_missing(self):
        found = plan("--synthetic", "8b", "--host-memory", "100M", "--ctx", "8K", code=DOES_NOT_FIT)
        host = found["devices"][0]
        self.assertEqual(host["deficit_bytes"], host["used_bytes"] - (100 << 20))
        said = mica("plan", "--synthetic", "8b", "--host-memory", "100M", *STEADY)
        self.assertEqual(said.returncode, DOES_NOT_FIT)
        self.assertIn("missing", said.stdout)

    def test_people_are_told_where_why_and_how_fast(self):
        said = mica("plan", "--synthetic", "8b", "--gpu-memory", "4G", *STEADY).stdout
        for word in ("gpu:imaginary", "keys and values", "layers 0 ..", "on the host", "Predicted",
                     "rule of thumb"):
            self.assertIn(word, said)
        for line in said.splitlines():
            self.assertLessEqual(len(line), 80, line)
            self.assertEqual(line, line.rstrip())

    def test_what_cannot_be_asked_is_a_sentence(self):
        for args, code in ((("--synthetic", "9b"), USAGE),
                           (("model.mica", "--synthetic", "8b"), USAGE),
                           ((), USAGE),
                           (("--synthetic", "8b", "--gpu-memory", "abc"), USAGE),
                           (("--synthetic", "8b", "--device", "cpu", "--gpu-memory", "1G"), USAGE),
                           (("--synthetic", "8b", "--kv", "f17"), USAGE),
                           (("--synthetic", "8b", "--device", "nosuch"), UNSUPPORTED)):
            done = mica("plan", *args)
            self.assertEqual(done.returncode, code, f"{args}: {done.stderr}")
            self.assertTrue(done.stderr.startswith("mica: "), done.stderr)


if __name__ == "__main__":
    unittest.main()
