"""Where pairs come from: folders, tables, tars, Parquet and datasets, on a disk or on object storage.

A source is an IndexedSource (random access, so an epoch is a permutation) or a ShardedSource (items come in the order of
their files, so shards are shuffled, and items within a window). Both yield items that are not read yet: reading and decoding
happen later, in threads. Storage is accessed through fsspec, so `s3://…` works wherever a path does.
"""

import csv
import io
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Generic, NoReturn, Protocol, TypeVar

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ..core.errors import ConfigError, MissingExtra, SamespaceError, UnreadableMedia
from ..media.kinds import kind_of
from .config import Source

WINDOW = 2000
"""Items of shards that are shuffled together."""
IMAGE_COLUMNS = ("filepath", "image", "path", "file_name", "jpg", "png", "webp")
CAPTION_COLUMNS = ("title", "caption", "captions", "text", "txt", "label")
IMAGE_EXTENSIONS = ("jpg", "jpeg", "png", "webp")

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class NamedItem(Protocol):
    """An item of a source."""

    @property
    def name(self) -> str:
        """What reports call it."""
        ...


@dataclass(frozen=True)
class Item:
    """One picture with its captions, not read yet."""

    name: str
    """Path, or shard and key: what reports call it."""
    load: Callable[[], tuple[bytes, tuple[str, ...]]]
    """Returns the file's bytes and the captions; may raise any exception, in the thread that calls it."""


class DataSource(Protocol[T_co]):
    """Items to train on."""

    def epoch(self, rng: np.random.Generator, rank: int, world: int) -> Iterator[T_co]:
        """Yield this process's share of all items, in random order."""
        ...

    def in_order(self) -> Iterator[T_co]:
        """Yield all items, in order."""
        ...


@dataclass(frozen=True)
class IndexedSource(Generic[T]):
    """Items with random access."""

    rows: Sequence[Any]
    make: Callable[[Any], T]
    """Row → item."""

    def epoch(self, rng: np.random.Generator, rank: int, world: int) -> Iterator[T]:
        """Yield this process's share of all items, in random order."""
        for i in rng.permutation(len(self.rows))[rank::world]:
            yield self.make(self.rows[int(i)])

    def in_order(self) -> Iterator[T]:
        """Yield all items, in order."""
        return map(self.make, self.rows)


@dataclass(frozen=True)
class ShardedSource:
    """Items that come in the order of their files."""

    shards: Sequence[Any]
    read: Callable[[Any], Iterator[Item]]
    """Shard → its items."""

    def epoch(self, rng: np.random.Generator, rank: int, world: int) -> Iterator[Item]:
        """Yield the items of this process's share of the shards, in random order; items are shuffled within a window.

        Raises ConfigError where there are fewer shards than processes.
        """
        if len(self.shards) < world:
            raise ConfigError(f"{len(self.shards)} shards cannot be shared by {world} processes; cut them smaller")
        mine = rng.permutation(len(self.shards))[rank::world]
        stream = (item for i in mine for item in self._read_shard(self.shards[int(i)]))
        window = list(islice(stream, WINDOW))
        for item in stream:
            i = int(rng.integers(len(window)))
            yield window[i]
            window[i] = item
        for i in rng.permutation(len(window)):
            yield window[int(i)]

    def in_order(self) -> Iterator[Item]:
        """Yield all items, in order."""
        return (item for shard in self.shards for item in self._read_shard(shard))

    def _read_shard(self, shard: Any) -> Iterator[Item]:
        """Yield a shard's items; where it is truncated, one unreadable item stands for the rest."""
        try:
            yield from self.read(shard)
        except Exception as error:  # readers of tars and Parquet raise many kinds of exceptions
            yield unreadable_item(str(shard), f"the rest of the shard cannot be read ({error})")


