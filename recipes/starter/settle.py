"""Step 4: the class vectors of the prior learn from pictures what their names do not say.

    python recipes/starter/settle.py WORK [steps]

The prior takes a class for what it is called, but where the trunk sees a wig and a jersey there is a person. So the 1000
vectors, and nothing else, go on learning from whole z: all towers rest, each view passes them once, and a step is a few
products of matrices. That the text tower rests keeps whatever was learned against it (the audio tower) valid.
WORK/checkpoint.pt → WORK/settled.pt.
"""

import json
import math
import random
import sys
from pathlib import Path

import numpy as np
import torch
from common import MINILM, PREP, read_pairs
from features import keep, session_of
from PIL import Image
from torch import Tensor
from torch.nn.functional import normalize
from train import VARIANTS, Photographs, averaged, made_up, texts_of, texts_of_class

from samespace.eval.retrieval import answers, recall_at_k
from samespace.model.dual import DualEncoder
from samespace.model.losses import clip_loss
from samespace.prep.pixels import normalise, square
from samespace.prep.tokens import Words, read_tokenizer
from samespace.train import state

VIEWS = 3
BATCH, MADE_UP = 768, 256  # pictures, and made-up maps of classes, in a step
GROUNDS, POOL = 512, 20_000  # pictures on whose maps classes are made up, and how many there are to draw from
RATE, WARMUP = 3e-3, 50


class Parts(torch.nn.Module):
    """Pixels → the trunk's class logits (B, 1000), and both learned parts as they stand in z (B, 256)."""

    def __init__(self, model: DualEncoder):
        super().__init__()
        self.image = model.image

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        middle = self.image.trunk.bottom(pixels, self.image.fork)
        x = self.image.trunk.top(middle, self.image.fork)
        return self.of_maps(x, self.image.branch.trunk.top(middle, 0))

    def of_maps(self, x: Tensor, branch: Tensor) -> tuple[Tensor, Tensor]:
        learned = [normalize(z, dim=-1) for z in (self.image.read(x), self.image.branch.read(branch))]
        return self.image.prior.classifier(x.mean(dim=(2, 3))), self.image.share * torch.cat(learned, dim=-1)


def z_of(model: DualEncoder, logits: Tensor, learned: Tensor) -> Tensor:
    prior = model.image.prior.vectors((model.image.prior.scale * logits).softmax(dim=-1))
    return normalize(torch.cat([prior, learned], dim=-1), dim=-1)


@torch.inference_mode()
def texts(model: DualEncoder, words: Words, lists: list[list[str]]) -> tuple[Tensor, Tensor]:
    """Each one's VARIANTS texts as numbers (lists, VARIANTS), and every text's z."""
    index = {t: i for i, t in enumerate(dict.fromkeys(t for ts in lists for t in ts))}
    by_length, z = sorted(index, key=len), torch.empty(len(index), model.text.c.dim)
    for i in range(0, len(by_length), 256):
        some = by_length[i : i + 256]
        z[[index[t] for t in some]] = model.encode_text(torch.from_numpy(words.ids(some)))
    return torch.tensor([[index[t] for t in (ts * VARIANTS)[:VARIANTS]] for ts in lists]), z.clone()


