"""Published numbers can be reproduced: CLIP_benchmark itself, on small datasets made here, says the same."""

import io
import json
import tarfile
import warnings

import numpy as np
import pytest
import tiny_checkpoints as tiny
import torch
from PIL import Image
from typer.testing import CliRunner

import samespace
from samespace.cli.main import app
from samespace.core.errors import QueryError
from samespace.evaluate.suite import measure, open_dataset
from samespace.evaluate.zeroshot import accuracy
from samespace.spaces.convert import install

COLOURS = {
    "red": (200, 30, 30),
    "green": (30, 160, 40),
    "blue": (30, 40, 200),
    "yellow": (220, 210, 40),
    "grey": (120, 120, 120),
    "black": (9, 9, 9),
}
TEMPLATES = ("a photo of a {c} thing.", "{c}")


@pytest.fixture(scope="module")
def both(tmp_path_factory, clip_tokenizer_folder):
    """A tiny open_clip model: as open_clip has it, and as a space of fp32."""
    import open_clip

    path = tmp_path_factory.mktemp("suite")
    torch.manual_seed(0)
    words = tiny.clip_tokenizer(clip_tokenizer_folder)
    tokenizer = tiny.open_clip_tokenizer(words, path / "words", context_length=77, clean="lower")
    folder = tiny.open_clip_folder("ViT-B-32", path / "model", tokenizer)
    install.convert(folder, path / "space", precision="fp32")
    model, transform = open_clip.create_model_from_pretrained(f"local-dir:{folder}")
    return samespace.load(path / "space"), model.eval(), transform, open_clip.get_tokenizer(f"local-dir:{folder}")


@pytest.fixture(scope="module")
def pictures() -> list[tuple[bytes, int]]:
    """Files of several formats, shapes and modes, and the number of each one's class."""
    rng, files = np.random.default_rng(0), []
    for i in range(42):
        colour = list(COLOURS.values())[i % len(COLOURS)]
        pixels = np.clip(np.array(colour) + rng.integers(-60, 60, (40 + i, 90 - i, 3)), 0, 255).astype(np.uint8)
        image, out = Image.fromarray(pixels), io.BytesIO()
        if i % 7 == 0:
            image.putalpha(128)
        exif = Image.Exif()
        exif[0x0112] = 6  # lies on its side, which CLIP_benchmark does not read
        image.save(out, "PNG" if i % 7 == 0 else "JPEG", exif=exif)
        files.append((out.getvalue(), i % len(COLOURS)))
    return files


def write_shards(folder, pictures, labels, ending, kind="", classes=tuple(COLOURS)):
    """CLIP_benchmark's layout, in two shards."""
    (folder / "test").mkdir(parents=True)
    (folder / "test/nshards.txt").write_text("2\n")
    for shard in range(2):
        with tarfile.open(folder / f"test/{shard}.tar", "w") as archive:
            for i, (data, label) in enumerate(zip(pictures, labels)):
                if i % 2 == shard:
                    picture = "png" if data.startswith(b"\x89PNG") else "jpg"
                    for name, content in ((f"s{i:04}.{picture}", data), (f"s{i:04}.{ending}", label)):
                        info = tarfile.TarInfo(name)
                        info.size = len(content)
                        archive.addfile(info, io.BytesIO(content))
    (folder / "classnames.txt").write_text("\n".join(classes))
    (folder / "zeroshot_classification_templates.txt").write_text("\n".join(TEMPLATES))
    if kind:
        (folder / "dataset_type.txt").write_text(kind)
    return folder


def theirs(both, folder, retrieval):
    """CLIP_benchmark's metrics, without mixed precision."""
    from clip_benchmark.datasets.builder import build_wds_dataset
    from clip_benchmark.metrics import zeroshot_classification, zeroshot_retrieval

    _, model, transform, tokenizer = both
    warnings.simplefilter("ignore")  # webdataset's, about how CLIP_benchmark calls it
    zeroshot_classification.float = lambda x: float(np.asarray(x).item())  # NumPy no longer does that to arrays of one number
    dataset = build_wds_dataset("x", transform, "test", str(folder))
    loader = torch.utils.data.DataLoader(dataset.batched(8), batch_size=None)
    if retrieval:
        return zeroshot_retrieval.evaluate(model, loader, tokenizer, "cpu", amp=False, recall_k_list=[1, 5, 10])
    return zeroshot_classification.evaluate(
        model, loader, tokenizer, loader.dataset.classes, loader.dataset.templates, "cpu", amp=False
    )


def one_hot(label):
    out = io.BytesIO()
    np.save(out, np.eye(len(COLOURS), dtype=np.int64)[[label, (label + 2) % len(COLOURS)]].sum(axis=0))
    return out.getvalue()


def captions(label, i):
    colour = list(COLOURS)[label]
    return (
        f"a {colour} thing at place {i}\nnumber {i}, {colour}".encode()
    )  # no two equal: how ties are broken is nobody's promise


