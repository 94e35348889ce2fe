"""Sound, films and documents in a library: found by moment and by page, replaced when they change, gained by old libraries."""

import contextlib
import json
import re
import shutil
from pathlib import Path
from threading import Event

import numpy as np
import pytest
import torch
from lancedb.merge import LanceMergeInsertBuilder
from media_files import PLAIN, document, film, recording, scene, tone

import samespace
from samespace.core.config import AudioTower
from samespace.core.errors import LibraryError, UnreadableMedia
from samespace.library.contact_sheet import link
from samespace.library.indexing import embed
from samespace.library.indexing import segments as moments
from samespace.library.indexing.embed import read_ahead
from samespace.library.indexing.segments import place, still
from samespace.library.library import Library
from samespace.library.store.filter import Filter
from samespace.media import video
from samespace.media.video import frame_at
from samespace.spaces import checkpoint, export, hub
from samespace.spaces.space import Space

RED, BLUE = (200, 20, 20), (20, 40, 220)
SECONDS = 4.0


@pytest.fixture(scope="session")
def hearing_folder(tmp_path_factory, tiny_space_folder) -> Path:
    """The tiny space with a tiny random audio tower."""
    from samespace.models.starter.audio import AudioTransformer
    from samespace.spaces.export import add_audio

    folder = tmp_path_factory.mktemp("hearing") / "tiny"
    shutil.copytree(tiny_space_folder, folder)
    torch.manual_seed(0)
    c = AudioTower(frames=400, width=32, layers=1, heads=2, mlp=64, dim=24)
    mels = torch.randn(4, c.mels, c.frames).numpy() * 20 - 40
    add_audio(folder, AudioTransformer(c).eval(), c, mels)
    return folder


@pytest.fixture
def hearing(hearing_folder) -> Space:
    return Space(hearing_folder)


@pytest.fixture
def mixed(tmp_path, photographs) -> Path:
    folder = tmp_path / "mixed 🎬"
    folder.mkdir()
    shutil.copy(photographs / "coffee.png", folder)
    film(folder / "two scenes.mp4", [(scene(RED), 5.0), (scene(BLUE), 5.0)], sound=tone(10.0))
    recording(folder / "tone.wav", tone(9.0))
    document(folder / "letter.pdf", ["Dear bread,", "Yours, the invoice 2931"])
    (folder / "broken.mp4").write_bytes(b"\0" * 500)
    recording(folder / "silent.flac", np.zeros(32_000, np.float32), "flac")
    return folder


def parts(library: Library, kind: str) -> list[tuple]:
    hits = library.search("anything", 100, Filter(kinds=(kind,)), each=True)
    return sorted((h.start or 0.0, h.page or 0, h.part or "") for h in hits)


def test_every_kind_has_its_segments(tmp_path, mixed, hearing):
    library = Library(tmp_path / "library", hearing)
    report = library.add([mixed])
    assert report.added == 4 and {Path(p).name for p, _ in report.skipped} == {"broken.mp4", "silent.flac"}
    assert all("; " in reason for _, reason in report.skipped)
    assert {k for _, _, k in parts(library, "audio")} == {"sound"} and len(parts(library, "audio")) == 4
    film_parts = parts(library, "video")
    assert [p for p in film_parts if not p[2]] == [(0.0, 0, ""), (pytest.approx(5.0, abs=1.0), 0, "")]
    heard = [p[0] for p in film_parts if p[2] == "sound"]  # those that begin with a shot are one place with it
    assert heard == [2.0, pytest.approx(7.0, abs=1.0)]
    assert [p[1] for p in parts(library, "document")] == [1, 2]
    assert library.add([mixed]).same == 4
    assert len({hit.path for hit in library.search("anything", 100)}) == 4 == len(library.search("anything", 100))


