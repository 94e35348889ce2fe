"""Which native models there are, without torch."""

import json
from pathlib import Path

from ..core.config import from_dict
from ..core.errors import UnknownGenerator
from ..core.native_config import NativeConfig
from ..core.registry import Registry

STARTER = Path(__file__).with_name("native_starter")


def read_native_config(folder: Path) -> NativeConfig:
    """Read FOLDER/native.json. Raises UnknownGenerator."""
    try:
        values = json.loads((folder / "native.json").read_text("utf-8"))
        if not isinstance(values, dict):
            raise ValueError("it is not an object")
    except (OSError, ValueError) as error:
        raise UnknownGenerator(f"{folder} holds no readable native.json ({error}); remove it, or train it again") from None
    if values.get("format") != NativeConfig.format:
        raise UnknownGenerator(
            f"{folder} has format {values.get('format')}, this version reads {NativeConfig.format}; train it again"
        )
    return from_dict(NativeConfig, values, UnknownGenerator)


NATIVES = Registry("SAMESPACE_NATIVES", "natives", "native.json", read_native_config, (("native", STARTER),))
