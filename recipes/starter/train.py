"""Step 3: train the starter on precomputed views; the lower layers of both towers are frozen.

    python recipes/starter/train.py WORK [steps=500 start=shipped ...]

z has three parts side by side, so that training one leaves the others intact:
- a *prior* of 256 dimensions: for a text MiniLM's own vector, on its principal components over the class names; for a picture the
  mean of the class names' vectors, weighted by class probability (ConSE);
- 128 dimensions from a ViT over the frozen backbone's map, which is best on photographs;
- 128 dimensions from a second branch, whose upper backbone blocks are trained and which sees colours; it is best on drawings.
For a text the learned parts come from a trained copy of MiniLM's last blocks.

Both learn on drawings, emoji and synthetic features of the backbone's 1000 classes, which replace photographs: near the end of
training, a classifier's features lie along its rows (Papyan, Han & Donoho 2020, "neural collapse"), so a class's row added to the
mean feature is a picture of that class to the backbone. For this to stay true while the second branch is trained, it is also trained
to keep the backbone's class probabilities (Li & Hoiem 2016, "Learning without Forgetting"). Half of a batch's pictures are of one
topic: flags against flags. Checkpoints every 100 steps; run again to resume. `start=shipped` starts from the shipped starter;
otherwise from WORK/start.pt, if it exists.
"""

import json
import random
import sys
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import skimage.data
import torch
from calibrate import sample_glosses
from common import EFFICIENTNET, MINILM, PHOTOGRAPHS, PREP, WORDNET, image_tower, read_pairs, text_tower
from PIL import Image
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, kl_div, normalize
from torch.nn.utils.rnn import pad_sequence

from samespace.core.metrics import recall_at_k
from samespace.models.clip import DualEncoder
from samespace.models.losses import clip_loss
from samespace.models.starter.hybrid_vit import FINE
from samespace.preprocess.pixels import normalize_pixels, square
from samespace.preprocess.tokens import Words, read_tokenizer
from samespace.spaces.checkpoints import checkpoint as space_checkpoint
from samespace.spaces.checkpoints.checkpoint import read_bert, read_efficientnet
from samespace.spaces.checkpoints.tensors import fill
from samespace.spaces.checkpoints.towers import dual_encoder
from samespace.spaces.registry import STARTER
from samespace.train import checkpoint
from samespace.train.config import config_from
from samespace.train.data import SeededSteps
from samespace.train.loop import Progress, Trainer

VARIANTS = 12
"""Texts of each picture, sampled once."""
TEMPLATES = ("a photo of {}", "a picture of {}", "a drawing of {}", "{}", "an icon of {}", "a {}", "clip art of {}")
PEOPLE = ("a person", "a man", "a woman", "people", "someone's portrait", "a human being")
WITH_PEOPLE = {
    "person", "clothing", "sports equipment", "game equipment", "musical instrument", "sled", "bicycle", "go-kart",
}  # fmt: skip
"""Hypernyms of classes whose photographs show people. ImageNet has no class for a person, but a jersey's pictures show one."""
BATCH, N_SYNTHETIC = 256, 64
"""Pictures, and synthetic feature maps of classes, in a batch."""
DISTILLATION_WEIGHT = 0.3
"""Weight of the loss that keeps the backbone's class probabilities."""
LR_MULTIPLIERS = {"image.branch.trunk": 0.3, "text.branch": 0.1}
LEARNED_NORMS = (0.35, 0.5, 0.7, 1.0, 2.0)
"""Evaluated; the shipped one has the best sum of the three validation metrics."""
FIRST_CAPTION = 0.25
"""Share of a batch's pictures with their first caption; the others get a random one of their texts."""
N_GLOSSES, GLOSS_WEIGHT = 96, 0.3
"""Names with their glosses in a batch, and the weight of their loss."""
SIMILARITY_SCALE, MIN_SIMILARITY = 0.1, 0.05
"""How fast a text's weight as another's positive falls with MiniLM's cosine, and below which weight it is none."""
SYNTHETIC_NORMS = (3.0, 10.0)
"""Range of the distance of a synthetic feature along its row; at 4 the backbone gives the class a probability of 60%."""


