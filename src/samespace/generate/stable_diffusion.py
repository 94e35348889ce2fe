"""Stable Diffusion, conditioned by our own text towers: 1.x, 2.x, XL and their Turbo kinds, as diffusers stores them.

diffusers runs the U-Net, the sampler and the decoder; what the words mean to them is computed here.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from ..core.config import Prep, TextTower
from ..core.errors import MissingExtra, QueryError, SamespaceError, UnknownGenerator, error_summary
from ..core.files import read_json
from ..library.search.query import parse
from ..models.text import TextTransformer
from ..preprocess.tokens import Words
from ..spaces.checkpoints.tensors import check_memory, fill, read_weights
from ..spaces.checkpoints.tokenizer_files import pad_id, read_tokenizer
from ..spaces.checkpoints.transformers_layout import clip_towers
from ..spaces.checkpoints.weight_maps import HF, renamed
from .generator import MOST_DRAWINGS, MOST_STEPS, check_range, check_seed

INDEX = "model_index.json"
"""The file that makes a folder a pipeline of diffusers."""
PARTS = {
    "StableDiffusionPipeline": ("text_encoder", "tokenizer", "unet", "vae", "scheduler"),
    "StableDiffusionXLPipeline": ("text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2", "unet", "vae", "scheduler"),
}
"""Pipelines that are run → the folders that each needs."""
WEIGHTS = ("text_encoder", "unet", "vae")
"""How the names of folders with weights begin."""
AT_ONCE = 4
"""Drawings that are made at once."""
STEPS, GUIDANCE, TURBO_STEPS = 25, 7.5, 1
"""Defaults; a Turbo draws in one step, without guidance."""
MOST_GUIDANCE = 30.0
WEIGHTED = re.compile(r"\(([^():]+):(\d+(?:\.\d*)?|\.\d+)\)")
"""Words with a weight of their own: (castle:1.3)."""

Weighted = list[tuple[str, float]]
"""Pieces of a text and their weights."""


@dataclass
class TextEncoder:
    """A pipeline's text tower and its tokenizer."""

    tower: TextTransformer
    words: Words
    penultimate: bool
    """Whether the states are those before the last block, not normalised (XL), or those after it."""

    @torch.inference_mode()
    def __call__(self, pieces: Weighted) -> tuple[Tensor, Tensor]:
        """Return the states of a text's tokens, padded to the context, and its pooled vector: (1, T, D), (1, E).

        States are multiplied by the weights of their words, and all of them so that their length stays what it was.
        """
        ids, weights = self.tokens(pieces)
        hidden = self.tower.run_blocks(self.tower.blocks[:-1], self.tower.embed(ids), ids)
        last = self.tower.norm_post(self.tower.run_blocks(self.tower.blocks[-1:], hidden, ids))
        pooled, states = self.tower.proj(self.tower.pooled(last, ids)), hidden if self.penultimate else last
        if (weights == 1).all():
            return states, pooled
        weighted = states * weights[None, :, None]
        return weighted * (states.norm() / weighted.norm()), pooled

    def tokens(self, pieces: Weighted) -> tuple[Tensor, Tensor]:
        """Return token ids, int64 (1, T), and the weight of each, float32 (T,), cut or padded to the context."""
        whole = self.words.ids([" ".join(text for text, _ in pieces)])
        weights = torch.ones(whole.shape[1])
        place = 1  # after the token that begins a text
        for text, weight in pieces:
            count = int(self.words.count(text)) - 2  # without those that begin and end it
            weights[place : place + count] = weight
            place += count
        return torch.from_numpy(whole), weights


def read_text_encoder(folder: Path, encoder: str, tokenizer: str, penultimate: bool) -> TextEncoder:
    """Read a CLIPTextModel, with or without projection, and its tokenizer. Raises UnknownSpace, WeightsMismatch."""
    values, words = read_json(folder / encoder / "config.json"), read_tokenizer(folder / tokenizer)
    _, c = clip_towers({"text_config": values, "projection_dim": values.get("projection_dim", 512)})
    projects = "CLIPTextModelWithProjection" in (values.get("architectures") or ())
    c = replace(c, dim=c.dim if projects else c.width, pad=pad_id(folder / tokenizer, words, c.end))
    stored = read_weights(folder / encoder)
    prefixed = {
        n if n.startswith(("text_model.", "text_projection.")) else f"text_model.{n}": t for n, t in stored.items()
    }  # newer files have none
    tower, weights = TextTransformer(c), {n.removeprefix("text."): t for n, t in renamed(prefixed, HF).items()}
    if not projects:
        weights["proj.weight"] = torch.eye(c.width)
    fill(tower, weights)
    return TextEncoder(tower.eval(), Words(words, _prep(c)), penultimate)


def _prep(c: TextTower) -> Prep:
    """Return how a pipeline's texts are tokenized."""
    return Prep(context=c.context, pad=c.pad, pad_to_context=True, clean="none")


