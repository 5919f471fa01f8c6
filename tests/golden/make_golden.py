#!/usr/bin/env python3
"""Writes smollm2-135m.golden: what transformers computes in float32 from the demo model's weights.

    make_golden.py SmolLM2-135M-Instruct.Q4_1.gguf smollm2-135m.golden

Needs torch, transformers and gguf; not run by the tests. The quantized tensors are dequantized by the
gguf package and put into a LlamaForCausalLM in float32, so that the golden figures hold for any program
that runs the same weights exactly. Token ids are stored, so checking needs no tokenizer.

Layout, little-endian:
  "MICAGLD1", u32 vocabulary, positions P, top N, prompts, steps S
  i32 ids [P]; f32 logsumexp [P]; i32 top_ids [P, N]; f32 top_logits [P, N]
  for each prompt: u32 size, steps; i32 ids [size]; i32 continuation [steps]; f32 gap [steps]
A continuation ends after S steps or with the end token. gap: the greatest logit less the second, at
each step. The prompts are questions in the model's own chat template, system prompt included, as
`mica chat` asks them.
"""

import pathlib
import struct
import sys

import gguf
import numpy as np
import torch
import transformers

POSITIONS, TOP, STEPS = 512, 64, 32

QUESTIONS = [
    "What is the capital of Italy?",
    "Name three animals that live in the sea.",
    "Explain in one sentence why the sky is blue.",
    "Write a short poem about rain.",
    "How many days are there in a week?",
    "Give me a tip for learning a new language.",
    "What does a carpenter do?",
    "Translate 'good morning' into Spanish.",
    "Why do we need sleep?",
    "What is 7 times 8?",
    "Which planet is closest to the sun?",
    "List the four seasons.",
    "What is the opposite of 'hot'?",
    "How do I boil an egg?",
    "Who wrote Romeo and Juliet?",
    "What is photosynthesis?",
    "Write a sentence about a dog.",
    "What colour do you get when you mix blue and yellow?",
    "Give me a synonym for 'happy'.",
    "What is a computer?",
]


def undo_rope_permutation(weight, heads):
    """GGUF interleaves the two halves of each head of Q and K; Hugging Face keeps them apart."""
    rows, cols = weight.shape
    pairs = weight.reshape(heads, rows // heads // 2, 2, cols)
    return pairs.swapaxes(1, 2).reshape(rows, cols)


def load(path):
    reader = gguf.GGUFReader(path)
    field = lambda key: reader.fields["llama." + key].contents()
    heads, kv_heads = field("attention.head_count"), field("attention.head_count_kv")
    tensors = {t.name: gguf.quants.dequantize(t.data, t.tensor_type) for t in reader.tensors}
    config = transformers.LlamaConfig(
        vocab_size=tensors["token_embd.weight"].shape[0],
        hidden_size=field("embedding_length"),
        intermediate_size=field("feed_forward_length"),
        num_hidden_layers=field("block_count"),
        num_attention_heads=heads,
        num_key_value_heads=kv_heads,
        max_position_embeddings=field("context_length"),
        rms_norm_eps=field("attention.layer_norm_rms_epsilon"),
        rope_theta=field("rope.freq_base"),
        tie_word_embeddings="output.weight" not in tensors,
        attn_implementation="eager",
    )
    names = {
        "attn_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm",
        "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj",
        "attn_output": "self_attn.o_proj", "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj",
        "ffn_down": "mlp.down_proj",
    }
    state = {
        "model.embed_tokens.weight": tensors["token_embd.weight"],
        "model.norm.weight": tensors["output_norm.weight"],
        "lm_head.weight": tensors.get("output.weight", tensors["token_embd.weight"]),
    }
    for name, weight in tensors.items():
        if not name.startswith("blk."):
            continue
        _, layer, kind, _ = name.split(".")
        if kind == "attn_q":
            weight = undo_rope_permutation(weight, heads)
        if kind == "attn_k":
            weight = undo_rope_permutation(weight, kv_heads)
        state[f"model.layers.{layer}.{names[kind]}.weight"] = weight
    model = transformers.LlamaForCausalLM(config).float().eval()
    model.load_state_dict({k: torch.from_numpy(np.array(v, dtype=np.float32))
                           for k, v in state.items()})
    return model


@torch.no_grad()
def continue_greedily(model, ids, end):
    tokens, gaps, cache, step = [], [], None, torch.tensor([ids])
    for _ in range(STEPS):
        out = model(step, past_key_values=cache, use_cache=True)
        cache = out.past_key_values
        best = out.logits[0, -1].topk(2)
        tokens.append(int(best.indices[0]))
        gaps.append(float(best.values[0] - best.values[1]))
        step = best.indices[:1][None]
        if tokens[-1] == end:
            break
    return tokens, gaps


@torch.no_grad()
def main(source, destination):
    source = pathlib.Path(source)
    tokenizer = transformers.AutoTokenizer.from_pretrained(source.parent, gguf_file=source.name)
    encode = lambda text: tokenizer(text, add_special_tokens=False)["input_ids"]
    model = load(str(source))
    text = pathlib.Path(__file__).with_name("text.txt").read_text()
    ids = encode(text)
    assert len(ids) >= POSITIONS, len(ids)
    ids = ids[:POSITIONS]
    logits = model(torch.tensor([ids])).logits[0]
    loss = torch.nn.functional.cross_entropy(logits[:-1], torch.tensor(ids[1:]))
    print("perplexity of the text:", float(loss.exp()))
    top = logits.topk(TOP)
    with open(destination, "wb") as out:
        out.write(b"MICAGLD1" + struct.pack("<5I", logits.shape[1], POSITIONS, TOP, len(QUESTIONS), STEPS))
        out.write(np.array(ids, "<i4").tobytes())
        out.write(logits.logsumexp(-1).numpy().astype("<f4").tobytes())
        out.write(top.indices.numpy().astype("<i4").tobytes())
        out.write(top.values.numpy().astype("<f4").tobytes())
        for question in QUESTIONS:
            prompt = tokenizer.apply_chat_template([{"role": "user", "content": question}],
                                                   add_generation_prompt=True, tokenize=False)
            prompt_ids = encode(prompt)
            tokens, gaps = continue_greedily(model, prompt_ids, tokenizer.eos_token_id)
            print(repr(prompt), "->", repr(tokenizer.decode(tokens)), f"least gap {min(gaps):.4f}")
            out.write(struct.pack("<2I", len(prompt_ids), len(tokens)))
            out.write(np.array(prompt_ids, "<i4").tobytes() + np.array(tokens, "<i4").tobytes())
            out.write(np.array(gaps, "<f4").tobytes())


if __name__ == "__main__":
    main(*sys.argv[1:])
