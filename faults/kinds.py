"""What is killed: indexing, watching, reading, training, installing a space, moving copies to the trash."""

import hashlib
import os
import random
import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from threading import Event

import numpy as np
from PIL import Image

from samespace.core.errors import LibraryError
from samespace.library.checkup import check_up
from samespace.library.indexing import indexer, reading
from samespace.library.library import Library
from samespace.library.store.location import Location
from samespace.library.store.marks import Change
from samespace.library.store.records import Segment
from samespace.library.watch import watch
from samespace.media import ocr

COUNT = 60
"""Pictures."""


class Fault(Exception):
    """Something was lost, is there twice, or cannot be gone on with."""


class Kind:
    """A kind of work: how it is prepared and done, and what has to be true after it was killed."""

    name = ""
    span = 0.0
    """Seconds within which it is killed; 0 for as long as it takes."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.killed = self.mended = self.completed = 0

    @property
    def environment(self) -> dict[str, str]:
        """Environment variables of the process."""
        return dict(os.environ)

    def prepare(self) -> None:
        """Make what the work begins with."""

    def work(self, ready: Callable[[], None]) -> None:
        """Do it, in a process of its own, and call `ready` when everything is imported."""
        raise NotImplementedError

    def meanwhile(self, rng: random.Random) -> None:
        """Do what others do while it works."""

    def check(self) -> None:
        """Look at what is left after a kill. Raises Fault."""
        raise NotImplementedError

    def is_complete(self) -> bool:
        """Whether the work is done."""
        raise NotImplementedError

    def compare(self) -> None:
        """Compare work that is done with what it should be. Raises Fault."""

    def begin_anew(self) -> None:
        """Make that there is work again."""


def write_picture(path: Path, seed: int) -> None:
    """Write a small picture, another one for each seed."""
    rng = np.random.default_rng(seed)
    Image.fromarray(rng.integers(0, 255, (6, 8, 3), np.uint8)).resize((48, 36)).save(path)


def vectors(pixels: np.ndarray) -> np.ndarray:
    """Return a unit vector for each picture, which follows from its pixels: uint8 (B, S, S, 3) → float32 (B, 512)."""
    seeds = [int.from_bytes(hashlib.sha256(one.tobytes()).digest()[:8], "big") for one in pixels]
    z = np.stack([np.random.default_rng(seed).standard_normal(512, np.float32) for seed in seeds])
    return np.asarray(z / np.linalg.norm(z, axis=1, keepdims=True), np.float32)


class OfLibrary(Kind):
    """Work on a library of small pictures, whose vectors cost nothing."""

    def __init__(self, folder: Path):
        super().__init__(folder)
        self.pictures, self.path = folder / "pictures", folder / "library"
        self.next_seed = 0
        self.kept: dict[str, bytes] = {}
        """What the library held after the last kill: id → vector."""
        self.rewritten = set[str]()
        """The ids of pictures whose content has changed, and so their vector."""

    @property
    def library(self) -> Library:
        """The library, opened anew."""
        opened = Library(self.path, "starter")
        opened.space.__dict__["pixels"] = vectors
        return opened

    def prepare(self) -> None:
        self.pictures.mkdir()
        self.add_pictures(COUNT)

    def add_pictures(self, count: int) -> None:
        """Write new pictures."""
        for _ in range(count):
            self.next_seed += 1
            write_picture(self.pictures / f"{self.next_seed}.png", self.next_seed)

    @property
    def on_disk(self) -> set[str]:
        """The ids that the pictures have when they are indexed."""
        return {Segment(str(path), "image").id for path in self.pictures.glob("*.png")}

    def check(self) -> None:
        if not (self.path / "segments.lance").exists():
            return
        self.mended += bool(list(check_up(Location(self.path))))
        found = self.stored()
        expected = self.kept.keys() & self.on_disk
        if lost := expected - found.keys():
            raise Fault(f"{len(lost)} segments are lost")
        if changed := [id for id in expected - self.rewritten if found[id] != self.kept[id]]:
            raise Fault(f"the vectors of {len(changed)} segments have changed")
        self.kept = found

    def stored(self) -> dict[str, bytes]:
        """Return id → vector, as the library has it. Raises Fault where an id is there twice."""
        library = self.library
        ids, z = library.store.vectors(library.space.fingerprint)
        if len(ids) != len(set(ids)):
            raise Fault(f"{len(ids) - len(set(ids))} segments are double")
        return dict(zip(ids, (row.tobytes() for row in z)))

    def is_complete(self) -> bool:
        return set(self.kept) == self.on_disk

    def compare(self) -> None:
        if (found := self.stored().keys()) != self.on_disk:
            raise Fault(f"{len(found)} pictures are in the library, {len(self.on_disk)} on the disk")
        if len(self.library.search("x", top=1000, group_by="file")) != len(self.on_disk):
            raise Fault("a search does not find all of them")


class Index(OfLibrary):
    """`samespace index`: pictures are new, moved, changed and gone."""

    name = "index"

    def work(self, ready: Callable[[], None]) -> None:
        indexer.FLUSH_ROWS = 8
        library = self.library
        ready()
        library.add([self.pictures])

    def begin_anew(self) -> None:
        paths = sorted(self.pictures.glob("*.png"))
        for path in paths[:10]:
            path.unlink()
        for path in paths[10:20]:
            path.rename(path.with_name(f"moved {path.name}"))
        for path in paths[20:25]:
            write_picture(path, time.monotonic_ns())
            self.rewritten.add(Segment(str(path), "image").id)
        self.add_pictures(COUNT - 10)
        if len(paths) > 4 * COUNT:
            shutil.rmtree(self.pictures)
            self.prepare()
            shutil.rmtree(self.path)
            self.kept = {}


class Watch(OfLibrary):
    """`samespace watch`, while pictures are written into the folder."""

    name, span = "watch", 4.0

    def work(self, ready: Callable[[], None]) -> None:
        library = self.library
        ready()
        watch(library, [self.pictures], lambda report: None, lambda sentence: None, Event())

    def meanwhile(self, rng: random.Random) -> None:
        if rng.random() < 0.02:
            self.add_pictures(2)

    def is_complete(self) -> bool:
        self.library.add([self.pictures])  # what was new when it was killed
        return True

    def compare(self) -> None:
        if self.path.exists():
            super().compare()
            self.kept = self.stored()

    def begin_anew(self) -> None:
        for path in sorted(self.pictures.glob("*.png"))[COUNT:]:
            path.unlink()


class Read(OfLibrary):
    """`samespace read`: the text of pictures, which is written down batch by batch."""

    name = "read"

    def prepare(self) -> None:
        super().prepare()
        self.library.add([self.pictures])
        shutil.copytree(self.path, self.folder / "unread")

    def work(self, ready: Callable[[], None]) -> None:
        reading.FLUSH_SECONDS = 0.2  # type: ignore[assignment]
        ocr.shows_text = lambda picture: True
        ocr.lines = lambda picture: [ocr.Line(hashlib.sha256(picture.tobytes()).hexdigest(), 0, 0, 1, 1)]
        library = self.library
        ready()
        reading.read_pictures(library.store, library.space.fingerprint)

    def stored(self) -> dict[str, bytes]:
        super().stored()
        rows = self.library.store.table.search().select(["id", "written"]).to_arrow().to_pylist()
        return {row["id"]: row["written"].encode() for row in rows if row["written"] is not None}

    def begin_anew(self) -> None:
        shutil.rmtree(self.path)
        shutil.copytree(self.folder / "unread", self.path)
        self.kept = {}


class Trash(OfLibrary):
    """`samespace duplicates --trash`: a copy of each picture goes to the trash, and comes back."""

    name = "trash"

    @property
    def environment(self) -> dict[str, str]:
        return dict(os.environ) | {"XDG_DATA_HOME": str(self.folder / "data")}

    def prepare(self) -> None:
        os.environ["XDG_DATA_HOME"] = str(self.folder / "data")
        super().prepare()
        for path in sorted(self.pictures.glob("*.png")):
            shutil.copy(path, path.with_name(f"copy of {path.name}"))
        self.library.add([self.pictures])
        self.library.mark([self.pictures], Change(tags=("mine",)))

    @property
    def copies(self) -> list[Path]:
        """The copies that are in their place."""
        return sorted(self.pictures.glob("copy of *"))

    def work(self, ready: Callable[[], None]) -> None:
        library = self.library
        ready()
        library.trash(self.copies)

    def check(self) -> None:
        in_trash = len(list((self.folder / "data" / "Trash" / "files").glob("copy of *")))
        if len(self.copies) + in_trash != COUNT:
            raise Fault(f"{len(self.copies)} copies are in their place and {in_trash} in the trash, of {COUNT}")
        self.mended += bool(list(check_up(Location(self.path))))

    def is_complete(self) -> bool:
        return True

    def compare(self) -> None:
        with suppress(LibraryError):  # it was killed before it moved any
            self.library.restore_trashed()
        if len(self.copies) != COUNT:
            raise Fault(f"{COUNT - len(self.copies)} copies were not taken back out of the trash")
        self.library.add([self.pictures])
        super().compare()
        if len(self.library.marks.read().files) != 2 * COUNT:
            raise Fault("marks are lost")


RUN = """
batch = 16
steps = 60
lr = 3e-3
threads = 1
save_every = 1
evaluate_every = 1000
device = "cpu"
image = {image_size = 16, patch = 8, width = 16, layers = 1, heads = 2, mlp = 32, dim = 8}
text = {context = 8, width = 16, layers = 1, heads = 2, mlp = 32, dim = 8}
"""


class Train(Kind):
    """`samespace train --resume`, which saves after every step."""

    name = "train"

    def prepare(self) -> None:
        rows = []
        for i in range(64):
            write_picture(self.folder / f"{i}.png", i)
            rows.append(f"{i}.png\tpicture {i}")
        (self.folder / "pairs.tsv").write_text("\n".join(["filepath\ttitle", *rows]) + "\n", "utf-8")
        config = f'train = [{{path = "pairs.tsv"}}]\nout = "{self.folder / "run"}"\n{RUN}'
        (self.folder / "run.toml").write_text(config, "utf-8")
        self.last, self.expected = 0, None

    def work(self, ready: Callable[[], None]) -> None:
        from samespace.train.config import read_config
        from samespace.train.runs import train
        from samespace.train.space_run import SpaceRun

        SpaceRun.export = lambda *_: None  # type: ignore[method-assign,assignment]  # what is compared are checkpoints
        config = read_config(self.folder / "run.toml")
        ready()
        train(SpaceRun, config, (self.folder / "run" / "checkpoint.pt").exists(), lambda *_: None)

    def check(self) -> None:
        step = self._checkpoint()["step"] if (self.folder / "run" / "checkpoint.pt").exists() else 0
        if step < self.last:
            raise Fault(f"step {step} comes after step {self.last}")
        self.last = step

    def _checkpoint(self) -> dict:
        from samespace.train import checkpoint

        return checkpoint.load(self.folder / "run" / "checkpoint.pt")

    def is_complete(self) -> bool:
        return self.last == 60

    def compare(self) -> None:
        weights = {name: tensor.numpy().tobytes() for name, tensor in self._checkpoint()["model"].items()}
        if self.expected not in (None, weights):
            raise Fault("its weights are not those of a run that nothing disturbs")
        self.expected = weights

    def begin_anew(self) -> None:
        shutil.rmtree(self.folder / "run")
        self.last = 0


class Pull(Kind):
    """`samespace spaces pull FOLDER`: a checkpoint becomes a space, whole or not at all."""

    name, span = "pull", 12.0

    @property
    def environment(self) -> dict[str, str]:
        return dict(os.environ) | {"SAMESPACE_SPACES": str(self.folder / "spaces")}

    def prepare(self) -> None:
        from benchmarks.material import write_clip

        tower = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
        write_clip(self.folder / "clip", 8, tower | {"image_size": 32, "patch_size": 16}, tower)

    def work(self, ready: Callable[[], None]) -> None:
        from samespace.spaces.convert import install

        ready()
        install.install(self.folder / "clip", "small", "")

    @property
    def made(self) -> Path:
        """The space."""
        return self.folder / "spaces" / "small"

    def check(self) -> None:
        if self.made.exists():
            self.compare()

    def compare(self) -> None:
        from samespace.cli.doctor import damaged_files
        from samespace.spaces.space import Space

        if damaged := damaged_files(self.made):
            raise Fault(f"what is listed is not whole: {damaged}")
        Space(self.made).text(["a word"])

    def is_complete(self) -> bool:
        return self.made.exists()

    def begin_anew(self) -> None:
        shutil.rmtree(self.folder / "spaces")


KINDS: dict[str, type[Kind]] = {kind.name: kind for kind in (Index, Watch, Read, Trash, Train, Pull)}
"""By name."""
