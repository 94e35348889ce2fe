"""Videos of drawings, each named by a synthetic voice: words find the moment by image and audio together."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from media_files import PLAIN, write_video
from PIL import Image

import samespace
from samespace.library.library import Library
from samespace.media.audio import blocks

RATE, SECONDS, LEAD, SCENES = 16_000, 4.0, 0.5, 8
VOICES = ("en-us+f4",)
"""Of espeak-ng; the audio tower was trained on the first, not on the other."""


def spoken(title: str, voice: str, folder: Path) -> np.ndarray:
    """Return the audio of a scene: silence, then its title. float32 (N,)."""
    file, samples = folder / "title.wav", np.zeros(int(SECONDS * RATE), np.float32)
    subprocess.run(["espeak-ng", "-v", voice, "-w", str(file), "--", title], check=True)
    speech = np.concatenate(list(blocks(file)))[: int((SECONDS - LEAD) * RATE)]
    samples[int(LEAD * RATE) : int(LEAD * RATE) + len(speech)] = speech
    return samples


def moments_found(folder: Path, drawings: dict[str, Image.Image], voice: str) -> list[str]:
    """Return the titles whose first hit in their video starts within a second of their scene. Without a voice videos are silent."""
    folder.mkdir()
    videos = {str(n): PLAIN[i : i + SCENES] for n, i in enumerate(range(0, len(PLAIN), SCENES))}
    for name, titles in videos.items():
        audio = np.concatenate([spoken(title, voice, folder) for title in titles]) if voice else None
        write_video(folder / f"{name}.mp4", [(drawings[title], SECONDS) for title in titles], audio=audio)
    library, found = Library(folder / "library", samespace.load("starter")), []
    assert library.add([folder / f"{name}.mp4" for name in videos]).added == len(videos)
    for name, titles in videos.items():
        for i, title in enumerate(titles):
            first = next(hit for hit in library.search(title, 50, group_by="place") if Path(hit.path).stem == name)
            if abs(first.start - i * SECONDS) <= 1:
                found.append(title)
    return found


@pytest.mark.skipif(not shutil.which("espeak-ng"), reason="espeak-ng is not installed")
def test_speech_helps_to_find_what_is_shown(tmp_path, drawings):
    counts = {voice: len(moments_found(tmp_path / (voice or "silent"), drawings, voice)) for voice in ("", *VOICES)}
    print(counts, "of", len(PLAIN))
    assert min(counts[voice] for voice in VOICES) >= 0.8 * len(PLAIN), counts
    assert all(counts[voice] > counts[""] for voice in VOICES), counts
