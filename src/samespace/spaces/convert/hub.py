"""Checkpoints on the Hugging Face hub: looked up first, so that their size can be shown, then downloaded.

HF_HOME and HF_HUB_OFFLINE have their usual effect.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from fnmatch import fnmatch
from pathlib import Path

from ...core.errors import Offline, SamespaceError, UnknownSpace
from ..checkpoints import open_clip_names
from ..checkpoints.families import HUB_WEIGHTS, MODULES, SHARD_INDEX, in_order
from .prebuilt import layout_of
from .prebuilt import needed as prebuilt_files

CLIP_TOKENIZER = "openai/clip-vit-base-patch32"
"""Whose tokenizer serves the checkpoints of open_clip that come without one and name none."""
SMALL_FILES = (
    "config.json", "open_clip_config.json", "preprocessor_config.json", "processor_config.json", "tokenizer.json",
    "tokenizer_config.json", "special_tokens_map.json", "vocab.json", "merges.txt", "vocab.txt", "spiece.model",
    "sentencepiece.bpe.model", "README.md", "adapter_config.json", "config_sentence_transformers.json", "modules.json",
    "sentence_bert_config.json", "chat_template.jinja", "chat_template.json", "video_preprocessor_config.json", "added_tokens.json",
)  # fmt: skip
CONFIGS = ("config.json", "open_clip_config.json", "model_index.json", "adapter_config.json", "modules.json", "README.md")
"""Files of which each repository has one at its top."""
MODULE_FILES = "[0-9]_*/*"
"""Of sentence-transformers: the files of a model's parts."""
TOKENIZERS = {"tokenizer.json", "merges.txt", "spiece.model", "sentencepiece.bpe.model"}
TOKENIZER_SETTINGS = {"tokenizer_config.json", "special_tokens_map.json", "vocab.json"}
SHARDS = "model-*-of-*.safetensors"


@dataclass(frozen=True)
class Remote:
    """A checkpoint that can be had from the hub."""

    repo: str
    revision: str
    """A commit, so that what was looked at is what is downloaded."""
    files: dict[str, int]
    """File → bytes."""
    open_clip: str = ""
    """open_clip's name of it, where that was asked for."""

    @property
    def size(self) -> int:
        """Bytes to download."""
        return sum(self.files.values())

    @property
    def what(self) -> str:
        """What would be downloaded, for people."""
        return f"{self.repo} at {self.revision[:12]}"

    def only(self, files: Iterable[str]) -> "Remote":
        """Return it with some of its files alone."""
        return replace(self, files={file: self.files[file] for file in files})


def repo_of(name: str) -> tuple[str, str | None]:
    """Return repository and revision of `ViT-B-32/laion2b_s34b_b79k` (open_clip), `hf-hub:org/name` or `org/name@revision`.

    Raises UnknownSpace on what looks like a folder.
    """
    if name.startswith((".", "/", "~")):
        raise UnknownSpace(f"there is no folder {name!r}; check the path")
    name, _, revision = name.removeprefix("hf-hub:").partition("@")
    return open_clip_names.repositories().get(name, name), revision or None


def look_up(name: str, revision: str | None = None) -> Remote:
    """Ask the hub which files a space's checkpoint needs, without downloading it. Raises Offline, UnknownSpace."""
    there = files_of(name, revision)
    named = name if name in open_clip_names.repositories() else ""
    return replace(there.only(needed(set(there.files), there.repo)), open_clip=named)


def needed(files: set[str], repo: str) -> list[str]:
    """Return which files of a repository make a space: weights, and what is small. Raises UnknownSpace."""
    parts = {f.rpartition("/")[0] for f in files if f == MODULES or fnmatch(f, MODULE_FILES)} | {""}
    small = [f for f in sorted(files) if _folder_of(f) in parts and f.rpartition("/")[2] in SMALL_FILES]
    weights = [_weights(files, part) for part in sorted(parts)]
    if any(weights):
        return small + [f for found in weights for f in found]
    if (layout := layout_of(files)) is not None:
        return prebuilt_files(layout, files)
    raise UnknownSpace(f"{repo} holds none of {', '.join(HUB_WEIGHTS)}; choose a CLIP, OpenCLIP or SigLIP model")


def _weights(files: set[str], part: str) -> list[str]:
    """Return the weights in a folder of a repository, in the best of their formats."""
    prefix = f"{part}/" if part else ""
    here = {name.removeprefix(prefix) for name in files if name.startswith(prefix)}
    best = next((name for name in in_order(here) if name in HUB_WEIGHTS), None)
    if best is None:
        return []
    shards = [f for f in sorted(files) if fnmatch(f, prefix + SHARDS)] if best == SHARD_INDEX else []
    return [prefix + best, *shards]


