#!/usr/bin/env python3
"""Writes tests/data/tiny-qwen2 and tests/data/tiny-llama3: Hugging Face folders of random models, small
enough to commit, each with the logits that transformers computes from them in float32.

    make_tiny.py tests/data

Needs torch, transformers, tokenizers and safetensors; not run by the tests. The first has what Qwen2
adds (biases, tied head), the second what Llama 3.1 does (scaled rotary frequencies: its positions and
wavelengths reach all three branches). Weights are larger than a fresh model's, so that every part of
the computation shows in the logits.

golden.bin, little-endian: "MICATNY1", u32 vocabulary V, positions P; i32 ids [P]; f32 logits [P, V].
"""

import json
import pathlib
import struct
import sys

import tokenizers
import torch
import transformers

POSITIONS = 100

QWEN2_PATTERN = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
                 r"|\s*[\r\n]+|\s+(?!\S)|\s+")
LLAMA3_PATTERN = QWEN2_PATTERN.replace(r"\p{N}| ?", r"\p{N}{1,3}| ?")
TEMPLATE = ("{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n"
            "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}")

SHAPE = dict(hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4,
             num_key_value_heads=2, max_position_embeddings=256, rms_norm_eps=1e-5,
             attn_implementation="eager")


def make_tokenizer(folder, pattern, text, nfc):
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE())
    if nfc:
        tokenizer.normalizer = tokenizers.normalizers.NFC()
    split = tokenizers.pre_tokenizers.Split(tokenizers.Regex(pattern), "isolated")
    bytes_ = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Sequence([split, bytes_])
    tokenizer.decoder = tokenizers.decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=300, initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=["<|endoftext|>", "<|im_start|>", "<|im_end|>"], show_progress=False)
    tokenizer.train_from_iterator([text], trainer)
    tokenizer.save(str(folder / "tokenizer.json"))
    return tokenizer


def spread(model, seed):
    """Random weights whose effects are visible: norms around 1, biases and matrices of some size."""
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        noise = torch.randn(parameter.shape, generator=generator)
        if "norm" in name:
            parameter.data = 1 + 0.3 * noise
        elif name.endswith("bias"):
            parameter.data = 0.5 * noise
        else:
            parameter.data = noise * (1.5 / parameter.shape[1] ** 0.5)


@torch.no_grad()
def make(folder, model, dtype, seed, pattern, nfc, text):
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = make_tokenizer(folder, pattern, text, nfc)
    spread(model, seed)
    model = model.to(dtype)
    model.generation_config = transformers.GenerationConfig(
        bos_token_id=0, eos_token_id=[2, 0], do_sample=True, temperature=0.7, top_k=20, top_p=0.8,
        repetition_penalty=1.05)
    model.save_pretrained(folder)
    (folder / "chat_template.jinja").write_text(TEMPLATE)
    (folder / "tokenizer_config.json").write_text(json.dumps(
        {"bos_token": None, "eos_token": "<|im_end|>", "pad_token": "<|endoftext|>",
         "tokenizer_class": "PreTrainedTokenizerFast"}, indent=2) + "\n")

    ids = tokenizer.encode(text).ids[:POSITIONS]
    assert len(ids) == POSITIONS
    # Loaded anew: model.to(bfloat16) has rounded the rotary frequencies as well.
    model = type(model).from_pretrained(folder, dtype=torch.float32, attn_implementation="eager")
    logits = model(torch.tensor([ids])).logits[0]
    print(folder.name, "logits: deviation", float(logits.std()), "greatest", float(logits.max()))
    with open(folder / "golden.bin", "wb") as out:
        out.write(b"MICATNY1" + struct.pack("<2I", logits.shape[1], POSITIONS))
        out.write(torch.tensor(ids, dtype=torch.int32).numpy().tobytes())
        out.write(logits.numpy().astype("<f4").tobytes())


def main(destination):
    destination = pathlib.Path(destination)
    text = pathlib.Path(__file__).with_name("text.txt").read_text()
    qwen2 = transformers.Qwen2Config(vocab_size=304, tie_word_embeddings=True, rope_theta=1000.0, **SHAPE)
    make(destination / "tiny-qwen2", transformers.Qwen2ForCausalLM(qwen2), torch.float32, 1,
         QWEN2_PATTERN, True, text)
    scaling = dict(rope_type="llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
                   original_max_position_embeddings=64)
    llama3 = transformers.LlamaConfig(vocab_size=304, tie_word_embeddings=False, rope_theta=10000.0,
                                      rope_scaling=scaling, **SHAPE)
    make(destination / "tiny-llama3", transformers.LlamaForCausalLM(llama3), torch.bfloat16, 2,
         LLAMA3_PATTERN, False, text)


if __name__ == "__main__":
    main(*sys.argv[1:])
