"""Step 3: the trained tower into the starter, weights as narrow as gives the same vectors.

python recipes/sound/export.py WORK
python recipes/starter/senses.py STARTER_WORK WORK      # then: what turns its scores into probabilities
"""

import re
import sys
from pathlib import Path

import numpy as np
from prepare import TOWER
from train import Clips, Pupil

from samespace.assistant.hear import NAMES
from samespace.export import add_audio
from samespace.hub import STARTER
from samespace.prep.mel import fitted
from samespace.train import state

LONGEST = 24
"""Letters of a name that a sound may be called by."""


def main(work: Path) -> None:
    clips, kept = Clips(work), state.load(work / "checkpoint.pt")
    pupil = Pupil(clips)
    pupil.load_state_dict(kept["pupil"])
    mels = np.stack([fitted(clips.mel(i).T, TOWER.frames) for i in clips.of("val", "person")[:64]])
    card = {
        "sound": {"data": "Tux Paint's recordings and espeak-ng, ten languages", "clips": len(clips.rows), "steps": kept["step"]}
    }
    config = add_audio(STARTER, pupil.tower.eval(), TOWER, mels, card=card)
    heard = sorted({row["caption"] for row in clips.rows if row["kind"] in ("person", "effect")})
    short = [name for name in heard if len(name) <= LONGEST and re.fullmatch("[a-z][a-z -]*", name)]
    NAMES.write_text("".join(f"{name}\n" for name in short), "utf-8")
    print(config.card["precision"]["audio"], f"{(STARTER / 'audio.safetensors').stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
