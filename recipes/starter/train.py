"""Step 3: train the starter on the kept views; what lies below the forks of both towers stays as it came.

    python recipes/starter/train.py WORK [steps=500 start=shipped ...]

z is three vectors side by side, so that learning one cannot unlearn another:
- 256 numbers of a *prior*: the most of MiniLM's own vector that fits (its principal parts among the class names), and for
  a picture the mean of class names' vectors weighted by class probability (ConSE);
- 128 from a reader of the trunk's own map, which knows photographs best;
- 128 from a reader with a top of the trunk for its own, which is trained with it, sees colours and knows drawings best.
For a text the learned numbers come from a copy of MiniLM's last blocks, which is trained.

Both readers learn on drawings, emoji and made-up features of the trunk's 1000 classes that stand in for photographs: near
the end of training a classifier's features lie along its rows (Papyan, Han & Donoho 2020, "neural collapse"), so a
class's row added to the mean feature is a picture of that class as the trunk sees it. So that this stays true while the
second top is trained, it must go on to give the class probabilities that the trunk gave (Li & Hoiem 2016, "Learning
without Forgetting"). Half of the pictures of a step are of one topic: flags against flags. Checkpoints every 100 steps;
run again to go on. `start=shipped` begins with the starter as it is; WORK/start.pt, where there is one, is begun with.
"""

import json
import random
import sys
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import skimage.data
import torch
from common import EFFICIENTNET, MINILM, PHOTOGRAPHS, PREP, WORDNET, image_tower, read_pairs, text_tower
from PIL import Image
from senses import glosses
from torch import Tensor
from torch.nn.functional import avg_pool2d, kl_div, normalize
from torch.nn.utils.rnn import pad_sequence

from samespace.core.metrics import recall_at_k
from samespace.models.clip import DualEncoder
from samespace.models.losses import clip_loss
from samespace.models.vit import FINE
from samespace.preprocess.pixels import normalize_pixels, square
from samespace.preprocess.tokens import Words, read_tokenizer
from samespace.spaces import checkpoint
from samespace.spaces.tensors import fill
from samespace.spaces.checkpoint import read_bert, read_efficientnet
from samespace.spaces.hub import STARTER
from samespace.spaces.towers import dual_encoder
from samespace.train import checkpoint as state
from samespace.train.config import card_of
from samespace.train.data import Bad
from samespace.train.loop import Progress, Trainer

VARIANTS = 12  # texts drawn for each picture, once
TEMPLATES = ("a photo of {}", "a picture of {}", "a drawing of {}", "{}", "an icon of {}", "a {}", "clip art of {}")
PEOPLE = ("a person", "a man", "a woman", "people", "someone's portrait", "a human being")
WITH_PEOPLE = {
    "person", "clothing", "sports equipment", "game equipment", "musical instrument", "sled", "bicycle", "go-kart",
}  # fmt: skip
"""What is photographed on people or with them. ImageNet has no class for a person, but a jersey's pictures show one."""
BATCH, MADE_UP = 256, 64  # pictures, and made-up maps of classes, in a step
STAY = 0.3  # weight of giving the class probabilities that the trunk gave
RATES = {"image.branch.trunk": 0.3, "text.branch": 0.1}
SHARES = (0.35, 0.5, 0.7, 1.0, 2.0)  # reported; the one shipped has the best sum of the three
NAMED = 0.25  # of the pictures of a step as many go with their first caption, whatever else they are called
THINGS, TOLD = 96, 0.3  # names and glosses in a step, and the weight of their nearness
CLOSE, LEAST = 0.1, 0.05  # how fast the share in an answer falls with MiniLM's cosine, and what is too little to count
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
    """Names, definition and hypernyms of one of the trunk's classes; of what people wear, play or ride, half are of people."""
    names, seen = c["names"], PEOPLE if WITH_PEOPLE & {*c["names"], *c["hypernyms"]} else ()
    out = [*names[:3], *(f"a photo of a {n}" for n in names[:2]), f"{names[0]}, {c['definition']}", c["definition"]]
    out += [f"{names[0]}, a kind of {h}" for h in c["hypernyms"][:3]]
    return [*(out + [rng.choice(names) for _ in range(VARIANTS)])[: VARIANTS - len(seen)], *seen]


