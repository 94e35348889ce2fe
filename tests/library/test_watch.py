"""Watched folders: what is new is found once it is complete; a folder that goes away is no deletion."""

import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from samespace.core.errors import LibraryBusy, LibraryError, MissingExtra
from samespace.library import watch as watch_module
from samespace.library.indexing.report import Report
from samespace.library.library import Library
from samespace.library.watch import watch


class Watcher:
    """A watch in a thread, and what it reports."""

    def __init__(self, library: Library, roots: list[Path], poll: bool = False):
        self.library, self.reports, self.troubles, self.stop = library, list[Report](), list[str](), threading.Event()
        args = (library, roots, self.reports.append, self.troubles.append, self.stop)
        self.thread = threading.Thread(target=watch, args=args, kwargs={"poll": poll})

    def __enter__(self) -> "Watcher":
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        self.thread.join(20)
        assert not self.thread.is_alive()

    def names(self) -> list[str]:
        return sorted(Path(path).name for path in self.library.files_below("/"))

    def until(self, wanted: list[str], seconds: float = 40) -> None:
        end = time.monotonic() + seconds
        while self.names() != wanted and time.monotonic() < end:
            time.sleep(0.1)
        assert self.names() == wanted, self.troubles


ALL = ["astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg"]


@pytest.fixture
def library(tmp_path, tiny_space, monkeypatch) -> Library:
    monkeypatch.setattr(watch_module, "SETTLE_SECONDS", 0.5)
    return Library(tmp_path / "library", tiny_space)


@pytest.mark.parametrize("poll", [False, True])
def test_new_moved_and_deleted_files_are_followed(library, album, photographs, poll):
    with Watcher(library, [album], poll) as watcher:
        watcher.until(ALL)
        (album / "new folder").mkdir()
        shutil.copy(photographs / "logo.png", album / "new folder" / "😀 a logo.png")
        watcher.until([*ALL, "😀 a logo.png"])
        (album / "chelsea.png").rename(album / "more" / "tabby.png")
        watcher.until(["astronaut.png", "coffee.png", "rocket.jpg", "tabby.png", "😀 a logo.png"])
        (album / "rocket.jpg").unlink()
        watcher.until(["astronaut.png", "coffee.png", "tabby.png", "😀 a logo.png"])


def test_a_library_that_is_busy_while_text_is_read_is_read_later(library, album, photographs, monkeypatch):
    monkeypatch.setattr(watch_module, "READING_SECONDS", 0.2)
    library.add([album])
    library.reads_pictures = True
    read, calls = [], []

    def read_pictures(self, progress=None, seconds=None):
        calls.append(seconds)
        if len(calls) == 1:
            raise LibraryBusy("another process is indexing; wait")
        time.sleep(0.25 if len(calls) == 2 else 0)  # the second time it is not finished
        read.append(len(calls))

    monkeypatch.setattr(Library, "read_pictures", read_pictures)
    with Watcher(library, [album]) as watcher:
        shutil.copy(photographs / "logo.png", album / "logo.png")
        watcher.until(sorted([*ALL, "logo.png"]))
        end = time.monotonic() + 30
        while len(read) < 2 and time.monotonic() < end:
            time.sleep(0.1)
    assert read[:2] == [2, 3] and calls[:3] == [0.2] * 3 and not watcher.troubles


def test_text_that_cannot_be_read_stops_no_watch(library, album, photographs, monkeypatch):
    def read_pictures(self, progress=None, seconds=None):
        raise MissingExtra("reading text in pictures", "ocr")

    library.add([album])
    library.reads_pictures = True
    monkeypatch.setattr(Library, "read_pictures", read_pictures)
    with Watcher(library, [album]) as watcher:
        for name in ("one.png", "two.png"):
            shutil.copy(photographs / "logo.png", album / name)
            watcher.until(sorted([*watcher.names(), name]))
    assert len(watcher.troubles) == 1 and "samespace[ocr]" in watcher.troubles[0]