def open_source(source: Source) -> DataSource[Item]:
    """Open what a source's path names, by its extension. Raises ConfigError where it is missing or has no pairs."""
    path = source.path
    extension = path.rsplit(".", 1)[-1].lower() if "." in path.rsplit("/", 1)[-1] else ""
    try:
        if path.startswith("hf://"):
            return open_huggingface(source)
        fs, root = fsspec.core.url_to_fs(path)
        if extension not in READERS and fs.isdir(root):
            if fs.exists(f"{root}/dataset_info.json"):
                return open_huggingface(source)
            if fs.exists(f"{root}/dataset_dict.json"):
                splits = json.loads(fs.cat_file(f"{root}/dataset_dict.json"))["splits"]
                raise ConfigError(f"{path} holds {', '.join(splits)}; name one of them: {path}/{splits[0]}")
            return open_folder(source, fs, root)
        if extension not in READERS:
            raise ConfigError(f"{path} is not a folder, nor a .{', .'.join(READERS)} file; check the path")
        return READERS[extension](source, fs, root)
    except SamespaceError:
        raise
    except ImportError as error:  # fsspec names the package that a kind of storage needs
        raise ConfigError(f"{path} needs a package ({error}); for s3:// that is: pip install s3fs") from None
    except Exception as error:  # every kind of storage and file has errors of its own
        raise ConfigError(f"{path} cannot be read as pairs ({error}); check the path and the file") from None


def unreadable_item(name: str, reason: str) -> Item:
    """Return an item whose `load` raises UnreadableMedia."""
    return Item(name, partial(_raise_unreadable, reason))


def _raise_unreadable(reason: str) -> NoReturn:
    raise UnreadableMedia(reason)


def open_folder(source: Source, fs: Any, root: str) -> IndexedSource[Item]:
    """Open a folder of pictures with a caption file beside each (`a.jpg`, `a.txt`: one caption a line).

    Where most pictures have none, the name of the folder that a picture is in is its caption (a folder for each class).
    """
    files = sorted(file for file in fs.find(root) if not is_hidden(file.removeprefix(root)))
    existing = set(files)
    pictures = [f for f in files if kind_of(Path(f)) == "image"]
    with_sidecar = sum(sidecar_of(f) in existing for f in pictures)
    if not with_sidecar and not any(class_folder(f, root) for f in pictures):
        raise ConfigError(f"{source.path} holds no pictures with a .txt beside them, nor folders of pictures; name a table")
    captioned = 2 * with_sidecar > len(pictures)  # a stray .txt does not make it a folder of captions

    def make(picture: str) -> Item:
        sidecar, label = sidecar_of(picture), class_folder(picture, root).replace("_", " ")
        if captioned and sidecar not in existing:
            return unreadable_item(picture, "it has no .txt beside it, as most others have")
        if not captioned and not label:
            return unreadable_item(picture, "it is in no folder whose name could be its caption")

        def load() -> tuple[bytes, tuple[str, ...]]:
            return fs.cat_file(picture), lines_of(fs.cat_file(sidecar)) if captioned else (label,)

        return Item(picture, load)

    return IndexedSource(pictures, make)


def is_hidden(path: str) -> bool:
    """Whether a path below a folder is of what systems and programs put there: .ipynb_checkpoints, ._a.jpg, Thumbs.db."""
    return any(part.startswith(".") or part.lower() in ("__macosx", "thumbs.db", "desktop.ini") for part in path.split("/"))


def sidecar_of(picture: str) -> str:
    """Return the path of a picture's caption file."""
    return picture.rsplit(".", 1)[0] + ".txt"


def class_folder(picture: str, root: str) -> str:
    """Return the name of the folder directly below the root that a picture is in; empty for the root itself."""
    parts = picture.removeprefix(root).strip("/").split("/")
    return parts[0] if len(parts) > 1 else ""


def lines_of(data: bytes) -> tuple[str, ...]:
    """Return the lines of UTF-8 text that are not blank, stripped."""
    return tuple(line.strip() for line in data.decode("utf-8", "replace").split("\n") if line.strip())


def open_table(source: Source, fs: Any, path: str) -> IndexedSource[Item]:
    """Open open_clip's tab-separated `filepath`, `title`; CSV; or one JSON object a line."""
    text = fs.cat_file(path).decode("utf-8-sig", "replace")
    rows: list[dict[str, Any]]
    if path.lower().endswith(".jsonl"):
        rows = [parse_json_object(line) for line in text.split("\n") if line.strip()]
    else:
        csv.field_size_limit(1 << 24)
        rows = list(
            read_tsv(text) if path.lower().endswith(".tsv") else csv.DictReader(io.StringIO(text, newline=""), strict=True)
        )
    first = next((row for row in rows if row), None)
    if first is None and rows:
        raise ConfigError(f"{source.path} cannot be read as pairs (no line is a JSON object); write one pair a line")
    if first is None:
        raise ConfigError(f"{source.path} holds no pairs; write a header and one pair a line")
    image, captions = choose_columns(source, [name for name in first if name])
    folder = path.rsplit("/", 1)[0]

    def make(row: dict[Any, Any]) -> Item:
        name = f"{source.path}, {row}"
        if not row or None in row:  # csv keeps under None the fields beyond the last column
            return unreadable_item(name, "it does not have the columns of the first line")
        return item_from_row(row, image, captions, name, fs, folder)

    return IndexedSource(rows, make)


