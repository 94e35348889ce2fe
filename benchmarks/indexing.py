"""Indexing 12-megapixel JPEGs: images/s and peak memory, against rclip's own indexing code on the same weights."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from . import material

COUNT = 200


def run() -> list[dict[str, str]]:
    photographs = material.photographs(COUNT)
    rclip = measure(
        [material.rclip_python(), Path(__file__).with_name("rclip_side.py"), "index", material.rclip_home(), photographs]
    )
    rows = []
    for precision in ("fp32", "int8"):
        space = material.vit_b_32_space(precision)
        with tempfile.TemporaryDirectory() as scratch:
            ours = measure([sys.executable, "-m", "benchmarks.our_side", "index", space, photographs, scratch])
        rows += compared(f"{COUNT} JPEGs of 12 MP, ViT-B/32 {chosen(space)}", ours, rclip)
    return rows


def chosen(space: Path) -> str:
    return json.loads((space / "space.json").read_text())["card"]["precision"]["image"]["chosen"]


def compared(what: str, ours: dict, rclip: dict) -> list[dict[str, str]]:
    speed, peer_speed = COUNT / ours["seconds"], COUNT / rclip["seconds"]
    return [
        {"what": what, "ours": f"{speed:.1f} img/s", "peer": f"rclip {peer_speed:.1f} img/s", "ratio": f"{speed / peer_speed:.2f}"},
        {"what": "  peak memory", "ours": f"{ours['peak_mb']:.0f} MB", "peer": f"rclip {rclip['peak_mb']:.0f} MB",
         "ratio": f"{rclip['peak_mb'] / ours['peak_mb']:.2f}"},
    ]  # fmt: skip


def measure(command: list) -> dict:
    """Run one side in a process of its own; its last line is what it measured."""
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, cwd=Path(__file__).parents[1], env=os.environ)
    if done.returncode:
        raise RuntimeError(f"{command} failed:\n{done.stderr[-3000:]}")
    return json.loads(done.stdout.strip().splitlines()[-1])
