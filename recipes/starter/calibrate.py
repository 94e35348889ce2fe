"""The last step: calibrate the starter's scores of texts and of audio, and write the weights into its space.json.

    python recipes/starter/calibrate.py WORK [SOUND_WORK]

Texts: WordNet's nouns and their glosses. Audio: validation clips of recipes/sound, none of the held-out ones.
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
from samespace.spaces.registry import STARTER

FITTED, TESTED = 800, 400
"""Nouns that the calibration of texts is fitted on, and measured on."""


def sample_glosses(wordnet: Path) -> list[tuple[str, str]]:
    """Return a random sample of nouns with only one meaning, and their glosses."""
    glosses: dict[str, list[str]] = {}
    for noun in read_nouns(wordnet).values():
        glosses.setdefault(noun.words[0], []).append(noun.gloss)
    unambiguous = [
        (lemma, texts[0]) for lemma, texts in glosses.items() if len(texts) == 1 and lemma.islower() and len(texts[0]) > 30
    ]
    chosen = np.random.default_rng(5).choice(len(unambiguous), FITTED + TESTED, replace=False)
    return [unambiguous[i] for i in chosen]


def calibrate_text(space: samespace.Space, wordnet: Path) -> Calibration:
    """Fit on nouns as queries and glosses as texts; print what is measured on others."""
    words, texts = zip(*sample_glosses(wordnet))
    z_words, z_texts, relevant = space.text(words), space.text(texts), np.eye(len(words), dtype=bool)
    calibration = fit(z_texts[:FITTED], z_words[:FITTED], relevant[:FITTED, :FITTED], space.background)
    print("text", measure(calibration, z_texts[FITTED:], z_words[FITTED:], relevant[FITTED:, FITTED:]))
    return calibration


def calibrate_audio(space: samespace.Space, work: Path) -> Calibration:
    """Fit on captions as queries and two thirds of the validation clips; print what is measured on the others."""
    c = space.audio_config
    mels = np.memmap(work / "mels.f16", np.float16, "r").reshape(-1, c.mels)
    rows = [json.loads(line) for line in (work / "clips.jsonl").read_text("utf-8").splitlines()]
    rows = [row for row in rows if row["split"] == "val"]
    clips = (mels[row["start"] : row["start"] + row["frames"]].T.astype(np.float32) for row in rows)
    z_audio = space.spectrograms([fit_frames(clip, c.frames) for clip in clips])
    captions = sorted({row["caption"] for row in rows})
    z_text = space.text(captions)
    relevant = np.array([[row["caption"] == caption for row in rows] for caption in captions])
    fitted = np.random.default_rng(6).random(len(rows)) < 2 / 3
    calibration = fit(z_audio[fitted], z_text, relevant[:, fitted], space.background)
    print("audio", measure(calibration, z_audio[~fitted], z_text, relevant[:, ~fitted]))
    return calibration


def main(work: Path, sound: Path | None) -> None:
    space = samespace.load("starter")
    weights = {"text": calibrate_text(space, work / WORDNET).weights}
    if sound:
        weights["audio"] = calibrate_audio(space, sound).weights
    config = replace(space.config, calibration=space.config.calibration | weights)
    (STARTER / "space.json").write_text(to_json(config), "utf-8")
    print(weights)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else None)
