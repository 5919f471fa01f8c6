"""The program as a user meets it: results, exit codes and sentences, on a tiny model made here.

Environment: MICA_TEST_PROGRAM. Exit code 77 (skipped) without it or without the package `gguf`.
"""
import glob
import json
import os
import pty
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

try:
    import gguf

    import tiny_gguf
except ImportError as missing:
    print(missing)
    sys.exit(77)

PROGRAM = os.environ.get("MICA_TEST_PROGRAM", "")
if not PROGRAM:
    print("MICA_TEST_PROGRAM is not set")
    sys.exit(77)

OK, RUNTIME, USAGE, INVALID, DOES_NOT_FIT, UNSUPPORTED, DAMAGED = 0, 1, 2, 3, 4, 5, 6
INTERRUPTED = 130
TWO_AT_MOST = min(2, len(os.sched_getaffinity(0)))  # threads; more than can run are refused


def mica(*args, stdin=b"", env=None):
    return subprocess.run([PROGRAM, *map(str, args)], input=stdin, capture_output=True,
                          env=dict(os.environ, **(env or {})), timeout=120)


def read(path):
    with open(path, "rb") as file:
        return file.read()


def holds_synthetic_model(pid):
    """Whether a process has the nameless file open that it makes its model in."""
    try:
        return any("memfd:mica-synthetic" in os.readlink(f"/proc/{pid}/fd/{descriptor}")
                   for descriptor in os.listdir(f"/proc/{pid}/fd"))
    except OSError:  # gone meanwhile
        return False


class Case(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.mkdtemp()
        cls.gguf = f"{cls.folder}/tiny.gguf"
        cls.model = f"{cls.folder}/tiny.mica"
        tiny_gguf.write(cls.gguf)
        done = mica("convert", cls.gguf, cls.model)
        assert done.returncode == OK, done.stderr

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.folder)

    def path(self, name):
        return f"{self.folder}/{name}"

    def expect(self, done, code, *parts):
        """The exit code, and one sentence on stderr that holds all parts; stdout is empty."""
        sentence = done.stderr.decode()
        self.assertEqual(done.returncode, code, sentence)
        self.assertEqual(done.stdout, b"")
        for part in parts:
            self.assertIn(part, sentence)

    def json(self, *args, **kwargs):
        done = mica(*args, "--json", **kwargs)
        self.assertEqual(done.returncode, OK, done.stderr.decode())
        return json.loads(done.stdout)


