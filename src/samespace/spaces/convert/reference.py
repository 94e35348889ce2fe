"""A model in the library that defines it: its vectors, and what can be made into a space of it."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image
from tokenizers import Tokenizer
from torch import Tensor, nn

from ...core.errors import UnknownSpace, error_summary
from ...models.clip import DualEncoder

if TYPE_CHECKING:
    from ..checkpoints.checkpoint import Checkpoint


@contextmanager
def reading(library: str, folder: Path) -> Iterator[None]:
    """Raise UnknownSpace where `library` cannot read a folder, whatever its many classes raise."""
    try:
        yield
    except Exception as error:
        raise UnknownSpace(
            f"{library} cannot read {folder} ({error_summary(error)}); check that its files belong together"
        ) from None


class Reference:
    """A model as its own library runs it, its own preprocessing and tokenizer included. Subclasses of one tower have that one's methods."""

    library: str
    """The library and its version, such as "open_clip 3.3.0"."""
    towers: tuple[str, ...] = ("image", "text")
    """What it has."""

    def image(self, pictures: Sequence[Image.Image]) -> np.ndarray:
        """RGB pictures of any size → z: float32 (B, E), unit length."""
        raise NotImplementedError

    def text(self, texts: Sequence[str]) -> np.ndarray:
        """Texts → z: float32 (B, E), unit length."""
        raise NotImplementedError

    def words(self) -> tuple[Tokenizer, str]:
        """Return its tokenizer, and the cleaning before it as Prep.clean names it."""
        raise NotImplementedError

    def checkpoint(self) -> "Checkpoint":
        """Return the model as it can be exported. Raises UnknownSpace where its preprocessing cannot be had outside the library."""
        raise NotImplementedError


class LibraryEncoder(DualEncoder):
    """A library's model in the shape of a DualEncoder: tensors in, unit vectors out. Subclasses call the library."""

    def __init__(self, model: Any, logit_scale: Tensor | None, logit_bias: Tensor | None):
        super().__init__(nn.Identity(), nn.Identity(), bias=logit_bias is not None)
        self.model = model
        if logit_scale is not None:
            self.logit_scale = nn.Parameter(logit_scale.detach().float().reshape(()))
        if logit_bias is not None:
            self.logit_bias = nn.Parameter(logit_bias.detach().float().reshape(()))
