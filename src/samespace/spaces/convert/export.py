"""Towers → a space folder. Weights are stored as int8 or fp16 where a gate on held-out pairs passes, and as fp32 where not."""

import csv
import hashlib
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn.functional import normalize

from ...core.config import AudioTower, HybridImageTower, SpaceConfig, to_json
from ...core.errors import QueryError, UnknownSpace, UnreadableMedia
from ...core.files import sha256_of_files, write_text_atomically
from ...core.metrics import caption_key, recall_at_k
from ...core.new_folder import new_folder
from ...media import image as image_media
from ...models.clip import DualEncoder
from ...models.starter.audio import AudioTransformer
from ...models.text import TextTransformer
from ...preprocess.pixels import batches, normalize_pixels, square
from .. import calibration
from ..checkpoints.checkpoint import Checkpoint, without_audio
from ..sessions import HALF, accelerates, shortened
from ..space import Space, read_space_config
from . import verify
from .onnx import State, digest_of_state, fp32_state, is_large, run, save_with_shared_weights, trace, weights_of
from .quantize import QUANTIZERS, to_half
from .verify import Answers

MIN_COSINE = 0.99
"""Mean cosine of a quantized tower's vectors to the fp32 ones, at least."""
MAX_RECALL_LOSS = 0.01
"""recall@10 that quantization may lose, in either direction."""
PRECISIONS = ("int8", "int8-weights", "fp16")
"""Tried in this order; fp32 if none passes."""
ENOUGH_PAIRS, MOST_PAIRS = 100, 1000
"""Fewer pairs than this fit no calibration; more are not worth the time."""
HALF_PAIRS = 64
"""Pairs of the gate for fp16, which a CPU computes slowly."""
HELD_OUT = Path(__file__).parent / "held_out" / "pairs.tsv"
"""The pairs of the gate where a user names none: drawings that no training here has used."""

Vectors = dict[str, np.ndarray]
"""Tower → z (B, dim)."""


@dataclass
class Pairs:
    """Held-out images and captions, ready for the towers; row i of one belongs to row i of the other."""

    pixels: np.ndarray
    """float32 (B, 3, S, S)"""
    ids: np.ndarray
    """int64 (B, T)"""


@dataclass
class _Towers:
    """Graphs in the precisions chosen, what was measured on the way, and fp32 vectors of the pairs."""

    graphs: dict[str, onnx.ModelProto]
    precision: dict[str, dict[str, Any]] = field(default_factory=dict)
    z: Vectors = field(default_factory=dict)


class _Encode(nn.Module):
    """One tower with its normalisation, as it is exported; of our text towers the states of the tokens, too."""

    def __init__(self, model: DualEncoder, tower: str):
        super().__init__()
        self.model, self.encode = model, {"image": model.encode_image, "text": model.encode_text}[tower]
        self.text = model.text if tower == "text" and isinstance(model.text, TextTransformer) else None
        self.outputs = ("z", "states") if self.text else ("z",)

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        if self.text is None:
            return self.encode(x)
        encoded, states = self.text.encode(x)
        return normalize(self.text.project(encoded), dim=-1), states


