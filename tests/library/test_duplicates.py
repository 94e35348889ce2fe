"""Copies are found when files are indexed, stacked, reviewed, and moved to the trash."""

import os
import shutil
from collections import defaultdict
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from made_copies import make
from media_files import write_video
from PIL import Image

import samespace
from samespace.core.errors import LibraryBusy, LibraryError, MissingLibrary
from samespace.library.indexing.neighbours import pairs
from samespace.library.indexing.stacks import StackedFile, stacks_of
from samespace.library.library import Library
from samespace.library.store.db_errors import write_lock
from samespace.library.store.marks import Change
from samespace.media import image as image_media
from samespace.media.alignment import comparable, is_copy, is_textured
from samespace.media.look import descriptors, look_of, parts_of, pixels_of


def groups(library: Library) -> list[set[str]]:
    """The copies in a library, by name."""
    return [{Path(copy.hit.path).name for copy in group.copies} for group in library.duplicates()]


@pytest.fixture(scope="module")
def starter():
    return samespace.load("starter")


@pytest.fixture
def album(tmp_path, photographs, own_trash):
    """A photograph, half as large, and turned; and another."""
    folder = tmp_path / "album"
    folder.mkdir()
    shutil.copy(photographs / "coffee.png", folder)
    shutil.copy(photographs / "rocket.jpg", folder)
    coffee = Image.open(photographs / "coffee.png").convert("RGB")
    coffee.resize((300, 200)).save(folder / "half.jpg")
    coffee.rotate(90, expand=True).save(folder / "turned.jpg", quality=70)
    return folder


@pytest.fixture
def library(tmp_path, starter, album):
    library = Library(tmp_path / "library", starter)
    library.add([album])
    return library


COFFEES = {"coffee.png", "half.jpg", "turned.jpg"}


def test_copies_are_found_and_the_next_of_a_series_are_not(tmp_path, starter):
    make(tmp_path / "made")
    library = Library(tmp_path / "library", starter)
    library.add([tmp_path / "made"])
    group_of = {name: n for n, group in enumerate(groups(library)) for name in group}
    found, missing, wrong = 0, [], []
    for path in sorted((tmp_path / "made").iterdir()):
        n, what, *_ = path.name.split()
        together = group_of.get(path.name, -1) == group_of.get(f"{n} photograph.jpg", -2)
        if what == "copy":
            found += together
            missing += [path.name] * (not together)
        elif what == "next" and path.name in group_of:
            wrong.append(path.name)
    sizes = defaultdict(set)
    for name, group in group_of.items():
        sizes[group].add(name.split()[0])
    assert all(len(photographs) == 1 for photographs in sizes.values())
    print(f"recall {found / (found + len(missing)):.4f} precision {found / (found + len(wrong)):.4f}", missing, wrong)
    assert found / (found + len(missing)) >= 0.98 and found / (found + len(wrong)) >= 0.99, (missing, wrong)


def test_the_best_comes_first_and_says_why(library):
    (group,) = library.duplicates()
    assert [Path(copy.hit.path).name for copy in group.copies] == ["coffee.png", "turned.jpg", "half.jpg"]
    assert group.why.startswith("most pixels (600 × 400 px)")
    assert not list(library.duplicates("name:rocket")) and len(list(library.duplicates("name:half"))) == 1


def test_of_equal_size_the_one_that_says_more_is_the_best(tmp_path, starter, photographs):
    coffee, folder = Image.open(photographs / "coffee.png").convert("RGB"), tmp_path / "album"
    folder.mkdir()
    exif = Image.Exif()
    exif[0x0110] = "X100V"
    exif.get_ifd(0x8769)[0x9003] = "2019:07:04 10:00:00"
    coffee.save(folder / "a.jpg", quality=90)
    coffee.save(folder / "b.jpg", quality=88, exif=exif)
    library = Library(tmp_path / "library", starter)
    library.add([folder])
    (group,) = library.duplicates()
    assert Path(group.copies[0].hit.path).name == "b.jpg" and group.why == "has date, camera"


def test_a_stack_is_one_hit_with_its_count(library):
    hits = library.search("a cup of coffee")
    assert [(Path(hit.path).name in COFFEES, hit.stacked) for hit in hits] == [(True, 3), (False, 1)]
    assert len(library.search("a cup of coffee", group_by="file")) == 4
    listed = library.search("kind:image")
    assert {Path(hit.path).name for hit in listed} == {"coffee.png", "rocket.jpg"}  # the best stands for the others
    assert {Path(hit.path).name for hit in library.stack(hits[0].id)} == COFFEES
    assert {Path(hit.path).name for hit in library.stack(hits[1].id)} == {"rocket.jpg"}
    small = library.search("width:<400", group_by="stack")
    assert [Path(hit.path).name for hit in small] == ["half.jpg"]


