"""Checkpoints on the Hugging Face hub: looked up first, so that their size can be shown, then downloaded.

HF_HOME and HF_HUB_OFFLINE have their usual effect.
"""

from dataclasses import dataclass, replace
from pathlib import Path

from ..core.errors import Offline, UnknownSpace

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
    "config.json", "open_clip_config.json", "preprocessor_config.json", "processor_config.json", "tokenizer.json",
    "tokenizer_config.json", "special_tokens_map.json", "vocab.json", "merges.txt", "vocab.txt", "spiece.model",
    "sentencepiece.bpe.model", "README.md",
)  # fmt: skip
WEIGHTS = ("open_clip_model.safetensors", "model.safetensors", "open_clip_pytorch_model.bin", "pytorch_model.bin")
"""In the order of preference; one of them is downloaded."""


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
        """What would be downloaded, for people."""
        return f"{self.repo} at {self.revision[:12]}"


def repo_of(name: str) -> str:
    """Return the repository of `ViT-B-32/laion2b_s34b_b79k` (open_clip), `hf-hub:org/name` or `org/name`."""
    return OPEN_CLIP_REPOS.get(name) or name.removeprefix("hf-hub:")


def look_up(name: str, revision: str | None = None) -> Remote:
    """Ask the hub which files a space's checkpoint needs, without downloading it. Raises Offline, UnknownSpace."""
    there = files_of(name, revision)
    weights = next((w for w in WEIGHTS if w in there.files), None)
    if weights is None:
        raise UnknownSpace(f"{there.repo} holds none of {', '.join(WEIGHTS)}; choose a CLIP, OpenCLIP or SigLIP model")
    wanted = [f for f in SMALL_FILES if f in there.files] + [weights]
    return replace(there, files={f: there.files[f] for f in wanted})


def files_of(name: str, revision: str | None = None) -> Remote:
    """Return all files of a repository. Raises Offline, UnknownSpace."""
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
    """Download a checkpoint into the hub's cache and return its folder. The client checks the hashes. Raises Offline."""
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
    """Return the error to raise where the hub does not answer."""
    return Offline(
        f"the Hugging Face hub cannot be reached ({first_line(error)}); check the network and HF_HUB_OFFLINE, "
        "or pull a folder that you have instead of a name"
    )


def first_line(error: Exception) -> str:
    """Return the first line of an error's message."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:150]