def test_a_moment_stands_for_itself(tmp_path, mixed, hearing):
    library = Library(tmp_path / "library", hearing)
    library.add([mixed])
    hits = {h.kind: h for h in library.search("anything", 10)}
    for hit in hits.values():
        found = library.segment(hit.id)
        assert found["path"] == hit.path and found["part"] == hit.part
        assert min(still(hit, 100).size) >= 90
    assert place(hits["document"]).startswith("page ") and "–" in place(hits["video"]) and place(hits["image"]) == ""


def test_a_file_is_a_query(tmp_path, mixed, hearing):
    library = Library(tmp_path / "library", hearing)
    library.add([mixed])
    shutil.copy(mixed / "tone.wav", tmp_path / "again.wav")
    assert Path(library.search(str(tmp_path / "again.wav"), 1, Filter(kinds=("audio",)))[0].path).name == "tone.wav"
    assert library.search(str(mixed / "two scenes.mp4"), 10) and library.search(str(mixed / "letter.pdf"), 10)
    (tmp_path / "bad.pdf").touch()
    with pytest.raises(UnreadableMedia, match=r"bad\.pdf: "):
        library.search(str(tmp_path / "bad.pdf"))


def test_the_same_picture_comes_before_sounds_and_passages(tmp_path, mixed):
    """For a file, hits of every sense stand in the order of their cosines."""
    library = Library(tmp_path / "library", samespace.load("starter"))
    library.add([mixed])
    shutil.copy(mixed / "coffee.png", tmp_path / "same.png")
    hits = library.search(str(tmp_path / "same.png"))
    assert Path(hits[0].path).name == "coffee.png" and len(hits) > 3
    assert [h.score for h in hits] == sorted((h.score for h in hits), reverse=True)


def test_what_changed_is_replaced_and_what_is_copied_reused(tmp_path, mixed, hearing):
    library = Library(tmp_path / "library", hearing)
    library.add([mixed])
    shutil.copy(mixed / "two scenes.mp4", mixed / "copy.mp4")
    (mixed / "letter.pdf").rename(mixed / "moved.pdf")
    document(mixed / "moved.pdf", ["One page only, of something else"])
    report = library.add([mixed])
    assert (report.reused, report.added, report.removed) == (1, 1, 1)
    film_parts = parts(library, "video")
    assert len(film_parts) % 2 == 0 and film_parts[::2] == film_parts[1::2]
    document(mixed / "moved.pdf", ["First", "Second", "Third"])
    library.add([mixed])
    assert [p[1] for p in parts(library, "document")] == [1, 2, 3]
    document(mixed / "moved.pdf", ["First again"])
    library.add([mixed])
    assert [p[1] for p in parts(library, "document")] == [1]


def test_a_file_that_becomes_a_copy_of_another_leaves_nothing_behind(tmp_path, tiny_space):
    long, short = (
        document(tmp_path / "long.pdf", [f"secret page {i}" for i in range(5)]),
        document(tmp_path / "short.pdf", ["One"]),
    )
    library = Library(tmp_path / "library", tiny_space)
    library.add([long, short])
    shutil.copy(short, long)
    assert library.add([long, short]).reused == 1
    assert [p[1] for p in parts(library, "document")] == [1, 1]
    assert not library.store.search_texts("secret", tiny_space.text(["secret"])[0], 9, tiny_space.fingerprint, Filter())
    assert library.add([long, short]).same == 2
    other = document(tmp_path / "other.pdf", ["First", "Second"])
    library.add([other])
    swapped = other.read_bytes()
    shutil.copy(short, other)
    short.write_bytes(swapped)
    assert library.add([long, short, other]).reused == 2
    assert [p[1] for p in parts(library, "document")] == [1, 1, 1, 2]


def test_an_old_library_gains_sound_and_keeps_its_pictures(tmp_path, mixed, tiny_space, hearing):
    library = Library(tmp_path / "library", tiny_space)
    report = library.add([mixed])
    assert report.added == 3 and any("no audio tower" in reason for _, reason in report.skipped)
    assert hearing.fingerprint == tiny_space.fingerprint
    report = Library(tmp_path / "library", hearing).add([mixed])
    assert report.added == 2 and report.same == 2  # the film and the recording; the picture and the letter stay
    assert parts(Library(tmp_path / "library", hearing), "audio")