class StableDiffusion:
    """A pipeline of diffusers whose words are read by our text towers."""

    def __init__(self, folder: Path, name: str = ""):
        """Read a folder as diffusers writes it; nothing is downloaded. Raises UnknownGenerator, MissingExtra, UnknownSpace.

        `name` is what people call it, where the folder's does not say: that of a hub's snapshot is a commit.
        """
        self.folder, self.name, self.kind = folder, name or folder.name, check(folder)
        try:
            import diffusers
        except (ImportError, RuntimeError) as error:
            raise MissingExtra(f"drawing with Stable Diffusion ({error_summary(error)})", "draw") from None
        large = self.kind == "StableDiffusionXLPipeline"
        self.encoders = [read_text_encoder(folder, "text_encoder", "tokenizer", large)]
        if large:
            self.encoders.append(read_text_encoder(folder, "text_encoder_2", "tokenizer_2", large))
        words = [part for part in PARTS[self.kind] if part.startswith(("text_encoder", "tokenizer"))]
        left_out = [*words, "feature_extractor", "image_encoder", *([] if large else ["safety_checker"])]
        settings: dict[str, Any] = {"add_watermarker": False} if large else {"requires_safety_checker": False}
        diffusers.utils.logging.set_verbosity_error()
        try:
            self.pipeline = getattr(diffusers, self.kind).from_pretrained(
                folder, **dict.fromkeys(left_out), **settings, local_files_only=True, use_safetensors=True
            )
        except Exception as error:  # whatever its many classes raise
            raise UnknownGenerator(f"{folder} cannot be opened ({error_summary(error)}); download it again") from None
        self.pipeline.set_progress_bar_config(disable=True)
        self.pipeline.to("cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu")

    @property
    def turbo(self) -> bool:
        """Whether it draws in a step, without guidance."""
        return "turbo" in f"{self.name} {read_json(self.folder / INDEX).get('_name_or_path', '')}".lower()

    @property
    def defaults(self) -> tuple[int, float]:
        """Its steps and guidance where nothing else is asked for."""
        return (TURBO_STEPS, 0.0) if self.turbo else (STEPS, GUIDANCE)

    def draw(self, query: str, n: int = 1, **settings: Any) -> list[Image.Image]:
        """Return n drawings of a query of words; settings and errors are those of `drawings`."""
        return list(self.drawings(query, n, **settings))

    def drawings(
        self, query: str, n: int = 1, *, seed: int = 0, steps: int | None = None, guidance: float | None = None, size: int = 0,
        on_step: Callable[[int, int], None] | None = None,
    ) -> Iterator[Image.Image]:  # fmt: skip
        """Yield n drawings of a query of words, RGB, `size` pixels a side or as the model was trained; some are made at once.

        What is subtracted is the negative prompt; weights are those of a query, 2:castle, or of words, (castle:1.3). `on_step`
        is called with the steps done and all. Raises QueryError.
        """
        steps, guidance = steps if steps is not None else self.defaults[0], self.defaults[1] if guidance is None else guidance
        check_range("steps", steps, 1, MOST_STEPS)
        check_range("the number of drawings", n, 1, MOST_DRAWINGS)
        check_range("guidance", guidance, 0, MOST_GUIDANCE)
        check_seed(seed)
        if size and (size % 8 or not 64 <= size <= 2048):
            raise QueryError(f"the size is {size}; give a multiple of 8 from 64 to 2048")
        wanted, unwanted = pieces_of(query)
        if unwanted and guidance <= 1:
            raise QueryError(
                f"at a guidance of {guidance:g} nothing can be subtracted; leave {unwanted[0][0]!r} out, or give more: --guidance 2"
            )
        conditions, parts = self._conditions(wanted, unwanted, guidance > 1), -(-n // AT_ONCE)
        for part, first in enumerate(range(0, n, AT_ONCE)):
            count = min(AT_ONCE, n - first)
            given: dict[str, Any] = {name: x.repeat(count, *[1] * (x.ndim - 1)) for name, x in conditions.items()}
            given |= {"num_inference_steps": steps, "guidance_scale": guidance, "height": size or None, "width": size or None}
            given["generator"] = [torch.Generator().manual_seed(seed + i) for i in range(first, first + count)]
            if on_step:
                given["callback_on_step_end"] = _counting(on_step, part * steps, steps, parts * steps)
            yield from self._run(given)

    def _run(self, given: dict[str, Any]) -> list[Image.Image]:
        """Return the pipeline's pictures. Raises QueryError where they do not fit into memory."""
        try:
            images: list[Image.Image] = self.pipeline(**given).images
        except (MemoryError, RuntimeError) as error:  # torch has no class for it on a CPU
            if isinstance(error, MemoryError) or "memory" in str(error):
                raise QueryError("there is not enough memory for drawings of this size; give a smaller one: --size 256") from None
            raise
        return images

    def is_cut(self, query: str) -> bool:
        """Whether a query has more words than the model reads. Raises QueryError."""
        sides = [" ".join(text for text, _ in side) for side in pieces_of(query)]
        return any(encoder.words.is_cut(text) for encoder in self.encoders for text in sides)

    def _conditions(self, wanted: Weighted, unwanted: Weighted, guided: bool) -> dict[str, Tensor]:
        """Return what the pipeline is given of the words."""
        made = {"": wanted} | ({"negative_": unwanted} if guided else {})
        if not unwanted and self.kind == "StableDiffusionXLPipeline" and self.pipeline.config.force_zeros_for_empty_prompt:
            made.pop("negative_", None)  # the pipeline takes zeros then
        found: dict[str, Tensor] = {}
        for prefix, pieces in made.items():
            encoded = [encoder(pieces or [("", 1.0)]) for encoder in self.encoders]
            found[f"{prefix}prompt_embeds"] = torch.cat([states for states, _ in encoded], dim=-1).to(self.pipeline.device)
            if len(encoded) > 1:
                found[f"{prefix}pooled_prompt_embeds"] = encoded[-1][1].to(self.pipeline.device)
        return found


def check(folder: Path) -> str:
    """Return the kind of pipeline that a folder holds. Raises UnknownGenerator where one of its parts is missing, or is not safetensors."""
    try:
        kind = str(read_json(folder / INDEX).get("_class_name"))
    except (SamespaceError, OSError) as error:
        raise UnknownGenerator(
            f"{folder} holds no readable {INDEX} ({error_summary(error)}); give a folder as diffusers writes it"
        ) from None
    if kind not in PARTS:
        raise UnknownGenerator(
            f"{folder} is a {kind}, which is not drawn with here; choose a Stable Diffusion 1.x, 2.x, XL or Turbo"
        )
    if missing := [part for part in PARTS[kind] if not (folder / part).is_dir()]:
        raise UnknownGenerator(f"{folder} lacks {missing[0]}, a part of the pipeline; download it again")
    for part in (part for part in PARTS[kind] if part.startswith(WEIGHTS)):
        if not (weights := [file for file in sorted((folder / part).glob("*.safetensors")) if is_plain(file.name)]):
            raise UnknownGenerator(
                f"{folder / part} has no safetensors in full precision, and nothing else is opened; download those, or choose another model"
            )
        check_memory(weights)
    return kind


def needed(files: Iterable[str]) -> list[str]:
    """Return which files of a repository a pipeline needs: configs, tokenizers, and weights as safetensors in full precision.

    Raises UnknownGenerator where a part has no such weights.
    """
    parts = {part for kind in PARTS.values() for part in kind}
    inside = [file for file in files if file == INDEX or (file.count("/") == 1 and file.partition("/")[0] in parts)]
    weights = [file for file in inside if file.endswith(".safetensors") and is_plain(file)]
    there, covered = ({file.partition("/")[0] for file in some} for some in (inside, weights))
    if missing := sorted(part for part in there - covered if part.startswith(WEIGHTS)):
        raise UnknownGenerator(
            f"its part {missing[0]} has no safetensors in full precision, and nothing else is opened; choose another model"
        )
    return sorted([file for file in inside if file.endswith((".json", ".txt", ".model"))] + weights)


def is_plain(file: str) -> bool:
    """Whether a file of weights is no variant, such as fp16: model.safetensors, and not model.fp16.safetensors."""
    return file.rpartition("/")[2].count(".") == 1


def pieces_of(query: str) -> tuple[Weighted, Weighted]:
    """Return the pieces of what a query wants and of what it does not, with their weights. Raises QueryError."""
    sides: tuple[Weighted, Weighted] = ([], [])
    for term in parse(query):
        if term.path:
            raise QueryError(f"Stable Diffusion is steered by words, and {term.path.name} is a file; leave it out")
        sides[term.weight < 0].extend((text, weight * abs(term.weight)) for text, weight in weighted(term.text))
    return sides


def weighted(text: str) -> Weighted:
    """Return the pieces of a text, those written as (words:1.3) with that weight."""
    pieces: Weighted = []
    end = 0
    for match in WEIGHTED.finditer(text):
        pieces += [(text[end : match.start()].strip(), 1.0), (match[1].strip(), float(match[2]))]
        end = match.end()
    pieces.append((text[end:].strip(), 1.0))
    return [piece for piece in pieces if piece[0]]


def _counting(on_step: Callable[[int, int], None], before: int, steps: int, count: int) -> Callable[..., dict[str, Any]]:
    """Return a callback of diffusers that counts the steps of one run, after those before, of all."""

    def count_step(pipeline: Any, step: int, timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        on_step(before + min(step + 1, steps), count)  # some samplers look twice at a step
        return tensors

    return count_step
