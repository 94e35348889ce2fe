"""CLIP_benchmark's measurements of a space, on datasets in folders: the same numbers, so that published ones can be reproduced.

A folder is one of: CLIP_benchmark's WebDataset layout (`test/nshards.txt`, `test/0.tar`, …, `classnames.txt`,
`zeroshot_classification_templates.txt`, `dataset_type.txt`), pictures with a COCO or Karpathy (Flickr, COCO) caption file, or a
folder of pictures for each class, as ImageNet has. Pictures are decoded as CLIP_benchmark does: as they are stored, without alpha.
"""

import io
import json
import tarfile
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ..core.errors import QueryError
from ..core.machine import usable_cpus
from ..core.metrics import recall_at_k
from ..preprocess.pixels import square
from ..spaces.space import Space
from .retrieval import KS
from .zeroshot import accuracy, label_vectors

PICTURES = (".jpg", ".jpeg", ".png", ".webp")
WINDOW = 256
"""Pictures that are decoded before they are encoded."""
FEW_CLASSES = 5
"""With fewer classes CLIP_benchmark reports no acc5."""


@dataclass(frozen=True)
class Item:
    """A picture with what is known of it."""

    data: bytes
    """The file's content."""
    label: Any
    """Index of its class; 0 or 1 for each class; or its captions."""


@dataclass(frozen=True)
class Dataset:
    """A folder that can be measured on."""

    name: str
    kind: str
    """classification, multilabel or retrieval."""
    items: Callable[[], Iterator[Item]]
    """Reads them, in order."""
    classes: tuple[str, ...] = ()
    templates: tuple[str, ...] = ()
    """Sentences with {} for the class."""

    @property
    def task(self) -> str:
        """CLIP_benchmark's name of the task."""
        return "zeroshot_retrieval" if self.kind == "retrieval" else "zeroshot_classification"


def measure(space: Space, dataset: Dataset) -> dict[str, float]:
    """Return CLIP_benchmark's metrics of a space. Raises QueryError where the dataset cannot be read or lacks names or templates."""
    if dataset.kind != "retrieval" and not (dataset.classes and dataset.templates):
        raise QueryError(f"{dataset.name} has no class names or no templates; write {CLASSES} and {TEMPLATES} into its folder")
    z, labels = encoded(space, dataset.items())
    if not len(z):
        raise QueryError(f"{dataset.name} holds no pictures; check its path")
    return METRICS[dataset.kind](space, z, labels, dataset)


def encoded(space: Space, items: Iterable[Item]) -> tuple[np.ndarray, list[Any]]:
    """Return the pictures' z: float32 (B, E), and their labels. Raises QueryError."""

    def prepared(item: Item) -> np.ndarray:
        try:
            return square(Image.open(io.BytesIO(item.data)).convert("RGB"), space.config.prep)
        except Exception as error:  # whatever Pillow raises
            raise QueryError(f"a picture cannot be read ({error}); download the dataset again") from None

    z, labels, rest = [np.empty((0, space.dim), np.float32)], [], iter(items)
    with ThreadPoolExecutor(usable_cpus()) as pool:
        while window := list(islice(rest, WINDOW)):
            z.append(space.pixels(np.stack(list(pool.map(prepared, window)))))
            labels += [item.label for item in window]
    return np.concatenate(z), labels


def _classification(space: Space, z: np.ndarray, labels: list[Any], dataset: Dataset) -> dict[str, float]:
    metrics = accuracy(space, z, labels, dataset.classes, dataset.templates)
    return metrics if len(dataset.classes) >= FEW_CLASSES else metrics | {"acc5": float("nan")}


def _multilabel(space: Space, z: np.ndarray, labels: list[Any], dataset: Dataset) -> dict[str, float]:
    """Mean over the classes of the average precision of the pictures ranked by their score."""
    scores = z @ label_vectors(space, dataset.classes, dataset.templates).T
    relevant, ranks = np.stack(labels).astype(bool), np.arange(1, len(z) + 1)
    precisions = []
    for k in range(len(dataset.classes)):
        right = relevant[np.argsort(-scores[:, k], kind="stable"), k]
        precisions.append((np.cumsum(right) / ranks)[right].sum() / max(right.sum(), 1))
    return {"mean_average_precision": float(np.mean(precisions))}