def read_tsv(text: str) -> Iterator[dict[Any, Any]]:
    """Yield the rows of a tab-separated table: a line is a row, and a quotation mark is one, unless a cell is within a pair of them."""
    lines = [line for line in (line.removesuffix("\r") for line in text.split("\n")) if line.strip()]
    header, *rest = [[_unquoted(cell) for cell in line.split("\t")] for line in lines] or [[]]
    for cells in rest:
        row: dict[Any, Any] = dict(zip(header, cells)) | dict.fromkeys(header[len(cells) :])
        yield row | ({None: cells[len(header) :]} if len(cells) > len(header) else {})


def _unquoted(cell: str) -> str:
    """Return a cell without the pair of quotation marks around it, as csv writes them."""
    inside = cell[1:-1]
    quoted = len(cell) > 1 and cell[0] == cell[-1] == '"' and '"' not in inside.replace('""', "")
    return inside.replace('""', '"') if quoted else cell


def parse_json_object(line: str) -> dict[str, Any]:
    """Return a line's JSON object; an empty one where the line is not one."""
    try:
        row = json.loads(line)
    except ValueError:
        return {}
    return row if isinstance(row, dict) else {}


def open_parquet(source: Source, fs: Any, path: str) -> ShardedSource:
    """Open Parquet files, one row group at a time; pictures are bytes, {bytes, path}, or paths.

    Rows that img2dataset marked as failed downloads are left out.
    """
    folder, shards = path.rsplit("/", 1)[0], []
    for file in expand(fs, path):  # one by one: a thousand open files are more than a process may have
        with fs.open(file) as opened:
            parquet = pq.ParquetFile(opened, pre_buffer=False)
            shards += [(file, group) for group in range(parquet.num_row_groups)]
            schema = parquet.schema_arrow
    image, captions = choose_columns(source, schema.names)
    names = class_names(source, schema, captions)
    wanted = [image, *captions, *({"status"} & {*schema.names} - {image, *captions})]

    def read(shard: tuple[str, int]) -> Iterator[Item]:
        file, group = shard
        with fs.open(file) as opened:
            rows = pq.ParquetFile(opened, pre_buffer=False).read_row_group(group, columns=wanted).to_pylist()
        for i, row in enumerate(rows):
            if row[image] is not None or row.get("status", "success") == "success":
                row = with_class_names(row, names)
                yield item_from_row(row, image, captions, f"{file}, group {group}, row {i}", fs, folder)

    return ShardedSource(shards, read)


def class_names(source: Source, schema: pa.Schema, captions: list[str]) -> dict[str, list[str]]:
    """Return the class names of caption columns that hold class numbers, from the metadata that `datasets` writes.

    Raises ConfigError where a column holds numbers without names.
    """
    metadata = json.loads((schema.metadata or {}).get(b"huggingface", "{}"))
    features = metadata.get("info", {}).get("features", {})
    names = {c: features[c]["names"] for c in captions if isinstance(features.get(c), dict) and "names" in features[c]}
    for column in captions:
        if pa.types.is_integer(schema.field(column).type) and column not in names:
            raise ConfigError(f"{source.path} has numbers in {column}, not words; name a column of words: caption = …")
    return names


def with_class_names(row: dict[str, Any], names: dict[str, list[str]]) -> dict[str, Any]:
    """Return a row with class names in place of class numbers; −1 (no class) becomes None."""
    return row | {c: classes[row[c]] if row[c] is not None and row[c] >= 0 else None for c, classes in names.items()}


def item_from_row(row: dict[str, Any], image: str, captions: list[str], name: str, fs: Any, folder: str) -> Item:
    """Return the item of a row whose picture is bytes, {bytes, path}, or a path relative to the folder; `name` is the row's."""
    value = row.get(image)
    if isinstance(value, dict):
        value = value.get("bytes") or value.get("path")
    if value is None:
        return unreadable_item(name, f"it names no picture under {image!r}")
    if isinstance(value, bytes):
        data = value
        return Item(name, lambda: (data, captions_of(row, captions)))
    path = str(value) if str(value).startswith("/") else f"{folder}/{value}"
    return Item(path, lambda: (fs.cat_file(path), captions_of(row, captions)))


