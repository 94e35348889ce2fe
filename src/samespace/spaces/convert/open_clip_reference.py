"""Any model that open_clip builds, from a folder with open_clip_config.json."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import torch
import torch.nn.functional as F
from PIL import Image
from tokenizers import Tokenizer
from torch import Tensor

from ...core.config import LibraryImageTower, LibraryTextTower, SpaceConfig
from ...core.files import read_json
from ...models.layers import Tap
from ..checkpoints.checkpoint import Checkpoint
from ..checkpoints.image_processors import open_clip_prep
from ..checkpoints.open_clip_layout import STRIP, open_clip_cleaning
from ..checkpoints.tokenizer_files import read_tokenizer
from .reference import LibraryEncoder, Reference, reading


class OpenClipEncoder(LibraryEncoder):
    """open_clip's towers."""

    def __init__(self, model: Any):
        super().__init__(model, model.logit_scale, getattr(model, "logit_bias", None))

    def encode_image(self, pixels: Tensor, tap: Tap | None = None) -> Tensor:
        """float32 (B, 3, S, S) → z: (B, E), unit length."""
        return F.normalize(self.model.encode_image(pixels), dim=-1)

    def encode_text(self, ids: Tensor, tap: Tap | None = None) -> Tensor:
        """int64 (B, T) → z: (B, E), unit length."""
        return F.normalize(self.model.encode_text(ids), dim=-1)


class OpenClipReference(Reference):
    """A model as open_clip runs it."""

    library = f"open_clip {open_clip.__version__}"

    def __init__(self, folder: Path):
        """Read a folder. Raises UnknownSpace where open_clip cannot."""
        torch.backends.mha.set_fastpath_enabled(False)  # its fused layers cannot be exported
        self.folder = folder
        with reading("open_clip", folder):
            self.model, self.preprocess = open_clip.create_model_from_pretrained(f"local-dir:{folder}")
            self.tokenize = open_clip.get_tokenizer(f"local-dir:{folder}")
        self.model.eval()
        model_cfg: dict[str, Any] = read_json(folder / "open_clip_config.json")["model_cfg"]
        self.vision_cfg, self.text_cfg = model_cfg["vision_cfg"], model_cfg["text_cfg"]

    @torch.inference_mode()
    def image(self, pictures: Sequence[Image.Image]) -> np.ndarray:
        """RGB pictures of any size → z: float32 (B, E), unit length."""
        pixels = torch.stack([self.preprocess(picture) for picture in pictures])
        return np.asarray(F.normalize(self.model.encode_image(pixels), dim=-1).float())

    @torch.inference_mode()
    def text(self, texts: Sequence[str]) -> np.ndarray:
        """Texts → z: float32 (B, E), unit length."""
        return np.asarray(F.normalize(self.model.encode_text(self.tokenize(list(texts))), dim=-1).float())

    def ids(self, texts: Sequence[str]) -> np.ndarray:
        """Texts → token ids, padded: int64 (B, T)."""
        return np.asarray(self.tokenize(list(texts)))

    def words(self) -> tuple[Tokenizer, str]:
        """Return its tokenizer (of open_clip's wrappers around transformers' the one inside), and the cleaning before it."""
        inside = getattr(getattr(self.tokenize, "tokenizer", None), "backend_tokenizer", None)
        tokenizer = Tokenizer.from_str(inside.to_str()) if inside is not None else read_tokenizer(self.folder)
        return tokenizer, open_clip_cleaning(self.text_cfg)

    def checkpoint(self) -> Checkpoint:
        """Return the model as it can be exported. Raises UnknownSpace on a setting of its preprocessing that is not known here."""
        settings = open_clip.get_model_preprocess_cfg(self.model)
        size = settings["size"][0] if isinstance(settings["size"], tuple | list) else settings["size"]
        settings = {name: list(value) if isinstance(value, tuple) else value for name, value in settings.items()}
        ids = self.ids(["a"])
        pad, context, dim = int(ids[0, -1]), ids.shape[1], self.text(["a"]).shape[1]
        tokenizer, clean = self.words()
        end = self.tokenize.tokenizer.sep_token_id if getattr(self.tokenize, STRIP, False) else -1
        prep = replace(open_clip_prep(settings, size), context=context, pad=pad, clean=clean, zeroed=end)
        name = str(self.vision_cfg.get("timm_model_name") or self.text_cfg.get("hf_model_name") or "")
        encoder = OpenClipEncoder(self.model)
        config = SpaceConfig(
            image=LibraryImageTower(image_size=size, dim=dim, library=self.library, model=name),
            text=LibraryTextTower(context=context, pad=pad, dim=dim, library=self.library),
            prep=prep, logit_scale=encoder.logit_scale.exp().item(),
            logit_bias=None if encoder.logit_bias is None else encoder.logit_bias.item(),
        )  # fmt: skip
        return Checkpoint(encoder, config, tokenizer)