class Results(Case):
    def test_generate_gives_the_documented_keys(self):
        result = self.json("generate", self.model, "-p", "The cat", "-n", 5, "--temp", 0,
                           "--ignore-eos")
        self.assertEqual(len(result["tokens"]), 5)
        self.assertEqual(result["finish_reason"], "length")
        self.assertEqual(result["prompt_tokens"], 7)  # one a byte
        for key in ("load_seconds", "prefill_seconds", "prefill_tokens_per_second",
                    "decode_seconds", "decode_tokens_per_second"):
            self.assertIn(key, result["timings"])

    def test_a_prompt_on_standard_input_equals_one_given_by_p(self):
        options = ("--temp", 0, "-n", 8, "--json")
        by_option = json.loads(mica("generate", self.model, "-p", "abc", *options).stdout)
        by_pipe = json.loads(mica("generate", self.model, *options, stdin=b"abc").stdout)
        self.assertEqual(by_option["tokens"], by_pipe["tokens"])

    def test_the_same_seed_gives_the_same_text(self):
        options = ("generate", self.model, "-p", "abc", "--temp", 1, "-n", 16, "--seed", 7)
        self.assertEqual(self.json(*options)["tokens"], self.json(*options)["tokens"])

    def test_threads_chunks_and_mapping_do_not_change_the_result(self):
        options = ("generate", self.model, "-p", "a" * 70, "--temp", 0, "-n", 16)
        expected = self.json(*options)["tokens"]
        for more in (("--threads", 1), ("--threads", TWO_AT_MOST), ("--prefill-chunk", 1),
                     ("--prefill-chunk", 7), ("--load", "read")):
            self.assertEqual(self.json(*options, *more)["tokens"], expected, more)

    def test_json_stream_gives_pieces_and_then_the_result(self):
        done = mica("generate", self.model, "-p", "abc", "-n", 4, "--temp", 0, "--json-stream",
                    "--ignore-eos")
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        self.assertEqual("".join(line["piece"] for line in lines[:-1]), lines[-1]["text"])

    def test_a_stop_string_ends_the_text_before_it(self):
        whole = self.json("generate", self.model, "-p", "abc", "--temp", 0, "-n", 20,
                          "--ignore-eos")["text"]
        stop = whole[3:5]
        result = self.json("generate", self.model, "-p", "abc", "--temp", 0, "-n", 20,
                           "--ignore-eos", "--stop", stop)
        self.assertEqual(result["text"], whole[:whole.index(stop)])
        self.assertEqual(result["finish_reason"], "stop")

    def test_logit_bias_decides_the_token(self):
        result = self.json("generate", self.model, "-p", "abc", "--temp", 0, "-n", 3,
                           "--logit-bias", "70=1000")
        self.assertEqual(result["tokens"], [70, 70, 70])

    def test_chat_answers_a_pipe_and_never_hangs(self):
        done = mica("chat", self.model, "-n", 4, stdin=b"hello")
        self.assertEqual(done.returncode, OK, done.stderr)

    def test_chat_renders_the_template_without_special_tokens_of_the_content(self):
        plain = self.json("chat", self.model, "-p", "x<|end|>y", "-n", 1)["prompt_tokens"]
        # <|start|> user \n x <|end|> y <|end|> \n <|start|> assistant \n, the inner one as 7 bytes.
        self.assertEqual(plain, 1 + 4 + 1 + 1 + 7 + 1 + 1 + 1 + 1 + 9 + 1)

    def test_tokenize_and_detokenize_are_inverse(self):
        text = "The tea is hot <|end|> é 漢字 🙂\n"
        ids = self.json("tokenize", self.model, stdin=text.encode())["ids"]
        self.assertIn(2, ids)
        back = mica("detokenize", self.model, stdin=" ".join(map(str, ids)).encode())
        self.assertEqual(back.stdout.decode(), text)
        plain = self.json("tokenize", self.model, "--plain", stdin=text.encode())["ids"]
        self.assertNotIn(2, plain)
        self.assertEqual(self.json("tokenize", self.model, "-p", text)["ids"], ids)
        self.expect(mica("tokenize", self.model, "-p", "x", "-f", self.gguf), USAGE, "--prompt")

    def test_inspect_lists_every_tensor(self):
        found = self.json("inspect", self.model)
        self.assertEqual(found["format_version"], 1)
        self.assertEqual(len(found["tensors"]), 2 + 9 * 2)
        keys = {"name", "role", "layer", "dtype", "group", "shape", "offset", "bytes", "hash"}
        for tensor in found["tensors"]:
            self.assertLessEqual(keys, set(tensor))
        self.assertEqual({t["dtype"] for t in found["tensors"]}, {"f32", "q4sg32"})
        self.assertIn("layers.1.ffn.down", mica("inspect", self.model, "--tensors").stdout.decode())

    def test_perplexity_gives_the_documented_keys_and_zero_kl_against_itself(self):
        base = self.path("base.kld")
        text = self.path("text.txt")
        with open(text, "w", encoding="utf-8") as file:
            file.write("It was the best of times, it was the worst of times. " * 10)
        first = self.json("perplexity", self.model, "-f", text, "--ctx", 32, "--save-kl-base", base)
        self.assertEqual(first["windows"], first["scored_tokens"] // 15)
        again = self.json("perplexity", self.model, "--kl-base", base)
        self.assertLess(abs(again["perplexity_ratio"] - 1), 1e-3)
        self.assertLess(again["kl"]["mean"], 1e-4)  # the file's 16-bit rounding
        for key in ("mean", "se", "p99", "max"):
            self.assertIn(key, again["kl"])
        self.assertGreater(again["top1_agreement"], 0.99)

    def test_bench_gives_the_documented_keys(self):
        found = self.json("bench", self.model, "-p", "16,32", "-n", 3, "-d", "0,64", "-b", "1,4",
                          "-t", 1, "-r", 2, "--isa", "generic")
        self.assertEqual(found["machine"]["isa"], "generic")
        self.assertEqual(found["machine"]["threads"], 1)
        self.assertTrue(found["machine"]["cpu"] and found["machine"]["why"])
        for key in ("read_gb_per_second", "read_gb_per_second_at_model_size"):
            self.assertGreater(found["limits"][key], 0)
        for key in ("int8_gops", "fma_gflops"):
            self.assertIn(key, found["limits"])
        cases = [(r["test"], r["tokens"], r["depth"], r["batch"]) for r in found["results"]]
        self.assertEqual(cases, [("prefill", 16, 0, 1), ("prefill", 32, 0, 1), ("decode", 3, 0, 1),
                                 ("decode", 3, 0, 4), ("prefill", 16, 64, 1),
                                 ("prefill", 32, 64, 1), ("decode", 3, 64, 1),
                                 ("decode", 3, 64, 4)])
        for result in found["results"]:
            rate = result["tokens_per_second"]
            self.assertTrue(0 < rate["min"] <= rate["median"] <= rate["max"])
            self.assertIn("share_of_limit", result)
            self.assertEqual(result["repetitions"], 2)
        decode = found["results"][2]
        self.assertGreater(decode["share_of_limit"], 0)
        self.assertGreater(decode["bytes_per_token"], found["model"]["weight_bytes"])

    def test_bench_prints_a_table(self):
        done = mica("bench", self.model, "-p", 16, "-n", 3, "-r", 1, "--kv", "f32")
        self.assertEqual(done.returncode, OK, done.stderr.decode())
        self.assertRegex(done.stdout.decode(), r"prefill +16 +0 +1 .*\ndecode +3 +0 +1 .*% of read")

    def test_bench_runs_a_synthetic_model(self):
        found = self.json("bench", "--synthetic", "1b", "--quant", "q4sg128", "-p", 16, "-n", 1,
                          "-r", 1)
        self.assertEqual(found["model"]["weights"], "q4sg128")
        # Llama 3.2 1B: 973 million weights in the layers, 263 in the head. Of a prompt the last
        # layer's output and feed-forward, 54.5 million, are computed for the last token alone.
        prompt = 973.08e6 - 54.53e6 * 15 / 16
        self.assertAlmostEqual(found["results"][0]["operations_per_token"], 2 * prompt, -5)
        self.assertAlmostEqual(found["results"][1]["operations_per_token"], 2 * 1235.75e6, -5)

    def test_doctor_names_the_kernels_and_why_that_many_threads(self):
        found = self.json("doctor", "--threads", 1, "--isa", "generic")
        self.assertEqual(found["isa"], "generic")
        self.assertEqual(found["threads"], 1)
        self.assertTrue(found["threads_why"])
        self.assertTrue(found["blas"])

    def test_every_instruction_set_that_doctor_finds_here_can_be_chosen(self):
        isas = self.json("doctor")["isas"]
        self.assertTrue(isas["reference"])
        for isa in (isa for isa, available in isas.items() if available):
            self.assertEqual(self.json("doctor", "--isa", isa)["isa"], isa)
            result = self.json("generate", self.model, "-p", "abc", "-n", 2, "--isa", isa)
            self.assertEqual(len(result["tokens"]), 2)

    def test_an_instruction_set_that_doctor_does_not_find_here_is_refused_by_what_is_missing(self):
        found = self.json("doctor")
        self.assertEqual({isa for isa, available in found["isas"].items() if not available},
                         set(found["isas_missing"]))
        for isa, missing in found["isas_missing"].items():
            self.expect(mica("doctor", "--isa", isa), UNSUPPORTED,
                        f"a processor with {isa}, this one lacks {missing}")

    def test_help_begins_with_examples(self):
        for command in ("chat", "generate", "convert", "inspect", "verify", "tokenize",
                        "detokenize", "perplexity", "bench", "plan", "doctor"):
            text = mica(command, "--help").stdout.decode()
            self.assertLess(text.index("Examples:"), text.index("Options:"), command)
            self.assertIn(f"mica {command} ", text)
            self.assertIn("--json", text)
            self.assertLessEqual(max(map(len, text.splitlines())), 80, command)
            self.assertEqual(mica("help", command).stdout.decode(), text)
        self.assertIn("doctor", mica("--help").stdout.decode())
        self.assertEqual(mica("help").stdout, mica("--help").stdout)
        self.assertRegex(mica("--version").stdout.decode(), r"^mica \d+\.\d+\.\d+\n$")


class Conversion(Case):
    def test_two_runs_and_any_number_of_threads_give_identical_bytes(self):
        expected = read(self.model)
        for threads in (1, TWO_AT_MOST):
            other = self.path(f"again{threads}.mica")
            self.assertEqual(mica("convert", self.gguf, other, "--threads", threads).returncode, OK)
            self.assertEqual(read(other), expected)

    def test_the_report_has_the_documented_keys(self):
        report = self.json("convert", self.gguf, self.path("report.mica"))
        self.assertEqual(report["bytes"], os.path.getsize(self.path("report.mica")))
        self.assertAlmostEqual(report["bits_per_weight"]["body"], 4.5)
        self.assertEqual({t["relative_error"] for t in report["tensors"]}, {0})

    def test_a_dry_run_writes_nothing(self):
        report = self.json("convert", self.gguf, self.path("dry.mica"), "--dry-run")
        self.assertFalse(os.path.exists(self.path("dry.mica")))
        self.assertEqual(len(report["tensors"]), 20)

    def test_a_group_that_does_not_divide_is_replaced_and_reported(self):
        report = self.json("convert", self.gguf, self.path("g64.mica"), "--quant", "q4g64")
        self.assertTrue(any("q4g32 instead of q4g64" in s for s in report["substitutions"]))
        result = self.json("generate", self.path("g64.mica"), "-p", "abc", "-n", 2)
        self.assertEqual(len(result["tokens"]), 2)

    def test_every_weight_type_converts_and_runs(self):
        for quant in ("q4g32", "q4sg32", "q4mg32", "q8g32", "f16", "bf16", "f32"):
            output = self.path(f"{quant}.mica")
            done = mica("convert", self.gguf, output, "--quant", quant)
            self.assertEqual(done.returncode, OK, done.stderr.decode())
            self.assertEqual(mica("verify", output).returncode, OK)
            done = mica("generate", output, "-p", "abc", "-n", 3, "--temp", 0)
            self.assertEqual(done.returncode, OK, (quant, done.stderr.decode()))

    def test_a_calibrated_conversion_reports_what_it_gained(self):
        text = self.path("text.txt")
        with open(text, "w") as file:
            file.write("The sea is calm and the boats are out. " * 40)
        source = self.path("floats.gguf")
        tiny_gguf.write(source, weight_type=gguf.GGMLQuantizationType.F32)
        report = self.json("convert", source, self.path("c.mica"), "--calibrate", text,
                           "--calibration-tokens", "512")
        self.assertEqual(report["calibration_tokens"], 512)
        errors = [t for t in report["tensors"] if t["output_error"] is not None]
        self.assertEqual(len(errors), 14)
        for tensor in errors:
            self.assertLess(tensor["output_error"], tensor["nearest_error"])
        self.assertGreater(report["held_out"]["positions"], 0)
        self.assertGreater(report["held_out"]["mean_kl"], 0)
        done = mica("convert", source, self.path("d.mica"), "--calibrate")
        self.expect(done, OK, "calibrated", "held out")
        inspected = self.json("inspect", self.path("d.mica"))
        self.assertEqual(inspected["metadata"]["conversion"]["calibration"]["text"], "default")
        self.expect(mica("convert", source, self.path("d.mica"), "--calibrate", self.path("none.txt")), RUNTIME,
                    "none.txt")
        self.expect(mica("convert", self.gguf, self.path("d.mica"), "--calibrate"), USAGE, "carried over")
        self.expect(mica("convert", source, self.path("r.mica"), "--calibrate", "random"), OK, "calibrated")

    def test_what_calibration_would_not_heed_is_refused(self):
        source, output = self.path("floats.gguf"), self.path("refused.mica")
        tiny_gguf.write(source, weight_type=gguf.GGMLQuantizationType.F32)
        short = self.path("short.txt")
        with open(short, "w") as file:
            file.write("The sea is calm.")
        for options, words in [
                (["--awq"], ["awq", "calibration"]),
                (["--effort", "full"], ["effort", "calibration"]),
                (["--calibration-tokens", 64], ["calibration_tokens"]),
                (["--resume"], ["resume", "calibration"]),
                (["--calibrate", "--to", "hf"], ["folder", "calibration"]),
                (["--target-bpw", 5, "--to", "hf"], ["folder", "weight types"]),
                (["--target-bpw", 5, "--quant", "q8g32"], ["quant", "q8g32"]),
                (["--calibrate", short, "--dry-run"], ["short.txt", "128 tokens"]),
                (["--calibrate", source], ["floats.gguf: calibration text", "UTF-8"]),
                (["--calibrate", "random", "--calibration-tokens", 10 ** 18], ["16777216"])]:
            self.expect(mica("convert", source, output, *options), USAGE, *words)
            self.assertEqual(glob.glob(output + "*"), [], options)

    def test_a_recipe_decides_and_is_checked(self):
        recipe = self.path("recipe.txt")

        def convert(text):
            with open(recipe, "w") as file:
                file.write(text)
            return mica("convert", self.gguf, self.path("r.mica"), "--recipe", recipe, "--json")

        done = convert("# all but one\nlayers.*.ffn.* q8g32\nlayers.1.ffn.down q4g32\n")
        self.assertEqual(done.returncode, OK)
        types = {t["name"]: t["dtype"] for t in json.loads(done.stdout)["tensors"]}
        self.assertEqual(types["layers.0.ffn.down"], "q8g32")
        self.assertEqual(types["layers.1.ffn.down"], "q4g32")
        self.assertEqual(types["layers.0.attn.q"], "q4sg32")
        self.expect(convert("layers.9.* q8g32"), USAGE, "recipe.txt:1", "layers.9")
        self.expect(convert("layers.*.attn.q q3"), USAGE, "q3")
        self.expect(convert("layers.0.attn.q"), USAGE, "recipe.txt:1", "pattern and a type")
        self.expect(convert("layers.0.attn.q q4g64"), USAGE, "one group", "attn.k")

    def test_a_target_of_bits_is_kept(self):
        report = self.json("convert", self.gguf, self.path("t.mica"), "--target-bpw", "6")
        self.assertLessEqual(report["bits_per_weight"]["body"], 6)
        self.assertGreater(report["bits_per_weight"]["body"], 5)
        self.expect(mica("convert", self.gguf, self.path("t.mica"), "--target-bpw", "3"), USAGE, "bits a weight")

    def test_all_gguf_types_are_read(self):
        kinds = gguf.GGMLQuantizationType
        for kind in (kinds.F32, kinds.F16, kinds.BF16, kinds.Q4_1, kinds.Q5_0, kinds.Q5_1, kinds.Q8_0):
            source, output = self.path(f"{kind.name}.gguf"), self.path(f"{kind.name}.mica")
            tiny_gguf.write(source, weight_type=kind)
            done = mica("convert", source, output)
            self.assertEqual(done.returncode, OK, (kind.name, done.stderr.decode()))


class BadInput(Case):
    def test_a_missing_model(self):
        self.expect(mica("chat", self.path("nothing.mica"), "-p", "x"), RUNTIME, "nothing.mica",
                    "No such file")
        self.expect(mica("convert", self.path("nothing.gguf"), self.path("x.mica")), RUNTIME,
                    "nothing.gguf")

    def test_a_folder_in_place_of_a_model(self):
        self.expect(mica("inspect", self.folder), RUNTIME, self.folder)

    def test_a_file_that_is_no_mica_file(self):
        path = self.path("page.mica")
        with open(path, "wb") as file:
            file.write(b"<!DOCTYPE html><html>not a model</html>" * 100)
        self.expect(mica("generate", path, "-p", "x"), INVALID, "page.mica")
        self.expect(mica("generate", self.gguf, "-p", "x"), INVALID, "GGUF", "mica convert")

    def test_the_committed_bad_files(self):
        bad = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../data/bad")
        self.expect(mica("inspect", f"{bad}/newer-version.mica"), UNSUPPORTED, "version")
        self.expect(mica("inspect", f"{bad}/required-feature.mica"), UNSUPPORTED, "feature")
        for name in ("empty", "file-cut", "header-cut", "text-mode", "zeros", "zip", "html"):
            self.expect(mica("generate", f"{bad}/{name}.mica", "-p", "x"), INVALID, f"{name}.mica")
        for name, said in (("pdf", "PDF"), ("html", "HTML"), ("zip", "ZIP"), ("gzip", "gzip")):
            self.expect(mica("convert", f"{bad}/{name}.mica", self.path("x.mica")), INVALID, said)
        self.expect(mica("inspect", f"{bad}/header-checksum.mica"), DAMAGED, "checksum")

    def test_a_truncated_model(self):
        path = self.path("short.mica")
        with open(path, "wb") as file:
            file.write(read(self.model)[:-100])
        self.expect(mica("inspect", path), INVALID, "short.mica")

    def test_an_unknown_architecture(self):
        path = self.path("mamba.gguf")
        tiny_gguf.write(path, architecture="mamba")
        self.expect(mica("convert", path, self.path("x.mica")), UNSUPPORTED, "mamba", "llama")

    def test_an_unknown_tokenizer(self):
        path = self.path("rwkv.gguf")
        tiny_gguf.write(path, tokenizer="rwkv")
        self.expect(mica("convert", path, self.path("x.mica")), UNSUPPORTED, "rwkv")
        tiny_gguf.write(path, pre="martian")
        self.expect(mica("convert", path, self.path("x.mica")), UNSUPPORTED, "martian")

    def test_a_context_that_overflows(self):
        self.expect(mica("generate", self.model, "-p", "a" * 500), DOES_NOT_FIT, "500", "128")
        self.expect(mica("generate", self.model, "-p", "x", "--ctx", "1M"), USAGE, "1048576", "128")

    def test_a_prompt_that_is_not_utf8(self):
        self.expect(mica("generate", self.model, stdin=b"abc\xff\xfe"), USAGE, "UTF-8", "3")
        self.expect(mica("tokenize", self.model, stdin=b"\xc3"), USAGE, "UTF-8")
        self.expect(mica("chat", self.model, stdin=b"abc\xff"), USAGE, "UTF-8", "0xff", "3")

    def test_a_destination_that_cannot_be_written(self):
        self.expect(mica("convert", self.gguf, "/nowhere/x.mica"), RUNTIME, "/nowhere")
        self.expect(mica("convert", self.gguf, "/proc/x.mica"), RUNTIME, "/proc")
        self.expect(mica("convert", self.gguf, self.folder), RUNTIME, self.folder)
        self.expect(mica("convert", self.gguf, self.gguf), USAGE, "source itself")

    def test_an_instruction_set_that_is_not_known(self):
        self.expect(mica("generate", self.model, "-p", "x", "--isa", "warp9"), USAGE, "warp9")
        self.expect(mica("generate", self.model, "-p", "x", env={"MICA_ISA": "warp9"}), USAGE,
                    "warp9")

    def test_misspelt_words(self):
        self.expect(mica("caht", self.model), USAGE, "'chat'")
        self.expect(mica("chat", self.model, "--treads", 2), USAGE, "--threads")
        self.expect(mica("chat"), USAGE, "MODEL", "`mica chat --help`")
        self.expect(mica("chat", self.model, "--xyzzy"), USAGE, "--xyzzy", "`mica chat --help`")
        self.expect(mica("generate", self.model, "-p", "x", "--kv", "f8"), USAGE, "f8", "f16")
        self.expect(mica("convert", self.gguf, self.path("x.mica"), "--quant", "q3"), USAGE, "q3",
                    "q4g32")

    def test_senseless_numbers(self):
        for threads in (0, -1, 100000, "two"):
            self.expect(mica("generate", self.model, "-p", "x", "--threads", threads), USAGE,
                        f"expected a whole number from 1 to 1024, found '{threads}'")
        self.expect(mica("generate", self.model, "-p", "x", "--threads", 1000), USAGE,
                    "threads: expected 1 ..", "found 1000")
        self.expect(mica("generate", self.model, "-p", "x", env={"MICA_THREADS": "1000"}), USAGE,
                    "MICA_THREADS: expected 1 ..", "found 1000")
        self.expect(mica("chat", self.model, "-p", "x", "--temp", "hot"), USAGE,
                    "--temp: expected a number from 0 to 100, found 'hot'")
        self.expect(mica("detokenize", self.model, stdin=b"{"), USAGE, "JSON")
        self.expect(mica("doctor", env={"MICA_THREADS": "many"}), USAGE, "MICA_THREADS")
        self.expect(mica("generate", self.model, "-p", "x", "--ctx", "lots"), USAGE, "lots")
        self.expect(mica("generate", self.model, "-p", "x", "--logit-bias", "7"), USAGE, "ID=VALUE")
        self.expect(mica("generate", self.model, "-p", "x", "--logit-bias", "9999=1"), USAGE, "9999")
        self.expect(mica("detokenize", self.model, stdin=b"12 cat"), USAGE, "byte 3")
        self.expect(mica("detokenize", self.model, stdin=b"99999"), USAGE, "99999")

    def test_senseless_benchmarks(self):
        quick = ("bench", self.model, "-p", 16, "-n", 2, "-r", 1)
        for threads in (0, 1000, -1):
            self.expect(mica(*quick, "-t", threads), USAGE, "threads: expected 1 ..", str(threads))
        self.expect(mica(*quick, "-d", 129), USAGE, "depth", "128", "129")
        self.expect(mica("bench", self.model), USAGE, "prompt", "128", "512")
        self.expect(mica(*quick, "-b", 0), USAGE, "batch")
        self.expect(mica(*quick, "-r", 0), USAGE, "repetitions")
        self.expect(mica(*quick, "--kv", "f8"), USAGE, "f8", "f16")
        self.expect(mica(*quick, "--isa", "warp9"), USAGE, "warp9")
        self.expect(mica("bench"), USAGE, "MODEL", "--synthetic")
        self.expect(mica(*quick, "--synthetic", "1b"), USAGE, "either")
        self.expect(mica(*quick, "--quant", "q4g64"), USAGE, "--synthetic")
        self.expect(mica("bench", "--synthetic", "2b"), USAGE, "1b, 3b, 7b, 8b, 13b, 70b", "'2b'")
        self.expect(mica("bench", "--synthetic", "1b", "--quant", "q3"), USAGE, "q3", "q4g32")
        self.expect(mica("bench", self.gguf), INVALID, "GGUF", "mica convert")
        self.expect(mica("bench", self.path("nothing.mica")), RUNTIME, "nothing.mica")

    def test_no_prompt_at_all(self):
        self.expect(mica("generate", self.model, stdin=b""), USAGE)

    def test_every_damaged_byte_is_found_and_named(self):
        data = bytearray(read(self.model))
        names = {(t["offset"], t["bytes"]): t["name"]
                 for t in self.json("inspect", self.model)["tensors"]}
        path = self.path("damaged.mica")
        for at in range(0, len(data), 997):
            with open(path, "wb") as file:
                file.write(data[:at] + bytes([data[at] ^ 4]) + data[at + 1:])
            done = mica("verify", path)
            self.assertIn(done.returncode, (INVALID, UNSUPPORTED, DAMAGED), at)
            for (offset, size), name in names.items():
                if offset <= at < offset + size:
                    self.assertEqual(done.returncode, DAMAGED)
                    self.assertIn(name, done.stderr.decode())


class Interruption(Case):
    def test_ctrl_c_stops_a_benchmark_that_has_no_file_with_a_name(self):
        folder = tempfile.mkdtemp(dir=self.folder)
        process = subprocess.Popen([PROGRAM, "bench", "--synthetic", "3b", "-r", "100"],
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                   env=dict(os.environ, TMPDIR=folder))
        deadline = time.monotonic() + 30
        made = False
        while not made and process.poll() is None and time.monotonic() < deadline:
            made = holds_synthetic_model(process.pid)
            self.assertEqual(os.listdir(folder), [])
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        message = process.communicate(timeout=60)[1].decode()
        self.assertIn(process.returncode, (130, DOES_NOT_FIT), message)  # a small machine
        self.assertEqual(made, process.returncode == 130)
        self.assertEqual(os.listdir(folder), [])

    def test_ctrl_c_stops_a_generation_with_130_and_keeps_the_text(self):
        process = subprocess.Popen(
            [PROGRAM, "generate", self.model, "-p", "abc", "--ignore-eos", "--logit-bias", "100=99",
             "--ctx", "128", "-n", "100", "--json-stream"], stdout=subprocess.PIPE,
            bufsize=0)  # communicate() passes over what a buffer has read
        process.stdout.readline()  # the first piece is out
        process.send_signal(signal.SIGINT)
        rest = process.communicate(timeout=30)[0].splitlines()
        last = json.loads(rest[-1])
        if last["finish_reason"] == "cancelled":  # the tiny model may have been faster
            self.assertEqual(process.returncode, 130)

    def test_a_reader_that_leaves_does_not_hang_the_program(self):
        process = subprocess.Popen([PROGRAM, "generate", self.model, "-p", "abc", "--ignore-eos"],
                                   stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        process.stdout.close()
        start = time.monotonic()
        process.wait(timeout=30)
        self.assertLess(time.monotonic() - start, 30)


class Terminal:
    """The program on a terminal of its own."""

    def __init__(self, *args):
        self.shown = ""
        self.process, self.screen = pty.fork()
        if self.process == 0:
            os.execv(PROGRAM, [PROGRAM, *map(str, args)])

    def read_until(self, text, seconds=60):
        """What is shown up to `text`, which must come."""
        deadline = time.monotonic() + seconds
        while text not in self.shown:
            left = deadline - time.monotonic()
            assert left > 0 and select.select([self.screen], [], [], left)[0], self.shown
            self.shown += os.read(self.screen, 4096).decode().replace("\r\n", "\n")
        before, self.shown = self.shown.split(text, 1)
        return before

    def type(self, keys):
        os.write(self.screen, keys.encode())

    def exit_code(self):
        try:
            while os.read(self.screen, 4096):
                pass
        except OSError:  # the program has closed its side
            pass
        os.close(self.screen)
        return os.waitstatus_to_exitcode(os.waitpid(self.process, 0)[1])


class Conversation(Case):
    def start(self, *options):
        terminal = Terminal("chat", self.model, "--temp", 0, "-n", 4, *options)
        terminal.read_until("/help shows what else can be typed.\n> ")
        return terminal

    def test_a_line_and_several_lines_are_answered(self):
        terminal = self.start("--stats")
        terminal.type("hello\n")
        one = terminal.read_until(" prompt tokens")
        terminal.read_until("\n> ")
        terminal.type('\"\"\"hel\n')
        terminal.read_until("... ")
        terminal.type('lo\"\"\"\n')
        self.assertNotEqual(terminal.read_until(" prompt tokens"), one)
        terminal.read_until("\n> ")
        terminal.type("/bye\n")
        self.assertEqual(terminal.exit_code(), OK)

    def test_slash_commands(self):
        terminal = self.start()
        terminal.type("/help\n")
        self.assertIn("/clear", terminal.read_until("\n> "))
        terminal.type("/xyzzy\n")
        self.assertIn("/xyzzy is not known here", terminal.read_until("\n> "))
        terminal.type("/clear\n  \n")
        terminal.read_until("> ")
        terminal.type("\x04")  # Ctrl-D
        self.assertEqual(terminal.exit_code(), OK)

    def test_one_ctrl_c_at_the_prompt_stays_and_two_leave(self):
        terminal = self.start()
        terminal.type("half a line\x03")
        terminal.read_until("(Ctrl-C again, Ctrl-D or /bye leaves.)\n> ")
        terminal.type("/help\n")
        terminal.read_until("forget the conversation")
        terminal.read_until("\n> ")
        terminal.type("\x03")
        terminal.read_until("(Ctrl-C again, Ctrl-D or /bye leaves.)\n> ")
        terminal.type("\x03")
        self.assertEqual(terminal.exit_code(), INTERRUPTED)

    def test_a_context_that_is_full_is_told_and_cleared(self):
        terminal = self.start("--ctx", 40, "--ignore-eos")
        terminal.type("a" * 10 + "\n")
        terminal.read_until("\n> ")
        terminal.type("b" * 10 + "\n")
        said = terminal.read_until("\n> ")
        self.assertIn("mica: context: expected at most 40 tokens", said)
        self.assertIn("/clear makes room.", said)
        terminal.type("/clear\n" + "b" * 10 + "\n")
        terminal.read_until("> ")
        self.assertNotIn("mica:", terminal.read_until("\n> "))
        terminal.type("\x04")
        self.assertEqual(terminal.exit_code(), OK)


if __name__ == "__main__":
    unittest.main(verbosity=2)
