"""Audio, video and documents in a library: found by moment and by page, replaced when they change, refreshed with the tower."""

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
from media_files import PLAIN, scene, tone, write_audio, write_document, write_video

import samespace
from samespace.core.config import AudioTower
from samespace.core.errors import LibraryError, UnreadableMedia
from samespace.library.contact_sheet import link
from samespace.library.indexing import embed, segments
from samespace.library.indexing.embed import Skipped, read_ahead
from samespace.library.library import Library
from samespace.library.store.filter import Filter
from samespace.library.store.records import AUDIO, IMAGE, LOWER, TEXT, UPPER, File
from samespace.media import video
from samespace.media.locator import locator
from samespace.media.thumbnails import thumbnail
from samespace.media.video import frame_at
from samespace.spaces.checkpoints import checkpoint
from samespace.spaces.convert import export, install
from samespace.spaces.space import Space

RED, BLUE = (200, 20, 20), (20, 40, 220)
SECONDS = 4.0


def with_audio_tower(space: Path, folder: Path, seed: int, frames: int) -> Path:
    """Write a space with a tiny random audio tower, and return its folder."""
    from samespace.models.starter.audio import AudioTransformer

    shutil.copytree(space, folder)
    torch.manual_seed(seed)
    c = AudioTower(frames=frames, width=32, layers=1, heads=2, mlp=64, dim=24)
    mels = torch.randn(4, c.mels, c.frames).numpy() * 20 - 40
    export.add_audio_tower(folder, AudioTransformer(c).eval(), c, mels)
    return folder


@pytest.fixture(scope="module")
def audio_space_folder(tmp_path_factory, tiny_space_folder) -> Path:
    """The tiny space with a tiny random audio tower."""
    return with_audio_tower(tiny_space_folder, tmp_path_factory.mktemp("with audio") / "tiny", 0, 400)


@pytest.fixture
def audio_space(audio_space_folder) -> Space:
    return Space(audio_space_folder)


@pytest.fixture(scope="module")
def other_tower_folder(tmp_path_factory, audio_space_folder) -> Path:
    """The same space with another audio tower, whose window is six seconds."""
    folder = with_audio_tower(audio_space_folder, tmp_path_factory.mktemp("with another") / "other tower", 1, 600)
    config = json.loads((folder / "space.json").read_text("utf-8")) | {"name": folder.name}
    (folder / "space.json").write_text(json.dumps(config), "utf-8")
    return folder


@pytest.fixture
def other_tower(other_tower_folder) -> Space:
    return Space(other_tower_folder)


@pytest.fixture
def mixed(tmp_path, mixed_once) -> Path:
    """A folder of every kind of file, which a test may change."""
    return shutil.copytree(mixed_once, tmp_path / mixed_once.name)


@pytest.fixture(scope="module")
def starter_library(tmp_path_factory, mixed_once) -> Library:
    """What the starter finds in a folder of every kind of file; no test changes it."""
    library = Library(tmp_path_factory.mktemp("by the starter") / "library", samespace.load("starter"))
    library.add([mixed_once])
    return library


@pytest.fixture(scope="module")
def audio_library(tmp_path_factory, mixed_once, audio_space_folder) -> Library:
    """A folder of every kind of file in a space that hears; no test changes it."""
    library = Library(tmp_path_factory.mktemp("with audio") / "library", Space(audio_space_folder))
    library.add([mixed_once])
    return library


@pytest.fixture(scope="module")
def mixed_once(tmp_path_factory, photographs) -> Path:
    folder = tmp_path_factory.mktemp("media") / "mixed 🎬"
    folder.mkdir()
    shutil.copy(photographs / "coffee.png", folder)
    write_video(folder / "two scenes.mp4", [(scene(RED), 5.0), (scene(BLUE), 5.0)], audio=tone(10.0))
    write_audio(folder / "tone.wav", tone(9.0))
    write_document(folder / "letter.pdf", ["Dear bread, dear butter,", "Yours, the invoice 2931"])
    (folder / "broken.mp4").write_bytes(b"\0" * 500)
    write_audio(folder / "silent.flac", np.zeros(32_000, np.float32), "flac")
    return folder


