"""Settings of models and spaces: flat frozen dataclasses, a docstring under each field, JSON beside the weights."""

import dataclasses
import hashlib
import json
import types
import typing
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from .errors import SamespaceError, UnknownSpace

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

T = TypeVar("T")


@dataclass(frozen=True)
class ImageTower:
    """A ViT as in Dosovitskiy et al. 2020, with the variations of CLIP and SigLIP."""

    arch: str = "vit"
    """Which class is built: `vit`, `flex_vit` for FlexImageTower, `merged_vit` for MergedImageTower, or `hybrid_vit` for
    HybridImageTower."""
    image_size: int = 224
    """Side of the square input, in pixels."""
    patch: int = 32
    """Side of a patch: in pixels, or in cells of a backbone's feature map."""
    width: int = 768
    """Length of a token, D."""
    layers: int = 12
    """Number of transformer blocks."""
    heads: int = 12
    """Number of attention heads, H; divides the width."""
    mlp: int = 3072
    """Hidden width of each block's MLP."""
    act: str = "gelu"
    """gelu, quick_gelu or gelu_tanh."""
    eps: float = 1e-5
    """Epsilon of the layer norms."""
    pool: str = "class"
    """class (a class token), attention (SigLIP's pooling head) or mean (over the patches)."""
    norm_pre: bool = True
    """A layer norm before the first block, as in CLIP."""
    patch_bias: bool = False
    """Whether the linear projection of patches has a bias."""
    dim: int = 512
    """Length of z, E; 0 where the pooled token is z itself (SigLIP)."""
    adapter: int = 0
    """Hidden width of a residual adapter after the tower; 0 for none."""


@dataclass(frozen=True)
class HybridImageTower(ImageTower):
    """A ViT over the feature map of a CNN, with a ConSE prior: the starter's image tower."""

    arch: str = "hybrid_vit"
    """`hybrid_vit`."""
    backbone: str = "efficientnet_lite0"
    """The CNN below the patches: efficientnet_lite0 or efficientnet_lite2."""
    second_branch_at: int = 0
    """Number of backbone blocks shared with a second branch, which has its own copy of the rest; 0 for no second branch."""
    colours: bool = False
    """Whether the second branch also sees the picture's colours, which the backbone discards."""
    classes: int = 0
    """Classes of the ConSE prior; 0 for no prior."""
    prior_dim: int = 0
    """Dimensions of z that hold the ConSE prior; the rest are learned."""
    learned_norm: float = 1.0
    """Length of each learned part of z, where a certain prior has length 1."""


@dataclass(frozen=True)
class FlexImageTower(ImageTower):
    """A ViT for pictures of any shape: SigLIP 2's NaFlex."""

    arch: str = "flex_vit"
    """`flex_vit`."""


@dataclass(frozen=True)
class MergedImageTower(ImageTower):
    """A ViT that reads pictures in their own shape and size, and joins squares of patches: Qwen3-VL's."""

    arch: str = "merged_vit"
    """`merged_vit`."""
    merge: int = 2
    """Side of the square of patches that become one token."""
    frames: int = 2
    """Frames of a film that a patch reaches over; a picture is as many times itself."""
    deep: tuple[int, ...] = ()
    """Blocks whose output is shown too, beside the last's."""


@dataclass(frozen=True)
class LibraryImageTower(ImageTower):
    """An image tower that was exported as another library has it: only its ONNX graph is here, and it cannot be trained."""

    arch: str = "library"
    """`library`."""
    library: str = ""
    """The library that defines it, and its version."""
    model: str = ""
    """The library's name for it."""


