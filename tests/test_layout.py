"""The shape of the code: imports go one way, heavy libraries have one home, functions stay short."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1] / "src" / "samespace"
MODULES = {p.relative_to(ROOT).as_posix(): ast.parse(p.read_text("utf-8")) for p in sorted(ROOT.rglob("*.py"))}
ORDER = [  # a module imports only from above
    ("errors.py", "paths.py", "config.py"),
    (
        "media/kinds.py",
        "media/image.py",
        "media/audio.py",
        "media/speech.py",
        "media/video.py",
        "media/ocr.py",
        "media/pdfium.py",
        "media/document.py",
    ),
    (
        "model/layers.py",
        "model/efficientnet.py",
        "model/vit.py",
        "model/text.py",
        "model/dual.py",
        "model/audio.py",
        "model/htsat.py",
        "model/losses.py",
    ),
    ("model/int8.py", "model/lm.py", "model/memory.py", "model/llava.py"),
    ("prep/pixels.py", "prep/tiles.py", "prep/tokens.py", "prep/mel.py"),
    ("names.py", "checkpoint.py"),
    ("eval/calibration.py",),
    ("space.py", "hub.py"),
    ("eval/retrieval.py", "eval/zeroshot.py", "eval/probe.py"),
    ("narrow.py", "export.py", "clap.py"),
    (
        "train/card.py",
        "train/augment.py",
        "train/sources.py",
        "train/data.py",
        "train/optim.py",
        "train/parts.py",
        "train/tasks.py",
    ),
    ("train/state.py", "train/loop.py", "train/watch.py", "train/run.py", "train/dry.py"),
    (
        "index/home.py",
        "index/filter.py",
        "index/flat.py",
        "index/scan.py",
        "index/segments.py",
        "index/guard.py",
        "index/note.py",
        "index/store.py",
    ),
    (
        "ranking.py",
        "results.py",
        "moments.py",
        "embed.py",
        "cluster.py",
        "library.py",
        "takeover.py",
        "sheet.py",
        "preview.py",
        "demo.py",
        "doctor.py",
    ),
    (
        "assistant/request.py",
        "assistant/language.py",
        "assistant/chat.py",
        "assistant/sampling.py",
        "assistant/reading.py",
        "assistant/pointing.py",
        "assistant/engine.py",
        "assistant/folder.py",
        "assistant/shelf.py",
        "assistant/endpoint.py",
        "assistant/open.py",
        "assistant/hear.py",
        "assistant/show.py",
        "assistant/cite.py",
        "assistant/caption.py",
    ),
    ("explain/heatmap.py", "explain/contrast.py", "explain/patch.py", "explain/trace.py", "explain/report.py"),
    (
        "server/errors.py",
        "server/pictures.py",
        "server/files.py",
        "server/shapes.py",
        "server/chat.py",
        "server/embeddings.py",
        "server/indexing.py",
        "server/compare.py",
        "server/lesson.py",
        "server/shelves.py",
        "server/pages.py",
        "server/switch.py",
        "server/app.py",
        "server/tools.py",
    ),
    ("eval/vqa.py", "train/regions.py", "train/conversations.py", "train/lessons.py", "train/assist.py"),
    ("console.py", "cli_train.py", "cli_ask.py", "cli_spaces.py", "cli.py", "__main__.py"),
]
FLAT = [name for room in ORDER for name in room]
HOMES = {
    "torch": (
        "model/",
        "explain/contrast.py",
        "explain/patch.py",
        "explain/trace.py",
        "names.py",
        "checkpoint.py",
        "export.py",
        "clap.py",
        "train/",
        "assistant/",
    ),
    "onnx": ("export.py", "narrow.py"),
    "onnxruntime": ("space.py", "export.py", "narrow.py"),
    "lancedb": ("index/store.py",),
    "pyarrow": ("index/", "train/sources.py"),
    "PIL": (
        "media/",
        "prep/pixels.py",
        "prep/tiles.py",
        "space.py",
        "moments.py",
        "preview.py",
        "train/",
        "explain/",
        "server/files.py",
        "server/compare.py",
        "assistant/request.py",
    ),
    "tokenizers": ("prep/tokens.py", "checkpoint.py", "assistant/"),
    "av": ("media/audio.py", "media/video.py"),
    "pypdfium2": ("media/pdfium.py",),
    "rapidocr": ("media/ocr.py",),
    "faster_whisper": ("media/speech.py",),
    "huggingface_hub": ("hub.py",),
    "typer": ("console.py", "cli_train.py", "cli_ask.py", "cli_spaces.py", "cli.py"),
    "matplotlib": ("train/watch.py",),
    "peft": ("train/parts.py",),
    "sklearn": ("eval/",),
    "webdataset": ("train/sources.py",),
    "datasets": ("train/sources.py",),
    "skimage": ("demo.py",),
    "rawpy": ("media/image.py",),
    "einops": ("model/", "explain/patch.py"),
    "ray": ("cluster.py",),
    "gguf": ("assistant/language.py",),
    "jinja2": ("assistant/chat.py", "explain/report.py", "server/pages.py"),
    "openai": ("assistant/endpoint.py",),
    "fastapi": ("server/app.py", "server/pages.py", "server/compare.py", "server/lesson.py"),
    "mcp": ("server/tools.py",),
    "prometheus_client": ("server/app.py",),
    "pydantic": ("server/shapes.py",),
    "uvicorn": ("cli_ask.py",),
}
UPWARD = {("hub.py", "export.py")}
"""One exception: `hub.convert` imports the exporter when it is called, so that searching never needs torch."""


def imports(name: str) -> list[tuple[str, bool]]:
    """(dotted module, relative) for every import of a module; relative ones as files of this package."""
    found, package = [], Path(name).parent.parts
    for node in ast.walk(MODULES[name]):
        if isinstance(node, ast.Import):
            found += [(alias.name.split(".")[0], False) for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            found.append((node.module.split(".")[0], False))
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1]
            stem = "/".join([*base, *(node.module or "").split(".")]).strip("/")
            targets = [f"{stem}.py"] if f"{stem}.py" in MODULES else [f"{stem}/{a.name}.py".strip("/") for a in node.names]
            found += [(t, True) for t in targets if t in MODULES]
    return found


def test_every_module_has_its_place():
    assert sorted(n for n in MODULES if not n.endswith("__init__.py")) == sorted(FLAT)


@pytest.mark.parametrize("name", FLAT)
def test_imports_go_one_way(name):
    for target, relative in imports(name):
        if relative and (name, target) not in UPWARD:
            assert FLAT.index(target) < FLAT.index(name), f"{name} imports {target}, which stands below it"


@pytest.mark.parametrize("library", HOMES)
def test_heavy_libraries_have_one_home(library):
    users = [name for name in MODULES if (library, False) in imports(name)]
    assert users and all(u.startswith(HOMES[library]) for u in users), users


@pytest.mark.parametrize("name", FLAT)
def test_files_and_functions_stay_short(name):
    lines = (ROOT / name).read_text("utf-8").count("\n")
    assert lines <= 350
    for node in ast.walk(MODULES[name]):
        if isinstance(node, ast.FunctionDef):
            limit = 100 if name == "train/loop.py" else 60
            assert node.end_lineno - node.lineno < limit, f"{name}: {node.name}"


def test_layers_are_defined_once():
    classes = [n.name for tree in MODULES.values() for n in ast.walk(tree) if isinstance(n, ast.ClassDef)]
    assert len(classes) == len(set(classes))