LAYOUTS = {
    "classification": lambda d, p: write_shards(d, [f for f, _ in p], [str(c).encode() for _, c in p], "cls"),
    "four classes": lambda d, p: write_shards(
        d, [f for f, c in p if c < 4], [str(c).encode() for _, c in p if c < 4], "cls", classes=tuple(COLOURS)[:4]
    ),
    "multilabel": lambda d, p: write_shards(d, [f for f, _ in p], [one_hot(c) for _, c in p], "npy", "multilabel"),
    "retrieval": lambda d, p: write_shards(
        d, [f for f, _ in p], [captions(c, i) for i, (_, c) in enumerate(p)], "txt", "retrieval"
    ),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_metrics_are_clip_benchmarks(tmp_path, both, pictures, layout):
    folder = LAYOUTS[layout](tmp_path / "data", pictures)
    got, want = measure(both[0], open_dataset(folder)), theirs(both, folder, layout == "retrieval")
    assert got == pytest.approx(want, abs=1e-4, nan_ok=True)
    assert layout == "four classes" or any(0 < value < 1 for value in got.values())


def test_captions_of_coco_and_karpathy_and_folders_of_classes(tmp_path, both, pictures):
    """The same pictures in every layout give the same numbers."""
    shards = LAYOUTS["retrieval"](tmp_path / "shards", pictures)
    order = [i for shard in range(2) for i in range(len(pictures)) if i % 2 == shard]
    texts = {i: captions(pictures[i][1], i).decode().splitlines() for i in order}
    for name in ("coco", "karpathy", "classes"):
        (tmp_path / name / "images").mkdir(parents=True)
    for i in order:
        for name in ("coco", "karpathy"):
            (tmp_path / name / f"images/{i}.jpg").write_bytes(pictures[i][0])
    coco = {
        "images": [{"id": i, "file_name": f"{i}.jpg"} for i in order],
        "annotations": [{"image_id": i, "caption": text} for i in order for text in texts[i]],
    }
    karpathy = {
        "images": [{"filename": f"{i}.jpg", "split": "test", "sentences": [{"raw": t} for t in texts[i]]} for i in order]
        + [{"filename": "absent.jpg", "split": "train", "sentences": []}]
    }
    (tmp_path / "coco/captions.json").write_text(json.dumps(coco))
    (tmp_path / "karpathy/dataset.json").write_text(json.dumps(karpathy))
    want = measure(both[0], open_dataset(shards))
    assert measure(both[0], open_dataset(tmp_path / "coco")) == want == measure(both[0], open_dataset(tmp_path / "karpathy"))
    (tmp_path / "coco/captions.json").rename(tmp_path / "coco/captions_test2017.json")
    absent = {"images": [{"id": 1, "file_name": "absent.jpg"}], "annotations": [{"image_id": 1, "caption": "x"}]}
    (tmp_path / "coco/captions_train2017.json").write_text(json.dumps(absent))
    (tmp_path / "coco/instances_test2017.json").write_text(
        json.dumps(absent | {"annotations": [{"image_id": 1, "bbox": [0, 0, 1, 1]}]})
    )
    assert measure(both[0], open_dataset(tmp_path / "coco")) == want
    with pytest.raises(QueryError, match="several caption files, captions_test2017.json, captions_train2017.json"):
        open_dataset(tmp_path / "coco", "val")
    (tmp_path / "classes/images").rmdir()
    for i, (data, label) in enumerate(pictures):
        place = tmp_path / "classes" / f"n{label}"
        place.mkdir(exist_ok=True)
        (place / f"{i}.jpg").write_bytes(data)
    (tmp_path / "classes/classnames.txt").write_text("\n".join(COLOURS))
    (tmp_path / "classes/zeroshot_classification_templates.txt").write_text("\n".join(TEMPLATES))
    of_shards = measure(both[0], open_dataset(LAYOUTS["classification"](tmp_path / "again", pictures)))
    assert measure(both[0], open_dataset(tmp_path / "classes")) == pytest.approx(of_shards)


def test_the_command_writes_clip_benchmarks_lines(tmp_path, pictures):
    folder = LAYOUTS["classification"](tmp_path / "cars", pictures)
    said = CliRunner().invoke(app, ["eval", "suite", str(folder), str(tmp_path), "--output", str(tmp_path / "out.jsonl")])
    assert said.exit_code == 0 and "is no dataset" in said.stderr
    line = json.loads((tmp_path / "out.jsonl").read_text())
    assert line == json.loads(said.stdout) and line["dataset"] == "cars" and line["task"] == "zeroshot_classification"
    assert set(line) == {"dataset", "model", "pretrained", "task", "metrics", "language"} and line["metrics"]["acc1"] > 0.2


def test_datasets_that_cannot_be_read(tmp_path, both, pictures):
    folder = LAYOUTS["classification"](tmp_path / "data", pictures)
    (folder / "classnames.txt").unlink()
    with pytest.raises(QueryError, match="class names"):
        measure(both[0], open_dataset(folder))
    (folder / "classnames.txt").write_text("\n".join(COLOURS))
    with tarfile.open(folder / "test/1.tar", "w") as archive:
        for name in ("0.gif", "0.cls"):
            archive.addfile(tarfile.TarInfo(name))
    with pytest.raises(QueryError, match="has no picture"):
        measure(both[0], open_dataset(folder))
    (folder / "test/1.tar").write_bytes(b"broken")
    with pytest.raises(QueryError, match=r"1\.tar cannot be read"):
        measure(both[0], open_dataset(folder))


@pytest.mark.parametrize("broken", [0.0, float("nan")])
def test_an_encoder_that_tells_nothing_apart_is_right_by_no_chance(broken):
    class Collapsed:
        def text(self, texts):
            return np.full((len(texts), 4), broken or 0.5, np.float32)

    for target in (0, 9):
        found = accuracy(Collapsed(), np.full((20, 4), broken or 0.5, np.float32), [target] * 20, list("abcdefghij"))
        assert found["acc1"] == found["acc5"] == 0


@pytest.mark.parametrize(("count", "kind"), [("", "classification"), ("many", "classification"), ("1", "segmentation")])
def test_shards_that_do_not_say_what_they_are_are_one_sentence(tmp_path, count, kind):
    (tmp_path / "test").mkdir()
    (tmp_path / "test" / "nshards.txt").write_text(count)
    (tmp_path / "dataset_type.txt").write_text(kind)
    with pytest.raises(QueryError, match="write"):
        open_dataset(tmp_path, "test")