@dataclass(frozen=True)
class TextTower:
    """A text transformer: CLIP's, SigLIP's or BERT's."""

    arch: str = "transformer"
    """Which class is built: `transformer`, or `forked_transformer` for ForkedTextTower."""
    vocab: int = 49408
    """Number of token ids, V."""
    context: int = 77
    """Longest text in tokens, T."""
    width: int = 512
    """Length of a token, D."""
    layers: int = 12
    """Number of transformer blocks."""
    heads: int = 8
    """Number of attention heads, H; divides the width."""
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
    """end (the first end-of-text token), first, last (that position) or mean (over all tokens but padding)."""
    end: int = 49407
    """Id of the end-of-text token."""
    pad: int = 0
    """Id of the padding token."""
    dim: int = 512
    """Length of z, E."""
    proj_bias: bool = False
    """Whether the last projection has a bias (SigLIP)."""
    adapter: int = 0
    """Hidden width of a residual adapter after the tower; 0 for none."""

    @property
    def ignores_padding(self) -> bool:
        """Whether what stands after a text's end changes nothing in its vector, as in CLIP: it need not be computed."""
        return self.arch != "library" and self.mask == "causal" and self.pool == "end"


@dataclass(frozen=True)
class ForkedTextTower(TextTower):
    """A text transformer that keeps its pretrained vector and adds learned projections: the starter's text tower."""

    arch: str = "forked_transformer"
    """`forked_transformer`."""
    prior_dim: int = 0
    """Dimensions of z that hold the pretrained vector, projected down where it is longer; 0 for none."""
    n_projections: int = 1
    """Number of unit vectors that the projection gives for the rest of z."""
    second_branch_at: int = 0
    """Number of blocks shared with a second branch, which has its own copy of the rest and feeds the projections; 0 for none."""


@dataclass(frozen=True)
class LibraryTextTower(TextTower):
    """A text tower that was exported as another library has it."""

    arch: str = "library"
    """`library`."""
    library: str = ""
    """The library that defines it, and its version."""


@dataclass(frozen=True)
class NoTextTower(TextTower):
    """In place of a text tower, where a model knows only pictures."""

    arch: str = "none"
    """`none`."""


@dataclass(frozen=True)
class AudioTower:
    """A transformer over chunks of a log-mel spectrogram, and the spectrogram's settings."""

    arch: str = "audio_transformer"
    """Which class is built: `audio_transformer`, or `htsat` for HtsatTower."""
    frames: int = 500
    """Frames of the spectrogram that are encoded at once, F."""
    mels: int = 64
    """Mel bands, M."""
    rate: int = 16_000
    """Samples per second."""
    fft: int = 400
    """Samples per Fourier transform (25 ms)."""
    hop: int = 160
    """Samples from one frame to the next (10 ms)."""
    low: float = 0.0
    """Lowest frequency of the mel bands, in hertz."""
    high: float = 8000.0
    """Highest frequency of the mel bands, in hertz."""
    pad: str = "constant"
    """Padding before the first and after the last sample: `constant` (silence) or `reflect`."""
    repeat: bool = False
    """Repeat short sounds as often as they fit (CLAP); otherwise trim silence and pad."""
    strides: tuple[int, ...] = (2, 2, 2)
    """Strides of the convolutions that make chunks of frames."""
    layers: int = 6
    """Number of transformer blocks."""
    width: int = 256
    """Length of a token, D (HTSAT: in the first stage)."""
    heads: int = 4
    """Number of attention heads, H (HTSAT: in the first stage)."""
    mlp: int = 1024
    """Hidden width of each block's MLP (HTSAT: in the first stage)."""
    act: str = "gelu"
    """gelu, quick_gelu or gelu_tanh."""
    eps: float = 1e-5
    """Epsilon of the layer norms."""
    hopfield_pairs: int = 0
    """Stored pairs of the Hopfield layer after the tower, R; 0 for none."""
    dim: int = 512
    """Length of z, E."""

    @property
    def seconds(self) -> float:
        """Seconds of sound encoded at once."""
        return round(self.frames * self.hop / self.rate, 1)


@dataclass(frozen=True)
class HtsatTower(AudioTower):
    """CLAP's Swin transformer over a spectrogram folded into a square (HTSAT)."""

    arch: str = "htsat"
    """`htsat`."""
    strides: tuple[int, ...] = ()
    """None: patches are cut from a square."""
    stages: tuple[int, ...] = (2, 2, 6, 2)
    """Number of blocks in each stage."""
    side: int = 256
    """Side of the folded spectrogram, in pixels."""
    patch: int = 4
    """Side of a patch, in pixels."""
    window: int = 8
    """Side of an attention window, in patches."""
    clap_dim: int = 0
    """Length of CLAP's own z, where an alignment maps it into another space; 0 for none."""
    alignment: int = 0
    """Hidden width of that alignment; 0 for none."""


