"""Narrower numbers for an ONNX graph: int8 products, int8 weights, fp16 weights; and for accelerators, everything in fp16.

An int8 tensor X is stored as `X_quantized` with `X_scale`; `tensors.dequantize` reads both back.
"""

import logging
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import QuantType, quantize_dynamic
from onnxruntime.transformers.float16 import convert_float_to_float16

LARGE = 1024
"""Bytes; smaller tensors (biases, norms) stay fp32."""


def to_int8(model: onnx.ModelProto, scratch: Path) -> onnx.ModelProto:
    """Quantize matrix products: signed int8 weights per channel, activations dynamically; the rest fp16."""
    source, target = scratch / "fp32.onnx", scratch / "int8.onnx"
    onnx.save(model, source)
    logging.disable(logging.WARNING)  # the quantizer recommends its own preprocessing, at length, to the root logger
    try:
        quantize_dynamic(source, target, op_types_to_quantize=["MatMul", "Gemm"], per_channel=True, weight_type=QuantType.QInt8)
    finally:
        logging.disable(logging.NOTSET)
    quantized = onnx.load(target)
    embeddings_to_int8(quantized)
    return to_fp16(quantized, scratch)


def to_int8_weights(model: onnx.ModelProto, scratch: Path) -> onnx.ModelProto:
    """Store weights of products and dense convolutions as int8 per channel, dequantized when the session starts; the rest fp16."""
    quantized = onnx.ModelProto()
    quantized.CopyFrom(model)
    embeddings_to_int8(quantized)
    kinds = {
        node.input[1]: node.op_type for node in quantized.graph.node if node.op_type in ("MatMul", "Gemm", "Conv") and dense(node)
    }
    widening = []
    for initializer in [i for i in quantized.graph.initializer if i.name in kinds and fits_fp16(i)]:
        name, array = initializer.name, numpy_helper.to_array(initializer)
        shared_axes = tuple(range(1, array.ndim)) if kinds[name] == "Conv" else 0  # axes that share a scale
        quantized.graph.initializer.remove(initializer)
        quantized.graph.initializer.extend(quantize(array, name, shared_axes))
        widening += [
            helper.make_node("Cast", [f"{name}_quantized"], [f"{name}/wide"], to=TensorProto.FLOAT),
            helper.make_node("Mul", [f"{name}/wide", f"{name}_scale"], [name]),
        ]
    nodes = [*widening, *quantized.graph.node]
    del quantized.graph.node[:]
    quantized.graph.node.extend(nodes)
    return to_fp16(quantized, scratch)


def dense(node: onnx.NodeProto) -> bool:
    """Whether a node is not a depthwise convolution, whose few weights stay exact."""
    return not any(a.name == "group" and a.i > 1 for a in node.attribute)


def quantize(array: np.ndarray, name: str, axis: int | tuple[int, ...]) -> list[onnx.TensorProto]:
    """Return `X_quantized` (int8) and `X_scale`, one scale shared over `axis`: X ≈ X_quantized · X_scale."""
    scale = np.abs(array).max(axis=axis, keepdims=True) / 127 + np.float32(1e-12)
    rounded = (array / scale).round().astype(np.int8)
    return [numpy_helper.from_array(rounded, f"{name}_quantized"), numpy_helper.from_array(scale, f"{name}_scale")]


def embeddings_to_int8(model: onnx.ModelProto) -> None:
    """Store embedding tables as int8 with one scale per row; rows are dequantized when they are looked up."""
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
    """Store weights as fp16, cast to fp32 when the session starts; every product is still computed in fp32."""
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
    """Whether an initializer is a large fp32 weight within fp16's range; scales of int8 weights stay exact."""
    if initializer.data_type != TensorProto.FLOAT or initializer.name.endswith("_scale"):
        return False
    array = numpy_helper.to_array(initializer)
    return array.nbytes > LARGE and bool(np.abs(array).max() <= np.finfo(np.float16).max)


def to_half(model: onnx.ModelProto) -> onnx.ModelProto:
    """Compute in fp16, as accelerators do fastest; what goes in and z stay fp32."""
    half = onnx.ModelProto()
    half.CopyFrom(model)
    converted: onnx.ModelProto = convert_float_to_float16(half, keep_io_types=True)
    return converted


QUANTIZERS = {"int8": to_int8, "int8-weights": to_int8_weights, "fp16": to_fp16}
