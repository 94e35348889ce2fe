"""Step 3: the trained tower into the starter, weights as narrow as gives the same vectors.

python recipes/sound/export.py WORK
python recipes/starter/senses.py STARTER_WORK WORK      # then: what turns its scores into probabilities
"""

import sys
from pathlib import Path

import numpy as np
from prepare import TOWER
from train import Clips, Pupil

from samespace.export import add_audio
from samespace.hub import STARTER
from samespace.prep.mel import fitted
from samespace.train import state


def main(work: Path) -> None:
    clips, kept = Clips(work), state.load(work / "checkpoint.pt")
    pupil = Pupil(clips)
    pupil.load_state_dict(kept["pupil"])
    mels = np.stack([fitted(clips.mel(i).T, TOWER.frames) for i in clips.of("val", "person")[:64]])
    card = {
        "sound": {"data": "Tux Paint's recordings and espeak-ng, ten languages", "clips": len(clips.rows), "steps": kept["step"]}
    }
    config = add_audio(STARTER, pupil.tower.eval(), TOWER, mels, card=card)
    print(config.card["precision"]["audio"], f"{(STARTER / 'audio.safetensors').stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
