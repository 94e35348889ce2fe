"""Flat, frozen settings, each with a docstring under the field; JSON beside the weights."""

import dataclasses
import hashlib
import json
import types
import typing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from .errors import SamespaceError, UnknownSpace

T = TypeVar("T")


@dataclass(frozen=True)
class ImageTower:
    """The architecture of an image tower: a ViT, or a hybrid where `trunk` names a CNN."""

    image_size: int = 224
    """Side of the square input, in pixels."""
    patch: int = 32
    """Side of a patch: in pixels, or in cells of the trunk's feature map."""
    width: int = 768
    """Length of a token, D."""
    layers: int = 12
    heads: int = 12
    """Number of transformer blocks, and of attention heads, H, which divide the width."""
    mlp: int = 3072
    """Hidden width of each block's MLP."""
    act: str = "gelu"
    """gelu, quick_gelu or gelu_tanh."""
    eps: float = 1e-5
    """Epsilon of the layer norms."""
    pool: str = "class"
    """class (a class token) or attention (SigLIP's pooling head)."""
    norm_pre: bool = True
    """A layer norm before the first block, as in CLIP."""
    patch_bias: bool = False
    """Whether the linear projection of patches has a bias."""
    dim: int = 512
    """Length of z, E; 0 where the pooled token is z itself (SigLIP)."""
    trunk: str = ""
    """A CNN below the patches: efficientnet_lite0 or efficientnet_lite2; empty for a plain ViT."""
    fork: int = 0
    colours: bool = False
    """With a trunk: after so many of its blocks a second reader gets a copy of the rest as its own, 0 for none; whether it
    sees the picture's colours, too, which the trunk forgets."""
    classes: int = 0
    """Classes of the trunk whose names' vectors serve as a prior (ConSE); 0 for none."""
    kept: int = 0
    """With a prior: the first numbers of z, which are the prior's; the rest are learned."""
    share: float = 1.0
    """With a prior: length of the learned part, where a certain prior has length 1."""
    connector: int = 0
    """Hidden width of the connector after the tower; 0 for none."""


@dataclass(frozen=True)
class TextTower:
    """The architecture of a text tower: CLIP's, SigLIP's or BERT's."""

    vocab: int = 49408
    context: int = 77
    """Number of token ids, V; longest text in tokens, T."""
    width: int = 512
    """Length of a token, D."""
    layers: int = 12
    heads: int = 8
    """Number of transformer blocks, and of attention heads, H."""
    mlp: int = 2048
    """Hidden width of each block's MLP."""
    act: str = "gelu"
    """gelu, quick_gelu or gelu_tanh."""
    eps: float = 1e-5
    """Epsilon of the layer norms."""
    mask: str = "causal"
    """causal (CLIP), none (SigLIP: padding is attended to) or padding (BERT)."""
    post_norm: bool = False
    """BERT's blocks, with the layer norm after each residual sum."""
    pool: str = "end"
    """end (the first end-of-text token), last (the last position) or mean (over the words)."""
    end: int = 49407
    pad: int = 0
    """Ids of the end-of-text token, and of padding."""
    dim: int = 512
    """Length of z, E."""
    kept: int = 0
    """The first numbers of z, which are the trunk's own vector, or as many numbers made from it as fit."""
    parts: int = 1
    fork: int = 0
    """With `kept`: how many vectors of unit length the projection gives for the rest of z; and after how many blocks it gets
    a copy of the others as its own, 0 for none."""
    proj_bias: bool = False
    """Whether the last projection has a bias (SigLIP)."""
    connector: int = 0
    """Hidden width of the connector after the tower; 0 for none."""


@dataclass(frozen=True)
class AudioTower:
    """The architecture of an audio tower, and how sound becomes what it reads: a log-mel spectrogram."""

    frames: int = 500
    mels: int = 64
    """Frames of the spectrogram that it hears at once, F, and its bands, M."""
    rate: int = 16_000
    fft: int = 400
    hop: int = 160
    """Samples a second; of a Fourier transform, 25 ms; from one frame to the next, 10 ms."""
    low: float = 0.0
    high: float = 8000.0
    """Hertz where the bands begin and end."""
    pad: str = "constant"
    """What stands before the first sample and after the last: `constant` silence, or sound turned back (`reflect`)."""
    repeat: bool = False
    """What is short is repeated as often as it fits (CLAP); else it is trimmed, and silence follows."""
    strides: tuple[int, ...] = (2, 2, 2)
    """Of the convolutions that make chunks of frames; none where the tower is a Swin transformer."""
    layers: int = 0
    """Number of transformer blocks; 0 for no tower."""
    width: int = 256
    heads: int = 4
    mlp: int = 1024
    """Length of a token, D, attention heads, H, and hidden width of each block's MLP; in a Swin transformer of the first stage."""
    act: str = "gelu"
    eps: float = 1e-5
    """gelu, quick_gelu or gelu_tanh; epsilon of the layer norms."""
    stages: tuple[int, ...] = ()
    """Blocks of each stage of a Swin transformer (CLAP's HTSAT); empty for the plain one."""
    side: int = 256
    patch: int = 4
    window: int = 8
    """Of a Swin transformer: pixels along the square of a spectrogram, and along a patch; patches along a window."""
    inner: int = 0
    bridge: int = 0
    associations: int = 0
    """Length of its own z, and hidden width of the bridge that leads from there into the space; 0 for none. Pairs of a key and a
    value that the plain one knows by heart, R."""
    dim: int = 512
    """Length of z, E."""

    @property
    def seconds(self) -> float:
        """How much it hears at once."""
        return round(self.frames * self.hop / self.rate, 1)