def with_other_ears(hearing_folder, folder: Path, seconds: float) -> Space:
    """The same space, but another audio tower, which hears as many seconds at a time."""
    from samespace.models.starter.audio import AudioTransformer
    from samespace.spaces.export import add_audio

    shutil.copytree(hearing_folder, folder)
    torch.manual_seed(1)
    c = AudioTower(frames=round(100 * seconds), width=32, layers=1, heads=2, mlp=64, dim=24)
    add_audio(folder, AudioTransformer(c).eval(), c, torch.randn(4, c.mels, c.frames).numpy() * 20 - 40)
    config = json.loads((folder / "space.json").read_text("utf-8")) | {"name": folder.name}
    (folder / "space.json").write_text(json.dumps(config), "utf-8")
    return Space(folder)


def test_other_ears_take_the_place_of_the_first(tmp_path, mixed, hearing, hearing_folder):
    """Windows that begin elsewhere leave nothing of the first ears behind, and a later run stays with the second."""
    place = tmp_path / "library"
    Library(place, hearing).add([mixed])
    other = with_other_ears(hearing_folder, tmp_path / "other ears", 6.0)
    assert other.fingerprint == hearing.fingerprint
    assert Library(place, other).add([mixed]).added == 2
    Library(tmp_path / "fresh", other).add([mixed])
    for kind in ("audio", "video"):
        assert parts(Library(place, other), kind) == parts(Library(tmp_path / "fresh", other), kind)
    assert Library(place, other).store.usual_space() == other.handle
    assert Library(place, other).add([mixed]).same == 4


def test_a_film_that_other_ears_cannot_read_is_new_once_it_can_be(tmp_path, mixed, hearing, hearing_folder, monkeypatch):
    def failing(path: Path) -> str:
        raise OSError("Input/output error")

    place = tmp_path / "library"
    Library(place, hearing).add([mixed])
    other = with_other_ears(hearing_folder, tmp_path / "other ears", 6.0)
    with monkeypatch.context() as patch:
        patch.setattr(embed, "file_hash", failing)
        assert Library(place, other).add([mixed]).added == 0
    assert Library(place, other).add([mixed]).added == 2
    Library(tmp_path / "fresh", other).add([mixed])
    assert parts(Library(place, other), "video") == parts(Library(tmp_path / "fresh", other), "video")


def test_other_ears_hear_the_copies_and_other_folders_too(tmp_path, mixed, hearing, hearing_folder):
    """What was not heard again is as before, until its folder is indexed."""
    place, elsewhere = tmp_path / "library", tmp_path / "elsewhere"
    shutil.copytree(mixed, elsewhere)
    recording(elsewhere / "another.wav", tone(9.0, 300))
    Library(place, hearing).add([mixed, elsewhere])
    other = with_other_ears(hearing_folder, tmp_path / "other ears", 6.0)
    Library(place, other).add([mixed])
    assert Library(place, other).add([elsewhere]).same == 2  # the picture and the letter
    Library(tmp_path / "fresh", other).add([mixed, elsewhere])
    for kind in ("audio", "video"):
        assert parts(Library(place, other), kind) == parts(Library(tmp_path / "fresh", other), kind)


def test_a_space_without_ears_stands_beside_one_that_hears(tmp_path, mixed, hearing, tiny_space_folder):
    folder = tmp_path / "deaf"
    shutil.copytree(tiny_space_folder, folder)
    text = (folder / "space.json").read_text("utf-8")
    (folder / "space.json").write_text(text.replace('"weights": "', '"weights": "f00'), "utf-8")
    (mixed / "tone.wav").unlink()  # it has nothing for a space that only sees
    Library(tmp_path / "library", hearing).add([mixed])
    deaf = Library(tmp_path / "library", Space(folder))
    assert deaf.add([mixed], beside=True).added == 3
    assert deaf.store.spaces[deaf.space.fingerprint].complete
    assert deaf.add([mixed]).same == 3


