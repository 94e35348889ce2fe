"""Where pairs come from: folders, tables, tars, Parquet and datasets, on a disk or on object storage.

A source is `Listed` (any item can be asked for, so an epoch is a permutation) or `Sharded` (items come in the order of
their files, so shards are shuffled, and items within a window). Both give items unread: reading and decoding come later,
in threads. Storage is reached through fsspec, so `s3://…` works wherever a path does.
"""

import csv
import io
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import PurePath
from typing import Any

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ..core.errors import CardError, MissingExtra, SamespaceError, UnreadableMedia
from ..media.kinds import kind_of
from .config import Source

WINDOW = 2000
"""Items of shards that are shuffled together."""
IMAGE_COLUMNS = ("filepath", "image", "path", "file_name", "jpg", "png", "webp")
CAPTION_COLUMNS = ("title", "caption", "captions", "text", "txt", "label")
PICTURE_ENDINGS = ("jpg", "jpeg", "png", "webp")


@dataclass(frozen=True)
class Item:
    """One picture with its captions, unread."""

    name: str
    """Path, or shard and key: what a report calls it."""
    load: Callable[[], tuple[bytes, tuple[str, ...]]]
    """The file's bytes and the captions; may raise in any way, in the thread that calls it."""


@dataclass(frozen=True)
class Listed:
    """Items that can be asked for in any order."""

    items: Sequence[Any]
    make: Callable[[Any], Item]

    def epoch(self, rng: np.random.Generator, rank: int, world: int) -> Iterator[Item]:
        """Every item once over all machines, this one's share of them."""
        for i in rng.permutation(len(self.items))[rank::world]:
            yield self.make(self.items[int(i)])

    def plain(self) -> Iterator[Item]:
        """Every item, in order."""
        return map(self.make, self.items)


@dataclass(frozen=True)
class Sharded:
    """Items that come in the order of their files."""

    shards: Sequence[Any]
    read: Callable[[Any], Iterator[Item]]

    def epoch(self, rng: np.random.Generator, rank: int, world: int) -> Iterator[Item]:
        """Shards in a new order, this machine's share of them; items shuffled within a window."""
        if len(self.shards) < world:
            raise CardError(f"{len(self.shards)} shards cannot be shared by {world} processes; cut them smaller")
        stream = (item for i in rng.permutation(len(self.shards))[rank::world] for item in self.whole(self.shards[int(i)]))
        window = list(islice(stream, WINDOW))
        for item in stream:
            i = int(rng.integers(len(window)))
            yield window[i]
            window[i] = item
        for i in rng.permutation(len(window)):
            yield window[int(i)]

    def plain(self) -> Iterator[Item]:
        """Every item, in order."""
        return (item for shard in self.shards for item in self.whole(shard))

    def whole(self, shard: Any) -> Iterator[Item]:
        """A shard's items; where it breaks off, one that cannot be read stands for the rest."""
        try:
            yield from self.read(shard)
        except Exception as error:  # readers of tars and Parquet fail in every way there is
            yield Item(str(shard), partial(broken, f"the rest of the shard cannot be read ({error})"))


def open_source(source: Source) -> Listed | Sharded:
    """What a source's path names, by its ending. Raises CardError where it is not there, or holds no pairs."""
    path = source.path
    ending = path.rsplit(".", 1)[-1].lower() if "." in path.rsplit("/", 1)[-1] else ""
    try:
        if path.startswith("hf://"):
            return huggingface(source)
        fs, root = fsspec.core.url_to_fs(path)
        if ending not in READERS and fs.isdir(root):
            if fs.exists(f"{root}/dataset_info.json"):
                return huggingface(source)
            if fs.exists(f"{root}/dataset_dict.json"):
                splits = json.loads(fs.cat_file(f"{root}/dataset_dict.json"))["splits"]
                raise CardError(f"{path} holds {', '.join(splits)}; name one of them: {path}/{splits[0]}")
            return folder(source, fs, root)
        if ending not in READERS:
            raise CardError(f"{path} is not a folder, nor a .{', .'.join(READERS)} file; check the path")
        return READERS[ending](source, fs, root)
    except SamespaceError:
        raise
    except ImportError as error:  # fsspec names the package that a kind of storage needs
        raise CardError(f"{path} needs a package ({error}); for s3:// that is: pip install s3fs") from None
    except Exception as error:  # every kind of storage and file has errors of its own
        raise CardError(f"{path} cannot be read as pairs ({error}); check the path and the file") from None


def broken(reason: str) -> tuple[bytes, tuple[str, ...]]:
    raise UnreadableMedia(reason)


