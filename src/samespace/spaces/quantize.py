"""Narrower weights for an ONNX graph: int8 products, int8 weights, fp16 weights.

An int8 tensor X is stored as `X_quantized` with `X_scale`; `checkpoint.dequantised` reads both back.
"""

import logging
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import QuantType, quantize_dynamic

LARGE = 1024
"""Bytes; smaller tensors (biases, norms) are left as they are."""


def to_int8(model: onnx.ModelProto, scratch: Path) -> onnx.ModelProto:
    """Matrix products with signed int8 weights, per channel, activations quantised as they come; the rest fp16."""
    source, target = scratch / "fp32.onnx", scratch / "int8.onnx"
    onnx.save(model, source)
    logging.getLogger().setLevel(logging.ERROR)  # the quantiser recommends its own preprocessing, at length
    quantize_dynamic(source, target, op_types_to_quantize=["MatMul", "Gemm"], per_channel=True, weight_type=QuantType.QInt8)
    narrow = onnx.load(target)
    embeddings_to_int8(narrow)
    return to_fp16(narrow, scratch)


def to_int8_weights(model: onnx.ModelProto, scratch: Path) -> onnx.ModelProto:
    """Weights of products and dense convolutions as int8, per channel, widened when the session starts; the rest fp16."""
    narrow = onnx.ModelProto()
    narrow.CopyFrom(model)
    embeddings_to_int8(narrow)
    kinds = {
        node.input[1]: node.op_type for node in narrow.graph.node if node.op_type in ("MatMul", "Gemm", "Conv") and dense(node)
    }
    widening = []
    for initializer in [i for i in narrow.graph.initializer if i.name in kinds and fits_fp16(i)]:
        name, array = initializer.name, numpy_helper.to_array(initializer)
        shared = tuple(range(1, array.ndim)) if kinds[name] == "Conv" else 0  # what has one scale
        narrow.graph.initializer.remove(initializer)
        narrow.graph.initializer.extend(quantize(array, name, shared))
        widening += [
            helper.make_node("Cast", [f"{name}_quantized"], [f"{name}/wide"], to=TensorProto.FLOAT),
            helper.make_node("Mul", [f"{name}/wide", f"{name}_scale"], [name]),
        ]
    nodes = [*widening, *narrow.graph.node]
    del narrow.graph.node[:]
    narrow.graph.node.extend(nodes)
    return to_fp16(narrow, scratch)


def dense(node: onnx.NodeProto) -> bool:
    """Not a depthwise convolution, whose few weights are better kept."""
    return not any(a.name == "group" and a.i > 1 for a in node.attribute)


def quantize(array: np.ndarray, name: str, axis: int | tuple[int, ...]) -> list[onnx.TensorProto]:
    """`X_quantized` (int8) and `X_scale`, one scale shared over `axis`: X ≈ X_quantized · X_scale."""
    scale = np.abs(array).max(axis=axis, keepdims=True) / 127 + np.float32(1e-12)
    whole = (array / scale).round().astype(np.int8)
    return [numpy_helper.from_array(whole, f"{name}_quantized"), numpy_helper.from_array(scale, f"{name}_scale")]


def embeddings_to_int8(model: onnx.ModelProto) -> None:
    """Tables that are looked up by token, as int8 with one scale a row; looked-up rows are widened."""
    tables = {i.name: i for i in model.graph.initializer if len(i.dims) == 2 and i.dims[0] > 1000}
    nodes = []
    for node in model.graph.node:
        if node.op_type != "Gather" or node.input[0] not in tables:
            nodes.append(node)
            continue
        table, ids, out = tables[node.input[0]], node.input[1], node.output[0]
        q, s = f"{table.name}_quantized", f"{table.name}_scale"
        model.graph.initializer.remove(table)
        model.graph.initializer.extend(quantize(numpy_helper.to_array(table), table.name, axis=1))
        nodes += [
            helper.make_node("Gather", [q, ids], [f"{out}/int8"]),
            helper.make_node("Cast", [f"{out}/int8"], [f"{out}/fp32"], to=TensorProto.FLOAT),
            helper.make_node("Gather", [s, ids], [f"{out}/scale"]),
            helper.make_node("Mul", [f"{out}/fp32", f"{out}/scale"], [out]),
        ]
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def to_fp16(model: onnx.ModelProto, scratch: Path) -> onnx.ModelProto:
    """Weights stored as fp16 and widened when the session starts; every product is still computed in fp32."""
    half = onnx.ModelProto()
    half.CopyFrom(model)
    casts = []
    for initializer in half.graph.initializer:
        if not fits_fp16(initializer):
            continue
        name, wide = initializer.name, f"{initializer.name}/fp32"
        initializer.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(initializer).astype(np.float16), name))
        for node in half.graph.node:
            for i, used in enumerate(node.input):
                if used == name:
                    node.input[i] = wide
        casts.append(helper.make_node("Cast", [name], [wide], to=TensorProto.FLOAT))
    nodes = [*casts, *half.graph.node]
    del half.graph.node[:]
    half.graph.node.extend(nodes)
    return half


def fits_fp16(initializer: onnx.TensorProto) -> bool:
    """Large fp32 weights do; scales of int8 weights are kept exact, and a mask's −3e38 has no half."""
    if initializer.data_type != TensorProto.FLOAT or initializer.name.endswith("_scale"):
        return False
    array = numpy_helper.to_array(initializer)
    return array.nbytes > LARGE and bool(np.abs(array).max() <= np.finfo(np.float16).max)


NARROW = {"int8": to_int8, "int8-weights": to_int8_weights, "fp16": to_fp16}
