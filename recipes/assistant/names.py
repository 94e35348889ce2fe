"""Between the stages: the tokens made of a picture's vector learn to spell what it shows, for the language model to copy.

    python recipes/assistant/names.py STARTER_WORK START TARGET [steps=1500]

START is an assistant whose pictures have no such tokens yet, or have them; TARGET becomes the same with Z of them. Only vectors
are needed, and each picture's is computed once, so this takes minutes. Validation is on drawings held out of training.
"""

import json
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from prepare import props_of
from scenes import Props, alone
from torch.nn.functional import cross_entropy

from samespace import Space, load
from samespace.assistant import folder, shelf
from samespace.assistant.language import Language
from samespace.errors import UnknownAssistant
from samespace.model.llava import Llava
from samespace.train.regions import named, spread_of

Z = 6
"""Tokens of z; longer names are cut."""
END = "."
"""What follows a name, and fills up what it leaves."""
VIEWS, BATCH, LR, SMOOTHING = 2, 256, 2e-3, 0.05


def started(name: str) -> tuple[Llava, Language]:
    """An assistant to begin with: a folder, or the starter with its weights as they ship."""
    try:
        model, language = folder.read(shelf.find(name)) if name != shelf.STARTER else shelf.starter()
    except UnknownAssistant as error:
        raise SystemExit(str(error)) from None
    if model.c.z_tokens == Z:
        return model, language
    told = Llava(replace(model.c, z_tokens=Z))
    told.load_state_dict(model.state_dict() | {n: t for n, t in told.state_dict().items() if n.startswith("z_projector.")})
    return told, language


def seen(space: Space, props: Props, count: int, seed: int) -> tuple[np.ndarray, list[str]]:
    """Vectors of things alone on a ground, and their names."""
    vectors, names = [], []
    for start in range(0, count, 64):
        scenes = [alone(np.random.default_rng([seed, i]), props) for i in range(start, min(start + 64, count))]
        vectors.append(space.image([picture for picture, _, _ in scenes]))
        names += [regions[0].text for _, _, regions in scenes]
    return np.concatenate(vectors), names


def spelled(language: Language, name: str) -> list[int]:
    """A name's first Z tokens as they stand within a sentence, filled up with END."""
    encode = partial(language.tokenizer.encode, add_special_tokens=False)
    ids = encode(f" {name}").ids[:Z]
    return ids + encode(END).ids * (Z - len(ids))


def main(starter: Path, start: str, target: Path, steps: int) -> None:
    torch.manual_seed(0)
    (model, language), space = started(start), load("starter")
    sets = {}
    for split, seed in (("train", 0), ("val", 1)):
        props = props_of(starter, split)
        z, names = seen(space, props, len(props.things) * VIEWS, seed)
        sets[split] = torch.from_numpy(z), torch.tensor([spelled(language, name) for name in names])
        print(split, len(names), "pictures", flush=True)
    ids = torch.unique(torch.cat([targets.flatten() for _, targets in sets.values()]))
    words = model.lm.token_embed.weight.detach()[ids].float()  # (V, D)
    spread = spread_of(words)

    def log_p(z: torch.Tensor) -> torch.Tensor:  # (B, E) → (B, Z, V)
        return named(model.of_z(z), words, spread)

    optimizer = torch.optim.AdamW(model.z_projector.parameters(), LR, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LR, total_steps=steps)
    z, targets = sets["train"]
    for step in range(1, steps + 1):
        chosen = torch.randint(len(z), (BATCH,))
        wanted = torch.searchsorted(ids, targets[chosen])
        loss = cross_entropy(log_p(z[chosen]).flatten(0, 1), wanted.flatten(), label_smoothing=SMOOTHING)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % (steps // 5) == 0:
            with torch.no_grad():
                right = {s: (ids[log_p(v[:2000]).argmax(-1)] == t[:2000]).all(dim=1).float().mean() for s, (v, t) in sets.items()}
            told = {split: round(share.item(), 3) for split, share in right.items()}
            print(json.dumps({"step": step, "loss": round(loss.item(), 3), "whole names right": told}), flush=True)
    folder.write(target, model, language, int8=False, name="named")


if __name__ == "__main__":
    options = dict(option.split("=") for option in sys.argv[4:])
    main(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]), int(options.get("steps", 1500)))
