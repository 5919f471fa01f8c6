#!/usr/bin/env python3
"""Compares the safetensors importer with PyPI's safetensors.

    compare_safetensors.py IMPORT_TOOL

Models written by safetensors, in one file and in shards, must give the floats they were made of. Of
thousands of damaged headers the two readers must take the same ones, with the same tensors. Without
the packages the test is skipped (77).
"""
import json
import os
import struct
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
try:
    import numpy as np
    import safetensors
except ImportError as error:
    print(f"{error.name} is not installed: skipped")
    sys.exit(77)

D, F, HEADS, KV_HEADS, LAYERS, VOCABULARY = 32, 48, 4, 2, 2, 16
DAMAGED_FILES = 4000
# What safetensors refuses and Mica takes: a zero with a sign.
LOOSER = ["floating point `-0.0`"]


def shapes():
    kv = D // HEADS * KV_HEADS
    yield "model.embed_tokens.weight", (VOCABULARY, D)
    yield "model.norm.weight", (D,)
    yield "lm_head.weight", (VOCABULARY, D)
    for layer in range(LAYERS):
        prefix = f"model.layers.{layer}."
        yield prefix + "input_layernorm.weight", (D,)
        yield prefix + "post_attention_layernorm.weight", (D,)
        for name, rows in {"q": D, "k": kv, "v": kv, "o": D}.items():
            yield prefix + f"self_attn.{name}_proj.weight", (rows, D)
        yield prefix + "mlp.gate_proj.weight", (F, D)
        yield prefix + "mlp.up_proj.weight", (F, D)
        yield prefix + "mlp.down_proj.weight", (D, F)


def random_tensor(random, kind, shape):
    """The tensor as it is stored, and the floats it stands for."""
    if kind == "F32":
        values = random.standard_normal(shape, dtype=np.float32)
        data = values
    elif kind == "F16":
        data = random.standard_normal(shape).astype(np.float16)
        values = data.astype(np.float32)
    else:
        values = random.standard_normal(shape, dtype=np.float32).view(np.uint32)
        values &= np.uint32(0xFFFF0000)
        data = (values >> 16).astype(np.uint16)
        values = values.view(np.float32)
    dtype = {"F32": "float32", "F16": "float16", "BF16": "bfloat16"}[kind]
    return (dtype, shape, data), values


def serialize(tensors):
    """A file of (dtype, shape, array) by name."""
    specs = {name: safetensors.TensorSpec(dtype=dtype, shape=list(shape), data_ptr=data.ctypes.data,
                                          data_len=data.nbytes)
             for name, (dtype, shape, data) in tensors.items()}
    return safetensors.serialize(specs, {"format": "pt"})


def write_model(folder, kind, shards, random):
    """Returns the floats by name."""
    os.makedirs(folder)
    config = {"architectures": ["LlamaForCausalLM"], "hidden_size": D, "intermediate_size": F,
              "num_attention_heads": HEADS, "num_key_value_heads": KV_HEADS,
              "num_hidden_layers": LAYERS, "vocab_size": VOCABULARY, "max_position_embeddings": 64}
    with open(os.path.join(folder, "config.json"), "w") as file:
        json.dump(config, file)
    files = [{} for _ in range(shards)]
    floats, weight_map = {}, {}
    for i, (name, shape) in enumerate(shapes()):
        files[i % shards][name], floats[name] = random_tensor(random, kind, shape)
        weight_map[name] = f"model-{i % shards + 1:05}-of-{shards:05}.safetensors"
    for i, tensors in enumerate(files):
        name = f"model-{i + 1:05}-of-{shards:05}.safetensors" if shards > 1 else "model.safetensors"
        with open(os.path.join(folder, name), "wb") as file:
            file.write(serialize(tensors))
    if shards > 1:
        with open(os.path.join(folder, "model.safetensors.index.json"), "w") as file:
            json.dump({"metadata": {}, "weight_map": weight_map}, file)
    return floats


def compare_model(tool, folder, floats):
    model = json.loads(subprocess.check_output([tool, "model", folder]))
    found = np.frombuffer(subprocess.check_output([tool, "floats", folder]), np.float32)
    assert len(model["tensors"]) == len(floats)
    for tensor in model["tensors"]:
        expected = floats.pop(tensor["source_name"]).reshape(-1)
        equal = np.array_equal(found[:expected.size], expected)
        assert equal, f"{folder}: {tensor['source_name']} differs"
        found = found[expected.size:]
    assert found.size == 0


def damaged(random, header, data):
    """A file whose header has a few characters or numbers changed."""
    text = bytearray(header)
    for _ in range(random.integers(1, 3)):
        at = int(random.integers(0, len(text)))
        if random.random() < 0.5:
            numbers = [i for i in range(1, len(text))
                       if chr(text[i]).isdigit() and chr(text[i - 1]) in "[,"]
            at = int(random.choice(numbers)) if numbers else at
        choices = b'{}[]",:0123456789-.e FUIB' if random.random() < 0.8 else bytes(range(256))
        text[at:at + int(random.integers(0, 2))] = bytes([random.choice(list(choices))])
    length = len(text) + (int(random.integers(-2, 3)) if random.random() < 0.1 else 0)
    return struct.pack("<Q", max(length, 0)) + bytes(text) + data


def compare_damaged(tool, folder, random):
    whole = serialize({"a": ("float32", (2, 3), np.arange(6, dtype=np.uint32)),
                       "b": ("float16", (4,), np.arange(4, dtype=np.uint16)),
                       "c": ("bfloat16", (), np.arange(1, dtype=np.uint16))})
    size = struct.unpack("<Q", whole[:8])[0]
    header, data = whole[8:8 + size].rstrip(), whole[8 + size:]
    files = [damaged(random, header, data) for _ in range(DAMAGED_FILES)]
    paths = [os.path.join(folder, str(i)) for i in range(len(files))]
    for path, content in zip(paths, files):
        with open(path, "wb") as file:
            file.write(content)
    lines = subprocess.check_output([tool, "safetensors", *paths]).splitlines()
    both = 0
    for path, content, line in zip(paths, files, lines):
        result = json.loads(line)
        try:
            expected = dict(safetensors.deserialize(content))
        except safetensors.SafetensorError as error:
            if not any(reason in str(error) for reason in LOOSER):
                assert "refused" in result, f"{content!r} is refused by safetensors: {error}"
            continue
        assert "refused" not in result, f"{content!r}: {result['refused']}"
        assert expected.keys() == result["tensors"].keys(), content
        for name, tensor in expected.items():
            found = result["tensors"][name]
            assert found["shape"] == list(tensor["shape"]), content
            assert found["dtype"] == tensor["dtype"], content
            data = content[found["begin"]:found["begin"] + found["bytes"]]
            assert data == bytes(tensor["data"]), content
        both += 1
    print(f"{len(files)} damaged files: {both} taken by both")
    assert both > 50


def main():
    tool = sys.argv[1]
    random = np.random.default_rng(1)
    with tempfile.TemporaryDirectory() as folder:
        for kind in ("F32", "F16", "BF16"):
            for shards in (1, 3):
                path = os.path.join(folder, f"{kind}-{shards}")
                compare_model(tool, path, write_model(path, kind, shards, random))
                print(f"{kind} in {shards} files: equal")
        compare_damaged(tool, folder, random)


main()
