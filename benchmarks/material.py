"""What the benchmarks work on: photo-like JPEGs, one ViT-B/32 in every runtime's format, and clustered vectors."""

import gzip
import importlib.util
import shutil
import subprocess
import sys
import venv
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import skimage.data
import torch
from PIL import Image, ImageDraw
from tokenizers.pre_tokenizers import ByteLevel

from samespace.spaces.checkpoints.tokenizer_files import clip_tokenizer

from . import (
    WORK,
    torchvision_on_cpu,  # noqa: F401  before transformers
)

PHOTOGRAPHS = ("astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg", "motorcycle_left.png", "hubble_deep_field.jpg")
PEERS = WORK / "peers"
DRAWN, NEW = 20_000, 500
COLOURS = {
    "red": "#d62728", "green": "#2ca02c", "blue": "#1f4fd8", "yellow": "#f2d600", "black": "#111111", "white": "#f8f8f8",
    "purple": "#8a2be2", "orange": "#ff8c00", "pink": "#ff69b4", "grey": "#808080",
}  # fmt: skip
SHAPES = ("circle", "square", "triangle", "bar", "ring", "cross")


def photographs(count: int = 200) -> Path:
    """Unique 12-megapixel JPEGs with the detail, noise and size (about 4 MB) of a phone's."""
    folder = WORK / f"photographs-{count}"
    if folder.exists():
        return folder
    scratch = folder.with_suffix(".part")
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    sources = [Image.open(Path(skimage.data.__file__).parent / name).convert("RGB") for name in PHOTOGRAPHS]

    def make(i: int) -> None:
        rng = np.random.default_rng(i)
        source = sources[i % len(sources)]
        w, h = source.size
        left, top = rng.uniform(0, 0.2, 2) * (w, h)
        picture = source.resize((4032, 3024), Image.Resampling.BICUBIC, box=(left, top, w - left / 2, h - top / 2))
        grain = Image.fromarray(rng.integers(0, 40, (1512, 2016, 3), np.uint8)).resize((4032, 3024))
        Image.blend(picture, grain, 0.12).save(scratch / f"IMG_{i:04}.jpg", quality=90)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(make, range(count)))
    scratch.rename(folder)
    return folder


def vit_b_32_checkpoint() -> Path:
    """A random ViT-B/32 at 256 px in transformers' layout: rclip's architecture; its weights would need a network."""
    folder = WORK / "ViT-B-32-256"
    if (folder / "tokenizer.json").exists():
        return folder
    torch.manual_seed(0)
    write_clip(folder, 512, {"image_size": 256, "hidden_act": "gelu"}, {"hidden_act": "gelu"})
    return folder


def write_clip(folder: Path, dim: int, vision: dict[str, object], text: dict[str, object]) -> None:
    """Write a CLIP of random weights in transformers' layout; `vision` and `text` are settings of its towers."""
    from transformers import CLIPConfig, CLIPModel

    CLIPModel(CLIPConfig(projection_dim=dim, vision_config=vision, text_config=text)).save_pretrained(folder)
    vocab, merges = clip_words()
    clip_tokenizer(vocab, merges).save(str(folder / "tokenizer.json"))


def bpe_file() -> Path:
    """CLIP's merges, out of the open_clip package."""
    return Path(importlib.util.find_spec("open_clip").origin).parent / "bpe_simple_vocab_16e6.txt.gz"


def clip_words() -> tuple[dict[str, int], list[tuple[str, str]]]:
    """CLIP's words; the ids of single bytes are in another order than CLIP's, which random weights do not mind."""
    lines = gzip.decompress(bpe_file().read_bytes()).decode().split("\n")
    merges = [tuple(line.split()) for line in lines[1 : 49152 - 256 - 2 + 1]]
    alphabet = sorted(ByteLevel.alphabet())
    words = [*alphabet, *(c + "</w>" for c in alphabet), *("".join(m) for m in merges), "<|startoftext|>", "<|endoftext|>"]
    return {word: i for i, word in enumerate(words)}, merges


def vit_b_32_space(precision: str) -> Path:
    """The same weights as a space: `fp32`, or `int8`, whose gate asks for the cosine only: random weights recall nothing."""
    from samespace.spaces.convert import export, install

    folder = WORK / f"ViT-B-32-256-{precision}"
    if not (folder / "space.json").exists():
        export.MAX_RECALL_LOSS = 1.0
        install.convert(vit_b_32_checkpoint(), folder, name=folder.name, precision="auto" if precision == "int8" else precision)
    return folder


def rclip_home() -> Path:
    """The same weights where rclip looks for its own."""
    home = WORK / "rclip"
    model = home / "ViT-B-32-256-datacomp_s34b_b86k"
    for name in ("LICENSE", "OPENAI-CLIP-MIT.txt", "README.md", "THIRD_PARTY_NOTICES.md"):  # without them rclip 4 would download
        home.mkdir(parents=True, exist_ok=True)
        (home / name).touch()
    if (model / "textual.onnx").exists():
        return home
    model.mkdir(parents=True, exist_ok=True)
    (home / "tokenizer").mkdir(exist_ok=True)
    shutil.copy(bpe_file(), home / "tokenizer")
    for tower, name in (("image", "visual"), ("text", "textual")):
        graph = onnx.load(vit_b_32_space("fp32") / f"{tower}.onnx")
        old = graph.graph.input[0].name
        graph.graph.input[0].name = "input"
        for node in graph.graph.node:
            for i, used in enumerate(node.input):
                if used == old:
                    node.input[i] = "input"
        onnx.save(graph, model / f"{name}.onnx")
    return home


