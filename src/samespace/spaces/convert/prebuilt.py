"""Models that are ONNX graphs already, as Immich and transformers.js publish them: taken as they are, without torch.

There is no library here to compare them with: the hub's revision and the hashes of the files say what they are.
"""

import hashlib
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ...core.config import LibraryImageTower, LibraryTextTower, Prep, SpaceConfig, to_json
from ...core.errors import UnknownSpace, whole_config
from ...core.files import read_json, sha256_of_files, write_text_atomically
from ...core.new_folder import new_folder
from ..checkpoints.families import check_two_towers
from ..checkpoints.image_processors import CLIP, SIGLIP, open_clip_prep, processor_values, transformers_prep
from ..checkpoints.open_clip_layout import STRIP, open_clip_cleaning
from ..checkpoints.tokenizer_files import MOST_CONTEXT, cleaning_of, pad_id, read_tokenizer
from ..sessions import GRAPH, Tower, checked_length

DATA_ENDINGS = (".data", "_data")
"""Endings of the files beside a graph that hold its weights."""


@dataclass(frozen=True)
class Layout:
    """Where a repository has its two graphs."""

    name: str
    """Who writes it."""
    image: str
    """Image tower, a path in the repository."""
    text: str
    """Text tower."""
    words: str
    """Folder of the tokenizer."""

    @property
    def graphs(self) -> dict[str, str]:
        """Tower → its graph, a path in the repository."""
        return {"image": self.image, "text": self.text}


IMMICH = Layout("Immich", "visual/model.onnx", "textual/model.onnx", "textual")
TRANSFORMERS_JS = Layout("transformers.js", "onnx/vision_model.onnx", "onnx/text_model.onnx", "")
LAYOUTS = (
    IMMICH,
    TRANSFORMERS_JS,
    replace(TRANSFORMERS_JS, image="onnx/vision_model_fp16.onnx", text="onnx/text_model_fp16.onnx"),
)
"""In the order of preference. int8 graphs are left out: a vector would depend on those that are computed with it."""


def layout_of(files: set[str]) -> Layout | None:
    """Return the layout of a repository with these files, or None."""
    return next((layout for layout in LAYOUTS if {layout.image, layout.text} <= files), None)


def layout_in(folder: Path) -> Layout | None:
    """Return the layout of a folder, or None."""
    return next((layout for layout in LAYOUTS if (folder / layout.image).exists() and (folder / layout.text).exists()), None)


def needed(layout: Layout, files: set[str]) -> list[str]:
    """Return which files of a repository a space of it needs: the graphs with their data, and settings."""
    settings = [
        name for name in files if name.endswith((".json", ".txt")) and name.count("/") <= 1 and not name.startswith("onnx/")
    ]
    graphs = [layout.image, layout.text]
    return sorted(
        {
            *settings,
            *graphs,
            *(data for graph in graphs for data in _data_of(graph) if data in files),
        }
    )


def _data_of(graph: str) -> list[str]:
    """Return the names that the file of a graph's weights may have."""
    return [name + ending for name in (graph, graph.removesuffix(".onnx")) for ending in DATA_ENDINGS]


def install(folder: Path, target: Path, name: str, origin: str, short: int = 0) -> SpaceConfig:
    """Write a space folder from a folder of one of the layouts, whole or not at all; `short` as in install.install.

    Raises UnknownSpace, OSError.
    """
    layout = layout_in(folder)
    assert layout is not None  # the caller has looked
    with whole_config(folder, UnknownSpace):
        prep = READERS[layout.name](folder)
    with new_folder(target, "space.json", UnknownSpace) as (made, _):
        dims = {tower: _dim(_copied(folder / graph, made / tower), tower, prep) for tower, graph in layout.graphs.items()}
        if dims["image"] != dims["text"]:
            raise UnknownSpace(
                f"its graphs give vectors of {dims['image']} and {dims['text']} numbers; they do not belong together"
            )
        read_tokenizer(folder / layout.words).save(str(made / "tokenizer.json"))
        library, dim = f"{layout.name}'s ONNX", dims["text"]
        files = sha256_of_files(made)
        config = SpaceConfig(
            name=name or folder.name, origin=origin, logit_scale=_logit_scale(folder), short=checked_length(short, dim), prep=prep, files=files, weights=hashlib.sha256("".join(files.values()).encode()).hexdigest(),
            image=LibraryImageTower(image_size=prep.size, dim=dim, library=library),
            text=LibraryTextTower(context=prep.context, pad=prep.pad, dim=dim, library=library),
            card={"unverified": f"{library} is taken as it is, and there is no library to compare it with"},
        )  # fmt: skip
        write_text_atomically(made / "space.json", to_json(config))
    return config