def test_a_system_that_watches_no_more_folders_is_looked_at(library, album, photographs, monkeypatch):
    import watchfiles

    real = watchfiles.watch

    def refuse(*paths, force_polling, **options):
        if not force_polling:
            raise OSError("OS file watch limit reached.")
        yield from real(*paths, force_polling=True, **options)

    monkeypatch.setattr(watchfiles, "watch", refuse)
    with Watcher(library, [album]) as watcher:
        watcher.until(ALL)
        shutil.copy(photographs / "logo.png", album / "logo.png")
        watcher.until(sorted([*ALL, "logo.png"]))
    assert len(watcher.troubles) == 1 and "watch limit reached" in watcher.troubles[0]


def test_a_file_that_is_being_written_waits(library, album, photographs):
    data = (photographs / "logo.png").read_bytes()
    with Watcher(library, [album]) as watcher:
        watcher.until(ALL)
        with open(album / "slow.png", "wb") as file:
            for i in range(10):
                file.write(data[i * len(data) // 10 : (i + 1) * len(data) // 10])
                file.flush()
                time.sleep(0.2)
        watcher.until(sorted([*ALL, "slow.png"]))
    assert not any(report.skipped for report in watcher.reports)  # it was never read half


def test_a_folder_that_goes_away_and_comes_back_keeps_its_files(library, album, photographs, tmp_path):
    with Watcher(library, [album]) as watcher:
        watcher.until(ALL)
        album.rename(tmp_path / "unplugged")
        deadline = time.monotonic() + 30
        while not watcher.troubles and time.monotonic() < deadline:
            time.sleep(0.1)
        assert "is not there" in watcher.troubles[0] and watcher.names() == ALL
        (tmp_path / "unplugged").rename(album)
        shutil.copy(photographs / "logo.png", album / "logo.png")
        watcher.until(sorted([*ALL, "logo.png"]))
    assert len(watcher.troubles) == 1


def test_an_emptied_folder_is_no_deletion(library, album):
    with Watcher(library, [album]) as watcher:
        watcher.until(ALL)
        for entry in album.iterdir():
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
        deadline = time.monotonic() + 30
        while not watcher.troubles and time.monotonic() < deadline:
            time.sleep(0.1)
        assert "is empty now" in watcher.troubles[-1]
        kept = watcher.names()
    assert kept == ALL


def test_a_folder_without_its_disk_stops_no_other(library, album, photographs, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    with Watcher(library, [album, other]) as watcher:
        watcher.until(ALL)
        for entry in album.iterdir():
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
        shutil.copy(photographs / "logo.png", other)
        watcher.until(sorted([*ALL, "logo.png"]))
        assert "is empty now" in watcher.troubles[-1]


def test_what_cannot_be_written_is_tried_again(library, album, monkeypatch):
    monkeypatch.setattr(watch_module, "TRYING_SECONDS", 0.5)
    add, failures = Library.add, iter([LibraryError("no space left; free some")])

    def full_once(self, *args, **options):
        for error in failures:
            raise error
        return add(self, *args, **options)

    monkeypatch.setattr(Library, "add", full_once)
    with Watcher(library, [album]) as watcher:
        watcher.until(ALL)
    assert watcher.troubles == ["no space left; free some (it is tried again)"]


def test_a_file_that_cannot_be_read_is_named_once(library, album, photographs):
    (album / "broken.jpg").write_bytes(b"\xff\xd8 no picture")
    with Watcher(library, [album]) as watcher:
        watcher.until(ALL)
        shutil.copy(photographs / "logo.png", album / "logo.png")
        watcher.until(sorted([*ALL, "logo.png"]))
    assert [Path(path).name for report in watcher.reports for path, _ in report.skipped] == ["broken.jpg"]


def test_loops_of_links_end(library, album):
    (album / "more" / "loop").symlink_to(album, target_is_directory=True)
    with Watcher(library, [album]) as watcher:
        watcher.until(ALL)


def test_ctrl_c_ends_the_command(tmp_path, album, tiny_space_folder):
    command = [
        sys.executable,
        "-m",
        "samespace",
        "watch",
        str(album),
        "-l",
        str(tmp_path / "library"),
        "-s",
        str(tiny_space_folder),
    ]
    running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert "4 new" in running.stdout.readline()
    time.sleep(0.5)
    running.send_signal(signal.SIGINT)
    _, errors = running.communicate(timeout=120)
    assert running.returncode == 130 and "stopped" in errors and "Traceback" not in errors
