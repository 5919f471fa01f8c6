"""bench/peers.py from end to end: programs that stand for llama.cpp's, and a tiny model.

Environment: MICA_TEST_PROGRAM. Exit code 77 (skipped) without it or without the package `gguf`.
"""
import json
import os
import subprocess
import sys
import tempfile
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
PEERS = os.path.join(HERE, "../../bench/peers.py")
sys.path.append(os.path.join(HERE, "../cli"))
try:
    import tiny_gguf
except ImportError as missing:
    print(missing)
    sys.exit(77)

PROGRAM = os.environ.get("MICA_TEST_PROGRAM", "")
if not PROGRAM:
    print("MICA_TEST_PROGRAM is not set")
    sys.exit(77)

RATES = {"0": 100.0, "1": 200.0}  # by flash attention
STAND_INS = {
    "llama-bench": f"""
if "--version" in sys.argv:
    print("version: stand-in")
else:
    rate = {RATES}[sys.argv[sys.argv.index("-fa") + 1]]
    print(json.dumps({{"avg_ts": rate}}))
""",
    "llama-quantize": "shutil.copy(sys.argv[2], sys.argv[3])",
    "llama-completion": "",
}


class PeersTest(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.folder = scratch.name
        for name, body in STAND_INS.items():
            path = f"{self.folder}/{name}"
            with open(path, "w", encoding="utf-8") as file:
                file.write(f"#!{sys.executable}\nimport json, shutil, sys\n{body}\n")
            os.chmod(path, 0o755)
        tiny_gguf.write(f"{self.folder}/tiny.gguf", context=512)

    def run_peers(self, *options):
        return subprocess.run(
            [sys.executable, PEERS, "--mica", PROGRAM, "--model", f"{self.folder}/tiny.gguf",
             "--llama-bin", self.folder, "--cache", f"{self.folder}/cache", "--threads", "1",
             "--rounds", "2", "--out", f"{self.folder}/out/result.json", *options],
            capture_output=True, text=True, timeout=300)

    def test_a_case_and_the_first_token_give_ratios_and_a_file(self):
        done = self.run_peers("--only", "smollm2 (decode 128$|first)")
        self.assertEqual(done.returncode, 0, done.stderr)
        with open(f"{self.folder}/out/result.json", encoding="utf-8") as file:
            found = json.load(file)
        for key in ("date", "commit", "versions", "machine", "load_before", "load_after"):
            self.assertIn(key, found)
        case, = found["cases"]
        # The faster of both.
        self.assertEqual(case["llama.cpp"]["flash_attention"], 1)
        self.assertEqual(case["llama.cpp"]["tokens_per_second"]["samples"], [200, 200])
        self.assertEqual(case["llama.cpp"]["other_setting"]["samples"], [100, 100])
        self.assertIsNone(found["versions"]["llama-cpp-python"])
        own = case["mica"][0]
        self.assertEqual(own["variant"], "Q4_0")
        self.assertEqual(len(own["tokens_per_second"]["samples"]), 2)
        self.assertAlmostEqual(case["ratio"], own["tokens_per_second"]["median"] / 200)
        self.assertIn("q8g32", [entry["variant"] for entry in case["mica"]])
        self.assertEqual(set(found["first_token"]["ratio"]), {"time", "memory"})
        self.assertRegex(done.stdout, r"smollm2 decode 128 +Q4_0 .* 200\.0 ")

    def test_what_is_missing_is_named(self):
        done = self.run_peers("--only", "no such case")
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("no such case", done.stderr)
        done = self.run_peers("--model", "/nowhere.gguf")
        self.assertIn("/nowhere.gguf", done.stderr)
        self.assertIn("./demo", done.stderr)


if __name__ == "__main__":
    unittest.main(verbosity=2)
