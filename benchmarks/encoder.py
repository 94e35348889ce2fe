"""Encoder throughput: our ONNX towers against transformers in eager PyTorch, same weights, batch 16."""

import statistics
import time

import numpy as np
import torch

from samespace import hub
from samespace.prep.pixels import normalise
from samespace.space import Space, usable_cpus

from . import material
from .indexing import chosen

BATCH, ROUNDS = 16, 12


def run() -> list[dict[str, str]]:
    torch.set_num_threads(usable_cpus())
    return [against_transformers("fp32"), against_transformers("auto"), starter_alone()]


def against_transformers(precision: str) -> dict[str, str]:
    space, eager = Space(material.vit_b_32_space(precision)), transformers_eager()
    squares = np.random.default_rng(0).integers(0, 256, (BATCH, 256, 256, 3), np.uint8)
    ours, peer = alternating(
        lambda: space.pixels(squares), lambda: eager(torch.from_numpy(normalise(squares, space.config.prep)))
    )
    return {
        "what": f"ViT-B/32-256 {chosen(space.folder)}, batch {BATCH}", "ours": f"{ours:.1f} img/s",
        "peer": f"transformers {peer:.1f} img/s", "ratio": f"{ours / peer:.2f}",
    }  # fmt: skip


def starter_alone() -> dict[str, str]:
    space = hub.load("starter")
    squares = np.random.default_rng(0).integers(0, 256, (BATCH, 224, 224, 3), np.uint8)
    speed, _ = alternating(lambda: space.pixels(squares), lambda: None)
    return {"what": f"starter, batch {BATCH}", "ours": f"{speed:.1f} img/s"}


def transformers_eager():
    """The same weights in transformers' CLIP vision tower."""
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

    from samespace import checkpoint

    config = CLIPVisionConfig(image_size=256, hidden_act="gelu", projection_dim=512)
    theirs = CLIPVisionModelWithProjection(config).eval()
    ours = checkpoint.load(material.vit_b_32_checkpoint()).model.image.eval()
    theirs.load_state_dict(hf_names(ours.state_dict()), strict=False)

    def encode(pixels: torch.Tensor) -> torch.Tensor:
        with torch.inference_mode():
            return theirs(pixel_values=pixels).image_embeds

    with torch.inference_mode():
        probe = torch.randn(2, 3, 256, 256)
        assert torch.allclose(encode(probe), ours(probe), atol=1e-4), "the two sides differ"
    return encode


def hf_names(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Our image tower's weights under transformers' names."""
    out = {
        "vision_model.embeddings.class_embedding": state["class_token"],
        "vision_model.embeddings.position_embedding.weight": state["pos_embed"],
        "vision_model.embeddings.patch_embedding.weight": state["patch_embed.weight"].reshape(-1, 3, 32, 32),
        "visual_projection.weight": state["proj.weight"],
    }
    for kind in ("weight", "bias"):
        out[f"vision_model.pre_layrnorm.{kind}"] = state[f"norm_pre.{kind}"]
        out[f"vision_model.post_layernorm.{kind}"] = state[f"norm_post.{kind}"]
        for i in range(12):
            here, there = f"blocks.{i}", f"vision_model.encoder.layers.{i}"
            for part, tensor in zip("qkv", state[f"{here}.attn.qkv.{kind}"].chunk(3)):
                out[f"{there}.self_attn.{part}_proj.{kind}"] = tensor
            out[f"{there}.self_attn.out_proj.{kind}"] = state[f"{here}.attn.out.{kind}"]
            for part in ("mlp.fc1", "mlp.fc2"):
                out[f"{there}.{part}.{kind}"] = state[f"{here}.{part}.{kind}"]
            for n in "12":
                out[f"{there}.layer_norm{n}.{kind}"] = state[f"{here}.norm{n}.{kind}"]
    return out


def alternating(a, b) -> tuple[float, float]:
    """Images a second of both, measured in turn so that a drifting machine hurts both alike; medians."""
    times = {a: [], b: []}
    for i in range(ROUNDS + 2):
        for side, seconds in times.items():
            started = time.perf_counter()
            side()
            if i >= 2:
                seconds.append(time.perf_counter() - started)
    return tuple(BATCH / statistics.median(times[side]) for side in (a, b))
