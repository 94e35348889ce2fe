"""Write the two graphs by which `samespace spaces recommend` measures a machine: python recipes/probe/make.py

Each is one product of a ViT-B's width, whose weights are made when it is opened, so that the file is small.
"""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

WIDTH, HIDDEN = 768, 3072
FOLDER = Path(__file__).parents[2] / "src/samespace/spaces/probes"


def graph(int8: bool) -> onnx.ModelProto:
    """Return x W in fp32, or as the int8 towers compute it: activations quantized as they come."""
    weight = np.array([3], np.int8) if int8 else np.array([0.01], np.float32)
    nodes = [helper.make_node("ConstantOfShape", ["shape"], ["w"], value=numpy_helper.from_array(weight))]
    if int8:
        nodes += [
            helper.make_node("DynamicQuantizeLinear", ["pixels"], ["q", "scale", "zero"]),
            helper.make_node("MatMulInteger", ["q", "w", "zero"], ["sum"]),
            helper.make_node("Cast", ["sum"], ["wide"], to=TensorProto.FLOAT),
            helper.make_node("Mul", ["wide", "scale"], ["z"]),
        ]
    else:
        nodes.append(helper.make_node("MatMul", ["pixels", "w"], ["z"]))
    x, z = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["rows", width])
        for name, width in (("pixels", WIDTH), ("z", HIDDEN))
    )
    shape = numpy_helper.from_array(np.array([WIDTH, HIDDEN], np.int64), "shape")
    made = helper.make_model(
        helper.make_graph(nodes, "probe", [x], [z], [shape]), opset_imports=[helper.make_opsetid("", 18)], ir_version=9
    )
    onnx.checker.check_model(made)
    return made


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name in ("fp32", "int8"):
        (FOLDER / f"{name}.onnx").write_bytes(graph(name == "int8").SerializeToString())
