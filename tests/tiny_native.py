"""A tiny native model with random weights, and documents for it."""

import json
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from samespace.core.assistant_config import LanguageModel
from samespace.core.config import AudioTower
from samespace.core.native_config import MARKS, NativeConfig
from samespace.generate.native import Native
from samespace.models.generate.native import NativeTransformer
from samespace.preprocess.stream import StreamWords


def native_tokenizer() -> Tokenizer:
    """Return a tokenizer with a token for each byte, and the marks."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({c: i for i, c in enumerate(alphabet)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(list(MARKS))
    return tokenizer


def tiny_config(encoder: int = 0) -> NativeConfig:
    """Return settings of a model for pictures of 16 pixels and sounds of 8 frames. encoder: blocks of a vision encoder."""
    lm = LanguageModel(
        vocab=261, context=96, width=48, layers=2, heads=3, kv_heads=3, head_dim=16, mlp=96, rope_base=1000.0, rope_sections=(4, 2, 2),
        qk_norm=True, end=(260,),
    )  # fmt: skip
    return NativeConfig("tiny", lm=lm, encoder=encoder, size=16, patch=8, audio=AudioTower(frames=8, mels=16))


def tiny_native(encoder: int = 0) -> Native:
    """Return a model with random weights."""
    torch.manual_seed(0)
    model = NativeTransformer(tiny_config(encoder))
    for name, weight in model.named_parameters():
        if "to_values" in name:
            torch.nn.init.normal_(weight, std=0.3)
    return Native(model, StreamWords(native_tokenizer(), model.c))


def write_documents(folder: Path, count: int = 12) -> Path:
    """Write documents about red and blue squares and high and low tones, both ways round; return their file."""
    from media_files import tone, write_audio
    from PIL import Image

    rows = []
    for i in range(count):
        colour, rgb = (("red", (230, 20, 20)), ("blue", (20, 20, 230)))[i % 2]
        Image.new("RGB", (20, 20), tuple(int(v) for v in np.array(rgb) + i % 5)).save(folder / f"{i}.png")
        write_audio(folder / f"{i}.wav", tone(0.4, 300.0 if i % 2 else 900.0))
        rows += [
            [colour, {"picture": f"{i}.png"}],
            [{"picture": f"{i}.png"}, colour],
            [{"sound": f"{i}.wav"}, "low" if i % 2 else "high"],
        ]
    file = folder / "documents.jsonl"
    file.write_text("\n".join(json.dumps({"parts": parts}) for parts in rows), "utf-8")
    return file