def export(
    checkpoint: Checkpoint,
    folder: Path,
    pairs: Pairs | None = None,
    audio_from: Path | None = None,
    answers: Answers | None = None,
    calibrated_from: Path | None = None,
) -> SpaceConfig:
    """Write a space folder and return its config. Without pairs there is no gate, and weights stay fp32.

    `calibrated_from` is a space's folder of the same weights, whose calibration stays; without it what the pairs can tell is fitted anew.

    `audio_from` is a space's folder whose audio tower is copied; without it the space has none. `answers` of the library that
    defines the model are kept in the folder, and what was written is compared with them before it appears. The folder appears whole or
    not at all; one that exists is replaced only if it is a space or empty. Raises UnknownSpace, OSError.
    """
    with new_folder(folder, "space.json", UnknownSpace) as (made, scratch):
        state = fp32_state(checkpoint.model)
        named = ("image", "text") if checkpoint.config.has_words else ("image",)
        exact = {tower: traced_tower(checkpoint, tower, state, scratch) for tower in named}
        towers = _Towers(exact)
        if pairs:
            towers = _choose(exact, pairs, isinstance(checkpoint.config.image, HybridImageTower), scratch)
        half = _half_graph(exact, pairs, towers, scratch) if pairs and accelerates() else None
        save_with_shared_weights(towers.graphs, state, made / "model.safetensors")
        if half is not None:
            save_with_shared_weights({f"image{HALF}": half}, weights_of(half, state), made / f"image{HALF}.safetensors")
        if checkpoint.tokenizer:
            checkpoint.tokenizer.save(str(made / "tokenizer.json"))
        if answers:
            verify.write(answers, made)
        for file in sorted(audio_from.glob("audio.*")) if audio_from else ():
            shutil.copy(file, made)
        config = checkpoint.config if audio_from else without_audio(checkpoint.config)
        fitted = config.calibration if calibrated_from else {}
        if calibrated_from:
            shutil.copy(calibrated_from / calibration.BACKGROUND_FILE, made)
        elif pairs and len(named) == 2 and len(pairs.ids) >= ENOUGH_PAIRS:
            z = {tower: shortened(vectors, checkpoint.config.dim) for tower, vectors in towers.z.items()}
            fitted = {"image": _calibrate(z, made)}
        measured = {tower: towers.precision.get(tower, {"chosen": "fp32"}) for tower in towers.graphs}
        precision = config.card.get("precision", {}) | measured
        config = replace(
            config,
            weights=config.weights or digest_of_state(state),  # a space that is exported again stays the same space
            calibration=fitted,
            files=sha256_of_files(made),
            card=config.card | {"precision": precision},
        )
        write_text_atomically(made / "space.json", to_json(config))
        if answers:
            verify.check_close(Space(made), answers)
    return config


def join_words(space: Path, folder: Path, words: Checkpoint, answers: Answers, name: str, origin: str) -> SpaceConfig:
    """Write a space with the image tower of a space as it is, and the text tower of a text model; return its config.

    `answers` are those of the text model's library. The text tower's weights are fp32. Raises UnknownSpace, OSError.
    """
    old = read_space_config(space)
    if words.config.dim != old.dim:
        raise UnknownSpace(
            f"{name} gives vectors of {words.config.dim} numbers, {old.name} of {old.dim}; choose the space it was trained for"
        )
    with new_folder(folder, "space.json", UnknownSpace) as (made, scratch):
        shutil.copytree(space, made, dirs_exist_ok=True)
        shutil.rmtree(made / "text", ignore_errors=True)  # a ready graph's
        state = fp32_state(words.model)
        graph = traced_tower(words, "text", state, scratch)
        save_with_shared_weights({"text": graph}, state, made / "text.safetensors")
        words.words.tokenizer.save(str(made / "tokenizer.json"))
        kept = verify.joined(verify.read(space), answers)
        verify.write(kept, made)
        p = words.config.prep
        prep = replace(
            old.prep,
            context=p.context,
            pad=p.pad,
            pad_to_context=p.pad_to_context,
            clean=p.clean,
            prefix=p.prefix,
            suffix=p.suffix,
        )
        card = old.card | {"verified": old.card.get("verified", {}) | words.config.card["verified"] | {"by": kept.library}}
        config = replace(
            old, name=name, origin=origin, text=words.config.text, prep=prep, card=card, calibration={},
            weights=hashlib.sha256((old.weights + digest_of_state(state)).encode()).hexdigest(), files=sha256_of_files(made),
        )  # fmt: skip
        write_text_atomically(made / "space.json", to_json(config))
        verify.check_close(Space(made), kept)
    return config