def places(library: Library, kind: str) -> list[tuple[float, int, str, int]]:
    """Return start, page, modality and ordinal of the places in files of a kind."""
    hits = library.search("anything", 100, Filter(kinds=(kind,)), group_by="place")
    return sorted((h.start or 0.0, h.page or 0, h.modality, h.ordinal) for h in hits)


def test_every_kind_has_its_segments(tmp_path, mixed, audio_space):
    library = Library(tmp_path / "library", audio_space)
    report = library.add([mixed])
    assert report.added == 4 and {Path(p).name for p, _ in report.skipped} == {"broken.mp4", "silent.flac"}
    assert all("; " in reason for _, reason in report.skipped)
    assert {modality for _, _, modality, _ in places(library, "audio")} == {AUDIO} and len(places(library, "audio")) == 4
    in_video = places(library, "video")
    shots = [(start, page, ordinal) for start, page, modality, ordinal in in_video if modality == IMAGE]
    assert shots == [(0.0, 0, 0), (pytest.approx(5.0, abs=1.0), 0, 0)]
    windows = [
        start for start, _, modality, _ in in_video if modality == AUDIO
    ]  # those that begin with a shot are one place with it
    assert windows == [2.0, pytest.approx(7.0, abs=1.0)]
    assert [page for _, page, _, _ in places(library, "document")] == [1, 2]
    assert library.add([mixed]).same == 4
    assert len({hit.path for hit in library.search("anything", 100)}) == 4 == len(library.search("anything", 100))


def test_a_hit_leads_to_its_segment(mixed_once, audio_library):
    library, audio_space = audio_library, audio_library.space
    hits = {h.kind: h for h in library.search("anything", 10)}
    for hit in hits.values():
        found = library.segment(hit.id)
        assert found.path == hit.path and (found.modality, found.ordinal) == (hit.modality, hit.ordinal)
        assert (found.root, found.size) == (str(mixed_once), Path(hit.path).stat().st_size) and len(found.hash) == 32
        z = library.vector(hit.id)
        assert float(z @ audio_space.text(["anything"])[0]) == pytest.approx(hit.score, abs=2e-3)
        assert min(thumbnail(hit, 100).size) >= 90 and thumbnail(found, 100).size == thumbnail(hit, 100).size
    assert library.segment("0" * 32) is None and library.vector("0" * 32) is None
    assert locator(hits["document"]).startswith("page ") and "–" in locator(hits["video"]) and locator(hits["image"]) == ""


def test_pages_are_stored_whole_and_by_halves(tmp_path, mixed, audio_space):
    found = list(segments.document_segments(mixed / "letter.pdf", audio_space))
    images = [(s.page, s.ordinal) for s in found if s.modality == IMAGE]
    assert images == [(1, 0), (1, UPPER), (1, LOWER), (2, 0), (2, UPPER), (2, LOWER)]
    assert [(s.page, s.ordinal, s.text) for s in found if s.modality == TEXT] == [
        (1, 1, "Dear bread, dear butter,"), (2, 1, "Yours, the invoice 2931"),
    ]  # fmt: skip


def test_a_file_is_a_query(tmp_path, mixed, audio_library):
    library = audio_library
    shutil.copy(mixed / "tone.wav", tmp_path / "again.wav")
    assert Path(library.search(str(tmp_path / "again.wav"), 1, Filter(kinds=("audio",)))[0].path).name == "tone.wav"
    assert library.search(str(mixed / "two scenes.mp4"), 10) and library.search(str(mixed / "letter.pdf"), 10)
    (tmp_path / "bad.pdf").touch()
    with pytest.raises(UnreadableMedia, match=r"bad\.pdf: "):
        library.search(str(tmp_path / "bad.pdf"))


def test_the_same_image_comes_before_audio_and_passages(tmp_path, mixed, starter_library):
    """For a file, hits of all modalities are in the order of their cosines."""
    shutil.copy(mixed / "coffee.png", tmp_path / "same.png")
    hits = starter_library.search(str(tmp_path / "same.png"))
    assert Path(hits[0].path).name == "coffee.png" and len(hits) > 3
    assert [h.score for h in hits] == sorted((h.score for h in hits), reverse=True)


