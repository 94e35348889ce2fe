"""A library on object storage: a local S3 server (moto) holds its tables, a folder here the copies that searches read."""

import shutil
import time
from concurrent.futures import ThreadPoolExecutor

import platformdirs
import pytest

from samespace.core.errors import LibraryBusy, LibraryError
from samespace.library.library import Library
from samespace.library.store import lease
from samespace.library.store.marks import Change
from samespace.library.store.storage import Bucket

pytestmark = pytest.mark.filterwarnings("ignore")  # of boto3 and moto
WHERE = "s3://pictures/of mine"


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """Change to another machine: one with empty caches."""

    def change(name: str):
        monkeypatch.setattr(platformdirs, "user_cache_path", lambda *_: tmp_path / name)
        return tmp_path / name

    change("one")
    return change


@pytest.fixture
def folder(tmp_path, photographs):
    folder = tmp_path / "pictures"
    folder.mkdir()
    for name in ("coffee.png", "chelsea.png", "rocket.jpg"):
        shutil.copy(photographs / name, folder)
    return folder


def found(library: Library) -> list[tuple[str, float]]:
    return [(hit.path, round(hit.score, 3)) for hit in library.search("anything at all", 10, group_by="file")]


def test_many_machines_read_what_one_has_written(bucket, machine, folder, tmp_path, tiny_space):
    here = Library(tmp_path / "library", tiny_space)
    here.add([folder])
    there = Library(WHERE, tiny_space)
    assert there.add([folder]).added == 3 and found(there) == found(here)
    kept = {item["Key"] for item in bucket.list_objects_v2(Bucket="pictures")["Contents"]}
    assert "of mine/library.json" in kept and any(key.startswith("of mine/segments.lance/") for key in kept)
    cache = machine("two")
    reader = Library(WHERE, tiny_space)
    assert found(reader) == found(here) and list(cache.rglob("exact-*.arrow"))
    machine("one")
    (folder / "rocket.jpg").unlink()
    shutil.copy(folder / "coffee.png", folder / "again.png")
    report = Library(WHERE, tiny_space).add([folder])
    assert (report.same, report.reused, report.removed) == (2, 1, 1)
    machine("two")
    assert {path for path, _ in found(reader)} == {str(folder / n) for n in ("coffee.png", "chelsea.png", "again.png")}


def test_a_missing_library_is_one_sentence(bucket, machine, tiny_space):
    with pytest.raises(LibraryError, match=f"no library at {WHERE} yet"):
        Library(WHERE, tiny_space).search("anything")
    with pytest.raises(LibraryError, match="gopher://x"):
        Library("gopher://x/y", tiny_space).search("anything")


def test_captions_are_found_by_their_words(bucket, machine, folder, tiny_space):
    library = Library(WHERE, tiny_space)
    library.add([folder])
    assert library.write_captions({str(folder / "chelsea.png"): "a tabby named Chelsea"}) == 1
    assert library.search("chelsea tabby", 1)[0].path == str(folder / "chelsea.png")


def test_one_machine_writes_at_a_time(bucket, machine, folder, tiny_space):
    here = Library(WHERE, tiny_space)
    here.add([folder])
    with here.store.writing():
        machine("two")
        there = Library(WHERE, tiny_space)
        with pytest.raises(LibraryBusy, match="the machine .* is writing into s3://pictures/of mine; wait for it"):
            there.add([folder])
        assert len(found(there)) == 3  # reading goes on
    assert there.add([folder]).same == 3
    assert not [item for item in bucket.list_objects_v2(Bucket="pictures")["Contents"] if item["Key"].endswith(".lease")]


def test_marks_of_two_machines_are_all_kept(bucket, machine, folder, tiny_space):
    """Each waits for the other: none overwrites what the other has just said."""
    Library(WHERE, tiny_space).add([folder])
    names, libraries = [f"tag{i}" for i in range(6)], []
    for i in range(2):
        machine(f"machine {i}")
        libraries.append(Library(WHERE, tiny_space))
        assert libraries[i].store.location.folder  # the copies' folder, as this machine has it

    def mark(i: int) -> None:
        libraries[i % 2].mark([folder / "coffee.png"], Change(tags=(names[i],)))

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(mark, range(len(names))))
    (one,) = libraries[0].marks.read().files.values()
    assert list(one.tags) == names


def test_a_machine_that_is_cut_off_loses_its_lease_and_knows_it(bucket, monkeypatch):
    """A lease holds while it is renewed; one that is not runs out, and who had it may not write any more."""
    monkeypatch.setattr(lease, "SECONDS", 1.0)
    here, there = (lease.Lease(Bucket(WHERE), ".lock", machine) for machine in ("one", "two"))
    here.acquire()
    time.sleep(2)
    with pytest.raises(LibraryBusy, match="is writing into"):
        there.acquire()
    here.bucket.replace = _unreachable
    there.acquire(seconds=20)
    here.check()  # it cannot know yet
    del here.bucket.replace
    time.sleep(1)
    with pytest.raises(LibraryError, match="has begun to write into s3://pictures/of mine while this machine could not reach it"):
        here.check()
    with pytest.raises(LibraryError, match="has begun to write"):
        here.release()
    there.check()
    there.release()
    here.acquire()
    again = lease.Lease(Bucket(WHERE), ".lock", "one")
    again.acquire()  # this machine's own, whose process has died: its local lock is free
    again.release()
    here._released.set()


def test_a_machine_that_slept_writes_nothing_more_and_leaves_the_others_lease(bucket, monkeypatch):
    """It wakes, and writes before its renewal has had its turn."""
    monkeypatch.setattr(lease, "SECONDS", 1.0)
    here, there = (lease.Lease(Bucket(WHERE), ".lock", machine) for machine in ("one", "two"))
    monkeypatch.setattr(lease.Lease, "_keep", lambda lease: None)
    here.acquire()
    time.sleep(2)
    there.acquire()
    for act in (here.check, here.release):
        with pytest.raises(LibraryError, match="the machine .* has begun to write"):
            act()
    there.release()


def test_a_renewal_whose_answer_was_lost_is_none(bucket):
    here = lease.Lease(Bucket(WHERE), ".lock", "one")
    here.acquire()
    assert here.bucket.replace(here.name, here._content, here._tag)  # its answer never arrives
    here._renew()
    here.check()
    here.release()


def test_a_bucket_that_is_not_there_is_no_other_machine(bucket, machine, folder, tiny_space):
    with pytest.raises(LibraryError, match="s3://nowhere/x"):
        Library("s3://nowhere/x", tiny_space).add([folder])


def _unreachable(*_):
    raise OSError("the network is down")