def add_audio_tower(
    folder: Path, model: nn.Module, c: AudioTower, mels: np.ndarray, name: str = "", card: dict[str, Any] | None = None
) -> SpaceConfig:
    """Add an audio tower to a space's folder: audio.onnx and audio.safetensors. The other towers stay as they are.

    mels: float32 (B, M, frames), on which the narrowest weights are chosen that give the same vectors. A new `name` and the
    entries of `card` are written too. Returns the new config.
    """
    if isinstance(model, AudioTransformer):
        model.fold_norms()
    state = {name: tensor.detach().float() for name, tensor in model.state_dict().items() if tensor.is_floating_point()}
    batch = torch.export.Dim("batch")
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        exact = trace(model, {"mels": torch.zeros(2, c.mels, c.frames)}, [{0: batch}], ("z",), state, Path(scratch))
        z = {"audio": run(exact, mels, Path(scratch))}
        graph, report = _narrowest(exact, "audio", PRECISIONS[1:], mels, z, Path(scratch))
    save_with_shared_weights({"audio": graph}, state, folder / "audio.safetensors")
    (folder / "audio.safetensors").chmod(0o644)
    old = without_audio(read_space_config(folder))  # another audio tower's calibration would be wrong
    files = sha256_of_files(folder)
    precision = old.card.get("precision", {}) | {"audio": {**report, "clips": len(mels)}}
    card = old.card | {"precision": precision} | (card or {})
    config = replace(old, name=name or old.name, audio=c, audio_weights=digest_of_state(state), files=files, card=card)
    write_text_atomically(folder / "space.json", to_json(config))
    return config


def held_out_pairs(checkpoint: Checkpoint, table: Path) -> Pairs:
    """Read pairs (a TSV with the columns filepath and title, paths relative to it) for a checkpoint's towers.

    Of the pictures of equal captions one is taken, for each caption means one picture; and MOST_PAIRS at most, drawn by chance.
    Raises QueryError on a table, or an image of it, that cannot be read.
    """
    try:
        with open(table, encoding="utf-8", newline="") as file:
            rows = [(table.parent / row["filepath"], row["title"]) for row in csv.DictReader(file, delimiter="\t")]
    except (OSError, UnicodeDecodeError, KeyError, TypeError) as error:
        raise QueryError(f"{table} cannot be read as pairs ({error!r}); write a TSV with the columns filepath and title")
    if not rows:
        raise QueryError(f"{table} holds no pairs; write a TSV with the columns filepath and title")
    rows = [rows[i] for i in sorted(different([title for _, title in rows]))]
    prep = checkpoint.config.prep
    squares = []
    for path, _ in rows:
        try:
            squares.append(square(image_media.read(path, path.read_bytes(), prep.resized_side)[0], prep))
        except (UnreadableMedia, OSError) as error:
            raise QueryError(f"{path}, a picture of {table}, cannot be read ({error}); mend or remove its line") from None
    titles = [title for _, title in rows]
    ids = checkpoint.words.ids(titles) if checkpoint.config.has_words else np.empty((len(rows), 0), np.int64)
    return Pairs(normalize_pixels(np.stack(squares), prep), ids)


def different(captions: Sequence[str]) -> list[int]:
    """Return rows of different captions, drawn by chance, MOST_PAIRS at most."""
    shuffled = np.random.default_rng(0).permutation(len(captions))
    return list({caption_key(captions[i]): int(i) for i in shuffled[::-1]}.values())[:MOST_PAIRS]


