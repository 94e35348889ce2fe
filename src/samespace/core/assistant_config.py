"""Settings of assistants and language models, as core.config has those of spaces."""

from dataclasses import dataclass, field
from typing import Any, NamedTuple

from .config import ImageTower, Prep


class Tiling(NamedTuple):
    """How an image was cut into views."""

    columns: int
    rows: int
    """Of tiles, beside the whole; 0 where it has none."""
    width: int
    height: int
    """Of the image, in pixels."""


@dataclass(frozen=True)
class LanguageModel:
    """A language model of Llama's kind: Llama, Mistral, Qwen 2 and 3 (also Qwen3-VL's), SmolLM 2 and 3. The defaults are SmolLM2-135M's."""

    vocab: int = 49152
    """Number of token ids, V."""
    context: int = 8192
    """Longest prompt and answer together, in tokens."""
    width: int = 576
    """Length of a token, D."""
    layers: int = 30
    """Number of transformer blocks."""
    heads: int = 9
    """Query heads, H."""
    kv_heads: int = 3
    """Key and value heads; divides H."""
    head_dim: int = 64
    """Length of a head."""
    mlp: int = 1536
    """Hidden width of each block's SwiGLU."""
    eps: float = 1e-5
    """Epsilon of the RMS norms."""
    rope_base: float = 100000.0
    """Base of the rotary positions' wavelengths."""
    rope_divisors: tuple[float, ...] = ()
    """What each of the head_dim / 2 rotary frequencies is divided by, for longer contexts (linear, Llama 3, YaRN); empty for 1."""
    rope_scale: float = 1.0
    """What the rotary cosines and sines are multiplied by (YaRN)."""
    rope_growth: float = 0.0
    """Factor by which the rotary base grows with a text longer than `rope_trained` (dynamic NTK); 0 where it does not."""
    rope_trained: int = 0
    """Longest text of the training, where `rope_growth` is not 0."""
    rope_sections: tuple[int, ...] = ()
    """Of the head_dim / 2 rotary frequencies, how many turn with a token's time, row and column, which alternate (Qwen3-VL); empty where
    all turn with its place in the text."""
    unrotated: tuple[int, ...] = ()
    """Blocks without rotary positions (SmolLM 3)."""
    qkv_bias: bool = False
    """Whether q, k and v have biases (Qwen 2)."""
    out_bias: bool = False
    """Whether the projection after attention has one (some Llamas)."""
    qk_norm: bool = False
    """Whether each head's q and k pass an RMS norm (Qwen 3)."""
    window: int = 0
    """Latest tokens, itself included, that each attends to (Mistral); 0 for all."""
    tied: bool = True
    """Whether the head's weights are the embedding's."""
    end: tuple[int, ...] = (2,)
    """Ids that end an answer."""
    repetition_penalty: float = 1.0
    """What logits above 0 of tokens that were read or written already are divided by, and those below multiplied (Qwen 2.5: 1.05)."""


@dataclass(frozen=True)
class AssistantConfig:
    """assistant.json: a LLaVA without its weights."""

    arch: str = "llava"
    """Which class is built: `llava`, or that of one of the subclasses."""
    name: str = ""
    """Name shown to people."""
    format: int = 2
    """Version of this layout."""
    image: ImageTower = field(default_factory=ImageTower)
    """The image tower."""
    prep: Prep = field(default_factory=Prep)
    """Preprocessing of pictures."""
    lm: LanguageModel = field(default_factory=LanguageModel)
    """The language model."""
    feature_layer: int = -1
    """Layer of a ViT whose tokens are projected: −1 the last, −2 the one before it (LLaVA)."""
    projector_act: str = "gelu"
    """Activation between the projector's two layers."""
    ocr: bool = False
    """Whether text in pictures is added to the prompt, where a reader is installed."""
    tiles: int = 1
    """Most tiles that a large picture is cut into, beside the whole."""
    tile_from: float = 1.5
    """A picture is tiled where its longer side is at least this many times the input's side."""
    space: str = ""
    """Name of the space whose image tower it is."""
    language_model: str = ""
    """Name of the language model, where its weights are kept apart."""
    licence: str = ""
    """Licence of the weights."""
    origin: str = ""
    """Where it was installed from."""
    files: dict[str, str] = field(default_factory=dict)
    """sha256 of every other file of the folder."""
    card: dict[str, Any] = field(default_factory=dict)
    """How it was trained, with the numbers measured."""


@dataclass(frozen=True)
class AnyresAssistantConfig(AssistantConfig):
    """LLaVA-NeXT or LLaVA-OneVision: a picture is fitted into one of several sizes, and tiled."""

    arch: str = "llava_next"
    """`llava_next`."""
    sizes: tuple[int, ...] = ()
    """The sizes that a picture may be fitted into, in pixels: height, width, height, width, …"""
    most_tiles: int = 0
    """Tiles whose patches a picture's may be as many as before they are shrunk; 0 for any number."""
    alone: bool = False
    """Whether only a picture that is alone in a conversation is tiled; of several, each is put on a square."""


@dataclass(frozen=True)
class ShuffledAssistantConfig(AssistantConfig):
    """SmolVLM or Idefics 3: a picture is enlarged to a length, tiled, and squares of its patches are joined."""

    arch: str = "smolvlm"
    """`smolvlm`."""
    shuffle: int = 4
    """Side of the square of patches that become one token."""
    longest: int = 2048
    """Longer side to which a picture is resized before it is tiled, in pixels; 0 for no tiles."""
    frame: int = 0
    """Longer side to which what is not tiled is resized before it is made square: frames of videos; 0 for at once."""


@dataclass(frozen=True)
class MergedAssistantConfig(AssistantConfig):
    """Qwen3-VL: a picture is read in its own shape and size, and several layers of its MergedImageTower are shown."""

    arch: str = "qwen3_vl"
    """`qwen3_vl`."""


@dataclass(frozen=True)
class LabelledAssistantConfig(AssistantConfig):
    """A LLaVA that is also told what a picture is nearest to in a bank of labels: the starter assistant."""

    arch: str = "labelled_llava"
    """`labelled_llava`."""
    labels: int = 0
    """Number of labels in the bank; 0 for none."""
    label_length: int = 6
    """Tokens of a label, padded."""
    crop_grid: int = 0
    """Crops along each side, of half the picture's side, that each get a token; 0 for none."""
    position_grid: int = 0
    """Side of the learned 2-D position grid; 0 for none."""