@dataclass(frozen=True)
class Prep:
    """How pixels and words are made into a model's input; it travels with the weights."""

    size: int = 224
    """Side of the square input, in pixels."""
    resize: str = "shortest"
    """shortest (shorter side to size, then centre crop), squash (both sides to size) or longest (fit, then pad)."""
    interpolation: str = "bicubic"
    """bicubic or bilinear, antialiased, on 8-bit pixels."""
    crop: str = "round"
    """How the centre crop halves an odd margin: round (torchvision, open_clip) or floor (transformers)."""
    mean: tuple[float, float, float] = (0.48145466, 0.4578275, 0.40821073)
    """Per channel, for pixels in 0…1."""
    std: tuple[float, float, float] = (0.26862954, 0.26130258, 0.27577711)
    """Per channel, for pixels in 0…1."""
    fill: int = 255
    """Grey level behind transparent pixels and padding."""
    context: int = 77
    """Length to which token ids are padded, or cut."""
    pad: int = 0
    """Id of the padding token."""
    pad_to_context: bool = True
    """Pad every text to the context (CLIP, SigLIP), or only to the longest of its batch."""
    clean: str = "clip"
    """Cleaning of text before the tokenizer: clip, canonicalize (open_clip's SigLIP), siglip (transformers') or none."""


@dataclass(frozen=True)
class LanguageModel:
    """The architecture of a language model of Llama's kind. The defaults are SmolLM2-135M's."""

    vocab: int = 49152
    """Number of token ids, V."""
    context: int = 8192
    """Longest prompt and answer together, in tokens."""
    width: int = 576
    """Length of a token, D."""
    layers: int = 30
    """Number of transformer blocks."""
    heads: int = 9
    kv_heads: int = 3
    """Heads of queries, H; of keys and values, by which H is divisible."""
    head_dim: int = 64
    """Length of a head."""
    mlp: int = 1536
    """Hidden width of each block's SwiGLU."""
    eps: float = 1e-5
    rope_base: float = 100000.0
    """Epsilon of the RMS norms; base of the rotary positions' wavelengths."""
    tied: bool = True
    """Whether the head's weights are the embedding's."""
    end: tuple[int, ...] = (2,)
    """Ids that end an answer."""


@dataclass(frozen=True)
class AssistantConfig:
    """assistant.json: what an assistant is beside its weights."""

    name: str = ""
    format: int = 1
    """Shown to people; version of this layout."""
    image: ImageTower = field(default_factory=ImageTower)
    prep: Prep = field(default_factory=Prep)
    lm: LanguageModel = field(default_factory=LanguageModel)
    """The image tower, the preprocessing of pictures, and the language model."""
    layer: int = -1
    """Layer of a ViT tower whose tokens are shown: −1 the last, −2 the one before it (LLaVA)."""
    projector_act: str = "gelu"
    """Activation between the projector's two layers."""
    names: int = 0
    name_tokens: int = 6
    glances: int = 0
    """So many things are known by name. A picture's, of `name_tokens` words, comes before its patches, then those of its parts:
    windows of half its side, `glances` of them along each."""
    reads: bool = False
    """Whether it is told what is written in a picture, where a reader is installed."""
    places: int = 0
    """Each of a view's tokens also says where it stands, on a grid of so many rows and columns; 0 where it does not."""
    tiles: int = 1
    tile_from: float = 1.5
    """Pictures whose sides, or the longer alone, are `tile_from` times the input are shown whole and in at most `tiles` tiles."""
    space: str = ""
    language_model: str = ""
    licence: str = ""
    """The space whose image tower it is, the language model whose weights are kept apart, by name, and the weights' licence."""
    files: dict[str, str] = field(default_factory=dict)
    """sha256 of every other file of the folder."""
    card: dict[str, Any] = field(default_factory=dict)
    """How it was trained, with the numbers measured."""


