"""Disks that are full, go away, or cannot be written, and clocks that jump: one sentence, nothing lost, and the next run goes on."""

import contextlib
import errno
import os
import shutil
import subprocess
import time
from datetime import datetime

import numpy as np
import pytest
from PIL import Image

from samespace.core.errors import LibraryError, SamespaceError
from samespace.library.checkup import check_up
from samespace.library.library import Library
from samespace.library.store.location import Location
from samespace.library.store.marks import Change

KB = 1024


def mounted(*arguments: object) -> None:
    """Mount a file system; skip the test where that is not allowed."""
    if subprocess.run(["mount", *map(str, arguments)], capture_output=True).returncode:
        pytest.skip("mounting a file system needs root")


def write_pictures(folder, first: int, count: int) -> None:
    """Write pictures that differ."""
    folder.mkdir(exist_ok=True)
    for i in range(first, first + count):
        pixels = np.random.default_rng(i).integers(0, 255, (24, 32, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{i}.png")


def found(library: Library) -> set[str]:
    """Return the names of all files that a search finds; each once."""
    names = [os.path.basename(hit.path) for hit in library.search("anything", 10_000, group_by="file")]
    assert len(names) == len(set(names))
    return set(names)


@pytest.fixture
def small(tmp_path):
    """A file system of 16 MB."""
    (place := tmp_path / "small").mkdir()
    mounted("-t", "tmpfs", "-o", "size=16m", "tmpfs", place)
    yield place
    subprocess.run(["umount", "-l", place], check=True)


def fill(file, left: int) -> None:
    """Fill a disk up to so many bytes."""
    free = os.statvfs(file.parent).f_bavail * os.statvfs(file.parent).f_frsize
    with contextlib.suppress(OSError), open(file, "wb", buffering=0) as filler:
        filler.write(bytes(max(0, free - left)))


def index(library: Library, pictures) -> None:
    library.add([pictures])


def mark(library: Library, pictures) -> None:
    library.mark([pictures], Change(tags=("yours",)))


def learn(library: Library, pictures) -> None:
    library.learn("noise", yes=[pictures / "1.png"])


def forget(library: Library, pictures) -> None:
    library.forget([pictures])


def test_a_disk_that_is_full_at_any_write(small, tmp_path, tiny_space):
    """With ever more room left, each write in turn is the one that fails."""
    pictures, filler = tmp_path / "pictures", small / "filler"
    write_pictures(pictures, 0, 6)
    library, sentences = Library(small / "library", tiny_space), []
    library.add([pictures])
    library.mark([pictures], Change(tags=("mine",)))
    for step, left in enumerate((0, 4, 8, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384)):
        before = found(library)
        write_pictures(pictures, 6 * (step + 1), 6)
        fill(filler, left * KB)
        for write in (index, mark, learn):
            try:
                write(library, pictures)
            except LibraryError as error:
                sentences.append(str(error))
            except OSError as error:  # what the command line says of it ends with the remedy
                assert error.errno == errno.ENOSPC
        assert found(Library(small / "library", tiny_space)) >= before
        assert sum("mine" in said.tags for said in library.marks.read().files.values()) == 6
        filler.unlink()
        assert list(check_up(Location(small / "library"))) == []
        library = Library(small / "library", tiny_space)
        library.add([pictures])
        assert found(library) == {path.name for path in pictures.iterdir()}
    assert sentences and all("is full; free some space" in one for one in sentences), set(sentences)


def test_a_share_that_goes_away_and_comes_back(tmp_path, tiny_space, monkeypatch):
    """It is disconnected while pictures are indexed: one sentence, and when it is back nothing that was written is lost."""
    share, place, pictures = tmp_path / "share", tmp_path / "place", tmp_path / "pictures"
    share.mkdir()
    place.mkdir()
    mounted("--bind", share, place)
    write_pictures(pictures, 0, 6)
    library = Library(place / "library", tiny_space)
    library.add([pictures])
    write_pictures(pictures, 6, 40)
    real = type(tiny_space).pixels

    def disconnected(space, squares):
        subprocess.run(["umount", "-l", place], check=False)
        return real(space, squares)

    with monkeypatch.context() as cut, pytest.raises((SamespaceError, OSError)) as raised:
        cut.setattr(type(tiny_space), "pixels", disconnected)
        library.add([pictures])
    assert not isinstance(raised.value, SamespaceError) or str(place) in str(raised.value)
    shutil.rmtree(place / "library", ignore_errors=True)
    mounted("--bind", share, place)
    try:
        list(check_up(Location(place / "library")))
        library = Library(place / "library", tiny_space)
        assert len(found(library)) >= 6
        library.add([pictures])
        assert found(library) == {path.name for path in pictures.iterdir()}
    finally:
        subprocess.run(["umount", "-l", place], check=True)


@pytest.mark.parametrize("jump", [-20 * 365, -1, 1, 20 * 365])
def test_a_clock_that_jumps(tmp_path, tiny_space, monkeypatch, jump):
    """Between two runs the clock moves by days: nothing is embedded twice, and nothing waits for ever to be complete."""
    pictures, library = tmp_path / "pictures", Library(tmp_path / "library", tiny_space)
    write_pictures(pictures, 0, 3)
    library.add([pictures])
    seconds, now, now_ns = jump * 86_400, time.time, time.time_ns
    monkeypatch.setattr(time, "time", lambda: now() + seconds)
    monkeypatch.setattr(time, "time_ns", lambda: now_ns() + seconds * 10**9)
    assert library.add([pictures], settle=2).same == 3
    write_pictures(pictures, 3, 3)
    os.utime(pictures / "4.png", (now() + seconds,) * 2)
    report = library.add([pictures], settle=2)
    assert report.added + report.unsettled == 3
    monkeypatch.setattr(time, "time_ns", lambda: now_ns() + (seconds + 5) * 10**9)
    library.add([pictures], settle=2)
    assert len(found(library)) == 6 and library.add([pictures]).same == 6
    assert all(hit.taken_at is None or hit.taken_at.year <= datetime.now().year for hit in library.search("x"))


def test_a_library_that_cannot_be_written_is_searched(tmp_path, tiny_space):
    """On a file system that is mounted for reading only."""
    (share := tmp_path / "share").mkdir()
    (place := tmp_path / "place").mkdir()
    write_pictures(tmp_path / "pictures", 0, 3)
    Library(share / "library", tiny_space).add([tmp_path / "pictures"])
    mounted("--bind", share, place)
    try:
        subprocess.run(["mount", "-o", "remount,ro,bind", place], check=True)
        library = Library(place / "library", tiny_space)
        assert len(found(library)) == 3
        for write in (index, mark, learn, forget, lambda *_: list(check_up(Location(place / "library")))):
            with pytest.raises(LibraryError, match="cannot be written"):
                write(library, tmp_path / "pictures")
    finally:
        subprocess.run(["umount", "-l", place], check=True)
