"""Step 5: evaluate the shipped starter on held-out audio.

    python recipes/sound/evaluate.py WORK

Recordings by people, by language, whose captions training has in espeak-ng's voices only: retrieval of the caption among all that are
held out, and of the picture. A held-out voice of espeak-ng. Sound effects, among themselves.
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from prepare import LANGUAGES

import samespace
from samespace.core.metrics import recall_at_k
from samespace.preprocess.mel import fit_frames


def read_clips(work: Path, space: samespace.Space) -> list[dict]:
    """Return the clips of the test split, each with its vector `z`."""
    c = space.audio_config
    mels = np.memmap(work / "mels.f16", np.float16, "r").reshape(-1, c.mels)
    rows = [json.loads(line) for line in (work / "clips.jsonl").read_text("utf-8").splitlines()]
    rows = [row for row in rows if row["split"] == "test"]
    clips = [fit_frames(mels[row["start"] : row["start"] + row["frames"]].T.astype(np.float32), c.frames) for row in rows]
    return [row | {"z": z} for row, z in zip(rows, space.spectrograms(clips))]


def recall(rows: list[dict], field: str, candidates: Sequence[str], z: np.ndarray, k: int) -> dict[str, float]:
    """Return how many clips retrieve the value of a field among candidates with vectors z."""
    relevant = np.array([[row[field] == candidate for candidate in candidates] for row in rows])
    found = recall_at_k(np.stack([row["z"] for row in rows]) @ z.T, relevant, k)
    return {f"recall@{k}": round(float(found), 3), "clips": len(rows), "among": len(candidates)}


def main(work: Path) -> None:
    space = samespace.load("starter")
    rows = read_clips(work, space)
    people, voice, effects = ([row for row in rows if row["kind"] == kind] for kind in ("person", "espeak", "effect"))
    captions = sorted({row["caption"] for row in people})
    z_text = space.text(captions)
    print("people", json.dumps(recall(people, "caption", captions, z_text, 5)))
    for language in LANGUAGES:
        spoken = [row for row in people if row["language"] == language]
        print("  ", language, json.dumps(recall(spoken, "caption", captions, z_text, 5)))
    same_captions = [row for row in voice if row["caption"] in captions]
    print("a held-out voice", json.dumps(recall(same_captions, "caption", captions, z_text, 5)))
    pictured = [row for row in people if Path(row["picture"]).is_file()]
    pictures = sorted({row["picture"] for row in pictured})
    print("people, the picture", json.dumps(recall(pictured, "picture", pictures, space.image(pictures), 10)))
    names = sorted({row["caption"] for row in effects})
    print("sound effects", json.dumps(recall(effects, "caption", names, space.text(names), 5)))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