@dataclass(frozen=True)
class Prep:
    """How pixels and words become a model's input; it travels with the weights."""

    size: int = 224
    """Side of the square input, in pixels."""
    resize: str = "shortest"
    """shortest (shorter side to size, then centre crop), squash (both sides to size), longest (fit, then pad), patches (as many
    whole patches as there may be, in the picture's proportions) or native (patches of the picture in about its own size)."""
    patch: int = 0
    """Side of a patch, in pixels, where `resize` is patches or native."""
    patches: int = 0
    """Most patches of a picture, there."""
    merge: int = 1
    """Side of the squares of patches that stay together, where `resize` is native."""
    least_pixels: int = 0
    """A picture with fewer is enlarged, there."""
    resize_to: int = 0
    """Side to which a picture is resized before its centre, `size` wide, is cut out; 0 where the two are equal."""
    interpolation: str = "bicubic"
    """bicubic, bilinear, lanczos, box, hamming or nearest: antialiased, on 8-bit pixels."""
    crop: str = "round"
    """How the centre crop halves an odd margin: round (torchvision, open_clip) or floor (transformers)."""
    mean: tuple[float, float, float] = (0.48145466, 0.4578275, 0.40821073)
    """Per channel, for pixels in 0…1."""
    std: tuple[float, float, float] = (0.26862954, 0.26130258, 0.27577711)
    """Per channel, for pixels in 0…1."""
    fill: int = 255
    """Grey level behind transparent pixels."""
    padding: int = 255
    """Grey level of the margins that `longest` adds."""
    context: int = 77
    """Length to which token ids are padded, or cut."""
    pad: int = 0
    """Id of the padding token."""
    pad_to_context: bool = True
    """Pad every text to the context (CLIP, SigLIP), or only to the longest of its batch."""
    clean: str = "clip"
    """Cleaning of text before the tokenizer: clip, whitespace or canonicalize (open_clip's), siglip (transformers') or none."""

    zeroed: int = -1
    """Id of a token that becomes 0 (CLIPA's end of a text); −1 for none."""
    prefix: str = ""
    """What is put before every text: the instruction of a model that was trained with one."""
    suffix: str = ""
    """What is put after every text."""

    @property
    def resized_side(self) -> int:
        """Side to which a picture is resized, in pixels."""
        return self.resize_to or self.size

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of a prepared picture, uint8: (S, S, 3), or (N, 3·patch² + 8) where `resize` is patches or native."""
        return (self.patches, 3 * self.patch**2 + 8) if self.patches else (self.size, self.size, 3)


@dataclass(frozen=True)
class SpaceConfig:
    """space.json: what a space is, and the hashes of its files."""

    name: str = ""
    """Name shown to people, and stored with every library."""
    format: int = 2
    """Version of this layout."""
    image: ImageTower = field(default_factory=ImageTower)
    """The image tower."""
    text: TextTower = field(default_factory=TextTower)
    """The text tower."""
    audio: AudioTower | None = None
    """The audio tower, if there is one."""
    prep: Prep = field(default_factory=Prep)
    """Preprocessing of pictures and words."""
    short: int = 0
    """Numbers of z that are used, the first ones; 0 for all. For models that were trained so (Matryoshka)."""
    logit_scale: float = 100.0
    """Inverse temperature: logits = logit_scale · cosine + logit_bias; 0 where it is not known."""
    logit_bias: float | None = None
    """SigLIP's bias; None for softmax-trained spaces."""
    calibration: dict[str, Any] = field(default_factory=dict)
    """Modality → weights of spaces.calibration.FEATURES and a constant, which turn scores into probabilities."""
    licence: str = ""
    """Licence of the weights."""
    origin: str = ""
    """Where the weights came from."""
    weights: str = ""
    """sha256 over the fp32 weights of the image and text towers."""
    audio_weights: str = ""
    """sha256 over the fp32 weights of the audio tower, which may change without making other vectors incomparable."""
    files: dict[str, str] = field(default_factory=dict)
    """sha256 of every other file of the folder."""
    card: dict[str, Any] = field(default_factory=dict)
    """How it was trained and exported, with the numbers measured."""

    @property
    def dim(self) -> int:
        """Length of z."""
        return self.short or self.text.dim

    @property
    def has_words(self) -> bool:
        """Whether there is a text tower."""
        return not isinstance(self.text, NoTextTower)

    @property
    def fingerprint(self) -> str:
        """12 hex digits that name the vectors: same weights, architecture and preprocessing, same vectors.

        Precision is left out: an int8 export is accepted only where its vectors can replace the fp32 ones. So are fields
        at their default, so that a field added later does not change old fingerprints.
        """
        identity: list[object] = [self.weights, *(non_default_fields(part) for part in (self.image, self.text, self.prep))]
        identity += [self.short] if self.short else []
        return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:12]


