"""Writes a tiny random Llama as GGUF (a few tens of KB), for tests of the program.

Needs the packages `gguf` and `numpy`.
"""
import gguf
import numpy as np

TEMPLATE = ("{% for m in messages %}<|start|>{{ m['role'] }}\n{{ m['content'] }}<|end|>\n"
            "{% endfor %}{% if add_generation_prompt %}<|start|>assistant\n{% endif %}")


def byte_characters():
    """The byte-level alphabet of GPT-2: a printable character for every byte."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [b for b in range(256) if b not in plain]
    table = {b: chr(b) for b in plain}
    table.update({b: chr(256 + i) for i, b in enumerate(others)})
    return [table[b] for b in range(256)]


def write(path, architecture="llama", tokenizer="gpt2", pre="smollm", context=128, layers=2,
          weight_type=gguf.GGMLQuantizationType.Q4_0):
    """Hidden size 64, 4 heads, 2 kv heads, feed-forward 96, vocabulary 260."""
    random = np.random.default_rng(1)
    tokens = ["<|endoftext|>", "<|start|>", "<|end|>", *byte_characters(), "\u0120t"]
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_name("tiny")
    writer.add_block_count(layers)
    writer.add_context_length(context)
    writer.add_embedding_length(64)
    writer.add_feed_forward_length(96)
    writer.add_head_count(4)
    writer.add_head_count_kv(2)
    writer.add_rope_freq_base(10000.0)
    writer.add_rope_dimension_count(16)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model(tokenizer)
    writer.add_tokenizer_pre(pre)
    writer.add_token_list(tokens)
    writer.add_token_types([3, 3, 3] + [1] * (len(tokens) - 3))
    writer.add_token_merges(["\u0120 t"])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_add_bos_token(False)
    writer.add_chat_template(TEMPLATE)

    def matrix(name, rows, cols):
        weights = random.normal(0, cols ** -0.5, (rows, cols)).astype(np.float32)
        data = gguf.quants.quantize(weights, weight_type)
        writer.add_tensor(name, data, raw_dtype=weight_type)

    def ones(name, size):
        writer.add_tensor(name, np.ones(size, np.float32))

    matrix("token_embd.weight", len(tokens), 64)
    for layer in range(layers):
        prefix = f"blk.{layer}."
        ones(prefix + "attn_norm.weight", 64)
        matrix(prefix + "attn_q.weight", 64, 64)
        matrix(prefix + "attn_k.weight", 32, 64)
        matrix(prefix + "attn_v.weight", 32, 64)
        matrix(prefix + "attn_output.weight", 64, 64)
        ones(prefix + "ffn_norm.weight", 64)
        matrix(prefix + "ffn_gate.weight", 96, 64)
        matrix(prefix + "ffn_up.weight", 96, 64)
        matrix(prefix + "ffn_down.weight", 64, 96)
    ones("output_norm.weight", 64)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
