#!/usr/bin/env python3
"""Compares our reading of tokenizer.model and of GGUF vocabularies with PyPI `sentencepiece`.

    compare_sentencepiece.py TOOL [--sweep] [--time]

TOOL is tokenizer_tool.cpp, built. The models are those of tests/data/tokenizers, and some trained here with
SentencePiece's own charsmaps, which are too large to commit; the texts are those of compare_tokenizers.py.
Ids must be equal, and decoded texts; the GGUF files hold the same vocabularies. The large charsmaps are also
compared with PyPI `tokenizers`, which applies them otherwise. --sweep takes every code point instead.
Exit status 77: a package is not installed.
"""
import argparse
import itertools
import json
import pathlib
import random
import sys
import tempfile

sys.dont_write_bytecode = True
try:
    import gguf
    import sentencepiece
except ImportError as error:
    print(f"compare-sentencepiece: skipped, {error}")
    sys.exit(77)

import compare_tokenizers
from compare_tokenizers import DATA, MEGABYTE, encode_all, prose, run_tool

sys.path.insert(0, str(DATA))
import make_sentencepiece
from corpus import corpus

MARK = "\u2581"


def train(folder, name, **options):
    path = pathlib.Path(folder) / name
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=(line.strip("\n") for line in corpus()), model_prefix=str(path), minloglevel=2,
        num_threads=1, hard_vocab_limit=False, character_coverage=0.99, **options)
    return path.with_suffix(".model")


def trained(folder):
    for rule in ("nmt_nfkc", "nfkc", "nmt_nfkc_cf", "identity"):
        for kind in ("unigram", "bpe"):
            extra = rule in ("nmt_nfkc", "identity")
            yield train(folder, f"{kind}-{rule}", model_type=kind, vocab_size=700 if kind == "bpe" else 600,
                        normalization_rule_name=rule, remove_extra_whitespaces=extra, add_dummy_prefix=extra,
                        byte_fallback=rule == "nfkc")
    yield train(folder, "across-words", model_type="bpe", vocab_size=800, split_by_whitespace=False,
                byte_fallback=True)
    yield train(folder, "user-defined", model_type="unigram", vocab_size=600,
                user_defined_symbols=["<tool>", "\u2460", "the", "a b"])


def texts(specials, runs=True, user_defined=()):
    """Without the spellings of control symbols, which SentencePiece takes for text and we for tokens; in long
    texts without those in `user_defined` either."""
    makers = [compare_tokenizers.texts(["<h1>", "<extra_0>", "<tool>", "\u2460", "the", MARK, MARK * 3])]
    if runs:
        makers.append(compare_tokenizers.runs())
    for maker in makers:
        for text in maker:
            for special in [*specials, *(user_defined if len(text) > 1000 else ())]:
                text = text.replace(special, "")
            yield text


def report(name, samples, ours, theirs):
    failures = 0
    for sample, mine, expected in zip(samples, ours, theirs, strict=True):
        if mine == expected:
            continue
        failures += 1
        at = next((i for i, (a, b) in enumerate(zip(mine, expected)) if a != b), min(len(mine), len(expected)))
        if failures < 5:
            print(f"{name}: {len(mine)} and {len(expected)} tokens, first difference at {at}: {mine[at:at + 6]} "
                  f"expected {expected[at:at + 6]}; text begins {sample[:60]!r}")
    return failures


def user_defined_symbols(path):
    return [text for text, _, kind in make_sentencepiece.pieces(path.read_bytes()) if kind == 4]


def compare_model(tool, path, runs):
    model = sentencepiece.SentencePieceProcessor(model_file=str(path))
    specials = [model.IdToPiece(i) for i in range(len(model)) if model.IsControl(i) or model.IsUnknown(i)]
    # SentencePiece's unigram model finds user-defined symbols while it sums scores, we before: in a long text
    # the sums are rounded otherwise, and another of two ways of equal scores wins.
    is_unigram = dict(make_sentencepiece.fields(dict(make_sentencepiece.fields(path.read_bytes()))[2])).get(3, 1) == 1
    samples = list(texts(specials, runs, user_defined_symbols(path) if is_unigram else ()))
    ours = encode_all(tool, path, samples)
    theirs = model.encode(samples)
    failures = report(path.name, samples, ours, theirs)
    # Unknown tokens are left out: SentencePiece decodes them to a text of their own.
    unknown = model.unk_id()
    ids = [i for line in ours for i in line if i != unknown]
    # Nor bytes that are no text, which decode as in tokenizers.
    loose = random.Random(3).choices([i for i in range(len(model)) if not (
        model.IsControl(i) or model.IsUnknown(i) or model.IsByte(i))], k=3000)
    for some in (ids, loose):
        decoded = run_tool(tool, ["decode", path], " ".join(map(str, some)).encode()).decode()
        if decoded != model.decode(some):
            failures += 1
            print(f"{path.name}: decoded text differs")
    size = sum(len(s.encode()) for s in samples)
    print(f"{path.name}: {len(samples)} texts, {size} bytes, {len(ids)} tokens, {failures} differences")
    return failures