def folder(source: Source, fs: Any, root: str) -> Listed:
    """Pictures with a caption file beside each (`a.jpg`, `a.txt`: one caption a line); where most have none, the name of the
    picture's folder is its caption (a folder for each class)."""
    files = sorted(fs.find(root))
    beside = set(files)
    pictures = [f for f in files if kind_of(PurePath(f)) == "image"]
    written = sum(text_beside(f) in beside for f in pictures)
    if not written and not any(below(f, root) for f in pictures):
        raise CardError(f"{source.path} holds no pictures with a .txt beside them, nor folders of pictures; name a table")
    captioned = 2 * written > len(pictures)  # a stray .txt makes no folder of captions

    def make(picture: str) -> Item:
        sidecar, label = text_beside(picture), below(picture, root).replace("_", " ")
        if captioned and sidecar not in beside:
            return Item(picture, partial(broken, "it has no .txt beside it, as most others have"))
        if not captioned and not label:
            return Item(picture, partial(broken, "it lies in no folder whose name could be its caption"))

        def load() -> tuple[bytes, tuple[str, ...]]:
            return fs.cat_file(picture), lines_of(fs.cat_file(sidecar)) if captioned else (label,)

        return Item(picture, load)

    return Listed(pictures, make)


def text_beside(picture: str) -> str:
    return picture.rsplit(".", 1)[0] + ".txt"


def below(picture: str, root: str) -> str:
    """Name of the folder right below the root that a picture lies in; empty for the root itself."""
    inside = picture.removeprefix(root).strip("/").split("/")
    return inside[0] if len(inside) > 1 else ""


def lines_of(data: bytes) -> tuple[str, ...]:
    return tuple(line.strip() for line in data.decode("utf-8", "replace").splitlines() if line.strip())


def table(source: Source, fs: Any, path: str) -> Listed:
    """open_clip's tab-separated `filepath`, `title`; CSV; or one JSON object a line."""
    text = fs.cat_file(path).decode("utf-8-sig")
    if path.lower().endswith(".jsonl"):
        rows = [json_of(line) for line in text.split("\n") if line.strip()]
    else:
        csv.field_size_limit(1 << 24)
        between = "\t" if path.lower().endswith(".tsv") else ","
        rows = list(csv.DictReader(io.StringIO(text, newline=""), delimiter=between, strict=True))
    first = next((row for row in rows if row), None)
    if first is None and rows:
        raise CardError(f"{source.path} cannot be read as pairs (no line is a JSON object); write one pair a line")
    if first is None:
        raise CardError(f"{source.path} holds no pairs; write a header and one pair a line")
    image, captions = columns(source, [name for name in first if name])
    here = path.rsplit("/", 1)[0]

    def make(row: dict[str, Any]) -> Item:
        if not row or None in row:  # csv keeps under None what stands beyond the last column
            return Item(f"{source.path}, {row}", partial(broken, "it is not a pair of the columns in the first line"))
        return stored(row, image, captions, f"{source.path}, {row}", fs, here)

    return Listed(rows, make)


def json_of(line: str) -> dict[str, Any]:
    """A line's object; an empty one where it holds none."""
    try:
        row = json.loads(line)
    except ValueError:
        return {}
    return row if isinstance(row, dict) else {}


def parquet(source: Source, fs: Any, path: str) -> Sharded:
    """Parquet files, a row group at a time; pictures as bytes, as {bytes, path}, or as paths. Rows that img2dataset says it
    could not fetch are no pairs."""
    here, shards = path.rsplit("/", 1)[0], []
    for file in expand(fs, path):  # opened one by one: a thousand at once are more than a process may hold
        with fs.open(file) as opened:
            facts = pq.ParquetFile(opened, pre_buffer=False)
            shards += [(file, group) for group in range(facts.num_row_groups)]
            schema = facts.schema_arrow
    image, captions = columns(source, schema.names)
    said = labels_of(source, schema, captions)
    wanted = [image, *captions, *({"status"} & {*schema.names} - {image, *captions})]

    def read(shard: tuple[str, int]) -> Iterator[Item]:
        file, group = shard
        with fs.open(file) as opened:
            rows = pq.ParquetFile(opened, pre_buffer=False).read_row_group(group, columns=wanted).to_pylist()
        for i, row in enumerate(rows):
            if row[image] is not None or row.get("status", "success") == "success":
                yield stored(worded(row, said), image, captions, f"{file}, group {group}, row {i}", fs, here)

    return Sharded(shards, read)


def labels_of(source: Source, schema: pa.Schema, captions: list[str]) -> dict[str, list[str]]:
    """The names of classes that a caption column holds the numbers of, as Hugging Face's `datasets` notes them. Raises CardError
    where numbers have no names."""
    noted = json.loads((schema.metadata or {}).get(b"huggingface", "{}")).get("info", {}).get("features", {})
    found = {c: noted[c]["names"] for c in captions if isinstance(noted.get(c), dict) and "names" in noted[c]}
    for column in captions:
        if pa.types.is_integer(schema.field(column).type) and column not in found:
            raise CardError(f"{source.path} has numbers in {column}, which say nothing; name a column of words: caption = …")
    return found


