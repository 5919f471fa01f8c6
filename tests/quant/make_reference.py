"""Makes a reference to measure quantizations against from a model that only exists quantized.

    make_reference.py SOURCE.gguf REFERENCE.gguf [--seed 1]

Every quantized weight becomes a float: its value plus uniform noise of half a step of its own group in
either direction, so that the grid of the source is not found again for free. Matrices are written as F16,
the rest as it is. Needs the packages gguf and numpy.
"""
import argparse

import gguf
import numpy as np
from gguf import GGMLQuantizationType as T


def steps(data, kind):
    """The distance of neighbouring values, [blocks, groups of a block]."""
    blocks = data.reshape(-1, gguf.GGML_QUANT_SIZES[kind][1])

    def half(at):
        return np.ascontiguousarray(blocks[:, at:at + 2]).view(np.float16).astype(np.float32)

    if kind in (T.Q4_0, T.Q4_1, T.Q5_0, T.Q5_1, T.Q8_0):
        return half(0)
    if kind in (T.Q4_K, T.Q5_K):
        scales, _ = gguf.quants.Q4_K.get_scale_min(blocks[:, 4:16])
        return half(0) * scales.reshape(-1, 8).astype(np.float32)
    if kind == T.Q6_K:
        return half(208) * blocks[:, 192:208].view(np.int8).astype(np.float32)
    raise SystemExit(f"expected a type known here, found {kind.name}")


def floats(tensor, random):
    kind = tensor.tensor_type
    values = gguf.quants.dequantize(tensor.data, kind)
    if kind in (T.F32, T.F16, T.BF16):
        return values
    step = np.abs(steps(tensor.data, kind))
    grouped = values.reshape(step.shape[0], step.shape[1], -1)
    noise = random.random(grouped.shape, np.float32) - np.float32(0.5)
    return (grouped + noise * step[:, :, None]).reshape(values.shape)


def copy_settings(reader, writer):
    for name, field in reader.fields.items():
        if name.startswith("GGUF.") or name in ("general.architecture", "general.file_type"):
            continue
        kind = field.types[0]
        inner = field.types[-1] if kind == gguf.GGUFValueType.ARRAY else None
        writer.add_key_value(name, field.contents(), kind, sub_type=inner)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source")
    parser.add_argument("reference")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    reader = gguf.GGUFReader(args.source)
    random = np.random.default_rng(args.seed)
    writer = gguf.GGUFWriter(args.reference, reader.fields["general.architecture"].contents())
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16)
    copy_settings(reader, writer)
    for tensor in reader.tensors:
        values = floats(tensor, random)
        is_matrix = len(tensor.shape) > 1
        writer.add_tensor(tensor.name, values.astype(np.float16 if is_matrix else np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


if __name__ == "__main__":
    main()