def test_what_changed_is_replaced_and_what_is_copied_reused(tmp_path, mixed, audio_space):
    library = Library(tmp_path / "library", audio_space)
    library.add([mixed])
    shutil.copy(mixed / "two scenes.mp4", mixed / "copy.mp4")
    (mixed / "letter.pdf").rename(mixed / "moved.pdf")
    write_document(mixed / "moved.pdf", ["One page only, of something else"])
    report = library.add([mixed])
    assert (report.reused, report.added, report.removed) == (1, 1, 1)
    in_video = places(library, "video")
    assert len(in_video) % 2 == 0 and in_video[::2] == in_video[1::2]
    write_document(mixed / "moved.pdf", [f"The {n} page of three" for n in ("first", "second", "third")])
    library.add([mixed])
    assert [page for _, page, _, _ in places(library, "document")] == [1, 2, 3]
    write_document(mixed / "moved.pdf", ["The first page, once again"])
    library.add([mixed])
    assert [page for _, page, _, _ in places(library, "document")] == [1]


def test_a_file_that_becomes_a_copy_of_another_leaves_nothing_behind(tmp_path, tiny_space):
    long, short = (
        write_document(tmp_path / "long.pdf", [f"page {i}, which is secret" for i in range(5)]),
        write_document(tmp_path / "short.pdf", ["One page, and no other"]),
    )
    library = Library(tmp_path / "library", tiny_space)
    library.add([long, short])
    shutil.copy(short, long)
    assert library.add([long, short]).reused == 1
    assert [page for _, page, _, _ in places(library, "document")] == [1, 1]
    assert not library.store.search_texts("secret", tiny_space.text(["secret"])[0], 9, tiny_space.fingerprint, Filter())
    assert library.add([long, short]).same == 2
    other = write_document(tmp_path / "other.pdf", ["The first page of two", "The second page of two"])
    library.add([other])
    swapped = other.read_bytes()
    shutil.copy(short, other)
    short.write_bytes(swapped)
    assert library.add([long, short, other]).reused == 2
    assert [page for _, page, _, _ in places(library, "document")] == [1, 1, 1, 2]


def test_an_audio_tower_adds_audio_and_keeps_images(tmp_path, mixed, tiny_space, audio_space):
    library = Library(tmp_path / "library", tiny_space)
    report = library.add([mixed])
    assert report.added == 3 and any("no audio tower" in reason for _, reason in report.skipped)
    assert audio_space.fingerprint == tiny_space.fingerprint
    report = Library(tmp_path / "library", audio_space).add([mixed])
    assert report.added == 2 and report.same == 2  # the video and the audio file; the image and the letter are as they were
    assert places(Library(tmp_path / "library", audio_space), "audio")


def test_another_audio_tower_replaces_the_first(tmp_path, mixed, audio_space, other_tower):
    """Windows that begin elsewhere leave nothing of the first tower behind, and a later run uses the second."""
    place = tmp_path / "library"
    Library(place, audio_space).add([mixed])
    other = other_tower
    assert other.fingerprint == audio_space.fingerprint
    assert Library(place, other).add([mixed]).added == 2
    Library(tmp_path / "fresh", other).add([mixed])
    for kind in ("audio", "video"):
        assert places(Library(place, other), kind) == places(Library(tmp_path / "fresh", other), kind)
    assert Library(place, other).store.metadata.default_space() == other.handle
    assert Library(place, other).add([mixed]).same == 4


def test_a_video_that_cannot_be_read_for_another_tower_is_new_once_it_can_be(
    tmp_path, mixed, audio_space, other_tower, monkeypatch
):
    def failing(path: Path) -> str:
        raise OSError("Input/output error")

    place = tmp_path / "library"
    Library(place, audio_space).add([mixed])
    other = other_tower
    with monkeypatch.context() as patch:
        patch.setattr(embed, "file_hash", failing)
        assert Library(place, other).add([mixed]).added == 0
    assert Library(place, other).add([mixed]).added == 2
    Library(tmp_path / "fresh", other).add([mixed])
    assert places(Library(place, other), "video") == places(Library(tmp_path / "fresh", other), "video")


def test_another_audio_tower_embeds_copies_and_other_folders_too(tmp_path, mixed, audio_space, other_tower):
    """What was not embedded again is as before, until its folder is indexed."""
    place, elsewhere = tmp_path / "library", tmp_path / "elsewhere"
    shutil.copytree(mixed, elsewhere)
    write_audio(elsewhere / "another.wav", tone(9.0, 300))
    Library(place, audio_space).add([mixed, elsewhere])
    other = other_tower
    Library(place, other).add([mixed])
    assert Library(place, other).add([elsewhere]).same == 2  # the image and the letter
    Library(tmp_path / "fresh", other).add([mixed, elsewhere])
    for kind in ("audio", "video"):
        assert places(Library(place, other), kind) == places(Library(tmp_path / "fresh", other), kind)