def texts_of(pair: dict, rng: random.Random) -> list[str]:
    """Return VARIANTS texts of a pair: captions, keywords, and both in sentences."""
    captions, keywords = pair["captions"], pair["keywords"] or pair["captions"]
    texts = list(captions[:3])
    while len(texts) < VARIANTS:
        kind = rng.random()
        if kind < 0.5:
            texts.append(rng.choice(TEMPLATES).format(rng.choice(captions)))
        elif kind < 0.8:
            texts.append(" ".join(rng.sample(keywords, min(len(keywords), rng.randint(1, 3)))))
        else:
            texts.append(f"{rng.choice(captions)}, {rng.choice([pair['topic'], *keywords])}")
    return texts


def texts_of_class(c: dict, rng: random.Random) -> list[str]:
    """Return VARIANTS texts of a class: names, definition and hypernyms; half are of people where photographs show people."""
    names, people = c["names"], PEOPLE if WITH_PEOPLE & {*c["names"], *c["hypernyms"]} else ()
    texts = [*names[:3], *(f"a photo of a {n}" for n in names[:2]), f"{names[0]}, {c['definition']}", c["definition"]]
    texts += [f"{names[0]}, a kind of {h}" for h in c["hypernyms"][:3]]
    return [*(texts + [rng.choice(names) for _ in range(VARIANTS)])[: VARIANTS - len(people)], *people]


class Captions:
    """Precomputed features of texts by the frozen part of MiniLM: tokens where the second branch begins, and MiniLM's vectors."""

    def __init__(self, model: DualEncoder, words: Words, lists: list[list[str]]):
        self.index = {t: i for i, t in enumerate(dict.fromkeys(t for ts in lists for t in ts))}
        self.ids = torch.tensor([[self.index[t] for t in (ts * VARIANTS)[:VARIANTS]] for ts in lists])
        self.text, texts = model.text, list(self.index)
        self.tokens, self.shared = [torch.empty(0)] * len(texts), [torch.empty(0)] * len(texts)
        self.vectors = torch.empty(len(texts), self.text.c.width)
        order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
            for i in range(0, len(texts), 256):
                batch = order[i : i + 256]
                ids = torch.from_numpy(words.ids([texts[j] for j in batch]))
                shared = self.text.shared(ids)
                self.vectors[batch] = self.text.pooled(
                    self.text.run_blocks(self.text.blocks[self.text.second_branch_at :], shared, ids), ids
                ).float()
                for j, row, x in zip(batch, ids, shared):
                    self.tokens[j] = row[row != self.text.c.pad]
                    self.shared[j] = x[: len(self.tokens[j])].to(torch.bfloat16, copy=True)

    def encode(self, which: Tensor, text: nn.Module | None = None) -> Tensor:
        """Encode the texts of these numbers (B,), for `project` → (B, 2D): MiniLM's vector and that of the second branch, or of `text`'s."""
        text = text or self.text
        ids = pad_sequence([self.tokens[i] for i in which], batch_first=True, padding_value=self.text.c.pad)
        shared = pad_sequence([self.shared[i] for i in which], batch_first=True)
        with torch.autocast("cpu", torch.bfloat16):
            branch = text.pooled(text.run_blocks(text.branch, shared, ids), ids)
        return torch.cat([self.vectors[which], branch.float()], dim=-1)


