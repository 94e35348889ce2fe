"""Models that know pictures and no words: image towers of transformers (DINOv2, DINOv3, ViT) and of timm."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
import torch.nn.functional as F
import transformers
from PIL import Image
from timm.data.config import resolve_model_data_config
from timm.data.transforms_factory import create_transform
from torch import Tensor

from ...core.config import LibraryImageTower, NoTextTower, Prep, SpaceConfig
from ...core.errors import UnknownSpace, UnsupportedModel
from ...core.files import read_json
from ...models.layers import Tap
from ..checkpoints.checkpoint import Checkpoint
from ..checkpoints.image_processors import SIGLIP, transformers_prep
from .reference import LibraryEncoder, Reference, reading
from .transformers_reference import loaded


class PictureEncoder(LibraryEncoder):
    """A library's image tower."""

    def __init__(self, model: Any):
        super().__init__(model, None, None)

    def encode_image(self, pixels: Tensor, tap: Tap | None = None) -> Tensor:
        """float32 (B, 3, S, S) → z: (B, E), unit length."""
        output = self.model(pixels)
        if not isinstance(output, Tensor):  # without a pooler, the class token
            output = output.last_hidden_state[:, 0] if output.pooler_output is None else output.pooler_output
        return F.normalize(output, dim=-1)


class PictureReference(Reference):
    """An image tower as its library runs it. Subclasses open it and prepare a picture."""

    towers = ("image",)
    model: Any

    def prepare(self, picture: Image.Image) -> Tensor:
        """An RGB picture of any size → float32 (1, 3, S, S)."""
        raise NotImplementedError

    def prep(self, size: int) -> Prep:
        """Return the same preparation as our settings, to `size` pixels. Raises UnsupportedModel."""
        raise NotImplementedError

    @torch.inference_mode()
    def image(self, pictures: Sequence[Image.Image]) -> np.ndarray:
        """RGB pictures of any size → z: float32 (B, E), unit length."""
        encoder = PictureEncoder(self.model)
        return np.concatenate([encoder.encode_image(self.prepare(picture)).numpy() for picture in pictures])

    def checkpoint(self) -> Checkpoint:
        """Return the model as it can be exported. Raises UnknownSpace on a setting of its preprocessing that is not known here."""
        blank = Image.new("RGB", (300, 200))
        size, dim = self.prepare(blank).shape[-1], self.image([blank]).shape[1]
        config = SpaceConfig(
            image=LibraryImageTower(image_size=size, dim=dim, library=self.library, model=type(self.model).__name__),
            text=NoTextTower(dim=dim), prep=self.prep(size),
        )  # fmt: skip
        return Checkpoint(PictureEncoder(self.model), config, None)


class TransformersPictures(PictureReference):
    """An image tower of transformers: the vector that it pools its tokens to."""

    library = f"transformers {transformers.__version__}"

    def __init__(self, folder: Path):
        """Read a folder; code in it is never run. Raises UnknownSpace where transformers cannot."""
        local: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
        with reading("transformers", folder):
            self.model = self._loaded(folder)
            self.processor = transformers.AutoImageProcessor.from_pretrained(folder, backend="pil", **local)

    @staticmethod
    def _loaded(folder: Path) -> Any:
        """Return the model; a ViT whose files have no pooler, as those with a classifier, without one."""
        try:
            return loaded(folder)
        except UnknownSpace:
            if read_json(folder / "config.json").get("model_type") != "vit":
                raise
            return loaded(folder, add_pooling_layer=False)

    def prepare(self, picture: Image.Image) -> Tensor:
        """An RGB picture of any size → float32 (1, 3, S, S).

        DINOv3's pixels are whole numbers after resizing, as in Meta's own code; transformers resizes unrounded ones.
        """
        settings = {}
        if type(self.processor).__name__.startswith("DINOv3"):
            size = self.processor.size
            picture = picture.resize((size["width"], size["height"]), Image.Resampling(int(self.processor.resample)))
            settings["do_resize"] = False
        pixels: Tensor = self.processor(images=[picture], return_tensors="pt", **settings)["pixel_values"]
        return pixels

    def prep(self, size: int) -> Prep:
        """Return the image processor's settings. Raises UnsupportedModel."""
        return transformers_prep(self.processor.to_dict(), SIGLIP, size)


class TimmPictures(PictureReference):
    """A model of timm, without its classifier."""

    library = f"timm {timm.__version__}"

    def __init__(self, folder: Path):
        """Read a folder. Raises UnknownSpace where timm cannot."""
        with reading("timm", folder):
            self.model = timm.create_model(f"local-dir:{folder}", pretrained=True, num_classes=0).eval()
        self.settings = resolve_model_data_config(self.model)
        self.transform = create_transform(**self.settings, is_training=False)

    def prepare(self, picture: Image.Image) -> Tensor:
        """An RGB picture of any size → float32 (1, 3, S, S)."""
        pixels: Tensor = self.transform(picture)[None]
        return pixels

    def prep(self, size: int) -> Prep:
        """Return timm's data config as our settings. Raises UnsupportedModel."""
        s = self.settings
        if s["crop_mode"] not in ("center", "squash") or s["input_size"] != (3, size, size):
            raise UnsupportedModel(f"timm prepares pictures as {s['crop_mode']!r} of {s['input_size']}, which is not supported")
        side = math.floor(size / s["crop_pct"])
        return Prep(
            size=size, resize="squash" if s["crop_mode"] == "squash" else "shortest", resize_to=side if side != size else 0,
            interpolation=s["interpolation"], mean=tuple(s["mean"]), std=tuple(s["std"]),
        )  # fmt: skip