def test_a_space_without_audio_is_added_to_one_with_audio(tmp_path, mixed, audio_space, tiny_space_folder):
    folder = tmp_path / "silent"
    shutil.copytree(tiny_space_folder, folder)
    text = (folder / "space.json").read_text("utf-8")
    (folder / "space.json").write_text(text.replace('"weights": "', '"weights": "f00'), "utf-8")
    (mixed / "tone.wav").unlink()  # it has nothing for a space without an audio tower
    Library(tmp_path / "library", audio_space).add([mixed])
    without_audio = Library(tmp_path / "library", Space(folder))
    assert without_audio.add([mixed], additional=True).added == 3
    assert without_audio.store.metadata.spaces[without_audio.space.fingerprint].complete
    assert without_audio.add([mixed]).same == 3


@pytest.mark.parametrize("failing", [1, 2])
def test_a_document_is_written_whole_or_not_at_all(tmp_path, mixed, tiny_space, monkeypatch, failing):
    """Whichever of its writes fails, the next run writes it again."""
    letter = mixed / "letter.pdf"
    straight = Library(tmp_path / "straight", tiny_space)
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
        Library(tmp_path / "library", tiny_space).add([letter])
    again = Library(tmp_path / "library", tiny_space)
    again.add([letter])
    assert count and again.store.count() == straight.store.count()


def test_an_exported_space_embeds_audio_as_before(tmp_path, audio_space_folder):
    made = install.convert(audio_space_folder, tmp_path / "out", precision="fp32")
    mels = [np.random.default_rng(0).normal(-40, 20, (made.audio.mels, made.audio.frames)).astype(np.float32)]
    assert np.array_equal(Space(tmp_path / "out").spectrograms(mels), Space(audio_space_folder).spectrograms(mels))
    without_audio = export.export(checkpoint.load(audio_space_folder), tmp_path / "without audio")
    assert not Space(tmp_path / "without audio").has_audio and without_audio.fingerprint == made.fingerprint


def test_what_was_embedded_before_an_interruption_is_kept(tmp_path, audio_space, monkeypatch):
    for i in range(4):
        write_audio(tmp_path / f"{i}.wav", tone(3.0, 300.0 + i))
    library = Library(tmp_path / "library", audio_space)

    def stop(report, done, of):
        if done == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr("samespace.library.indexing.embed.BATCH", 1)
    with pytest.raises(KeyboardInterrupt):
        library.add([tmp_path], progress=stop)
    kept = library.store.count()
    report = Library(tmp_path / "library", audio_space).add([tmp_path])
    assert kept and report.same == kept and report.same + report.added == 4


def test_words_of_a_page_are_found(starter_library):
    best = starter_library.search("invoice 2931", 3)[0]
    assert Path(best.path).name == "letter.pdf" and best.page == 2 and (best.modality, best.ordinal) == (TEXT, 1)
    assert best.relevance > 0.5


def test_what_comes_first_does_not_depend_on_how_many_are_asked_for(starter_library):
    for group_by in ("stack", "file", "place"):

        def found(top: int, group_by: str = group_by) -> list[tuple]:
            hits = starter_library.search("a red thing", top, group_by=group_by)
            return [(h.path, h.start, h.page, h.relevance) for h in hits]

        many = found(20)
        assert all(found(count) == many[:count] for count in (1, 2, 4))


