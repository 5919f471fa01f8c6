#!/usr/bin/env python3
"""Makes the SentencePiece models in this folder and the tokenizer.json files of the same families.

    python3 make_sentencepiece.py

PyPI `sentencepiece` 0.2.3 and `tokenizers` 0.23.3 made the committed ones; training is deterministic.
The models (*.model) are as the families train them: options, byte fallback, symbols. The tokenizer.json
files hold the same vocabularies with the components that transformers' converters write.
"""
import base64
import io
import json
import pathlib
import struct
import tempfile

import sentencepiece
from corpus import corpus

HERE = pathlib.Path(__file__).parent
MARK = "\u2581"

# A charsmap of a few rules, where SentencePiece's own have a quarter of a megabyte: code points in
# hexadecimal, then what becomes of them.
RULES = """
FF21\t41
FF22\t42
FB01\t66 69
2460\t31
65 301\tE9
3000\t20
A0\t20
9\t20
A\t20
D\t20
200B\t
C4 308\t41
2026\t2E 2E 2E
"""


def train(name, **options):
    model = io.BytesIO()
    # One thread: the order of sums decides ties.
    options = dict(character_coverage=0.995, num_threads=1, minloglevel=2, hard_vocab_limit=False) | options
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=(line.strip("\n") for line in corpus()), model_writer=model, **options)
    data = model.getvalue()
    (HERE / f"{name}.model").write_bytes(data)
    return data


