"""Step 3: train the starter on kept feature maps; only what lies above the two frozen trunks learns.

    python recipes/starter/train.py WORK [steps=1500 ...]

Both trunks (EfficientNet-Lite0, MiniLM) stay as they came. The image tower starts at its ConSE prior (`proj` is zero)
and learns what to add; the text tower learns its projection; the prior's class vectors learn with them and are held
to their names by a second contrastive term. Checkpoints every 100 steps; run again to go on.
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
CLASS_WEIGHT = 0.3
BATCH = 512


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
        texts, proj, out = list(self.index), model.text.proj, []
        model.text.proj = torch.nn.Identity()
        order = np.argsort([len(t) for t in texts])
        with torch.inference_mode():
            for i in range(0, len(texts), 256):
                out.append(model.text(torch.from_numpy(words.ids([texts[j] for j in order[i : i + 256]]))))
        model.text.proj = proj
        self.vectors = torch.empty(len(texts), 384)
        self.vectors[torch.from_numpy(order)] = torch.cat(out).clone()
        np.save(cache, self.vectors.numpy())


def start(work: Path) -> DualEncoder:
    """The towers with their origins' weights, the prior at ConSE, both trunks frozen."""
    torch.manual_seed(0)
    model = DualEncoder(image_tower(), text_tower())
    fill(model, read_efficientnet(work / EFFICIENTNET) | read_bert(work / MINILM / "model.safetensors"), partial=True)
    torch.nn.init.orthogonal_(model.text.proj.weight)  # cosines of the text trunk are kept exactly
    torch.nn.init.zeros_(model.image.proj.weight)
    for part in (model.image.trunk, model.image.prior.classifier, model.text.token_embed, model.text.blocks, model.text.norm_pre):
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


def encode_maps(model: DualEncoder, maps: np.ndarray) -> Tensor:
    """Kept maps fp16 (B, 320, 7, 7) → z (B, E). bf16 halves a step's time on a CPU that has it."""
    with torch.autocast("cpu", torch.bfloat16):
        wide = model.image.trunk.widen(torch.from_numpy(maps.astype(np.float32)))
        x = model.image.read(wide)
    return normalize(x.float(), dim=-1)


def contrastive(model: DualEncoder, data: Data, generator: torch.Generator) -> Tensor:
    """Pictures against captions, plus class prototypes against their names."""
    pick = data.train[torch.randint(len(data.train), (BATCH,), generator=generator)]
    view = torch.randint(data.maps.shape[1], (BATCH,), generator=generator)
    text = data.captions.ids[pick, torch.randint(VARIANTS, (BATCH,), generator=generator)]
    z_image = encode_maps(model, data.maps[pick.numpy(), view.numpy()])
    z_text = normalize(model.text.proj(data.captions.vectors[text]), dim=-1)
    same = (data.concept[pick][:, None] == data.concept[pick]) | (text[:, None] == text)
    names = data.classes.ids[torch.arange(1000), torch.randint(VARIANTS, (1000,), generator=generator)]
    z_names = normalize(model.text.proj(data.classes.vectors[names]), dim=-1)
    z_classes = normalize(model.image.prior.vectors.weight.T, dim=-1)
    scale = model.logit_scale.exp()
    return clip_loss(z_image, z_text, scale, same) + CLASS_WEIGHT * clip_loss(z_classes, z_names, scale)


@torch.inference_mode()
def validate(model: DualEncoder, data: Data, pairs: list[dict]) -> dict[str, float]:
    """Recall on pictures cut from the training sources, by source."""
    model.eval()
    out = {}
    for name, sources in (("drawings", {"openclipart"}), ("emoji", {"apple", "facebook", "twitter", "fluent"})):
        rows = [i for i, p in enumerate(pairs) if p["split"] == "val" and p["source"] in sources]
        z_image = torch.cat([encode_maps(model, data.maps[rows[i : i + 128], 0]) for i in range(0, len(rows), 128)])
        z_text = normalize(model.text.proj(data.captions.vectors[data.captions.ids[rows, 0]]), dim=-1)
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
    return Data(
        np.load(work / "maps.npy", mmap_mode="r"),
        torch.tensor([i for i, p in enumerate(pairs) if p["split"] == "train"]),
        torch.tensor([concepts[p["concept"]] for p in pairs]),
        Captions(model, words, lists, work / "captions.npy"),
        Captions(model, words, classes, work / "class_captions.npy"),
    )


def main(work: Path, overrides: list[str]) -> None:
    kinds = {f.name: f.type for f in fields(Settings)}
    given = dict(o.split("=", 1) for o in overrides)
    settings = replace(Settings(steps=1500, lr=7e-4), **{k: kinds[k](v) for k, v in given.items()})
    pairs = read_lines(work / "pairs.jsonl")
    model = start(work)
    data = load_data(work, model, pairs)
    with torch.no_grad():  # the prior's class vectors begin at the mean of their names' vectors
        vectors = model.text.proj(data.classes.vectors)[data.classes.ids]
        model.image.prior.vectors.weight.copy_(normalize(normalize(vectors, dim=-1).mean(dim=1), dim=-1).T)
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
