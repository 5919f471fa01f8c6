#!/usr/bin/env python3
"""Makes the small tokenizers in this folder with PyPI `tokenizers` (0.23.3 made the committed ones).

    python3 make.py

Each is a family's real set of components (normalizer, pre-tokenizer, post-processor, decoder, options)
around a vocabulary trained on a few pages of generated text. Training is deterministic.
"""
import json
import pathlib

from corpus import corpus
from tokenizers import (AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers,
                        processors, trainers)

HERE = pathlib.Path(__file__).parent
LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
          r"|\s*[\r\n]+|\s+(?!\S)|\s+")
QWEN2 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
         r"|\s*[\r\n]+|\s+(?!\S)|\s+")

def make(name, vocabulary, normalizer, pre_tokenizer, added, post_processor=None, ignore_merges=False):
    tokenizer = Tokenizer(models.BPE(ignore_merges=ignore_merges))
    if normalizer:
        tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre_tokenizer
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=vocabulary, show_progress=False,
                                  initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    tokenizer.train_from_iterator(corpus(), trainer)
    for token in added:
        tokenizer.add_tokens([token])
    if post_processor:
        tokenizer.post_processor = post_processor(tokenizer)
    state = json.loads(tokenizer.to_str())
    (HERE / f"{name}.json").write_text(json.dumps(state, ensure_ascii=False, separators=(",", ":")) + "\n")


def special(content, **options):
    return AddedToken(content, special=True, normalized=False, **options)


def begin_of_text(tokenizer):
    token = "<|begin_of_text|>"
    template = processors.TemplateProcessing(
        single=f"{token} $A", pair=f"{token} $A {token}:1 $B:1",
        special_tokens=[(token, tokenizer.token_to_id(token))])
    return processors.Sequence([processors.ByteLevel(trim_offsets=False), template])


def split(pattern):
    return pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(pattern), behavior="isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, trim_offsets=False, use_regex=False)])


make("gpt2", 1200, None, pre_tokenizers.ByteLevel(add_prefix_space=False),
     [special("<|endoftext|>"),
      AddedToken("<mask>", special=True, normalized=False, lstrip=True),
      AddedToken("<pad>", special=False, normalized=False, rstrip=True),
      AddedToken("word", special=False, normalized=True, single_word=True),
      AddedToken("<tab\t>", special=False, normalized=True),
      AddedToken("<é>", special=False, normalized=True)],
     lambda _: processors.ByteLevel(trim_offsets=True))
make("llama3", 1600, None, split(LLAMA3),
     [special(c) for c in ("<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>",
                           "<|end_header_id|>", "<|eot_id|>", "<|eot|>")],
     begin_of_text, ignore_merges=True)
make("qwen2", 1600, normalizers.NFC(), split(QWEN2),
     [special(c) for c in ("<|endoftext|>", "<|im_start|>", "<|im_end|>")]
     + [AddedToken("<tool_call>", special=False, normalized=False),
        AddedToken("cafe\u0301", special=False, normalized=True)],
     lambda _: processors.ByteLevel(trim_offsets=False))
make("smollm", 1200, None,
     pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True),
                              pre_tokenizers.ByteLevel(add_prefix_space=False)]),
     [special(c) for c in ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<repo_name>")])