def write_gguf(folder, path):
    """The vocabulary as llama.cpp's converter writes it."""
    data = path.read_bytes()
    fields = dict(make_sentencepiece.fields(data))
    trainer = dict(make_sentencepiece.fields(fields[2]))
    normalizer = dict(make_sentencepiece.fields(fields[3]))
    is_unigram = trainer.get(3, 1) == 1
    out = pathlib.Path(folder) / f"{path.stem}.gguf"
    writer = gguf.GGUFWriter(str(out), "llama")
    writer.add_tokenizer_model("t5" if is_unigram else "llama")
    writer.add_tokenizer_pre("default")
    pieces = make_sentencepiece.pieces(data)
    writer.add_token_list([t.replace(MARK, " ") if kind == 4 else t for t, _, kind in pieces])
    writer.add_token_scores([score for _, score, _ in pieces])
    writer.add_token_types([kind for _, _, kind in pieces])
    writer.add_unk_token_id(next(i for i, p in enumerate(pieces) if p[2] == 2))
    writer.add_add_bos_token(False)
    writer.add_add_eos_token(False)
    writer.add_add_space_prefix(bool(normalizer.get(3, 1)))
    writer.add_remove_extra_whitespaces(bool(normalizer.get(4, 1)))
    if is_unigram and 2 in normalizer:
        writer.add_precompiled_charsmap(normalizer[2])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return out


def compare_gguf(tool, path, folder):
    model = sentencepiece.SentencePieceProcessor(model_file=str(path))
    specials = [model.IdToPiece(i) for i in range(len(model)) if model.IsControl(i) or model.IsUnknown(i)]
    # There, user-defined tokens are spelled with spaces and found before spaces are marked, and a space
    # begins every text behind one.
    adds_space = model.encode("a", out_type=str)[0].startswith(MARK)
    samples = list(texts(specials + [MARK] + (user_defined_symbols(path) if adds_space else [])))
    out = write_gguf(folder, path)
    failures = report(out.name, samples, encode_all(tool, out, samples), model.encode(samples))
    print(f"{out.name}: {len(samples)} texts, {failures} differences")
    return failures


def sweep_model(tool, path):
    """Every code point, alone and between letters."""
    model = sentencepiece.SentencePieceProcessor(model_file=str(path))
    failures = tokens = 0
    for samples in compare_tokenizers.batches(compare_tokenizers.point_texts()):
        ours = encode_all(tool, path, samples)
        failures += report(path.name, samples, ours, model.encode(samples))
        tokens += sum(map(len, ours))
    print(f"{path.name}: every code point, {tokens} tokens, {failures} differences", flush=True)
    return failures


def write_precompiled(folder, path):
    """The components that transformers' converters write around a model with a charsmap."""
    data = path.read_bytes()
    metaspace = {"type": "Metaspace", "replacement": MARK, "prepend_scheme": "always", "split": True}
    state = {"version": "1.0", "truncation": None, "padding": None, "post_processor": None,
             "added_tokens": make_sentencepiece.added_tokens(data), "decoder": metaspace,
             "normalizer": {"type": "Precompiled", "precompiled_charsmap": make_sentencepiece.charsmap(data)},
             "pre_tokenizer": metaspace, "model": make_sentencepiece.unigram(data, False)}
    out = pathlib.Path(folder) / f"precompiled-{path.stem}.json"
    out.write_text(json.dumps(state))
    return out


def print_rates(tool, path):
    body = prose(random.Random(7), 2 * MEGABYTE)
    model = sentencepiece.SentencePieceProcessor(model_file=str(path))
    ours = float(run_tool(tool, ["time", path], body.encode()))
    theirs = min(compare_tokenizers._timed(lambda: model.encode(body)) for _ in range(3))
    megabytes = len(body.encode()) / MEGABYTE
    print(f"{path.name}: {megabytes / ours:.1f} MB/s, sentencepiece {megabytes / theirs:.1f} MB/s")


def has_large_charsmap(path):
    return path.stem.startswith("unigram-") and path.stem != "unigram-identity"


def compare_all(tool, committed, folder):
    failures = 0
    for path in committed:
        failures += compare_model(tool, path, True)
        failures += compare_gguf(tool, path, folder)
    for path in trained(folder):
        failures += compare_model(tool, path, False)
        if has_large_charsmap(path):
            failures += compare_tokenizers.compare(tool, write_precompiled(folder, path), compare_tokenizers.texts)
    return failures


def sweep_all(tool, committed, folder):
    failures = 0
    for path in [*committed, *trained(folder)]:
        failures += sweep_model(tool, path)
        if has_large_charsmap(path):
            out = write_precompiled(folder, path)
            failures += compare_tokenizers.sweep(
                tool, out, itertools.chain(compare_tokenizers.point_texts(), compare_tokenizers.sweep_texts()))
    return failures


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("tool")
    parser.add_argument("--sweep", action="store_true")
    parser.add_argument("--time", action="store_true")
    options = parser.parse_args()
    committed = sorted(DATA.glob("*.model"))
    if options.time:
        for path in committed:
            print_rates(options.tool, path)
        return
    with tempfile.TemporaryDirectory() as folder:
        failures = (sweep_all if options.sweep else compare_all)(options.tool, committed, folder)
    print(f"{failures} differences in all")
    sys.exit(failures > 0)


if __name__ == "__main__":
    main()