def rclip_python() -> Path:
    """An interpreter with rclip, whose pins clash with ours; made once: rclip 4 where there is a Python that it takes, else 3.3."""
    python = PEERS / "bin" / "python"
    if not python.exists():
        print("  making an environment for rclip (once)", file=sys.stderr)
        newer = python_for_rclip_4()
        if newer:
            subprocess.run([newer, "-m", "venv", "--clear", PEERS], check=True)
        else:
            venv.create(PEERS, with_pip=True, clear=True)
        wanted = ["rclip==4.0.8"] if newer else ["rclip==3.3.0", f"onnxruntime=={onnxruntime.__version__}"]
        subprocess.run([python, "-m", "pip", "install", "--quiet", *wanted], check=True)
    return python


def rclip_version() -> str:
    """The version in that environment."""
    command = [rclip_python(), "-c", "import importlib.metadata as m; print(m.version('rclip'))"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def python_for_rclip_4() -> str | None:
    """A Python 3.12 or newer: this one, one on the path, or one of pyenv's."""
    named = [sys.executable, *(found for minor in (12, 13, 14) if (found := shutil.which(f"python3.{minor}")))]
    for python in [*named, *map(str, sorted(Path.home().glob(".pyenv/versions/3.1[2-9]*/bin/python")))]:
        done = subprocess.run([python, "-c", "import sys, venv; sys.exit(sys.version_info < (3, 12))"], capture_output=True)
        if done.returncode == 0:
            return python
    return None


def clustered(rows: int, dim: int = 512, seed: int = 0) -> np.ndarray:
    """Unit vectors in clusters of uneven size, as pictures lie: float32 (rows, dim)."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(max(8, rows // 200), dim)).astype(np.float32)
    centres /= np.linalg.norm(centres, axis=1, keepdims=True)
    weights = rng.pareto(1.5, len(centres)) + 0.1
    pick = rng.choice(len(centres), rows, p=weights / weights.sum())
    out = np.empty((rows, dim), np.float32)
    for i in range(0, rows, 100_000):
        noise = rng.normal(size=(len(pick[i : i + 100_000]), dim)).astype(np.float32) * (0.6 / dim**0.5)
        out[i : i + 100_000] = centres[pick[i : i + 100_000]] + noise
    return out / np.linalg.norm(out, axis=1, keepdims=True)


def drawn_pairs() -> Path:
    """20,000 small drawings of two shapes on a ground, with captions that say so; 500 more to measure on."""
    folder = WORK / "drawn-pairs"
    if folder.exists():
        return folder
    scratch = folder.with_suffix(".part")
    shutil.rmtree(scratch, ignore_errors=True)
    rng = np.random.default_rng(0)
    for split, count in (("train", DRAWN), ("val", NEW)):
        (scratch / split).mkdir(parents=True)
        lines = ["filepath\ttitle"]
        for i in range(count):
            picture, caption = drawing(rng)
            picture.save(scratch / split / f"{i:05}.jpg", quality=92)
            lines.append(f"{split}/{i:05}.jpg\t{caption}")
        (scratch / f"{split}.tsv").write_text("\n".join(lines) + "\n", "utf-8")
    scratch.rename(folder)
    return folder


def drawing(rng: np.random.Generator) -> tuple[Image.Image, str]:
    """A large shape, a small one and a ground, each of another colour."""
    ground, large, small = rng.choice(list(COLOURS), 3, replace=False)
    shapes = rng.choice(SHAPES, 2)
    picture = Image.new("RGB", (96, 96), COLOURS[ground])
    left = rng.random() < 0.5
    for shape, colour, side, x in ((shapes[0], large, 44, 4 if left else 48), (shapes[1], small, 22, 66 if left else 8)):
        draw_shape(ImageDraw.Draw(picture), shape, COLOURS[colour], x, int(rng.integers(4, 92 - side)), side)
    place = "left" if left else "right"
    return picture, f"a large {large} {shapes[0]} on the {place} and a small {small} {shapes[1]}, on {ground}"


def draw_shape(pen: ImageDraw.ImageDraw, shape: str, colour: str, x: int, y: int, side: int) -> None:
    box, third = (x, y, x + side, y + side), side // 3
    if shape in ("circle", "ring"):
        pen.ellipse(box, fill=colour if shape == "circle" else None, outline=colour, width=max(3, side // 6))
    elif shape == "triangle":
        pen.polygon([(x, y + side), (x + side, y + side), (x + side // 2, y)], fill=colour)
    elif shape == "cross":
        pen.rectangle((x + third, y, x + 2 * third, y + side), fill=colour)
        pen.rectangle((x, y + third, x + side, y + 2 * third), fill=colour)
    else:
        pen.rectangle(box if shape == "square" else (x, y + third, x + side, y + 2 * third), fill=colour)
