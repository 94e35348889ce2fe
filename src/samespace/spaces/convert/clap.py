"""Add a CLAP audio tower to a space, aligned by training on text only.

Texts go through both text towers, and a small map learns to turn CLAP's vector of a text into the space's. CLAP places sounds
near the texts that describe them, so the map serves sounds too; noise on the training vectors covers the gap between the two
(after Nukrai et al. 2022, "Text-Only Training for Image Captioning using Noise-Injected CLIP").
"""

import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

from ...core.config import HtsatTower, Prep, SpaceConfig, TextTower
from ...core.errors import UnknownSpace
from ...core.files import read_json
from ...core.metrics import recall_at_k
from ...models.htsat import Alignment, ClapText, Htsat
from ...models.losses import clip_loss
from ...preprocess.mel import spectrogram
from ...preprocess.tokens import Words, read_tokenizer
from ..checkpoints.image_processors import processor_values
from ..checkpoints.tensors import fill, read_weights
from ..checkpoints.transformers_layout import ACTS
from ..checkpoints.weight_maps import CLAP, Weights, renamed
from ..space import Space
from .export import add_audio_tower

TEMPLATES = ("{}", "the sound of {}", "a recording of {}", "{} can be heard")
STEPS, BATCH, RATE, NOISE = 1500, 512, 1e-3, 0.1
"""Of training the alignment; the noise is relative to a vector's length, spread over its numbers."""
WIDTH_FACTOR = 2
"""The alignment's hidden width, in lengths of CLAP's z."""
SCALE = 20.0
HELD_OUT = 0.1
"""Share of the words that the alignment is measured on, not trained on."""
CONTEXT = 77


@dataclass
class Clap:
    """A CLAP checkpoint."""

    audio: Htsat
    c: HtsatTower
    text: ClapText
    words: Words

    def encode_text(self, texts: Sequence[str]) -> Tensor:
        """Texts → CLAP's z: float32 (B, inner), unit length."""
        ids = (torch.from_numpy(self.words.ids(list(texts[i : i + 256]))) for i in range(0, len(texts), 256))
        with torch.inference_mode():
            return torch.cat([self.text(batch) for batch in ids])


def load(folder: Path) -> Clap:
    """Load a transformers ClapModel folder. Raises UnknownSpace (another kind, one with fusion), WeightsMismatch."""
    values = read_json(folder / "config.json")
    if values.get("model_type") != "clap":
        raise UnknownSpace(f"{folder} holds no CLAP model; name one, such as laion/clap-htsat-unfused")
    if values.get("audio_config", {}).get("enable_fusion"):
        raise UnknownSpace(f"{folder} is a CLAP model with fusion, which is not supported; use laion/clap-htsat-unfused")
    weights, dim = renamed(read_weights(folder), CLAP), values.get("projection_dim", 512)
    c = audio_tower(values.get("audio_config", {}), processor_values(folder, "feature_extractor"), dim)
    text = text_tower(values.get("text_config", {}), dim)
    audio, text_model = Htsat(c), ClapText(text)
    fill(audio, fold_batch_norm(part(weights, "audio.")))
    fill(text_model, fold_positions(part(weights, "text."), weights["embeddings.token_type_embeddings.weight"], text.pad))
    prep = Prep(context=CONTEXT, pad=text.pad, clean="none", pad_to_context=False)
    return Clap(audio.eval(), c, text_model.eval(), Words(read_tokenizer(folder / "tokenizer.json"), prep))


EXTRACTOR = {
    "feature_extractor_type", "processor_class", "feature_size", "fft_window_size", "frequency_max", "frequency_min", "hop_length",
    "max_length_s", "chunk_length_s", "n_fft", "nb_mel_bins", "nb_frequency_bins", "nb_max_samples", "padding", "padding_side",
    "padding_value", "return_attention_mask", "sampling_rate", "top_db", "truncation",
}  # fmt: skip
"""Settings of a ClapFeatureExtractor."""


