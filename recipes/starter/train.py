"""Step 3: train the starter on kept feature maps; only what lies above the two frozen trunks learns.

    python recipes/starter/train.py WORK [steps=500 ...]

Both trunks (EfficientNet-Lite0, MiniLM) stay as they came. The first 384 numbers of z are theirs: MiniLM's own vector,
and for a picture the mean of class names' vectors weighted by class probability (ConSE). The other 128 are learned, on
drawings and emoji, and on made-up feature maps of the trunk's 1000 classes that stand in for photographs: near the end
of training a classifier's features lie along its rows (Papyan, Han & Donoho 2020, "neural collapse"), so a class's row
added to the mean feature is a picture of that class as the trunk sees it. Checkpoints every 50 steps; run again to go on.
"""

import json
import random
import sys
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
import torch
from common import EFFICIENTNET, MINILM, PREP, image_tower, read_lines, text_tower
from torch import Tensor
from torch.nn.functional import normalize

from samespace.checkpoint import fill, read_bert, read_efficientnet
from samespace.eval.retrieval import recall_at_k
from samespace.model.dual import DualEncoder
from samespace.model.losses import clip_loss
from samespace.prep.tokens import Words, read_tokenizer
from samespace.train.loop import Settings, train

VARIANTS = 12  # texts drawn for each picture, once
TEMPLATES = ("a photo of {}", "a picture of {}", "a drawing of {}", "{}", "an icon of {}", "a {}", "clip art of {}")
BATCH, MADE_UP = 384, 128  # pictures, and made-up maps of classes, in a step
REACH = (3.0, 10.0)  # how far along its row a made-up feature lies; at 4 the trunk is 60% sure of the class


def texts_of(pair: dict, rng: random.Random) -> list[str]:
    """Captions, keywords, and both in sentences."""
    captions, keywords = pair["captions"], pair["keywords"] or pair["captions"]
    out = list(captions[:3])
    while len(out) < VARIANTS:
        kind = rng.random()
        if kind < 0.5:
            out.append(rng.choice(TEMPLATES).format(rng.choice(captions)))
        elif kind < 0.8:
            out.append(" ".join(rng.sample(keywords, min(len(keywords), rng.randint(1, 3)))))
        else:
            out.append(f"{rng.choice(captions)}, {rng.choice([pair['topic'], *keywords])}")
    return out


def texts_of_class(c: dict, rng: random.Random) -> list[str]:
    """Names, definition and hypernyms of one of the trunk's classes."""
    names = c["names"]
    out = [*names[:3], *(f"a photo of a {n}" for n in names[:2]), f"{names[0]}, {c['definition']}", c["definition"]]
    out += [f"{names[0]}, a kind of {h}" for h in c["hypernyms"][:3]]
    return (out + [rng.choice(names) for _ in range(VARIANTS)])[:VARIANTS]


class Captions:
    """Every text's vector from the frozen MiniLM, before the projection: float32 (texts, 384)."""

    def __init__(self, model: DualEncoder, words: Words, lists: list[list[str]], cache: Path):
        self.index = {t: i for i, t in enumerate(dict.fromkeys(t for ts in lists for t in ts))}
        self.ids = torch.tensor([[self.index[t] for t in (ts * VARIANTS)[:VARIANTS]] for ts in lists])
        if cache.exists() and len(np.load(cache, mmap_mode="r")) == len(self.index):
            self.vectors = torch.from_numpy(np.load(cache))
            return
        texts, out = list(self.index), []
        order = np.argsort([len(t) for t in texts])
        with torch.inference_mode():
            for i in range(0, len(texts), 256):
                out.append(model.text.read(torch.from_numpy(words.ids([texts[j] for j in order[i : i + 256]]))))
        self.vectors = torch.empty(len(texts), 384)
        self.vectors[torch.from_numpy(order)] = torch.cat(out).clone()
        np.save(cache, self.vectors.numpy())


def start(work: Path) -> DualEncoder:
    """The towers with their origins' weights, the prior at ConSE, both trunks frozen."""
    torch.manual_seed(0)
    model = DualEncoder(image_tower(), text_tower())
    fill(model, read_efficientnet(work / EFFICIENTNET) | read_bert(work / MINILM / "model.safetensors"), partial=True)
    torch.nn.init.orthogonal_(model.text.proj.weight)
    for part in (model.image.trunk, model.image.prior, model.text.token_embed, model.text.blocks, model.text.norm_pre):
        part.requires_grad_(False)
    model.text.pos_embed.requires_grad_(False)
    return model


@dataclass
class Data:
    """What a step draws from."""

    maps: np.ndarray  # fp16 (pictures, views, 320, 7, 7)
    train: Tensor  # picture numbers
    concept: Tensor  # (pictures,)
    captions: Captions
    classes: Captions
    mean: Tensor  # the mean feature, (1280,)


def widen(model: DualEncoder, maps: np.ndarray) -> Tensor:
    """Kept maps fp16 (B, 320, 7, 7) → the trunk's feature maps (B, 1280, 7, 7)."""
    return model.image.trunk.widen(torch.from_numpy(maps.astype(np.float32)))