def open_tars(source: Source, fs: Any, path: str) -> ShardedSource:
    """Open WebDataset tars, and img2dataset's output: `a.jpg` with `a.txt`, or with an `a.json` that has a caption."""
    try:
        from webdataset.tariterators import group_by_keys, tar_file_iterator
    except ImportError:
        raise MissingExtra("reading WebDataset tars", "train")

    def read(shard: str) -> Iterator[Item]:
        with fs.open(shard, "rb") as file:
            members = ({**member, "__url__": shard} for member in tar_file_iterator(file))
            for sample in group_by_keys(members):
                yield from tar_item(sample, shard)

    return ShardedSource(expand(fs, path), read)


def tar_item(sample: dict[str, Any], shard: str) -> Iterator[Item]:
    """Yield the item of a group of a tar's members; nothing where the group has no picture."""
    data = next((sample[e] for e in IMAGE_EXTENSIONS if e in sample), None)

    def load() -> tuple[bytes, tuple[str, ...]]:
        assert data is not None  # otherwise there is no item
        captions = lines_of(sample.get("txt", b""))
        if not captions and "json" in sample:
            row = json.loads(sample["json"])
            captions = captions_of(row, [c for c in CAPTION_COLUMNS if c in row][:1])
        return data, captions

    if data is not None:
        yield Item(f"{shard}, {sample['__key__']}", load)


def open_huggingface(source: Source) -> IndexedSource[Item]:
    """Open a Hugging Face dataset: `hf://name#split`, or a folder that `save_to_disk` wrote."""
    try:
        import datasets
    except ImportError:
        raise MissingExtra("reading Hugging Face datasets", "train")
    if source.path.startswith("hf://"):
        name, _, split = source.path.removeprefix("hf://").partition("#")
        data = datasets.load_dataset(name, split=split or "train")
    else:
        data = datasets.load_from_disk(source.path)
    image, captions = choose_columns(source, data.column_names)
    names = class_names(source, data.features.arrow_schema, captions)
    if isinstance(data.features[image], datasets.Image):
        data = data.cast_column(image, datasets.Image(decode=False))
    fs = fsspec.filesystem("file")

    def make(i: int) -> Item:
        return item_from_row(with_class_names(data[i], names), image, captions, f"{source.path}, row {i}", fs, ".")

    return IndexedSource(range(len(data)), make)


READERS: dict[str, Callable[[Source, Any, str], DataSource[Item]]] = {
    "tsv": open_table, "csv": open_table, "jsonl": open_table, "parquet": open_parquet, "tar": open_tars,
}  # fmt: skip
"""Extension → what opens (source, file system, path)."""


def choose_columns(source: Source, existing: list[str]) -> tuple[str, list[str]]:
    """Return the image column and the caption columns, as the source names them or by their usual names. Raises ConfigError."""
    usual = {"image": IMAGE_COLUMNS, "caption": CAPTION_COLUMNS}
    columns = {key: [c.strip() for c in getattr(source, key).split(",")] for key in usual}
    for key, wanted in columns.items():
        if not all(c in existing for c in wanted) and getattr(source, key) == getattr(Source, key):
            columns[key] = [c for c in usual[key] if c in existing][:1]  # not asked for by name: any usual one
    image = next((c for c in columns["image"] if c in existing), None)
    captions = [c for c in columns["caption"] if c in existing]
    if image is None or not captions or len(captions) < len(columns["caption"]):
        have = ", ".join(existing)
        raise ConfigError(f"{source.path} has the columns {have}; name its image and caption columns in the run config")
    return image, captions


def captions_of(row: dict[str, Any], columns: list[str]) -> tuple[str, ...]:
    """Return the captions in a row's columns, which hold strings or lists of them; empty ones are left out."""
    values = [v for c in columns for v in (row[c] if isinstance(row.get(c), list) else [row.get(c)])]
    return tuple(str(v).strip() for v in values if v is not None and str(v).strip())


def expand(fs: Any, path: str) -> list[str]:
    """Return the paths that `{000..009}` and `*` stand for. Raises ConfigError where a file is missing."""
    from braceexpand import braceexpand

    paths = [p for pattern in braceexpand(path) for p in (sorted(fs.glob(pattern)) if "*" in pattern else [pattern])]
    if not paths:
        raise ConfigError(f"nothing matches {path}; check the path")
    if missing := [p for p in paths if not fs.exists(p)]:
        raise ConfigError(f"{missing[0]} is not there; check the range in {path}")
    return paths