def audio_tower(values: dict[str, Any], pre: dict[str, Any], dim: int) -> HtsatTower:
    """Read audio_config and the feature extractor's settings; what they leave out has clap-htsat-unfused's value.

    Raises UnknownSpace on a setting that is unknown or not supported.
    """
    mels = values.get("num_mel_bins", 64)
    wanted = {"padding": "repeatpad", "top_db": None, "padding_value": 0, "feature_size": mels, "truncation": "rand_trunc"}
    strange = [name for name, value in wanted.items() if pre.get(name, value) != value] + sorted(set(pre) - EXTRACTOR)
    if strange:
        raise UnknownSpace(f"the CLAP model's feature extractor has {strange[0]} = {pre[strange[0]]!r}, which is not supported")
    depths, width = tuple(values.get("depths", (2, 2, 6, 2))), values.get("patch_embeds_hidden_size", 96)
    heads = values.get("num_attention_heads", [4, 8, 16, 32])
    if [n // heads[0] for n in heads] != [2**i for i in range(len(heads))]:
        raise UnknownSpace(f"a CLAP model with {heads} heads is not supported; use laion/clap-htsat-unfused")
    patch = values.get("patch_size", 4)
    if values.get("projection_hidden_act", "relu") != "relu" or values.get("patch_stride", [patch, patch]) not in (
        patch,
        [patch, patch],
    ):
        raise UnknownSpace(
            "a CLAP model with overlapping patches, or another projection, is not supported; use laion/clap-htsat-unfused"
        )
    hop = pre.get("hop_length", 480)
    return HtsatTower(
        frames=pre.get("nb_max_samples", 480_000) // hop + 1, mels=mels,
        rate=pre.get("sampling_rate", 48_000), fft=pre.get("fft_window_size", 1024), hop=hop,
        low=pre.get("frequency_min", 50), high=pre.get("frequency_max", 14_000), pad="reflect", repeat=True, strides=(),
        width=width, layers=sum(depths), heads=heads[0], mlp=int(width * values.get("mlp_ratio", 4)),
        act=ACTS[values.get("hidden_act", "gelu")], eps=values.get("layer_norm_eps", 1e-5), stages=depths,
        side=values.get("spec_size", 256), patch=patch, window=values.get("window_size", 8), dim=dim,
    )  # fmt: skip


def text_tower(values: dict[str, Any], dim: int) -> TextTower:
    """Read text_config: RoBERTa, whose positions begin after that of padding."""
    pad = values.get("pad_token_id", 1)
    if values.get("hidden_act", "gelu") != "gelu" or values.get("projection_hidden_act", "relu") != "relu":
        raise UnknownSpace(
            "a CLAP model with another activation in its text tower is not supported; use laion/clap-htsat-unfused"
        )
    return TextTower(
        vocab=values.get("vocab_size", 50_265), context=values.get("max_position_embeddings", 514) - pad - 1,
        width=values.get("hidden_size", 768), layers=values.get("num_hidden_layers", 12),
        heads=values.get("num_attention_heads", 12), mlp=values.get("intermediate_size", 3072), act="gelu",
        eps=values.get("layer_norm_eps", 1e-12), mask="padding", pool="first", pad=pad, post_norm=True, dim=dim,
    )  # fmt: skip


def part(weights: Weights, prefix: str) -> Weights:
    """Return the weights under a prefix, without it."""
    return {name.removeprefix(prefix): tensor for name, tensor in weights.items() if name.startswith(prefix)}


def fold_batch_norm(weights: Weights, eps: float = 1e-5) -> Weights:
    """Replace the batch norm over the bands by a gain and a shift."""
    scale, shift, mean, var = (weights.pop(f"norm_in.{n}") for n in ("weight", "bias", "running_mean", "running_var"))
    gain = scale / (var + eps).sqrt()
    return weights | {"gain": gain, "shift": shift - mean * gain}


def fold_positions(weights: Weights, types: Tensor, pad: int) -> Weights:
    """Return RoBERTa's positions from the first that tokens use, with the one segment embedding added."""
    return weights | {"backbone.pos_embed": weights["backbone.pos_embed"][pad + 1 :] + types[0]}


def add_clap(space: Space, clap: Clap, target: Path, name: str, words: Sequence[str], origin: str = "") -> SpaceConfig:
    """Copy a space and add a CLAP audio tower: a new folder, whole or not at all. Returns its config.

    The other towers stay as they are, so the vectors of existing libraries stay valid. Raises UnknownSpace if it exists.
    """
    if target.exists():
        raise UnknownSpace(f"{target} is there already; choose another name")
    alignment, recall = train_alignment(space, clap, words)
    c = replace(clap.c, clap_dim=clap.c.dim, alignment=WIDTH_FACTOR * clap.c.dim, dim=space.dim)
    tower = Htsat(c)
    tower.load_state_dict(clap.audio.state_dict() | {f"alignment.{n}": x for n, x in alignment.state_dict().items()}, strict=True)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}-") as scratch:
        made = Path(scratch) / "space"
        shutil.copytree(space.folder, made)
        card = {"audio": {"from": origin, "words": len(words), "recall@1 of words held out": round(recall, 4)}}
        config = add_audio_tower(made, tower.eval(), c, examples(c), name=name, card=card)
        made.rename(target)
    return config