def _calibrate(z: Vectors, folder: Path) -> tuple[float, ...]:
    """Fit what turns scores into probabilities on the gate's pairs; a third of their captions becomes the background."""
    mixed = np.random.default_rng(0).permutation(len(z["text"]))
    count = min(len(mixed) // 3, calibration.MAX_BACKGROUND)
    background, rest = z["text"][mixed[:count]], mixed[count:]
    fitted = calibration.fit(z["image"][rest], z["text"][rest], np.eye(len(rest), dtype=bool), background)
    np.save(folder / calibration.BACKGROUND_FILE, fitted.background.astype(np.float16))
    return fitted.weights


def traced_tower(checkpoint: Checkpoint, tower: str, state: State, scratch: Path) -> onnx.ModelProto:
    """Return one tower as an fp32 ONNX model with dynamic batch (and length)."""
    config, batch, model = checkpoint.config, torch.export.Dim("batch"), _Encode(checkpoint.model, tower)
    if tower == "image":
        p = config.prep
        shapes: dict[int, Any] = {1: p.merge**2 * torch.export.Dim("squares", min=2)} if p.resize == "native" else {0: batch}
        example = next(batches(np.stack([square(Image.new("RGB", (p.size, p.size)), p)] * 2), p, 2))
        return trace(model, {"pixels": torch.from_numpy(example)}, [shapes], model.outputs, state, scratch)
    dims: dict[int, Any] = {0: batch}
    if config.text.ignores_padding or not config.prep.pad_to_context:
        dims[1] = torch.export.Dim("length", min=2, max=config.text.context)
    ids = torch.ones(2, config.prep.context, dtype=torch.int64)
    return trace(model, {"ids": ids}, [dims], model.outputs, state, scratch)


def _choose(graphs: dict[str, onnx.ModelProto], pairs: Pairs, hybrid: bool, scratch: Path) -> _Towers:
    """Quantize each tower as far as the gate passes.

    int8 products are tried where they are worth their rounding: not for text, since queries come one at a time and the
    scale that activations share would make a vector depend on its batch; not for a hybrid, whose time goes into
    convolutions.
    """
    inputs = {"image": pairs.pixels, "text": pairs.ids}
    towers = _Towers(dict(graphs), z={tower: run(graph, inputs[tower], scratch) for tower, graph in graphs.items()})
    for tower, graph in graphs.items():
        precisions = PRECISIONS[1:] if tower == "text" or hybrid else PRECISIONS
        towers.graphs[tower], report = _narrowest(graph, tower, precisions, inputs[tower], towers.z, scratch)
        towers.precision[tower] = {**report, "pairs": len(pairs.ids)}
    return towers


def _half_graph(exact: dict[str, onnx.ModelProto], pairs: Pairs, towers: _Towers, scratch: Path) -> onnx.ModelProto | None:
    """Return the image tower's graph for accelerators, in fp16; None where it does not pass the gate, or is too large to convert."""
    if is_large(exact["image"]):
        return None
    half, z = to_half(exact["image"]), {tower: vectors[:HALF_PAIRS] for tower, vectors in towers.z.items()}
    report = gate_report(z, z | {"image": run(half, pairs.pixels[:HALF_PAIRS], scratch)}, "image")
    towers.precision["image"]["half"] = report
    return half if report["passes"] else None


def _narrowest(
    graph: onnx.ModelProto, tower: str, precisions: Sequence[str], x: np.ndarray, z: Vectors, scratch: Path
) -> tuple[onnx.ModelProto, dict[str, Any]]:
    """Return the graph in the first precision that passes for inputs x, or as it is; and what every precision tried gave.

    z: what the towers give in fp32.
    """
    tried: dict[str, dict[str, Any]] = {}
    for precision in () if is_large(graph) else precisions:  # the quantizers copy a graph as a protobuf
        quantized = QUANTIZERS[precision](graph, scratch)
        tried[precision] = gate_report(z, z | {tower: run(quantized, x, scratch)}, tower)
        if tried[precision]["passes"]:
            return quantized, {"chosen": precision, "tried": tried}
    return graph, {"chosen": "fp32", "tried": tried}


def gate_report(exact: Vectors, quantized: Vectors, tower: str) -> dict[str, Any]:
    """Apply the gate: mean cosine to the fp32 vectors, and recall@10 lost between towers, the worse way (0 for one alone)."""
    cosine = (exact[tower] * quantized[tower]).sum(axis=1)
    lost = [0.0]
    for a, b in permutations(exact, 2):
        before, after = (recall_at_k(z[a] @ z[b].T, np.eye(len(z[a]), dtype=bool), 10) for z in (exact, quantized))
        lost.append(before - after)
    return {
        "cosine": round(float(cosine.mean()), 5),
        "cosine_min": round(float(cosine.min()), 5),
        "recall_at_10_lost": round(max(lost), 5),
        "passes": bool(cosine.mean() >= MIN_COSINE and max(lost) <= MAX_RECALL_LOSS),
    }