@dataclass(frozen=True)
class SpaceConfig:
    """space.json: what a space is, and the hashes of its files."""

    name: str = ""
    """Shown to people, and stored with every library."""
    format: int = 1
    """Version of this layout."""
    image: ImageTower = field(default_factory=ImageTower)
    text: TextTower = field(default_factory=TextTower)
    audio: AudioTower = field(default_factory=AudioTower)
    """Its towers; the audio tower, if it has one."""
    prep: Prep = field(default_factory=Prep)
    """Preprocessing."""
    logit_scale: float = 100.0
    """Learned inverse temperature: logits = logit_scale · cosine + logit_bias."""
    logit_bias: float | None = None
    """SigLIP's bias; None for softmax-trained spaces."""
    calibration: tuple[float, ...] = ()
    """What turns scores into probabilities of being relevant: the weights of eval.calibration.FEATURES, and a constant."""
    calibrations: dict[str, Any] = field(default_factory=dict)
    """The same for what is heard (`sound`) and read (`text`)."""
    licence: str = ""
    origin: str = ""
    """Licence of the weights, and where they came from."""
    weights: str = ""
    """sha256 over the fp32 weights that the image and text towers were exported from."""
    audio_weights: str = ""
    """The same of the audio tower, which comes and goes without making the others' vectors strangers."""
    files: dict[str, str] = field(default_factory=dict)
    """sha256 of every other file of the folder."""
    card: dict[str, Any] = field(default_factory=dict)
    """How it was trained and exported, with the numbers measured."""

    @property
    def dim(self) -> int:
        """Length of z."""
        return self.text.dim

    @property
    def fingerprint(self) -> str:
        """12 hex digits that name the vectors: same weights, architecture and preprocessing, same vectors.

        Precision is left out: an int8 export is accepted only where its vectors stand in for the fp32 ones. So are
        settings at their default: one that a later version adds does not make old vectors strangers.
        """
        identity = [self.weights, *(told(part) for part in (self.image, self.text, self.prep))]
        return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:12]


def told(config: Any) -> dict[str, Any]:
    """The settings of a dataclass that differ from their defaults."""
    return {f.name: v for f in dataclasses.fields(config) if (v := getattr(config, f.name)) != f.default}


def to_json(config: Any) -> str:
    """A dataclass as indented JSON."""
    return json.dumps(dataclasses.asdict(config), indent=2, ensure_ascii=False) + "\n"


def from_dict(kind: type[T], values: dict[str, Any], error: type[SamespaceError] = UnknownSpace) -> T:
    """Build a dataclass from plain values, nested ones too. Raises `error` on an unknown key or wrong type."""
    fields = {f.name: f for f in dataclasses.fields(kind)}
    if unknown := sorted(set(values) - set(fields)):
        raise error(f"unknown setting {unknown[0]!r} for {kind.__name__}; it takes: {', '.join(fields)}")
    made = {}
    for name, value in values.items():
        expected = fields[name].type
        if dataclasses.is_dataclass(expected) and isinstance(value, dict):
            value = from_dict(expected, value, error)
        value = tuple(value) if isinstance(value, list) else value
        value = float(value) if expected in (float, float | None) and isinstance(value, int) else value
        plain = expected if isinstance(expected, types.UnionType) else typing.get_origin(expected) or expected
        if not isinstance(value, plain):
            raise error(f"setting {name!r} of {kind.__name__} is {value!r}, which is of the wrong type; correct the file")
        made[name] = value
    return kind(**made)


def json_rows(text: str) -> list[dict[str, Any]]:
    """A JSON list of objects, or an object a line. Raises ValueError."""
    listed = text.lstrip().startswith("[")
    rows = json.loads(text) if listed else [json.loads(line) for line in text.split("\n") if line.strip()]
    if not all(isinstance(row, dict) for row in rows):
        raise ValueError("an entry is not an object")
    return rows


def sha256(path: Path) -> str:
    """Of a file, as hex digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_space_config(folder: Path) -> SpaceConfig:
    """Read FOLDER/space.json. Raises UnknownSpace."""
    try:
        values = json.loads((folder / "space.json").read_text("utf-8"))
        if not isinstance(values, dict):
            raise ValueError("it is not an object")
    except (OSError, ValueError) as error:
        raise UnknownSpace(f"{folder} holds no readable space.json ({error}); remove it, or pull the space again") from None
    if values.get("format") != SpaceConfig.format:
        raise UnknownSpace(
            f"{folder} has format {values.get('format')}, this version reads {SpaceConfig.format}; upgrade samespace"
        )
    return from_dict(SpaceConfig, values)
