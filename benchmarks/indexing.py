"""Indexing 12-megapixel JPEGs: images/s and peak memory, against rclip's own indexing code on the same weights."""

import json
import sys
import tempfile
from pathlib import Path

from . import material
from .measured import measure

COUNT, ROUNDS = 200, 3


def run() -> list[dict[str, str]]:
    """All sides in turn, ROUNDS times, so that a drifting machine hurts them alike; the median round of each."""
    photographs, spaces = material.photographs(COUNT), {p: material.vit_b_32_space(p) for p in ("fp32", "int8")}
    peer = [material.rclip_python(), Path(__file__).with_name("rclip_side.py"), "index", material.rclip_home(), photographs]
    rounds: dict[str, list[dict]] = {"rclip": [], "fp32": [], "int8": []}
    for _ in range(ROUNDS):
        rounds["rclip"].append(measure(peer))
        for name, space in spaces.items():
            with tempfile.TemporaryDirectory() as scratch:
                rounds[name].append(measure([sys.executable, "-m", "benchmarks.our_side", space, photographs, scratch]))
    middle = {name: sorted(measured, key=lambda m: m["seconds"])[ROUNDS // 2] for name, measured in rounds.items()}
    return [
        row
        for name, space in spaces.items()
        for row in compared(
            f"{COUNT} JPEGs of 12 MP, ViT-B/32 {chosen(space)}", middle[name], middle["rclip"], material.rclip_version()
        )
    ]


def chosen(space: Path) -> str:
    return json.loads((space / "space.json").read_text())["card"]["precision"]["image"]["chosen"]


def compared(what: str, ours: dict, rclip: dict, version: str) -> list[dict[str, str]]:
    speed, peer_speed = COUNT / ours["seconds"], COUNT / rclip["seconds"]
    return [
        {"what": what, "ours": f"{speed:.1f} img/s", "peer": f"rclip {version}: {peer_speed:.1f} img/s", "ratio": f"{speed / peer_speed:.2f}"},
        {"what": "  peak memory", "ours": f"{ours['peak_mb']:.0f} MB", "peer": f"rclip {version}: {rclip['peak_mb']:.0f} MB",
         "ratio": f"{rclip['peak_mb'] / ours['peak_mb']:.2f}"},
    ]  # fmt: skip
