"""Writes GGUF files of well-known shapes with random Q4_0 weights: for speed, not for sense.

    synthetic_gguf.py 1b|3b|8b FILE.gguf

The shapes are those of Llama 3.2 1B, 3.2 3B and 3.1 8B, the same as of `mica bench --synthetic`. All
matrices are Q4_0, embedding and head too; products keep the size of their input, so that nothing
overflows. Needs the packages `gguf` and `numpy`.
"""
import os
import sys

import gguf
import numpy as np

sys.path.append(os.path.join(os.path.dirname(os.path.abspath(__file__)), "../tests/cli"))
from tiny_gguf import byte_characters  # noqa: E402

VOCABULARY = 128256
HEAD_SIZE = {"1b": 64, "3b": 128, "8b": 128}
#         layers, D, feed-forward, heads, kv heads, head of its own
SHAPES = {
    "1b": (16, 2048, 8192, 32, 8, False),
    "3b": (28, 3072, 8192, 24, 8, False),
    "8b": (32, 4096, 14336, 32, 8, True),
}
BLOCK = 32            # weights
BLOCK_BYTES = 2 + 16  # an f16 scale, 4-bit codes
Q4_0 = gguf.GGMLQuantizationType.Q4_0


def tensors(size):
    """(name, rows, cols); a row of norms has rows 0."""
    layers, d, feed_forward, heads, kv_heads, own_head = SHAPES[size]
    q, kv = heads * HEAD_SIZE[size], kv_heads * HEAD_SIZE[size]
    yield "token_embd.weight", VOCABULARY, d
    for layer in range(layers):
        prefix = f"blk.{layer}."
        yield prefix + "attn_norm.weight", 0, d
        yield prefix + "attn_q.weight", q, d
        yield prefix + "attn_k.weight", kv, d
        yield prefix + "attn_v.weight", kv, d
        yield prefix + "attn_output.weight", d, q
        yield prefix + "ffn_norm.weight", 0, d
        yield prefix + "ffn_gate.weight", feed_forward, d
        yield prefix + "ffn_up.weight", feed_forward, d
        yield prefix + "ffn_down.weight", d, feed_forward
    yield "output_norm.weight", 0, d
    if own_head:
        yield "output.weight", VOCABULARY, d


def add_metadata(writer, size):
    layers, d, feed_forward, heads, kv_heads, _ = SHAPES[size]
    writer.add_name(f"synthetic {size}")
    writer.add_block_count(layers)
    writer.add_context_length(131072)
    writer.add_embedding_length(d)
    writer.add_feed_forward_length(feed_forward)
    writer.add_head_count(heads)
    writer.add_head_count_kv(kv_heads)
    writer.add_rope_freq_base(500000.0)
    writer.add_rope_dimension_count(HEAD_SIZE[size])
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(VOCABULARY)
    tokens = ["<|begin_of_text|>", "<|end_of_text|>", *byte_characters(), "\u0120t"]
    tokens += [f"unused{i:06}" for i in range(VOCABULARY - len(tokens))]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("llama-bpe")
    writer.add_token_list(tokens)
    writer.add_token_types([3, 3] + [1] * (len(tokens) - 2))
    writer.add_token_merges(["\u0120 t"])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(1)


def random_matrix(random, rows, cols):
    """Q4_0 blocks of codes of any value and one scale: weights of variance 1 / cols."""
    code_deviation = np.sqrt((16 ** 2 - 1) / 12)
    blocks = np.empty((rows, cols // BLOCK, BLOCK_BYTES), np.uint8)
    blocks[:, :, :2] = np.frombuffer(np.float16(cols ** -0.5 / code_deviation).tobytes(), np.uint8)
    blocks[:, :, 2:] = np.frombuffer(random.bytes(rows * cols // 2), np.uint8).reshape(
        rows, cols // BLOCK, BLOCK // 2)
    return blocks.reshape(rows, -1)


def write(size, path):
    random = np.random.default_rng(1)
    writer = gguf.GGUFWriter(path, "llama")
    add_metadata(writer, size)
    for name, rows, cols in tensors(size):
        if rows == 0:
            writer.add_tensor_info(name, (cols,), np.dtype(np.float32), cols * 4)
        else:
            row_bytes = cols // BLOCK * BLOCK_BYTES
            writer.add_tensor_info(name, (rows, row_bytes), np.dtype(np.uint8), rows * row_bytes, Q4_0)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    for name, rows, cols in tensors(size):
        writer.write_tensor_data(np.ones(cols, np.float32) if rows == 0
                                 else random_matrix(random, rows, cols))
    writer.close()


if __name__ == "__main__":
    if len(sys.argv) != 3 or sys.argv[1] not in SHAPES:
        sys.exit(__doc__)
    write(sys.argv[1], sys.argv[2])