def worded(row: dict[str, Any], said: dict[str, list[str]]) -> dict[str, Any]:
    """A row with the names of its classes in place of their numbers; −1, none, stays no caption."""
    return row | {c: names[row[c]] if row[c] is not None and row[c] >= 0 else None for c, names in said.items()}


def stored(row: dict[str, Any], image: str, names: list[str], name: str, fs: Any, here: str) -> Item:
    """A row whose picture is bytes, {bytes, path}, or a path; `name` is what the row itself is called."""
    value = row.get(image)
    if isinstance(value, dict):
        value = value.get("bytes") or value.get("path")
    if value is None:
        return Item(name, partial(broken, f"it names no picture under {image!r}"))
    if isinstance(value, bytes):
        return Item(name, lambda: (value, captions_of(row, names)))
    where = str(value) if str(value).startswith("/") else f"{here}/{value}"
    return Item(where, lambda: (fs.cat_file(where), captions_of(row, names)))


def tars(source: Source, fs: Any, path: str) -> Sharded:
    """WebDataset tars, and img2dataset's output: `a.jpg` with `a.txt`, or `a.json` that has a caption."""
    try:
        from webdataset.tariterators import group_by_keys, tar_file_iterator
    except ImportError:
        raise MissingExtra("reading WebDataset tars", "train")

    def read(shard: str) -> Iterator[Item]:
        with fs.open(shard, "rb") as file:
            members = ({**member, "__url__": shard} for member in tar_file_iterator(file))
            for sample in group_by_keys(members):
                yield from tar_item(sample, shard)

    return Sharded(expand(fs, path), read)


def tar_item(sample: dict[str, Any], shard: str) -> Iterator[Item]:
    """A group of a tar's members as an item; groups without a picture are no items."""
    data = next((sample[e] for e in PICTURE_ENDINGS if e in sample), None)

    def load() -> tuple[bytes, tuple[str, ...]]:
        captions = lines_of(sample.get("txt", b""))
        if not captions and "json" in sample:
            facts = json.loads(sample["json"])
            captions = captions_of(facts, [c for c in CAPTION_COLUMNS if c in facts][:1])
        return data, captions

    if data is not None:
        yield Item(f"{shard}, {sample['__key__']}", load)


def huggingface(source: Source) -> Listed:
    """A Hugging Face dataset: `hf://name#split`, or a folder that `save_to_disk` wrote."""
    try:
        import datasets
    except ImportError:
        raise MissingExtra("reading Hugging Face datasets", "train")
    if source.path.startswith("hf://"):
        name, _, split = source.path.removeprefix("hf://").partition("#")
        data = datasets.load_dataset(name, split=split or "train")
    else:
        data = datasets.load_from_disk(source.path)
    image, captions = columns(source, data.column_names)
    said = labels_of(source, data.features.arrow_schema, captions)
    if isinstance(data.features[image], datasets.Image):
        data = data.cast_column(image, datasets.Image(decode=False))
    fs = fsspec.filesystem("file")

    def make(i: int) -> Item:
        return stored(worded(data[i], said), image, captions, f"{source.path}, row {i}", fs, ".")

    return Listed(range(len(data)), make)


READERS = {"tsv": table, "csv": table, "jsonl": table, "parquet": parquet, "tar": tars}


def columns(source: Source, have: list[str]) -> tuple[str, list[str]]:
    """The picture's column and the captions', as the source names them or as is usual. Raises CardError."""
    usual = {"image": IMAGE_COLUMNS, "caption": CAPTION_COLUMNS}
    named = {key: [c.strip() for c in getattr(source, key).split(",")] for key in usual}
    for key, wanted in named.items():
        if not all(c in have for c in wanted) and getattr(source, key) == getattr(Source, key):
            named[key] = [c for c in usual[key] if c in have][:1]  # not asked for by name: any usual one will do
    (image, *_), captions = [*(c for c in named["image"] if c in have), None], [c for c in named["caption"] if c in have]
    if len(captions) < len(named["caption"]):
        captions = []
    if image is None or not captions:
        raise CardError(f"{source.path} has the columns {', '.join(have)}; name its image and caption columns in the card")
    return image, captions


def captions_of(row: dict[str, Any], names: list[str]) -> tuple[str, ...]:
    """What a row's caption columns hold: words, or lists of them."""
    found = [v for n in names for v in (row[n] if isinstance(row.get(n), list) else [row.get(n)])]
    return tuple(str(v).strip() for v in found if v is not None and str(v).strip())


def expand(fs: Any, path: str) -> list[str]:
    """`{000..009}` and `*` spelled out. Raises CardError where nothing is there."""
    from braceexpand import braceexpand

    found = [p for pattern in braceexpand(path) for p in (sorted(fs.glob(pattern)) if "*" in pattern else [pattern])]
    if not found:
        raise CardError(f"nothing matches {path}; check the path")
    if missing := [p for p in found if not fs.exists(p)]:
        raise CardError(f"{missing[0]} is not there; check the range in {path}")
    return found