def non_default_fields(config: "DataclassInstance") -> dict[str, Any]:
    """Return the fields of a dataclass that differ from their defaults."""
    return {f.name: v for f in dataclasses.fields(config) if (v := getattr(config, f.name)) != f.default}


def to_json(config: "DataclassInstance") -> str:
    """Return a dataclass as indented JSON."""
    return json.dumps(dataclasses.asdict(config), indent=2, ensure_ascii=False) + "\n"


def config_from_file(file: Path, kind: type[T], error: type[SamespaceError], mend: str) -> T:
    """Build a dataclass from a model's config file. Raises `error`; its sentence ends with `mend`, what gives the folder anew."""
    try:
        values = json.loads(file.read_text("utf-8"))
        if not isinstance(values, dict):
            raise ValueError("it is not an object")
    except (OSError, ValueError) as reason:
        raise error(f"{file.parent} holds no readable {file.name} ({reason}); remove it, or {mend}") from None
    if values.get("format") != (current := vars(kind)["format"]):
        raise error(f"{file.parent} has format {values.get('format')}, this version reads {current}; {mend}")
    return from_dict(kind, values, error)


def from_dict(kind: type[T], values: dict[str, Any], error: type[SamespaceError] = UnknownSpace) -> T:
    """Build a dataclass from plain values, nested ones too; `arch` chooses among a class and its subclasses.

    Raises `error` on an unknown key, an unknown `arch` or a wrong type.
    """
    kind = _class_for(kind, values, error)
    fields = {f.name: f for f in dataclasses.fields(kind)}  # type: ignore[arg-type]
    if unknown := sorted(set(values) - set(fields)):
        raise error(f"unknown setting {unknown[0]!r} for {kind.__name__}; it takes: {', '.join(fields)}")
    made = {}
    for name, value in values.items():
        options = _options(fields[name].type)
        nested = next((option for option in options if dataclasses.is_dataclass(option)), None)
        if nested is not None and isinstance(value, dict):
            value = from_dict(nested, value, error)
        value = tuple(value) if isinstance(value, list) else value
        value = float(value) if float in options and isinstance(value, int) else value
        if not isinstance(value, tuple(typing.get_origin(option) or option for option in options)):
            raise error(f"setting {name!r} of {kind.__name__} is {value!r}, which is of the wrong type; correct the file")
        made[name] = value
    return kind(**made)


def _class_for(kind: type[T], values: dict[str, Any], error: type[SamespaceError]) -> type[T]:
    """Return the class, of `kind` and its subclasses, whose `arch` the values name."""
    arch = values.get("arch", getattr(kind, "arch", None))
    archs = {getattr(one, "arch", None): one for one in (kind, *_subclasses(kind))}
    if arch not in archs:
        raise error(f"arch {arch!r} is not one of {', '.join(map(str, archs))}; upgrade samespace, or correct the file")
    return archs[arch]


def _subclasses(kind: type[T]) -> Iterator[type[T]]:
    for one in kind.__subclasses__():
        yield one
        yield from _subclasses(one)


def _options(annotation: Any) -> tuple[type, ...]:
    """Return the types that an annotation allows: those of a union, or the one."""
    return typing.get_args(annotation) if isinstance(annotation, types.UnionType) else (annotation,)
