"""Whether an assistant reads and answers as transformers' own model does: measured before it is installed."""

import io
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..core.errors import UnknownAssistant, error_summary
from ..core.machine import free_memory
from ..models.llava import IMAGE_TOKEN, Llava
from ..spaces.convert.verify import pictures
from .chat import Chat
from .engine import Assistant
from .language import Language
from .long_context import LongContext
from .request import Message, Picture

QUESTION = "What is in this picture? Answer in one word."
EXACT = 1e-3
"""Largest difference of a logit, as a share of the largest logit, both in fp32."""
MEMORY_SHARE = 1.3
"""Free memory that transformers' copy of the weights needs, as a multiple of their size."""


def verified(folder: Path, model: Llava, language: Language) -> dict[str, Any]:
    """Return `verified`, by which library and how closely; or `unverified`, and why that could not be measured.

    Raises UnknownAssistant where the token ids or the logits after a prompt with a picture are others than transformers'.
    """
    try:
        import transformers
    except (ImportError, RuntimeError) as error:  # RuntimeError: a torchvision that does not fit its torch
        return {"unverified": f"transformers cannot be imported ({error_summary(error)}); install samespace[convert]"}
    size = 4 * sum(weight.numel() for weight in model.parameters())
    if 0 < free_memory() < MEMORY_SHARE * size:
        return {"unverified": f"there is no memory for a second copy of its {size / 2**30:.0f} GB of weights"}
    data = io.BytesIO()
    pictures()[0].save(data, "PNG")
    picture = Picture(data.getvalue())
    try:
        ids, logits = _theirs(folder, picture)
    except Exception as error:  # whatever transformers' classes raise, on files that do not belong together
        return {"unverified": f"transformers itself fails on it ({error_summary(error)})"}
    by, ours = f"transformers {transformers.__version__}", Assistant(model, Chat(language), long=LongContext())
    prompt, tokens = ours.prompt((Message("user", (picture, QUESTION)),))
    if [None if token == IMAGE_TOKEN else token for token in prompt.ids] != ids:
        raise UnknownAssistant(f"its token ids are not those of {by}, so nothing is installed; report it with the model's name")
    with torch.inference_mode():
        hidden = model.hidden(torch.tensor([prompt.ids]), tokens[picture.digest], positions=prompt.positions)
        difference = float((model.lm.logits(hidden)[0, -1] - logits).abs().max() / logits.abs().max())
    if not difference <= EXACT:  # NaN too
        raise UnknownAssistant(
            f"its answers are not those of {by} (a logit differs by {difference:.2g} of the largest), so nothing is installed; "
            "report it with the model's name"
        )
    return {"verified": {"by": by, "logits_difference": difference}}


def _theirs(folder: Path, picture: Picture) -> tuple[list[int | None], Tensor]:
    """Return a prompt's token ids, None for those of the picture, and the logits after it (V,), as transformers has them."""
    import transformers

    local: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
    model = transformers.AutoModelForImageTextToText.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager", **local
    )
    processor = transformers.AutoProcessor.from_pretrained(folder, **local)
    processor.image_processor = transformers.AutoImageProcessor.from_pretrained(folder, backend="pil", **local)
    turn = {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": QUESTION}]}
    prompt = processor.apply_chat_template([turn], add_generation_prompt=True, enable_thinking=False)
    inputs = processor(images=[[picture.decode(2**20)]], text=[prompt], return_tensors="pt")
    wanted = {name: value for name, value in inputs.items() if name not in ("rows", "cols")}
    with torch.inference_mode():
        logits = model.eval()(**wanted).logits[0, -1]
    image = model.config.image_token_id
    return [None if token == image else token for token in inputs["input_ids"][0].tolist()], logits