@pytest.mark.parametrize("failing", [1, 2])
def test_a_document_is_written_whole_or_not_at_all(tmp_path, mixed, monkeypatch, failing):
    """Whichever of its writes fails, the next run makes up for it."""
    starter, letter = samespace.load("starter"), mixed / "letter.pdf"
    straight = Library(tmp_path / "straight", starter)
    straight.add([letter])
    execute, count = LanceMergeInsertBuilder.execute, 0

    def full(self, rows):
        nonlocal count
        count += 1
        if count == failing:
            raise OSError(28, "No space left on device")
        return execute(self, rows)

    with monkeypatch.context() as patch, contextlib.suppress(LibraryError):
        patch.setattr(LanceMergeInsertBuilder, "execute", full)
        Library(tmp_path / "library", starter).add([letter])
    again = Library(tmp_path / "library", starter)
    again.add([letter])
    assert count and again.store.count() == straight.store.count()


def test_an_exported_space_hears_as_before(tmp_path, hearing_folder):
    made = hub.convert(hearing_folder, tmp_path / "out", precision="fp32")
    mels = [np.random.default_rng(0).normal(-40, 20, (made.audio.mels, made.audio.frames)).astype(np.float32)]
    assert np.array_equal(Space(tmp_path / "out").mels(mels), Space(hearing_folder).mels(mels))
    deaf = export.export(checkpoint.load(hearing_folder), tmp_path / "deaf")
    assert not Space(tmp_path / "deaf").has_audio and deaf.fingerprint == made.fingerprint


def test_what_was_heard_before_an_interruption_is_kept(tmp_path, hearing, monkeypatch):
    for i in range(4):
        recording(tmp_path / f"{i}.wav", tone(3.0, 300.0 + i))
    library = Library(tmp_path / "library", hearing)

    def stop(report, looked, of):
        if looked == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr("samespace.library.indexing.embed.BATCH", 1)
    with pytest.raises(KeyboardInterrupt):
        library.add([tmp_path], progress=stop)
    kept = library.store.count()
    report = Library(tmp_path / "library", hearing).add([tmp_path])
    assert kept and report.same == kept and report.same + report.added == 4


def test_words_of_a_page_are_found(tmp_path, mixed):
    library = Library(tmp_path / "library", samespace.load("starter"))
    library.add([mixed])
    best = library.search("invoice 2931", 3)[0]
    assert Path(best.path).name == "letter.pdf" and best.page == 2 and best.part == "text 1"
    assert best.relevance > 0.5


def test_what_comes_first_does_not_depend_on_how_many_are_asked_for(tmp_path, mixed):
    library = Library(tmp_path / "library", samespace.load("starter"))
    library.add([mixed])
    for each in (False, True):
        many = [(h.path, h.start, h.page, h.relevance) for h in library.search("a red thing", 20, each=each)]
        for count in (1, 2, 4):
            assert [(h.path, h.start, h.page, h.relevance) for h in library.search("a red thing", count, each=each)] == many[
                :count
            ]


def test_a_shot_is_found_as_its_picture_would_be(tmp_path, drawings):
    """Films of eight drawings each: words find the shot of the very drawing that they would find among the eight, as a film shows
    them: encoding moves a cosine by a hundredth, and two drawings may be nearer."""
    space = samespace.load("starter")
    library, same = Library(tmp_path / "library", space), 0
    films = [PLAIN[i : i + 8] for i in range(0, len(PLAIN), 8)]
    for n, titles in enumerate(films):
        film(tmp_path / f"{n}.mp4", [(drawings[title], SECONDS) for title in titles])
    assert library.add([tmp_path / f"{n}.mp4" for n in range(len(films))]).added == len(films)
    for n, titles in enumerate(films):
        shown = [frame_at(tmp_path / f"{n}.mp4", (i + 0.5) * SECONDS, 640) for i in range(len(titles))]
        best = (space.text(titles) @ space.image(shown).T).argmax(axis=1)
        for title, i in zip(titles, best):
            first = next(h for h in library.search(title, 50, each=True) if Path(h.path).stem == str(n))
            same += abs(first.start - i * SECONDS) <= 1.0
    assert same / len(PLAIN) >= 0.9, same


