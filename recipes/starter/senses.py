"""The last step: what turns scores of what is read, and of what is heard, into probabilities; into the starter's space.json.

    python recipes/starter/senses.py WORK [SOUND_WORK]

Read: WordNet's nouns and their glosses. Heard: validation clips of recipes/sound, none of the held-out ones.
"""

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
from common import WORDNET
from prepare import read_nouns

import samespace
from samespace.core.config import to_json
from samespace.preprocess.mel import fit_frames
from samespace.spaces.calibration import Calibration, fit, measure
from samespace.spaces.hub import STARTER

PAIRS, TESTED = 800, 400


def glosses(wordnet: Path) -> list[tuple[str, str]]:
    """Nouns of more than one kind of meaning left out, and what they mean."""
    found = {}
    for noun in read_nouns(wordnet).values():
        found.setdefault(noun.words[0], []).append(noun.gloss)
    once = [(lemma, said[0]) for lemma, said in found.items() if len(said) == 1 and lemma.islower() and len(said[0]) > 30]
    return [once[i] for i in np.random.default_rng(5).choice(len(once), PAIRS + TESTED, replace=False)]


def read(space: samespace.Space, wordnet: Path) -> Calibration:
    words, texts = zip(*glosses(wordnet))
    z_words, z_texts, right = space.text(words), space.text(texts), np.eye(len(words), dtype=bool)
    calibration = fit(z_texts[:PAIRS], z_words[:PAIRS], right[:PAIRS, :PAIRS], space.background)
    print("text", measure(calibration, z_texts[PAIRS:], z_words[PAIRS:], right[PAIRS:, PAIRS:]))
    return calibration


def heard(space: samespace.Space, work: Path) -> Calibration:
    c = space.config.audio
    mels = np.memmap(work / "mels.f16", np.float16, "r").reshape(-1, c.mels)
    rows = [json.loads(line) for line in (work / "clips.jsonl").read_text("utf-8").splitlines()]
    rows = [row for row in rows if row["split"] == "val"]
    clips = (mels[row["start"] : row["start"] + row["frames"]].T.astype(np.float32) for row in rows)
    z = space.spectrograms([fit_frames(one, c.frames) for one in clips])
    captions = sorted({row["caption"] for row in rows})
    right = np.array([[row["caption"] == c for row in rows] for c in captions])
    some = np.random.default_rng(6).random(len(rows)) < 2 / 3
    z_text = space.text(captions)
    calibration = fit(z[some], z_text, right[:, some], space.background)
    print("sound", measure(calibration, z[~some], z_text, right[:, ~some]))
    return calibration


def main(work: Path, sound: Path | None) -> None:
    space = samespace.load("starter")
    found = {"text": read(space, work / WORDNET).weights}
    if sound:
        found["sound"] = heard(space, sound).weights
    config = replace(space.config, calibrations=space.config.calibrations | found)
    (STARTER / "space.json").write_text(to_json(config), "utf-8")
    print(found)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else None)