def _logit_scale(folder: Path) -> float:
    """Return the inverse temperature: a CLIP's is 100; a SigLIP's is its own, like its bias, and in neither graph: 0. Raises UnknownSpace."""
    values = read_json(folder / "config.json")
    return 0.0 if str(values.get("model_type", "")).startswith("siglip") or values.get("init_logit_bias") is not None else 100.0


def _copied(graph: Path, folder: Path) -> Path:
    """Copy a graph, and the files beside it that hold its weights, into a folder, and return its path there. Raises OSError."""
    folder.mkdir()
    for data in (graph.parent / name for name in _data_of(graph.name)):
        if data.exists():
            shutil.copyfile(data, folder / data.name)
    return Path(shutil.copyfile(graph, folder / GRAPH))


def _dim(path: Path, tower: str, prep: Prep) -> int:
    """Return the length of a graph's vectors for a picture or text of these settings. Raises UnknownSpace."""
    graph = Tower(path, most=1)
    if tower == "image":
        inputs = [np.zeros((graph.most, 3, prep.size, prep.size), np.float32)]
    else:
        inputs = [np.ones((graph.most, prep.context), np.int64)] * min(2, len(graph.takes))
    if len(graph.takes) != len(inputs):
        raise UnknownSpace(
            f"its {tower} tower takes {', '.join(graph.takes)}, which is not known here; report it with the model's name"
        )
    try:
        z = graph(*inputs)
    except Exception as error:  # the runtime's own exceptions share no useful base
        raise UnknownSpace(
            f"its {tower} tower does not run on what its settings describe ({str(error)[:150]}); its files do not belong together"
        )
    if z.ndim != 2:
        raise UnknownSpace(f"its {tower} tower gives no vector but {graph.gives} of shape {z.shape}; choose another model")
    return int(z.shape[1])


def _immich(folder: Path) -> Prep:
    """Read Immich's settings: open_clip's config, its preprocessing beside the image tower. Raises UnknownSpace."""
    values = read_json(folder / "config.json")
    settings, t = read_json(folder / "visual/preprocess_cfg.json"), values.get("text_cfg", {})
    side = settings.get("size", values.get("vision_cfg", {}).get("image_size", 224))
    size = side[0] if isinstance(side, list) else side
    named = t.get(
        "hf_tokenizer_name"
    )  # else open_clip's own tokenizer, which pads with 0 whatever the files beside the graph say
    pad = pad_id(folder / "textual", read_tokenizer(folder / "textual"), 0) if named else 0
    prep = replace(open_clip_prep(settings, size), context=t.get("context_length", 77), pad=pad, clean=open_clip_cleaning(t))
    if (t.get("tokenizer_kwargs") or {}).get(STRIP):
        raise UnknownSpace(
            "its tokenizer's end becomes padding, which is not known of this layout; pull open_clip's own repository"
        )
    return prep


def _transformers_js(folder: Path) -> Prep:
    """Read transformers' settings. Raises UnknownSpace."""
    values = read_json(folder / "config.json")
    kind, v, t = values.get("model_type"), values.get("vision_config", {}), values.get("text_config", {})
    check_two_towers(kind, str(folder))
    defaults: dict[str, Any] = SIGLIP if kind == "siglip" else CLIP
    tokenizer = read_tokenizer(folder)
    context = min(int(t.get("max_position_embeddings", 64 if kind == "siglip" else 77)), MOST_CONTEXT)
    size = v.get("image_size") or _processor_side(folder)
    return replace(
        transformers_prep(processor_values(folder), defaults, size), context=context, clean=cleaning_of(folder, str(kind)),
        pad=pad_id(folder, tokenizer, 1 if kind == "siglip" else 49407),
    )  # fmt: skip


def _processor_side(folder: Path) -> int:
    """Return the side of the pictures that a processor makes, where config.json does not say it."""
    values = processor_values(folder)
    size = values.get("crop_size") or values.get("size") or 224
    return int(size if isinstance(size, int) else next(iter(size.values())))


READERS = {"Immich": _immich, "transformers.js": _transformers_js}
"""Layout.name → what reads its preprocessing."""
