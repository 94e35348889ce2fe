"""Sources: every kind gives the same pairs, and errors name what is wrong."""

import contextlib
import io
import json
import tarfile
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from samespace.core.errors import ConfigError, UnreadableMedia
from samespace.train.config import Source
from samespace.train.sources import ShardedSource, open_source

WORDS = ["a red square", "ein grünes Feld", "蓝色 🟦", "yellow", "black", "white"]


def png(i: int) -> bytes:
    data = io.BytesIO()
    Image.new("RGB", (8, 8), (40 * i, 20, 255 - 40 * i)).save(data, "PNG")
    return data.getvalue()


def sidecars(folder: Path) -> str:
    for i, words in enumerate(WORDS):
        (folder / f"pic {i}.png").write_bytes(png(i))
        (folder / f"pic {i}.txt").write_text(words + "\n", "utf-8")
    return str(folder)


def table(ending: str):
    def write(folder: Path) -> str:
        rows = []
        for i, words in enumerate(WORDS):
            (folder / f"{i}.png").write_bytes(png(i))
            rows.append({"filepath": f"{i}.png", "title": words})
        delimiter = {"tsv": "\t", "csv": ","}.get(ending)
        lines = [json.dumps(r, ensure_ascii=False) for r in rows]
        if delimiter:
            lines = [delimiter.join(rows[0]), *(delimiter.join(r.values()) for r in rows)]
        (folder / f"pairs.{ending}").write_text("\n".join(lines) + "\n", "utf-8")
        return str(folder / f"pairs.{ending}")

    return write


def parquet(folder: Path) -> str:
    rows = [{"image": {"bytes": png(i), "path": f"{i}.png"}, "caption": words} for i, words in enumerate(WORDS)]
    pq.write_table(pa.Table.from_pylist(rows), folder / "pairs.parquet", row_group_size=2)
    return str(folder / "pairs.parquet")


def tars(folder: Path, as_json: bool = False) -> str:
    for shard in range(3):
        with tarfile.open(folder / f"{shard:05}.tar", "w") as tar:
            for i in (2 * shard, 2 * shard + 1):
                caption = ("json", json.dumps({"caption": WORDS[i]}).encode()) if as_json else ("txt", WORDS[i].encode())
                for ending, data in (("png", png(i)), caption):
                    member = tarfile.TarInfo(f"{i:09}.{ending}")
                    member.size = len(data)
                    tar.addfile(member, io.BytesIO(data))
    return str(folder / "{00000..00002}.tar")


def tars_with_json(folder: Path) -> str:
    """Tars as img2dataset writes them, with the caption in a JSON member."""
    return tars(folder, as_json=True)


def dataset(folder: Path) -> str:
    datasets = pytest.importorskip("datasets")
    rows = {"image": [{"bytes": png(i), "path": None} for i in range(len(WORDS))], "caption": WORDS}
    features = datasets.Features({"image": datasets.Image(), "caption": datasets.Value("string")})
    datasets.Dataset.from_dict(rows, features=features).save_to_disk(str(folder / "data"))
    return str(folder / "data")


KINDS = [sidecars, table("tsv"), table("csv"), table("jsonl"), parquet, tars, tars_with_json, dataset]
NAMES = ["folder", "tsv", "csv", "jsonl", "parquet", "tars", "img2dataset", "dataset"]


def captions_of(item) -> tuple[str, ...]:
    return item.load()[1]


@pytest.mark.parametrize("make", KINDS, ids=NAMES)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_every_kind_gives_the_same_pairs(tmp_path, make):
    opened = open_source(Source(make(tmp_path)))
    found = {captions[0]: data for data, captions in (item.load() for item in opened.in_order())}
    assert found == {words: png(i) for i, words in enumerate(WORDS)}
    for epoch in range(2):
        shares = [[captions_of(item)[0] for item in opened.epoch(np.random.default_rng(epoch), rank, 2)] for rank in (0, 1)]
        assert Counter(shares[0] + shares[1]) == Counter(WORDS)  # two processes: each item once
    orders = {tuple(captions_of(i)[0] for i in opened.epoch(np.random.default_rng(seed), 0, 1)) for seed in range(5)}
    assert len(orders) > 1


def test_folders_of_classes_give_captions(tmp_path):
    for name in ("golden_retriever", "cat"):
        (tmp_path / name / "more").mkdir(parents=True)
        (tmp_path / name / "more" / "1.png").write_bytes(png(1))
    assert {captions_of(item) for item in open_source(Source(str(tmp_path))).in_order()} == {("golden retriever",), ("cat",)}