def made_up(model: DualEncoder, data: Data, ground: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Classes (B,) and feature maps as the trunk would give for photographs of them, on the cells of other pictures."""
    B = len(ground)
    classes = torch.randint(1000, (B,), generator=generator)
    rows = model.image.prior.classifier.weight[classes]
    rows = normalize(rows - model.image.prior.classifier.weight.mean(dim=0), dim=-1)
    reach = REACH[0] + (REACH[1] - REACH[0]) * torch.rand(B, 1, generator=generator)
    feature = data.mean + reach * rows + 0.5 * (ground.mean(dim=(2, 3)) - data.mean)  # (B, 1280)
    uneven = 0.5 + torch.rand(B, 1, 7, 7, generator=generator)
    here = (torch.rand(B, 1, 7, 7, generator=generator) < 0.3 + 0.7 * torch.rand(B, 1, 1, 1, generator=generator)).float()
    return classes, (here * uneven * feature[:, :, None, None] + (1 - here) * ground).clamp(0, 6)


def contrastive(model: DualEncoder, data: Data, generator: torch.Generator) -> Tensor:
    """The loss of whole vectors plus that of their learned parts alone, over pictures and made-up classes together."""
    pick = data.train[torch.randint(len(data.train), (BATCH + MADE_UP,), generator=generator)]
    view = torch.randint(data.maps.shape[1], (len(pick),), generator=generator)
    with torch.autocast("cpu", torch.bfloat16), torch.no_grad():
        maps = widen(model, data.maps[pick.numpy(), view.numpy()]).float()
    classes, features = made_up(model, data, maps[BATCH:], generator)
    with torch.autocast("cpu", torch.bfloat16):  # half a step's time on a CPU that has it
        z_image = model.image.read(torch.cat([maps[:BATCH], features])).float()
    variant = torch.randint(VARIANTS, (len(pick),), generator=generator)
    text = data.captions.ids[pick, variant][:BATCH]
    name = data.classes.ids[classes, variant[BATCH:]]
    z_text = model.text.project(torch.cat([data.captions.vectors[text], data.classes.vectors[name]]))
    concept = torch.cat([data.concept[pick[:BATCH]], -1 - classes])
    ids = torch.cat([text, len(data.captions.index) + name])
    same = (concept[:, None] == concept) | (ids[:, None] == ids)
    kept, scale = model.text.c.kept, model.logit_scale.exp()
    learned = (normalize(z[:, kept:], dim=-1) for z in (z_image, z_text))
    return clip_loss(normalize(z_image, dim=-1), normalize(z_text, dim=-1), scale, same) + clip_loss(*learned, scale, same)


@torch.inference_mode()
def validate(model: DualEncoder, data: Data, pairs: list[dict]) -> dict[str, float]:
    """Recall on pictures cut from the training sources, by source."""
    model.eval()
    out = {}
    for name, sources in (("drawings", {"openclipart"}), ("emoji", {"apple", "facebook", "twitter", "fluent"})):
        rows = [i for i, p in enumerate(pairs) if p["split"] == "val" and p["source"] in sources]
        z_image = torch.cat([model.image.read(widen(model, data.maps[rows[i : i + 128], 0])) for i in range(0, len(rows), 128)])
        z_image = normalize(z_image, dim=-1)
        z_text = normalize(model.text.project(data.captions.vectors[data.captions.ids[rows, 0]]), dim=-1)
        first = data.captions.ids[rows, 0]
        right = ((first[:, None] == first) | (data.concept[rows][:, None] == data.concept[rows])).numpy()
        for k in (1, 5):
            out[f"{name} R@{k}"] = recall_at_k((z_text @ z_image.T).numpy(), right, k)
    model.train()
    return out


def load_data(work: Path, model: DualEncoder, pairs: list[dict]) -> Data:
    words, rng = Words(read_tokenizer(work / MINILM / "tokenizer.json"), PREP), random.Random(0)
    held_out = {"stamps", "google"}
    lists = [texts_of(p, rng) if p["split"] not in held_out else ["held out"] for p in pairs]
    concepts = {c: i for i, c in enumerate(dict.fromkeys(p["concept"] for p in pairs))}
    classes = [texts_of_class(c, rng) for c in json.loads((work / "classes.json").read_text())]
    maps = np.load(work / "maps.npy", mmap_mode="r")
    train = [i for i, p in enumerate(pairs) if p["split"] == "train"]
    with torch.no_grad():
        mean = widen(model, maps[train[::50], 0]).mean(dim=(0, 2, 3))
    return Data(
        maps,
        torch.tensor(train),
        torch.tensor([concepts[p["concept"]] for p in pairs]),
        Captions(model, words, lists, work / "captions.npy"),
        Captions(model, words, classes, work / "class_captions.npy"),
        mean,
    )


def set_prior(model: DualEncoder, classes: Captions) -> None:
    """A class's vector: the mean of its texts' vectors (names, definition, kinds), at unit length."""
    vectors = normalize(classes.vectors, dim=-1)[classes.ids]
    model.image.prior.vectors.weight.data = normalize(vectors.mean(dim=1), dim=-1).T.contiguous()


def main(work: Path, overrides: list[str]) -> None:
    kinds = {f.name: f.type for f in fields(Settings)}
    given = dict(o.split("=", 1) for o in overrides)
    settings = replace(Settings(steps=500, lr=7e-4, warmup=50, save_every=50), **{k: kinds[k](v) for k, v in given.items()})
    pairs = read_lines(work / "pairs.jsonl")
    model = start(work)
    data = load_data(work, model, pairs)
    set_prior(model, data.classes)
    print("before", validate(model, data, pairs), flush=True)

    def report(step: int, loss: float, seconds: float) -> None:
        row = {"step": step, "loss": round(loss, 4), "seconds": round(seconds), "scale": model.logit_scale.exp().item()}
        row |= validate(model, data, pairs)
        with open(work / "metrics.jsonl", "a") as out:
            out.write(json.dumps(row) + "\n")
        print(row, flush=True)

    train(model, lambda generator: contrastive(model, data, generator), settings, work / "starter.pt", report)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