def test_no_kind_crowds_out_the_others(tmp_path, drawings):
    """A third of the things is a picture, a third a film, a third a page that names it: each kind has its share of the answers.

    In three libraries, so that each thing is of each kind once: some are harder to know than others.
    """
    found, space = {"image": 0, "video": 0, "document": 0}, samespace.load("starter")
    for turn in range(3):
        folder = tmp_path / str(turn)
        folder.mkdir()
        for i, title in enumerate(PLAIN, turn):
            if i % 3 == 0:
                drawings[title].save(folder / f"{title}.png")
            elif i % 3 == 1:
                film(folder / f"{title}.mp4", [(drawings[title], 2.0)])
            else:
                document(folder / f"{title}.pdf", [f"What there is to know about a {title}, told on one page."])
        library = Library(tmp_path / f"library {turn}", space)
        library.add([folder])
        for title in PLAIN:
            for hit in library.search(f"a {title}", 10):
                found[hit.kind] += Path(hit.path).stem == title
    assert sum(found.values()) >= 0.7 * 3 * len(PLAIN), found
    assert all(abs(count / sum(found.values()) - 1 / 3) <= 0.2 / 3 + 0.01 for count in found.values()), found


def test_a_long_film_is_left_when_nobody_waits_for_it():
    """As after Ctrl-C: the thread that reads it ends at its next piece."""
    at_work, ended = Event(), Event()

    def load(name: str, left: Event) -> str:
        if name == "film":
            at_work.set()
            if left.wait(60):
                ended.set()
        return name

    loads = read_ahead(["picture", "film"], load)
    assert next(loads) == "picture" and at_work.wait(60)
    loads.close()
    assert ended.is_set()


def test_a_sheet_leads_to_the_moment_and_the_page(tmp_path, mixed, hearing):
    library = Library(tmp_path / "library", hearing)
    library.add([mixed])
    for kind, ends in (("video", r"\.mp4#t=\d+\.\d\d"), ("document", r"\.pdf#page=\d"), ("image", r"\.png")):
        (hit,) = library.search("a thing", 1, Filter(kinds=(kind,)))
        assert re.search(ends + "$", link(hit))


def test_shots_and_their_sound_begin_at_the_same_moment(tmp_path, hearing, monkeypatch):
    """A cut between two hundredths of a second: what is heard after it does not reach into the shot before."""
    file = film(tmp_path / "cut.mp4", [(scene(RED), 2.0), (scene(BLUE), 2.0)], sound=tone(4.0))
    shots = list(video.shots(file, 64))
    shots[0].end = shots[1].start = 2.0457
    monkeypatch.setattr(video, "shots", lambda *_: iter(shots))
    found = list(moments.film(file, hearing))
    seen, heard = ([s for s in found if s.part == part] for part in (None, "sound"))
    assert seen[0].end == seen[1].start == 2.05 and {2.05} < {s.start for s in heard}
    assert not [s for s in heard if s.start < 2.05 < s.end]
    assert (seen[0].facts.width, seen[0].facts.height) == (320, 180)  # however small its frames are looked at


@pytest.mark.parametrize("seconds, batches", [(-1.0, [1, 1, 1, 1]), (1e9, [4])])
def test_what_is_done_is_handed_on_while_films_are_read(monkeypatch, seconds, batches):
    monkeypatch.setattr(embed, "WHILE", seconds)
    assert [len(batch) for batch in embed.gathered([(n, None) for n in range(4)])] == batches