def test_new_copies_join_and_removed_ones_leave(library, album):
    Image.open(album / "coffee.png").convert("RGB").save(album / "again.webp", quality=60)
    library.add([album])
    assert groups(library) == [COFFEES | {"again.webp"}]
    for name in ("coffee.png", "half.jpg", "turned.jpg"):
        (album / name).unlink()
    library.add([album])
    assert groups(library) == [] and {hit.stacked for hit in library.search("coffee")} == {1}


def test_equal_files_are_copies_even_without_texture(tmp_path, starter):
    Image.new("RGB", (300, 200), "white").save(tmp_path / "one.png")
    shutil.copy(tmp_path / "one.png", tmp_path / "two.png")
    Image.new("RGB", (300, 200), "white").save(tmp_path / "three.png", compress_level=0)
    library = Library(tmp_path / "library", starter)
    library.add([tmp_path])
    assert groups(library) == [{"one.png", "two.png"}]


def test_a_camera_that_says_two_moments_took_two_pictures(tmp_path, starter, photographs):
    coffee = Image.open(photographs / "coffee.png").convert("RGB")
    for second in (1, 5):
        exif = Image.Exif()
        exif[0x0110] = "X100V"
        exif.get_ifd(0x8769)[0x9003] = f"2019:07:04 10:00:0{second}"
        coffee.save(tmp_path / f"{second}.jpg", exif=exif, quality=80 + second)
    library = Library(tmp_path / "library", starter)
    library.add([tmp_path])
    assert groups(library) == []


def test_videos(tmp_path, starter, photographs):
    folder = tmp_path / "videos"
    folder.mkdir()
    scenes = [
        Image.open(photographs / f"{name}.png").convert("RGB").resize((480, 320)) for name in ("coffee", "chelsea", "astronaut")
    ]
    write_video(folder / "film.mp4", [(one, 2.0) for one in scenes])
    write_video(folder / "small.mp4", [(one.resize((240, 160)), 2.0) for one in scenes])
    write_video(folder / "other.mp4", [(one, 2.0) for one in scenes[::-1]])
    library = Library(tmp_path / "library", starter)
    library.add([folder])
    assert groups(library) == [{"film.mp4", "small.mp4"}]


def test_copies_go_to_the_trash_and_come_back(library, album):
    library.mark([album / "half.jpg"], Change(tags=("cup",)))
    report = library.trash([album / "half.jpg", album / "turned.jpg", album / "rocket.jpg"])
    assert sorted(Path(path).name for path in report.moved) == ["half.jpg", "turned.jpg"]
    assert [(Path(path).name, "no other copy" in reason) for path, reason in report.problems] == [("rocket.jpg", True)]
    assert sorted(path.name for path in album.iterdir()) == ["coffee.png", "rocket.jpg"] and groups(library) == []
    tagged = lambda: sorted(Path(hit.path).name for hit in library.search("tag:cup", group_by="file"))  # noqa: E731
    assert tagged() == ["coffee.png"]  # what stays takes what was said of it
    assert sorted(Path(path).name for path in library.restore_trashed().moved) == ["half.jpg", "turned.jpg"]
    assert groups(library) == [COFFEES] and tagged() == ["coffee.png", "half.jpg"]
    with pytest.raises(LibraryError, match="taken back"):
        library.restore_trashed()


def test_the_last_copy_stays_whatever_is_asked(library, album):
    report = library.trash([album / name for name in COFFEES])
    assert report.moved == [] and len(report.problems) == 3 and (album / "coffee.png").exists()
    (album / "coffee.png").unlink()  # by another program
    (album / "half.jpg").unlink()
    assert library.trash([album / "turned.jpg"]).moved == []


def test_links_are_no_copies(library, album, tmp_path):
    (album / "link.png").symlink_to(album / "rocket.jpg")
    (tmp_path / "alias").symlink_to(album, target_is_directory=True)
    (album / "dangling.jpg").symlink_to(album / "half.jpg")
    library.add([album, tmp_path / "alias"])
    here = {path.name for path in album.iterdir()}
    assert library.trash([album / "rocket.jpg"]).moved == []  # only a link would be left
    assert library.trash([tmp_path / "alias" / name for name in COFFEES]).moved == []  # they are the same files
    assert {path.name for path in album.iterdir()} == here
    assert library.trash([album / "link.png"]).moved == [str(album / "link.png")] and (album / "rocket.jpg").exists()


def test_a_copy_that_was_changed_since_is_none(library, album):
    for name in ("coffee.png", "turned.jpg"):
        (album / name).write_bytes(b"something else")
    assert library.trash([album / "half.jpg"]).moved == [] and (album / "half.jpg").exists()
    report = library.trash([album / "turned.jpg"])  # what is in it now is nowhere else
    assert report.moved == [] and "has changed since" in report.problems[0][1] and (album / "turned.jpg").exists()


