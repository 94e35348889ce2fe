"""Which native models there are, without torch."""

from pathlib import Path

from ..core.config import config_from_file
from ..core.errors import UnknownGenerator
from ..core.native_config import NativeConfig
from ..core.registry import Registry

STARTER = Path(__file__).with_name("native_starter")


def read_native_config(folder: Path) -> NativeConfig:
    """Read FOLDER/native.json. Raises UnknownGenerator."""
    return config_from_file(folder / "native.json", NativeConfig, UnknownGenerator, "train it again")


NATIVES = Registry("SAMESPACE_NATIVES", "natives", "native.json", read_native_config, (("native", STARTER),))