def test_several_captions_stay_together(tmp_path):
    (tmp_path / "a.png").write_bytes(png(0))
    (tmp_path / "a.jsonl").write_text(json.dumps({"filepath": "a.png", "title": ["one", "two"], "more": "three"}))
    source = Source(str(tmp_path / "a.jsonl"), caption="title,more")
    assert [captions_of(item) for item in open_source(source).in_order()] == [("one", "two", "three")]


def test_a_truncated_shard_costs_one_item(tmp_path):
    path = tars(tmp_path)
    data = (tmp_path / "00001.tar").read_bytes()
    (tmp_path / "00001.tar").write_bytes(data[:700])
    items = list(open_source(Source(path)).in_order())
    (broken,) = [item for item in items if item.name.endswith("00001.tar")]
    with pytest.raises(UnreadableMedia, match="rest of the shard"):
        broken.load()
    assert {captions_of(item)[0] for item in items if item is not broken} >= {WORDS[0], WORDS[1], WORDS[4], WORDS[5]}


def test_a_bad_record_costs_one_item(tmp_path):
    """A row without the name of a picture, and a tar member that is not JSON."""
    (tmp_path / "a.png").write_bytes(png(0))
    (tmp_path / "pairs.jsonl").write_text('{"filepath": "a.png", "title": "one"}\n{"title": "two"}\n')
    first, second = open_source(Source(str(tmp_path / "pairs.jsonl"))).in_order()
    assert captions_of(first) == ("one",)
    with pytest.raises(UnreadableMedia, match="names no picture"):
        second.load()
    path = tars_with_json(tmp_path)
    data = (tmp_path / "00000.tar").read_bytes()
    (tmp_path / "00000.tar").write_bytes(data.replace(b'{"caption": "a red', b'["caption": "a red'))
    first, *rest = open_source(Source(path)).in_order()
    with pytest.raises(ValueError):
        first.load()
    assert [captions_of(item)[0] for item in rest] == WORDS[1:]


def test_too_few_shards_for_the_processes(tmp_path):
    opened = open_source(Source(tars(tmp_path)))
    assert isinstance(opened, ShardedSource)
    with pytest.raises(ConfigError, match="3 shards cannot be shared by 4"):
        next(opened.epoch(np.random.default_rng(0), 0, 4))


@pytest.mark.parametrize(
    "name, content, message",
    [
        ("none.tsv", None, "cannot be read"),
        ("pairs.tsv", "a\tb\n1\t2\n", "has the columns a, b"),
        ("pairs.tsv", "filepath\ttitle\n", "holds no pairs"),
        ("s4://bucket/pairs.tsv", None, "cannot be read as pairs"),
        ("pairs.xyz", "?", "not a folder"),
        ("{00..03}.tar", None, "00.tar is not there"),
        ("pairs.jsonl", "{not json", "cannot be read as pairs"),
        ("pairs.parquet", "no parquet", "cannot be read as pairs"),
    ],
)
def test_errors_name_the_source(tmp_path, name, content, message):
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(ConfigError, match=message):
        open_source(Source(name if "://" in name else str(tmp_path / name)))


def test_missing_columns_are_reported(tmp_path):
    (tmp_path / "pairs.tsv").write_text("filepath\ttitle\na.png\tone\n")
    for wrong in ({"caption": "title,alt"}, {"image": "picture"}):
        with pytest.raises(ConfigError, match="has the columns filepath, title"):
            open_source(Source(str(tmp_path / "pairs.tsv"), **wrong))


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="no pictures"):
        open_source(Source(str(tmp_path)))


def test_class_numbers_become_class_names(tmp_path):
    """From disk and from Parquet, as `datasets` writes them; numbers without names are refused."""
    import datasets

    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=["cat", "dog"])})
    rows = {"image": [{"bytes": png(i), "path": None} for i in range(3)], "label": [0, 1, -1]}
    data = datasets.Dataset.from_dict(rows, features=features)
    data.save_to_disk(tmp_path / "saved")
    data.to_parquet(tmp_path / "pairs.parquet")
    for path in ("saved", "pairs.parquet"):
        assert [item.load()[1] for item in open_source(Source(str(tmp_path / path))).in_order()] == [("cat",), ("dog",), ()]
    pq.write_table(pa.table({"image": [png(0)], "label": [3]}), tmp_path / "numbers.parquet")
    with pytest.raises(ConfigError, match="numbers in label"):
        open_source(Source(str(tmp_path / "numbers.parquet")))
    datasets.DatasetDict({"train": data, "test": data}).save_to_disk(tmp_path / "splits")
    with pytest.raises(ConfigError, match="splits/train"):
        open_source(Source(str(tmp_path / "splits")))


