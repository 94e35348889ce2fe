"""Cross-encoders: models that read a query and a text together, and say how well the text answers it; Nogueira and Cho 2019.

One is installed as its publisher exported it to ONNX, and runs in ONNX Runtime. After sentence-transformers' CrossEncoder: its score is the
graph's only logit, and the sigmoid of it a probability.
"""

import json
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..core.errors import UnknownSpace, as_utf8
from ..core.files import read_json, sha256
from ..core.new_folder import new_folder
from ..core.registry import Registry
from ..preprocess.tokens import read_tokenizer
from .sessions import BATCH, TYPES, open_graph

CONFIG, GRAPH, TOKENIZER = "reranker.json", "model.onnx", "tokenizer.json"
GRAPHS = ("onnx/model.onnx", "model.onnx")
"""Where publishers keep the graph."""
FROM_TWO = {"roberta", "xlm-roberta", "camembert"}
"""Kinds of models whose positions begin at 2."""
MOST_TOKENS = 512
"""Longest query with its text that is read, in tokens."""


@dataclass(frozen=True)
class CrossEncoderConfig:
    """reranker.json."""

    name: str
    context: int
    """Most tokens of a query and a text together."""
    pad: int
    """Id of the token that fills shorter texts up."""
    graph: str
    """SHA-256 of the graph."""


def read_config(folder: Path) -> CrossEncoderConfig:
    """Raises UnknownSpace where there is none, or it cannot be read."""
    try:
        return CrossEncoderConfig(**read_json(folder / CONFIG))
    except (OSError, ValueError, TypeError) as error:
        raise UnknownSpace(f"{folder}/{CONFIG} cannot be read ({error}); pull the reranker again") from None


RERANKERS = Registry[CrossEncoderConfig]("SAMESPACE_RERANKERS", "rerankers", CONFIG, read_config)
"""Those that are installed."""


def needed(files: dict[str, int]) -> list[str]:
    """Return which files of a repository make a cross-encoder. Raises UnknownSpace where they do not."""
    graph = next((name for name in GRAPHS if name in files), None)
    if graph is None or "config.json" not in files or TOKENIZER not in files:
        raise UnknownSpace(
            f"it has no {' or '.join(GRAPHS)}, config.json and {TOKENIZER}; choose one that has, such as cross-encoder/ms-marco-MiniLM-L6-v2"
        )
    return [graph, "config.json", TOKENIZER, *(name for name in files if name.startswith(f"{graph}_data"))]


def install(source: Path, name: str) -> Path:
    """Install a folder as its publisher wrote it, and return where. Raises UnknownSpace where it is no cross-encoder."""
    graph = next((source / one for one in GRAPHS if (source / one).exists()), None)
    if graph is None:
        raise UnknownSpace(f"{source} has no {' or '.join(GRAPHS)}; export it to ONNX first")
    target = RERANKERS.folder_for(name)
    try:
        with new_folder(target, CONFIG, UnknownSpace) as (made, _):
            for file in graph.parent.glob(f"{graph.name}*"):
                shutil.copyfile(file, made / file.name)
            shutil.copyfile(source / TOKENIZER, made / TOKENIZER)
            config = _config_of(read_json(source / "config.json"), name, sha256(graph))
            (made / CONFIG).write_text(json.dumps(asdict(config), indent=2))
            CrossEncoder(made).scores("a query", ["a text"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UnknownSpace(f"{source} cannot be read as a cross-encoder ({error}); choose another") from None
    return target


def _config_of(published: dict[str, Any], name: str, digest: str) -> CrossEncoderConfig:
    """Raises UnknownSpace where the model says something else than how well a text answers."""
    labels = len(published.get("id2label") or ()) or published.get("num_labels", 2)
    if labels != 1:
        raise UnknownSpace(f"{name} tells {labels} kinds of texts apart; a cross-encoder gives one score: choose another")
    first = 2 if published.get("model_type") in FROM_TWO else 0
    context = min(MOST_TOKENS, int(published.get("max_position_embeddings", MOST_TOKENS)) - first)
    return CrossEncoderConfig(name, context, int(published.get("pad_token_id") or 0), digest)


class CrossEncoder:
    """An installed cross-encoder, opened."""

    def __init__(self, folder: Path):
        """Raises UnknownSpace."""
        self.config = read_config(folder)
        if sha256(folder / GRAPH) != self.config.graph:
            raise UnknownSpace(f"{folder}/{GRAPH} is not what was installed; pull the reranker again")
        self._tokenizer = read_tokenizer(folder / TOKENIZER)
        self._tokenizer.enable_truncation(self.config.context)
        self._tokenizer.enable_padding(pad_id=self.config.pad)
        try:
            self._session = open_graph(folder / GRAPH)
        except Exception as error:  # the runtime's own exceptions share no useful base
            raise UnknownSpace(f"{folder}/{GRAPH} cannot be opened ({str(error)[:200]}); pull the reranker again") from None
        self._inputs = {one.name: TYPES.get(one.type, np.int64) for one in self._session.get_inputs()}
        output = self._session.get_outputs()[0]
        if set(self._inputs) - {"input_ids", "attention_mask", "token_type_ids"} or output.shape[-1] != 1:
            raise UnknownSpace(f"{folder}/{GRAPH} does not take a query with a text and give one score; choose another reranker")

    @property
    def name(self) -> str:
        """Its name."""
        return self.config.name

    def scores(self, query: str, texts: list[str]) -> np.ndarray:
        """Return how well each text answers a query, as a probability: float32 (texts,). The longer of both is cut where they do not fit."""
        parts = [self._batch(query, texts[i : i + BATCH]) for i in range(0, len(texts), BATCH)]
        logits = np.concatenate([np.empty(0, np.float32), *parts]).astype(np.float32)
        p: np.ndarray = 1 / (1 + np.exp(-logits))
        return p

    def _batch(self, query: str, texts: list[str]) -> np.ndarray:
        encoded = self._tokenizer.encode_batch([(as_utf8(query), as_utf8(text)) for text in texts])
        arrays = {
            "input_ids": [e.ids for e in encoded],
            "attention_mask": [e.attention_mask for e in encoded],
            "token_type_ids": [e.type_ids for e in encoded],
        }
        feed = {name: np.array(arrays[name], kind) for name, kind in self._inputs.items()}
        logits: np.ndarray = self._session.run(None, feed)[0]
        return logits.reshape(len(texts))