def test_a_shot_is_found_as_its_image_would_be(tmp_path, drawings):
    """Videos of eight drawings each: a title finds the shot of the drawing that it finds among the video's frames of all eight.

    Frames, because encoding changes a cosine by a hundredth, and two drawings may be nearer than that."""
    space = samespace.load("starter")
    library, same = Library(tmp_path / "library", space), 0
    videos = [PLAIN[i : i + 8] for i in range(0, len(PLAIN), 8)]
    for n, titles in enumerate(videos):
        write_video(tmp_path / f"{n}.mp4", [(drawings[title], SECONDS) for title in titles])
    assert library.add([tmp_path / f"{n}.mp4" for n in range(len(videos))]).added == len(videos)
    for n, titles in enumerate(videos):
        frames = [frame_at(tmp_path / f"{n}.mp4", (i + 0.5) * SECONDS, 640) for i in range(len(titles))]
        best = (space.text(titles) @ space.image(frames).T).argmax(axis=1)
        for title, i in zip(titles, best):
            first = next(h for h in library.search(title, 50, group_by="place") if Path(h.path).stem == str(n))
            same += abs(first.start - i * SECONDS) <= 1.0
    assert same / len(PLAIN) >= 0.9, same


def test_every_kind_has_its_share_of_the_hits(tmp_path, drawings):
    """A third of the things is an image, a third a video, a third a page that names it.

    In three libraries, so that each thing is of each kind once: some are harder to find than others.
    """
    found, space = {"image": 0, "video": 0, "document": 0}, samespace.load("starter")
    for turn in range(3):
        folder = tmp_path / str(turn)
        folder.mkdir()
        for i, title in enumerate(PLAIN, turn):
            if i % 3 == 0:
                drawings[title].save(folder / f"{title}.png")
            elif i % 3 == 1:
                write_video(folder / f"{title}.mp4", [(drawings[title], 2.0)])
            else:
                write_document(folder / f"{title}.pdf", [f"What there is to know about a {title}, told on one page."])
        library = Library(tmp_path / f"library {turn}", space)
        library.add([folder])
        for title in PLAIN:
            for hit in library.search(f"a {title}", 10):
                found[hit.kind] += Path(hit.path).stem == title
    assert sum(found.values()) >= 0.7 * 3 * len(PLAIN), found
    assert all(abs(count / sum(found.values()) - 1 / 3) <= 0.2 / 3 + 0.01 for count in found.values()), found


def test_reading_a_long_video_is_cancelled_when_its_consumer_stops():
    """As after Ctrl-C: the thread that reads it ends at its next segment."""
    image, long_video = (Skipped(File(name, "/", "video", 1, 1), "") for name in ("image", "video"))
    reading, ended = Event(), Event()

    def load(file: File, cancelled: Event) -> Skipped:
        if file.path == "video":
            reading.set()
            if cancelled.wait(60):
                ended.set()
        return Skipped(file, "")

    loads = read_ahead([image.file, long_video.file], load)
    assert next(loads) == image and reading.wait(60)
    loads.close()
    assert ended.is_set()


def test_a_contact_sheet_links_to_the_moment_and_the_page(audio_library):
    for kind, ends in (("video", r"\.mp4#t=\d+\.\d\d"), ("document", r"\.pdf#page=\d"), ("image", r"\.png")):
        (hit,) = audio_library.search("a thing", 1, Filter(kinds=(kind,)))
        assert re.search(ends + "$", link(hit))


def test_shots_and_their_audio_begin_at_the_same_moment(tmp_path, audio_space, monkeypatch):
    """A cut between two hundredths of a second: no window of audio after it reaches into the shot before."""
    file = write_video(tmp_path / "cut.mp4", [(scene(RED), 2.0), (scene(BLUE), 2.0)], audio=tone(4.0))
    shots = list(video.shots(file, 64))
    shots[0].end = shots[1].start = 2.0457
    monkeypatch.setattr(video, "shots", lambda *_: iter(shots))
    found = list(segments.video_segments(file, audio_space))
    images, windows = ([s for s in found if s.modality == modality] for modality in (IMAGE, AUDIO))
    assert images[0].end == images[1].start == 2.05 and {2.05} < {s.start for s in windows}
    assert not [s for s in windows if s.start < 2.05 < s.end]
    assert images[0].size == (320, 180)  # of the video, whatever size its frames are decoded at


@pytest.mark.parametrize("seconds, batches", [(-1.0, [1, 1, 1, 1]), (1e9, [4])])
def test_partial_batches_are_passed_on_while_videos_are_read(monkeypatch, seconds, batches):
    monkeypatch.setattr(embed, "FLUSH_SECONDS", seconds)
    loads = [Skipped(File(str(n), "/", "image", 1, 1), "") for n in range(4)]
    assert [len(batch) for batch in embed.gathered(loads, lambda: 16)] == batches
