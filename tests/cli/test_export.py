"""A .mica file as a source: requantized, and exported as a Hugging Face folder and read again.

Environment: MICA_TEST_PROGRAM. Exit code 77 (skipped) without it or without `tokenizers`.
"""
import json
import os
import shutil
import subprocess
import sys
import tempfile
import unittest

sys.dont_write_bytecode = True
sys.path.append(os.path.join(os.path.dirname(os.path.abspath(__file__)), "../golden"))
try:
    import tokenizers
    from byte_tokenizer import tokenizer_of_bytes
except ImportError as missing:
    print(missing)
    sys.exit(77)

PROGRAM = os.environ.get("MICA_TEST_PROGRAM", "")
if not PROGRAM:
    print("MICA_TEST_PROGRAM is not set")
    sys.exit(77)
DATA = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "data")
OK, RUNTIME, USAGE, DAMAGED = 0, 1, 2, 6
TEXT = ("It was the best of times, naïve café 漢字 🙂\n\n  x = {1: 'two'}\t<|im_start|>user<|im_end|> "
        "don't 12345 \u00a0 Ünïcode\r\n")


def mica(*args, stdin=b""):
    return subprocess.run([PROGRAM, *map(str, args)], input=stdin, capture_output=True, timeout=120)


class Export(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.folder)

    def path(self, name):
        return f"{self.folder}/{name}"

    def run_mica(self, *args):
        done = mica(*args)
        self.assertEqual(done.returncode, OK, done.stderr.decode())
        return done.stdout

    def refused(self, code, part, *args):
        done = mica(*args)
        self.assertEqual(done.returncode, code, done.stderr.decode())
        self.assertIn(part, done.stderr.decode())

    def convert(self, source, name, *options):
        self.run_mica("convert", source, self.path(name), *options)
        return self.path(name)

    def tensors(self, model):
        found = json.loads(self.run_mica("inspect", model, "--json"))["tensors"]
        return {t["name"]: (t["dtype"], t["shape"], t["hash"]) for t in found}

    def ids(self, model):
        return json.loads(mica("tokenize", model, "--json", stdin=TEXT.encode()).stdout)["ids"]

    def sources(self):
        """Every committed model, with a tokenizer."""
        for name in ("tiny-llama3", "tiny-qwen2"):
            yield name, f"{DATA}/{name}"
        for name in sorted(os.listdir(f"{DATA}/architectures")):
            copy = self.path(f"source-{name}")
            shutil.copytree(f"{DATA}/architectures/{name}", copy)
            tokenizer_of_bytes().save(f"{copy}/tokenizer.json")
            yield name, copy

    def test_a_folder_goes_to_a_file_and_back_without_loss(self):
        for name, source in self.sources():
            with self.subTest(name):
                for quant in ("f32", "bf16"):
                    first = self.convert(source, f"{name}-{quant}.mica", "--quant", quant)
                    back = self.convert(first, f"{name}-{quant}", "--to", "hf")
                    second = self.convert(back, f"{name}-{quant}-2.mica", "--quant", quant)
                    self.assertEqual(self.tensors(first), self.tensors(second))
                    self.assertEqual(self.ids(first), self.ids(second))
                    info = [json.loads(self.run_mica("inspect", model, "--json"))["model"]
                            for model in (first, second)]
                    for one in info:
                        del one["name"]
                    self.assertEqual(*info)

    def test_the_folder_has_what_the_file_says(self):
        model = self.convert(f"{DATA}/tiny-llama3", "model.mica", "--quant", "q8g32")
        folder = self.convert(model, "folder", "--to", "hf")
        self.assertEqual(sorted(os.listdir(folder)), [
            "chat_template.jinja", "config.json", "generation_config.json", "model.safetensors",
            "tokenizer.json", "tokenizer_config.json"])
        for name in ("chat_template.jinja", "generation_config.json", "tokenizer_config.json"):
            with open(f"{folder}/{name}", encoding="utf-8") as mine:
                with open(f"{DATA}/tiny-llama3/{name}", encoding="utf-8") as theirs:
                    if name.endswith("jinja"):
                        self.assertEqual(mine.read(), theirs.read())
                        continue
                    found, expected = json.load(mine), json.load(theirs)
                    for key in ("eos_token", "pad_token", "temperature", "top_k", "eos_token_id"):
                        self.assertEqual(found.get(key), expected.get(key), f"{name} {key}")
        theirs = tokenizers.Tokenizer.from_file(f"{DATA}/tiny-llama3/tokenizer.json")
        mine = tokenizers.Tokenizer.from_file(f"{folder}/tokenizer.json")
        self.assertEqual(mine.encode(TEXT).ids, theirs.encode(TEXT).ids)

    def test_shards_are_as_good_as_one_file(self):
        model = self.convert(f"{DATA}/tiny-qwen2", "model.mica", "--quant", "bf16")
        folder = self.convert(model, "folder", "--to", "hf", "--shard-size", "32K")
        names = [name for name in os.listdir(folder) if name.endswith(".safetensors")]
        self.assertGreater(len(names), 3)
        with open(f"{folder}/model.safetensors.index.json", encoding="utf-8") as file:
            self.assertEqual(set(json.load(file)["weight_map"].values()), set(names))
        again = self.convert(folder, "again.mica", "--quant", "bf16")
        self.assertEqual(self.tensors(model), self.tensors(again))

    def test_a_file_is_requantized_as_its_source_is_converted(self):
        source = f"{DATA}/tiny-llama3"
        f32 = self.convert(source, "f32.mica", "--quant", "f32")
        for quant in ("q4g32", "q8g64", "f16"):
            direct = self.convert(source, f"direct-{quant}.mica", "--quant", quant)
            over = self.convert(f32, f"over-{quant}.mica", "--quant", quant)
            self.assertEqual(self.tensors(direct), self.tensors(over))
            self.assertEqual(self.ids(direct), self.ids(over))

    def test_what_keeps_its_type_is_copied(self):
        first = self.convert(f"{DATA}/tiny-llama3", "first.mica", "--quant", "q4g32")
        same = self.convert(first, "same.mica")
        self.assertEqual(self.tensors(first), self.tensors(same))
        wider = self.convert(first, "wider.mica", "--quant", "q8g32")
        self.assertEqual({dtype for dtype, _, _ in self.tensors(wider).values()}, {"q8g32", "f32"})
        self.assertEqual(self.tensors(first)["head"], self.tensors(wider)["head"])
        info = json.loads(self.run_mica("inspect", wider, "--json"))
        self.assertEqual(info["metadata"]["source"]["kind"], "mica")
        self.assertEqual(info["metadata"]["source"]["source"]["kind"], "huggingface")

    def test_what_cannot_be_is_refused_and_leaves_nothing(self):
        model = self.convert(f"{DATA}/tiny-llama3", "model.mica")
        folder = self.convert(model, "folder", "--to", "hf")
        before = sorted(os.listdir(self.folder))
        self.refused(USAGE, "empty folder", "convert", model, folder, "--to", "hf")
        self.refused(USAGE, "empty folder", "convert", model, model, "--to", "hf")
        self.refused(USAGE, "expected mica or hf", "convert", model, self.path("x"), "--to", "gguf")
        self.refused(USAGE, "floats", "convert", model, self.path("x"), "--to", "hf", "--quant",
                     "q8g32")
        self.refused(RUNTIME, "/nowhere", "convert", model, "/nowhere/x", "--to", "hf")
        self.refused(USAGE, "source itself", "convert", model, model, "--quant", "q8g32")
        self.run_mica("convert", model, self.path("x"), "--to", "hf", "--dry-run")
        with open(model, "r+b") as file:  # a bit of the last tensor
            file.seek(-20000, os.SEEK_END)
            byte = file.read(1)
            file.seek(-1, os.SEEK_CUR)
            file.write(bytes([byte[0] ^ 1]))
        self.refused(DAMAGED, "checksums", "convert", model, self.path("x"), "--to", "hf")
        self.refused(DAMAGED, "checksums", "convert", model, self.path("x.mica"))
        self.assertEqual(sorted(os.listdir(self.folder)), before)
        os.mkdir(self.path("empty"))
        self.convert(f"{DATA}/tiny-llama3", "empty", "--to", "hf")


if __name__ == "__main__":
    unittest.main()