class Captions:
    """What the frozen part of MiniLM makes of every text: its tokens where the tower forks, and the whole trunk's vector."""

    def __init__(self, model: DualEncoder, words: Words, lists: list[list[str]]):
        self.index = {t: i for i, t in enumerate(dict.fromkeys(t for ts in lists for t in ts))}
        self.ids = torch.tensor([[self.index[t] for t in (ts * VARIANTS)[:VARIANTS]] for ts in lists])
        self.text, texts = model.text, list(self.index)
        self.tokens, self.below = [torch.empty(0)] * len(texts), [torch.empty(0)] * len(texts)
        self.vectors = torch.empty(len(texts), self.text.c.width)
        order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
            for i in range(0, len(texts), 256):
                some = order[i : i + 256]
                ids = torch.from_numpy(words.ids([texts[j] for j in some]))
                below = self.text.shared(ids)
                self.vectors[some] = self.text.pooled(
                    self.text.run_blocks(self.text.blocks[self.text.second_branch_at :], below, ids), ids
                ).float()
                for j, row, x in zip(some, ids, below):
                    self.tokens[j] = row[row != self.text.c.pad]
                    self.below[j] = x[: len(self.tokens[j])].to(torch.bfloat16, copy=True)

    def read(self, which: Tensor) -> Tensor:
        """The texts of these numbers (B,) → what is projected, (B, 2D)."""
        ids = pad_sequence([self.tokens[i] for i in which], batch_first=True, padding_value=self.text.c.pad)
        below = pad_sequence([self.below[i] for i in which], batch_first=True)
        with torch.autocast("cpu", torch.bfloat16):
            own = self.text.pooled(self.text.run_blocks(self.text.branch, below, ids), ids)
        return torch.cat([self.vectors[which], own.float()], dim=-1)


def start(work: Path) -> DualEncoder:
    """The towers with their origins' weights; each branch starts as its trunk's own top."""
    torch.manual_seed(0)
    model = dual_encoder(image_tower(), text_tower())
    bert = read_bert(work / MINILM / "model.safetensors")
    bert["text.pos_embed"] = bert["text.pos_embed"][: model.text.c.context]
    fill(model, read_efficientnet(work / EFFICIENTNET) | bert, partial=True)
    trunk, branch = model.image.trunk, model.image.branch
    for own, whole in zip([*branch.trunk.blocks, branch.trunk.head], [*trunk.blocks[model.image.second_branch_at :], trunk.head]):
        own.load_state_dict(whole.state_dict())
    model.text.branch.load_state_dict(model.text.blocks[model.text.second_branch_at :].state_dict())
    torch.nn.init.orthogonal_(model.text.proj.weight)
    for part in (trunk, model.image.prior, model.text.token_embed, model.text.blocks, model.text.norm_pre):
        part.requires_grad_(False)
    model.text.pos_embed.requires_grad_(False)
    model.text.keep.requires_grad_(False)
    for block in branch.trunk.blocks:
        block.depthwise.requires_grad_(False)  # 4% of the weights, and two thirds of the time of a step on a CPU
    return model


@dataclass
class Data:
    """What a step draws from."""

    middle: np.ndarray  # fp16 (pictures, views, 112, 14, 14)
    colours: np.ndarray  # uint8 (pictures, views, 28, 28, 3)
    classes: np.ndarray  # fp16 (pictures, views, 1000)
    train: Tensor  # picture numbers
    topics: list[Tensor]  # picture numbers, of topics large enough to fill half a step
    concept: Tensor  # (pictures,)
    drawn: Tensor  # bool (pictures,): of Open Clip Art, whose titles are anyone's
    captions: Captions
    names: Captions
    things: Captions  # of each a name and a gloss
    mean: Tensor  # the mean feature, (1280,)

    def seen(self, pick: np.ndarray, view: np.ndarray | int) -> tuple[Tensor, Tensor, Tensor]:
        """Of views of pictures: bfloat16 middle maps (B, 112, 14, 14), colours (B, 3, 14, 14), class logits (B, 1000)."""
        middle = torch.from_numpy(self.middle[pick, view]).contiguous(memory_format=torch.channels_last)
        colours = torch.from_numpy(normalize_pixels(self.colours[pick, view], PREP))
        logits = torch.from_numpy(self.classes[pick, view].astype(np.float32))
        return middle.to(torch.bfloat16), avg_pool2d(colours, FINE), logits


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