def fields(message):
    """(number, value) of each field of a protobuf message; values are int, 4 bytes or bytes."""
    at = 0

    def varint():
        nonlocal at
        value = shift = 0
        while True:
            byte = message[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    while at < len(message):
        number, kind = divmod(varint(), 8)
        if kind == 0:
            yield number, varint()
            continue
        size = varint() if kind == 2 else {1: 8, 5: 4}[kind]
        yield number, message[at:at + size]
        at += size


def pieces(data):
    """[(text, score, type)] of a model; types: 1 normal, 2 unknown, 3 control, 4 user-defined, 6 byte."""
    read = []
    for number, value in fields(data):
        if number == 1:
            piece = dict(fields(value))
            read.append((piece[1].decode(), struct.unpack("<f", piece.get(2, bytes(4)))[0], piece.get(3, 1)))
    return read


def charsmap(data):
    normalizer = dict(fields(next(value for number, value in fields(data) if number == 3)))
    return base64.b64encode(normalizer[2]).decode()


def bpe(data):
    """The BPE model as transformers' converters write it: a merge for each pair, by score."""
    vocabulary = {text: i for i, (text, _, _) in enumerate(pieces(data))}
    merges = []
    for text, score, _ in pieces(data):
        cuts = [(text[:i], text[i:]) for i in range(1, len(text))]
        cuts = [(a, b) for a, b in cuts if a in vocabulary and b in vocabulary]
        merges += [(score, *cut) for cut in sorted(cuts, key=lambda c: (vocabulary[c[0]], vocabulary[c[1]]))]
    merges.sort(key=lambda m: (m[0], len(m[1]), len(m[2])), reverse=True)
    return {"type": "BPE", "dropout": None, "unk_token": "<unk>", "continuing_subword_prefix": None,
            "end_of_word_suffix": None, "fuse_unk": True, "byte_fallback": True, "ignore_merges": False,
            "vocab": vocabulary, "merges": [[a, b] for _, a, b in merges]}


def unigram(data, byte_fallback):
    read = pieces(data)
    return {"type": "Unigram", "unk_id": next(i for i, p in enumerate(read) if p[2] == 2),
            "vocab": [[text, score] for text, score, _ in read], "byte_fallback": byte_fallback}


def added_tokens(data):
    return [{"id": i, "content": text, "single_word": False, "lstrip": False, "rstrip": False,
             "normalized": False, "special": kind in (2, 3)}
            for i, (text, _, kind) in enumerate(pieces(data)) if kind in (2, 3, 4)]


def template(before, after, ids):
    piece = lambda token: {"SpecialToken": {"id": token, "type_id": 0}}
    text = lambda name: {"Sequence": {"id": name, "type_id": 0}}
    around = lambda name: [piece(t) for t in before] + [text(name)] + [piece(t) for t in after]
    return {"type": "TemplateProcessing", "single": around("A"), "pair": around("A") + around("B"),
            "special_tokens": {t: {"id": t, "ids": [ids[t]], "tokens": [t]} for t in before + after}}


def sequence(key, *steps):
    return {"type": "Sequence", key: list(steps)}


def replace(pattern, content):
    return {"type": "Replace", "pattern": pattern, "content": content}


def write(name, data, model, normalizer, pre_tokenizer, decoder, before=(), after=()):
    ids = {text: i for i, (text, _, _) in enumerate(pieces(data))}
    post = template(list(before), list(after), ids) if before or after else None
    state = {"version": "1.0", "truncation": None, "padding": None, "added_tokens": added_tokens(data),
             "normalizer": normalizer, "pre_tokenizer": pre_tokenizer, "post_processor": post,
             "decoder": decoder, "model": model}
    (HERE / f"{name}.json").write_text(json.dumps(state, ensure_ascii=False, separators=(",", ":")) + "\n")


def main():
    unmark = replace({"String": MARK}, " ")
    spaces = [MARK * n for n in range(2, 9)]
    llama = train("llama2", model_type="bpe", vocab_size=1100, byte_fallback=True, split_digits=True,
                  normalization_rule_name="identity", remove_extra_whitespaces=False,
                  allow_whitespace_only_pieces=True)
    write("llama2", llama, bpe(llama),
          sequence("normalizers", {"type": "Prepend", "prepend": MARK}, replace({"String": " "}, MARK)),
          None,
          sequence("decoders", unmark, {"type": "ByteFallback"}, {"type": "Fuse"},
                   {"type": "Strip", "content": " ", "start": 1, "stop": 0}), before=["<s>"])
    gemma = train("gemma", model_type="bpe", vocab_size=1300, byte_fallback=True, split_digits=True,
                  normalization_rule_name="identity", remove_extra_whitespaces=False, add_dummy_prefix=False,
                  allow_whitespace_only_pieces=True, pad_id=0, eos_id=1, bos_id=2, unk_id=3,
                  eos_piece="<eos>", bos_piece="<bos>",
                  user_defined_symbols=["<start_of_turn>", "<end_of_turn>", "<h1>", "\n", "\n\n"] + spaces)
    write("gemma", gemma, bpe(gemma), replace({"String": " "}, MARK),
          {"type": "Split", "pattern": {"String": " "}, "behavior": "MergedWithPrevious", "invert": False},
          sequence("decoders", unmark, {"type": "ByteFallback"}, {"type": "Fuse"}), before=["<bos>"])
    with tempfile.NamedTemporaryFile("w", suffix=".tsv") as rules:
        rules.write(RULES.lstrip("\n"))
        rules.flush()
        t5 = train("t5", model_type="unigram", vocab_size=900, normalization_rule_tsv=rules.name,
                   pad_id=0, eos_id=1, unk_id=2, bos_id=-1, user_defined_symbols=["<extra_0>", "<extra_1>"])
    metaspace = {"type": "Metaspace", "replacement": MARK, "prepend_scheme": "always", "split": True}
    write("t5", t5, unigram(t5, False),
          sequence("normalizers", {"type": "Precompiled", "precompiled_charsmap": charsmap(t5)},
                   {"type": "Strip", "strip_left": False, "strip_right": True},
                   replace({"Regex": " {2,}"}, MARK)),
          metaspace, metaspace, after=["</s>"])
    train("unigram_bytes", model_type="unigram", vocab_size=1000, byte_fallback=True,
          normalization_rule_name="identity", remove_extra_whitespaces=False)


if __name__ == "__main__":
    main()