@torch.inference_mode()
def pool_of_classes(model: DualEncoder, work: Path, pairs: list[dict]) -> tuple[Tensor, Tensor, Tensor]:
    """Classes (POOL,), and Parts of maps that stand in for their photographs."""
    rows = [p for p in pairs if p["split"] == "train"]
    pictures = [Image.open(work / p["file"]).convert("RGBA") for p in rows[:: len(rows) // GROUNDS][:GROUNDS]]
    pixels = torch.from_numpy(normalise(np.stack([square(p, PREP) for p in pictures]), PREP))
    maps = torch.cat([model.image.trunk.top(model.image.trunk.bottom(some, model.image.fork), model.image.fork)
                      for some in pixels.split(64)])  # fmt: skip
    generator, found = torch.Generator().manual_seed(0), []
    for _ in range(0, POOL, MADE_UP):
        ground = maps[torch.randint(len(maps), (MADE_UP,), generator=generator)]
        classes, made = made_up(model, maps.mean(dim=(0, 2, 3)), ground, generator)
        found.append((classes, *Parts(model).of_maps(made, made)))
    return tuple(torch.cat(some).clone() for some in zip(*found))


@torch.inference_mode()
def validate(
    model: DualEncoder, words: Words, pairs: list[dict], kept: list[np.ndarray], photos: Photographs
) -> dict[str, float]:
    """Recall@1 of validation's captions among all pictures of their source; photographs' mean reciprocal rank."""
    z, found = z_of(model, *(torch.from_numpy(array[:, 0].astype(np.float32)) for array in kept)), {}
    for source in ("openclipart", "apple", "facebook", "twitter", "fluent"):
        rows = [i for i, p in enumerate(pairs) if p["source"] == source]
        queries, right = answers([pairs[i]["captions"][:1] for i in rows])
        asked = right[:, [pairs[i]["split"] == "val" for i in rows]].any(axis=1)
        z_text = model.encode_text(torch.from_numpy(words.ids([q for q, a in zip(queries, asked) if a])))
        found[source] = recall_at_k((z_text @ z[rows].T).numpy(), right[asked], 1)
    scores = (model.encode_text(photos.ids) @ model.encode_image(photos.pixels).T).numpy()
    better = (scores > scores[np.arange(len(photos.right)), photos.right][:, None]).sum(axis=1)
    drawings = found.pop("openclipart")
    rounded = {"drawings": drawings, "emoji": np.mean(list(found.values())), "photographs": (1 / (1 + better)).mean()}
    return {name: round(float(value), 3) for name, value in rounded.items()}


def main(work: Path, steps: int) -> None:
    pairs, model, rng = read_pairs(work), averaged(work), random.Random(0)
    words = Words(read_tokenizer(work / MINILM / "tokenizer.json"), PREP)
    photos = Photographs.read(words)
    keep(work, pairs, VIEWS, session_of(Parts(model), work / "parts.onnx"), {"logits": (1000,), "learned": (256,)})
    kept = [np.load(work / f"{name}.npy", mmap_mode="r") for name in ("logits", "learned")]
    train = torch.tensor([i for i, p in enumerate(pairs) if p["split"] == "train"])
    classes = json.loads((work / "classes.json").read_text())
    ids, z_text = texts(model, words, [*(texts_of(pairs[i], rng) for i in train), *(texts_of_class(c, rng) for c in classes)])
    made = pool_of_classes(model, work, pairs)
    concepts = {c: i for i, c in enumerate(dict.fromkeys(p["concept"] for p in pairs))}
    concept = torch.tensor([concepts[pairs[i]["concept"]] for i in train] + [-1 - i for i in range(len(classes))])
    print("before", validate(model, words, pairs, kept, photos), flush=True)
    vectors, log_scale = model.image.prior.vectors.weight.requires_grad_(), torch.tensor(3.0, requires_grad=True)
    optimizer = torch.optim.Adam([vectors, log_scale], RATE)
    for step in range(steps):
        generator = torch.Generator().manual_seed(step)
        pick = torch.randint(len(train), (BATCH,), generator=generator)
        view = torch.randint(VIEWS, (BATCH,), generator=generator).numpy()
        seen = [torch.from_numpy(array[train[pick].numpy(), view].astype(np.float32)) for array in kept]
        some = torch.randint(POOL // MADE_UP * MADE_UP, (MADE_UP,), generator=generator)
        z_image = z_of(model, *(torch.cat([a, b[some]]) for a, b in zip(seen, made[1:])))
        row = torch.cat([pick, len(train) + made[0][some]])
        text = ids[row, torch.randint(VARIANTS, (len(row),), generator=generator)]
        same = (concept[row][:, None] == concept[row]) | (text[:, None] == text)
        loss = clip_loss(z_image, z_text[text], log_scale.exp(), same)
        optimizer.param_groups[0]["lr"] = RATE * min(1, step / WARMUP) * 0.5 * (1 + math.cos(math.pi * step / steps))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if (step + 1) % 100 == 0:
            print(step + 1, round(loss.item(), 3), validate(model, words, pairs, kept, photos), flush=True)
    state.save(work / "settled.pt", {"model": model.state_dict(), "steps": steps})


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 400)