def draw(data: Data, generator: torch.Generator) -> Tensor:
    """Picture numbers of a step: half from anywhere, half from one topic."""
    topic = data.topics[torch.randint(len(data.topics), (), generator=generator)]
    halves = (pool[torch.randint(len(pool), (BATCH // 2,), generator=generator)] for pool in (data.train, topic))
    return torch.cat(list(halves))


def alike(read: Tensor, drawn: Tensor) -> Tensor:
    """How far each text is an answer to each other, by the whole of MiniLM: 0 to 1, (B, B); 0 where no drawing is of the two."""
    whole = normalize(read.detach().chunk(2, dim=-1)[0], dim=-1)
    share = ((whole @ whole.T - 1) / CLOSE).exp()
    return share * (share > LEAST) * (drawn[:, None] | drawn)


def told(model: DualEncoder, data: Data, scale: Tensor, generator: torch.Generator) -> Tensor:
    """How far names are from what is said of them, in each learned part of their vectors."""
    pick = torch.randint(len(data.things.ids), (THINGS,), generator=generator)
    name, gloss = (model.text.project(data.things.read(data.things.ids[pick, i])) for i in (0, 1))
    parts = zip(*(z[:, model.text.prior_dim :].chunk(2, dim=-1) for z in (name, gloss)))
    return sum(clip_loss(a, b, scale) for a, b in parts)


def contrastive(model: DualEncoder, data: Data, generator: torch.Generator) -> Tensor:
    """The loss of whole vectors, that of each learned part alone, and what keeps the branch near the trunk."""
    image = model.image
    pick = draw(data, generator)
    view = (torch.randint(-2, data.middle.shape[1], (BATCH,), generator=generator)).clamp(min=0)  # often the plain one
    middle, colours, logits = data.seen(pick.numpy(), view.numpy())
    with torch.autocast("cpu", torch.bfloat16):  # half a step's time on a CPU that has it
        with torch.no_grad():
            top = image.trunk.top(middle, image.second_branch_at)
        maps = image.branch.trunk.top(middle, 0)
        classes, features = made_up(model, data, top[:MADE_UP].float(), generator)
        made = features.to(maps.dtype)
        own = image.branch.encode_with_colours(torch.cat([maps, made]), torch.cat([colours, colours[:MADE_UP]]).to(maps.dtype))
        learned = [image.encode(torch.cat([top, made])).float(), own.float()]
    logits = torch.cat([logits, image.prior.classifier(features.mean(dim=(2, 3)))])
    z_image = image.join(image.prior.vectors(logits.softmax(dim=-1)), *learned)
    variant = torch.randint(VARIANTS, (BATCH + MADE_UP,), generator=generator)
    variant[torch.rand(len(variant), generator=generator) < NAMED] = 0
    text, name = data.captions.ids[pick, variant[:BATCH]], data.names.ids[classes, variant[BATCH:]]
    read = torch.cat([data.captions.read(text), data.names.read(name)])
    z_text = model.text.project(read)
    concept = torch.cat([data.concept[pick], -1 - classes])
    ids = torch.cat([text, len(data.captions.index) + name])
    drawn = torch.cat([data.drawn[pick], torch.zeros(MADE_UP, dtype=torch.bool)])
    same = torch.maximum(((concept[:, None] == concept) | (ids[:, None] == ids)).float(), alike(read, drawn))
    kept, scale = model.text.prior_dim, model.logit_scale.exp()
    loss = 0.5 * clip_loss(normalize(z_image, dim=-1), normalize(z_text, dim=-1), scale, same)
    for own_image, own_text in zip(learned, z_text[:, kept:].chunk(2, dim=-1)):
        loss = loss + clip_loss(normalize(own_image, dim=-1), own_text, scale, same)
    loss = loss + TOLD * told(model, data, scale, generator)
    now = image.prior.classifier(maps.float().mean(dim=(2, 3))).log_softmax(dim=-1)
    return loss + STAY * kl_div(now, logits[:BATCH].softmax(dim=-1), reduction="batchmean")


@torch.inference_mode()
def parts(model: DualEncoder, data: Data, rows: list[int]) -> tuple[Tensor, ...]:
    """The prior and the learned vectors of pictures as they are, view 0."""
    found, image = [], model.image
    for i in range(0, len(rows), 128):
        some = rows[i : i + 128]
        middle, colours, logits = data.seen(np.array(some), 0)
        with torch.autocast("cpu", torch.bfloat16):
            first = image.encode(image.trunk.top(middle, image.second_branch_at))
            second = image.branch.encode_with_colours(image.branch.trunk.top(middle, 0), colours.to(torch.bfloat16))
        found.append((image.prior.vectors(logits.softmax(dim=-1)), first.float(), second.float()))
    return tuple(map(torch.cat, zip(*found)))


@dataclass
class Photographs:
    """Photographs of scikit-image that are not among the demo's six, with two phrases each, to choose a share by."""

    pixels: Tensor
    ids: Tensor
    right: np.ndarray

    @staticmethod
    def read(words: Words) -> "Photographs":
        folder = Path(skimage.data.__file__).parent
        pictures = [square(Image.open(folder / name), PREP) for name in PHOTOGRAPHS]
        ids = words.ids([phrase for phrases in PHOTOGRAPHS.values() for phrase in phrases])
        right = np.array([i for i, phrases in enumerate(PHOTOGRAPHS.values()) for _ in phrases])
        return Photographs(torch.from_numpy(normalize_pixels(np.stack(pictures), PREP)), torch.from_numpy(ids), right)


@torch.inference_mode()
def validate(model: DualEncoder, data: Data, pairs: list[dict], photos: Photographs) -> dict[str, list[float]]:
    """At each share: recall@1 of validation pictures among all of their source, and photographs' reciprocal rank."""
    found, kept = {s: [] for s in sorted({p["source"] for p in pairs})}, model.image.learned_norm
    for source, out in found.items():
        rows = [i for i, p in enumerate(pairs) if p["source"] == source]
        z = parts(model, data, rows)
        first, concept = data.captions.ids[rows, 0], data.concept[rows]
        val = torch.tensor([pairs[i]["split"] == "val" for i in rows])
        right = (first[val][:, None] == first) | (concept[val][:, None] == concept)
        z_text = normalize(model.text.project(data.captions.read(first[val])), dim=-1)
        for model.image.learned_norm in SHARES:
            scores = z_text @ normalize(model.image.join(*z), dim=-1).T
            out.append(recall_at_k(scores.numpy(), right.numpy(), 1))
    seen = []
    for model.image.learned_norm in SHARES:
        scores = (model.encode_text(photos.ids) @ model.encode_image(photos.pixels).T).numpy()
        better = (scores > scores[np.arange(len(photos.right)), photos.right][:, None]).sum(axis=1)
        seen.append(float((1 / (1 + better)).mean()))
    model.image.learned_norm = kept
    drawings = found.pop("openclipart")
    emoji = np.mean(list(found.values()), axis=0).tolist()
    return {k: [round(x, 3) for x in v] for k, v in (("drawings", drawings), ("emoji", emoji), ("photographs", seen))}


def load_data(work: Path, model: DualEncoder, words: Words, pairs: list[dict]) -> Data:
    rng = random.Random(0)
    concepts = {c: i for i, c in enumerate(dict.fromkeys(p["concept"] for p in pairs))}
    views = int((work / "views.done").read_text()) // len(pairs)  # those of which all pictures are kept
    middle, colours, classes = (
        np.load(work / f"{name}.npy", mmap_mode="r")[:, :views] for name in ("middle", "colours", "classes")
    )
    train, topics = [i for i, p in enumerate(pairs) if p["split"] == "train"], defaultdict(list)
    for i in train:
        topics[pairs[i]["topic"]].append(i)
    with torch.no_grad():
        some = torch.from_numpy(middle[train[::50], 0].astype(np.float32))
        mean = model.image.trunk.top(some, model.image.second_branch_at).mean(dim=(0, 2, 3))
    return Data(
        middle,
        colours,
        classes,
        torch.tensor(train),
        [torch.tensor(rows) for rows in topics.values() if len(rows) >= BATCH // 2],
        torch.tensor([concepts[p["concept"]] for p in pairs]),
        torch.tensor([p["source"] == "openclipart" for p in pairs]),
        Captions(model, words, [texts_of(p, rng) for p in pairs]),
        class_names(work, model, words),
        Captions(model, words, things(work)),
        mean,
    )  # fmt: skip


def things(work: Path) -> list[list[str]]:
    """A name and a gloss each; none that the calibration of texts is fitted or measured on."""
    used = {lemma for lemma, _ in glosses(work / WORDNET)}
    return [[lemma, gloss] for lemma, gloss in json.loads((work / "things.json").read_text())[::3] if lemma not in used]


def class_names(work: Path, model: DualEncoder, words: Words) -> Captions:
    """The texts of the trunk's 1000 classes."""
    rng = random.Random(0)
    return Captions(model, words, [texts_of_class(c, rng) for c in json.loads((work / "classes.json").read_text())])


def set_prior(model: DualEncoder, names: Captions, keep: Tensor | None = None) -> None:
    """A class's vector: the mean of its texts' vectors (names, definition, kinds), at unit length, then what is kept of it.

    keep: (kept, 384), what is; the classes' own principal parts if not given.
    """
    vectors = normalize(normalize(names.vectors, dim=-1)[names.ids].mean(dim=1), dim=-1)  # (1000, 384)
    if keep is None:
        keep = torch.linalg.svd(vectors, full_matrices=False)[2][: model.text.prior_dim]
    model.text.keep.weight.data = keep.contiguous()
    model.image.prior.vectors.weight.data = (keep @ vectors.T).contiguous()


@dataclass
class Drawn:
    """The loader of this recipe: step n's pictures follow from n alone."""

    place: dict[str, int] = field(default_factory=lambda: {"drawn": 0})
    bad: Bad = field(default_factory=Bad)

    def __iter__(self):
        while True:
            self.place = {"drawn": self.place["drawn"] + 1}
            yield torch.Generator().manual_seed(self.place["drawn"])


def main(work: Path, overrides: list[str]) -> None:
    values = dict(steps=2000, lr=1e-3, warmup=100, save_every=100, evaluate_every=200, average=0.995, batch=BATCH, rates=RATES)
    card = card_of(values, overrides)
    pairs, model, words = read_pairs(work), start(work), Words(read_tokenizer(work / MINILM / "tokenizer.json"), PREP)
    data, photos = load_data(work, model, words, pairs), Photographs.read(words)
    set_prior(model, data.names)
    if card.start == "shipped" and not (work / "start.pt").exists():
        state.save(work / "start.pt", {"model": checkpoint.load(STARTER).model.state_dict()})
    if (work / "start.pt").exists():
        model.load_state_dict(state.load(work / "start.pt")["model"])
    for top in (model.image.trunk, model.image.branch.trunk):
        top.to(memory_format=torch.channels_last)
    trainer = Trainer(card, model, Drawn(), work)
    if trainer.checkpoint.exists():
        trainer.resume()
    losses = []

    def backward(generator: torch.Generator, share: float) -> Tensor:
        loss = contrastive(model, data, generator)
        (share * loss).backward()
        return loss.detach()

    def on_step(progress: Progress) -> None:
        losses.append(progress.loss)
        if progress.step % card.evaluate_every == 0:
            row = {"step": progress.step, "loss": round(sum(losses) / len(losses), 3), "pairs/s": round(progress.rate)}
            found = validate(trainer.average.module, data, pairs, photos)
            curves = {f"val/{name}": numbers[SHARES.index(model.image.learned_norm)] for name, numbers in found.items()}
            row |= {"scale": round(model.logit_scale.exp().item(), 2)} | found | curves
            losses.clear()
            with open(work / "metrics.jsonl", "a") as out:
                out.write(json.dumps(row) + "\n")
            print(row, flush=True)

    trainer.train(backward, on_step)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