def load_pretrained(work: Path) -> DualEncoder:
    """Return the towers with pretrained weights, the lower layers frozen; each second branch starts as a copy."""
    torch.manual_seed(0)
    model = dual_encoder(image_tower(), text_tower())
    bert = read_bert(work / MINILM / "model.safetensors")
    bert["text.pos_embed"] = bert["text.pos_embed"][: model.text.c.context]
    fill(model, read_efficientnet(work / EFFICIENTNET) | bert, partial=True)
    backbone, branch = model.image.trunk, model.image.branch
    upper = [*backbone.blocks[model.image.second_branch_at :], backbone.head]
    for copy, layer in zip([*branch.trunk.blocks, branch.trunk.head], upper):
        copy.load_state_dict(layer.state_dict())
    model.text.branch.load_state_dict(model.text.blocks[model.text.second_branch_at :].state_dict())
    torch.nn.init.orthogonal_(model.text.proj.weight)
    for part in (backbone, model.image.prior, model.text.token_embed, model.text.blocks, model.text.norm_pre):
        part.requires_grad_(False)
    model.text.pos_embed.requires_grad_(False)
    model.text.keep.requires_grad_(False)
    for block in branch.trunk.blocks:
        block.depthwise.requires_grad_(False)  # 4% of the weights and two thirds of the time of a step on a CPU
    return model


@dataclass
class Data:
    """Precomputed features, and what a batch is sampled from."""

    middle: np.ndarray  # fp16 (pictures, views, 112, 14, 14)
    colours: np.ndarray  # uint8 (pictures, views, 28, 28, 3)
    classes: np.ndarray  # fp16 (pictures, views, 1000)
    train: Tensor  # picture numbers
    topics: list[Tensor]  # picture numbers of each topic with enough pictures for half a batch
    concept: Tensor  # (pictures,)
    is_drawing: Tensor  # bool (pictures,): of Open Clip Art, whose titles vary most
    captions: Captions
    class_texts: Captions
    glosses: Captions  # a name and a gloss each
    mean_feature: Tensor  # (1280,)

    def views(self, pick: np.ndarray, view: np.ndarray | int) -> tuple[Tensor, Tensor, Tensor]:
        """Return views of pictures: bfloat16 middle maps (B, 112, 14, 14), colours (B, 3, 14, 14), class logits (B, 1000)."""
        middle = torch.from_numpy(self.middle[pick, view]).contiguous(memory_format=torch.channels_last)
        colours = torch.from_numpy(normalize_pixels(self.colours[pick, view], PREP))
        logits = torch.from_numpy(self.classes[pick, view].astype(np.float32))
        return middle.to(torch.bfloat16), avg_pool2d(colours, FINE), logits


