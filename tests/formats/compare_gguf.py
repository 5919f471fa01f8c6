#!/usr/bin/env python3
"""Compares the GGUF importer with PyPI's gguf, bit for bit.

    compare_gguf.py IMPORT_TOOL

For each of the eleven tensor types a model with random blocks is written by gguf.GGUFWriter; floats
and grids of the importer must equal gguf.dequantize, query and key rows put back in order. The same
for the file that MICA_DEMO_GGUF names, if it is set. The tokenizer.json made of its keys must
be one that tokenizers takes and that gives each token the id of the file. Without the packages the
test is skipped (77).
"""
import json
import os
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
try:
    import gguf
    import numpy as np
    import tokenizers
except ImportError as error:
    print(f"{error.name} is not installed: skipped")
    sys.exit(77)

D, F, HEADS, KV_HEADS, LAYERS, VOCABULARY = 256, 512, 4, 2, 2, 32
TYPES = ["F32", "F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q4_K", "Q5_K", "Q6_K"]
GRIDS = {"Q4_0", "Q4_1", "Q5_0", "Q8_0", "Q4_K"}
# Byte offsets of the float16 numbers in a block, which are kept finite.
HALVES = {"F16": [0], "Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q8_0": [0],
          "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208]}


def random_blocks(random, type_name, rows, cols):
    """Raw rows of any bits but infinity and NaN; signs, subnormals and zeros included."""
    kind = gguf.GGMLQuantizationType[type_name]
    block_weights, block_bytes = gguf.GGML_QUANT_SIZES[kind]
    blocks = random.integers(0, 256, (rows, cols // block_weights, block_bytes), dtype=np.uint8)
    for offset in HALVES.get(type_name, []):
        blocks[..., offset + 1] &= 0xBB
    if type_name in ("F32", "BF16"):
        blocks[..., -1] &= 0xBF
    return blocks.reshape(rows, -1)


def write_model(path, type_name, architecture, random):
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_block_count(LAYERS)
    writer.add_context_length(128)
    writer.add_embedding_length(D)
    writer.add_feed_forward_length(F)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_rope_freq_base(1e6)
    add_tokenizer(writer)
    kv = D // HEADS * KV_HEADS
    matrices = {"attn_q": (D, D), "attn_k": (kv, D), "attn_v": (kv, D), "attn_output": (D, D),
                "ffn_gate": (F, D), "ffn_up": (F, D), "ffn_down": (D, F)}

    def add(name, rows, cols):
        data = random_blocks(random, type_name, rows, cols)
        writer.add_tensor(name, data, raw_dtype=gguf.GGMLQuantizationType[type_name])

    def add_vector(name, size):
        writer.add_tensor(name, random.standard_normal(size, dtype=np.float32))

    add("token_embd.weight", VOCABULARY, D)
    add("output.weight", VOCABULARY, D)
    add_vector("output_norm.weight", D)
    for layer in range(LAYERS):
        add_vector(f"blk.{layer}.attn_norm.weight", D)
        add_vector(f"blk.{layer}.ffn_norm.weight", D)
        for bias, size in {"q": D, "k": kv, "v": kv}.items():
            add_vector(f"blk.{layer}.attn_{bias}.bias", size)
        for name, (rows, cols) in matrices.items():
            add(f"blk.{layer}.{name}.weight", rows, cols)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def add_tokenizer(writer):
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("llama-bpe")
    tokens = [chr(ord("a") + i) for i in range(26)] + ["ab", "abc", "Ġ", "<s>", "</s>", "<tool>"]
    writer.add_token_list(tokens)
    writer.add_token_types([1] * 29 + [3, 3, 4])
    writer.add_token_merges(["a b", "ab c"])
    writer.add_bos_token_id(29)
    writer.add_eos_token_id(30)


def in_order(weights, name, heads):
    """Undoes what llama.cpp's converter does to query and key rows: [2, E / 2] -> [E / 2, 2]."""
    if not heads:
        return weights
    flat = weights.reshape(-1) if name.endswith("bias") else weights
    rows = flat.shape[0] // heads
    return flat.reshape(heads, rows // 2, 2, *flat.shape[1:]).swapaxes(1, 2).reshape(flat.shape)


def compare(tool, path):
    """Every tensor of a file; returns how many weights were compared."""
    model = json.loads(subprocess.check_output([tool, "model", path]))
    reader = gguf.GGUFReader(path)
    tensors = {tensor.name: tensor for tensor in reader.tensors}
    permuted = model["config"]["architecture"] == "llama"
    streams = {mode: subprocess.Popen([tool, mode, path], stdout=subprocess.PIPE)
               for mode in ("floats", "grid")}
    weights = 0
    for tensor in model["tensors"]:
        source = tensors.pop(tensor["source_name"])
        heads = 0
        if permuted and ".attn_q." in source.name:
            heads = model["config"]["heads"]
        if permuted and ".attn_k." in source.name:
            heads = model["config"]["kv_heads"]
        shape = tuple(int(n) for n in source.shape[::-1])
        expected = gguf.dequantize(source.data, source.tensor_type).reshape(shape)
        expected = in_order(expected, source.name, heads)
        expected = np.ascontiguousarray(expected, dtype=np.float32).reshape(-1).view(np.uint32)
        has_grid = source.tensor_type.name in GRIDS and len(source.shape) > 1
        assert (tensor["grid_bits"] > 0) == has_grid, tensor
        for mode in ("floats", "grid") if has_grid else ("floats",):
            found = np.frombuffer(streams[mode].stdout.read(4 * expected.size), np.uint32)
            assert np.array_equal(found, expected), f"{path}: {source.name} differs by {mode}"
        weights += expected.size
    assert set(tensors) <= {"rope_freqs.weight"}, f"not imported: {sorted(tensors)}"
    for stream in streams.values():
        assert stream.stdout.read() == b"" and stream.wait() == 0
    compare_tokenizer(model, reader)
    return weights


def compare_tokenizer(model, reader):
    tokens = reader.get_field("tokenizer.ggml.tokens").contents()
    tokenizer = tokenizers.Tokenizer.from_str(json.dumps(model["tokenizer_json"]))
    assert tokenizer.get_vocab(True) == {token: i for i, token in enumerate(tokens)}
    for token, kind in zip(tokens, reader.get_field("tokenizer.ggml.token_type").contents()):
        if kind == 3:
            assert tokenizer.encode(token, add_special_tokens=False).tokens == [token]


def compare_encoding(tool, path):
    """The small tokenizer of write_model, whose ids are known."""
    model = json.loads(subprocess.check_output([tool, "model", path]))
    tokenizer = tokenizers.Tokenizer.from_str(json.dumps(model["tokenizer_json"]))
    assert tokenizer.encode("abc dab<tool>").ids == [29, 27, 28, 3, 26, 31]
    assert tokenizer.decode([29, 27, 28, 3], skip_special_tokens=True) == "abc d"
    assert model["special_tokens"] == {"bos": 29, "eos": [30]}


def main():
    tool = sys.argv[1]
    random = np.random.default_rng(1)
    with tempfile.TemporaryDirectory() as folder:
        for architecture in ("llama", "qwen2"):
            for type_name in TYPES:
                path = os.path.join(folder, f"{architecture}-{type_name}.gguf")
                write_model(path, type_name, architecture, random)
                print(f"{architecture} {type_name}: {compare(tool, path)} weights equal")
        compare_encoding(tool, path)
    demo = os.environ.get("MICA_DEMO_GGUF")
    if demo:
        print(f"{os.path.basename(demo)}: {compare(tool, demo)} weights equal")


main()
