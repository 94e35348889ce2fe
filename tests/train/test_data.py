"""Batches: mixed by weight, the same after a resume, and without samples that cannot be read."""

from collections import Counter
from dataclasses import asdict, replace
from itertools import islice
from pathlib import Path

import pytest
import torch
from PIL import Image

from samespace.core.config import Prep
from samespace.core.errors import ConfigError
from samespace.preprocess.pixels import normalize_pixels, picture_of
from samespace.preprocess.tokens import Words
from samespace.spaces import registry
from samespace.spaces.checkpoints.tokenizer_files import read_tokenizer
from samespace.train.augment import AUGMENTS
from samespace.train.config import Source
from samespace.train.contrastive import Normalize
from samespace.train.data import Loader, Mixture, Position, SkippedSamples, caption_groups, read_pairs
from samespace.train.sources import open_source

PREP = Prep(size=16, context=8, clean="none")


def loader(*sources: Source, seed: int = 0, augment: str = "crop", batch: int = 8, threads: int = 2) -> Loader:
    words = Words(read_tokenizer(registry.STARTER), PREP)
    return Loader(Mixture(sources, open_source, seed), words, PREP, batch, AUGMENTS[augment], threads)


@pytest.mark.parametrize("augment", ["none", "crop", "strong"])
def test_a_batch_is_ready_for_the_towers(table, augment):
    batch = next(iter(loader(Source(str(table), templates=("a {} square", "any {} square")), augment=augment)))
    assert batch.pixels.dtype == torch.uint8 and batch.pixels.shape == (8, 16, 16, 3)
    assert batch.ids.dtype == torch.int64 and batch.ids.shape == (8, 8)
    assert all(c.split()[0] in ("a", "any") and c.endswith(" square") for c in batch.captions)
    colours = [c.split()[-2] for c in batch.captions]
    same = torch.tensor([[a == b for a in colours] for b in colours])  # in any template
    assert torch.equal(batch.group[:, None] == batch.group, same)


@pytest.mark.parametrize("augment", ["none", "crop", "strong"])
def test_a_batch_of_pictures_of_any_shape(table, augment):
    """What is normalized on the device is what a search normalizes, and the contact sheet can show it."""
    prep = replace(PREP, resize="patches", patch=4, patches=20)
    words = Words(read_tokenizer(registry.STARTER), prep)
    source = Source(str(table), templates=("a {} square",))
    batch = next(iter(Loader(Mixture((source,), open_source, 0), words, prep, 8, AUGMENTS[augment], 1)))
    assert batch.pixels.shape == (8, *prep.shape) == (8, 20, 56)
    torch.testing.assert_close(Normalize(prep)(batch.pixels), torch.from_numpy(normalize_pixels(batch.pixels.numpy(), prep)))
    assert picture_of(batch.pixels[0].numpy(), prep).size in {(16, 16), (20, 16), (16, 20)}


def test_the_order_does_not_depend_on_the_number_of_threads(table):
    runs = [islice(iter(loader(Source(str(table)), augment="strong", threads=n)), 12) for n in (1, 4)]
    for a, b in zip(*runs):
        assert a.names == b.names and torch.equal(a.pixels, b.pixels)


def test_a_loader_resumes_at_its_position(table, tmp_path):
    more = tmp_path / "more.tsv"
    more.write_text("\n".join(table.read_text().splitlines()[:6]) + "\n")
    sources = Source(str(table)), Source(str(more), weight=0.5)
    wanted = list(islice(iter(loader(*sources, augment="strong")), 20))
    interrupted = loader(*sources, augment="strong")
    list(islice(iter(interrupted), 11))  # past the end of an epoch of either source
    resumed = loader(*sources, augment="strong")
    resumed.position = Position(**asdict(interrupted.position))
    for a, b in zip(wanted[11:], resumed):
        assert a.names == b.names and a.captions == b.captions and torch.equal(a.pixels, b.pixels)


def test_sources_are_mixed_by_weight(table, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    Image.new("RGB", (8, 8)).save(other / "x.png")
    (other / "x.txt").write_text("something else")
    mixed = loader(Source(str(table), weight=3.0), Source(str(other), weight=1.0))
    names = Counter("x.png" in n for batch in islice(iter(mixed), 100) for n in batch.names)
    assert 0.2 < names[True] / 800 < 0.3


def test_every_item_comes_once_an_epoch(table):
    names = [n for batch in islice(iter(loader(Source(str(table)))), 10) for n in batch.names]  # two epochs of 40
    assert set(Counter(names[:40]).values()) == {1} and set(Counter(names).values()) == {2}
    assert names[:40] != names[40:]


def test_bad_samples_are_skipped_counted_and_named(table):
    rows = table.read_text()
    (table.parent / "empty.png").write_bytes(b"")
    table.write_text(rows * 4 + "empty.png\tnothing\nred 0.png\t\nblue 1.png\tblue\n")
    reading = loader(Source(str(table)))
    list(islice(iter(reading), 24))
    assert {Path(n).name for n in reading.skipped.reasons} == {"empty.png", "filepath", "red 0.png"}
    assert reading.skipped.seen >= 24 * 8 and reading.skipped.count >= 3


def test_more_than_one_bad_sample_in_a_hundred_stops_the_run(table):
    table.write_text(table.read_text() + "gone.png\tnothing\n")
    reading = loader(Source(str(table)))
    with pytest.raises(ConfigError, match=r"of \d+ samples cannot be used.*gone\.png"):
        list(islice(iter(reading), 150))


def test_a_source_of_bad_samples_only_stops_the_run(tmp_path):
    (tmp_path / "pairs.tsv").write_text("filepath\ttitle\nnone.png\tnothing\n")
    with pytest.raises(ConfigError, match="more than 1%"):
        next(iter(loader(Source(str(tmp_path / "pairs.tsv")))))


def test_equal_captions_are_one_group():
    numbers = caption_groups(["a cat", " A CAT ", "a dog", "猫", "猫"])
    assert numbers[0] == numbers[1] and numbers[3] == numbers[4]
    assert len(set(numbers.tolist())) == 3


def test_validation_pairs_are_complete_and_not_augmented(table):
    skipped = SkippedSamples()
    squares, captions = read_pairs((Source(str(table)),), PREP, skipped)
    assert squares.shape == (40, 16, 16, 3) and captions[0] == ("red",) and skipped.seen == 40
    broken = table.parent / "broken.tsv"
    broken.write_text("filepath\ttitle\nnone.png\tnothing\n")
    with pytest.raises(ConfigError, match="cannot be read"):
        read_pairs((Source(str(broken)),), PREP, skipped)