def _folder_of(file: str) -> str:
    return file.rpartition("/")[0]


def files_of(name: str, revision: str | None = None) -> Remote:
    """Return all files of a repository. Raises Offline, UnknownSpace."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import GatedRepoError, HFValidationError, RepositoryNotFoundError, RevisionNotFoundError

    repo, named = repo_of(name)
    try:
        info = HfApi().model_info(repo, revision=revision or named, files_metadata=True)
    except GatedRepoError:
        raise gated(repo) from None
    except RepositoryNotFoundError:
        raise UnknownSpace(f"the hub has no public model {repo!r}; check the name, or set HF_TOKEN if it is private") from None
    except (RevisionNotFoundError, HFValidationError) as error:
        raise UnknownSpace(f"the hub has no model {repo!r}; check the name ({first_line(error)})") from None
    except Exception as error:  # the client's network errors share no base
        if (found := cached(repo, revision or named)) is not None:
            return found
        raise unreachable(error) from None
    return Remote(repo, info.sha or "main", {f.rfilename: f.size or 0 for f in info.siblings or []})


def cached_folder(repo: str, revision: str | None = None) -> Path | None:
    """Return where an earlier download left a repository, whole or in part, without a revision the last one; None where it left nothing."""
    found = (_cached_file(repo, name, revision) for name in CONFIGS)
    folder = next((file.parent for file in found if file), None)
    return folder if folder or revision else max(_snapshots(repo), key=lambda one: one.stat().st_mtime, default=None)


def _snapshots(repo: str) -> list[Path]:
    """Return the folders of all revisions of a repository that were downloaded: by its commit, the client notes no branch."""
    from huggingface_hub import constants
    from huggingface_hub.file_download import repo_folder_name

    kept = Path(constants.HF_HUB_CACHE) / repo_folder_name(repo_id=repo, repo_type="model") / "snapshots"
    return [one for one in kept.glob("*") if any((one / name).exists() for name in CONFIGS)]


def is_cached(source: Remote) -> bool:
    """Whether all files of a checkpoint were downloaded before."""
    return all(_cached_file(source.repo, file, source.revision) for file in source.files)


def _cached_file(repo: str, file: str, revision: str | None) -> Path | None:
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        found = try_to_load_from_cache(repo, file, revision=revision)
    except HFValidationError:  # no name of a repository
        return None
    return Path(found) if isinstance(found, str) else None


def cached(repo: str, revision: str | None) -> Remote | None:
    """Return what an earlier download left of a repository; None where it left nothing."""
    if (folder := cached_folder(repo, revision)) is None:
        return None
    files = {file.relative_to(folder).as_posix(): file.stat().st_size for file in sorted(folder.rglob("*")) if file.is_file()}
    return Remote(repo, folder.name, files)


def gated(repo: str) -> UnknownSpace:
    """Return the error to raise where a repository's licence has to be accepted first."""
    return UnknownSpace(f"{repo} is gated: accept its licence at https://huggingface.co/{repo}, and set HF_TOKEN to your token")


def configs(source: Remote) -> Path:
    """Download all but the weights of a checkpoint, and return the folder. Raises Offline."""
    return download(source.only(file for file in source.files if file.endswith((".json", ".txt"))))


def download(source: Remote) -> Path:
    """Download a checkpoint into the hub's cache and return its folder. The client checks the hashes. Raises Offline."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import GatedRepoError

    try:
        folder = Path(snapshot_download(source.repo, revision=source.revision, allow_patterns=list(source.files)))
        if source.open_clip and not (folder / open_clip_names.CONFIG).exists():
            open_clip_names.write_config(source.open_clip, folder)
        if not TOKENIZERS & source.files.keys() and (folder / open_clip_names.CONFIG).exists():
            repo = open_clip_names.tokenizer_of(folder) or CLIP_TOKENIZER
            words = Path(snapshot_download(repo, allow_patterns=[*TOKENIZERS, *TOKENIZER_SETTINGS]))
            for file in words.iterdir():
                if file.name in TOKENIZERS | TOKENIZER_SETTINGS:
                    (folder / file.name).write_bytes(file.read_bytes())
    except GatedRepoError:
        raise gated(source.repo) from None
    except SamespaceError:
        raise
    except OSError as error:
        if error.errno:  # the disk's fault, not the network's
            raise
        raise unreachable(error) from None
    except Exception as error:  # the client's network errors share no base
        raise unreachable(error) from None
    return folder


def unreachable(error: Exception) -> Offline:
    """Return the error to raise where the hub does not answer."""
    return Offline(
        f"the Hugging Face hub cannot be reached ({first_line(error)}); check the network and HF_HUB_OFFLINE, "
        "or pull a folder that you have instead of a name"
    )


def first_line(error: Exception) -> str:
    """Return the first line of an error's message."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:150]