def test_what_was_a_copy_of_a_forgotten_file_is_one_no_more(library, album):
    library.trash([album / "half.jpg"])
    assert len(library.search("is:duplicate", group_by="file")) == 2
    library.forget([album / "turned.jpg"])
    assert library.search("is:duplicate") == [] and groups(library) == []


def test_nothing_is_moved_while_another_writes(library, album):
    with write_lock(library.store.location), pytest.raises(LibraryBusy):
        library.trash([album / "half.jpg"])
    assert (album / "half.jpg").exists() and groups(library) == [COFFEES]


def test_two_who_delete_at_once_get_a_sentence(library, album):
    first = library.trash([album / "half.jpg"])
    second = library.trash([album / "half.jpg"])
    assert len(first.moved) == 1 and not second.moved and len(second.problems) == 1


def test_a_trash_that_refuses_loses_nothing(library, album, monkeypatch):
    def refuse(path):
        raise PermissionError(13, "not permitted")

    monkeypatch.setattr("send2trash.send2trash", refuse)
    report = library.trash([album / "half.jpg"])
    assert not report.moved and "delete it yourself" in report.problems[0][1]
    assert (album / "half.jpg").exists() and groups(library) == [COFFEES]


def test_what_is_in_the_way_is_not_overwritten(library, album):
    library.trash([album / "half.jpg"])
    (album / "half.jpg").write_bytes(b"new")
    report = library.restore_trashed()
    assert not report.moved and "of this name again" in report.problems[0][1] and (album / "half.jpg").read_bytes() == b"new"


def test_what_cannot_be_moved_back_is_said_and_the_rest_comes_back(library, album):
    (album / "deep").mkdir()
    shutil.copy(album / "half.jpg", album / "deep" / "copy.jpg")
    library.add([album])
    assert len(library.trash([album / "deep" / "copy.jpg", album / "turned.jpg"]).moved) == 2
    (album / "deep").rmdir()
    (album / "deep").write_bytes(b"a file where the folder was")
    report = library.restore_trashed()
    assert report.moved == [str(album / "turned.jpg")] and "cannot be moved back" in report.problems[0][1]


def test_names_of_any_bytes_come_back(library, album):
    name = os.fsencode(album) + b"/caf\xe9 %41 \xff.jpg"
    shutil.copy(album / "half.jpg", os.fsdecode(name))
    library.add([album])
    moved = library.trash([os.fsdecode(name)]).moved
    assert len(moved) == 1 and library.restore_trashed().moved == moved and os.path.exists(name)


def test_kept_groups_and_hidden_files_are_not_shown_again(library, album):
    library.mark([album / "turned.jpg"], Change(hidden=True))
    assert groups(library) == [{"coffee.png", "half.jpg"}]
    (group,) = library.duplicates()
    library.review.accept(group.id)
    assert groups(library) == []
    Image.open(album / "coffee.png").convert("RGB").save(album / "new.jpg", quality=60)
    library.add([album])
    assert groups(library) == [{"coffee.png", "half.jpg", "new.jpg"}]


def test_what_is_no_group_is_said(library):
    with pytest.raises(MissingLibrary, match="no copies of this group"):
        library.review.accept("0" * 32)


def test_undo_can_be_tried_again(library, album, monkeypatch):
    group = next(iter(library.duplicates()))
    gone = group.copies[-1].hit.path
    library.trash({gone})
    with monkeypatch.context() as patch:
        patch.setattr("samespace.library.duplicates.restore", lambda paths: ([], [(path, "its disk is away") for path in paths]))
        assert library.restore_trashed().moved == []
    assert library.restore_trashed().moved == [gone] and Path(gone).exists()


def test_a_library_of_an_older_version_is_looked_at(library, album):
    table = library.store.table
    table.drop_columns(["look", "duplicate", "stack"])
    assert groups(Library(library.location.name, library.space)) == []
    again = Library(library.location.name, library.space)
    again.add([album])
    assert groups(again) == [COFFEES]


def stacked(path: str, taken: float | None = None, kind: str = "image", pixels: int = 10, duplicate: str = "") -> StackedFile:
    return StackedFile(path, f"id of {path}", kind, pixels, 1, taken, "X100V" if taken is not None else "", duplicate)


