#!/usr/bin/env python3
"""Writes tests/data/architectures: a random model of every architecture, small enough to commit, as
config.json and model.safetensors (bf16), each with the logits that transformers computes from them in
float32. The test adds a tokenizer of 259 tokens.

    make_architectures.py tests/data/architectures [NAME...]

Needs torch, transformers and safetensors; not run by the tests. Head sizes, ratios of heads and the
vocabulary are odd on purpose; windows are shorter than the texts and original contexts too, so that
masks and rotary scalings show. Weights are spread as in make_tiny.py. Some configurations are written
in the old spelling (rope_theta, rope_scaling, type), which checkpoints still have, before transformers
reads them for the logits.

golden.bin, little-endian: "MICATNY2", u32 vocabulary V, sequences S; of each sequence u32 positions P,
context; i32 ids [P]; then P rows of f32 scale, i16 [V]: logits are scale * the integer. The context is
what a session must be opened with: rotary scalings depend on it.
"""

import json
import pathlib
import struct
import sys

import numpy
import torch
import transformers

VOCABULARY = 263
POSITIONS = 100
CONTEXT = 128

SHAPE = dict(vocab_size=VOCABULARY, max_position_embeddings=CONTEXT, attn_implementation="eager",
             bos_token_id=1, eos_token_id=2, pad_token_id=0)
RMS = dict(rms_norm_eps=1e-5)


def old_rope(config, **members):
    """The same rotary settings in the spelling of transformers 4."""
    del config["rope_parameters"]
    config.update(members)


def mistral():
    config = transformers.MistralConfig(
        hidden_size=64, intermediate_size=64, num_hidden_layers=2, num_attention_heads=6, num_key_value_heads=2,
        head_dim=24, sliding_window=21, rope_parameters=dict(rope_type="linear", factor=2.5, rope_theta=500.0),
        tie_word_embeddings=False, **SHAPE, **RMS)
    return config, lambda c: old_rope(c, rope_theta=500.0, rope_scaling=dict(type="linear", factor=2.5))


def qwen2():
    config = transformers.Qwen2Config(
        hidden_size=96, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
        use_sliding_window=True, sliding_window=17, max_window_layers=1, tie_word_embeddings=True,
        rope_parameters=dict(rope_type="yarn", factor=4.0, original_max_position_embeddings=32, rope_theta=1000.0),
        **SHAPE, **RMS)

    def spell(c):  # layer_types follow from max_window_layers
        del c["layer_types"]
        old_rope(c, rope_theta=1000.0,
                 rope_scaling=dict(type="yarn", factor=4.0, original_max_position_embeddings=32))
    return config, spell


