"""Where spaces come from: the package itself, folders, and the Hugging Face hub.

A pulled checkpoint is converted once, with torch, into a space folder under the user's data; searching uses that.
Downloads happen only in `pull`, after their size was shown; HF_HOME and HF_HUB_OFFLINE are heeded.
"""

import os
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..core.config import SpaceConfig
from ..core.errors import MissingExtra, Offline, SamespaceError, UnknownSpace
from ..core.paths import expanded
from .space import Space, read_space_config

STARTER = Path(__file__).parent / "starter"
CLIP_TOKENIZER = "openai/clip-vit-base-patch32"
"""Whose tokenizer.json serves the CLIP checkpoints that come without one."""
OPEN_CLIP_REPOS = {  # open_clip's (architecture, tag) → repository
    "ViT-B-32/openai": "timm/vit_base_patch32_clip_224.openai",
    "ViT-B-32/laion400m_e32": "timm/vit_base_patch32_clip_224.laion400m_e32",
    "ViT-B-32/laion2b_s34b_b79k": "laion/CLIP-ViT-B-32-laion2B-s34B-b79K",
    "ViT-B-32/datacomp_xl_s13b_b90k": "laion/CLIP-ViT-B-32-DataComp.XL-s13B-b90K",
    "ViT-B-32-256/datacomp_s34b_b86k": "laion/CLIP-ViT-B-32-256x256-DataComp-s34B-b86K",
    "ViT-B-16/openai": "timm/vit_base_patch16_clip_224.openai",
    "ViT-B-16/laion2b_s34b_b88k": "laion/CLIP-ViT-B-16-laion2B-s34B-b88K",
    "ViT-B-16/datacomp_xl_s13b_b90k": "laion/CLIP-ViT-B-16-DataComp.XL-s13B-b90K",
    "ViT-L-14/openai": "timm/vit_large_patch14_clip_224.openai",
    "ViT-L-14/laion2b_s32b_b82k": "laion/CLIP-ViT-L-14-laion2B-s32B-b82K",
    "ViT-L-14/datacomp_xl_s13b_b90k": "laion/CLIP-ViT-L-14-DataComp.XL-s13B-b90K",
    "ViT-B-16-SigLIP/webli": "timm/ViT-B-16-SigLIP",
}
SMALL_FILES = (
    "config.json", "open_clip_config.json", "preprocessor_config.json", "tokenizer.json", "vocab.json", "merges.txt", "README.md",
)  # fmt: skip
WEIGHTS = ("open_clip_model.safetensors", "model.safetensors", "open_clip_pytorch_model.bin", "pytorch_model.bin")
"""In the order of preference; one of them is downloaded."""


def load(space: str | Path = "starter") -> Space:
    """A space by name or folder, ready to encode. Raises UnknownSpace."""
    return Space(find(space), str(space) if str(space) in installed() else "")


def find(space: str | Path) -> Path:
    """The folder of an installed space, or the folder itself. Raises UnknownSpace."""
    folders = installed()
    if str(space) in folders:
        return folders[str(space)]
    folder = expanded(space)
    if (folder / "space.json").exists():
        return folder
    if folder.is_dir() or str(space).count("/") == 1 or str(space).startswith("hf-hub:"):
        raise UnknownSpace(f"{space} is not installed as a space yet; install it with: samespace spaces pull {space}")
    raise UnknownSpace(f"there is no space {str(space)!r}; list those installed with: samespace spaces list")


def folder_of(name: str) -> Path:
    """Any folder as it is (a checkpoint's, a tokenizer's), or else an installed space's. Raises UnknownSpace."""
    folder = expanded(name)
    return folder if folder.is_dir() else find(name)


def installed() -> dict[str, Path]:
    """Names → folders: the starter, and what has been pulled."""
    shipped = {"starter": STARTER} if (STARTER / "space.json").exists() else {}
    return shipped | kept_in(spaces_folder(), "space.json", read_space_config)


def kept_in(folder: Path, file: str, read: Callable[[Path], Any]) -> dict[str, Path]:
    """Names → the folders of a folder that hold such a file; a damaged one goes by its path, and whoever opens it is told."""
    found = {}
    for place in sorted(folder.glob(f"*/{file}")):
        try:
            found[read(place.parent).name] = place.parent
        except SamespaceError:
            found[str(place.parent)] = place.parent
    return found


def spaces_folder() -> Path:
    """$SAMESPACE_SPACES, or `spaces` in the user's data folder."""
    return data_folder("SAMESPACE_SPACES", "spaces")


def data_folder(variable: str, name: str) -> Path:
    """The folder that an environment variable names, or one in the user's data."""
    if named := os.environ.get(variable):
        return expanded(named)
    import platformdirs

    return platformdirs.user_data_path("samespace") / name