def train_alignment(space: Space, clap: Clap, words: Sequence[str]) -> tuple[Alignment, float]:
    """Return the alignment, and recall@1 of its vectors among words that it was not trained on."""
    torch.manual_seed(0)
    texts = [template.format(word) for word in words for template in TEMPLATES]
    z_in, z_out = clap.encode_text(texts), torch.from_numpy(space.text(texts))
    tested = torch.from_numpy(np.random.default_rng(0).random(len(words)) < HELD_OUT).repeat_interleave(len(TEMPLATES))
    alignment, trained = Alignment(clap.c.dim, WIDTH_FACTOR * clap.c.dim, space.dim), (~tested).nonzero()[:, 0]
    optimizer = torch.optim.AdamW(alignment.parameters(), RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, STEPS)
    for _ in range(STEPS):
        rows = trained[torch.randperm(len(trained))[:BATCH]]
        noisy = normalize(z_in[rows] + NOISE / z_in.shape[1] ** 0.5 * torch.randn_like(z_in[rows]), dim=-1)
        z = normalize(alignment(noisy), dim=-1)
        loss = clip_loss(z, z_out[rows], torch.tensor(SCALE)) + 1 - (z * z_out[rows]).sum(dim=-1).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    plain = tested.nonzero()[:: len(TEMPLATES), 0]
    with torch.inference_mode():
        scores = (normalize(alignment(z_in[plain]), dim=-1) @ z_out[plain].T).numpy()
    return alignment, float(recall_at_k(scores, np.eye(len(plain), dtype=bool), 1)) if len(plain) else 0.0


def examples(c: HtsatTower) -> np.ndarray:
    """Return spectrograms of noise, clicks and tones, on which quantized weights are compared: float32 (B, M, frames)."""
    rng, t = np.random.default_rng(0), np.arange(int(c.seconds * c.rate)) / c.rate
    tones = [np.sin(2 * np.pi * f * t) * np.exp(-t * d) for f, d in ((220, 0.2), (1000, 2.0), (5000, 0.0))]
    clicks = (np.abs(np.sin(2 * np.pi * 2 * t)) > 0.999) * rng.normal(0, 0.5, len(t))
    sounds = [rng.normal(0, 0.1, len(t)), clicks, *(0.3 * tone + rng.normal(0, 0.01, len(t)) for tone in tones)]
    return np.stack([spectrogram(sound.astype(np.float32), c) for sound in sounds])


def vocabulary_words(space: Space) -> list[str]:
    """Return whole words of the space's own vocabulary, the default texts for training the alignment."""
    vocabulary = space.words.tokenizer.get_vocab()
    if any(token.endswith("</w>") for token in vocabulary):  # CLIP's: what does not end a word is a part of one
        words = {token.removesuffix("</w>") for token in vocabulary if token.endswith("</w>")}
    elif begin := next((sign for sign in ("▁", "Ġ") if any(token.startswith(sign) for token in vocabulary)), ""):
        words = {token.removeprefix(begin) for token in vocabulary if token.startswith(begin)}
    else:  # WordPiece's parts begin with ##
        words = set(vocabulary)
    return sorted(word for word in words if word.isascii() and word.isalpha() and 3 <= len(word) <= 16)