def qwen3():
    shape = {**SHAPE, "max_position_embeddings": POSITIONS // 2}
    return transformers.Qwen3Config(
        hidden_size=64, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
        head_dim=40, tie_word_embeddings=True,
        rope_parameters=dict(rope_type="dynamic", factor=2.0, rope_theta=300.0), **shape, **RMS), None


def gemma():
    config = transformers.GemmaConfig(
        hidden_size=64, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=1,
        head_dim=24, rope_parameters=dict(rope_type="default", rope_theta=1000.0), **SHAPE, **RMS)

    def spell(c):  # as the first files have it
        c["hidden_act"] = "gelu"
        old_rope(c, rope_theta=1000.0)
    return config, spell


def gemma2():
    config = transformers.Gemma2Config(
        hidden_size=64, intermediate_size=64, num_hidden_layers=3, num_attention_heads=4, num_key_value_heads=2,
        head_dim=24, sliding_window=19, query_pre_attn_scalar=20, attn_logit_softcapping=1.5,
        final_logit_softcapping=4.0, rope_parameters=dict(rope_type="default", rope_theta=1000.0), **SHAPE, **RMS)

    def spell(c):
        del c["layer_types"]
        del c["tie_word_embeddings"]
        old_rope(c, rope_theta=1000.0)
    return config, spell


def gemma3():
    config = transformers.Gemma3TextConfig(
        hidden_size=64, intermediate_size=64, num_hidden_layers=4, num_attention_heads=4, num_key_value_heads=1,
        head_dim=40, sliding_window=15, sliding_window_pattern=3, query_pre_attn_scalar=50,
        rope_parameters=dict(full_attention=dict(rope_type="linear", factor=4.0, rope_theta=2000.0),
                             sliding_attention=dict(rope_type="default", rope_theta=50.0)), **SHAPE, **RMS)

    def spell(c):
        del c["layer_types"]
        c["sliding_window_pattern"] = 3
        old_rope(c, rope_theta=2000.0, rope_local_base_freq=50.0, rope_scaling=dict(rope_type="linear", factor=4.0))
    return config, spell


def phi3():
    factors = dict(short_factor=[1 + 0.05 * i for i in range(9)], long_factor=[1 + 0.8 * i for i in range(9)])
    config = transformers.Phi3Config(
        hidden_size=96, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
        sliding_window=70, original_max_position_embeddings=32, tie_word_embeddings=False,
        rope_parameters=dict(rope_type="longrope", rope_theta=400.0, partial_rotary_factor=0.75, **factors),
        **SHAPE, **RMS)
    return config, lambda c: old_rope(c, rope_theta=400.0, partial_rotary_factor=0.75,
                                      rope_scaling=dict(type="longrope", **factors))


def smollm3():
    return transformers.SmolLM3Config(
        hidden_size=96, intermediate_size=64, num_hidden_layers=3, num_attention_heads=4, num_key_value_heads=1,
        no_rope_layer_interval=2, use_sliding_window=False, tie_word_embeddings=True,
        rope_parameters=dict(rope_type="yarn", factor=3.0, original_max_position_embeddings=40, rope_theta=800.0,
                             attention_factor=1.25, beta_fast=4.0, beta_slow=0.5, truncate=False),
        **SHAPE, **RMS), None


def olmo2():
    return transformers.Olmo2Config(
        hidden_size=96, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
        tie_word_embeddings=False, rope_parameters=dict(rope_type="default", rope_theta=1000.0), **SHAPE, **RMS), None


def granite():
    return transformers.GraniteConfig(
        hidden_size=96, intermediate_size=64, num_hidden_layers=2, num_attention_heads=6, num_key_value_heads=2,
        embedding_multiplier=3.0, residual_multiplier=0.4, attention_multiplier=0.11, logits_scaling=1.7,
        tie_word_embeddings=True,
        rope_parameters=dict(rope_type="llama3", factor=4.0, low_freq_factor=1.0, high_freq_factor=4.0,
                             original_max_position_embeddings=48, rope_theta=1000.0), **SHAPE, **RMS), None


def minicpm():
    """transformers has no MiniCPM; Granite computes the same from other names."""
    config = transformers.GraniteConfig(
        hidden_size=96, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=4,
        embedding_multiplier=4.0, residual_multiplier=1.4 / 2 ** 0.5, attention_multiplier=24 ** -0.5,
        logits_scaling=1.5, tie_word_embeddings=True, rope_parameters=dict(rope_type="default", rope_theta=1000.0),
        **SHAPE, **RMS)

    def spell(c):
        for name in ("embedding_multiplier", "residual_multiplier", "attention_multiplier", "logits_scaling",
                     "tie_word_embeddings"):
            del c[name]
        old_rope(c, rope_theta=1000.0, rope_scaling=None)
        c.update(architectures=["MiniCPMForCausalLM"], model_type="minicpm", scale_emb=4, scale_depth=1.4,
                 dim_model_base=64, auto_map={"AutoModelForCausalLM": "modeling_minicpm.MiniCPMForCausalLM"})
    return config, spell


def starcoder2():
    config = transformers.Starcoder2Config(
        hidden_size=96, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
        sliding_window=23, norm_epsilon=1e-5, use_bias=True,
        rope_parameters=dict(rope_type="default", rope_theta=1000.0), **SHAPE)

    def spell(c):
        del c["tie_word_embeddings"]
        old_rope(c, rope_theta=1000.0)
    return config, spell


def gptneox():
    config = transformers.GPTNeoXConfig(
        hidden_size=96, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4, layer_norm_eps=1e-5,
        hidden_act="gelu", tie_word_embeddings=False,
        rope_parameters=dict(rope_type="default", rope_theta=1000.0, partial_rotary_factor=0.5), **SHAPE)
    return config, lambda c: old_rope(c, rotary_pct=0.5, rotary_emb_base=1000)


def gptneox_serial():
    return transformers.GPTNeoXConfig(
        hidden_size=96, intermediate_size=96, num_hidden_layers=1, num_attention_heads=4, layer_norm_eps=1e-5,
        hidden_act="gelu", tie_word_embeddings=False, use_parallel_residual=False,
        rope_parameters=dict(rope_type="default", rope_theta=1000.0, partial_rotary_factor=0.25), **SHAPE), None


ARCHITECTURES = [mistral, qwen2, qwen3, gemma2, gemma3, phi3, smollm3, olmo2, granite, minicpm, starcoder2,
                 gptneox, gptneox_serial, gemma]


def spread(model, seed):
    """Random weights whose effects are visible: norms around 1, biases and matrices of some size."""
    generator = torch.Generator().manual_seed(seed)
    norm = 0 if "Gemma" in type(model).__name__ else 1  # Gemma adds the 1 itself
    for name, parameter in model.named_parameters():
        noise = torch.randn(parameter.shape, generator=generator)
        if name.endswith("bias"):
            parameter.data = 0.4 * noise
        elif "norm" in name:
            parameter.data = norm + 0.3 * noise
        else:
            parameter.data = noise * (1.5 / parameter.shape[1] ** 0.5)


def write_sequence(out, model, ids, context):
    logits = model(torch.tensor([ids])).logits[0].numpy()
    out.write(struct.pack("<2I", len(ids), context) + numpy.array(ids, "<i4").tobytes())
    for row in logits:
        scale = numpy.float32(numpy.abs(row).max() / 32767)
        out.write(struct.pack("<f", scale) + numpy.rint(row / scale).astype("<i2").tobytes())
    return logits


@torch.no_grad()
def make(folder, describe, seed):
    config, spell = describe()
    folder.mkdir(parents=True, exist_ok=True)
    model = transformers.AutoModelForCausalLM.from_config(config)
    spread(model, seed)
    model.to(torch.bfloat16).save_pretrained(folder)
    (folder / "generation_config.json").unlink(missing_ok=True)
    text = (folder / "config.json").read_text()
    if spell:
        members = json.loads(text)
        spell(members)
        text = json.dumps(members, indent=2) + "\n"
    if describe is not minicpm:
        (folder / "config.json").write_text(text)
    # Loaded anew: model.to(bfloat16) has rounded the rotary frequencies as well.
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32,
                                                              attn_implementation="eager")
    (folder / "config.json").write_text(text)

    generator = numpy.random.default_rng(seed)
    sequences = [(POSITIONS, POSITIONS if describe is qwen3 else CONTEXT)]
    if describe is phi3:  # within the original context other factors count
        sequences.append((32, 32))
    with open(folder / "golden.bin", "wb") as out:
        out.write(b"MICATNY2" + struct.pack("<2I", VOCABULARY, len(sequences)))
        for positions, context in sequences:
            ids = generator.integers(3, VOCABULARY, positions).tolist()
            logits = write_sequence(out, model, ids, context)
    size = sum(file.stat().st_size for file in folder.iterdir())
    print(f"{folder.name}: {size} bytes, logits: deviation {logits.std():.2f} greatest {abs(logits).max():.2f}")


def main(destination, *names):
    for seed, describe in enumerate(ARCHITECTURES, 1):
        if not names or describe.__name__ in names:
            make(pathlib.Path(destination) / describe.__name__, describe, seed)


if __name__ == "__main__":
    main(*sys.argv[1:])
