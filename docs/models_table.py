"""Make a small random checkpoint of every family as its own library writes it, install it, compare its vectors: python docs/models_table.py

Prints the table of docs/models.md and, with --write, puts it there. Needs samespace[test]; takes about a quarter of an hour.
"""

import contextlib
import io
import logging
import os
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent / "tests"), str(HERE.parent)]
os.environ.setdefault("HF_HUB_OFFLINE", "1")

# isort: off
from benchmarks import torchvision_on_cpu  # noqa: E402, F401  before what imports torchvision

# isort: on
import clip_words  # noqa: E402
import open_clip  # noqa: E402
import tiny_checkpoints as tiny  # noqa: E402
import torch  # noqa: E402
import transformers as T  # noqa: E402

from samespace.core.errors import SamespaceError, UnsupportedModel  # noqa: E402
from samespace.spaces.checkpoints import families, open_clip_names  # noqa: E402
from samespace.spaces.checkpoints.open_clip_layout import towers_of  # noqa: E402
from samespace.spaces.convert import conversion, install, verify  # noqa: E402
from samespace.spaces.space import Space  # noqa: E402

BEGIN, END = "<!-- table: python docs/models_table.py --write -->", "<!-- end of table -->"
Make = Callable[[Path], Path]


@dataclass(frozen=True)
class Row:
    """A kind of checkpoint."""

    label: str
    make: Make
    joins: Make | None = None
    """Of a text model alone: what makes the CLIP that it joins."""
    reference: Callable[[Path], Path] | None = None
    """Of ONNX graphs: the folder of the model that they were made from, which says what is right."""


def processors() -> Iterator[Row]:
    """A transformers CLIP in every layout of its image processor."""
    settings: dict[str, dict[str, Any]] = {
        "as published": {}, "other mean and std": dict(image_mean=[0.5] * 3, image_std=[0.4] * 3), "bilinear": dict(resample=2),
        "Lanczos": dict(resample=1), "squash": dict(size={"height": 64, "width": 64}, do_center_crop=False),
        "resized to 72, cut to 64": dict(size={"shortest_edge": 72}), "not normalized": dict(do_normalize=False),
        "not rescaled": dict(do_rescale=False),
    }  # fmt: skip
    for name, changes in settings.items():
        for new in (False, True):
            file = "processor_config.json" if new else "preprocessor_config.json"
            yield Row(f"transformers CLIP, {file}, {name}", lambda d, c=changes, n=new: tiny.clip(d, clip_tokenizer(d), n, **c))


def clip_tokenizer(folder: Path) -> Any:
    """CLIP's tokenizer, from a folder beside the checkpoint."""
    return tiny.clip_tokenizer(clip_words.write(folder.with_name("clip-words")))


def wrapped(folder: Path, vocabulary: Any = None, **settings: Any) -> Any:
    """A tokenizer in open_clip's wrapper."""
    return tiny.open_clip_tokenizer(vocabulary or clip_tokenizer(folder), folder.with_name(folder.name + "-words"), **settings)


def of_open_clip(name: str, **preprocess: Any) -> Row:
    """A model of open_clip with its own text tower."""
    said = ", ".join(f"{k} {v}" for k, v in preprocess.items())
    return Row(
        f"open_clip {name}{', ' if said else ''}{said}",
        lambda d: tiny.open_clip_folder(name, d, wrapped(d, context_length=77, clean="lower"), **preprocess),
    )


def with_text_of_transformers(name: str, kind: str) -> Row:
    """A model of open_clip with a text tower of transformers."""

    def make(folder: Path) -> Path:
        where, vocabulary = tiny.text_model(folder.with_name(folder.name + "-text"), kind)
        return tiny.open_clip_folder(name, folder, wrapped(folder, vocabulary, context_length=77), where)

    return Row(f"open_clip {name} ({kind})", make)


def siglip_of_open_clip(name: str) -> Row:
    return Row(
        f"open_clip {name}",
        lambda d: tiny.open_clip_folder(name, d, wrapped(d, tiny.gemma_tokenizer(), context_length=64, clean="canonicalize")),
    )


def onnx() -> Iterator[Row]:
    """Graphs as other projects publish them."""
    for name in ("ViT-B-32", "RN50", "MobileCLIP2-S0"):
        yield Row(
            f"Immich's ONNX of {name}",
            lambda d, n=name: tiny.immich(d, n, wrapped(d, context_length=77, clean="lower"), clip_tokenizer(d)),
            reference=lambda d: d.with_name(d.name + "-open_clip"),
        )
    yield Row(
        "transformers.js's ONNX of a CLIP", lambda d: tiny.transformers_js(d, tiny.clip(d.with_name("js-clip"), clip_tokenizer(d))),
        reference=lambda d: d.with_name("js-clip"),
    )  # fmt: skip
    yield Row(
        "transformers.js's ONNX of a SigLIP 2", lambda d: tiny.transformers_js(d, tiny.siglip2(d.with_name("js-siglip"))),
        reference=lambda d: d.with_name("js-siglip"),
    )  # fmt: skip


