"""Films of drawn scenes, each named aloud by a synthetic voice: words find the moment by what is seen and heard together."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from media_files import PLAIN, film
from PIL import Image

import samespace
from samespace.library.library import Library
from samespace.media.audio import blocks

RATE, SECONDS, LEAD, SCENES = 16_000, 4.0, 0.5, 8
VOICES = ("en-us", "en-us+f4", "en-us+m7")
"""Of espeak-ng; the ears heard the first in training, the others never."""


def spoken(title: str, voice: str, folder: Path) -> np.ndarray:
    """A scene's sound: quiet, then its title."""
    file, sound = folder / "said.wav", np.zeros(int(SECONDS * RATE), np.float32)
    subprocess.run(["espeak-ng", "-v", voice, "-w", str(file), "--", title], check=True)
    said = np.concatenate(list(blocks(file)))[: int((SECONDS - LEAD) * RATE)]
    sound[int(LEAD * RATE) : int(LEAD * RATE) + len(said)] = said
    return sound


def moments_found(folder: Path, drawings: dict[str, Image.Image], voice: str) -> list[str]:
    """Titles whose scene is the first hit of their film, its start right within a second. Of a silent film without a voice."""
    folder.mkdir()
    films = {str(n): PLAIN[i : i + SCENES] for n, i in enumerate(range(0, len(PLAIN), SCENES))}
    for name, titles in films.items():
        sound = np.concatenate([spoken(title, voice, folder) for title in titles]) if voice else None
        film(folder / f"{name}.mp4", [(drawings[title], SECONDS) for title in titles], sound=sound)
    library, found = Library(folder / "library", samespace.load("starter")), []
    assert library.add([folder / f"{name}.mp4" for name in films]).added == len(films)
    for name, titles in films.items():
        for i, title in enumerate(titles):
            first = next(hit for hit in library.search(title, 50, each=True) if Path(hit.path).stem == name)
            if abs(first.start - i * SECONDS) <= 1:
                found.append(title)
    return found


@pytest.mark.skipif(not shutil.which("espeak-ng"), reason="espeak-ng is not installed")
def test_what_is_said_helps_to_find_what_is_shown(tmp_path, drawings):
    counts = {voice: len(moments_found(tmp_path / (voice or "silent"), drawings, voice)) for voice in ("", *VOICES)}
    print(counts, "of", len(PLAIN))
    assert min(counts[voice] for voice in VOICES) >= 0.8 * len(PLAIN), counts
    assert all(counts[voice] > counts[""] for voice in VOICES), counts