def test_raw_files_live_photos_and_bursts_are_one():
    files = [
        stacked("/a/1.RAF", 1.0, pixels=20), stacked("/a/1.JPG", 1.0), stacked("/a/2.JPG", 5.0),
        stacked("/a/IMG_3.HEIC", 60.0), stacked("/a/IMG_3.MOV", 60.0, "video", 30), stacked("/a/4.mov", kind="video"),
        *(stacked(f"/a/burst {i}.jpg", 100 + i / 2) for i in range(4)), stacked("/b/1.JPG", 1.0),
        stacked("/a/late.jpg", 103.0), stacked("/c/copy.jpg", pixels=50, duplicate="x"), stacked("/c/original.jpg", pixels=90, duplicate="x"),
    ]  # fmt: skip
    stacks = stacks_of(files)
    assert stacks["/a/1.RAF"] == stacks["/a/1.JPG"] == "id of /a/1.JPG"
    assert stacks["/a/IMG_3.HEIC"] == stacks["/a/IMG_3.MOV"] == "id of /a/IMG_3.HEIC"
    assert len({stacks[f"/a/burst {i}.jpg"] for i in range(4)}) == 1
    assert stacks["/c/copy.jpg"] == stacks["/c/original.jpg"] == "id of /c/original.jpg"
    assert not {"/a/2.JPG", "/a/4.mov", "/b/1.JPG", "/a/late.jpg"} & set(stacks)


def test_a_part_is_found_where_it_lies(photographs):
    whole = Image.open(photographs / "astronaut.png").convert("RGB")
    part = whole.crop((100, 50, 400, 350))
    looks = [pixels_of(look_of(one))[None] for one in (whole, part)]
    (fit,), (box,) = parts_of(*looks, np.ones(1))
    assert fit > 0.95 and np.allclose(box, (100 / 512, 50 / 512, 300 / 512, 300 / 512), atol=0.02)
    pictures = comparable(whole), comparable(part)
    assert is_copy(*pictures, tuple(box)) and not is_copy(*pictures)
    assert is_textured(pictures[0]) and not is_textured(comparable(Image.new("RGB", (400, 300), "teal")))


def test_a_turned_picture_looks_like_its_original(photographs):
    whole = Image.open(photographs / "astronaut.png").convert("RGB")
    looks = np.stack([pixels_of(look_of(whole)), pixels_of(look_of(whole.rotate(90, expand=True)))])
    turned = [float(descriptors(looks[:1])[0] @ descriptors(looks[1:], turns)[0]) for turns in range(4)]
    assert turned[3] > 0.999 and max(turned[:3]) < 0.9


def test_pairs_are_what_all_comparisons_would_give():
    rng = np.random.default_rng(3)
    z = rng.normal(size=(700, 64)).astype(np.float32)
    z[400] = z[10] + 0.2 * z[11]
    z /= np.linalg.norm(z, axis=1, keepdims=True)
    looks = rng.integers(0, 255, (700, 32, 32)).astype(np.uint8)
    looks[500], looks[400] = np.rot90(looks[20]), looks[10]
    found = [
        (pair.one, pair.other, pair.turns)
        for block in pairs(looks, z, np.ones((700, 2)), 0)
        for row in block.values()
        for pair in row
    ]
    assert sorted(found, key=str) == [(400, 10, 0), (400, 10, None), (500, 20, 3)]
    few = [(pair.one, pair.other) for block in pairs(looks, z, np.ones((700, 2)), 450) for row in block.values() for pair in row]
    assert (500, 20) in few and (400, 10) not in few


def test_dates_are_read_as_they_are(library):
    rows, z = library.store.pictures(library.space.fingerprint)
    assert len(rows) == 4 and z.shape == (4, library.space.dim)
    assert all(row["taken_at"] is None or isinstance(row["taken_at"], datetime) for row in rows)


def test_a_raw_file_is_no_copy_of_the_picture_that_was_made_from_it(library, album, monkeypatch):
    Image.open(album / "coffee.png").save(album / "coffee.dng", "PNG", compress_level=0)
    monkeypatch.setattr("samespace.media.image._develop", image_media._decode)
    library.add([album])
    assert groups(library) == [COFFEES]
    report = library.trash([album / "coffee.dng"])
    assert report.moved == [] and (album / "coffee.dng").exists()


def test_a_hidden_copy_is_none_that_stays(library, album):
    library.mark([album / "turned.jpg"], Change(hidden=True))
    assert library.trash([album / "coffee.png", album / "half.jpg"]).moved == []
    assert library.trash([album / "coffee.png"]).moved == [str(album / "coffee.png")]


def test_what_lay_beside_the_trash_or_behind_a_link_comes_back(library, album, own_trash, tmp_path):
    data = Path(os.environ["XDG_DATA_HOME"]) / "screenshots"
    data.mkdir(parents=True)
    (tmp_path / "linked").symlink_to(data, target_is_directory=True)
    shutil.copy(album / "half.jpg", data / "one.jpg")
    shutil.copy(album / "half.jpg", data / "two.jpg")
    library.add([data, tmp_path / "linked" / "two.jpg"])
    moved = library.trash([data / "one.jpg", tmp_path / "linked" / "two.jpg"]).moved
    assert len(moved) == 2 and sorted(library.restore_trashed().moved) == sorted(moved)
    assert (data / "one.jpg").exists() and (data / "two.jpg").exists()