def rows() -> Iterator[Row]:
    """Every kind of checkpoint that people have."""
    yield from processors()
    of_transformers = {
        "SigLIP (SentencePiece alone)": tiny.siglip1, "SigLIP 2, fixed size": tiny.siglip2, "SigLIP 2, any shape (NaFlex)": tiny.flex_siglip2,
        "MetaCLIP 2": tiny.metaclip2, "AltCLIP": tiny.altclip, "Chinese-CLIP": tiny.chinese_clip, "ALIGN": tiny.align,
        "VisionTextDualEncoder (ViT and BERT)": tiny.two_encoders, "DINOv2": tiny.dinov2, "DINOv3": tiny.dinov3, "ViT": tiny.vit,
    }  # fmt: skip
    yield from (Row(f"transformers {name}", make) for name, make in of_transformers.items())
    yield Row("transformers CLIP in shards", lambda d: tiny.in_shards(tiny.clip(d, clip_tokenizer(d))))
    yield Row("transformers CLIP in half precision", lambda d: tiny.half(tiny.clip(d, clip_tokenizer(d))))
    yield Row("transformers CLIP in pytorch_model.bin", lambda d: tiny.as_pickle(tiny.clip(d, clip_tokenizer(d))))
    yield Row("transformers CLIP with another vocabulary", tiny.clip_of_other_words)
    for name in ("vit_tiny_patch16_224", "convnext_atto", "mobilenetv3_small_050", "eva02_tiny_patch14_224", "resnet10t"):
        yield Row(f"timm {name}", lambda d, n=name: tiny.timm_folder(d, n))
    for name in tiny.SMALL:
        if "hf_model_name" not in open_clip.get_model_config(name)["text_cfg"] and "SigLIP" not in name and "CLIPA" not in name:
            yield of_open_clip(name)
    yield Row("open_clip ViT-L-14-CLIPA", tiny.clipa)
    yield from (of_open_clip("ViT-B-32", resize_mode=mode) for mode in ("squash", "longest"))
    yield of_open_clip("ViT-B-32", interpolation="bilinear")
    yield from (siglip_of_open_clip(name) for name in tiny.SMALL if "SigLIP" in name)
    for name, kind in {
        "xlm-roberta-base-ViT-B-32": "xlm-roberta",
        "roberta-ViT-B-32": "roberta",
        "nllb-clip-base": "m2m_100",
    }.items():
        yield with_text_of_transformers(name, kind)
    yield Row("sentence-transformers CLIP", lambda d: tiny.clip_of_sentence_transformers(d, clip_tokenizer(d)))
    yield Row(
        "sentence-transformers text model, joined to a CLIP", tiny.sentences, joins=lambda d: tiny.clip(d, clip_tokenizer(d))
    )
    yield Row(
        "sentence-transformers text model with an instruction", lambda d: tiny.sentences(d, prompt="query: "),
        joins=lambda d: tiny.clip(d, clip_tokenizer(d)),
    )  # fmt: skip
    yield Row("Qwen3-VL-Embedding", tiny.qwen3_vl_embedding)
    yield Row("LoRA adapter of a CLIP", lambda d: tiny.lora(d, tiny.clip(d.with_name("lora-base"), clip_tokenizer(d))))
    yield from onnx()
    yield from refused()


def refused() -> Iterator[Row]:
    """What is no space, or not one that can be had."""
    kinds = (
        "clap",
        "llava",
        "llama",
        "whisper",
        "bert",
        "qwen2_5_vl",
        "qwen3_vl",
        "smolvlm",
        "colpali",
        "clip_text_model",
        "blip",
        "kosmos-2",
    )
    for kind in kinds:
        yield Row(f"transformers {kind}", lambda d, k=kind: tiny.config_only(d, {"model_type": k}))
    yield Row("config.json that is a list", lambda d: tiny.config_only(d, []))
    yield Row(
        "code beside the weights (auto_map)",
        lambda d: tiny.config_only(d, {"model_type": "jina_clip", "auto_map": {"AutoModel": "x.Y"}}),
    )
    yield Row("weights that are not numbers", lambda d: tiny.with_nan(tiny.clip(d, clip_tokenizer(d))))
    yield Row(
        "an image processor with a setting that is not known",
        lambda d: tiny.with_strange_setting(tiny.clip(d, clip_tokenizer(d))),
    )
    yield Row("int8 graphs of transformers.js", lambda d: tiny.config_only(d, {"model_type": "clip"}))


