"""One target's inputs, led by which of our lines they reach (libFuzzer, through Atheris)."""

import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["samespace"]):
    import samespace.assistant.gguf_file
    import samespace.library.search.query
    import samespace.library.search.where
    import samespace.media.metadata.picture
    import samespace.media.metadata.takeout
    import samespace.media.metadata.xmp
    import samespace.media.subtitles
    import samespace.media.text_file
    import samespace.operating.local.grammar
    import samespace.operating.replay
    import samespace.server.services.schemas
    import samespace.server.services.urls
    import samespace.spaces.checkpoints.checkpoint
    import samespace.train.config
    import samespace.train.conversations
    import samespace.train.documents
    import samespace.train.sources  # noqa: F401

from .seeds import seeds
from .targets import TARGETS, run


def main(name: str, seconds: float) -> None:
    """Give a target inputs for some seconds; libFuzzer prints how many, and keeps what fell."""
    found = Path(__file__).parent / "found" / name
    corpus = found / "corpus"
    corpus.mkdir(parents=True, exist_ok=True)
    for i, seed in enumerate(seeds()[name]):
        (corpus / f"seed{i}").write_bytes(seed)
    limits = [
        f"-max_total_time={int(seconds)}",
        "-timeout=60",
        "-rss_limit_mb=4096",
        f"-artifact_prefix={found}/",
        "-max_len=65536",
        "-verbosity=0",
        "-print_final_stats=1",
    ]
    atheris.Setup([sys.argv[0], *limits, str(corpus)], lambda data: run(TARGETS[name], data))
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]))
