"""Lets torchvision be imported beside a CPU build of torch, on import of this module.

The registry's torchvision is built for CUDA and cannot load its operators there; transformers and open_clip import it
for its transforms only, but its import fails unless the operators' names exist.
"""

import torch

if "+cpu" in torch.__version__:
    for operator in ("nms", "qnms"):
        torch.library.define(f"torchvision::{operator}", "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
