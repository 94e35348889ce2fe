"""Step 5: the shipped starter on what its audio tower never heard.

    python recipes/sound/evaluate.py WORK

Recordings by people, whose words were heard in training from espeak-ng only, by language: the right caption among all that are
held out, and the right picture. A voice of espeak-ng that was never heard. Sound effects, among themselves.
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


def read(work: Path, space: samespace.Space) -> list[dict]:
    """The clips of the test, each with its `z`."""
    c = space.config.audio
    mels = np.memmap(work / "mels.f16", np.float16, "r").reshape(-1, c.mels)
    rows = [json.loads(line) for line in (work / "clips.jsonl").read_text("utf-8").splitlines()]
    rows = [row for row in rows if row["split"] == "test"]
    heard = [fit_frames(mels[row["start"] : row["start"] + row["frames"]].T.astype(np.float32), c.frames) for row in rows]
    return [row | {"z": z} for row, z in zip(rows, space.spectrograms(heard))]


def recall(rows: list[dict], field: str, named: Sequence[str], z_named: np.ndarray, k: int) -> dict[str, float]:
    right = np.array([[row[field] == name for name in named] for row in rows])
    found = recall_at_k(np.stack([row["z"] for row in rows]) @ z_named.T, right, k)
    return {f"recall@{k}": round(float(found), 3), "clips": len(rows), "among": len(named)}


def main(work: Path) -> None:
    space = samespace.load("starter")
    rows = read(work, space)
    people, voice, effects = ([row for row in rows if row["kind"] == kind] for kind in ("person", "espeak", "effect"))
    captions = sorted({row["caption"] for row in people})
    z_text = space.text(captions)
    print("people", json.dumps(recall(people, "caption", captions, z_text, 5)))
    for language in LANGUAGES:
        some = [row for row in people if row["language"] == language]
        print("  ", language, json.dumps(recall(some, "caption", captions, z_text, 5)))
    heard = [row for row in voice if row["caption"] in captions]
    print("a voice never heard", json.dumps(recall(heard, "caption", captions, z_text, 5)))
    seen = [row for row in people if Path(row["picture"]).is_file()]
    pictures = sorted({row["picture"] for row in seen})
    print("people, the picture", json.dumps(recall(seen, "picture", pictures, space.image(pictures), 10)))
    names = sorted({row["caption"] for row in effects})
    print("sound effects", json.dumps(recall(effects, "caption", names, space.text(names), 5)))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