def run(row: Row, scratch: Path) -> tuple[str, str]:
    """Return how a checkpoint is installed, and how far its vectors are from its library's; or the sentence by which it is refused."""
    folder = row.make(scratch / "checkpoint")
    try:
        families.check(folder, "org/model", joins="pictures" if row.joins else "")
        if row.joins:
            install.convert(row.joins(scratch / "joined"), scratch / "pictures", precision="fp32")
            config = install.join(folder, scratch / "pictures", scratch / "space", "joined", "")
        else:
            config = install.convert(folder, scratch / "space", precision="fp32")
    except SamespaceError as error:
        return "refused", str(error).replace(str(scratch), "…")
    answers = verify.ask(conversion.open_reference(row.reference(folder))) if row.reference else verify.read(scratch / "space")
    assert answers is not None
    worst = max(verify.largest_differences(verify.differences(Space(scratch / "space"), answers)).values())
    way = getattr(config.image, "library", "") or "samespace's towers"
    if row.joins:
        way = f"samespace's image tower, {config.card['verified']['by'].split(' and ')[-1]}"
    return way, f"{worst:.0e}"


TEXT_KINDS = {"roberta": "roberta", "xlm-roberta": "xlm-roberta", "nllb": "m2m_100"}
"""Beginning of an architecture's name → kind of its text model, whose config is on the hub."""


def names() -> str:
    """Return how open_clip's names are read, one sentence; each name's architecture is built, without weights."""
    ours, theirs, failed = [], [], []
    with tempfile.TemporaryDirectory() as scratch:
        for name in open_clip_names.repositories():
            try:
                towers_of(open_clip.get_model_config(name.split("/")[0]))
                ours.append(name)
            except UnsupportedModel:
                try:
                    build_without_weights(name.split("/")[0], Path(scratch))
                    theirs.append(name)
                except Exception as error:  # whatever its builders raise
                    failed.append(f"{name} ({str(error)[:80]})")
    return (
        f"Of open_clip's {len(ours) + len(theirs) + len(failed)} names, {len(ours)} are read into samespace's towers and {len(theirs)} "
        f"are built by open_clip; {len(failed)} are neither{': ' + '; '.join(failed) if failed else ''}."
    )


def build_without_weights(architecture: str, scratch: Path) -> None:
    """Build an open_clip model with tensors that hold nothing."""
    config = open_clip.get_model_config(architecture)
    if "hf_model_name" in config["text_cfg"]:
        kind = next(kind for start, kind in TEXT_KINDS.items() if architecture.startswith(start))
        config["text_cfg"] |= dict(hf_model_name=tiny.text_model(scratch / kind, kind)[0], hf_model_pretrained=False)
    tiny.factory._MODEL_CONFIGS["bare"] = config
    with torch.device("meta"):
        open_clip.create_model("bare", device="meta", pretrained_hf=False)


def table(only: str = "") -> str:
    """Run every row, and return the table."""
    lines, loaded, wrong = ["| checkpoint | read as | largest difference, or the sentence |", "|---|---|---|"], 0, 0
    for row in rows():
        if only not in row.label:
            continue
        with tempfile.TemporaryDirectory() as scratch, quiet():
            try:
                way, result = run(row, Path(scratch))
            except Exception as error:
                way, result = "FAILED", repr(error)[:300]
        loaded += way not in ("refused", "FAILED") and float(result) <= 1e-5
        wrong += way == "FAILED" or (way != "refused" and float(result) > 1e-5)
        lines.append(f"| {row.label} | {way} | {result} |".replace("\n", " "))
        print(lines[-1], file=sys.stderr, flush=True)
    lines.append(f"\n{loaded} load with no component further than 1e-5 from their library's; {wrong} are wrong.")
    return "\n".join(lines)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep the libraries' talk from the terminal."""
    logging.disable(logging.WARNING)
    T.utils.logging.disable_progress_bar()
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        warnings.simplefilter("ignore")
        yield


def main() -> None:
    """Print the table, or write it."""
    only = next((a for a in sys.argv[1:] if not a.startswith("--")), "")
    with quiet():
        sentence = names()
    text = f"{sentence}\n\n{table(only)}"
    print(text)
    if "--write" in sys.argv:
        page = HERE / "models.md"
        before, _, rest = page.read_text("utf-8").partition(BEGIN)
        page.write_text(before + f"{BEGIN}\n\n{text}\n\n{END}" + rest.partition(END)[2], "utf-8")


if __name__ == "__main__":
    main()