def _retrieval(space: Space, z: np.ndarray, labels: list[Any], dataset: Dataset) -> dict[str, float]:
    """recall@k of pictures by each caption, equal captions apart, and of any caption by its picture."""
    owners = np.repeat(np.arange(len(labels)), [len(captions) for captions in labels])
    scores = space.text([caption for captions in labels for caption in captions]) @ z.T
    relevant = owners[:, None] == np.arange(len(labels))
    recalls = {f"image_retrieval_recall@{k}": recall_at_k(scores, relevant, k) for k in KS}
    return recalls | {f"text_retrieval_recall@{k}": recall_at_k(scores.T, relevant.T, k) for k in KS}


METRICS: dict[str, Callable[[Space, np.ndarray, list[Any], Dataset], dict[str, float]]] = {
    "classification": _classification, "multilabel": _multilabel, "retrieval": _retrieval,
}  # fmt: skip
"""Dataset.kind → its metrics."""
CLASSES, TEMPLATES, KIND, SHARDS = "classnames.txt", "zeroshot_classification_templates.txt", "dataset_type.txt", "nshards.txt"
"""Files of CLIP_benchmark's layout."""


def open_dataset(folder: Path, split: str = "test") -> Dataset:
    """Return the dataset in a folder. Raises QueryError where it has none of the layouts."""
    if (folder / split / SHARDS).exists():
        return _shards(folder, split)
    if (captions := _caption_file(folder, split)) is not None:
        return Dataset(folder.name, "retrieval", lambda: (Item(path.read_bytes(), texts) for path, texts in captions))
    classes = sorted(path for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []
    if any(_pictures(path) for path in classes):
        return _class_folders(folder, classes)
    raise QueryError(
        f"{folder} is no dataset: it has neither {split}/{SHARDS}, nor a COCO or Karpathy caption file, nor a folder for each class"
    )


def _caption_file(folder: Path, split: str) -> list[tuple[Path, tuple[str, ...]]] | None:
    """Return pictures and captions of a folder's caption file, of the one named after the split where there are several; None where there
    is none. Raises QueryError.
    """
    files = sorted(folder.glob("*.json"))
    found = {file.name: captions for file in files if (captions := _captions_of(file, split)) is not None}
    chosen = [name for name in found if split in name] or list(found)
    if len(chosen) > 1:
        raise QueryError(f"{folder} has several caption files, {', '.join(chosen)}; name one of them: --split val")
    return [(_find(folder, *name), texts) for name, texts in found[chosen[0]]] if chosen else None


def _shards(folder: Path, split: str) -> Dataset:
    """CLIP_benchmark's WebDataset layout."""
    kind = (_lines(folder / KIND) or ("classification",))[0].lower()
    try:
        count = int(_lines(folder / split / SHARDS)[0])
    except (IndexError, ValueError):
        raise QueryError(
            f"{folder / split / SHARDS} does not say how many tar files there are; write that number into it"
        ) from None
    if kind not in METRICS:
        raise QueryError(f"{folder / KIND} names a {kind!r} dataset; write one of {', '.join(METRICS)} into it")

    def items() -> Iterator[Item]:
        for number in range(count):
            yield from _tar_items(folder / split / f"{number}.tar", kind)

    return Dataset(folder.name, kind, items, _lines(folder / CLASSES), _templates(folder))


def _tar_items(path: Path, kind: str) -> Iterator[Item]:
    """Yield the samples of a tar file: members in a row whose names are equal up to the first dot. Raises QueryError."""
    sample: dict[str, bytes] = {}
    last = None
    try:
        with tarfile.open(path) as archive:
            for member in archive:
                if not member.isfile():
                    continue
                place, _, name = member.name.rpartition("/")
                stem, _, ending = name.partition(".")
                if sample and (place, stem) != last:
                    yield _tar_item(sample, kind)
                    sample = {}
                last = place, stem
                sample[ending.lower()] = archive.extractfile(member).read()  # type: ignore[union-attr]  # it is a file
        if sample:
            yield _tar_item(sample, kind)
    except (OSError, tarfile.TarError, KeyError, ValueError) as error:
        raise QueryError(f"{path} cannot be read ({error!r}); download it again") from None


def _tar_item(sample: dict[str, bytes], kind: str) -> Item:
    picture = next((sample[ending[1:]] for ending in (".webp", ".png", ".jpg", ".jpeg") if ending[1:] in sample), None)
    if picture is None:
        raise ValueError(f"a sample of {', '.join(sample)} has no picture")
    if kind == "retrieval":
        return Item(picture, tuple(sample["txt"].decode("utf-8").splitlines()))
    if kind == "multilabel":
        return Item(picture, np.load(io.BytesIO(sample["npy"]), allow_pickle=False))
    return Item(picture, int(sample["cls"]))


def _captions_of(file: Path, split: str) -> list[tuple[tuple[str, ...], tuple[str, ...]]] | None:
    """Return pictures, folder and name, and captions of a COCO or Karpathy file; None where it is neither. Raises QueryError."""
    try:
        values = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise QueryError(f"{file} cannot be read ({error}); download it again") from None
    images = values.get("images") if isinstance(values, dict) else None
    if not images:
        return None
    try:
        annotations = values.get("annotations")
        if annotations and "caption" in annotations[0]:  # COCO's; it has others, of boxes and of persons
            texts: dict[int, list[str]] = {image["id"]: [] for image in images}
            for annotation in annotations:
                texts[annotation["image_id"]].append(annotation["caption"])
            return [((image["file_name"],), tuple(texts[image["id"]])) for image in images]
        if "sentences" in images[0]:  # Karpathy's
            return [
                ((image.get("filepath", ""), image["filename"]), tuple(s["raw"] for s in image["sentences"]))
                for image in images
                if image.get("split", split) == split
            ]
    except (KeyError, TypeError) as error:
        raise QueryError(f"{file} is no caption file as COCO's or Karpathy's are ({error!r}); download it again") from None
    return None


def _find(folder: Path, *name: str) -> Path:
    """Return a picture beside a caption file, or in its folder `images`. Raises QueryError."""
    places = [folder.joinpath(*name), folder / "images" / name[-1], folder / name[-1]]
    found = next((place for place in places if place.is_file()), None)
    if found is None:
        raise QueryError(f"the picture {name[-1]} is not in {folder} or its folder images; put it there")
    return found


def _class_folders(folder: Path, classes: list[Path]) -> Dataset:
    """A folder for each class; `classnames.txt` names them in the order of the folders' names."""
    names = _lines(folder / CLASSES) or tuple(path.name.replace("_", " ") for path in classes)
    if len(names) != len(classes):
        raise QueryError(f"{folder / CLASSES} names {len(names)} classes, {folder} has {len(classes)} folders; correct it")

    def items() -> Iterator[Item]:
        for label, path in enumerate(classes):
            yield from (Item(picture.read_bytes(), label) for picture in _pictures(path))

    return Dataset(folder.name, "classification", items, names, _templates(folder) or ("a photo of a {}.",))


def _pictures(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in PICTURES)


def _templates(folder: Path) -> tuple[str, ...]:
    """Return the sentences of a folder, in which CLIP_benchmark writes {c} for the class."""
    return tuple(line.replace("{c}", "{}") for line in _lines(folder / TEMPLATES))


def _lines(path: Path) -> tuple[str, ...]:
    """Return a file's lines; none where there is no file."""
    return tuple(line.strip() for line in path.read_text("utf-8").splitlines()) if path.exists() else ()