def test_a_stray_text_file_does_not_hide_folders_of_classes(tmp_path):
    for label in ("cat", "dog"):
        (tmp_path / label).mkdir()
        for i in range(3):
            (tmp_path / label / f"{i}.png").write_bytes(png(i))
    (tmp_path / "cat" / "0.txt").write_text("notes")
    (tmp_path / "loose.png").write_bytes(png(0))
    read = {item.name: item for item in open_source(Source(str(tmp_path))).in_order()}
    assert Counter(item.load()[1] for name, item in read.items() if "loose" not in name) == {("cat",): 3, ("dog",): 3}
    with pytest.raises(UnreadableMedia, match="no folder"):
        read[str(tmp_path / "loose.png")].load()


def test_a_picture_without_its_text_file_is_reported(tmp_path):
    sidecars(tmp_path)
    (tmp_path / "bare.png").write_bytes(png(0))
    bare = next(item for item in open_source(Source(str(tmp_path))).in_order() if "bare" in item.name)
    with pytest.raises(UnreadableMedia, match=r"no \.txt beside it"):
        bare.load()


@pytest.mark.parametrize(
    "name, text, readable",
    [
        ("a.jsonl", '{"filepath": "0.png", "title": "red"}\nnull\n["a"]\n{"filepath": "0.p', 1),
        ("a.csv", "filepath,title\n0.png,a red, round thing\n0.png,red\n", 1),
    ],
)
def test_a_bad_line_costs_one_item(tmp_path, name, text, readable):
    (tmp_path / "0.png").write_bytes(png(0))
    (tmp_path / name).write_text(text)
    items = list(open_source(Source(str(tmp_path / name))).in_order())
    loaded = 0
    for item in items:
        with contextlib.suppress(UnreadableMedia):
            loaded += item.load()[1] == ("red",)
    assert loaded == readable and len(items) == len(text.strip().splitlines()) - name.endswith("csv")


def test_an_unclosed_quote_is_refused_in_csv(tmp_path):
    (tmp_path / "a.csv").write_text('filepath,title\n0.png,"open\n1.png,red\n')
    with pytest.raises(ConfigError, match="cannot be read"):
        open_source(Source(str(tmp_path / "a.csv")))


def test_failed_downloads_of_img2dataset_are_left_out(tmp_path):
    rows = [
        {"jpg": png(0), "caption": "red", "status": "success"},
        {"jpg": None, "caption": "gone", "status": "failed_to_download"},
    ]
    for shard in range(2):
        pq.write_table(pa.Table.from_pylist(rows), tmp_path / f"{shard}.parquet")
    items = list(open_source(Source(str(tmp_path / "{0..1}.parquet"))).in_order())
    assert [item.load()[1] for item in items] == [("red",)] * 2
    assert [item.name.split(",")[0] for item in items] == [str(tmp_path / f"{i}.parquet") for i in range(2)]
    with pytest.raises(ConfigError, match="nothing matches"):
        open_source(Source(str(tmp_path / "*.tar")))


def test_quotation_marks_in_a_tsv_are_characters(tmp_path):
    for i in range(5):
        (tmp_path / f"{i}.png").write_bytes(png(i))
    lines = ['0.png\t"left', '1.png\tright"', '2.png\t"The End" says the sign', '3.png\t"a ""quoted"" cell"', "4.png\tplain"]
    (tmp_path / "pairs.tsv").write_text("filepath\ttitle\n" + "\n".join(lines) + "\n")
    found = [captions_of(item)[0] for item in open_source(Source(str(tmp_path / "pairs.tsv"))).in_order()]
    assert found == ['"left', 'right"', '"The End" says the sign', 'a "quoted" cell', "plain"]


def test_only_a_new_line_ends_a_line(tmp_path):
    (tmp_path / "0.png").write_bytes(png(0))
    (tmp_path / "pairs.tsv").write_text("filepath\ttitle\r\n0.png\tsunset\u2028over\x85the\x0bsea\r\n", newline="")
    (item,) = open_source(Source(str(tmp_path / "pairs.tsv"))).in_order()
    assert captions_of(item) == ("sunset\u2028over\x85the\x0bsea",)


def test_one_byte_that_is_no_utf_8_costs_a_character(tmp_path):
    (tmp_path / "0.png").write_bytes(png(0))
    (tmp_path / "pairs.tsv").write_bytes(b"filepath\ttitle\n0.png\tcaf\xe9\n")
    (item,) = open_source(Source(str(tmp_path / "pairs.tsv"))).in_order()
    assert captions_of(item) == ("caf\ufffd",)


def test_what_systems_and_notebooks_leave_in_folders_is_left_out(tmp_path):
    for name in ("cat/1.png", "dog/2.png", ".ipynb_checkpoints/1-checkpoint.png", "cat/._1.png", "__MACOSX/cat/1.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / name).write_bytes(png(0))
    assert {captions_of(item) for item in open_source(Source(str(tmp_path))).in_order()} == {("cat",), ("dog",)}