def folder_for(name: str) -> Path:
    """Where a space of this name is kept."""
    return spaces_folder() / file_name(name)


def file_name(name: str) -> str:
    """A name such as `org/model` as that of one file or folder."""
    return re.sub(r"[^\w.-]+", "--", name)


@dataclass(frozen=True)
class Remote:
    """A checkpoint that can be had from the hub."""

    repo: str
    revision: str
    """A commit, so that what was looked at is what is downloaded."""
    files: dict[str, int]
    """File → bytes."""

    @property
    def size(self) -> int:
        """Bytes to download."""
        return sum(self.files.values())

    @property
    def what(self) -> str:
        return f"{self.repo} at {self.revision[:12]}"


def repo_of(name: str) -> str:
    """`ViT-B-32/laion2b_s34b_b79k` (open_clip), `hf-hub:org/name` or `org/name` → repository."""
    return OPEN_CLIP_REPOS.get(name) or name.removeprefix("hf-hub:")


def look_up(name: str, revision: str | None = None) -> Remote:
    """Ask the hub what a space's checkpoint consists of, without downloading it. Raises Offline, UnknownSpace."""
    there = files_of(name, revision)
    weights = next((w for w in WEIGHTS if w in there.files), None)
    if weights is None:
        raise UnknownSpace(f"{there.repo} holds none of {', '.join(WEIGHTS)}; choose a CLIP, OpenCLIP or SigLIP model")
    wanted = [f for f in SMALL_FILES if f in there.files] + [weights]
    return replace(there, files={f: there.files[f] for f in wanted})


def files_of(name: str, revision: str | None = None) -> Remote:
    """All files of a repository. Raises Offline, UnknownSpace."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HFValidationError, RepositoryNotFoundError, RevisionNotFoundError

    repo = repo_of(name)
    try:
        info = HfApi().model_info(repo, revision=revision, files_metadata=True)
    except (RepositoryNotFoundError, RevisionNotFoundError, HFValidationError) as error:
        raise UnknownSpace(f"the hub has no model {repo!r}; check the name ({first_line(error)})") from None
    except Exception as error:  # the client's network errors share no base
        raise unreachable(error) from None
    return Remote(repo, info.sha or "main", {f.rfilename: f.size or 0 for f in info.siblings or []})


def download(source: Remote) -> Path:
    """Download a checkpoint into the hub's cache; returns its folder. The client checks the hashes. Raises Offline."""
    from huggingface_hub import hf_hub_download, snapshot_download

    try:
        folder = Path(snapshot_download(source.repo, revision=source.revision, allow_patterns=list(source.files)))
        if not {"tokenizer.json", "merges.txt"} & source.files.keys() and (folder / "open_clip_config.json").exists():
            tokenizer = Path(hf_hub_download(CLIP_TOKENIZER, "tokenizer.json"))
            (folder / "tokenizer.json").write_bytes(tokenizer.read_bytes())
    except OSError as error:
        if error.errno:  # the disk's fault, not the network's
            raise
        raise unreachable(error) from None
    except Exception as error:  # the client's network errors share no base
        raise unreachable(error) from None
    return folder


def unreachable(error: Exception) -> Offline:
    return Offline(
        f"the Hugging Face hub cannot be reached ({first_line(error)}); check the network and HF_HUB_OFFLINE, "
        "or pull a folder that you have instead of a name"
    )


def first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:150]


def install(folder: Path, name: str, origin: str) -> SpaceConfig:
    """Convert a checkpoint's folder into an installed space. Raises MissingExtra, UnknownSpace, WeightsMismatch."""
    held = installed().get(name)
    if name in ("", ".", "..", "starter") or (held and read_space_config(held).origin != origin):
        raise UnknownSpace(f"a space called {name!r} is there already; rename the folder, or use: samespace spaces export")
    return convert(folder, folder_for(name), name=name, origin=origin)


def convert(
    folder: Path, target: Path, name: str = "", origin: str = "", pairs: Path | None = None, precision: str = "auto"
) -> SpaceConfig:
    """Any checkpoint or space folder → a space folder. `pairs` and `precision` as in export.export."""
    try:
        from . import checkpoint, export
    except ImportError:
        raise MissingExtra("converting a checkpoint", "train") from None
    loaded = checkpoint.load(folder, name)
    if origin:
        loaded.config = replace(loaded.config, origin=origin)
    held_out = export.held_out_pairs(loaded, pairs or export.HELD_OUT) if precision == "auto" else None
    return export.export(loaded, target, held_out, ears=folder if loaded.config.audio.layers else None)
