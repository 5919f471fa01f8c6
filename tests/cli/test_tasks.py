"""`mica perplexity --task` against what transformers computes (tests/golden/make_tasks.py), and --layers.

Environment: MICA_TEST_PROGRAM. Exit code 77 (skipped) without it.
"""
import json
import math
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
OK, USAGE = 0, 2


def mica(*args):
    return subprocess.run([PROGRAM, *map(str, args)], capture_output=True, timeout=120, text=True)


def result(*args):
    done = mica(*args, "--json")
    assert done.returncode == OK, done.stderr
    return json.loads(done.stdout)


class Tasks(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)

    def model(self, name, quant):
        path = f"{self.folder.name}/{name}-{quant}.mica"
        done = mica("convert", f"{DATA}/{name}", path, "--quant", quant)
        self.assertEqual(done.returncode, OK, done.stderr)
        return path

    def test_figures_are_those_of_transformers(self):
        with open(f"{DATA}/tasks/golden.json", encoding="utf-8") as file:
            golden = json.load(file)
        for name, tasks in golden.items():
            model = self.model(name, "f32")
            for task, expected in tasks.items():
                found = result("perplexity", model, "--task", task, f"{DATA}/tasks/{task}.jsonl",
                               "--kv", "f32", "--activations", "f32")
                self.assertEqual(found.keys(), expected.keys())
                for key in expected:
                    if key.startswith("perplexity"):
                        # exp of some 28 nats a word, themselves sums of floats: 1e-5 of them
                        self.assertLess(abs(math.log(found[key] / expected[key])), 3e-4, key)
                    else:
                        self.assertAlmostEqual(found[key], expected[key], 12, f"{name} {task} {key}")

    def test_text_output_and_a_limit_of_lines(self):
        model = self.model("tiny-llama3", "q8g32")
        task = ("--task", "choices", f"{DATA}/tasks/choices.jsonl")
        self.assertEqual(result("perplexity", model, *task, "--windows", 3)["items"], 3)
        said = mica("perplexity", model, *task)
        self.assertEqual(said.returncode, OK, said.stderr)
        for word in ("items", "accuracy", "per byte"):
            self.assertIn(word, said.stdout)

    def test_what_is_no_task_is_refused(self):
        model = self.model("tiny-llama3", "q8g32")
        lines = f"{DATA}/tasks/choices.jsonl"
        for args, said in ((("--task", "mmlu", lines), "expected lambada or choices, found 'mmlu'"),
                           (("--task", "lambada", lines), "task line 1: text"),
                           (("--task", "choices", lines, "--layers", model), "without a base file"),
                           (("--task", "choices", lines, "-f", lines), "--file")):
            done = mica("perplexity", model, *args)
            self.assertEqual(done.returncode, USAGE, done.stderr)
            self.assertIn(said, done.stderr)

    def test_layers_are_compared(self):
        reference, model = self.model("tiny-llama3", "f32"), self.model("tiny-llama3", "q4g32")
        text = ("-f", f"{DATA}/tasks/lambada.jsonl", "-c", 64, "--layers", reference)
        layers = result("perplexity", model, *text)["layers"]
        self.assertEqual(len(layers), 2)
        for layer in layers:
            self.assertGreater(layer["relative_error"], 0.01)  # four bits
            self.assertLess(layer["relative_error"], 1)
            self.assertGreaterEqual(layer["max"], layer["relative_error"])
        same = result("perplexity", reference, *text)["layers"]
        self.assertEqual([layer["max"] for layer in same], [0, 0])
        self.assertIn("relative error", mica("perplexity", model, *text).stdout)


if __name__ == "__main__":
    unittest.main()