def synthetic_features(
    model: DualEncoder, data: Data, background: Tensor, generator: torch.Generator
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Return random classes (B,), and feature maps like those of photographs of them, on maps of other pictures (B, 1280, 7, 7)."""
    B = len(background)
    classes = torch.randint(1000, (B,), generator=generator)
    rows = model.image.prior.classifier.weight[classes]
    rows = normalize(rows - model.image.prior.classifier.weight.mean(dim=0), dim=-1)
    low, high = SYNTHETIC_NORMS
    norms = low + (high - low) * torch.rand(B, 1, generator=generator)
    feature = data.mean_feature + norms * rows + 0.5 * (background.mean(dim=(2, 3)) - data.mean_feature)  # (B, 1280)
    strength = 0.5 + torch.rand(B, 1, 7, 7, generator=generator)
    mask = (torch.rand(B, 1, 7, 7, generator=generator) < 0.3 + 0.7 * torch.rand(B, 1, 1, 1, generator=generator)).float()
    return classes, (mask * strength * feature[:, :, None, None] + (1 - mask) * background).clamp(0, 6)


def sample_pictures(data: Data, generator: torch.Generator) -> Tensor:
    """Return picture numbers of a batch (BATCH,): half from all pictures, half from one topic."""
    topic = data.topics[torch.randint(len(data.topics), (), generator=generator)]
    halves = (pool[torch.randint(len(pool), (BATCH // 2,), generator=generator)] for pool in (data.train, topic))
    return torch.cat(list(halves))


def soft_positives(encoded: Tensor, is_drawing: Tensor) -> Tensor:
    """Return each text's weight as a positive of each other, by MiniLM's cosine: 0 to 1, (B, B); 0 if neither is of a drawing."""
    z = normalize(encoded.detach().chunk(2, dim=-1)[0], dim=-1)
    weight = ((z @ z.T - 1) / SIMILARITY_SCALE).exp()
    return weight * (weight > MIN_SIMILARITY) * (is_drawing[:, None] | is_drawing)


def gloss_loss(model: DualEncoder, data: Data, scale: Tensor, generator: torch.Generator) -> Tensor:
    """Return the contrastive loss of names and their glosses, summed over the learned parts of z."""
    pick = torch.randint(len(data.glosses.ids), (N_GLOSSES,), generator=generator)
    name, gloss = (model.text.project(data.glosses.encode(data.glosses.ids[pick, i])) for i in (0, 1))
    parts = zip(*(z[:, model.text.prior_dim :].chunk(2, dim=-1) for z in (name, gloss)))
    return sum(clip_loss(a, b, scale) for a, b in parts)


def training_loss(model: DualEncoder, data: Data, generator: torch.Generator) -> Tensor:
    """Return the loss of a batch: contrastive, of z and of each learned part alone; of glosses; and of class probabilities."""
    image = model.image
    pick = sample_pictures(data, generator)
    view = (torch.randint(-2, data.middle.shape[1], (BATCH,), generator=generator)).clamp(min=0)  # often view 0
    middle, colours, logits = data.views(pick.numpy(), view.numpy())
    with torch.autocast("cpu", torch.bfloat16):  # half a step's time on a CPU that has it
        with torch.no_grad():
            top = image.trunk.top(middle, image.second_branch_at)
        maps = image.branch.trunk.top(middle, 0)
        classes, features = synthetic_features(model, data, top[:N_SYNTHETIC].float(), generator)
        synthetic = features.to(maps.dtype)
        all_colours = torch.cat([colours, colours[:N_SYNTHETIC]]).to(maps.dtype)
        branch = image.branch.encode_with_colours(torch.cat([maps, synthetic]), all_colours)
        learned = [image.encode(torch.cat([top, synthetic])).float(), branch.float()]
    logits = torch.cat([logits, image.prior.classifier(features.mean(dim=(2, 3)))])
    z_image = image.join(image.prior.vectors(logits.softmax(dim=-1)), *learned)
    variant = torch.randint(VARIANTS, (BATCH + N_SYNTHETIC,), generator=generator)
    variant[torch.rand(len(variant), generator=generator) < FIRST_CAPTION] = 0
    text, name = data.captions.ids[pick, variant[:BATCH]], data.class_texts.ids[classes, variant[BATCH:]]
    encoded = torch.cat([data.captions.encode(text), data.class_texts.encode(name)])
    z_text = model.text.project(encoded)
    concept = torch.cat([data.concept[pick], -1 - classes])
    ids = torch.cat([text, len(data.captions.index) + name])
    is_drawing = torch.cat([data.is_drawing[pick], torch.zeros(N_SYNTHETIC, dtype=torch.bool)])
    equal = (concept[:, None] == concept) | (ids[:, None] == ids)
    same = torch.maximum(equal.float(), soft_positives(encoded, is_drawing))
    prior_dim, scale = model.text.prior_dim, model.logit_scale.exp()
    loss = 0.5 * clip_loss(normalize(z_image, dim=-1), normalize(z_text, dim=-1), scale, same)
    for part_image, part_text in zip(learned, z_text[:, prior_dim:].chunk(2, dim=-1)):
        loss = loss + clip_loss(normalize(part_image, dim=-1), part_text, scale, same)
    loss = loss + GLOSS_WEIGHT * gloss_loss(model, data, scale, generator)
    log_p = image.prior.classifier(maps.float().mean(dim=(2, 3))).log_softmax(dim=-1)
    return loss + DISTILLATION_WEIGHT * kl_div(log_p, logits[:BATCH].softmax(dim=-1), reduction="batchmean")


@torch.inference_mode()
def encode_parts(model: DualEncoder, data: Data, rows: list[int]) -> tuple[Tensor, ...]:
    """Return the prior and the two learned parts of pictures, not augmented: (B, 256), (B, 128), (B, 128)."""
    batches, image = [], model.image
    for i in range(0, len(rows), 128):
        middle, colours, logits = data.views(np.array(rows[i : i + 128]), 0)
        with torch.autocast("cpu", torch.bfloat16):
            first = image.encode(image.trunk.top(middle, image.second_branch_at))
            second = image.branch.encode_with_colours(image.branch.trunk.top(middle, 0), colours.to(torch.bfloat16))
        batches.append((image.prior.vectors(logits.softmax(dim=-1)), first.float(), second.float()))
    return tuple(map(torch.cat, zip(*batches)))


@dataclass
class Photographs:
    """Photographs for validation, with two phrases each."""

    pixels: Tensor
    ids: Tensor
    relevant: np.ndarray
    """The photograph of each phrase."""

    @staticmethod
    def read(words: Words) -> "Photographs":
        """Read those of scikit-image that are not in the demo."""
        folder = Path(skimage.data.__file__).parent
        pictures = [square(Image.open(folder / name), PREP) for name in PHOTOGRAPHS]
        ids = words.ids([phrase for phrases in PHOTOGRAPHS.values() for phrase in phrases])
        relevant = np.array([i for i, phrases in enumerate(PHOTOGRAPHS.values()) for _ in phrases])
        return Photographs(torch.from_numpy(normalize_pixels(np.stack(pictures), PREP)), torch.from_numpy(ids), relevant)


@torch.inference_mode()
def validate(model: DualEncoder, data: Data, pairs: list[dict], photos: Photographs) -> dict[str, list[float]]:
    """Return metrics at each of LEARNED_NORMS: recall@1 of validation pictures among those of their source, and photographs' MRR."""
    recalls, learned_norm = {s: [] for s in sorted({p["source"] for p in pairs})}, model.image.learned_norm
    for source, values in recalls.items():
        rows = [i for i, p in enumerate(pairs) if p["source"] == source]
        z = encode_parts(model, data, rows)
        first, concept = data.captions.ids[rows, 0], data.concept[rows]
        val = torch.tensor([pairs[i]["split"] == "val" for i in rows])
        relevant = (first[val][:, None] == first) | (concept[val][:, None] == concept)
        z_text = normalize(model.text.project(data.captions.encode(first[val], model.text)), dim=-1)
        for model.image.learned_norm in LEARNED_NORMS:
            scores = z_text @ normalize(model.image.join(*z), dim=-1).T
            values.append(recall_at_k(scores.numpy(), relevant.numpy(), 1))
    photographs = []
    for model.image.learned_norm in LEARNED_NORMS:
        scores = (model.encode_text(photos.ids) @ model.encode_image(photos.pixels).T).numpy()
        better = (scores > scores[np.arange(len(photos.relevant)), photos.relevant][:, None]).sum(axis=1)
        photographs.append(float((1 / (1 + better)).mean()))
    model.image.learned_norm = learned_norm
    drawings = recalls.pop("openclipart")
    emoji = np.mean(list(recalls.values()), axis=0).tolist()
    return {k: [round(x, 3) for x in v] for k, v in (("drawings", drawings), ("emoji", emoji), ("photographs", photographs))}


def load_data(work: Path, model: DualEncoder, words: Words, pairs: list[dict]) -> Data:
    """Read the precomputed views and encode all texts."""
    rng = random.Random(0)
    concepts = {c: i for i, c in enumerate(dict.fromkeys(p["concept"] for p in pairs))}
    views = int((work / "views.done").read_text()) // len(pairs)  # those that are complete
    middle, colours, classes = (
        np.load(work / f"{name}.npy", mmap_mode="r")[:, :views] for name in ("middle", "colours", "classes")
    )
    train, topics = [i for i, p in enumerate(pairs) if p["split"] == "train"], defaultdict(list)
    for i in train:
        topics[pairs[i]["topic"]].append(i)
    with torch.no_grad():
        sample = torch.from_numpy(middle[train[::50], 0].astype(np.float32))
        mean_feature = model.image.trunk.top(sample, model.image.second_branch_at).mean(dim=(0, 2, 3))
    return Data(
        middle,
        colours,
        classes,
        torch.tensor(train),
        [torch.tensor(rows) for rows in topics.values() if len(rows) >= BATCH // 2],
        torch.tensor([concepts[p["concept"]] for p in pairs]),
        torch.tensor([p["source"] == "openclipart" for p in pairs]),
        Captions(model, words, [texts_of(p, rng) for p in pairs]),
        read_class_texts(work, model, words),
        Captions(model, words, read_glosses(work)),
        mean_feature,
    )  # fmt: skip


def read_glosses(work: Path) -> list[list[str]]:
    """Return names with their glosses, except those that the calibration of texts is fitted or measured on."""
    used = {lemma for lemma, _ in sample_glosses(work / WORDNET)}
    return [[lemma, gloss] for lemma, gloss in json.loads((work / "things.json").read_text())[::3] if lemma not in used]


def read_class_texts(work: Path, model: DualEncoder, words: Words) -> Captions:
    """Return the texts of the backbone's 1000 classes."""
    rng = random.Random(0)
    return Captions(model, words, [texts_of_class(c, rng) for c in json.loads((work / "classes.json").read_text())])


def set_prior(model: DualEncoder, class_texts: Captions, projection: Tensor | None = None) -> None:
    """Set the prior's class vectors: the mean of the vectors of a class's texts, at unit length, projected.

    projection: (256, 384); by default onto the principal components of the class vectors.
    """
    vectors = normalize(normalize(class_texts.vectors, dim=-1)[class_texts.ids].mean(dim=1), dim=-1)  # (1000, 384)
    if projection is None:
        projection = torch.linalg.svd(vectors, full_matrices=False)[2][: model.text.prior_dim]
    model.text.keep.weight.data = projection.contiguous()
    model.image.prior.vectors.weight.data = (projection @ vectors.T).contiguous()


def main(work: Path, overrides: list[str]) -> None:
    defaults = dict(
        steps=2000, lr=1e-3, warmup=100, save_every=100, evaluate_every=200, ema_decay=0.995, batch=BATCH,
        lr_multipliers=LR_MULTIPLIERS,
    )  # fmt: skip
    config = config_from(defaults, overrides, fixed=("batch",))
    pairs, model, words = read_pairs(work), load_pretrained(work), Words(read_tokenizer(work / MINILM / "tokenizer.json"), PREP)
    data, photos = load_data(work, model, words, pairs), Photographs.read(words)
    set_prior(model, data.class_texts)
    if config.start == "shipped" and not (work / "checkpoint.pt").exists():
        checkpoint.save(work / "start.pt", {"model": space_checkpoint.load(STARTER).model.state_dict()})
    if (work / "start.pt").exists():
        model.load_state_dict(checkpoint.load(work / "start.pt")["model"])
    for backbone in (model.image.trunk, model.image.branch.trunk):
        backbone.to(memory_format=torch.channels_last)
    trainer = Trainer(config, model, SeededSteps(config.seed), work)
    if trainer.checkpoint.exists():
        trainer.resume()
    losses = []

    def backward(generator: torch.Generator, weight: float) -> Tensor:
        loss = training_loss(model, data, generator)
        (weight * loss).backward()
        return loss.detach()

    def on_step(progress: Progress) -> None:
        losses.append(progress.loss)
        if progress.step % config.evaluate_every == 0:
            rate = round(progress.samples_per_second)
            row = {"step": progress.step, "loss": round(sum(losses) / len(losses), 3), "pairs/s": rate}
            metrics = validate(trainer.ema.module, data, pairs, photos)
            shipped = LEARNED_NORMS.index(model.image.learned_norm)
            curves = {f"val/{name}": values[shipped] for name, values in metrics.items()}
            row |= {"scale": round(model.logit_scale.exp().item(), 2)} | metrics | curves
            losses.clear()
            with open(work / "metrics.jsonl", "a") as out:
                out.write(json.dumps(row) + "\n")
            print(row, flush=True)

    trainer.train(backward, on_step)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
